"""Nodes whose inputs are known, evaluated with NumPy.

Exporters surround Reshape and Resize with small integer arithmetic on shapes, and spell constants in several
nodes. No such node reaches a plan: rewriting evaluates nodes of constants, lowering nodes of shapes.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, NamedTuple, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError, UnsupportedModelError
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

__all__ = ["BOOL", "RESHAPES", "Budget", "can_evaluate", "evaluate", "shape_value"]

Array = NDArray[Any]
Shape = Tuple[int, ...]

# The limit for the elements evaluated for one graph: 1 GiB at four bytes each. The largest constant of a
# known network is VGG's first linear layer, two fifths of that.
MAX_ELEMENTS = 1 << 28


class Budget:
    """A bound on the elements that all evaluations of one graph make together."""

    def __init__(self, elements: int = MAX_ELEMENTS) -> None:
        self._left = elements

    def spend(self, elements: int, node: Node) -> None:
        """Take elements that a node is about to make, or raise."""
        if elements > self._left:
            raise ModelFormatError(
                f"node {node.name!r} ({node.op}) makes {elements} elements; "
                f"at most {MAX_ELEMENTS} are computed in advance"
            )
        self._left -= elements


def can_evaluate(node: Node) -> bool:
    """Whether `evaluate` knows the node's operator."""
    return node.op in _ROWS


def evaluate(node: Node, inputs: Sequence[Array], budget: Budget) -> Tuple[Array, ...]:
    """The outputs of a node, float32 or int64, read-only.

    Raises
    ------
    ModelFormatError
        The node cannot be computed from these inputs, or its result is larger than the budget.
    """
    try:
        row = _ROWS[node.op]
        budget.spend(row.size(node, *inputs), node)
        with np.errstate(all="ignore"):
            result = row.function(node, *inputs)
    except (ModelFormatError, UnsupportedModelError):
        raise
    except (ValueError, IndexError, OverflowError, TypeError, ZeroDivisionError) as error:
        raise ModelFormatError(f"node {node.name!r} ({node.op}): {error}") from None
    return tuple(_constant(array) for array in (result if isinstance(result, tuple) else (result,)))


def shape_value(node: Node, shape: Tuple[int, ...]) -> Array:
    """The result of Shape or Size for a value of this shape."""
    if node.op == "Size":
        return _constant(np.array(math.prod(shape)))
    ends = slice(node.attributes["start"], node.attributes["end"])
    return _constant(np.array(shape[ends], np.int64))


def _constant(array: Array) -> Array:
    """The array as a graph holds it: float32 or int64, C-contiguous, read-only."""
    kind = np.float32 if array.dtype.kind == "f" else np.int64
    plain: Array = np.ascontiguousarray(array, kind).reshape(array.shape)  # undoes 0-d -> 1-d
    if plain.flags.writeable:
        plain = plain.view()
        plain.flags.writeable = False
    return plain


class _Row(NamedTuple):
    """One operator: its function of a node and the node's inputs, and the size of its result.

    `size` bounds the number of elements of all outputs from the inputs alone; in Python integers, which
    cannot overflow.
    """

    function: Callable[..., Union[Array, Tuple[Array, ...]]]
    size: Callable[..., int]


def _as_inputs(node: Node, *inputs: Array) -> int:
    """The elements of all inputs together."""
    return sum(math.prod(array.shape) for array in inputs)


def _broadcast(node: Node, *inputs: Array) -> int:
    shape: Tuple[int, ...] = ()
    for array in inputs:
        shape = expanded(shape, array.shape)
    return math.prod(shape)


def _constant_of_shape_size(node: Node, shape: Array) -> int:
    return math.prod(max(int(n), 0) for n in shape.ravel()[:64])


def _expand_size(node: Node, x: Array) -> int:
    return math.prod(expanded(x.shape, node.attributes["shape"]))


def _gather_size(node: Node, x: Array, indices: Array) -> int:
    axis = axis_of(node.attributes["axis"], x.ndim)
    return math.prod(x.shape[:axis] + x.shape[axis + 1 :] + indices.shape)


def _range_size(node: Node, *limits: Array) -> int:
    start, limit, delta = (float(array.item()) for array in limits)
    return max(math.ceil((limit - start) / delta), 0)


def _tile_size(node: Node, x: Array) -> int:
    repeats: Sequence[int] = node.attributes["repeats"]
    return math.prod(x.shape) * math.prod(max(n, 0) for n in repeats)


def _constant_of_shape(node: Node, shape: Array) -> Array:
    value = node.attributes["value"]
    if value is None:
        value = np.zeros(1, np.float32)
    if value.size != 1 or shape.ndim != 1 or shape.size > 8 or shape.dtype.kind != "i":
        raise ValueError(
            f"value has {value.size} elements, not 1, or {shape.tolist()[:9]} is no list of up to 8 integers"
        )
    return np.full(tuple(shape.tolist()), value.item(), value.dtype)


def _cast(node: Node, x: Array) -> Array:
    to = node.attributes["to"]
    if to == BOOL:
        return np.not_equal(x, 0)
    if to in FLOAT_TYPES:
        return x.astype(np.float32)
    if to in _INT_TYPES:
        return x.astype(np.int64)
    raise UnsupportedModelError(f"node {node.name!r} (Cast): element type {to} is not supported", ["Cast"])


#: TensorProto.BOOL
BOOL = 9
_INT_TYPES = frozenset({2, 3, 4, 5, 6, 7, 12, 13})  # TensorProto's integers of 8 to 64 bits


def _gather(node: Node, x: Array, indices: Array) -> Array:
    axis = axis_of(node.attributes["axis"], x.ndim)
    length = x.shape[axis]
    if indices.size and not (-length <= int(indices.min()) and int(indices.max()) < length):
        raise ValueError(f"an index is out of range for {length} elements")
    return np.take(x, indices, axis=axis)


