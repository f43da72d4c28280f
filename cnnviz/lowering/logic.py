"""Lowering of comparisons, of logic and of choices: masks of ones and zeros, which have no gradient."""

from __future__ import annotations

import math
from typing import Callable, Dict

from cnnviz.graph.graph import Node
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS", "truth"]


def truth(low: Lowering, x: int, name: str) -> int:
    """1 where x is not 0, NaN included, else 0."""
    return _inverse(low, _inverse(low, x, name), name)


def _inverse(low: Lowering, x: int, name: str) -> int:
    return low.plan.equal(x, low.number(0.0), name=name)


def _greater(low: Lowering, node: Node) -> int:
    a, b = (low.id(name) for name in node.inputs)
    return low.plan.greater(a, b, name=node.name)


def _less(low: Lowering, node: Node) -> int:
    a, b = (low.id(name) for name in node.inputs)
    return low.plan.greater(b, a, name=node.name)


def _equal(low: Lowering, node: Node) -> int:
    a, b = (low.id(name) for name in node.inputs)
    return low.plan.equal(a, b, name=node.name)


def _or_equal(strict: Callable[[Lowering, Node], int]) -> Callable[[Lowering, Node], int]:
    """A comparison that also holds for equal numbers; with NaN neither holds."""
    return lambda low, node: low.plan.max(strict(low, node), _equal(low, node), name=node.name)


def _is_nan(low: Lowering, node: Node) -> int:
    """NaN alone differs from itself."""
    x = low.id(node.inputs[0])
    return _inverse(low, low.plan.equal(x, x, name=node.name), node.name)


def _is_infinite(low: Lowering, node: Node) -> int:
    x, a = low.id(node.inputs[0]), node.attributes
    ends = [math.inf] * bool(a["detect_positive"]) + [-math.inf] * bool(a["detect_negative"])
    masks = [low.plan.equal(x, low.number(end), name=node.name) for end in ends]
    if not masks:
        return low.plan.masked(x, low.number(0.0), name=node.name)
    return masks[0] if len(masks) == 1 else low.plan.max(masks[0], masks[1], name=node.name)


def _not(low: Lowering, node: Node) -> int:
    return _inverse(low, low.id(node.inputs[0]), node.name)


def _and(low: Lowering, node: Node) -> int:
    a, b = (low.id(name) for name in node.inputs)
    return low.plan.mul(a, b, name=node.name)


def _or(low: Lowering, node: Node) -> int:
    a, b = (low.id(name) for name in node.inputs)
    return low.plan.max(a, b, name=node.name)


def _xor(low: Lowering, node: Node) -> int:
    return _inverse(low, _equal(low, node), node.name)


def _where(low: Lowering, node: Node) -> int:
    """A choice as the sum of what each side keeps: 0 times the other side would be NaN for -inf."""
    condition, a, b = (low.id(name) for name in node.inputs)
    if node.inputs[0] in low.known:
        inverse = low.derived(node.inputs[0], "not", lambda mask: mask == 0)
    else:
        inverse = _inverse(low, condition, node.name)
    chosen = low.plan.masked(a, condition, name=node.name)
    other = low.plan.masked(b, inverse, name=node.name)
    return low.plan.add(chosen, other, name=node.name)


def _thresholded(low: Lowering, node: Node) -> int:
    """Keep x above alpha, else 0."""
    x = low.id(node.inputs[0])
    open_ = low.plan.greater(x, low.number(node.attributes["alpha"]), name=node.name)
    return low.plan.masked(x, open_, name=node.name)


def _shrink(low: Lowering, node: Node) -> int:
    """Give x - bias above lambd, x + bias below -lambd, else 0."""
    plan, x, name = low.plan, low.id(node.inputs[0]), node.name
    bias, limit = low.number(node.attributes["bias"]), low.number(node.attributes["lambd"])
    below = plan.greater(low.number(-node.attributes["lambd"]), x, name=name)
    above = plan.masked(plan.sub(x, bias, name=name), plan.greater(x, limit, name=name), name=name)
    return plan.add(above, plan.masked(plan.add(x, bias, name=name), below, name=name), name=name)


ROWS: Dict[str, Callable[[Lowering, Node], int]] = {
    "And": _and,
    "Equal": _equal,
    "Greater": _greater,
    "GreaterOrEqual": _or_equal(_greater),
    "IsInf": _is_infinite,
    "IsNaN": _is_nan,
    "Less": _less,
    "LessOrEqual": _or_equal(_less),
    "Not": _not,
    "Or": _or,
    "Shrink": _shrink,
    "ThresholdedRelu": _thresholded,
    "Where": _where,
    "Xor": _xor,
}
