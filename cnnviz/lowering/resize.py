"""ONNX Resize as matrices: one per axis, output length by input length.

Each mode (nearest, linear, cubic) takes a weighted sum of a few neighbours along one axis at a time. The
weights depend on positions only, so the whole operator is a product of matrices, and so is its gradient.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.shapes import axes_of, axis_of

__all__ = ["resize_matrices"]

Matrix = NDArray[np.float32]
_MAX_LENGTH = 1 << 14  # the longest axis: a square matrix of this length has 1 GiB


def resize_matrices(attributes: Mapping[str, Any], shape: Tuple[int, ...]) -> List[Tuple[int, Matrix]]:
    """The axes that Resize changes, each with its matrix.

    Parameters
    ----------
    attributes : mapping
        The attributes of the Resize node, defaults filled in.
    shape : tuple of int
        The shape of the node's input.
    """
    axes = tuple(range(len(shape)))
    if attributes["axes"] is not None:
        axes_of(attributes["axes"], len(shape))
        axes = tuple(axis_of(axis, len(shape)) for axis in attributes["axes"])
    if attributes["coordinate_transformation_mode"] == "tf_crop_and_resize":
        raise UnsupportedModelError("Resize with tf_crop_and_resize is not supported", ["Resize"])
    scales, sizes = _targets(attributes, [shape[axis] for axis in axes])
    found = []
    for axis, scale, size in zip(axes, scales, sizes):
        if not 0 < size <= _MAX_LENGTH or shape[axis] > _MAX_LENGTH:
            raise ValueError(
                f"cannot resize axis {axis} from {shape[axis]} to {size}; lengths are 1 to {_MAX_LENGTH}"
            )
        if scale != 1 or size != shape[axis]:
            found.append((axis, _matrix(attributes, shape[axis], size, scale)))
    return found


def _targets(attributes: Mapping[str, Any], lengths: Sequence[int]) -> Tuple[List[float], List[int]]:
    """The scale and the new length of each axis, from `scales` or from `sizes`."""
    scales, sizes = attributes["scales"] or (), attributes["sizes"] or ()
    if bool(scales) == bool(sizes) or len(scales or sizes) != len(lengths):
        raise ValueError(
            f"scales {scales} and sizes {sizes}: exactly one of them must have {len(lengths)} numbers"
        )
    if scales:
        if not all(0 < scale < _MAX_LENGTH for scale in scales):
            raise ValueError(f"scales {scales} are not all above 0 and below {_MAX_LENGTH}")
        return list(scales), [math.floor(_single(n * s)) for n, s in zip(lengths, scales)]
    policy = attributes["keep_aspect_ratio_policy"]
    if policy == "stretch":
        return [size / n for size, n in zip(sizes, lengths)], list(sizes)
    ratios = [size / n for size, n in zip(sizes, lengths)]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return [scale] * len(lengths), [math.floor(n * scale + 0.5) for n in lengths]


def _matrix(attributes: Mapping[str, Any], n: int, size: int, scale: float) -> Matrix:
    """The matrix of one axis; its row i holds the weights of the inputs in output i."""
    mode = attributes["mode"]
    kernel = _KERNELS.get(mode)
    if mode != "nearest" and kernel is None:
        raise ValueError(f"mode {mode!r} is none of nearest, linear, cubic")
    matrix = np.zeros((size, n))
    for i in range(size):
        position = _position(attributes["coordinate_transformation_mode"], i, n, size, scale)
        if kernel is None:
            matrix[i, min(max(_nearest(attributes["nearest_mode"], position), 0), n - 1)] = 1
            continue
        spread = max(1 / scale, 1.0) if attributes["antialias"] else 1.0
        indices, weights = _weights(kernel, position, spread, attributes["cubic_coeff_a"])
        if attributes["exclude_outside"]:
            weights = np.where((indices >= 0) & (indices < n), weights, 0.0)
            weights = weights / weights.sum()
        np.add.at(matrix[i], np.clip(indices, 0, n - 1), weights)
    return matrix.astype(np.float32)


def _single(number: float) -> float:
    """A number rounded to float32, as other runtimes do: 5 times a scale of 1.4 is 7, and not just below."""
    return float(np.float32(number))


def _position(mode: str, i: int, n: int, size: int, scale: float) -> float:
    """The coordinate of output i on the input's axis."""
    if mode == "asymmetric":
        return _single(i / scale)
    if mode == "align_corners":
        length = n * scale  # not rounded, as in ONNX's reference
        return 0.0 if length == 1 else _single(i * (n - 1) / (length - 1))
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and size > 1):
        return _single((i + 0.5) / scale) - 0.5
    if mode == "pytorch_half_pixel":
        return 0.0
    if mode == "tf_half_pixel_for_nn":  # of opsets 11 and 12
        return _single((i + 0.5) / scale)
    if mode == "half_pixel_symmetric":
        adjusted = size / (scale * n)  # the rounded length over the exact one
        return n / 2 * (1 - adjusted) + _single((i + 0.5) / scale) - 0.5
    raise ValueError(f"coordinate_transformation_mode {mode!r} does not exist")


def _nearest(mode: str, position: float) -> int:
    if mode == "floor":
        return math.floor(position)
    if mode == "ceil":
        return math.ceil(position)
    if mode == "round_prefer_floor":
        return math.ceil(position - 0.5)
    if mode == "round_prefer_ceil":
        return math.floor(position + 0.5)
    raise ValueError(f"nearest_mode {mode!r} does not exist")


def _linear(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    return np.maximum(1 - distance, 0)


def _cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Keys 1981, eq. 4, with its free parameter a."""
    d = distance
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, inner, np.where(d < 2, outer, 0.0))


Kernel = Callable[[NDArray[np.float64], float], NDArray[np.float64]]
_KERNELS: Dict[str, Kernel] = {"linear": _linear, "cubic": _cubic}
_REACH: Dict[Kernel, int] = {_linear: 1, _cubic: 2}  # half the width of the kernel, in inputs


def _weights(
    kernel: Kernel, position: float, spread: float, a: Optional[float]
) -> Tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The indices of the inputs within the kernel's reach, and their weights, which sum to 1."""
    reach = _REACH[kernel] * spread
    first, last = math.floor(position - reach) + 1, math.ceil(position + reach)
    indices = np.arange(first, max(last, first + 1))
    weights = kernel(np.abs(indices - position) / spread, a or 0.0)
    return indices, weights / weights.sum()
