"""Operators on quantised operands, in the terms of the operators that they are on real numbers.

The operands of a QLinear operator are dequantised, and its result is quantised. The Integer operators
subtract zero points. Their sums are exact up to 2^24, beyond that they have the relative error of float32.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.schema import CONTRIB_DOMAIN, MAX_LIST, STANDARD_DOMAINS
from cnnviz.reader.parts import Parts, Rewriting

__all__ = ["ROWS"]

_INT32 = 6  # TensorProto.INT32
_ANY_DOMAIN = (*STANDARD_DOMAINS, CONTRIB_DOMAIN)


def _conv(parts: Parts) -> List[Node]:
    """x, w and y with scales and zero points, and a bias in the steps of the sums."""
    inputs: Tuple[str, ...] = (parts.real(0, "x"), parts.real(3, "w", axis=0))
    if parts.input(8):
        step = parts.add("Mul", "step", (parts.input(1), parts.input(4)))
        inputs += (parts.add("DequantizeLinear", "bias", (parts.input(8), step), axis=0),)
    y = parts.add("Conv", "real", inputs, **parts.node.attributes)
    return parts.quantized(y, 6)


def _matmul(parts: Parts) -> List[Node]:
    """Scales in a list belong to the rows of the first operand and to the columns of the second."""
    y = parts.add("MatMul", "real", (parts.real(0, "a", axis=-2), parts.real(3, "b", axis=-1)))
    return parts.quantized(y, 6, axis=-2)


def _gemm(parts: Parts) -> List[Node]:
    """The sum alpha A' B' + C, with C in steps of alpha times both scales; y is real without a scale."""
    a = dict(parts.node.attributes)
    a["beta"] = a.get("alpha", 1.0)
    inputs: Tuple[str, ...] = (parts.real(0, "a"), parts.real(3, "b", axis=0 if a.get("transB") else 1))
    if parts.input(6):
        step = parts.add("Mul", "step", (parts.input(1), parts.input(4)))
        inputs += (parts.add("DequantizeLinear", "c", (parts.input(6), step), axis=-1),)
    if not parts.input(7):
        return parts.finish("Gemm", inputs, **a)
    return parts.quantized(parts.add("Gemm", "real", inputs, **a), 7)


def _binary(op: str) -> Callable[[Parts], List[Node]]:
    """The rule of an operator of two operands."""
    return lambda parts: parts.quantized(parts.add(op, "real", (parts.real(0, "a"), parts.real(3, "b"))), 6)


def _unary(op: str) -> Callable[[Parts], List[Node]]:
    """The rule of an operator of one operand."""

    def rule(parts: Parts) -> List[Node]:
        a = dict(parts.node.attributes)
        if a.pop("channels_last", 0):
            name = parts.node.op
            raise UnsupportedModelError(f"{name} (channels_last=1)", [name])
        return parts.quantized(parts.add(op, "real", (parts.real(0, "x"),), **a), 3)

    return rule


def _softmax(parts: Parts) -> List[Node]:
    """The meaning of the axis is that of the opset in an attribute."""
    a = dict(parts.node.attributes)
    if a.pop("opset", 13) < 13 and a.get("axis", -1) != -1:
        raise UnsupportedModelError(
            "QLinearSoftmax (of opsets before 13, over several axes)", ["QLinearSoftmax"]
        )
    return parts.quantized(parts.add("Softmax", "real", (parts.real(0, "x"),), **a), 3)


def _concat(parts: Parts) -> List[Node]:
    """The scale and the zero point of the result come first, then each input with its own."""
    if len(parts.node.inputs) % 3 != 2:
        given = f"has {len(parts.node.inputs)} inputs, expected two and three for each part"
        raise ModelFormatError(f"node {parts.node.name!r} (QLinearConcat): {given}")
    starts = range(2, len(parts.node.inputs), 3)
    inputs = tuple(parts.real(start, f"x{i}") for i, start in enumerate(starts))
    return parts.quantized(parts.add("Concat", "real", inputs, **parts.node.attributes), 0, like=2)


def _integers(parts: Parts, position: int, zero: int, axes: Tuple[int, ...]) -> str:
    """An operand in int32 without its zero point; one of several numbers gets `axes` behind its own."""
    label = "ab"[position]
    wide = parts.add("Cast", f"{label}32", (parts.input(position),), to=_INT32)
    shift = parts.input(zero)
    if not shift:
        return wide
    shift = parts.add("Cast", f"{label}0", (shift,), to=_INT32)
    if axes and parts.rank(parts.input(zero)) == 1:
        shift = parts.add("Unsqueeze", f"{label}0/axes", (shift,), axes=axes)
    return parts.add("Sub", label, (wide, shift))


def _matmul_integer(parts: Parts) -> List[Node]:
    return parts.finish("MatMul", (_integers(parts, 0, 2, (1,)), _integers(parts, 1, 3, ())))


def _conv_integer(parts: Parts) -> List[Node]:
    ndim = parts.rank(parts.input(1)) or 4
    inputs = (_integers(parts, 0, 2, ()), _integers(parts, 1, 3, tuple(range(1, ndim))))
    return parts.finish("Conv", inputs, **parts.node.attributes)


_LAST = {"channels_last": "int"}

ROWS: Dict[str, Rewriting] = {
    "ConvInteger": Rewriting("Conv", (2, 4), _conv_integer, domains=STANDARD_DOMAINS),
    "MatMulInteger": Rewriting("MatMul", (2, 4), _matmul_integer, domains=STANDARD_DOMAINS),
    "QGemm": Rewriting("Gemm", (6, 9), _gemm),
    "QLinearAdd": Rewriting("Add", (7, 8), _binary("Add")),
    "QLinearAveragePool": Rewriting("AveragePool", (4, 5), _unary("AveragePool"), _LAST),
    "QLinearConcat": Rewriting("Concat", (5, MAX_LIST), _concat),
    "QLinearConv": Rewriting("Conv", (8, 9), _conv, domains=_ANY_DOMAIN),
    "QLinearGlobalAveragePool": Rewriting("GlobalAveragePool", (4, 5), _unary("GlobalAveragePool"), _LAST),
    "QLinearLeakyRelu": Rewriting("LeakyRelu", (4, 5), _unary("LeakyRelu")),
    "QLinearMatMul": Rewriting("MatMul", (8, 8), _matmul, domains=STANDARD_DOMAINS),
    "QLinearMul": Rewriting("Mul", (7, 8), _binary("Mul")),
    "QLinearSigmoid": Rewriting("Sigmoid", (4, 5), _unary("Sigmoid")),
    "QLinearSoftmax": Rewriting("Softmax", (4, 5), _softmax, {"opset": "int"}),
}
