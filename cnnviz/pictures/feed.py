"""The map from planes of a picture to the network's input, its inverse, and the adjoints of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.arithmetic import Array, affine, single
from cnnviz.pictures.preprocessing import Preprocessing


@dataclass(frozen=True)
class Feed:
    """The way from planes to what a network is fed, without any change of size: affine for each channel."""

    preprocessing: Preprocessing

    def forward(self, planes: NDArray[Any]) -> Array:
        """Turn planes N,C,H,W into what the network is fed."""
        low, slope = self._line
        return affine(planes, slope, low, reverse=self._swapped)

    def adjoint(self, dx: NDArray[Any], *, overwrite: bool = False) -> Array:
        """Gradient with respect to the planes; with `overwrite` it may take the place of dx."""
        return affine(dx, self._in_rgb(self._line[1]), reverse=self._swapped, overwrite=overwrite)

    def inverse(self, x: NDArray[Any]) -> Array:
        """The network's input back to planes; values outside 0 to 1 are kept."""
        low, slope = self._line
        return affine(
            x, self._in_rgb(single(1 / slope)), self._in_rgb(single(-low / slope)), reverse=self._swapped
        )

    def inverse_adjoint(self, dplanes: NDArray[Any]) -> Array:
        """Gradient with respect to the network's input, of the inverse."""
        return affine(dplanes, single(1 / self._line[1]), reverse=self._swapped)

    def from_pictures(self, pictures: Array) -> Array:
        """Turn pictures N,H,W,3 into planes."""
        if self.preprocessing.channels == 1:
            return self.inverse(self.preprocessing.normalise(pictures))
        return single(np.moveaxis(pictures, 3, 1))

    @staticmethod
    def to_pictures(planes: Array) -> Array:
        """Turn planes into pictures N,H,W,3 within 0 to 1."""
        colours = np.repeat(planes, 3, axis=1) if planes.shape[1] == 1 else planes
        return np.ascontiguousarray(np.moveaxis(colours, 1, 3).clip(0, 1), dtype=np.float32)

    @cached_property
    def _line(self) -> Tuple[Array, Array]:
        """What pixel 0 is to the network, and how much more pixel 1 is, for each of its channels."""
        low, high = (bound.ravel() for bound in self.preprocessing.bounds())
        return low, high - low

    def _in_rgb(self, numbers: Array) -> Array:
        return np.ascontiguousarray(numbers[::-1]) if self._swapped else numbers

    @property
    def _swapped(self) -> bool:
        return self.preprocessing.channel_order == "BGR"
