"""Quantisation of activations: the grid of NumPy, straight-through gradients, and a small network."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import cnnviz
from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(5)
X = (3 * RNG.normal(size=(1, 4, 6))).astype(np.float32)
Array = np.ndarray


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"n_{output}", **attributes)


def model_of(nodes: List[NodeProto], shape: Any, **constants: Any) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


# The scale and the zero point of a QuantizeLinear and the DequantizeLinear behind it, as in the file and as
# arrays that broadcast, and their attributes.
CHANNELS, COLUMNS = np.float32([0.1, 0.02, 0.05, 0.5]), np.float32([[[1], [2], [3], [4]]]) / 32
BLOCKS = np.abs(RNG.normal(size=(1, 4, 2)) / 16 + 0.1).astype(np.float32)
ROWS: Dict[str, Tuple[Any, Any, Array, Array, Dict[str, Any]]] = {
    "tensor": (np.float32(0.04), np.uint8(128), np.float32(0.04), np.uint8(128), {}),
    "signed": (np.float32(0.04), np.int8(-3), np.float32(0.04), np.int8(-3), {}),
    "list of one": (np.float32([0.04]), np.int8([4]), np.float32(0.04), np.int8(4), {}),
    "16 bits": (np.float32(1e-4), np.uint16(32768), np.float32(1e-4), np.uint16(32768), {}),
    "signed 16 bits": (np.float32(1e-4), np.int16(0), np.float32(1e-4), np.int16(0), {}),
    "without zero point": (np.float32(0.01), None, np.float32(0.01), np.uint8(0), {}),
    "channels": (CHANNELS, np.int8([0] * 4), CHANNELS[:, None], np.int8(0), {}),
    "channels with zero points": (
        CHANNELS,
        np.int8([-128, 5, 127, 0]),
        CHANNELS[:, None],
        np.int8([[-128], [5], [127], [0]]),
        {},
    ),
    "last axis": (
        np.float32([1, 2, 3, 4, 5, 6]) / 64,
        np.uint8([9] * 6),
        np.float32([1, 2, 3, 4, 5, 6]) / 64,
        np.uint8(9),
        {"axis": -1},
    ),
    "broadcast": (
        COLUMNS,
        np.uint8([[[90], [91], [92], [93]]]),
        COLUMNS,
        np.uint8([[90], [91], [92], [93]]),
        {},
    ),
    "blocks": (
        BLOCKS,
        np.zeros(BLOCKS.shape, np.int8),
        np.repeat(BLOCKS, 4, 2)[..., :6],
        np.int8(0),
        {"axis": 2, "block_size": 4},
    ),
}


def quantised(x: Array, scale: Array, zero: Array) -> Tuple[Array, Array]:
    """The numbers on the grid, and where they are not saturated."""
    limits, steps = np.iinfo(zero.dtype), x / scale
    low, high = limits.min - zero.astype(float), limits.max - zero.astype(float)
    return np.clip(np.rint(steps), low, high) * scale, (low <= steps) & (steps <= high)


@pytest.mark.parametrize("name", ROWS)
def test_numbers_lie_on_the_grid_and_pass_the_gradient_where_they_are_not_saturated(name: str) -> None:
    scale, zero, scales, zeros, attributes = ROWS[name]
    constants = {"s": scale} if zero is None else {"s": scale, "z": zero}
    names = " ".join(constants)
    nodes = [
        node("QuantizeLinear", f"x {names}", "q", **attributes),
        node("DequantizeLinear", f"q {names}", "y", **attributes),
    ]
    graph = read(model_of(nodes, X.shape, **constants))
    lowered = lower(graph, {"x": X.shape}, Weights(graph))
    x, q, y = (lowered.values[name] for name in "xqy")
    lowered.plan.prepare(keep=[q, y], seeds=[y], wrt=[x])
    lowered.plan.forward([X])
    g = RNG.normal(size=X.shape).astype(np.float32)
    lowered.plan.backward({y: g})
    expected, passes = quantised(X, scales, zeros)
    assert passes.any()
    np.testing.assert_allclose(lowered.plan.read(y), expected, rtol=1e-6)
    np.testing.assert_array_equal(lowered.plan.read(q), np.rint(lowered.plan.read(q)))
    np.testing.assert_allclose(lowered.plan.gradient(x), np.where(passes, g, 0), rtol=1e-6)


def test_halves_go_to_the_even_number() -> None:
    x = np.float32([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]])
    model = model_of([node("QuantizeLinear", "x s z", "y")], x.shape, s=np.float32(1), z=np.int8(1))
    (found,) = run(read(model), x)
    np.testing.assert_array_equal(found, [[-1, -1, 1, 1, 3, 3]])


def dynamic(shape: Any) -> ModelProto:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="d"),
        node("DequantizeLinear", "q s z", "y"),
    ]
    return model_of(nodes, shape)


@pytest.mark.parametrize(
    "numbers", [X, X + 20, -np.abs(X), 0 * X], ids=["mixed", "positive", "negative", "zero"]
)
def test_a_dynamic_range_holds_all_numbers_and_0(numbers: Array) -> None:
    """Its scale is held fixed in the gradient, which is 1 therefore."""
    graph = read(dynamic(X.shape))
    lowered = lower(graph, {"x": X.shape}, Weights(graph))
    x, y, s, z = (lowered.values[name] for name in "xysz")
    lowered.plan.prepare(keep=[y, s, z], seeds=[y], wrt=[x])
    lowered.plan.forward([numbers])
    lowered.plan.backward({y: np.ones(X.shape, np.float32)})
    low, high = min(numbers.min(), 0), max(numbers.max(), 0)
    scale = (high - low) / 255 or 1.0
    zero = np.rint(-low / scale)
    np.testing.assert_allclose(lowered.plan.read(s), scale, rtol=1e-6)
    assert (lowered.plan.shape(s), lowered.plan.read(z)) == ((), zero)
    np.testing.assert_allclose(lowered.plan.read(y), np.rint(numbers / scale) * scale, rtol=1e-5, atol=1e-6)
    inside = (numbers / scale >= -zero) & (numbers / scale <= 255 - zero)
    np.testing.assert_array_equal(lowered.plan.gradient(x)[inside], 1)
    assert inside.mean() > 0.9


def test_a_dynamic_range_is_that_of_one_picture() -> None:
    model = cnnviz.load(dynamic((1, 3, 4, 5)), preprocessing="unit")
    x = RNG.normal(size=(3, 3, 4, 5)).astype(np.float32) * np.float32([1, 10, 100])[:, None, None, None]
    together = model.forward(x)
    for i in range(3):
        np.testing.assert_array_equal(together[i], model.forward(x[i : i + 1])[0])


GRID = {"s": np.float32(1 / 64), "z": np.uint8(0), "t": np.float32(1 / 32), "m": np.uint8(128)}
KERNEL = RNG.integers(-60, 60, (8, 3, 3, 3)).astype(np.int8)
MATRIX = RNG.integers(-60, 60, (8, 4)).astype(np.int8)


def network(batch: Any = 1) -> ModelProto:
    """A classifier in quantise-dequantise form, with probabilities on a grid at its end."""
    nodes = [
        node("QuantizeLinear", "x t m", "xq"),
        node("DequantizeLinear", "xq t m", "xr"),
        node("DequantizeLinear", "k ks kz", "kr", axis=0),
        node("DequantizeLinear", "b bs", "br"),
        node("Conv", "xr kr br", "c", pads=[1] * 4),
        node("QuantizeLinear", "c s z", "cq"),
        node("MaxPool", "cq", "pq", kernel_shape=[2, 2], strides=[2, 2]),
        node("DequantizeLinear", "pq s z", "pr"),
        node("GlobalAveragePool", "pr", "a"),
        node("Flatten", "a", "f"),
        node("DequantizeLinear", "w t8 z8", "wr"),
        node("Gemm", "f wr", "l"),
        node("QuantizeLinear", "l t m", "lq"),
        node("DequantizeLinear", "lq t m", "lr"),
        node("Softmax", "lr", "p"),
        node("QuantizeLinear", "p h z", "ph"),
        node("DequantizeLinear", "ph h z", "y"),
    ]
    scales = np.linspace(0.002, 0.008, 8, dtype=np.float32)
    constants = {
        **GRID,
        "k": KERNEL,
        "ks": scales,
        "kz": np.zeros(8, np.int8),
        "w": MATRIX,
        "t8": np.float32(1 / 64),
        "z8": np.int8(0),
        "h": np.float32(1 / 256),
        "b": np.arange(-4, 4, dtype=np.int32) * 100,
        "bs": np.float32(1 / 1024),
    }
    return model_of(nodes, (batch, 3, 10, 10), **constants)


def test_a_network_agrees_with_onnxruntime_to_a_step() -> None:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(network().SerializeToString(), providers=["CPUExecutionProvider"])
    graph = simplify(read(network()))
    for seed in range(8):
        x = np.random.default_rng(seed).normal(size=(1, 3, 10, 10)).astype(np.float32)
        (expected,) = session.run(None, {"x": x})
        assert np.abs(run(graph, x)[0] - expected).max() <= 1 / 256


def test_a_network_s_scores_are_those_before_its_quantised_softmax() -> None:
    model = cnnviz.load(network(), preprocessing="unit")
    assert model.logits_name == "lr"
    assert "straight through" in model.summary()
    x = RNG.normal(size=(2, 3, 10, 10)).astype(np.float32)
    gradient = model.gradient(x, 1).gradients["input"]
    assert np.isfinite(gradient).all()
    assert gradient.any()
    for i in range(2):
        np.testing.assert_array_equal(gradient[i], model.gradient(x[i : i + 1], 1).gradients["input"][0])


def test_a_range_from_0_behind_a_convolution_is_a_relu_for_the_rules() -> None:
    model = cnnviz.load(network(), preprocessing="unit")
    assert [node.op for node in model.graph.nodes].count("Relu") == 1
    x = RNG.normal(size=(1, 3, 10, 10)).astype(np.float32)
    found = model.gradient(x, 1, wrt="c", relu="guided").gradients["c"]
    plain = model.gradient(x, 1, wrt="c").gradients["c"]
    np.testing.assert_array_equal(found, np.maximum(plain, 0))
    assert (plain < 0).any()
