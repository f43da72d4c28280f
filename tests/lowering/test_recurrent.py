"""LSTM, GRU and RNN: numbers and gradients against a float64 twin, batches, and what is refused."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Dict, Mapping, NamedTuple, Tuple, Type

import numpy as np
import pytest
from graphs import differentiated, prepared, run
from onnx import TensorProto, helper, numpy_helper
from recurrent_twin import GATES, layer

from cnnviz.errors import CnnvizError, ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Graph, Node, Tensor
from cnnviz.graph.schema import complete
from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

STEPS, BATCH, INPUTS, HIDDEN = 5, 3, 4, 6
NAMES = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}
OUTPUTS = {"RNN": ["Y", "Y_h"], "GRU": ["Y", "Y_h"], "LSTM": ["Y", "Y_h", "Y_c"]}
BOTH = {"direction": "bidirectional"}


class Case(NamedTuple):
    """A layer: its operator, its attributes, and the optional inputs that it has.

    The numbers of `fed` are inputs of the network, the others constants.
    """

    op: str
    attributes: Mapping[str, Any] = MappingProxyType({})
    optional: str = "B"
    lengths: Tuple[int, ...] = ()
    fed: str = "X"

    def arrays(self) -> Dict[str, Any]:
        rng = np.random.default_rng(11)
        d, n = 2 if self.attributes.get("direction") == "bidirectional" else 1, GATES[self.op]
        state = (BATCH, d, HIDDEN) if self.attributes.get("layout") else (d, BATCH, HIDDEN)
        shapes = {
            "X": (BATCH, STEPS, INPUTS) if self.attributes.get("layout") else (STEPS, BATCH, INPUTS),
            "W": (d, n * HIDDEN, INPUTS),
            "R": (d, n * HIDDEN, HIDDEN),
            "B": (d, 2 * n * HIDDEN),
            "initial_h": state,
            "initial_c": state,
            "P": (d, 3 * HIDDEN),
        }
        arrays: Dict[str, Any] = {
            name: rng.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()
        }
        if self.lengths:
            arrays["sequence_lens"] = np.array(self.lengths, np.int32)
        given = {"X", "W", "R", *self.optional.split(), *(["sequence_lens"] if self.lengths else [])}
        return {name: arrays[name] for name in NAMES[self.op] if name in given}

    def graph(self, **changes: Any) -> Any:
        arrays = {**self.arrays(), **changes}
        inputs = [name if name in arrays else "" for name in NAMES[self.op]]
        outputs = OUTPUTS[self.op]
        node = helper.make_node(self.op, inputs, outputs, name="layer", hidden_size=HIDDEN, **self.attributes)
        fed = self.fed.split()
        graph = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, arrays[name].shape) for name in fed],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in arrays.items() if name not in fed],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


CASES = {
    **{op: Case(op) for op in NAMES},
    **{f"{op}, without biases": Case(op, optional="") for op in NAMES},
    **{f"{op}, reverse": Case(op, {"direction": "reverse"}) for op in NAMES},
    **{f"{op}, bidirectional, from a state": Case(op, BOTH, "B initial_h initial_c") for op in NAMES},
    **{f"{op}, batch first": Case(op, {**BOTH, "layout": 1}, "B initial_h initial_c") for op in NAMES},
    **{f"{op}, of different lengths": Case(op, BOTH, "B", (2, 5, 3)) for op in NAMES},
    **{
        f"{op}, of different lengths, from a state": Case(op, BOTH, "B initial_h initial_c", (0, 4, 1))
        for op in NAMES
    },
    **{f"{op}, of short lengths": Case(op, {"direction": "reverse"}, "B", (3, 3, 3)) for op in NAMES},
    **{f"{op}, of no length": Case(op, {}, "B", (0, 0, 0)) for op in NAMES},
    **{f"{op}, clipped": Case(op, {"clip": 0.4}, "B initial_h initial_c") for op in NAMES},
    **{
        f"{op}, of computed weights": Case(op, BOTH, "B initial_h initial_c", (), "X W R B initial_h")
        for op in NAMES
    },
    "GRU, reset behind the product": Case("GRU", {**BOTH, "linear_before_reset": 1}, "B initial_h"),
    "GRU, reset behind a product of zero": Case("GRU", {"linear_before_reset": 1}),
    "GRU, reset behind, without biases": Case("GRU", {"linear_before_reset": 1}, ""),
    "GRU, reset behind, computed": Case("GRU", {"linear_before_reset": 1}, "B", (), "X W R B"),
    "LSTM, peepholes": Case("LSTM", BOTH, "B P"),
    "LSTM, peepholes, from a state": Case("LSTM", {}, "B P initial_h initial_c"),
    "LSTM, peepholes, computed": Case("LSTM", {}, "B P initial_c", (), "X P initial_c"),
    "LSTM, coupled gates": Case("LSTM", {**BOTH, "input_forget": 1}, "B P initial_c"),
    "LSTM, coupled gates, from zero": Case("LSTM", {"input_forget": 1}),
    "LSTM, other functions": Case(
        "LSTM",
        {
            **BOTH,
            "activations": ["HardSigmoid", "Softsign", "Affine", "Sigmoid", "LeakyRelu", "ScaledTanh"],
            "activation_alpha": [0.3, 0.8, 0.2, 1.7],
            "activation_beta": [0.4, 0.1, 0.6],
        },
    ),
    "RNN, ReLU forth and Elu back": Case("RNN", {**BOTH, "activations": ["Relu", "Elu"]}),
    "RNN, threshold": Case("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.1]}),
    "RNN, softplus, defaults": Case("RNN", {**BOTH, "activations": ["Softplus", "ScaledTanh"]}),
    "GRU, defaults": Case("GRU", {"activations": ["HardSigmoid", "LeakyRelu"]}),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_and_gradients_are_those_of_the_twin(name: str) -> None:
    case = CASES[name]
    arrays, fed = case.arrays(), case.fed.split()
    plan, ins, outs = prepared(simplify(read(case.graph())))
    plan.forward([arrays[name] for name in fed])
    expected = layer(case.op, arrays, case.attributes)
    for value, array in zip(outs, expected):
        np.testing.assert_allclose(plan.read(value), array, rtol=1e-4, atol=2e-6)
    rng = np.random.default_rng(5)
    seeds = [rng.normal(size=array.shape).astype(np.float32) for array in expected]
    plan.backward(dict(zip(outs, seeds)))
    for value, moved in zip(ins, fed):
        direction, epsilon = rng.normal(size=arrays[moved].shape), 1e-6
        ends = [
            layer(case.op, {**arrays, moved: arrays[moved] + sign * epsilon * direction}, case.attributes)
            for sign in (1, -1)
        ]
        along = sum(((a - b) * g).sum() for a, b, g in zip(*ends, seeds)) / (2 * epsilon)
        found = (plan.gradient(value) * direction).sum()
        np.testing.assert_allclose(found, along, rtol=2e-4, atol=2e-5, err_msg=moved)


@pytest.mark.parametrize("op", NAMES)
@pytest.mark.parametrize("layout", [0, 1])
def test_each_sequence_of_a_batch_has_the_bits_that_it_has_alone(op: str, layout: int) -> None:
    """A file for one sequence, run with three: forward, and the gradient from every output."""
    case = Case(op, {**BOTH, "layout": layout}, "B P")
    arrays, axis = case.arrays(), 0 if layout else 1
    graph = simplify(read(in_columns(case, arrays["X"].take([0], axis))))
    rng = np.random.default_rng(2)
    x = rng.normal(size=(BATCH, INPUTS, STEPS)).astype(np.float32)
    seed = rng.normal(size=(BATCH, STEPS, 2, HIDDEN)).astype(np.float32)
    y, (dx,) = differentiated(graph, [x], seed)
    for n in range(BATCH):
        one, (done,) = differentiated(graph, [x[n : n + 1]], seed[n : n + 1])
        np.testing.assert_array_equal(one, y[n : n + 1])
        np.testing.assert_array_equal(done, dx[n : n + 1])


def in_columns(case: Case, one: np.ndarray) -> Any:
    """The case for sequences that come as N,inputs,steps, its output N,steps,directions,hidden."""
    batch_first = bool(case.attributes["layout"])
    model = case.graph(X=one)
    graph = model.graph
    to, back = ([0, 2, 1], [0, 1, 2, 3]) if batch_first else ([2, 0, 1], [2, 0, 1, 3])
    before = helper.make_node("Transpose", ["columns"], ["X"], perm=to)
    behind = helper.make_node("Transpose", ["Y"], ["y"], perm=back)
    nodes = [before, *graph.node, behind]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    shape = (1, INPUTS, STEPS)
    graph.input.append(helper.make_tensor_value_info("columns", TensorProto.FLOAT, shape))
    graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    return model


def test_a_known_state_of_one_sequence_is_that_of_each() -> None:
    case = Case("LSTM", {**BOTH, "layout": 0}, "B initial_h initial_c P")
    arrays = case.arrays()
    model = in_columns(case, arrays["X"][:, :1])
    for tensor in model.graph.initializer:
        if tensor.name.startswith("initial"):
            one = np.ascontiguousarray(arrays[tensor.name][:, :1])
            tensor.CopyFrom(numpy_helper.from_array(one, tensor.name))
            arrays[tensor.name] = np.repeat(one, BATCH, 1)
    columns = arrays["X"].transpose(1, 2, 0).copy()
    seed = np.zeros((BATCH, STEPS, 2, HIDDEN), np.float32)
    y, _ = differentiated(simplify(read(model)), [columns], seed)
    np.testing.assert_allclose(
        y, layer("LSTM", arrays, case.attributes)[0].transpose(2, 0, 1, 3), rtol=1e-4, atol=2e-6
    )


# operator, attributes, changed arrays, the error and its message
Row = Tuple[str, Dict[str, Any], Dict[str, np.ndarray], Type[CnnvizError], str]
BROKEN: Dict[str, Row] = {
    "direction": (
        "RNN",
        {"direction": "sideways"},
        {},
        ModelFormatError,
        "^layer .RNN.: direction is 'sideways'",
    ),
    "layout": ("GRU", {"layout": 2}, {}, ModelFormatError, "layout 2"),
    "rank": ("RNN", {}, {"X": np.ones((5, 4), np.float32)}, ModelFormatError, r"X has shape \(5, 4\)"),
    "hidden size": ("LSTM", {"hidden_size": 7}, {}, ModelFormatError, "hidden_size is 7"),
    "weights": (
        "LSTM",
        {},
        {"W": np.ones((1, 23, 4), np.float32)},
        ModelFormatError,
        r"input 1, 'W', has shape \(1, 23, 4\), expected \(1, 24, 4\)",
    ),
    "directions": ("GRU", BOTH, {}, ModelFormatError, r"expected \(2, 18, 4\)"),
    "biases": ("RNN", {}, {"B": np.ones((1, 6), np.float32)}, ModelFormatError, r"expected \(1, 12\)"),
    "lengths": (
        "RNN",
        {},
        {"sequence_lens": np.array([5, 6, 1])},
        ModelFormatError,
        r"sequence_lens has \[5, 6, 1\] for 5 time steps",
    ),
    "number of lengths": (
        "RNN",
        {},
        {"sequence_lens": np.array([5])},
        ModelFormatError,
        r"expected \(3,\)",
    ),
    "functions": ("LSTM", {"activations": ["Tanh"]}, {}, ModelFormatError, "lists 1 names, expected 3"),
    "function": ("RNN", {"activations": ["Cosh"]}, {}, ModelFormatError, "'cosh', which is none of affine"),
    "steps": (
        "RNN",
        {},
        {"X": np.ones((4097, BATCH, INPUTS), np.float32)},
        UnsupportedModelError,
        "make 4097 time steps, at most 4096",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_fit_is_refused(name: str) -> None:
    op, attributes, changes, error, message = BROKEN[name]
    case = Case(op)
    model = case.graph(**changes)
    node = model.graph.node[0]
    for key, value in attributes.items():
        for old in [one for one in node.attribute if one.name == key]:
            node.attribute.remove(old)
        node.attribute.append(helper.make_attribute(key, value))
    with pytest.raises(error, match=message):
        prepared(simplify(read(model)))


def test_lengths_that_depend_on_the_picture_are_refused() -> None:
    case = Case("GRU", {}, "B", (3, 4, 5))
    model = case.graph(sequence_lens=np.ones(3, np.float32))
    (lengths,) = (one for one in model.graph.initializer if one.name == "sequence_lens")
    model.graph.initializer.remove(lengths)
    model.graph.input.append(helper.make_tensor_value_info("sequence_lens", TensorProto.FLOAT, (3,)))
    with pytest.raises(UnsupportedModelError, match=r"'layer'.*sequence lengths depend on the picture"):
        prepared(simplify(read(model)))


@pytest.mark.parametrize("kept", ["Y_h", "Y_c"])
def test_outputs_may_be_left_out(kept: str) -> None:
    case = Case("LSTM")
    model, at = case.graph(), OUTPUTS["LSTM"].index(kept)
    node = model.graph.node[0]
    del node.output[:], model.graph.output[:]
    node.output.extend([""] * at + [kept])
    model.graph.output.append(helper.make_tensor_value_info(kept, TensorProto.FLOAT, None))
    plan, _, (value,) = prepared(simplify(read(model)))
    plan.forward([case.arrays()["X"]])
    expected = layer("LSTM", case.arrays(), {})[at]
    np.testing.assert_allclose(plan.read(value), expected, rtol=1e-4, atol=2e-6)


def test_layers_of_both_layouts_may_share_a_state() -> None:
    rng = np.random.default_rng(9)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in [(2, 6, 4), (2, 6, 6), (2, 2, 6)]]
    columns, state = np.float32(rng.normal(size=(3, 2, 4))), weights[2]
    inputs = ("x", "w", "r", "", "", "h")
    first = complete(Node("RNN", "first", inputs, ("y",), {"direction": "bidirectional"}))
    second = Node("RNN", "second", ("t", *inputs[1:]), ("z",), {"direction": "bidirectional", "layout": 1})
    turned = Node("Transpose", "turned", ("x",), ("t",), {"perm": (1, 0, 2)})
    constants = dict(zip("wrh", [*weights[:2], state]))
    outputs = (Tensor("y", None), Tensor("z", None))
    graph = Graph((Tensor("x", (3, 2, 4)),), outputs, (first, turned, complete(second)), constants)
    _, together = run(graph, columns)
    alone = graph.replace(nodes=graph.nodes[1:], outputs=outputs[1:])
    np.testing.assert_array_equal(together, run(alone, columns)[0])
