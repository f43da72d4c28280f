"""Nodes of constants are computed once, whichever operator they have: no pass computes them again."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

PICTURE = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)
CONSTANTS = {
    "c": PICTURE,
    "w": np.random.default_rng(1).normal(size=(4, 4, 3, 3)).astype(np.float32),
    "s": np.float32([1, 1, 0.5, 2]),
    "four": np.float32([1, 2, 3, 4]),
}

# The operators that have kernels but no row of NumPy, as (operator, inputs, attributes).
ROWS: List[Tuple[str, str, Dict[str, Any]]] = [
    ("Conv", "c w", {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
    ("MaxPool", "c", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("AveragePool", "c", {"kernel_shape": [3, 3]}),
    ("GlobalAveragePool", "c", {}),
    ("GlobalMaxPool", "c", {}),
    ("InstanceNormalization", "c four four", {}),
    ("LayerNormalization", "c s2", {"axis": -1}),
    ("GroupNormalization", "c four four", {"num_groups": 2}),
    *(("Resize", "c  s", {"mode": mode}) for mode in ("nearest", "linear", "cubic")),
]


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(" "), [output], name=f"{op} {output}", **attributes)


def model(
    nodes: List[NodeProto], constants: Dict[str, Any], shape: Tuple[Any, ...] = (1, 4, 1, 1)
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join([row[0], *map(str, row[2].values())]))
def test_kernels_compute_constants_once(row: Tuple[str, str, Dict[str, Any]]) -> None:
    op, inputs, attributes = row
    constants = {**CONSTANTS, "s2": np.ones(6, np.float32)}
    proto = model([node(op, inputs, "k", **attributes), node("Mul", "x k")], constants)
    x = np.float32([0.5, 1, 2, 3]).reshape(1, 4, 1, 1)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    graph = simplify(read(proto))
    (found,) = run(graph, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    plan = lower(graph, {"x": x.shape}, Weights(graph)).plan
    plan.prepare()
    assert [one["op"] for one in plan.describe()["nodes"]] == ["mul"]


def test_integers_stay_integers() -> None:
    """Resized indices can be the shape of a Reshape; floats cannot."""
    shape = [node("Resize", "a  b", "r", mode="nearest"), node("Squeeze", "r", "t"), node("Reshape", "x t")]
    proto = model(shape, {"a": np.array([[[[4, 2]]]]), "b": np.float32([1, 1, 1, 2])}, (1, 4, 4, 4))
    (found,) = run(simplify(read(proto)), np.ones((1, 4, 4, 4), np.float32))
    assert found.shape == (4, 4, 2, 2)


def same_padding() -> List[NodeProto]:
    """The padding that makes ceil(n / 2) windows of 3, from the picture's own size, as a Clip of floats."""
    half = [
        node("Shape", "x", "s"),
        node("Slice", "s two four", "hw"),
        node("Cast", "hw", "f", to=TensorProto.FLOAT),
        node("Div", "f pair", "d"),
        node("Ceil", "d", "o"),
        node("Sub", "o unit", "m"),
        node("Mul", "m pair", "n"),
        node("Add", "n three", "e"),
        node("Sub", "e f", "p"),
        node("Clip", "p none", "q"),
        node("Cast", "q", "i", to=TensorProto.INT64),
    ]
    ends = [
        node("Div", "i whole", "a"),
        node("Sub", "i a", "b"),
        node("Concat", "zero a zero b", "pads", axis=0),
    ]
    return [*half, *ends, node("Pad", "x pads", "z"), node("Conv", "z w", strides=[2, 2])]


