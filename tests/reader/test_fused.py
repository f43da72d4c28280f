"""The fused operators of ONNX Runtime are a product and what they say behind it."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import ModelProto, TensorProto, helper, numpy_helper

from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(1)
X = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
KERNEL, BIAS = RNG.normal(size=(6, 3)).astype(np.float32), RNG.normal(size=6).astype(np.float32)
OTHER = RNG.normal(size=(2, 6, 4, 5)).astype(np.float32)
FLAT, ROWS_OF = X.reshape(2, 60), RNG.normal(size=(60, 7)).astype(np.float32)
W, WT = RNG.normal(size=(2, 3, 5, 2)).astype(np.float32), RNG.normal(size=(2, 3, 2, 5)).astype(np.float32)
Array = np.ndarray


def convolved(bias: Any = 0.0) -> Array:
    return np.einsum("oc,nchw->nohw", KERNEL, X) + np.reshape(bias, (-1, 1, 1))


def turned(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


# operator, inputs after the picture, attributes, result
CONV = {"kernel_shape": [1, 1]}
ROWS: Dict[str, Tuple[str, List[Any], Dict[str, Any], Array]] = {
    "convolution": ("FusedConv", [KERNEL[:, :, None, None]], CONV, convolved()),
    "relu": (
        "FusedConv",
        [KERNEL[:, :, None, None], BIAS],
        {**CONV, "activation": "Relu"},
        np.maximum(convolved(BIAS), 0),
    ),
    "sum": ("FusedConv", [KERNEL[:, :, None, None], BIAS, OTHER], CONV, convolved(BIAS) + OTHER),
    "clip of a sum": (
        "FusedConv",
        [KERNEL[:, :, None, None], None, OTHER],
        {**CONV, "activation": "Clip", "activation_params": [-0.5, 1.0]},
        np.clip(convolved() + OTHER, -0.5, 1),
    ),
    "leaky": (
        "FusedConv",
        [KERNEL[:, :, None, None]],
        {"activation": "LeakyRelu", "activation_params": [0.3]},
        np.where(convolved() < 0, 0.3 * convolved(), convolved()),
    ),
    "tanh": ("FusedGemm", [ROWS_OF], {"alpha": 0.1, "activation": "Tanh"}, np.tanh(0.1 * FLAT @ ROWS_OF)),
    "hard sigmoid": (
        "FusedGemm",
        [ROWS_OF],
        {"activation": "HardSigmoid", "activation_alpha": 0.1, "activation_beta": 0.4},
        np.clip(0.1 * FLAT @ ROWS_OF + 0.4, 0, 1),
    ),
    "hard sigmoid, alpha left out": (
        "FusedGemm",
        [ROWS_OF],
        {"activation": "HardSigmoid", "activation_beta": 0.4},
        np.clip(0.2 * FLAT @ ROWS_OF + 0.4, 0, 1),
    ),
    "matrices": ("FusedMatMul", [W], {"alpha": 0.25}, 0.25 * X @ W),
    "right turned": ("FusedMatMul", [WT], {"transB": 1}, X @ turned(WT)),
    "left turned": ("FusedMatMul", [OTHER[:, :3]], {"transA": 1, "alpha": 2.0}, 2 * turned(X) @ OTHER[:, :3]),
}  # fmt: skip


def model_of(op: str, others: List[Any], attributes: Dict[str, Any]) -> ModelProto:
    names = [f"c{i}" if other is not None else "" for i, other in enumerate(others)]
    first = "flat" if op == "FusedGemm" else "x"
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node(op, [first, *names], ["y"], name="n", domain="com.microsoft", **attributes),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(o, name) for o, name in zip(others, names) if name],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("name", ROWS)
def test_fused_operators_compute_what_they_say(name: str) -> None:
    op, others, attributes, expected = ROWS[name]
    for graph in (read(model_of(op, others, attributes)), simplify(read(model_of(op, others, attributes)))):
        np.testing.assert_allclose(run(graph, X)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ROWS)
def test_they_agree_with_onnxruntime(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    op, others, attributes, expected = ROWS[name]
    data = model_of(op, others, attributes).SerializeToString()
    (found,) = runtime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": X})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
