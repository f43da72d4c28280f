"""Lowering of matrix products, normalisation, activations and arithmetic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph import Node
from cnnviz.shapes import axes_of, axis_of

if TYPE_CHECKING:
    from cnnviz.lower import Lowering

__all__ = ["ROWS"]

Array = NDArray[Any]


def _gemm(low: Lowering, node: Node) -> int:
    """Y = alpha A' B' + beta C; the factors go into the constants, where B and C are constants."""
    a = node.attributes
    x = low.id(node.inputs[0])
    if a["transA"]:
        x = low.plan.transpose(x, perm=(1, 0), name=node.name)
    w = _linear_weights(low, node, a["alpha"], transposed=bool(a["transB"]))
    c = node.inputs[2] if len(node.inputs) > 2 else ""
    if not c:
        return low.plan.linear(x, w, name=node.name)
    bias = _linear_bias(low, c, a["beta"], low.plan.shape(w)[0])
    if bias is not None:
        return low.plan.linear(x, w, bias, name=node.name)
    y = low.plan.linear(x, w, name=node.name)
    scaled = low.plan.mul(low.id(c), low.number(a["beta"]), name=node.name)
    return low.plan.add(y, scaled, name=node.name)


def _linear_weights(low: Lowering, node: Node, alpha: float, *, transposed: bool) -> int:
    """The second input as O,I, as `linear` wants it; `transposed`: it is O,I already."""
    name = node.inputs[1]
    shape = low.shape(name)
    if len(shape) != 2:
        raise ValueError(f"weights have shape {shape}, expected two dimensions")
    if name not in low.known:
        w = low.id(name) if transposed else low.plan.transpose(low.id(name), perm=(1, 0), name=node.name)
        return w if alpha == 1 else low.plan.mul(w, low.number(alpha), name=node.name)
    if transposed and alpha == 1:
        return low.id(name)
    form = f"O,I times {alpha!r}" + ("" if transposed else ", transposed")
    return low.derived(name, form, lambda w: np.float32(alpha) * (w if transposed else w.T))


def _linear_bias(low: Lowering, name: str, beta: float, outputs: int) -> Optional[int]:
    """A known C that is the same for each row, as a bias of O; None if it is not like that."""
    if name not in low.known:
        return None
    c = low.known[name]
    if c.shape == (outputs,) and beta == 1:
        return low.id(name)
    if c.size not in (1, outputs) or c.ndim > 2 or (c.ndim == 2 and c.shape[0] != 1):
        return None

    def as_bias(c: Array) -> Array:
        return np.full(outputs, np.float32(beta), np.float32) * c.reshape(-1).astype(np.float32)

    return low.derived(name, f"bias of {outputs} times {beta!r}", as_bias)


def _matmul(low: Lowering, node: Node) -> int:
    """NumPy's matmul: a vector is a row on the left and a column on the right."""
    left, right = (low.shape(name) for name in node.inputs)
    if not left or not right:
        raise ValueError(f"cannot multiply matrices of shapes {left} and {right}")
    if len(left) == 2 and len(right) == 2:
        w = _linear_weights(low, node, 1.0, transposed=False)
        return low.plan.linear(low.id(node.inputs[0]), w, name=node.name)
    a, b = (low.id(name) for name in node.inputs)
    if len(left) == 1:
        a = low.plan.reshape(a, shape=(1, *left), name=node.name)
    if len(right) == 1:
        b = low.plan.reshape(b, shape=(*right, 1), name=node.name)
    y = low.plan.matmul(a, b, name=node.name)
    shape = list(low.plan.shape(y))
    if len(right) == 1:
        del shape[-1]
    if len(left) == 1:
        del shape[-1 if len(right) == 1 else -2]
    return y if len(shape) == len(low.plan.shape(y)) else low.plan.reshape(y, shape=shape, name=node.name)


def _batch_normalization(low: Lowering, node: Node) -> int:
    x, scale, bias, mean, var = (low.id(name) for name in node.inputs)
    epsilon = node.attributes["epsilon"]
    return low.plan.batch_norm(x, scale, bias, mean, var, epsilon=epsilon, name=node.name)


def _unary(method: str) -> Callable[[Lowering, Node], int]:
    def row(low: Lowering, node: Node) -> int:
        value: int = getattr(low.plan, method)(low.id(node.inputs[0]), name=node.name)
        return value

    return row


def _binary(method: str) -> Callable[[Lowering, Node], int]:
    def row(low: Lowering, node: Node) -> int:
        a, b = (low.id(name) for name in node.inputs)
        value: int = getattr(low.plan, method)(a, b, name=node.name)
        return value

    return row


def _leaky_relu(low: Lowering, node: Node) -> int:
    return low.plan.leaky_relu(low.id(node.inputs[0]), slope=node.attributes["alpha"], name=node.name)


