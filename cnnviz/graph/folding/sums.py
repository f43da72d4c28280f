"""Operators whose elements depend on many others: reductions, running sums, products, normalisation."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from cnnviz.graph.folding.row import Array, Row, as_inputs
from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import axes_of, axis_of, expanded

__all__ = ["ROWS"]

_WORK_SHIFT = 8  # a product's 2**8 multiplications count as one element


def _reduce(function: Callable[..., Any]) -> Row:
    """A reduction whose result has its input's type: a mean of integers is cut to an integer."""

    def reduced(node: Node, x: Array) -> Array:
        axes = node.attributes["axes"]
        if not axes and node.attributes["noop_with_empty_axes"]:
            over: Tuple[int, ...] = ()
        else:
            over = axes_of(axes, x.ndim) if axes else tuple(range(x.ndim))
        found = function(x, axis=over, keepdims=bool(node.attributes["keepdims"]))
        return np.asarray(found).astype(x.dtype)

    return Row(reduced, as_inputs)


def _sum_of(function: Callable[[Array], Any]) -> Callable[..., Any]:
    """The sum of a function of each element."""
    return lambda x, **over: np.sum(function(x), **over)


def _length(x: Array, **over: Any) -> Any:
    return np.sqrt(np.sum(np.square(x.astype(np.float64)), **over))


def _log_sum(x: Array, **over: Any) -> Any:
    return np.log(np.sum(x.astype(np.float64), **over))


def _log_sum_exp(x: Array, *, axis: Any, keepdims: bool) -> Any:
    wide = x.astype(np.float64)
    top = np.max(wide, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    found = np.log(np.sum(np.exp(wide - top), axis=axis, keepdims=True)) + top
    return found if keepdims else np.squeeze(found, axis=axis)


def _running_sum(node: Node, x: Array, axis: Array) -> Array:
    a, along = node.attributes, axis_of(int(axis.item()), x.ndim)
    x = np.flip(x, along) if a["reverse"] else x
    total: Array = np.cumsum(x, along, dtype=np.float64 if x.dtype.kind == "f" else np.int64)
    total = total - x if a["exclusive"] else total
    return np.flip(total, along) if a["reverse"] else total


def _softmax(node: Node, x: Array) -> Array:
    return np.exp(_log_softmax(node, x))


def _log_softmax(node: Node, x: Array) -> Array:
    axis = axis_of(node.attributes["axis"], x.ndim)
    wide = x.astype(np.float64)
    wide = wide - np.max(wide, axis=axis, keepdims=True)
    result: Array = wide - np.log(np.sum(np.exp(wide), axis=axis, keepdims=True))
    return result


def _matmul_size(node: Node, a: Array, b: Array) -> int:
    if min(a.ndim, b.ndim) < 1:
        raise ValueError(f"cannot multiply arrays of shapes {a.shape} and {b.shape}")
    outer = math.prod(expanded(a.shape[:-2], b.shape[:-2]))
    size = outer * math.prod(a.shape[-2:-1]) * math.prod(b.shape[-1:] if b.ndim > 1 else ())
    return size + (size * a.shape[-1] >> _WORK_SHIFT)


def _gemm_size(node: Node, a: Array, b: Array, *bias: Array) -> int:
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"cannot multiply arrays of shapes {a.shape} and {b.shape}")
    m, k = reversed(a.shape) if node.attributes["transA"] else a.shape
    size = m * b.shape[0 if node.attributes["transB"] else 1]
    return size + (size * k >> _WORK_SHIFT)


def _gemm(node: Node, a: Array, b: Array, *bias: Array) -> Array:
    at = node.attributes
    product: Array = at["alpha"] * ((a.T if at["transA"] else a) @ (b.T if at["transB"] else b))
    return product + np.broadcast_to(at["beta"] * bias[0], product.shape) if bias else product


def _lengths(equation: str, inputs: Tuple[Array, ...]) -> Dict[str, int]:
    """The length of each index of an Einsum; axes under an ellipsis have numbers, counted from its end."""
    terms = equation.split("->")[0].split(",")
    if len(terms) != len(inputs):
        raise ValueError(f"equation {equation!r} has {len(terms)} terms for {len(inputs)} inputs")
    lengths: Dict[str, int] = {}
    for term, array in zip(terms, inputs):
        before, dots, after = term.replace(" ", "").partition("...")
        hidden = array.ndim - len(before) - len(after) if dots else 0
        names: List[str] = [*before, *(f".{i}" for i in range(max(hidden, 0), 0, -1)), *after]
        if len(names) != array.ndim:
            raise ValueError(f"equation {equation!r} does not fit an input of shape {array.shape}")
        for name, length in zip(names, array.shape):
            lengths[name] = max(length, lengths.get(name, 0))
    return lengths


def _einsum_size(node: Node, *inputs: Array) -> int:
    return math.prod(_lengths(node.attributes["equation"], inputs).values())


def _einsum(node: Node, *inputs: Array) -> Array:
    return np.asarray(np.einsum(node.attributes["equation"].replace(" ", ""), *inputs))


def _batch_norm(node: Node, x: Array, scale: Array, bias: Array, mean: Array, var: Array) -> Array:
    if x.ndim < 2 or any(one.shape != x.shape[1:2] for one in (scale, bias, mean, var)):
        raise ValueError(f"scale, bias, mean and variance do not fit an input of shape {x.shape}")
    wide = [one.astype(np.float64).reshape((-1,) + (1,) * (x.ndim - 2)) for one in (scale, bias, mean, var)]
    factor = wide[0] / np.sqrt(wide[3] + node.attributes["epsilon"])
    return np.asarray((x - wide[2]) * factor + wide[1])


ROWS: Dict[str, Row] = {
    "BatchNormalization": Row(_batch_norm, as_inputs),
    "CumSum": Row(_running_sum, as_inputs),
    "Einsum": Row(_einsum, _einsum_size),
    "Gemm": Row(_gemm, _gemm_size),
    "LogSoftmax": Row(_log_softmax, as_inputs),
    "MatMul": Row(lambda node, a, b: np.asarray(np.matmul(a, b)), _matmul_size),
    "ReduceL1": _reduce(_sum_of(np.abs)),
    "ReduceL2": _reduce(_length),
    "ReduceLogSum": _reduce(_log_sum),
    "ReduceLogSumExp": _reduce(_log_sum_exp),
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _reduce(np.mean),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceSumSquare": _reduce(_sum_of(np.square)),
    "Softmax": Row(_softmax, as_inputs),
}
