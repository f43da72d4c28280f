"""Quantised, fused and rare operators in broken models: how to make each, its error, and a part of the message."""
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Any, Dict

import numpy as np
from malformed_models import F, Row, U, ints, net, node, tensor
from onnx import NodeProto, TensorProto, numpy_helper


def contrib(op: str, *inputs: str, **attributes: Any) -> NodeProto:
    """A node of ONNX Runtime's domain."""
    return node(op, *inputs, domain="com.microsoft", **attributes)


def byte(name: str) -> TensorProto:
    return numpy_helper.from_array(np.uint8(0), name)


def places(*numbers: int) -> TensorProto:
    return numpy_helper.from_array(np.int64(numbers).reshape(1, -1, 1, 1), "i")


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

RARE: Dict[str, Row] = {
    "a crop of two numbers": (lambda: net(node("Crop", "x", border=[1, 2]), opset=7), F, "border (1, 2) and scale () must be four"),
    "a crop beyond the picture": (lambda: net(node("Crop", "x", border=[9, 9, 0, 0]), opset=7), F, "the Crop"),
    "a scaler of other channels": (lambda: net(node("ImageScaler", "x", bias=[1.0, 2.0]), opset=7), F, "the ImageScaler"),
    "an unknown attribute on trial": (lambda: net(node("Affine", "x", gamma=1.0), opset=7), F, "unknown attribute 'gamma'"),
    "a length of order 3": (lambda: net(node("LpNormalization", "x", p=3)), F, "p is 3, expected 1 or 2"),
    "a length along no axis": (lambda: net(node("LpNormalization", "x", axis=4)), F, "axis 4"),
    "a pool of order 0": (lambda: net(node("GlobalLpPool", "x", p=0)), F, "p is 0, expected at least 1"),
    "windows of order 0": (lambda: net(node("LpPool", "x", p=0, kernel_shape=[2, 2])), F, "p is 0, expected at least 1"),
    "windows beyond the picture": (lambda: net(node("LpPool", "x", kernel_shape=[99, 2])), F, "the LpPool"),
    "a place beyond the axis": (lambda: net(node("GatherElements", "x", "i", axis=1), initializers=[places(0, 3)]), F, "out of range for 3"),
    "places of another rank": (lambda: net(node("GatherElements", "x", "i"), initializers=[ints("i", 0, 1)]), F, "indices of shape (2,) do not fit"),
    "updates of another shape": (lambda: net(node("ScatterElements", *"xiw", axis=1), initializers=[places(0, 1), tensor("w", (1, 1, 1, 1))]), F, "updates have shape (1, 1, 1, 1), expected (1, 2, 1, 1)"),
    "places between elements": (lambda: net(node("GatherElements", "x", "i"), initializers=[tensor("i", (1, 2, 1, 1))]), F, "holds float32, expected integers"),
    "a type of nothing": (lambda: net(node("CastLike", "x", "")), F, "has 1 inputs, expected 2"),
    "places that move": (lambda: net(node("GatherElements", "x", "x")), U, "indices depend on the picture"),
    "a shift to nowhere": (lambda: net(node("BitShift", "z", "z", output="s", direction="UP"), node("Mul", "x", "s"), initializers=[byte("z")]), F, "direction is 'UP'"),
    "means of one axis twice": (lambda: net(node("MeanVarianceNormalization", "x", axes=[1, 1])), F, "name one axis twice"),
}
