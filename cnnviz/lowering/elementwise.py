"""Lowering of activations and arithmetic: mostly one operator of the core for one of ONNX."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from numpy.typing import NDArray

from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import axes_of, axis_of
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS", "whole"]

Array = NDArray[Any]


def _unary(method: str, **parameters: str) -> Callable[[Lowering, Node], int]:
    """The row of a function of one input; `parameters` names the attribute of each of its parameters."""

    def row(low: Lowering, node: Node) -> int:
        numbers = {name: node.attributes[attribute] for name, attribute in parameters.items()}
        value: int = getattr(low.plan, method)(low.id(node.inputs[0]), **numbers, name=node.name)
        return value

    return row


def _binary(method: str) -> Callable[[Lowering, Node], int]:
    """The row of a function of two inputs."""

    def row(low: Lowering, node: Node) -> int:
        a, b = (low.id(name) for name in node.inputs)
        value: int = getattr(low.plan, method)(a, b, name=node.name)
        return value

    return row


def _clip(low: Lowering, node: Node) -> int:
    a = node.attributes
    return _clipped(low, node, low.id(node.inputs[0]), a["min"], a["max"])


def _clipped(low: Lowering, node: Node, x: int, minimum: float, maximum: float) -> int:
    """A clip, min(max(x, minimum), maximum); where the limits cross, the upper one counts."""
    if (minimum, maximum) == (-math.inf, math.inf):
        return x
    if (minimum, maximum) == (0, math.inf):
        return low.plan.relu(x, name=node.name)
    return low.plan.clip(x, low=min(minimum, maximum), high=maximum, name=node.name)


def _swish(low: Lowering, node: Node) -> int:
    x, alpha = low.id(node.inputs[0]), node.attributes["alpha"]
    if alpha == 1:
        return low.plan.silu(x, name=node.name)
    gate = low.plan.sigmoid(low.plan.mul(x, low.number(alpha), name=node.name), name=node.name)
    return low.plan.mul(x, gate, name=node.name)


def _mish(low: Lowering, node: Node) -> int:
    x = low.id(node.inputs[0])
    gate = low.plan.tanh(low.plan.softplus(x, name=node.name), name=node.name)
    return low.plan.mul(x, gate, name=node.name)


def _gelu(low: Lowering, node: Node) -> int:
    x, approximate = low.id(node.inputs[0]), node.attributes["approximate"]
    if approximate == "none":
        return low.plan.gelu(x, name=node.name)
    if approximate != "tanh":
        raise ValueError(f"approximate is {approximate!r}, not 'none' or 'tanh'")
    return _gelu_by_tanh(low, x, node.name)


def _gelu_by_tanh(low: Lowering, x: int, name: str) -> int:
    """Hendrycks & Gimpel's x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).

    It is x sigmoid(2 sqrt(2 / pi) (...)), because 1 + tanh z = 2 sigmoid 2z.
    """
    plan = low.plan
    cube = plan.mul(plan.mul(x, x, name=name), x, name=name)
    inner = plan.add(x, plan.mul(cube, low.number(0.044715), name=name), name=name)
    twice = plan.mul(inner, low.number(2 * math.sqrt(2 / math.pi)), name=name)
    return plan.mul(x, plan.sigmoid(twice, name=name), name=name)


def _bias_gelu(low: Lowering, node: Node) -> int:
    return low.plan.gelu(_sum(low, node), name=node.name)


def _fast_gelu(low: Lowering, node: Node) -> int:
    """The approximation by tanh, of the input plus the bias if there is one."""
    return _gelu_by_tanh(low, _sum(low, node), node.name)


def _softsign(low: Lowering, node: Node) -> int:
    """The quotient x / (1 + |x|)."""
    x, name = low.id(node.inputs[0]), node.name
    return low.plan.div(x, low.plan.add(low.plan.abs(x, name=name), low.number(1.0), name=name), name=name)


def _reciprocal(low: Lowering, node: Node) -> int:
    return low.plan.div(low.number(1.0), low.id(node.inputs[0]), name=node.name)


def whole(low: Lowering, x: int, name: str) -> int:
    """Return x without its fraction, the next integer towards 0."""
    size = low.plan.floor(low.plan.abs(x, name=name), name=name)
    return low.plan.mul(low.plan.sign(x, name=name), size, name=name)


def _modulo(low: Lowering, node: Node) -> int:
    """The remainder a - b trunc(a / b) of C's fmod; without the attribute plus b, where the signs differ."""
    plan, name = low.plan, node.name
    a, b = (low.id(one) for one in node.inputs)
    times = whole(low, plan.div(a, b, name=name), name)
    part = plan.masked(plan.mul(b, times, name=name), times, name=name)  # an infinite b, no times, is 0
    rest = plan.sub(a, part, name=name)
    if node.attributes["fmod"]:
        return rest
    differ = plan.greater(low.number(0.0), plan.mul(rest, b, name=name), name=name)
    return plan.add(rest, plan.masked(b, differ, name=name), name=name)


def _pow(low: Lowering, node: Node) -> int:
    """A power; a square is a product, which is exact and has a gradient at zero."""
    x, exponent = node.inputs
    power = low.known.get(exponent)
    if power is not None and power.size == 1 and power.ndim <= len(low.shape(x)) and power.item() == 2:
        return low.plan.mul(low.id(x), low.id(x), name=node.name)
    return low.plan.pow(low.id(x), low.id(exponent), name=node.name)


def _softmax(method: str) -> Callable[[Lowering, Node], int]:
    def row(low: Lowering, node: Node) -> int:
        x = low.id(node.inputs[0])
        axis = axis_of(node.attributes["axis"], len(low.plan.shape(x)))
        value: int = getattr(low.plan, method)(x, axis=axis, name=node.name)
        return value

    return row


