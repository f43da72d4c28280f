"""Quantised and fused operators in broken models: how to make each, its error, and a part of the message."""
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Any, Dict

import numpy as np
from malformed_models import F, Row, U, net, node, tensor
from onnx import NodeProto, TensorProto, numpy_helper


def contrib(op: str, *inputs: str, **attributes: Any) -> NodeProto:
    """A node of ONNX Runtime's domain."""
    return node(op, *inputs, domain="com.microsoft", **attributes)


def byte(name: str) -> TensorProto:
    return numpy_helper.from_array(np.uint8(0), name)


QUANTIZED: Dict[str, Row] = {
    "a scale of another axis for the picture": (lambda: net(node("QuantizeLinear", "x", "s"), initializers=[tensor("s", (5,))]), F, "scale of shape (5,) does not fit (1, 3, 8, 8) along axis 1"),
    "a scale along no axis": (lambda: net(node("DequantizeLinear", "x", "s", axis=4), initializers=[tensor("s", (3,))]), F, "axis 4"),
    "a picture in int32 steps": (lambda: net(node("QuantizeLinear", "x", "s", "z"), initializers=[tensor("s", ()), TensorProto(name="z", data_type=6, int32_data=[0])]), U, "element type 6"),
    "a quantised convolution without scales": (lambda: net(node("QLinearConv", *"xxx")), F, "the QLinearConv' (QLinearConv): has 3 inputs, expected 8 to 9"),
    "a quantised convolution of other channels": (lambda: net(node("QLinearConv", *"xszwszsz"), initializers=[tensor("w", (4, 5, 3, 3)), tensor("s", ()), byte("z")]), F, "channels"),
    "a sum of integers and nothing": (lambda: net(node("MatMulInteger", "x")), F, "has 1 inputs, expected 2 to 4"),
    "a quantised part without its scale": (lambda: net(contrib("QLinearConcat", *"szxszxs", axis=1), initializers=[tensor("s", ()), byte("z")]), F, "has 7 inputs, expected two and three for each part"),
    "a quantised pool of channels last": (lambda: net(contrib("QLinearGlobalAveragePool", *"xszsz", channels_last=1), initializers=[tensor("s", ()), byte("z")]), U, "channels_last=1"),
    "an old softmax of integers": (lambda: net(contrib("QLinearSoftmax", *"xszsz", opset=12, axis=1), initializers=[tensor("s", ()), byte("z")]), U, "of opsets before 13"),
    "an unknown activation of a convolution": (lambda: net(contrib("FusedConv", "x", "w", activation="Gelu"), initializers=[tensor("w", (4, 3, 3, 3))]), U, "with the activation 'Gelu'"),
    "transposed batches": (lambda: net(contrib("FusedMatMul", "x", "x", transBatchA=1)), U, "with transposed batches"),
    "an attribute of another operator": (lambda: net(contrib("QLinearSigmoid", *"xszsz", alpha=1.0), initializers=[tensor("s", ()), byte("z")]), F, "unknown attribute 'alpha'"),
    "a quantised operator in the standard's name": (lambda: net(node("QLinearAdd", *"xszxszsz"), initializers=[tensor("s", ()), byte("z")]), U, "QLinearAdd: the QLinearAdd"),
}
