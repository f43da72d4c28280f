"""Simplification: the same numbers from fewer nodes, and a reason for each removed name."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import NodeProto, TensorProto, helper, numpy_helper

from cnnviz.graph.graph import Graph
from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

random = np.random.default_rng(0)
# One set of constants for all rows: weights, biases, statistics of batches, and numbers that broadcast.
CONSTANTS: Dict[str, np.ndarray] = {
    "w": random.normal(size=(4, 3, 3, 3)),
    "b": random.normal(size=4),
    "wd": random.normal(size=(4, 1, 3, 3)),
    "wt": random.normal(size=(3, 4, 2, 3)),
    "wg": random.normal(size=(4, 2, 2, 2)),
    "scale": random.normal(size=4),
    "shift": random.normal(size=4),
    "mean": random.normal(size=4),
    "var": random.uniform(0.5, 2, size=4),
    "c11": random.normal(size=(4, 1, 1)),
    "1c11": random.normal(size=(1, 4, 1, 1)),
    "scalar": np.asarray(random.normal()),
    "row": random.normal(size=8),
    "m": random.normal(size=(4 * 6 * 6, 5)),
    "mb": random.normal(size=5),
    "mb1": random.normal(size=(1, 5)),
}

INTEGERS = {
    "pads": [0, 0, 1, 2, 0, 0, 0, 1],
    "minus": [-1],
    "zero": 0,
    "axis0": [0],
    "one": [1],
    "rest": [144],
}


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"n_{output}", **attributes)


def network(nodes: Sequence[NodeProto], outputs: Sequence[str] = ("y",), opset: int = 15) -> Graph:
    constants = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in CONSTANTS.items()]
    constants += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in INTEGERS.items()]
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3, 8, 8))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        constants,
    )
    return read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))


CONV = node("Conv", "x w b", "a")
BARE = node("Conv", "x w", "a")
NORM = "scale shift mean var"
FLAT = node("Flatten", "a", "f")

# The nodes of a network, and the operators that are left.
ROWS: Dict[str, Tuple[List[NodeProto], List[str]]] = {
    "conv, batch norm": ([CONV, node("BatchNormalization", f"a {NORM}", "y", epsilon=0.1)], ["Conv"]),
    "conv without bias, batch norm": ([BARE, node("BatchNormalization", f"a {NORM}", "y")], ["Conv"]),
    "depthwise, batch norm": (
        [CONV, node("Conv", "a wd b", "d", group=4), node("BatchNormalization", f"d {NORM}", "y")],
        ["Conv", "Conv"],
    ),
    "transposed, batch norm, div": (
        [
            node("ConvTranspose", "x wt b", "a", strides=[2, 1]),
            node("BatchNormalization", f"a {NORM}", "n"),
            node("Div", "n c11", "y"),
        ],
        ["ConvTranspose"],
    ),
    "transposed in groups, batch norm": (
        [CONV, node("ConvTranspose", "a wg", "d", group=2), node("BatchNormalization", f"d {NORM}", "y")],
        ["Conv", "ConvTranspose"],
    ),
    "transposed, add row": (
        [node("ConvTranspose", "x wt", "a", strides=[1, 1], output_shape=[8, 8]), node("Add", "a row", "y")],
        ["ConvTranspose", "Add"],
    ),
    "conv, batch norm, mul, add": (
        [
            CONV,
            node("BatchNormalization", f"a {NORM}", "n"),
            node("Mul", "n c11", "s"),
            node("Add", "1c11 s", "y"),
        ],
        ["Conv"],
    ),
    "conv, scalar mul": ([CONV, node("Mul", "scalar a", "y")], ["Conv"]),
    "conv, sub from": ([CONV, node("Sub", "c11 a", "y")], ["Conv"]),
    "conv, sub": ([BARE, node("Sub", "a c11", "y")], ["Conv"]),
    "conv, div": ([CONV, node("Div", "a 1c11", "y")], ["Conv"]),
    "conv, div by": ([CONV, node("Div", "c11 a", "y")], ["Conv", "Div"]),
    "conv, add row": ([node("Conv", "x w b", "a", pads=[1] * 4), node("Add", "a row", "y")], ["Conv", "Add"]),
    "batch norm, mul, add": (
        [
            CONV,
            node("Relu", "a", "r"),
            node("BatchNormalization", f"r {NORM}", "n"),
            node("Mul", "n c11", "s"),
            node("Add", "s c11", "y"),
        ],
        ["Conv", "Relu", "BatchNormalization"],
    ),
    "conv read twice": (
        [CONV, node("BatchNormalization", f"a {NORM}", "n"), node("Add", "a n", "y")],
        ["Conv", "BatchNormalization", "Add"],
    ),
    "conv squared": ([CONV, node("Mul", "a a", "y")], ["Conv", "Mul"]),
    "identity, dropout, cast": (
        [
            CONV,
            node("Identity", "a", "i"),
            node("Dropout", "i", "d"),
            node("Cast", "d", "k", to=1),
            node("Relu", "k", "y"),
        ],
        ["Conv", "Relu"],
    ),
    "dropout between conv and batch norm": (
        [CONV, node("Dropout", "a", "d"), node("BatchNormalization", f"d {NORM}", "y")],
        ["Conv"],
    ),
    "pad, conv": ([node("Pad", "x pads", "p"), node("Conv", "p w b", "y", pads=[1, 0, 0, 1])], ["Conv"]),
    "reflect, conv": (
        [node("Pad", "x pads", "p", mode="reflect"), node("Conv", "p w b", "y")],
        ["Pad", "Conv"],
    ),
    "pad with a number, conv": (
        [node("Pad", "x pads scalar", "p"), node("Conv", "p w b", "y")],
        ["Pad", "Conv"],
    ),
    "transpose there and back": (
        [
            node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
            node("Transpose", "t", "u", perm=[0, 3, 1, 2]),
            node("Conv", "u w b", "y"),
        ],
        ["Conv"],
    ),
    "transpose twice": (
        [node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("Transpose", "t", "y", perm=[0, 2, 3, 1])],
        ["Transpose"],
    ),
    "transpose read twice": (
        [
            node("Transpose", "x", "t", perm=[0, 2, 3, 1]),
            node("Transpose", "t", "u", perm=[0, 3, 1, 2]),
            node("ReduceMean", "t", "r"),
            node("Add", "u r", "y"),
        ],
        ["Transpose", "ReduceMean", "Add"],
    ),
    "matmul, add": (
        [CONV, FLAT, node("MatMul", "f m", "p"), node("Add", "p mb", "y")],
        ["Conv", "Flatten", "Gemm"],
    ),
    "gemm, mul, add": (
        [
            CONV,
            FLAT,
            node("Gemm", "f m mb", "p", alpha=0.5, beta=2.0),
            node("Mul", "p mb1", "q"),
            node("Add", "q mb", "y"),
        ],
        ["Conv", "Flatten", "Gemm"],
    ),
    "gemm without bias": (
        [CONV, FLAT, node("Gemm", "f m", "p", beta=2.0), node("Add", "p mb", "y")],
        ["Conv", "Flatten", "Gemm"],
    ),
    "shape arithmetic": (
        [
            CONV,
            node("Shape", "a", "s"),
            node("Gather", "s zero", "g"),
            node("Unsqueeze", "g axis0", "h"),
            node("Concat", "h minus", "t", axis=0),
            node("Reshape", "a t", "y"),
        ],
        ["Conv", "Shape", "Gather", "Unsqueeze", "Concat", "Reshape"],
    ),
    "constant arithmetic": (
        [
            CONV,
            node("Mul", "rest one", "k"),
            node("Concat", "minus k", "t", axis=0),
            node("Reshape", "a t", "y"),
        ],
        ["Conv", "Reshape"],
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_simpler_graph_computes_the_same_numbers(name: str) -> None:
    nodes, operators = ROWS[name]
    graph = network(nodes)
    simple = simplify(graph)
    assert [n.op for n in simple.nodes] == operators
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    expected, found = run(graph, x)[0], run(simple, x)[0]
    assert np.abs(found - expected).max() <= 2e-6 * np.abs(expected).max()


def test_removed_names_have_an_alias_or_a_reason() -> None:
    nodes = [
        CONV,
        node("BatchNormalization", f"a {NORM}", "n"),
        node("Relu", "n", "r"),
        node("Dropout", "r", "d"),
        node("Identity", "d", "i"),
        node("Relu", "i", "y"),
    ]
    graph = simplify(network(nodes))
    assert [(n.name, n.op, n.outputs) for n in graph.nodes] == [
        ("n_n", "Conv", ("n",)),
        ("n_r", "Relu", ("r",)),
        ("n_y", "Relu", ("y",)),
    ]
    assert graph.aliases == {"d": "r", "i": "r", "n_d": "r", "n_i": "r"}
    assert graph.vanished == {"a": "it was folded into 'n'", "n_a": "it was folded into 'n'"}


@pytest.mark.parametrize(
    ("nodes", "outputs", "operators"),
    [
        ([CONV, node("Dropout", "a", "y")], ["y"], ["Conv"]),
        ([CONV, node("Dropout", "a", "y"), node("Relu", "a", "r")], ["y", "r"], ["Conv", "Relu"]),
        ([CONV, node("Dropout", "a", "y")], ["a", "y"], ["Conv", "Dropout"]),
        ([node("Identity", "x", "y")], ["y"], ["Identity"]),
        ([CONV, node("BatchNormalization", f"a {NORM}", "y")], ["a", "y"], ["Conv", "BatchNormalization"]),
    ],
)
def test_outputs_keep_their_names(nodes, outputs: List[str], operators: List[str]) -> None:
    graph = network(nodes, outputs)
    simple = simplify(graph)
    assert [tensor.name for tensor in simple.outputs] == outputs
    assert [n.op for n in simple.nodes] == operators
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    for expected, found in zip(run(graph, x), run(simple, x)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_simplify_does_not_change_its_argument() -> None:
    graph = network([CONV, node("BatchNormalization", f"a {NORM}", "y")])
    before = (graph.nodes, dict(graph.constants))
    simplify(graph)
    assert (graph.nodes, dict(graph.constants)) == before


def test_trained_networks_lose_their_batch_norm(assets) -> None:
    for name in ("darknet-tiny", "mobilenetv1-0.25", "resnet20-cifar10"):
        graph = simplify(read(assets / "models" / f"{name}.onnx"))
        assert "BatchNormalization" not in {n.op for n in graph.nodes}


BN = node("BatchNormalization", f"x {NORM}", "n")
SCALED = node("Mul", "n k", "y")
RELU, AFTER_RELU = node("Relu", "x", "r"), node("BatchNormalization", f"r {NORM}", "n")
CONVOLVED, CONVOLVED_BN = node("Conv", "x u", "c"), node("BatchNormalization", f"c {NORM}", "n")
STAMPED = node("ConvTranspose", "x u", "c")
# The rank of x, the nodes, the shape of the constant k, and the operators that are left.
RANKS: Dict[str, Tuple[int, List[NodeProto], Tuple[int, ...], List[str]]] = {
    "a signal's channels": (3, [BN, SCALED], (4, 1), ["BatchNormalization"]),
    "a picture's channels": (4, [BN, SCALED], (4, 1, 1), ["BatchNormalization"]),
    "a volume's channels": (5, [BN, SCALED], (1, 4, 1, 1, 1), ["BatchNormalization"]),
    "features": (2, [BN, SCALED], (4,), ["BatchNormalization"]),
    "a volume's depths": (5, [BN, SCALED], (4, 1, 1), ["BatchNormalization", "Mul"]),
    "a signal's batch": (3, [BN, SCALED], (4, 1, 1), ["BatchNormalization", "Mul"]),
    "behind a rectifier": (5, [RELU, AFTER_RELU, SCALED], (4, 1, 1, 1), ["Relu", "BatchNormalization"]),
    "behind a rectifier, depths": (
        5,
        [RELU, AFTER_RELU, SCALED],
        (4, 1, 1),
        ["Relu", "BatchNormalization", "Mul"],
    ),
    "convolved signal": (3, [CONVOLVED, CONVOLVED_BN, SCALED], (4, 1), ["Conv"]),
    "convolved volume": (5, [CONVOLVED, CONVOLVED_BN, SCALED], (4, 1, 1, 1), ["Conv"]),
    "convolved volume, depths": (5, [CONVOLVED, CONVOLVED_BN, SCALED], (4, 1, 1), ["Conv", "Mul"]),
    "volume convolved and transposed": (5, [STAMPED, CONVOLVED_BN, SCALED], (4, 1, 1, 1), ["ConvTranspose"]),
}


@pytest.mark.parametrize("name", RANKS)
def test_channels_are_found_at_every_rank(name: str) -> None:
    """All axes have four elements, so that a constant fits every axis that its shape puts it on."""
    ndim, nodes, shape, left = RANKS[name]
    rng = np.random.default_rng(0)
    arrays = {key: CONSTANTS[key] for key in ("scale", "shift", "mean", "var")}
    arrays.update(k=rng.normal(size=shape), u=rng.normal(size=(4, 4, *(1,) * (ndim - 2))))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (4,) * ndim)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in arrays.items()],
    )
    model = read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8))
    simple = simplify(model)
    assert [n.op for n in simple.nodes] == left
    x = rng.normal(size=(4,) * ndim).astype(np.float32)
    np.testing.assert_allclose(run(simple, x)[0], run(model, x)[0], rtol=1e-4, atol=1e-5)
