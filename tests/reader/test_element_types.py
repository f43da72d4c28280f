"""The element types of a file decide about wrapping, cut fractions and masks."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

X = np.float32([[-2.5, -1.0, -0.5, 0.0, 0.5, 2.5, 3.0, 100.75]])
Array = np.ndarray


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"n_{output}", **attributes)


def model_of(nodes: List[NodeProto], **constants: Any) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


A8, B8 = np.uint8([200, 3, 255]), np.uint8([100, 250, 1])
S8, T8 = np.int8([-128, 127, 5]), np.int8([1, 2, -128])
A16, A32 = np.int16([300, -32768, 7]), np.int32([2**31 - 1, -(2**31), 9])
U32 = np.uint32([2**32 - 1, 5, 2**31])

# operator, constants; NumPy's result in the same types
WRAPS: Dict[str, Tuple[str, List[Array], Callable[..., Array]]] = {
    "uint8 sum": ("Add", [A8, B8], lambda a, b: a + b),
    "uint8 difference": ("Sub", [B8, A8], lambda a, b: a - b),
    "uint8 product": ("Mul", [A8, B8], lambda a, b: a * b),
    "int8 sum": ("Add", [S8, T8], lambda a, b: a + b),
    "int8 negative": ("Neg", [S8], lambda a: -a),
    "int8 amount": ("Abs", [S8], np.abs),
    "int16 square": ("Mul", [A16, A16], lambda a, b: a * b),
    "int32 sum": ("Add", [A32, A32], lambda a, b: a + b),
    "int32 total": ("ReduceSum", [A32[[0, 2]]], lambda a: np.sum(a, dtype=np.int32, keepdims=True)),
    "uint32 sum": ("Add", [U32, U32], lambda a, b: a + b),
    "int8 quotient": ("Div", [S8, np.int8([3, 3, -3])], lambda a, b: np.trunc(a / b).astype(np.int8)),
    "int64 is wide": ("Add", [np.array([2**40]), np.array([2**40])], lambda a, b: a + b),
}


@pytest.mark.parametrize("name", WRAPS)
def test_constants_wrap_around_in_their_type(name: str) -> None:
    op, arrays, function = WRAPS[name]
    constants = {f"c{i}": array for i, array in enumerate(arrays)}
    graph = simplify(read(model_of([node(op, " ".join(constants))], **constants)))
    with np.errstate(over="ignore"):
        expected = function(*arrays)
    assert expected.dtype == arrays[0].dtype
    np.testing.assert_array_equal(graph.constants["y"], expected)


TRUE = np.array([True])
MASKS: Dict[str, List[NodeProto]] = {
    "Expand": [node("Expand", "t shape", "m")],
    "Gather": [node("Gather", "t zero", "m")],
    "Tile": [node("Tile", "t one", "m")],
    "Slice": [node("Slice", "t zeros one", "m")],
    "Concat": [node("Concat", "t t", "m", axis=0), node("Slice", "m zeros one", "n")],
    "Reshape": [node("Reshape", "t one", "m")],
    "Where": [node("Where", "t t t", "m")],
    "ConstantOfShape": [
        node("ConstantOfShape", "one", "m", value=helper.make_tensor("v", TensorProto.BOOL, [1], [1]))
    ],
    "EyeLike": [node("EyeLike", "square", "m", dtype=TensorProto.BOOL)],
    "EyeLike of its input": [node("EyeLike", "masks", "m")],
    "comparison": [node("Equal", "zero zero", "m")],
    "IsNaN": [node("IsNaN", "nan", "m")],
    "a sort": [node("Cast", "zero", "m", to=TensorProto.BOOL)],
}


@pytest.mark.parametrize("name", MASKS)
def test_what_is_made_of_truths_is_true_or_false(name: str) -> None:
    """CastLike shows the type: a cast to bool makes ones of all numbers but 0."""
    nodes = [*MASKS[name], node("CastLike", f"x {MASKS[name][-1].output[0]}", "c"), node("Cast", "c", to=1)]
    constants = {"t": TRUE, "shape": np.array([2]), "zero": np.array(0), "zeros": np.array([0])}
    squares = {"square": np.ones((2, 2), np.float32), "masks": np.ones((2, 2), bool)}
    model = model_of(nodes, **constants, **squares, one=np.array([1]), nan=np.float32([np.nan]))
    np.testing.assert_array_equal(run(read(model), X)[0], X != 0)


def _stays(x: Array) -> Array:
    return np.zeros_like(x)


# nodes, their function, the gradient of its sum; k is 3 in int32, f is 0.5
MOVING: Dict[str, Tuple[List[NodeProto], Callable[[Array], Array], Callable[[Array], Array]]] = {
    "to integers": ([node("Cast", "x", "i", to=6), node("Cast", "i", to=1)], np.trunc, _stays),
    "to bytes": ([node("Cast", "x", "i", to=3), node("Cast", "i", to=1)], np.trunc, _stays),
    "between floats": ([node("Cast", "x", "h", to=10), node("Cast", "h", to=1)], lambda x: x, np.ones_like),
    "steps and back": (
        [
            node("QuantizeLinear", "x f z", "q"),
            node("Cast", "q", "i", to=6),
            node("Mul", "i k", "m"),
            node("Cast", "m", to=1),
        ],
        lambda x: 3 * np.clip(np.rint(x / 0.5), -128, 127),
        lambda x: 6.0 * ((x / 0.5 >= -128) & (x / 0.5 <= 127)),
    ),
    "quotient of integers": (
        [node("Cast", "x", "i", to=6), node("Div", "i k", "d"), node("Cast", "d", to=1)],
        lambda x: np.trunc(np.trunc(x) / 3),
        _stays,
    ),
    "power of integers": (
        [node("Cast", "x", "i", to=7), node("Pow", "i f", "p"), node("Relu", "x", "r"), node("Max", "p r")],
        lambda x: np.fmax(np.trunc(np.sqrt(np.trunc(np.fmax(x, 0)))), np.fmax(x, 0)),
        lambda x: 1.0 * (np.trunc(np.sqrt(np.trunc(np.fmax(x, 0)))) < x),
    ),
    "integer base": ([node("Pow", "k x")], lambda x: np.trunc(3.0**x), _stays),
    "float base": ([node("Pow", "f x")], lambda x: 0.5**x, lambda x: np.log(0.5) * 0.5**x),
}


@pytest.mark.parametrize("name", MOVING)
def test_moving_integers_are_whole_and_floats_keep_their_gradient(name: str) -> None:
    nodes, function, slope = MOVING[name]
    x0 = X[:, 5:7] if "power" in name else X[:, :-1]
    graph = read(model_of(nodes, k=np.int32(3), f=np.float32(0.5), z=np.int8(0)))
    graph = graph.replace(inputs=(graph.inputs[0].__class__("x", x0.shape),))
    for found in (graph, simplify(graph)):
        lowered = lower(found, {"x": x0.shape}, Weights(found))
        x, y = lowered.values["x"], lowered.values["y"]
        lowered.plan.prepare(keep=[y], seeds=[y], wrt=[x])
        lowered.plan.forward([np.ascontiguousarray(x0)])
        lowered.plan.backward({y: np.ones(x0.shape, np.float32)})
        np.testing.assert_allclose(lowered.plan.read(y), function(x0.astype(float)), rtol=1e-5)
        np.testing.assert_allclose(lowered.plan.gradient(x), slope(x0.astype(float)), rtol=1e-4)