def _divide(node: Node, a: Array, b: Array) -> Array:
    """A quotient; integers divide towards zero, as in C."""
    if "f" in (a.dtype.kind, b.dtype.kind):
        return a / b
    _no_zeros(b)
    quotient: Array = np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))
    return quotient


def _modulo(node: Node, a: Array, b: Array) -> Array:
    if "f" not in (a.dtype.kind, b.dtype.kind):
        _no_zeros(b)
    return np.fmod(a, b) if node.attributes["fmod"] else np.mod(a, b)


def _no_zeros(divisor: Array) -> None:
    if not divisor.all():
        raise ValueError("division of integers by zero")


def _power(node: Node, a: Array, b: Array) -> Array:
    """A power, which has the type of its base in ONNX."""
    powered: Array = np.power(a.astype(np.float64), b)
    return powered.astype(a.dtype)


def _range(node: Node, start: Array, limit: Array, delta: Array) -> Array:
    dtype = np.result_type(start.dtype, limit.dtype, delta.dtype)
    return np.arange(start.item(), limit.item(), delta.item(), dtype=dtype)


def _reduce(function: Callable[..., Any]) -> Callable[..., Array]:
    """A reduction whose result has its input's type: a mean of integers is cut to an integer."""

    def reduced(node: Node, x: Array) -> Array:
        axes = node.attributes["axes"]
        if not axes and node.attributes["noop_with_empty_axes"]:
            return x
        over = axes_of(axes, x.ndim) if axes else None
        found = function(x, axis=over, keepdims=bool(node.attributes["keepdims"]))
        return np.asarray(found).astype(x.dtype)

    return reduced


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


def _tile(node: Node, x: Array) -> Array:
    repeats = node.attributes["repeats"]
    if len(repeats) != x.ndim or any(n < 0 for n in repeats):
        raise ValueError(f"repeats {repeats} do not fit {x.ndim} dimensions")
    return np.tile(x, repeats)


def _transpose(node: Node, x: Array) -> Array:
    return np.transpose(x, node.attributes["perm"])


def _plain(function: Callable[..., Any]) -> Callable[..., Array]:
    """A NumPy function of the inputs alone."""
    return lambda node, *inputs: np.asarray(function(*inputs))


def _nary(function: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    """A NumPy function of two arrays, applied from left to right to any number of inputs."""

    def folded(node: Node, *inputs: Array) -> Array:
        result = inputs[0]
        for array in inputs[1:]:
            result = np.asarray(function(result, array))
        return result

    return folded


_ROWS: Dict[str, _Row] = {
    "Abs": _Row(_plain(np.abs), _as_inputs),
    "Add": _Row(_plain(np.add), _broadcast),
    "And": _Row(_plain(np.logical_and), _broadcast),
    "Cast": _Row(_cast, _as_inputs),
    "Ceil": _Row(_plain(np.ceil), _as_inputs),
    "Concat": _Row(
        lambda node, *xs: np.concatenate(xs, axis_of(node.attributes["axis"], xs[0].ndim)), _as_inputs
    ),
    "ConstantOfShape": _Row(_constant_of_shape, _constant_of_shape_size),
    "Div": _Row(_divide, _broadcast),
    "Dropout": _Row(_plain(lambda x: x), _as_inputs),
    "Equal": _Row(_plain(np.equal), _broadcast),
    "Expand": _Row(
        lambda node, x: np.broadcast_to(x, expanded(x.shape, node.attributes["shape"])), _expand_size
    ),
    "Flatten": _Row(_reshape, _as_inputs),
    "Floor": _Row(_plain(np.floor), _as_inputs),
    "Gather": _Row(_gather, _gather_size),
    "Greater": _Row(_plain(np.greater), _broadcast),
    "Identity": _Row(_plain(lambda x: x), _as_inputs),
    "Less": _Row(_plain(np.less), _broadcast),
    "Max": _Row(_nary(np.maximum), _broadcast),
    "Min": _Row(_nary(np.minimum), _broadcast),
    "Mod": _Row(_modulo, _broadcast),
    "Mul": _Row(_plain(np.multiply), _broadcast),
    "Neg": _Row(_plain(np.negative), _as_inputs),
    "Not": _Row(_plain(np.logical_not), _as_inputs),
    "Or": _Row(_plain(np.logical_or), _broadcast),
    "Pow": _Row(_power, _broadcast),
    "Range": _Row(_range, _range_size),
    "ReduceMean": _Row(_reduce(np.mean), _as_inputs),
    "ReduceProd": _Row(_reduce(np.prod), _as_inputs),
    "ReduceSum": _Row(_reduce(np.sum), _as_inputs),
    "Reshape": _Row(_reshape, _as_inputs),
    "Shape": _Row(lambda node, x: shape_value(node, x.shape), _as_inputs),
    "Size": _Row(lambda node, x: shape_value(node, x.shape), _as_inputs),
    "Slice": _Row(_slice, _as_inputs),
    "Split": _Row(_split, _as_inputs),
    "Sqrt": _Row(_plain(np.sqrt), _as_inputs),
    "Squeeze": _Row(_reshape, _as_inputs),
    "Sub": _Row(_plain(np.subtract), _broadcast),
    "Sum": _Row(_nary(np.add), _broadcast),
    "Tile": _Row(_tile, _tile_size),
    "Transpose": _Row(_transpose, _as_inputs),
    "Unsqueeze": _Row(_reshape, _as_inputs),
    "Where": _Row(lambda node, condition, a, b: np.where(condition != 0, a, b), _broadcast),
}
