"""The members of results that plots read: an object that has them can be drawn, whatever its class."""

from __future__ import annotations

from typing import Any, Mapping, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@runtime_checkable
class ShownMap(Protocol):
    """A map of an image: `cnnviz.Attribution`, or an object with the same members."""

    @property
    def values(self) -> Array: ...
    @property
    def map(self) -> Array: ...
    @property
    def image(self) -> Array: ...
    @property
    def method(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...


@runtime_checkable
class ShownPicture(Protocol):
    """A picture with the history of its making: `cnnviz.Synthesis`, or an object with the same members."""

    @property
    def image(self) -> Array: ...
    @property
    def history(self) -> Mapping[str, NDArray[np.float64]]: ...
    @property
    def method(self) -> str: ...
    @property
    def report(self) -> Mapping[str, Any]: ...
    @property
    def sources(self) -> Mapping[str, NDArray[Any]]: ...
