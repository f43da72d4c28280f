"""Operations on whole pictures between two passes through a network, each a single loop in C.

Arrays of other types are converted on the way in, so that a caller may bring float64; what comes out is
float32 and new. Results do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz._config import _core

Array = NDArray[np.float32]
LARGEST = float(np.finfo(np.float32).max)
# An affine coordinate of pixel (i, j): offset + by_row * i + by_column * j.
AffineCoordinate = Tuple[float, float, float]
# The lower and the upper bound of a variable, each one number or one for each channel; None is unbounded.
Bounds = Optional[Tuple[Array, Array]]


def single(x: NDArray[Any]) -> Array:
    """Return x in float32 and in C order: x itself where it is that; too large a number becomes infinite."""
    if x.dtype == np.float32 and x.flags.c_contiguous:
        return x
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(x, dtype=np.float32)


def all_finite(x: NDArray[Any]) -> bool:
    """Whether no number is NaN or infinite in float32."""
    return _core.all_finite(single(x))


def dots(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Return the inner product of each image of both, summed in float64."""
    return _core.dots(single(x), single(y))


def affine(
    x: NDArray[Any],
    slope: Array,
    shift: Optional[Array] = None,
    divisor: Optional[Array] = None,
    *,
    reverse: bool = False,
    overwrite: bool = False,
) -> Array:
    """Return (slope * x + shift) / divisor with one number for each channel, each operation in float32.

    `reverse` reads the channels backwards. With `overwrite` the memory of x may serve for the result: for an
    array that the caller has made.
    """
    return _core.affine(single(x), slope, shift, divisor, reverse, overwrite)


def ascend(z: NDArray[Any], g: NDArray[Any], rates: Sequence[float], bounds: Bounds) -> Array:
    """Return z + rate * g, one rate for each image, held within bounds.

    A rate beyond float32 counts as the largest there is: where g is 0, z stays.
    """
    rate = np.array([min(max(rate, -LARGEST), LARGEST) for rate in rates], np.float32)
    return _core.ascend(single(z), single(g), rate, bounds)


def adam_step(
    z: NDArray[Any],
    mean: NDArray[Any],
    square: NDArray[Any],
    g: NDArray[Any],
    bounds: Bounds,
    *,
    beta1: float,
    beta2: float,
    rate: float,
    scale: float,
    epsilon: float,
) -> Tuple[Array, Array, Array]:
    """Return the next z, mean and square (Kingma & Ba 2015, algorithm 1, upwards).

    mean = beta1 mean + (1 - beta1) g, square = beta2 square + (1 - beta2) g^2, and z moves by
    rate * mean / (sqrt(scale * square) + epsilon), held within bounds; `rate` and `scale` carry the bias
    corrections.
    """
    return _core.adam_step(
        single(z),
        single(mean),
        single(square),
        single(g),
        bounds,
        beta1=beta1,
        beta2=beta2,
        rate=rate,
        scale=scale,
        epsilon=epsilon,
    )


def free_to_move(z: NDArray[Any], g: NDArray[Any], bounds: Bounds) -> Array:
    """Return 1 where a step along g is not stopped at once by a bound, else 0."""
    return _core.free_to_move(single(z), single(g), bounds)


def lbfgs_product(g: Array, free: Array, s: Sequence[Array], y: Sequence[Array]) -> Optional[Array]:
    """Return H g for the inverse Hessian H that pairs of steps s and gradient losses y make, oldest first.

    Nocedal & Wright 2006, algorithm 7.4 from the multiple of the identity of eq. 7.20, over the variables
    where `free` is 1; elsewhere the result is 0. None when no pair has curvature there.
    """
    return _core.lbfgs_product(g, free, s, y)


def total_variation(x: NDArray[Any], power: int, scale: float) -> Tuple[NDArray[np.float64], Array]:
    """Return scale times the sum of |differences|^power of neighbours of each image, and its gradient.

    x is N,C,H,W; `power` is 1 or 2.
    """
    sums, dx = _core.total_variation(single(x), power, scale)
    return scale * sums, dx


def roll(x: NDArray[Any], down: int, right: int) -> Array:
    """Return N,C,H,W moved down and to the right; what leaves on one side comes back on the other."""
    return _core.roll(single(x), down, right)


def resample(
    x: NDArray[Any], row: AffineCoordinate, column: AffineCoordinate, *, adjoint: bool = False
) -> Array:
    """Return N,C,H,W seen through an affine map: each pixel is read at its `row` and `column`, bilinearly.

    Outside the picture its edge goes on. With `adjoint`, x is the gradient of that, and what comes out is
    the gradient with respect to the picture.
    """
    return _core.resample(single(x), row, column, adjoint)
