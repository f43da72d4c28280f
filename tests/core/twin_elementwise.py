"""Twins of the elementwise operators, each a function and its derivative; see `twin.py`."""

from __future__ import annotations

import math
from typing import Callable, Tuple

import numpy as np
from twin import Array, Twin, unbroadcast


def _binary(
    value: Callable[..., Array], da: Callable[..., Array], db: Callable[..., Array]
) -> Callable[..., Twin]:
    def twin(a: Array, b: Array) -> Twin:
        y = value(a, b)

        def backward(dy: Array) -> Tuple[Array, ...]:
            return unbroadcast(dy * da(a, b), a.shape), unbroadcast(dy * db(a, b), b.shape)

        return y, backward

    return twin


def _half_at_ties(first: Array, second: Array) -> Array:
    return np.where(first == second, 0.5, first > second)


add = _binary(np.add, lambda a, b: 1.0, lambda a, b: 1.0)
sub = _binary(np.subtract, lambda a, b: 1.0, lambda a, b: -1.0)
mul = _binary(np.multiply, lambda a, b: b, lambda a, b: a)
div = _binary(np.divide, lambda a, b: 1 / b, lambda a, b: -a / b**2)
min_ = _binary(np.minimum, lambda a, b: _half_at_ties(b, a), lambda a, b: _half_at_ties(a, b))
max_ = _binary(np.maximum, lambda a, b: _half_at_ties(a, b), lambda a, b: _half_at_ties(b, a))
pow_ = _binary(np.power, lambda a, b: b * a ** (b - 1), lambda a, b: a**b * np.log(a))


def _flat(*numbers: Array) -> Array:
    return np.zeros(())


greater = _binary(lambda a, b: (a > b).astype(float), _flat, _flat)
equal = _binary(lambda a, b: (a == b).astype(float), _flat, _flat)
masked = _binary(lambda a, mask: np.where(mask != 0, a, 0.0), lambda a, mask: mask != 0, _flat)


def _unary(value: Callable[..., Array], slope: Callable[..., Array]) -> Callable[..., Twin]:
    def twin(x: Array, **parameters: float) -> Twin:
        return value(x, **parameters), lambda dy: (dy * slope(x, **parameters),)

    return twin


_erf = np.vectorize(math.erf)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0, 1)


def _hard_slope(x: Array, alpha: float, beta: float) -> Array:
    line = alpha * x + beta
    return np.where((line > 0) & (line < 1), alpha, 0.0)


def _bell(x: Array) -> Array:
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


sigmoid = _unary(_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x))
tanh = _unary(np.tanh, lambda x: np.cosh(x) ** -2.0)
exp = _unary(np.exp, np.exp)
log = _unary(np.log, lambda x: 1 / x)
sqrt = _unary(np.sqrt, lambda x: 0.5 / np.sqrt(x))
neg = _unary(np.negative, lambda x: -np.ones_like(x))
abs_ = _unary(np.abs, np.sign)
sign = _unary(np.sign, _flat)
floor = _unary(np.floor, _flat)
ceil = _unary(np.ceil, _flat)
round_ = _unary(np.round, _flat)
sin = _unary(np.sin, np.cos)
cos = _unary(np.cos, lambda x: -np.sin(x))
tan = _unary(np.tan, lambda x: np.cos(x) ** -2.0)
atan = _unary(np.arctan, lambda x: 1 / (1 + x**2))
erf = _unary(_erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-(x**2)))
softplus = _unary(lambda x: np.logaddexp(0, x), _sigmoid)
elu = _unary(
    lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)),
    lambda x, alpha: np.where(x > 0, 1, alpha * np.exp(x)),
)
celu = _unary(
    lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x / alpha)),
    lambda x, alpha: np.where(x > 0, 1, np.exp(x / alpha)),
)
selu = _unary(
    lambda x, alpha, gamma: gamma * np.where(x > 0, x, alpha * np.expm1(x)),
    lambda x, alpha, gamma: gamma * np.where(x > 0, 1, alpha * np.exp(x)),
)
hard_sigmoid = _unary(_hard_sigmoid, _hard_slope)
hard_swish = _unary(
    lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    lambda x: _hard_sigmoid(x, 1 / 6, 0.5) + x * _hard_slope(x, 1 / 6, 0.5),
)
silu = _unary(lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) + x * _sigmoid(x) * _sigmoid(-x))
gelu = _unary(
    lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    lambda x: 0.5 * (1 + _erf(x / math.sqrt(2))) + x * _bell(x),
)
quantize = _unary(
    lambda x, low, high: np.clip(np.round(x), low, high), lambda x, low, high: (low <= x) & (x <= high)
)
detach = _unary(lambda x: x, _flat)

#: The functions whose derivatives are the gradients of operators that round, or cut the gradient off.
STRAIGHT = {
    "quantize": _unary(lambda x, low, high: np.clip(x, low, high), _flat),
    "detach": _unary(np.zeros_like, _flat),
}
