"""Nodes out of order, branches of If and functions of the file: the graph computes what the file does."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

X = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32)
TRUE, FALSE = np.array(True), np.array(False)


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), output.split(), name=f"{op} {output}", **attributes)


def values(names: Sequence[str]) -> List[Any]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]


def tensors(constants: Dict[str, Any]) -> List[TensorProto]:
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]


def model(
    nodes: Sequence[NodeProto], constants: Dict[str, Any], outputs: Sequence[str] = ("y",)
) -> ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)]
    graph = helper.make_graph(list(nodes), "g", inputs, values(outputs), tensors(constants))
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", 17), ("mine", 1))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def branch(*nodes: NodeProto, results: str = "b", **constants: Any) -> GraphProto:
    return helper.make_graph(list(nodes), "branch", [], values(results.split()), tensors(constants))


def either(condition: str, then: GraphProto, otherwise: GraphProto, output: str = "y") -> NodeProto:
    return node("If", condition, output, then_branch=then, else_branch=otherwise)


def agrees(proto: ModelProto) -> List[str]:
    """Check the graph as read and simplified against ONNX's reference; return the operators that remain."""
    expected = ReferenceEvaluator(proto).run(None, {"x": X})
    graph = read(proto)
    for found in (run(graph, X), run(simplify(graph), X)):
        for one, other in zip(found, expected):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    return [one.op for one in simplify(graph).nodes]


HALVED, RECTIFIED = branch(node("Mul", "x h", "b"), h=np.float32(0.5)), branch(node("Relu", "x", "b"))


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)], ids=lambda order: "".join(map(str, order))
)
def test_nodes_may_come_in_any_order(order: Tuple[int, ...]) -> None:
    nodes = [node("Relu", "x", "a"), node("Neg", "a", "b"), node("Exp", "b", "c"), node("Add", "a c")]
    sorted_file = read(model(nodes, {}))
    shuffled = read(model([nodes[i] for i in order], {}))
    assert shuffled == sorted_file
    np.testing.assert_array_equal(run(shuffled, X)[0], run(sorted_file, X)[0])


def test_a_node_waits_for_what_its_branches_read() -> None:
    proto = model(
        [either("k", branch(node("Neg", "a", "b")), RECTIFIED), node("Relu", "x", "a")], {"k": TRUE}
    )
    (found,) = run(read(proto), X)
    np.testing.assert_array_equal(found, -np.maximum(X, 0))


@pytest.mark.parametrize(("condition", "op"), [(TRUE, "Mul"), (FALSE, "Relu")])
def test_the_branch_of_a_constant_is_taken(condition: Any, op: str) -> None:
    assert agrees(model([either("k", HALVED, RECTIFIED)], {"k": condition})) == [op]


def test_a_condition_may_be_computed_from_constants() -> None:
    nodes = [
        node("Shape", "w", "s"),
        node("Gather", "s i", "d"),
        node("Equal", "d n", "e"),
        node("Not", "e", "k"),
    ]
    constants = {"w": np.ones((3, 2)), "i": np.array(1), "n": np.array(2)}
    assert agrees(model([*nodes, either("k", HALVED, RECTIFIED)], constants)) == ["Relu"]


def test_branches_nest_and_read_values_around_them() -> None:
    inner = either("j", branch(node("Sub", "a c", "b")), branch(node("Add", "a c", "b")), "i")
    outer = branch(node("Exp", "a", "c"), inner, node("Mul", "i h", "b"), h=np.float32(0.5))
    nodes = [node("Tanh", "x", "a"), either("k", outer, RECTIFIED, "o"), node("Neg", "o")]
    assert agrees(model(nodes, {"k": TRUE, "j": FALSE})) == ["Tanh", "Exp", "Add", "Mul", "Neg"]


def test_two_ifs_may_use_the_same_names() -> None:
    nodes = [either("k", HALVED, RECTIFIED, "p"), either("j", HALVED, RECTIFIED, "q"), node("Sub", "p q")]
    assert agrees(model(nodes, {"k": TRUE, "j": FALSE})) == ["Mul", "Relu", "Sub"]


def test_a_branch_may_pass_values_on() -> None:
    """Results that are a value around the branch, a constant of it, and one value twice."""
    taken = branch(node("Relu", "x", "r"), results="a r r h", h=np.float32([3]))
    chosen = either("k", taken, branch(results="a a a a"), "p q s t")
    ends = [node("Add", "p q", "u"), node("Mul", "s t", "v"), node("Sub", "u v")]
    agrees(model([node("Exp", "x", "a"), chosen, *ends], {"k": TRUE}))


def test_a_branch_may_be_the_output() -> None:
    taken = branch(results="x h", h=np.float32([3]))
    agrees(model([either("k", taken, taken, "y z"), node("Relu", "x", "w")], {"k": TRUE}, ("y", "w")))


