"""Penalties on the picture itself: on its roughness (`TotalVariation`) and its size (`L1`, `L2`)."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.objectives.base import IMAGE, INPUT, Activations, Objective, ValueAndCotangents, sum_per_image
from cnnviz.objectives.features import check_reduction
from cnnviz.pictures.arithmetic import Array, dots, total_variation


class _Penalty(Objective):
    def __init__(self, layer: str, reduction: str) -> None:
        self.layer = layer
        self.layers = (layer,)
        self.reduction = check_reduction(reduction)

    def _scale(self, size: int) -> float:
        return 1.0 / size if self.reduction == "mean" else 1.0


class TotalVariation(_Penalty):
    """Differences of neighbouring pixels: the sum over rows and columns of dx^p + dy^p.

    Tools disagree on the exponent, and some leave it out of the loss that they report; here value and
    gradient always belong together, or a line search would be misled.

    Parameters
    ----------
    power : 1 or 2
        Absolute differences (neural-style-pt) or their squares (cs231n, jcjohnson up to a factor of 1/2).
    layer : str
        ``"image"`` by default: displayed-pixel units. cs231n uses ``"input"``.
    reduction : "mean" or "sum"
        Divide by the number of pixels and channels, or not.
    """

    def __init__(self, power: int = 2, *, layer: str = IMAGE, reduction: str = "mean") -> None:
        super().__init__(layer, reduction)
        if power not in (1, 2):
            raise ValueError(f"power is {power}, but total variation takes 1 or 2")
        self.power = power

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        if x.ndim != 4:
            raise ValueError(f"layer {self.layer!r} has shape {x.shape}, but total variation needs N,C,H,W")
        # Networks compute in float32; float64 serves to check the formula by finite differences.
        differentiate = total_variation if x.dtype == np.float32 else _total_variation
        value, dx = differentiate(x, self.power, self._scale(x[0].size))
        return value, {self.layer: dx}


def _total_variation(x: Array, power: int, scale: float) -> Tuple[NDArray[np.float64], Array]:
    """`cnnviz.pictures.arithmetic.total_variation` in the type of x."""
    value = np.zeros(len(x))
    dx = np.zeros_like(x)
    for axis in (2, 3):
        step = np.diff(x, axis=axis)
        size, dstep = (step * step, 2 * step) if power == 2 else (np.abs(step), np.sign(step))
        value += sum_per_image(size)
        ahead, behind = [slice(None)] * 4, [slice(None)] * 4
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        dx[tuple(ahead)] += dstep
        dx[tuple(behind)] -= dstep
    return scale * value, scale * dx


class L1(_Penalty):
    """The sum (or mean) of absolute values, of the network's input by default."""

    def __init__(self, layer: str = INPUT, *, reduction: str = "sum") -> None:
        super().__init__(layer, reduction)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        scale = self._scale(x[0].size)
        return scale * sum_per_image(np.abs(x)), {self.layer: np.float32(scale) * np.sign(x)}


class L2(_Penalty):
    """The sum (or mean) of squares, of the network's input by default: Simonyan et al. 2013, eq. 1.

    There is no factor of 1/2: the gradient is 2 x.
    """

    def __init__(self, layer: str = INPUT, *, reduction: str = "sum") -> None:
        super().__init__(layer, reduction)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        scale = self._scale(x[0].size)
        # float32 takes one pass in the core, without a float64 copy of the picture.
        squares = dots(x, x) if x.dtype == np.float32 else sum_per_image(np.square(x))
        return scale * squares, {self.layer: np.float32(2 * scale) * x}