@pytest.mark.parametrize("size", [(7, 6), (8, 9)])
@pytest.mark.parametrize("shape", [(1, 4, None, None), (1, 4, 7, 6)], ids=["free", "fixed"])
def test_padding_computed_from_the_size(size: Tuple[int, int], shape: Tuple[Any, ...]) -> None:
    constants = {
        "two": [2],
        "four": [4],
        "whole": 2,
        "zero": [0, 0],
        "pair": np.float32(2),
        "unit": np.float32(1),
        "three": np.float32(3),
        "none": np.float32(0),
        "w": CONSTANTS["w"],
    }
    proto = model(same_padding(), constants, shape)
    x = np.random.default_rng(2).normal(size=(1, 4, *size)).astype(np.float32)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    (found,) = run(simplify(read(proto)), x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_positions_computed_from_the_size() -> None:
    """A sine of running sums, a mask of the diagonal and the places of its zeros: each from Shape alone."""
    positions = [
        node("Shape", "x", "s"),
        node("ConstantOfShape", "s", "k", value=numpy_helper.from_array(np.float32([1]))),
        node("CumSum", "k axis", "c"),
        node("Tanh", "c", "t"),
        node("Gather", "s axis", "w"),
        node("Unsqueeze", "w first", "ws"),
        node("Concat", "ws ws", "square", axis=0),
        node("ConstantOfShape", "square", "z", value=numpy_helper.from_array(np.float32([1]))),
        node("EyeLike", "z", "e"),
        node("Trilu", "z one", "u", upper=1),
        node("Add", "e u", "eu"),
        node("MatMul", "x eu", "m"),
        node("Add", "m t"),
    ]
    proto = model(positions, {"axis": 3, "first": [0], "one": 1}, ("N", 4, "H", "W"))
    x = np.random.default_rng(3).normal(size=(1, 4, 3, 5)).astype(np.float32)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(run(simplify(read(proto)), x)[0], expected, rtol=1e-5, atol=1e-5)


def test_an_identity_matrix_of_an_activation_s_shape() -> None:
    nodes = [node("Flatten", "x", "f"), node("EyeLike", "f", "e", k=1), node("Add", "f e")]
    x = np.arange(8, dtype=np.float32).reshape(2, 4, 1, 1)
    (found,) = run(simplify(read(model(nodes, {}, (2, 4, 1, 1)))), x)
    np.testing.assert_array_equal(found, x.reshape(2, 4) + np.eye(2, 4, 1))


def test_a_table_computed_from_constants_is_gathered_once() -> None:
    """A bias of attention: a small network of coordinates, read at more places than a plan can slice."""
    random = np.random.default_rng(4)
    table = [node("Gemm", "c v", "h"), node("Relu", "h", "r"), node("MatMul", "r u", "t")]
    table += [node("Gather", "t i", "g"), node("Sigmoid", "g", "b"), node("Reshape", "b s", "k")]
    constants = {
        "c": random.normal(size=(9, 2)).astype(np.float32),
        "v": random.normal(size=(2, 5)).astype(np.float32),
        "u": random.normal(size=(5, 1)).astype(np.float32),
        "i": random.integers(0, 9, 100 * 100),
        "s": np.array([1, 1, 100, 100]),
    }
    proto = model([*table, node("Add", "x k")], constants)
    x = np.zeros((1, 4, 1, 1), np.float32)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    graph = simplify(read(proto))
    assert [one.op for one in graph.nodes] == ["Add"]
    np.testing.assert_allclose(run(graph, x)[0], expected, rtol=1e-5, atol=1e-6)


WEIGHTS = np.random.default_rng(5).integers(-128, 128, (4, 4, 3, 3)).astype(np.int8)
SCALES = np.float32([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("inputs", "attributes"),
    [("q one", {}), ("q one z", {}), ("q four", {"axis": 0}), ("q four zs", {"axis": -3})],
)
def test_quantised_weights_become_constants(inputs: str, attributes: Dict[str, int]) -> None:
    zeros = np.array([3, -2, 0, 1], np.int8)
    constants = {"q": WEIGHTS, "one": SCALES[0], "z": zeros[0], "four": SCALES, "zs": zeros}
    proto = model([node("DequantizeLinear", inputs, "w", **attributes), node("Conv", "x w")], constants)
    x = np.random.default_rng(6).normal(size=(1, 4, 6, 6)).astype(np.float32)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    graph = simplify(read(proto))
    assert [one.op for one in graph.nodes] == ["Conv"]
    np.testing.assert_allclose(run(graph, x)[0], expected, rtol=1e-4, atol=1e-4)
