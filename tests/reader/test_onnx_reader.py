"""The reader: the graphs that valid files become."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import cnnviz.graph.scores as graph_module
from cnnviz.reader.onnx_file import read

ASSETS = os.environ.get("CNNVIZ_ASSETS")


def value(name, shape=(1, 2, 4, 4), elem_type=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, elem_type, shape)


def model(nodes, *, initializers=(), inputs=None, outputs=None, opset=13, ir=8):
    graph = helper.make_graph(
        list(nodes),
        "g",
        [value("x")] if inputs is None else inputs,
        [value(nodes[-1].output[0], None)] if outputs is None else outputs,
        list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def test_sources_of_one_model_give_one_graph(tmp_path: Path):
    proto = model([helper.make_node("Relu", ["x"], ["y"])])
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    graphs = [read(source) for source in (proto, proto.SerializeToString(), path, str(path))]
    assert all(graph == graphs[0] for graph in graphs)
    assert [tensor.shape for tensor in graphs[0].inputs] == [(1, 2, 4, 4)]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float32"),
        ("bool", "int64"),
        ("int8", "int64"),
        ("uint8", "int64"),
        ("int16", "int64"),
        ("uint16", "int64"),
        ("int32", "int64"),
        ("uint32", "int64"),
        ("int64", "int64"),
        ("uint64", "int64"),
    ],
)
def test_element_types_become_float32_or_int64(dtype: str, expected: str, raw: bool):
    numbers = np.array([[0, 1, 3], [7, 100, 5]]).astype(dtype)
    code = helper.np_dtype_to_tensor_dtype(numbers.dtype)
    data = numbers.tobytes() if raw else numbers.ravel().tolist()
    tensor = helper.make_tensor("w", code, numbers.shape, data, raw=raw)
    graph = read(model([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[tensor]))
    array = graph.constants["w"]
    assert array.dtype == expected
    assert not array.flags.writeable
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, numbers.astype(expected))


def test_bfloat16_becomes_float32():
    numbers = [1.0, -2.5, 3.140625]  # exact in 8 bits
    tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [3], numbers)
    graph = read(model([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[tensor]))
    np.testing.assert_array_equal(graph.constants["w"], np.float32(numbers))


def test_initializers_may_be_inputs():
    weight = numpy_helper.from_array(np.ones((2, 1, 1), np.float32), "w")
    nodes = [helper.make_node("Mul", ["x", "w"], ["y"])]
    proto = model(nodes, initializers=[weight], inputs=[value("x"), value("w", (2, 1, 1))], opset=7, ir=3)
    graph = read(proto)
    assert [tensor.name for tensor in graph.inputs] == ["x"]


def test_free_dimensions_and_metadata_are_kept():
    proto = model([helper.make_node("Relu", ["x"], ["y"])], inputs=[value("x", ("N", 3, None, 8))])
    helper.set_model_props(proto, {"classes": "cat, dog"})
    graph = read(proto)
    assert graph.inputs[0].shape == (None, 3, None, 8)
    assert graph.metadata == {"classes": "cat, dog"}


def test_operands_become_attributes():
    """Clip has attributes up to opset 10 and inputs since 11; the graph is the same."""
    limits = [numpy_helper.from_array(np.float32(v), n) for n, v in (("low", 0.0), ("high", 6.0))]
    old = model([helper.make_node("Clip", ["x"], ["y"], name="c", min=0.0, max=6.0)], opset=9)
    new = model([helper.make_node("Clip", ["x", "low", "high"], ["y"], name="c")], initializers=limits)
    assert read(old) == read(new)
    assert read(new).nodes[0].attributes == {"min": 0.0, "max": 6.0}


def test_nodes_get_unique_names():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="r"),
        helper.make_node("Relu", ["a"], ["y"], name="r"),
    ]
    nodes.append(helper.make_node("Relu", ["y"], ["z"]))
    assert [node.name for node in read(model(nodes)).nodes] == ["r", "r_2", "z"]


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ([("Relu", {})], "v0"),
        ([("Softmax", {"axis": -1})], "x"),
        ([("Relu", {}), ("LogSoftmax", {"axis": -1})], "v0"),
        ([("Relu", {}), ("Softmax", {"axis": 1}), ("Flatten", {}), ("Identity", {})], "v0"),
        ([("Softmax", {"axis": 1}), ("Relu", {})], "v1"),
        ([("Relu", {}), ("Sigmoid", {}), ("Flatten", {})], "v0"),
        ([("Sigmoid", {}), ("Relu", {})], "v1"),
    ],
)
def test_pre_softmax_finds_the_scores(tail, expected: str):
    names = ["x"] + [f"v{i}" for i in range(len(tail))]
    nodes = [helper.make_node(op, [names[i]], [names[i + 1]], **kw) for i, (op, kw) in enumerate(tail)]
    assert graph_module.pre_softmax(read(model(nodes)), names[-1]) == expected


@pytest.mark.skipif(not ASSETS, reason="CNNVIZ_ASSETS is not set")
@pytest.mark.parametrize(
    "path", sorted(Path(ASSETS or ".").glob("models/*.onnx")), ids=lambda p: Path(str(p)).stem
)
def test_real_files_have_no_dangling_values(path: Path):
    graph = read(path)
    made = {name for node in graph.nodes for name in node.outputs}
    known = made | set(graph.constants) | {tensor.name for tensor in graph.inputs}
    assert all(name in known for node in graph.nodes for name in node.inputs if name)
    assert all(array.dtype in (np.float32, np.int64) for array in graph.constants.values())
