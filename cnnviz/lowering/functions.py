"""Lowering of functions that few networks have, composed of operators of the core."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Sequence

import numpy as np

from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import axes_of, axis_of
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS", "powers", "rooted"]

_TINY = 1e-9  # added to the deviation by MeanVarianceNormalization, as ONNX defines it


def _sinh(low: Lowering, node: Node) -> int:
    return _of_exponentials(low, node, low.plan.sub)


def _cosh(low: Lowering, node: Node) -> int:
    return _of_exponentials(low, node, low.plan.add)


def _of_exponentials(low: Lowering, node: Node, join: Callable[..., int]) -> int:
    """Half the sum or difference of exp(x) and exp(-x)."""
    plan, x, name = low.plan, low.id(node.inputs[0]), node.name
    up, down = plan.exp(x, name=name), plan.exp(plan.neg(x, name=name), name=name)
    return plan.mul(join(up, down, name=name), low.number(0.5), name=name)


def _root(low: Lowering, node: Node, squares: float, one: float) -> int:
    """The root of squares x^2 + one."""
    plan, x, name = low.plan, low.id(node.inputs[0]), node.name
    scaled = plan.mul(plan.mul(x, x, name=name), low.number(squares), name=name)
    return plan.sqrt(plan.add(scaled, low.number(one), name=name), name=name)


def _asin(low: Lowering, node: Node) -> int:
    """The angle whose tangent is x / sqrt(1 - x^2)."""
    quotient = low.plan.div(low.id(node.inputs[0]), _root(low, node, -1.0, 1.0), name=node.name)
    return low.plan.atan(quotient, name=node.name)


def _acos(low: Lowering, node: Node) -> int:
    return low.plan.sub(low.number(math.pi / 2), _asin(low, node), name=node.name)


def _asinh(low: Lowering, node: Node) -> int:
    """The sign of x times log(|x| + sqrt(x^2 + 1)), so that large numbers do not cancel; 0 is positive.

    Like those of sinh and atanh, the error is below 1e-7 near 0, which is all of a tiny x.
    """
    plan, x, name = low.plan, low.id(node.inputs[0]), node.name
    negative = plan.greater(low.number(0.0), x, name=name)
    sign = plan.sub(low.number(1.0), plan.mul(negative, low.number(2.0), name=name), name=name)
    total = plan.add(plan.mul(sign, x, name=name), _root(low, node, 1.0, 1.0), name=name)
    return plan.mul(sign, plan.log(total, name=name), name=name)


def _acosh(low: Lowering, node: Node) -> int:
    total = low.plan.add(low.id(node.inputs[0]), _root(low, node, 1.0, -1.0), name=node.name)
    return low.plan.log(total, name=node.name)


def _atanh(low: Lowering, node: Node) -> int:
    """Half of log(1 + x) - log(1 - x)."""
    plan, x, one, name = low.plan, low.id(node.inputs[0]), low.number(1.0), node.name
    above, below = plan.log(plan.add(one, x, name=name), name=name), plan.sub(one, x, name=name)
    both = plan.sub(above, plan.log(below, name=name), name=name)
    return plan.mul(both, low.number(0.5), name=name)


def _hardmax(low: Lowering, node: Node) -> int:
    """1 at the first of the largest numbers along an axis, else 0: without a gradient."""
    plan, x, name = low.plan, low.id(node.inputs[0]), node.name
    shape = plan.shape(x)
    axis = axis_of(node.attributes["axis"], len(shape))
    low.spend(shape[axis] ** 2, node)
    largest = plan.equal(x, plan.reduce_max(x, axes=[axis], keepdims=True, name=name), name=name)
    order = [*(i for i in range(len(shape)) if i != axis), axis]
    # Two axes at least before the rows, so that every batch runs the same kernel.
    lengths = [shape[i] for i in order]
    rows = plan.reshape(
        plan.transpose(largest, perm=order, name=name), shape=(*lengths[:-1], 1, lengths[-1]), name=name
    )
    upper = low.array(np.triu(np.ones((shape[axis],) * 2, np.float32)), f"{name}/ones")
    count = plan.matmul(rows, upper, name=name)
    first = plan.mul(rows, plan.equal(count, low.number(1.0), name=name), name=name)
    flat = plan.reshape(first, shape=lengths, name=name)
    return plan.transpose(flat, perm=np.argsort(order).tolist(), name=name)


def powers(low: Lowering, x: int, p: int, name: str) -> int:
    """Return |x|^p; a square is a product, which has a gradient at zero."""
    if p < 1:
        raise ValueError(f"p is {p}, expected at least 1")
    if p == 2:
        return low.plan.mul(x, x, name=name)
    size = low.plan.abs(x, name=name)
    return size if p == 1 else low.plan.pow(size, low.number(float(p)), name=name)


def rooted(low: Lowering, total: int, p: int, name: str) -> int:
    """Return the p-th root of a sum of powers; that of 0 is 0, and passes no gradient."""
    plan = low.plan
    if p == 1:
        return total
    safe = plan.add(total, plan.equal(total, low.number(0.0), name=name), name=name)
    root = plan.sqrt(safe, name=name) if p == 2 else plan.pow(safe, low.number(1 / p), name=name)
    return plan.masked(root, total, name=name)


def _length(low: Lowering, node: Node, axes: Sequence[int]) -> int:
    """The p-norm along axes, which stay as axes of 1."""
    p, name = node.attributes["p"], node.name
    terms = powers(low, low.id(node.inputs[0]), p, name)
    return rooted(low, low.plan.reduce_sum(terms, axes=axes, keepdims=True, name=name), p, name)


def _lp_normalization(low: Lowering, node: Node) -> int:
    """X over its norm along an axis; zeros stay zeros."""
    x, a = low.id(node.inputs[0]), node.attributes
    axis = axis_of(a["axis"], len(low.plan.shape(x)))
    if a["p"] not in (1, 2):
        raise ValueError(f"p is {a['p']}, expected 1 or 2")
    norm = _length(low, node, [axis])
    nothing = low.plan.equal(norm, low.number(0.0), name=node.name)
    return low.plan.div(x, low.plan.add(norm, nothing, name=node.name), name=node.name)


def _global_lp_pool(low: Lowering, node: Node) -> int:
    return _length(low, node, range(2, len(low.shape(node.inputs[0]))))


def _mean_variance(low: Lowering, node: Node) -> int:
    """(x - mean) / deviation along axes, by default those of the batch and of the picture."""
    plan, x, name = low.plan, low.id(node.inputs[0]), node.name
    axes = axes_of(node.attributes["axes"], len(plan.shape(x)))
    centred = plan.sub(x, plan.reduce_mean(x, axes=axes, keepdims=True, name=name), name=name)
    square = plan.mul(centred, centred, name=name)
    deviation = plan.sqrt(plan.reduce_mean(square, axes=axes, keepdims=True, name=name), name=name)
    return plan.div(centred, plan.add(deviation, low.number(_TINY), name=name), name=name)


ROWS: Dict[str, Callable[[Lowering, Node], Any]] = {
    "Acos": _acos,
    "Acosh": _acosh,
    "Asin": _asin,
    "Asinh": _asinh,
    "Atanh": _atanh,
    "Cosh": _cosh,
    "GlobalLpPool": _global_lp_pool,
    "Hardmax": _hardmax,
    "LpNormalization": _lp_normalization,
    "MeanVarianceNormalization": _mean_variance,
    "Sinh": _sinh,
}
