"""Linear quantisation of constants: weights that a file stores in integers of few bits."""

from __future__ import annotations

import math
from typing import Any, Dict, Tuple

import numpy as np

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.folding.row import Array, Row, Shape
from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import axis_of

__all__ = ["ROWS", "limits_of", "spread"]

_UINT8 = 2  # TensorProto.UINT8, to which QuantizeLinear goes without a zero point
#: The element types that numbers are quantised to, by their codes of TensorProto.
_RANGES: Dict[int, Any] = {2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16}


def limits_of(node: Node) -> Tuple[int, int]:
    """The least and the largest number of the element type that a QuantizeLinear goes to."""
    to = node.attributes["output_dtype"] or _UINT8
    if to not in _RANGES:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): numbers cannot be quantised to element type {to}", [node.op]
        )
    limits = np.iinfo(_RANGES[to])
    return int(limits.min), int(limits.max)


def spread(node: Node, shape: Shape, given: Shape, what: str) -> Tuple[Shape, int]:
    """The shape in which a scale or zero point of shape `given` broadcasts to numbers of `shape`.

    Returns
    -------
    (shape, block)
        Reshaped so, the parameter broadcasts once each of its elements is repeated `block` times along the
        axis of the node; a block of 1 needs no repetition.
    """
    if math.prod(given) == 1:
        return (), 1
    axis, block = axis_of(node.attributes["axis"], len(shape)), node.attributes["block_size"]
    if block == 0 and given == shape[axis : axis + 1]:
        return (*given, *(1,) * (len(shape) - 1 - axis)), 1
    if block == 0 and len(given) == len(shape) and all(m in (1, n) for m, n in zip(given, shape)):
        return given, 1
    blocks = -(-shape[axis] // block) if block > 0 else 0
    if given != (*shape[:axis], blocks, *shape[axis + 1 :]):
        raise ValueError(f"{what} of shape {given} does not fit {shape} along axis {axis}")
    return given, block


def _aligned(node: Node, x: Array, parameter: Array, what: str) -> Array:
    shape, block = spread(node, x.shape, parameter.shape, what)
    if block == 1:
        return parameter.reshape(shape)
    axis = axis_of(node.attributes["axis"], x.ndim)
    return np.take(parameter, np.arange(x.shape[axis]) // block, axis=axis)


def _dequantize(node: Node, x: Array, scale: Array, *zero: Array) -> Array:
    """(x - zero point) scale, in float32 as the standard says."""
    shift = _aligned(node, x, zero[0], "zero point") if zero else 0
    product: Array = (x - shift).astype(np.float32) * _aligned(node, x, scale, "scale").astype(np.float32)
    return product


def _quantize(node: Node, x: Array, scale: Array, *zero: Array) -> Array:
    """round(x / scale) + zero point, halves to the even number, cut to the range of the element type."""
    low, high = limits_of(node)
    shift = _aligned(node, x, zero[0], "zero point") if zero else 0
    steps = np.rint(x.astype(np.float32) / _aligned(node, x, scale, "scale").astype(np.float32))
    return np.asarray(np.clip(steps + shift, low, high)).astype(np.int64)


def _size(node: Node, x: Array, *parameters: Array) -> int:
    return math.prod(x.shape)


ROWS: Dict[str, Row] = {
    "DequantizeLinear": Row(_dequantize, _size),
    "QuantizeLinear": Row(_quantize, _size),
}