def _sum(low: Lowering, node: Node) -> int:
    y = low.id(node.inputs[0])
    for name in node.inputs[1:]:
        y = low.plan.add(y, low.id(name), name=node.name)
    return y


def _mean(low: Lowering, node: Node) -> int:
    return low.plan.mul(_sum(low, node), low.number(1 / len(node.inputs)), name=node.name)


def _limit(low: Lowering, node: Node) -> int:
    """Max or Min, with a known number a clip: some exporters write ReLU as max(x, 0)."""
    fed = [name for name in node.inputs if name not in low.known]
    limits = [low.known[name] for name in node.inputs if name in low.known]
    if len(fed) == 1 and all(limit.size == 1 and limit.ndim == 0 for limit in limits):
        numbers = [limit.item() for limit in limits]
        if node.op == "Max":
            return _clipped(low, node, low.id(fed[0]), max(numbers, default=-math.inf), math.inf)
        return _clipped(low, node, low.id(fed[0]), -math.inf, min(numbers, default=math.inf))
    build = low.plan.max if node.op == "Max" else low.plan.min
    y = low.id(node.inputs[0])
    for name in node.inputs[1:]:
        y = build(y, low.id(name), name=node.name)
    return y


def _square(low: Lowering, x: int, name: str) -> int:
    return low.plan.mul(x, x, name=name)


def _apply(method: str) -> Callable[[Lowering, int, str], int]:
    """A builder method of one input."""

    def apply(low: Lowering, x: int, name: str) -> int:
        value: int = getattr(low.plan, method)(x, name=name)
        return value

    return apply


_Step = Optional[Callable[[Lowering, int, str], int]]


def _reduce(method: str, *, before: _Step = None, after: _Step = None) -> Callable[[Lowering, Node], int]:
    """A reduction of the core, of `before` of each number; `after` of its result."""

    def row(low: Lowering, node: Node) -> int:
        x, a = low.id(node.inputs[0]), node.attributes
        x = x if before is None else before(low, x, node.name)
        x = _reduced(low, node, method, x, a["axes"], bool(a["keepdims"]))
        return x if after is None else after(low, x, node.name)

    return row


def _reduced(
    low: Lowering, node: Node, method: str, x: int, axes: Optional[Sequence[int]], keepdims: bool
) -> int:
    ndim = len(low.plan.shape(x))
    over: Tuple[int, ...] = axes_of(axes, ndim) if axes else tuple(range(ndim))
    if not axes and node.attributes["noop_with_empty_axes"]:
        if method in ("reduce_sum", "reduce_mean"):
            return x
        over = ()
    if method == "reduce_mean" and ndim == 4 and over == (2, 3) and keepdims:
        return low.plan.global_average_pool(x, name=node.name)
    value: int = getattr(low.plan, method)(x, axes=over, keepdims=keepdims, name=node.name)
    return value


ROWS: Dict[str, Callable[[Lowering, Node], int]] = {
    "Abs": _unary("abs"),
    "Add": _binary("add"),
    "Atan": _unary("atan"),
    "BiasGelu": _bias_gelu,
    "Ceil": _unary("ceil"),
    "Celu": _unary("celu", alpha="alpha"),
    "Clip": _clip,
    "Cos": _unary("cos"),
    "Div": _binary("div"),
    "Elu": _unary("elu", alpha="alpha"),
    "Erf": _unary("erf"),
    "Exp": _unary("exp"),
    "FastGelu": _fast_gelu,
    "Floor": _unary("floor"),
    "Gelu": _gelu,
    "HardSigmoid": _unary("hard_sigmoid", alpha="alpha", beta="beta"),
    "HardSwish": _unary("hard_swish"),
    "LeakyRelu": _unary("leaky_relu", slope="alpha"),
    "Log": _unary("log"),
    "LogSoftmax": _softmax("log_softmax"),
    "Max": _limit,
    "Mean": _mean,
    "Min": _limit,
    "Mish": _mish,
    "Mod": _modulo,
    "Mul": _binary("mul"),
    "Neg": _unary("neg"),
    "PRelu": _binary("prelu"),
    "Pow": _pow,
    "QuickGelu": _swish,
    "Reciprocal": _reciprocal,
    "ReduceL1": _reduce("reduce_sum", before=_apply("abs")),
    "ReduceL2": _reduce("reduce_l2"),
    "ReduceLogSum": _reduce("reduce_sum", after=_apply("log")),
    "ReduceLogSumExp": _reduce("reduce_log_sum_exp"),
    "ReduceMax": _reduce("reduce_max"),
    "ReduceMean": _reduce("reduce_mean"),
    "ReduceMin": _reduce("reduce_max", before=_apply("neg"), after=_apply("neg")),
    "ReduceProd": _reduce("reduce_prod"),
    "ReduceSum": _reduce("reduce_sum"),
    "ReduceSumSquare": _reduce("reduce_sum", before=_square),
    "Relu": _unary("relu"),
    "Round": _unary("round"),
    "Selu": _unary("selu", alpha="alpha", gamma="gamma"),
    "Sigmoid": _unary("sigmoid"),
    "Sign": _unary("sign"),
    "Sin": _unary("sin"),
    "Softmax": _softmax("softmax"),
    "Softplus": _unary("softplus"),
    "Softsign": _softsign,
    "Sqrt": _unary("sqrt"),
    "Sub": _binary("sub"),
    "Sum": _sum,
    "Swish": _swish,
    "Tan": _unary("tan"),
    "Tanh": _unary("tanh"),
}
