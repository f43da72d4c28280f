"""Operators that move elements, or make arrays from sizes."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Sequence, Tuple

import numpy as np

from cnnviz.graph.folding.row import Array, Row, Shape, as_inputs
from cnnviz.graph.graph import FLOAT_TYPES, Node
from cnnviz.graph.shapes import (
    axes_of,
    axis_of,
    expanded,
    flattened,
    reshaped,
    sliced,
    split_sizes,
    squeezed,
    unsqueezed,
)

__all__ = ["RESHAPES", "ROWS", "eye_like", "shape_of"]


def shape_of(node: Node, shape: Shape) -> Array:
    """The result of Shape or Size for a value of this shape."""
    if node.op == "Size":
        return np.array(math.prod(shape))
    ends = slice(node.attributes["start"], node.attributes["end"])
    return np.array(shape[ends], np.int64)


def eye_like(node: Node, shape: Shape, kind: str = "f") -> Array:
    """The result of EyeLike for a matrix of this shape, in the matrix's `kind` of element without a dtype."""
    if len(shape) != 2:
        raise ValueError(f"input has shape {shape}, expected a matrix")
    dtype, k = node.attributes["dtype"], node.attributes["k"]
    is_float = kind == "f" if dtype is None else dtype in FLOAT_TYPES
    diagonal = np.arange(shape[1]) - np.arange(shape[0])[:, None] == k
    return diagonal.astype(np.float32 if is_float else np.int64)


def _constant_of_shape_size(node: Node, shape: Array) -> int:
    return math.prod(max(int(n), 0) for n in shape.ravel()[:64])


def _constant_of_shape(node: Node, shape: Array) -> Array:
    value = node.attributes["value"]
    if value is None:
        value = np.zeros(1, np.float32)
    if value.size != 1 or shape.ndim != 1 or shape.size > 8 or shape.dtype.kind != "i":
        raise ValueError(
            f"value has {value.size} elements, not 1, or {shape.tolist()[:9]} is no list of up to 8 integers"
        )
    return np.full(tuple(shape.tolist()), value.item(), value.dtype)


def _range_size(node: Node, *limits: Array) -> int:
    start, limit, delta = (float(array.item()) for array in limits)
    return max(math.ceil((limit - start) / delta), 0)


def _range(node: Node, start: Array, limit: Array, delta: Array) -> Array:
    dtype = np.result_type(start.dtype, limit.dtype, delta.dtype)
    return np.arange(start.item(), limit.item(), delta.item(), dtype=dtype)


def _reshaped(node: Node, shape: Shape) -> Shape:
    return reshaped(shape, node.attributes["shape"], allow_zero=bool(node.attributes["allowzero"]))


def _unsqueezed(node: Node, shape: Shape) -> Shape:
    if node.attributes["axes"] is None:
        raise ValueError("axes is missing")
    return unsqueezed(shape, node.attributes["axes"])


#: The operators that only change the shape, each with the function from its input's shape to its output's.
RESHAPES: Dict[str, Callable[[Node, Shape], Shape]] = {
    "Flatten": lambda node, shape: flattened(shape, node.attributes["axis"]),
    "Reshape": _reshaped,
    "Squeeze": lambda node, shape: squeezed(shape, node.attributes["axes"]),
    "Unsqueeze": _unsqueezed,
}


def _reshape(node: Node, x: Array) -> Array:
    return x.reshape(RESHAPES[node.op](node, x.shape))


def _concat(node: Node, *inputs: Array) -> Array:
    return np.concatenate(inputs, axis_of(node.attributes["axis"], inputs[0].ndim))


def _expand(node: Node, x: Array) -> Array:
    return np.broadcast_to(x, expanded(x.shape, node.attributes["shape"]))


def _expand_size(node: Node, x: Array) -> int:
    return math.prod(expanded(x.shape, node.attributes["shape"]))


def _slice(node: Node, x: Array) -> Array:
    a = node.attributes
    found = sliced(x.shape, a["starts"], a["ends"], a["axes"], a["steps"])
    for axis, (start, count, step) in enumerate(zip(*found)):
        x = np.take(x, start + step * np.arange(count), axis=axis)
    return x


def _split(node: Node, x: Array) -> Tuple[Array, ...]:
    a = node.attributes
    axis = axis_of(a["axis"], x.ndim)
    sizes = split_sizes(x.shape[axis], len(node.outputs), a["split"], a["num_outputs"])
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=axis))


def _tile_size(node: Node, x: Array) -> int:
    repeats: Sequence[int] = node.attributes["repeats"]
    return math.prod(x.shape) * math.prod(max(n, 0) for n in repeats)


def _tile(node: Node, x: Array) -> Array:
    repeats = node.attributes["repeats"]
    if len(repeats) != x.ndim or any(n < 0 for n in repeats):
        raise ValueError(f"repeats {repeats} do not fit {x.ndim} dimensions")
    return np.tile(x, repeats)


