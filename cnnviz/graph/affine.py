"""Scale and shift per channel, folded into the weights of the operator before them.

Batch normalisation at inference is y = a x + b with a = scale / sqrt(var + epsilon) and b = bias - mean a,
per channel (Ioffe & Szegedy 2015, algorithm 2). Conv, ConvTranspose, Gemm and BatchNormalization are affine
per output channel themselves, so their weights can take the scale and the shift in. The folding is in
float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Node

__all__ = ["Affine", "Linear", "affine_of", "linear_of", "scaled_weights"]

Array = NDArray[Any]
Constants = Mapping[str, Array]


@dataclass(frozen=True)
class Affine:
    """The map y = scale x + shift; scale and shift are each a scalar or one number per channel."""

    scale: Array
    shift: Array


@dataclass(frozen=True)
class Linear:
    """An operator that can take an Affine in: its channels, and the rank of its result if known."""

    channels: int
    ndim: Optional[int]


def linear_of(node: Node, constants: Constants, ndim: Optional[int]) -> Optional[Linear]:
    """The Linear of a node; None when its weights are not all constants of the usual form.

    `ndim` is the rank of the node's result, None where it is not known.
    """
    rule = _LINEAR.get(node.op)
    weights = [constants.get(name) for name in node.inputs[1:] if name] if rule is not None else []
    if rule is None or not weights or any(array is None or array.dtype != np.float32 for array in weights):
        return None
    first, *others = (array for array in weights if array is not None)
    return rule(node, first, others, ndim)


def _linear_norm(node: Node, first: Array, others: Sequence[Array], ndim: Optional[int]) -> Optional[Linear]:
    usual = all(array.shape == first.shape and array.ndim == 1 for array in others)
    return Linear(first.size, ndim) if usual else None


def _linear_conv(node: Node, first: Array, others: Sequence[Array], ndim: Optional[int]) -> Optional[Linear]:
    usual = first.ndim >= 3 and all(array.shape == first.shape[:1] for array in others)
    return Linear(first.shape[0], first.ndim) if usual else None


def _linear_conv_transpose(
    node: Node, first: Array, others: Sequence[Array], ndim: Optional[int]
) -> Optional[Linear]:
    group = node.attributes["group"]
    if first.ndim < 3 or group < 1 or first.shape[0] % group:
        return None
    channels = first.shape[1] * group
    usual = all(array.shape == (channels,) for array in others)
    return Linear(channels, first.ndim) if usual else None


def _linear_gemm(node: Node, first: Array, others: Sequence[Array], ndim: Optional[int]) -> Optional[Linear]:
    if first.ndim != 2 or node.attributes["beta"] == 0:
        return None
    channels = first.shape[0 if node.attributes["transB"] else 1]
    usual = all(array.shape in ((channels,), (1, channels), (1,), ()) for array in others)
    return Linear(channels, 2) if usual else None


#: Each operator that can take an Affine in -> its Linear, from the node, its weights, its other constants and
#: the rank of its result.
_LINEAR: Dict[str, Callable[[Node, Array, Sequence[Array], Optional[int]], Optional[Linear]]] = {
    "BatchNormalization": _linear_norm,
    "Conv": _linear_conv,
    "ConvTranspose": _linear_conv_transpose,
    "Gemm": _linear_gemm,
}


def affine_of(node: Node, index: int, constants: Constants, linear: Linear) -> Optional[Affine]:
    """The Affine that a node applies to its input `index`, None when it is not constant per channel."""
    if node.op == "BatchNormalization":
        return _batch_normalization(node, index, constants, linear)
    rule = _ARITHMETIC.get(node.op)
    other = constants.get(node.inputs[1 - index]) if rule is not None else None
    number = None if other is None else _per_channel(other, linear)
    return None if rule is None or number is None else rule(number, index)


def _add(number: Array, index: int) -> Affine:
    return Affine(_ONE, number)


def _sub(number: Array, index: int) -> Affine:
    return Affine(_ONE, -number) if index == 0 else Affine(np.asarray(-1.0), number)


def _mul(number: Array, index: int) -> Affine:
    return Affine(number, _ZERO)


def _div(number: Array, index: int) -> Optional[Affine]:
    """Division by the constant; the constant divided by the input is not affine."""
    return Affine(1 / number, _ZERO) if index == 0 and np.all(number != 0) else None


_ZERO, _ONE = np.asarray(0.0), np.asarray(1.0)

#: Each operator with a constant -> its Affine, from the constant and the position of the input that varies.
_ARITHMETIC: Dict[str, Callable[[Array, int], Optional[Affine]]] = {
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
}


def _batch_normalization(node: Node, index: int, constants: Constants, linear: Linear) -> Optional[Affine]:
    parameters = [constants.get(name) for name in node.inputs[1:]]
    if index != 0 or any(array is None or array.shape != (linear.channels,) for array in parameters):
        return None
    scale, bias, mean, var = (array.astype(np.float64) for array in parameters if array is not None)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(var + node.attributes["epsilon"])
        return Affine(factor, bias - mean * factor)


def _per_channel(array: Array, linear: Linear) -> Optional[Array]:
    """A constant that broadcasts to the result of `linear` along its channels only: scalar or vector."""
    numbers: Array = array.astype(np.float64)
    if array.size == 1 and array.ndim <= (linear.ndim or 0):
        return numbers.reshape(())
    if linear.ndim is None or linear.ndim < 2 or array.ndim > linear.ndim:
        return None
    shape = (1,) * (linear.ndim - array.ndim) + array.shape
    usual = shape[1] == linear.channels and all(n == 1 for n in shape[:1] + shape[2:])
    return numbers.reshape(-1) if usual else None


@np.errstate(all="ignore")  # weights of a file may be infinite
def scaled_weights(node: Node, constants: Constants, affine: Affine) -> Dict[int, Array]:
    """The new constants of a node that takes an Affine in, by the position of the input."""
    if node.op == "BatchNormalization":
        scale, bias = (constants[name].astype(np.float64) for name in node.inputs[1:3])
        return {1: scale * affine.scale, 2: bias * affine.scale + affine.shift}
    w = constants[node.inputs[1]].astype(np.float64)
    channels = _channels(node, w)
    factor = np.broadcast_to(affine.scale, (channels,))
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    shift = affine.shift / node.attributes.get("beta", 1.0)  # Gemm multiplies the stored bias by beta
    bias = constants[node.inputs[2]].astype(np.float64).reshape(-1) if has_bias else np.zeros(1)
    return {1: w * _along(node, w, factor), 2: np.broadcast_to(bias * factor + shift, (channels,))}


def _channels(node: Node, w: Array) -> int:
    """The number of output channels of a node with weights w."""
    if node.op == "ConvTranspose":
        return int(w.shape[1] * node.attributes["group"])
    return int(w.shape[1] if _is_columns(node) else w.shape[0])


def _is_columns(node: Node) -> bool:
    """Whether the weights have an output channel in each column."""
    return node.op == "Gemm" and not node.attributes["transB"]


def _along(node: Node, w: Array, factor: Array) -> Array:
    """A factor for each output channel, in a shape that broadcasts to the weights w."""
    ones = (1,) * (w.ndim - 2)
    if node.op == "ConvTranspose":
        group = node.attributes["group"]
        return np.repeat(factor.reshape(group, w.shape[1]), w.shape[0] // group, axis=0).reshape(
            *w.shape[:2], *ones
        )
    return factor if _is_columns(node) else factor.reshape(-1, 1, *ones)
