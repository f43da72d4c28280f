"""Operators that compute each element by itself: arithmetic, comparisons, casts, scalar functions."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict

import numpy as np

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.folding.row import Array, Row, as_inputs, broadcast, nary, plain
from cnnviz.graph.graph import FLOAT_TYPES, Node

__all__ = ["BOOL", "INT_TYPES", "ROWS"]

BOOL = 9  # TensorProto.BOOL
#: TensorProto's integers of 8 to 64 bits. An int64 wraps around in a narrower one.
INT_TYPES: Dict[int, Any] = {
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    12: np.uint32,
    13: np.int64,  # uint64, which cnnviz holds as int64
}
_ERF_COST = 16  # math.erf is called for one element at a time


def _cast(node: Node, x: Array) -> Array:
    to = node.attributes["to"]
    if to == BOOL:
        return np.not_equal(x, 0)
    if to in FLOAT_TYPES:
        return x.astype(np.float32)
    if to in INT_TYPES:
        return x.astype(np.int64).astype(INT_TYPES[to])
    raise UnsupportedModelError(f"node {node.name!r} (Cast): element type {to} is not supported", ["Cast"])


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


def _bit_shift(node: Node, a: Array, b: Array) -> Array:
    """Bits moved by b places; the reader cuts off what leaves the type on the left."""
    if node.attributes["direction"] not in ("LEFT", "RIGHT"):
        raise ValueError(f"direction is {node.attributes['direction']!r}, not 'LEFT' or 'RIGHT'")
    return np.left_shift(a, b) if node.attributes["direction"] == "LEFT" else np.right_shift(a, b)


def _no_zeros(divisor: Array) -> None:
    if not divisor.all():
        raise ValueError("division of integers by zero")


def _power(node: Node, a: Array, b: Array) -> Array:
    """A power, which has the type of its base in ONNX."""
    powered: Array = np.power(a.astype(np.float64), b)
    return powered.astype(a.dtype)


def _mean(node: Node, *inputs: Array) -> Array:
    total: Array = sum(array.astype(np.float64) for array in inputs) / len(inputs)  # type: ignore[assignment]
    return total


def _clip(node: Node, x: Array) -> Array:
    """The numbers between the limits; a limit that is absent is infinite and changes no integer."""
    low, high = node.attributes["min"], node.attributes["max"]
    if low != -math.inf:
        x = np.maximum(x, np.asarray(low, x.dtype))
    return x if high == math.inf else np.minimum(x, np.asarray(high, x.dtype))


def _is_infinite(node: Node, x: Array) -> Array:
    a = node.attributes
    positive, negative = (
        (x == np.inf) & bool(a["detect_positive"]),
        (x == -np.inf) & bool(a["detect_negative"]),
    )
    return positive | negative


def _real(function: Callable[[Array], Any]) -> Row:
    """A scalar function, computed in float64."""
    return Row(lambda node, x: np.asarray(function(x.astype(np.float64))), as_inputs)


def _real_of(function: Callable[..., Any]) -> Row:
    """A scalar function that reads attributes of its node, computed in float64."""
    return Row(lambda node, x: np.asarray(function(node.attributes, x.astype(np.float64))), as_inputs)


def _erf(x: Array) -> Array:
    return np.fromiter(map(math.erf, x.ravel()), np.float64, x.size).reshape(x.shape)


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * np.tanh(0.5 * x) + 0.5)


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(0.0, x))


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _celu(a: Any, x: Array) -> Array:
    return np.maximum(x, 0) + a["alpha"] * np.expm1(np.minimum(x, 0) / a["alpha"])


def _gelu(node: Node, x: Array) -> Array:
    x = x.astype(np.float64)
    if node.attributes["approximate"] == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.asarray(np.clip(alpha * x + beta, 0, 1))


def _erf_size(node: Node, x: Array) -> int:
    return _ERF_COST * math.prod(x.shape)


_ACTIVATIONS: Dict[str, Row] = {
    "Celu": _real_of(_celu),
    "Clip": Row(_clip, as_inputs),
    "Elu": _real_of(lambda a, x: _elu(x, a["alpha"])),
    "Gelu": Row(_gelu, _erf_size),
    "HardSigmoid": _real_of(lambda a, x: _hard_sigmoid(x, a["alpha"], a["beta"])),
    "HardSwish": _real(lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5)),
    "LeakyRelu": _real_of(lambda a, x: np.where(x < 0, a["alpha"] * x, x)),
    "Mish": _real(lambda x: x * np.tanh(_softplus(x))),
    "PRelu": Row(plain(lambda x, slope: np.where(x < 0, slope * x, x)), broadcast),
    "Relu": Row(plain(lambda x: np.maximum(x, 0)), as_inputs),
    "Selu": _real_of(lambda a, x: a["gamma"] * _elu(x, a["alpha"])),
    "Sigmoid": _real(_sigmoid),
    "Softplus": _real(_softplus),
    "Swish": _real_of(lambda a, x: x * _sigmoid(a["alpha"] * x)),
    "Tanh": _real(np.tanh),
}

_FUNCTIONS: Dict[str, Row] = {
    "Abs": Row(plain(np.abs), as_inputs),
    "Acos": _real(np.arccos),
    "Acosh": _real(np.arccosh),
    "Asin": _real(np.arcsin),
    "Asinh": _real(np.arcsinh),
    "Atan": _real(np.arctan),
    "Atanh": _real(np.arctanh),
    "BitwiseNot": Row(plain(np.invert), as_inputs),
    "Cast": Row(_cast, as_inputs),
    "Ceil": Row(plain(np.ceil), as_inputs),
    "Cos": _real(np.cos),
    "Cosh": _real(np.cosh),
    "Dropout": Row(plain(lambda x: x), as_inputs),
    "Erf": Row(plain(lambda x: _erf(x.astype(np.float64))), _erf_size),
    "Exp": _real(np.exp),
    "Floor": Row(plain(np.floor), as_inputs),
    "Identity": Row(plain(lambda x: x), as_inputs),
    "IsInf": Row(_is_infinite, as_inputs),
    "IsNaN": Row(plain(np.isnan), as_inputs),
    "Log": _real(np.log),
    "Neg": Row(plain(np.negative), as_inputs),
    "Not": Row(plain(np.logical_not), as_inputs),
    "Reciprocal": _real(np.reciprocal),
    "Round": Row(plain(np.rint), as_inputs),  # halves to the even number, in ONNX too
    "Sign": Row(plain(np.sign), as_inputs),
    "Sin": _real(np.sin),
    "Sinh": _real(np.sinh),
    "Sqrt": Row(plain(np.sqrt), as_inputs),
    "Tan": _real(np.tan),
}

_SEVERAL: Dict[str, Row] = {
    "Add": Row(plain(np.add), broadcast),
    "And": Row(plain(np.logical_and), broadcast),
    "BitShift": Row(_bit_shift, broadcast),
    "BitwiseAnd": Row(plain(np.bitwise_and), broadcast),
    "BitwiseOr": Row(plain(np.bitwise_or), broadcast),
    "BitwiseXor": Row(plain(np.bitwise_xor), broadcast),
    "Div": Row(_divide, broadcast),
    "Equal": Row(plain(np.equal), broadcast),
    "Greater": Row(plain(np.greater), broadcast),
    "GreaterOrEqual": Row(plain(np.greater_equal), broadcast),
    "Less": Row(plain(np.less), broadcast),
    "LessOrEqual": Row(plain(np.less_equal), broadcast),
    "Max": Row(nary(np.maximum), broadcast),
    "Mean": Row(_mean, broadcast),
    "Min": Row(nary(np.minimum), broadcast),
    "Mod": Row(_modulo, broadcast),
    "Mul": Row(plain(np.multiply), broadcast),
    "Or": Row(plain(np.logical_or), broadcast),
    "Pow": Row(_power, broadcast),
    "Sub": Row(plain(np.subtract), broadcast),
    "Sum": Row(nary(np.add), broadcast),
    "Where": Row(lambda node, condition, a, b: np.where(condition != 0, a, b), broadcast),
    "Xor": Row(plain(np.logical_xor), broadcast),
}

ROWS: Dict[str, Row] = {**_ACTIVATIONS, **_FUNCTIONS, **_SEVERAL}
