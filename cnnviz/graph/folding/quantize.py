"""Linear quantisation of constants: weights that a file stores in integers of few bits."""

from __future__ import annotations

import math
from typing import Any, Dict

import numpy as np

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.folding.row import Array, Row
from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import axis_of

__all__ = ["ROWS"]

_UINT8 = 2  # TensorProto.UINT8, to which QuantizeLinear goes without a zero point
#: The element types that numbers are quantised to, by their codes of TensorProto.
_RANGES: Dict[int, Any] = {2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16}


def _aligned(node: Node, x: Array, parameter: Array, what: str) -> Array:
    """A scale or zero point in a shape that broadcasts to x: one, or one per index or block."""
    if parameter.size == 1:
        return parameter.reshape(())
    axis, block = axis_of(node.attributes["axis"], x.ndim), node.attributes["block_size"]
    if block == 0 and parameter.shape == x.shape[axis : axis + 1]:
        return parameter.reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    blocks = -(-x.shape[axis] // block) if block > 0 else 0
    if parameter.shape != (*x.shape[:axis], blocks, *x.shape[axis + 1 :]):
        raise ValueError(f"{what} of shape {parameter.shape} does not fit {x.shape} along axis {axis}")
    return np.take(parameter, np.arange(x.shape[axis]) // block, axis=axis)


def _dequantize(node: Node, x: Array, scale: Array, *zero: Array) -> Array:
    """(x - zero point) scale, in float32 as the standard says."""
    if zero and zero[0].shape != scale.shape:
        raise ValueError(f"zero point of shape {zero[0].shape} and scale of shape {scale.shape} differ")
    shift = _aligned(node, x, zero[0], "zero point") if zero else 0
    product: Array = (x - shift).astype(np.float32) * _aligned(node, x, scale, "scale").astype(np.float32)
    return product


def _quantize(node: Node, x: Array, scale: Array, *zero: Array) -> Array:
    """round(x / scale) + zero point, halves to the even number, cut to the range of the element type."""
    to = node.attributes["output_dtype"] or _UINT8
    if to not in _RANGES:
        raise UnsupportedModelError(
            f"node {node.name!r} (QuantizeLinear): element type {to} is not supported", ["QuantizeLinear"]
        )
    limits = np.iinfo(_RANGES[to])
    if zero and zero[0].shape != scale.shape:
        raise ValueError(f"zero point of shape {zero[0].shape} and scale of shape {scale.shape} differ")
    shift = _aligned(node, x, zero[0], "zero point") if zero else 0
    steps = np.rint(x.astype(np.float32) / _aligned(node, x, scale, "scale").astype(np.float32))
    return np.asarray(np.clip(steps + shift, limits.min, limits.max)).astype(np.int64)


def _size(node: Node, x: Array, *parameters: Array) -> int:
    return math.prod(x.shape)


ROWS: Dict[str, Row] = {
    "DequantizeLinear": Row(_dequantize, _size),
    "QuantizeLinear": Row(_quantize, _size),
}
