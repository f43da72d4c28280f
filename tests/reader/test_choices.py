"""Outputs that follow from choices are left out, with a warning that says what to ask for instead."""

from __future__ import annotations

import warnings
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import cnnviz
from cnnviz.errors import UnsupportedModelError
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 6, 6)).astype(np.float32)
CONSTANTS = {
    "w": RNG.normal(size=(4, 3, 1, 1)).astype(np.float32),
    "most": np.array([3]),
    "half": np.float32(0.5),
    "flat": np.array([0, 4, -1]),
    "box": np.array([0, -1, 4]),
    "three": np.array([1.0, 3.0, 2.0], np.float32),
}


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"the {op}", **attributes)


HEAD = [node("Conv", "x w", "maps"), node("GlobalAveragePool", "maps", "p"), node("Flatten", "p", "logits")]


def model_of(nodes: List[NodeProto], outputs: str) -> ModelProto:
    graph = helper.make_graph(
        [*HEAD, *nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 6, 6])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in CONSTANTS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


NMS = [
    node("Reshape", "maps flat", "scores"),
    node("Reshape", "maps box", "boxes"),
    node("NonMaxSuppression", "boxes scores most half half", "picked"),
]
MASK = [node("Greater", "logits half", "m"), node("NonZero", "m", "where")]

# nodes behind the head, outputs of the file, outputs that are left, parts of the warning
LEFT: Dict[str, Tuple[List[NodeProto], str, List[str], List[str]]] = {
    "class beside scores": (
        [node("ArgMax", "logits", "class", axis=1)],
        "logits class",
        ["logits"],
        ["outputs ['class']", "(ArgMax: the ArgMax)", "outputs=['logits'] of cnnviz.load"],
    ),
    "class before scores": ([node("ArgMax", "logits", "class")], "class logits", ["logits"], ["['class']"]),
    "boxes beside scores": (
        [*NMS, node("Cast", "picked", "kept", to=1)],
        "kept logits picked",
        ["logits"],
        ["outputs ['kept', 'picked']", "NonMaxSuppression", "outputs=['boxes', 'scores']"],
    ),
    "class alone": (
        [node("ArgMax", "maps", "class", axis=1), node("Cast", "class", "c", to=6)],
        "c",
        ["maps"],
        ["the network ends in 'maps'"],
    ),
    "best five": (
        [node("Softmax", "logits", "s"), node("TopK", "s most", "values indices")],
        "values indices",
        ["s"],
        ["outputs ['values', 'indices']", "TopK", "ends in 's'"],
    ),
    "mask": (MASK, "where", ["logits"], ["NonZero", "ends in 'logits'"]),
}


@pytest.mark.parametrize("name", LEFT)
def test_outputs_that_have_a_gradient_are_left(name: str) -> None:
    nodes, outputs, left, parts = LEFT[name]
    proto = model_of(nodes, outputs)
    before = proto.SerializeToString()
    with pytest.warns(UserWarning, match="follow from choices") as caught:
        model = cnnviz.load(proto, preprocessing="unit")
    assert [str(one.message) for one in caught if all(part in str(one.message) for part in parts)]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert [tensor.name for tensor in model.graph.outputs] == left
    asked = cnnviz.load(before, preprocessing="unit", outputs=left)
    np.testing.assert_array_equal(model.forward(X), asked.forward(X))
    assert proto.SerializeToString() == before


KEPT = {
    "chosen outputs": ([node("ArgMax", "logits", "class")], "logits class", ["logits"]),
    "a choice of constants": (
        [node("ArgMax", "three", "i", keepdims=0), node("Gather", "logits i", "y", axis=1)],
        "y",
        None,
    ),
    "a choice of sizes": (
        [node("Shape", "logits", "s"), node("NonZero", "s", "z"), node("Gather", "logits z", "y", axis=1)],
        "y",
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_nothing_is_said_where_nothing_is_left_out(name: str) -> None:
    nodes, outputs, asked = KEPT[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = cnnviz.load(model_of(nodes, outputs), preprocessing="unit", outputs=asked)
    assert model.forward(X).shape[0] == 2


def test_a_choice_that_reads_several_values_is_refused_and_says_what_to_ask() -> None:
    with pytest.raises(UnsupportedModelError, match=r"(?s)NonMaxSuppression.*outputs=\['boxes', 'scores'\]"):
        cnnviz.load(model_of(NMS, "picked"))


def test_scores_behind_a_choice_are_refused() -> None:
    nodes = [node("TopK", "logits most", "best i"), node("ReduceSum", "best", "y")]
    with pytest.raises(UnsupportedModelError, match="TopK"):
        read(model_of(nodes, "y"))
    with pytest.raises(UnsupportedModelError, match="TopK"):
        cnnviz.load(model_of(nodes, "y"), outputs=["y"])
