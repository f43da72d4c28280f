"""Loop and Scan, whose bodies are in the graph once for each iteration: numbers and names."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import pytest
from graphs import differentiated, run
from onnx import GraphProto, NodeProto, TensorProto, helper
from test_inlining import (
    FALSE,
    TRUE,
    X,
    branch,
    call,
    calling,
    either,
    function,
    model,
    node,
    tensors,
)

from cnnviz.errors import ModelFormatError
from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

FOREVER = np.array(2**63 - 1)


def body(inputs: str, outputs: str, *nodes: NodeProto, **constants: Any) -> GraphProto:
    """A body; `i` is an integer, `c` and `d` are conditions, all others numbers."""
    kinds = {"i": TensorProto.INT64, "c": TensorProto.BOOL, "d": TensorProto.BOOL}
    ends = [
        [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None) for name in names]
        for names in (inputs.split(), outputs.split())
    ]
    return helper.make_graph(list(nodes), "body", *ends, tensors(constants))


def loop(graph: GraphProto, count: str, condition: str, states: str, outputs: str = "y") -> NodeProto:
    inputs = [count, condition, *states.split()]
    return helper.make_node("Loop", inputs, outputs.split(), "loop", body=graph)


def scan(graph: GraphProto, inputs: str, outputs: str, sequences: int = 1, **more: Any) -> NodeProto:
    return helper.make_node(
        "Scan", inputs.split(), outputs.split(), "scan", body=graph, num_scan_inputs=sequences, **more
    )


GOES_ON = node("Identity", "c", "d")
HALVED = [node("Mul", "s h", "t"), node("Add", "t x", "u")]
HALVING = body("i c s", "d u", GOES_ON, *HALVED, h=np.float32(0.5))
STACKING = body("i c s", "d u t s", GOES_ON, *HALVED, h=np.float32(0.5))
UNTIL = body("i c s", "d u", node("Less", "i last", "d"), *HALVED, h=np.float32(0.5), last=np.array(2))
POSITIONS = body(
    "i c s", "d u e", GOES_ON, node("Cast", "i", "f", to=1), node("Mul", "x f", "e"), node("Add", "s e", "u")
)
THREE = {"n": np.array(3), "k": TRUE}


def halved(x: np.ndarray, count: int) -> List[np.ndarray]:
    """The state of each iteration of u = s / 2 + x, the first one x itself."""
    found = [x]
    for _ in range(count):
        found.append(found[-1] / 2 + x)
    return found


def stacks(x: np.ndarray) -> List[np.ndarray]:
    """The outputs of STACKING after three iterations."""
    states = halved(x, 3)
    return [states[3], np.stack([one / 2 for one in states[:3]]), np.stack(states[:3])]


Numbers = Callable[[np.ndarray], List[np.ndarray]]
Row = Tuple[Sequence[NodeProto], Dict[str, Any], Sequence[str], Numbers, List[str]]
STEP, RELU = ["Mul", "Add"], node("Relu", "x", "r")
STACK = [*["Unsqueeze"] * 3, "Concat"]

# nodes, constants, outputs, their numbers, and the operators of the simplified graph
LOOPS: Dict[str, Row] = {
    "count": ([loop(HALVING, "n", "", "x")], THREE, ["y"], lambda x: halved(x, 3)[-1:], STEP * 3),
    "count and condition": (
        [loop(HALVING, "n", "k", "x")],
        {"n": np.array([2]), "k": TRUE},
        ["y"],
        lambda x: halved(x, 2)[-1:],
        STEP * 2,
    ),
    "condition of the iteration": (
        [loop(UNTIL, "n", "k", "x")],
        {"n": FOREVER, "k": TRUE},
        ["y"],
        lambda x: halved(x, 3)[-1:],
        STEP * 3,
    ),
    "condition alone": (
        [loop(UNTIL, "", "k", "x")],
        {"k": TRUE},
        ["y"],
        lambda x: halved(x, 3)[-1:],
        STEP * 3,
    ),
    "no iteration": (
        [RELU, loop(HALVING, "n", "", "r")],
        {"n": np.array(0)},
        ["y"],
        lambda x: [np.maximum(x, 0)],
        ["Relu"],
    ),
    "closed from the start": (
        [RELU, loop(HALVING, "n", "k", "r")],
        {"n": np.array(3), "k": FALSE},
        ["y"],
        lambda x: [np.maximum(x, 0)],
        ["Relu"],
    ),
    "stacked": (
        [loop(STACKING, "n", "", "x", "y a b")],
        THREE,
        ["y", "a", "b"],
        stacks,
        STEP * 3 + STACK * 2,
    ),
    "only what is stacked": (
        [helper.make_node("Loop", ["n", "", "x"], ["", "a"], "loop", body=STACKING)],
        THREE,
        ["a"],
        lambda x: stacks(x)[1:2],
        [*STEP * 2, "Mul", *STACK],
    ),
    "numbers of the iterations": (
        [loop(POSITIONS, "n", "", "x", "y e")],
        THREE,
        ["y", "e"],
        lambda x: [x * 4, np.stack([x * 0, x, x * 2])],
        STEP * 3 + STACK,
    ),
    "computed count": (
        [node("Shape", "w", "s"), node("Gather", "s one", "n"), loop(HALVING, "n", "", "x")],
        {"w": np.ones((4, 2)), "one": np.array(1)},
        ["y"],
        lambda x: halved(x, 2)[-1:],
        STEP * 2,
    ),
    "states that change places": (
        [RELU, loop(body("i c s t", "d t s", GOES_ON), "n", "", "r x", "y z"), node("Neg", "z", "m")],
        THREE,
        ["y", "m"],
        lambda x: [x, -np.maximum(x, 0)],
        ["Relu", "Identity", "Neg"],
    ),
    "a loop in a loop": (
        [loop(body("i c s", "d u", GOES_ON, loop(HALVING, "m", "", "s", "u")), "n", "", "x")],
        {**THREE, "m": np.array(2)},
        ["y"],
        lambda x: halved(x, 6)[-1:],
        STEP * 6,
    ),
    "a branch in a loop": (
        [
            loop(
                body(
                    "i c s",
                    "d u",
                    GOES_ON,
                    node("Equal", "i zero", "first"),
                    either("first", branch(node("Exp", "s", "b")), branch(node("Tanh", "s", "b")), "u"),
                    zero=np.array(0),
                ),
                "n",
                "",
                "x",
            )
        ],
        THREE,
        ["y"],
        lambda x: [np.tanh(np.tanh(np.exp(x)))],
        ["Exp", "Tanh", "Tanh"],
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_read_for_each_iteration(name: str) -> None:
    nodes, constants, outputs, numbers, operators = LOOPS[name]
    graph = read(model(nodes, constants, outputs))
    assert [one.op for one in simplify(graph).nodes] == operators
    check(graph, numbers(X))


def check(graph: Any, expected: Sequence[np.ndarray]) -> None:
    for found in (run(graph, X), run(simplify(graph), X)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_function_may_loop() -> None:
    inner = body("i c s", "d u", GOES_ON, node("Mul", "s a", "u"))
    power = function("F", [loop(inner, "n", "", "a", "b")], "a n")
    check(read(calling([call("F", "x n")], power, n=np.array(2))), [X**3])


SUMS = body("s e", "t o", node("Add", "s e", "t"), node("Mul", "t e", "o"))
PAIRS = body("e f", "o", node("Sub", "e f", "o"))


def zeros(*shape: int) -> Dict[str, Any]:
    return {"z": np.zeros(shape, np.float32)}


def summed(
    x: np.ndarray, axis: int, stacked: int = 0, *, back: bool = False, before: bool = False
) -> List[Any]:
    """The last sum along an axis, and each sum times its element, stacked along another."""
    x = np.flip(x, axis) if back else x
    products = np.moveaxis(x.cumsum(axis) * x, axis, 0)
    return [x.sum(axis), np.moveaxis(products[::-1] if before else products, 0, stacked)]


SCANS: Dict[str, Tuple[NodeProto, Dict[str, Any], Sequence[str], Numbers]] = {
    "first axis": (scan(SUMS, "z x", "t y"), zeros(2, 4, 4), ["t", "y"], lambda x: summed(x, 0)),
    "an axis": (
        scan(SUMS, "z x", "t y", scan_input_axes=[1]),
        zeros(1, 4, 4),
        ["t", "y"],
        lambda x: summed(x, 1),
    ),
    "an axis from the end, stacked along another": (
        scan(SUMS, "z x", "t y", scan_input_axes=[-1], scan_output_axes=[2]),
        zeros(1, 2, 4),
        ["y"],
        lambda x: summed(x, 3, 2)[1:],
    ),
    "backward": (
        scan(SUMS, "z x", "t y", scan_input_axes=[3], scan_input_directions=[1]),
        zeros(1, 2, 4),
        ["t", "y"],
        lambda x: summed(x, 3, back=True),
    ),
    "stacked backward": (
        scan(SUMS, "z x", "t y", scan_input_axes=[2], scan_output_directions=[1], scan_output_axes=[-1]),
        zeros(1, 2, 4),
        ["y"],
        lambda x: summed(x, 2, 3, before=True)[1:],
    ),
    "two sequences without a state": (
        scan(PAIRS, "x w", "y", 2, scan_input_axes=[2, 0]),
        {"w": np.arange(4, dtype=np.float32)},
        ["y"],
        lambda x: [np.moveaxis(x, 2, 0) - np.arange(4).reshape(4, 1, 1, 1)],
    ),
}


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_is_read_for_each_step(name: str) -> None:
    one, constants, outputs, numbers = SCANS[name]
    check(read(model([one], constants, outputs)), numbers(X))


def test_the_iterations_are_differentiated() -> None:
    """The state u = s^2 of each iteration: x^8 after three."""
    square = body("i c s", "d u", GOES_ON, node("Mul", "s s", "u"))
    graph = simplify(read(model([loop(square, "n", "", "x")], {"n": np.array(3)})))
    g = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    y, (dx,) = differentiated(graph, [X], g)
    np.testing.assert_allclose(y, X**8, rtol=1e-4)
    np.testing.assert_allclose(dx, 8 * X**7 * g, rtol=1e-4, atol=1e-6)


def test_layers_are_named_after_the_iteration() -> None:
    graph = read(model([loop(HALVING, "n", "", "x")], THREE))
    assert [one.name for one in graph.nodes if one.op == "Mul"] == [f"loop/{i}/Mul t" for i in range(3)]


def test_initializers_of_a_body_are_in_the_graph_once() -> None:
    graph = read(model([loop(HALVING, "n", "", "x")], THREE))
    assert [name for name, value in graph.constants.items() if value.size == 1 and value.item() == 0.5] == [
        "loop/h"
    ]


def test_sequences_of_another_length_are_refused() -> None:
    """The body is read for the declared length: another one is no loop over all elements."""
    graph = read(
        model([scan(SUMS, "z x", "t y", scan_input_axes=[2])], {"z": np.zeros((1, 2, 4), np.float32)}, ["y"])
    )
    with pytest.raises(ValueError, match=r"x/0.*Split"):
        run(graph, np.zeros((1, 2, 5, 4), np.float32))


@pytest.mark.parametrize("count", [np.inf, np.nan, 2.5])
def test_a_count_that_is_no_integer_is_refused(count: float) -> None:
    with pytest.raises(ModelFormatError, match=r"\(Loop\): its number of iterations is float32"):
        read(model([loop(HALVING, "n", "", "x")], {"n": np.float32(count)}, ["y"]))
