"""The map from planes to the network's input, channel by channel, with its inverse and the adjoints of both.

*Planes* are pictures N,C,H,W from 0 to 1: red, green and blue, one channel of luma, or the picture's own
channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.arithmetic import Array, affine


@dataclass(frozen=True)
class Feed:
    """The map x = (scale * plane - mean) / std, at any size.

    Every operation is rounded to float32 in this order, so that x has the bits of the same expression in
    NumPy or PyTorch. This is the only place that computes it: `Preprocessing.normalise` and the loops that
    make pictures feed a network the same numbers.

    Attributes
    ----------
    scale : float
    mean, std : tuple of float
        One number for each channel, in the network's order of channels.
    reverse : bool
        Whether the network takes blue first.
    """

    scale: float
    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    reverse: bool = False

    def forward(self, planes: NDArray[Any]) -> Array:
        """Return the network's input N,C,H,W for planes."""
        return affine(planes, self._scale, -self._mean, self._std, reverse=self.reverse)

    def inverse(self, x: NDArray[Any]) -> Array:
        """Return the planes of a network's input, up to float rounding; values outside 0 to 1 are kept."""
        rgb = self._in_rgb
        return affine(x, rgb(self._std), rgb(self._mean), self._scale, reverse=self.reverse)

    def adjoint(self, dx: NDArray[Any], *, overwrite: bool = False) -> Array:
        """Return the gradient of the planes for that of the input; `overwrite` may reuse the memory of dx."""
        return affine(dx, self._in_rgb(self.slope), reverse=self.reverse, overwrite=overwrite)

    def inverse_adjoint(self, dplanes: NDArray[Any]) -> Array:
        """Return the gradient of the input for that of the planes which `inverse` makes of it."""
        return affine(dplanes, self._std / self._scale, reverse=self.reverse)

    def bounds(self) -> Tuple[Array, Array]:
        """Return the network's inputs for planes of 0 and of 1, each of shape (1, C, 1, 1)."""
        shape = (1, len(self.mean), 1, 1)
        return self.forward(np.zeros(shape, np.float32)), self.forward(np.ones(shape, np.float32))

    @property
    def slope(self) -> Array:
        """The derivative dx / dplane of each channel, in the network's order."""
        return self._scale / self._std

    @cached_property
    def _mean(self) -> Array:
        return np.array(self.mean, np.float32)

    @cached_property
    def _std(self) -> Array:
        return np.array(self.std, np.float32)

    @cached_property
    def _scale(self) -> Array:
        return np.full(len(self.mean), self.scale, np.float32)

    def _in_rgb(self, numbers: Array) -> Array:
        return np.ascontiguousarray(numbers[::-1]) if self.reverse else numbers


def as_pictures(planes: Array) -> Array:
    """Return pictures N,H,W,3 for planes of colour or grey, N,H,W,C for those of other channels.

    Signals and volumes are N,L,C and N,D,H,W,C, also with one channel.
    """
    grey = planes.shape[1] == 1 and planes.ndim == 4
    colours = np.repeat(planes, 3, axis=1) if grey else planes
    return np.ascontiguousarray(np.moveaxis(colours, 1, -1), dtype=np.float32)


def to_pictures(planes: Array) -> Array:
    """Return pictures within 0 to 1 for planes, as `as_pictures` does."""
    return as_pictures(planes).clip(0, 1)
