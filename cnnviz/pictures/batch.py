"""A batch of one picture as results have it: without the batch's axis, and with it again for readers."""

from __future__ import annotations

from typing import Any, List, TypeVar, Union, overload

import numpy as np
from numpy.typing import NDArray

Fact = TypeVar("Fact")


@overload
def squeezed(batch: NDArray[Any]) -> NDArray[Any]: ...
@overload
def squeezed(batch: List[Fact]) -> Union[Fact, List[Fact]]: ...
def squeezed(batch: Any) -> Any:
    """Return the single member of a batch of one, and any other batch as it is."""
    return batch[0] if len(batch) == 1 else batch


def batch_of(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return pictures H,W,3 or N,H,W,3 as N,H,W,3."""
    return pictures if pictures.ndim == 4 else pictures[np.newaxis]


def listed(facts: Union[Fact, List[Fact]]) -> List[Fact]:
    """Return a fact about each picture as a list, also that about a batch of one."""
    return facts if isinstance(facts, list) else [facts]
