"""Networks small enough to compute by hand, as ONNX bytes."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def onnx_bytes(
    nodes: List[Any],
    constants: Dict[str, NDArray[Any]],
    *,
    input_shape: Sequence[Any],
    output: str,
    opset: int = 13,
) -> bytes:
    """Serialise a graph whose input is `x`."""
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(_plain(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=np.int64 if array.dtype.kind in "iu" else np.float32)


def captum_toy() -> bytes:
    """Captum's test network of one convolution: 1->2, 3x3 of ones, ReLU, linear 8->4, ReLU; 1x1x4x4."""
    row = np.array([1, 1, 1, 1, 1, -1, -1, -1])
    return onnx_bytes(
        [
            helper.make_node("Conv", ["x", "w1", "b1"], ["conv1"]),
            helper.make_node("Relu", ["conv1"], ["relu1"]),
            helper.make_node("Flatten", ["relu1"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w2", "b2"], ["fc1"], transB=1),
            helper.make_node("Relu", ["fc1"], ["relu2"]),
        ],
        {
            "w1": np.ones((2, 1, 3, 3), np.float32),
            "b1": np.array([-50.0, -75.0]),
            "w2": np.tile(row, (4, 1)).astype(np.float32),
            "b2": np.zeros(4, np.float32),
        },
        input_shape=["N", 1, 4, 4],
        output="relu2",
    )


def small_classifier(
    *,
    channels: int = 3,
    classes: int = 10,
    bias: bool = True,
    softmax: bool = False,
    sigmoid: bool = False,
    seed: int = 0,
) -> bytes:
    """Conv, ReLU, max pool, conv, ReLU, global average pool, linear: any image size; random weights."""
    rng = np.random.default_rng(seed)
    constants = {
        "w1": rng.normal(0, 0.3, (8, channels, 3, 3)),
        "b1": rng.normal(0, 0.1, 8) * bias,
        "w2": rng.normal(0, 0.2, (12, 8, 3, 3)),
        "b2": rng.normal(0, 0.1, 12) * bias,
        "w3": rng.normal(0, 0.5, (classes, 12)),
        "b3": rng.normal(0, 0.1, classes) * bias,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["conv1"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv1"], ["relu1"], name="relu_one"),
        helper.make_node("MaxPool", ["relu1"], ["pool1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pool1", "w2", "b2"], ["conv2"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv2"], ["relu2"]),
        helper.make_node("GlobalAveragePool", ["relu2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "w3", "b3"], ["scores"], transB=1),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", ["scores"], ["probabilities"]))
    output = "probabilities" if softmax or sigmoid else "scores"
    return onnx_bytes(nodes, constants, input_shape=["N", channels, 32, 32], output=output)


def small_vgg(*, classes: int = 4, size: int = 64, seed: int = 0) -> bytes:
    """Five blocks of two convolutions with ReLU, pools between them, and a classifier for one image size."""
    rng = np.random.default_rng(seed)
    constants: Dict[str, NDArray[Any]] = {}
    nodes: List[Any] = []
    last, channels = "x", 3
    for block, width in enumerate((8, 10, 12, 14, 16), start=1):
        for i in (1, 2):
            name = f"{block}_{i}"
            constants[f"w{name}"] = rng.normal(0, np.sqrt(2 / 9 / channels), (width, channels, 3, 3))
            constants[f"b{name}"] = rng.normal(0, 0.1, width)
            inputs = [last, f"w{name}", f"b{name}"]
            nodes.append(helper.make_node("Conv", inputs, [f"conv{name}"], pads=[1, 1, 1, 1]))
            nodes.append(helper.make_node("Relu", [f"conv{name}"], [f"r{name}"]))
            last, channels = f"r{name}", width
        if block < 5:
            pool = f"pool{block}"
            nodes.append(helper.make_node("MaxPool", [last], [pool], kernel_shape=[2, 2], strides=[2, 2]))
            last = pool
    constants["w"] = rng.normal(0, 0.1, (classes, channels * (size // 16) ** 2))
    nodes.append(helper.make_node("Flatten", [last], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "w"], ["scores"], transB=1))
    return onnx_bytes(nodes, constants, input_shape=["N", 3, size, size], output="scores")


def text_recogniser(*, op: str = "LSTM", time_first: bool = False, classes: int = 7, seed: int = 0) -> bytes:
    """Like Shi et al. 2015 (CRNN): columns of a convolution's map are read both ways by two layers.

    A picture 1,16,24 becomes 12 time steps; the output is N,T,K, or T,N,K with `time_first`.
    """
    rng = np.random.default_rng(seed)
    gates, hidden, channels = {"RNN": 1, "GRU": 3, "LSTM": 4}[op], 5, 6
    constants: Dict[str, NDArray[Any]] = {
        "w": rng.normal(0, 0.4, (channels, 1, 3, 3)),
        "b": rng.normal(0, 0.1, channels),
        "height": np.array([2]),
        "joined": np.array([0, 0, -1]),
        "w3": rng.normal(0, 0.5, (2 * hidden, classes)),
        "b3": rng.normal(0, 0.1, classes),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("AveragePool", ["relu"], ["pool"], kernel_shape=[16, 2], strides=[16, 2]),
        helper.make_node("Squeeze", ["pool", "height"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["sequence0"], perm=[2, 0, 1]),
    ]
    for i, inputs in ((1, channels), (2, 2 * hidden)):
        constants[f"W{i}"] = rng.normal(0, 0.5, (2, gates * hidden, inputs))
        constants[f"R{i}"] = rng.normal(0, 0.5, (2, gates * hidden, hidden))
        constants[f"B{i}"] = rng.normal(0, 0.3, (2, 2 * gates * hidden))
        weights = [f"{name}{i}" for name in "WRB"]
        nodes += [
            helper.make_node(
                op,
                [f"sequence{i - 1}", *weights],
                [f"both{i}"],
                hidden_size=hidden,
                direction="bidirectional",
            ),
            helper.make_node("Transpose", [f"both{i}"], [f"swapped{i}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"swapped{i}", "joined"], [f"sequence{i}"]),
        ]
    nodes += [
        helper.make_node("MatMul", ["sequence2", "w3"], ["product"]),
        helper.make_node("Add", ["product", "b3"], ["steps"]),
        helper.make_node("Transpose", ["steps"], ["scores"], perm=[1, 0, 2]),
    ]
    output = "steps" if time_first else "scores"
    return onnx_bytes(nodes, constants, input_shape=["N", 1, 16, 24], output=output)
