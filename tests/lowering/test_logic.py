"""Masks made from the picture: comparisons, logic, casts and choices, with the gradient of each side."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from cnnviz.graph.graph import Graph
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

X = np.array([[-2.0, -0.5, 0.0, 0.5, 1.0, 3.0]], np.float32)
CONSTANTS = {
    "zero": np.zeros((), np.float32),
    "one": np.ones((1, 1), np.float32),
    "low": np.full((), -np.inf, np.float32),
    "kept": np.array([[True, False] * 3]),
}


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"n_{output}", **attributes)


def graph_of(nodes: List[NodeProto]) -> Graph:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in CONSTANTS.items()],
    )
    return read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


Numbers = Callable[[np.ndarray], np.ndarray]

# nodes from x to y, the output, the gradient of its sum
ROWS: Dict[str, Tuple[List[NodeProto], Numbers, Numbers]] = {
    "relu by a mask": (
        [node("Greater", "x zero", "m"), node("Cast", "m", "f", to=1), node("Mul", "x f", "y")],
        lambda x: np.maximum(x, 0),
        lambda x: 1.0 * (x > 0),
    ),
    "choice of -inf": (
        [node("LessOrEqual", "one x", "m"), node("Where", "m x low", "w"), node("Exp", "w", "y")],
        lambda x: np.where(x >= 1, np.exp(x), 0),
        lambda x: np.where(x >= 1, np.exp(x), 0),
    ),
    "choice between two": (
        [node("Less", "x zero", "m"), node("Mul", "x x", "s"), node("Where", "m x s", "y")],
        lambda x: np.where(x < 0, x, x * x),
        lambda x: np.where(x < 0, 1, 2 * x),
    ),
    "known mask": (
        [node("Where", "kept x one", "y")],
        lambda x: np.where(CONSTANTS["kept"], x, 1),
        lambda x: 1.0 * CONSTANTS["kept"],
    ),
    "logic": (
        [
            node("GreaterOrEqual", "x zero", "a"),
            node("Less", "x one", "b"),
            node("And", "a b", "both"),
            node("Equal", "x one", "e"),
            node("Or", "both e", "some"),
            node("Not", "some", "none"),
            node("Xor", "none b", "odd"),
            node("Where", "odd x zero", "y"),
        ],
        lambda x: np.where(x > 1, x, np.where((x >= 0) & (x < 1), x, 0)),
        lambda x: 1.0 * ((x > 1) | ((x >= 0) & (x < 1))),
    ),
    "cast to bool": (
        [node("Cast", "x", "m", to=9), node("Where", "m x one", "y")],
        lambda x: np.where(x != 0, x, 1),
        lambda x: 1.0 * (x != 0),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_mask_passes_the_chosen_side_s_gradient(name: str) -> None:
    nodes, value, slope = ROWS[name]
    graph = graph_of(nodes)
    lowered = lower(graph, {"x": X.shape}, Weights(graph))
    x, y = lowered.values["x"], lowered.values["y"]
    lowered.plan.prepare(keep=[y], seeds=[y], wrt=[x])
    lowered.plan.forward([X])
    lowered.plan.backward({y: np.ones(X.shape, np.float32)})
    np.testing.assert_allclose(lowered.plan.read(y), value(X), rtol=1e-6)
    np.testing.assert_allclose(lowered.plan.gradient(x), slope(X), rtol=1e-6)