def function(
    name: str, nodes: Sequence[NodeProto], inputs: str = "a", opset: int = 17, **more: Any
) -> FunctionProto:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, inputs.split(), ["b"], list(nodes), opsets, **more)


def referring(proto: NodeProto, name: str, reference: str, kind: int) -> NodeProto:
    """The node with an attribute that its function call gives."""
    proto.attribute.add(name=name, ref_attr_name=reference, type=kind)
    return proto


def calling(nodes: Sequence[NodeProto], *functions: FunctionProto, **constants: Any) -> ModelProto:
    proto = model(nodes, constants)
    proto.functions.extend(functions)
    return proto


def call(name: str, inputs: str, output: str = "y", **attributes: Any) -> NodeProto:
    return node(name, inputs, output, domain="mine", **attributes)


GATE = function("Gate", [node("Sigmoid", "a", "s"), node("Mul", "a s", "b")])


def test_a_function_may_be_called_twice() -> None:
    proto = calling([call("Gate", "x", "g"), call("Gate", "g")], GATE)
    assert agrees(proto) == ["Sigmoid", "Mul", "Sigmoid", "Mul"]


def test_functions_call_functions_in_any_order() -> None:
    twice = function("Twice", [call("Gate", "g", "b"), call("Gate", "a", "g")])
    (found,) = run(read(calling([call("Twice", "x")], twice, GATE)), X)
    gated = X / (1 + np.exp(-X))
    np.testing.assert_allclose(found, gated / (1 + np.exp(-gated)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("given", "slope"), [({}, 0.5), ({"slope": 0.25}, 0.25)], ids=["default", "given"])
def test_attributes_of_a_call_reach_the_body(given: Dict[str, float], slope: float) -> None:
    body = [
        referring(node("LeakyRelu", "a", "l"), "alpha", "slope", 1),
        referring(helper.make_node("Constant", [], ["c"]), "value_float", "slope", 1),
        node("Add", "l c", "b"),
    ]
    leaky = function("Leaky", body, attribute_protos=[helper.make_attribute("slope", 0.5)])
    (found,) = run(read(calling([call("Leaky", "x", **given)], leaky)), X)
    np.testing.assert_allclose(found, np.where(X < 0, slope * X, X) + slope, rtol=1e-5)


def test_an_attribute_that_no_call_gives_is_the_operator_s_default() -> None:
    leaky = function(
        "Leaky", [referring(node("LeakyRelu", "a", "b"), "alpha", "slope", 1)], attributes=["slope"]
    )
    (found,) = run(read(calling([call("Leaky", "x")], leaky)), X)
    np.testing.assert_allclose(found, np.where(X < 0, np.float32(0.01) * X, X), rtol=1e-6)


def test_a_function_has_its_own_opset() -> None:
    """Up to opset 12, Softmax is over all axes from the second on."""
    softmax = function("Old", [node("Softmax", "a", "b")], opset=12)
    (found,) = run(read(calling([call("Old", "x")], softmax)), X)
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), 1, rtol=1e-5)


def test_an_input_that_a_call_leaves_out_is_absent() -> None:
    limited = function(
        "Limited",
        [node("Identity", "low", "l"), helper.make_node("Clip", ["a", "l", "high"], ["b"])],
        "a low high",
    )
    (found,) = run(simplify(read(calling([call("Limited", "x low")], limited, low=np.float32(0)))), X)
    np.testing.assert_array_equal(found, np.maximum(X, 0))


def test_a_branch_in_a_function_reads_its_values() -> None:
    taken = branch(node("Mul", "a h", "c"), results="c", h=np.float32(2))
    body = [node("Not", "k", "n"), either("n", taken, branch(results="a"), "b")]
    assert agrees(calling([call("F", "x k")], function("F", body, "a k"), k=FALSE)) == ["Mul"]


def test_layers_of_bodies_are_named_after_their_node() -> None:
    graph = read(calling([call("Gate", "x", "g"), call("Gate", "g")], GATE))
    names = [one.name for one in graph.nodes if one.op == "Sigmoid"]
    assert names == ["Gate g/Sigmoid s", "Gate y/Sigmoid s"]


def test_outputs_keep_what_branches_read_from_around_them() -> None:
    """A cut graph still has the values that an If's branches take from the graph, or hand out as they are."""
    inner = branch(node("Mul", "r h", "b"), h=np.float32(0.5))
    nodes = [
        node("Relu", "x", "r"),
        node("Neg", "x", "unread"),
        either("c", inner, branch(results="r"), "y"),
        node("Exp", "y", "z"),
    ]
    for condition, expected in ((TRUE, np.maximum(X, 0) / 2), (FALSE, np.maximum(X, 0))):
        graph = read(model(nodes, {"c": condition}, outputs=["z"]), ["y"])
        assert "Neg" not in {one.op for one in graph.nodes}
        np.testing.assert_array_equal(run(graph, X)[0], expected)
