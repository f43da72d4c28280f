"""Lowering of operators that move numbers: reshape, transpose, slice, pad, resize and the like."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.fold import BOOL, INT_TYPES, RESHAPES
from cnnviz.graph.graph import FLOAT, FLOAT_TYPES, Node
from cnnviz.graph.schema import MAX_LIST
from cnnviz.graph.shapes import axes_of, axis_of, expanded, sliced, split_sizes
from cnnviz.lowering.elementwise import whole
from cnnviz.lowering.indexing import part, taken
from cnnviz.lowering.logic import truth
from cnnviz.lowering.resize import resize_matrices
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS"]

_PAD_MODES = ("constant", "reflect", "edge", "wrap")


def _reshape(low: Lowering, node: Node) -> int:
    shape = RESHAPES[node.op](node, low.shape(node.inputs[0]))
    return low.plan.reshape(low.id(node.inputs[0]), shape=shape, name=node.name)


def _same(low: Lowering, node: Node) -> int:
    return low.id(node.inputs[0])


def _cast(low: Lowering, node: Node) -> int:
    """Activations are float32: a cast to bool makes a mask, one from floats to integers cuts fractions off.

    The first has no gradient, nor has the second: both are steps, like Floor. Other casts change nothing.
    """
    x, to, name = low.id(node.inputs[0]), node.attributes["to"], node.name
    if to == BOOL:
        return truth(low, x, name)
    if to in FLOAT_TYPES or node.attributes.get("source", FLOAT) not in FLOAT_TYPES:
        return x
    if to not in INT_TYPES:
        raise UnsupportedModelError(
            f"node {name!r} (Cast): activations cannot be cast to element type {to}", ["Cast"]
        )
    return whole(low, x, name)


def _transpose(low: Lowering, node: Node) -> int:
    x = low.id(node.inputs[0])
    ndim = len(low.plan.shape(x))
    perm = node.attributes["perm"]
    if perm is None:
        perm = tuple(reversed(range(ndim)))
    if sorted(perm) != list(range(ndim)):
        raise ValueError(f"perm {perm} is not an order of {ndim} dimensions")
    return low.plan.transpose(x, perm=perm, name=node.name)


def _concat(low: Lowering, node: Node) -> int:
    axis = axis_of(node.attributes["axis"], len(low.shape(node.inputs[0])))
    return low.plan.concat([low.id(name) for name in node.inputs], axis=axis, name=node.name)


def _slice(low: Lowering, node: Node) -> int:
    x = low.id(node.inputs[0])
    a = node.attributes
    start, count, step = sliced(low.plan.shape(x), a["starts"], a["ends"], a["axes"], a["steps"])
    return low.plan.slice(x, start=start, shape=count, step=step, name=node.name)


def _split(low: Lowering, node: Node) -> Tuple[int, ...]:
    x = low.id(node.inputs[0])
    shape, a = low.plan.shape(x), node.attributes
    axis = axis_of(a["axis"], len(shape))
    sizes = split_sizes(shape[axis], len(node.outputs), a["split"], a["num_outputs"])
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(part(low, x, axis, start, size, node.name) for start, size in zip(starts, sizes))


def _pad(low: Lowering, node: Node) -> int:
    """A pad; negative padding crops, after all other padding."""
    x = low.id(node.inputs[0])
    shape, a = low.plan.shape(x), node.attributes
    axes = tuple(range(len(shape))) if a["axes"] is None else a["axes"]
    if len(a["pads"]) != 2 * len(axes):
        raise ValueError(f"pads {a['pads']} must have two numbers for each of the axes {axes}")
    if a["mode"] not in _PAD_MODES:
        raise ValueError(f"mode {a['mode']!r} is none of {', '.join(_PAD_MODES)}")
    axes_of(axes, len(shape))
    before, after = [0] * len(shape), [0] * len(shape)
    for axis, first, last in zip(axes, a["pads"][: len(axes)], a["pads"][len(axes) :]):
        before[axis], after[axis] = first, last
    if a["mode"] == "wrap":
        return _wrapped(low, node, x, before, after)
    if any(n > 0 for n in before + after):
        x = low.plan.pad(
            x,
            before=[max(n, 0) for n in before],
            after=[max(n, 0) for n in after],
            mode=a["mode"],
            value=a["value"],
            name=node.name,
        )
    if all(n >= 0 for n in before + after):
        return x
    start = [max(-n, 0) for n in before]
    left = [n - first - max(-last, 0) for n, first, last in zip(low.plan.shape(x), start, after)]
    return low.plan.slice(x, start=start, shape=left, step=[1] * len(shape), name=node.name)


def _wrapped(low: Lowering, node: Node, x: int, before: Sequence[int], after: Sequence[int]) -> int:
    """Padding with the elements of the other end, as often as needed; negative padding crops first."""
    for axis, (n, first, last) in enumerate(zip(low.plan.shape(x), before, after)):
        if first == last == 0:
            continue
        kept = np.arange(max(-first, 0), max(n + min(last, 0), 0))
        if not kept.size:
            raise ValueError(f"pads {first} and {last} leave nothing of {n} elements along axis {axis}")
        low.spend(abs(first) + abs(last), node)
        places = np.arange(-max(first, 0), kept.size + max(last, 0)) % kept.size
        x = taken(low, node, x, axis, kept[places])
    return x


def _expand(low: Lowering, node: Node) -> int:
    """Expand as a product with ones, which broadcasts."""
    x = low.id(node.inputs[0])
    shape = low.plan.shape(x)
    target = expanded(shape, node.attributes["shape"])
    if target == shape:
        return x
    low.spend(math.prod(target), node)
    padded = (1,) * (len(target) - len(shape)) + shape
    ones: NDArray[Any] = np.ones([t if n == 1 else 1 for n, t in zip(padded, target)], np.float32)
    return low.plan.mul(x, low.array(ones, f"{node.name}/ones"), name=node.name)


def _tile(low: Lowering, node: Node) -> int:
    x, repeats = low.id(node.inputs[0]), node.attributes["repeats"]
    if len(repeats) != len(low.plan.shape(x)) or any(not 1 <= n <= MAX_LIST for n in repeats):
        raise ValueError(f"repeats {repeats} must be {len(low.plan.shape(x))} numbers from 1 to {MAX_LIST}")
    for axis, n in enumerate(repeats):
        if n > 1:
            x = low.plan.concat([x] * n, axis=axis, name=node.name)
    return x


def _depth_to_space(low: Lowering, node: Node) -> int:
    x, size = low.id(node.inputs[0]), node.attributes["blocksize"]
    n, c, h, w = _nchw(low, x)
    if size < 1 or c % (size * size):
        raise ValueError(f"{c} channels are not divisible by the square of blocksize {size}")
    depth = c // (size * size)
    if node.attributes["mode"] == "CRD":
        split, perm = (n, depth, size, size, h, w), (0, 1, 4, 2, 5, 3)
    else:
        split, perm = (n, size, size, depth, h, w), (0, 3, 4, 1, 5, 2)
    y = low.plan.reshape(x, shape=split, name=node.name)
    y = low.plan.transpose(y, perm=perm, name=node.name)
    return low.plan.reshape(y, shape=(n, depth, h * size, w * size), name=node.name)


def _space_to_depth(low: Lowering, node: Node) -> int:
    x, size = low.id(node.inputs[0]), node.attributes["blocksize"]
    n, c, h, w = _nchw(low, x)
    if size < 1 or h % size or w % size:
        raise ValueError(f"height and width {h} x {w} are not divisible by blocksize {size}")
    y = low.plan.reshape(x, shape=(n, c, h // size, size, w // size, size), name=node.name)
    perm = (0, 1, 3, 5, 2, 4) if node.attributes["mode"] == "CRD" else (0, 3, 5, 1, 2, 4)
    y = low.plan.transpose(y, perm=perm, name=node.name)
    return low.plan.reshape(y, shape=(n, c * size * size, h // size, w // size), name=node.name)


def _center_crop_pad(low: Lowering, node: Node) -> int:
    """Each axis cut, or padded with zeros, to a length; before it the smaller half of the difference."""
    x, a = low.id(node.inputs[0]), node.attributes
    shape = low.plan.shape(x)
    axes = range(len(shape)) if a["axes"] is None else [axis_of(axis, len(shape)) for axis in a["axes"]]
    if len(axes) != len(a["shape"]) or len(set(axes)) < len(axes) or any(n < 1 for n in a["shape"]):
        raise ValueError(f"shape {a['shape']} must have a positive number for each of the axes {list(axes)}")
    for axis, length in zip(axes, a["shape"]):
        n = shape[axis]
        before = abs(length - n) // 2
        if length < n:
            x = part(low, x, axis, before, length, node.name)
        elif length > n:
            pads = [[m if i == axis else 0 for i in range(len(shape))] for m in (before, length - n - before)]
            x = low.plan.pad(x, before=pads[0], after=pads[1], name=node.name)
    return x


def _reverse_sequence(low: Lowering, node: Node) -> int:
    """The first elements of each sequence in reverse order, as many as its known length."""
    x, a = low.id(node.inputs[0]), node.attributes
    shape, lengths, axes = low.plan.shape(x), a["sequence_lens"], (a["batch_axis"], a["time_axis"])
    if len(shape) < 2 or sorted(axes) != [0, 1]:
        raise ValueError(f"batch_axis {axes[0]} and time_axis {axes[1]} must be 0 and 1 of shape {shape}")
    batch, time = axes
    if len(lengths) != shape[batch] or any(not 0 <= n <= shape[time] for n in lengths):
        raise ValueError(f"sequence_lens {lengths} must be {shape[batch]} numbers from 0 to {shape[time]}")
    if len(set(lengths)) == 1:
        return _reversed(low, node, x, time, lengths[0])
    parts = [part(low, x, batch, i, 1, node.name) for i in range(len(lengths))]
    turned = [_reversed(low, node, one, time, n) for one, n in zip(parts, lengths)]
    return low.plan.concat(turned, axis=batch, name=node.name)


def _reversed(low: Lowering, node: Node, x: int, axis: int, count: int) -> int:
    """The first `count` elements along an axis in reverse order, then the others."""
    shape = list(low.plan.shape(x))
    rest, length = [0] * len(shape), shape[axis]
    if count < 2:
        return x
    first, step = list(rest), [1] * len(shape)
    first[axis], shape[axis], step[axis] = count - 1, count, -1
    y = low.plan.slice(x, start=first, shape=shape, step=step, name=node.name)
    if count == length:
        return y
    behind = part(low, x, axis, count, length - count, node.name)
    return low.plan.concat([y, behind], axis=axis, name=node.name)


def _nchw(low: Lowering, x: int) -> Tuple[int, int, int, int]:
    shape = low.plan.shape(x)
    if len(shape) != 4:
        raise ValueError(f"input has shape {shape}, expected N,C,H,W")
    return shape[0], shape[1], shape[2], shape[3]


def _resize(low: Lowering, node: Node) -> int:
    """Resize as one matrix product for each axis: every mode is linear and works on one axis at a time."""
    y = low.id(node.inputs[0])
    ndim = len(low.plan.shape(y))
    for axis, matrix in resize_matrices(node.attributes, low.plan.shape(y)):
        if axis == ndim - 1:
            y = low.plan.matmul(
                y, low.array(np.ascontiguousarray(matrix.T), f"{node.name}/w"), name=node.name
            )
        elif axis == ndim - 2:
            y = low.plan.matmul(low.array(matrix, f"{node.name}/h"), y, name=node.name)
        else:
            shape = low.plan.shape(y)
            rows = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
            y = low.plan.reshape(y, shape=rows, name=node.name)
            y = low.plan.matmul(low.array(matrix, f"{node.name}/{axis}"), y, name=node.name)
            y = low.plan.reshape(y, shape=(*shape[:axis], len(matrix), *shape[axis + 1 :]), name=node.name)
    return y


ROWS: Dict[str, Callable[[Lowering, Node], Union[int, Tuple[int, ...]]]] = {
    "Cast": _cast,
    "CenterCropPad": _center_crop_pad,
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Dropout": _same,
    "Expand": _expand,
    "Flatten": _reshape,
    "Identity": _same,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "ReverseSequence": _reverse_sequence,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _reshape,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