def _transpose(node: Node, x: Array) -> Array:
    return np.transpose(x, node.attributes["perm"])


def _depth_to_space(node: Node, x: Array) -> Array:
    size = _block_of(node, x)
    n, c, h, w = x.shape
    if c % (size * size):
        raise ValueError(f"{c} channels are not divisible by the square of blocksize {size}")
    depth = c // (size * size)
    if node.attributes["mode"] == "CRD":
        blocks = x.reshape(n, depth, size, size, h, w).transpose(0, 1, 4, 2, 5, 3)
    else:
        blocks = x.reshape(n, size, size, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, depth, h * size, w * size)


def _space_to_depth(node: Node, x: Array) -> Array:
    size = _block_of(node, x)
    n, c, h, w = x.shape
    if h % size or w % size:
        raise ValueError(f"height and width {h} x {w} are not divisible by blocksize {size}")
    blocks = x.reshape(n, c, h // size, size, w // size, size)
    order = (0, 1, 3, 5, 2, 4) if node.attributes["mode"] == "CRD" else (0, 3, 5, 1, 2, 4)
    return blocks.transpose(order).reshape(n, c * size * size, h // size, w // size)


def _block_of(node: Node, x: Array) -> int:
    size: int = node.attributes["blocksize"]
    if x.ndim != 4 or size < 1:
        raise ValueError(f"input has shape {x.shape}, expected N,C,H,W; blocksize {size} must be positive")
    return size


_PAD_MODES = ("constant", "edge", "reflect", "wrap")  # of ONNX, and by the same names of NumPy


def _pads(node: Node, x: Array) -> Sequence[Tuple[int, int]]:
    """The padding before and after each axis."""
    a = node.attributes
    axes = tuple(range(x.ndim)) if a["axes"] is None else a["axes"]
    if len(a["pads"]) != 2 * len(axes):
        raise ValueError(f"pads {a['pads']} must have two numbers for each of the axes {axes}")
    axes_of(axes, x.ndim)
    pads = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, a["pads"][: len(axes)], a["pads"][len(axes) :]):
        pads[axis] = (before, after)
    return pads


def _pad_size(node: Node, x: Array) -> int:
    return math.prod(
        n + max(before, 0) + max(after, 0) for n, (before, after) in zip(x.shape, _pads(node, x))
    )


def _pad(node: Node, x: Array) -> Array:
    """A pad; negative padding crops, after all other padding."""
    a, pads = node.attributes, _pads(node, x)
    if a["mode"] not in _PAD_MODES:
        raise ValueError(f"mode {a['mode']!r} is none of {', '.join(_PAD_MODES)}")
    value = {"constant_values": np.asarray(a["value"], x.dtype)} if a["mode"] == "constant" else {}
    grown: Any = np.pad(x, [(max(m, 0), max(n, 0)) for m, n in pads], a["mode"], **value)
    ends = [slice(max(-m, 0), size - max(-n, 0)) for (m, n), size in zip(pads, grown.shape)]
    found: Array = grown[tuple(ends)]
    return found


def _triangle(node: Node, x: Array, k: Any = 0) -> Array:
    """The upper or lower triangle of the last two axes; the other elements become 0."""
    diagonal = int(np.asarray(k).item())
    return np.triu(x, diagonal) if node.attributes["upper"] else np.tril(x, diagonal)


def _nonzero_size(node: Node, x: Array) -> int:
    return math.prod(x.shape) * max(x.ndim, 1)


ROWS: Dict[str, Row] = {
    "Concat": Row(_concat, as_inputs),
    "ConstantOfShape": Row(_constant_of_shape, _constant_of_shape_size),
    "DepthToSpace": Row(_depth_to_space, as_inputs),
    "Expand": Row(_expand, _expand_size),
    "EyeLike": Row(lambda node, x: eye_like(node, x.shape, x.dtype.kind), as_inputs),
    "Flatten": Row(_reshape, as_inputs),
    "NonZero": Row(lambda node, x: np.array(np.nonzero(np.atleast_1d(x))), _nonzero_size),
    "Pad": Row(_pad, _pad_size),
    "Range": Row(_range, _range_size),
    "Reshape": Row(_reshape, as_inputs),
    "Shape": Row(lambda node, x: shape_of(node, x.shape), as_inputs),
    "Size": Row(lambda node, x: shape_of(node, x.shape), as_inputs),
    "Slice": Row(_slice, as_inputs),
    "SpaceToDepth": Row(_space_to_depth, as_inputs),
    "Split": Row(_split, as_inputs),
    "Squeeze": Row(_reshape, as_inputs),
    "Tile": Row(_tile, _tile_size),
    "Transpose": Row(_transpose, as_inputs),
    "Trilu": Row(_triangle, as_inputs),
    "Unsqueeze": Row(_reshape, as_inputs),
}