def _prelu(low: Lowering, node: Node) -> int:
    return low.plan.prelu(low.id(node.inputs[0]), low.id(node.inputs[1]), name=node.name)


def _clip(low: Lowering, node: Node) -> int:
    a = node.attributes
    return _clipped(low, node, low.id(node.inputs[0]), a["min"], a["max"])


def _clipped(low: Lowering, node: Node, x: int, minimum: float, maximum: float) -> int:
    """min(max(x, minimum), maximum): with crossed limits the upper one wins."""
    if (minimum, maximum) == (-math.inf, math.inf):
        return x
    if (minimum, maximum) == (0, math.inf):
        return low.plan.relu(x, name=node.name)
    return low.plan.clip(x, low=min(minimum, maximum), high=maximum, name=node.name)


def _hard_sigmoid(low: Lowering, node: Node) -> int:
    x, a = low.id(node.inputs[0]), node.attributes
    return _clipped(low, node, _line(low, node, x, a["alpha"], a["beta"]), 0.0, 1.0)


def _hard_swish(low: Lowering, node: Node) -> int:
    x = low.id(node.inputs[0])
    gate = _clipped(low, node, _line(low, node, x, 1 / 6, 0.5), 0.0, 1.0)
    return low.plan.mul(x, gate, name=node.name)


def _line(low: Lowering, node: Node, x: int, slope: float, offset: float) -> int:
    scaled = low.plan.mul(x, low.number(slope), name=node.name)
    return low.plan.add(scaled, low.number(offset), name=node.name)


def _swish(low: Lowering, node: Node) -> int:
    x, alpha = low.id(node.inputs[0]), node.attributes["alpha"]
    scaled = x if alpha == 1 else low.plan.mul(x, low.number(alpha), name=node.name)
    return low.plan.mul(x, low.plan.sigmoid(scaled, name=node.name), name=node.name)


def _softmax(method: str) -> Callable[[Lowering, Node], int]:
    def row(low: Lowering, node: Node) -> int:
        x = low.id(node.inputs[0])
        axis = axis_of(node.attributes["axis"], len(low.plan.shape(x)))
        value: int = getattr(low.plan, method)(x, axis=axis, name=node.name)
        return value

    return row


def _neg(low: Lowering, node: Node) -> int:
    return low.plan.mul(low.id(node.inputs[0]), low.number(-1.0), name=node.name)


def _sum(low: Lowering, node: Node) -> int:
    y = low.id(node.inputs[0])
    for name in node.inputs[1:]:
        y = low.plan.add(y, low.id(name), name=node.name)
    return y


def _mean(low: Lowering, node: Node) -> int:
    return low.plan.mul(_sum(low, node), low.number(1 / len(node.inputs)), name=node.name)


def _limit(low: Lowering, node: Node) -> int:
    """Max and Min of an activation and known numbers; max(x, 0) is how some exporters write ReLU."""
    fed = [name for name in node.inputs if name not in low.known]
    limits = [low.known[name] for name in node.inputs if name in low.known]
    if len(fed) != 1 or any(limit.size != 1 for limit in limits):
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): only an activation and single known numbers are supported",
            [node.op],
        )
    numbers = [limit.item() for limit in limits]
    x = low.id(fed[0])
    if node.op == "Max":
        return _clipped(low, node, x, max(numbers, default=-math.inf), math.inf)
    return _clipped(low, node, x, -math.inf, min(numbers, default=math.inf))


def _reduce(method: str) -> Callable[[Lowering, Node], int]:
    def row(low: Lowering, node: Node) -> int:
        x, a = low.id(node.inputs[0]), node.attributes
        ndim = len(low.plan.shape(x))
        if not a["axes"] and a["noop_with_empty_axes"]:
            return x
        axes: Tuple[int, ...] = axes_of(a["axes"], ndim) if a["axes"] else tuple(range(ndim))
        keepdims = bool(a["keepdims"])
        if method == "reduce_mean" and ndim == 4 and axes == (2, 3) and keepdims:
            return low.plan.global_average_pool(x, name=node.name)
        value: int = getattr(low.plan, method)(x, axes=axes, keepdims=keepdims, name=node.name)
        return value

    return row


ROWS: Dict[str, Callable[[Lowering, Node], int]] = {
    "Add": _binary("add"),
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Div": _binary("div"),
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax("log_softmax"),
    "MatMul": _matmul,
    "Max": _limit,
    "Mean": _mean,
    "Min": _limit,
    "Mul": _binary("mul"),
    "Neg": _neg,
    "PRelu": _prelu,
    "ReduceMean": _reduce("reduce_mean"),
    "ReduceSum": _reduce("reduce_sum"),
    "Relu": _unary("relu"),
    "Sigmoid": _unary("sigmoid"),
    "Softmax": _softmax("softmax"),
    "Sub": _binary("sub"),
    "Sum": _sum,
    "Swish": _swish,
    "Tanh": _unary("tanh"),
}
