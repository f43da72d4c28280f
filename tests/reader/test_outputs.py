"""Chosen outputs: the graph behind them is not read, whatever it holds."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import cnnviz
from cnnviz.errors import UnsupportedModelError
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 8, 8)).astype(np.float32)


def detector() -> onnx.ModelProto:
    """Two heads, and a tail with a second input that suppresses boxes."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["maps"], name="backbone", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["maps", "v"], ["cls"], name="head/cls"),
        helper.make_node("Conv", ["maps", "u"], ["box"], name="head/box"),
        helper.make_node("GlobalAveragePool", ["cls"], ["pooled"]),
        helper.make_node("Reshape", ["cls", "to_scores"], ["scores"]),
        helper.make_node("Reshape", ["box", "to_boxes"], ["boxes"]),
        helper.make_node("Mul", ["boxes", "scale"], ["scaled"]),
        helper.make_node("NonMaxSuppression", ["scaled", "scores", "most"], ["picked"], name="nms"),
        helper.make_node("Custom", ["picked"], ["drawn"], domain="of.somebody"),
    ]
    constants = {
        "w": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "v": RNG.normal(size=(2, 4, 1, 1)).astype(np.float32),
        "u": RNG.normal(size=(4, 4, 1, 1)).astype(np.float32),
        "to_scores": np.array([0, 2, -1]),
        "to_boxes": np.array([0, -1, 4]),
        "most": np.array([3]),
    }
    inputs = [("x", ["N", 3, 8, 8]), ("scale", [1])]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info("drawn", TensorProto.INT64, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("of.somebody", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_the_whole_file_is_refused_and_names_its_tail() -> None:
    with pytest.raises(UnsupportedModelError, match="NonMaxSuppression: nms"):
        cnnviz.load(detector())


@pytest.mark.parametrize(
    ("outputs", "shapes", "nodes"),
    [
        (["cls"], [(2, 2, 8, 8)], ["backbone", "head/cls"]),
        (["head/cls"], [(2, 2, 8, 8)], ["backbone", "head/cls"]),
        (("cls", "box"), [(2, 2, 8, 8), (2, 4, 8, 8)], ["backbone", "head/cls", "head/box"]),
        (["box", "cls"], [(2, 4, 8, 8), (2, 2, 8, 8)], ["backbone", "head/cls", "head/box"]),
        (["scores"], [(2, 2, 64)], ["backbone", "head/cls", "scores"]),
        (["maps", "pooled"], [(2, 4, 8, 8), (2, 2, 1, 1)], ["backbone", "head/cls", "pooled"]),
    ],
)
def test_the_first_of_the_chosen_outputs_has_the_scores(
    outputs: Sequence[str], shapes: List[Any], nodes: List[str]
) -> None:
    proto = detector()
    before = proto.SerializeToString()
    graph = read(proto, outputs)
    assert [node.name for node in graph.nodes] == nodes
    assert [tensor.name for tensor in graph.inputs] == ["x"]
    model = cnnviz.load(proto, outputs=outputs, preprocessing="unit")
    assert model.forward(X).shape == shapes[0]
    names = [tensor.name for tensor in model.graph.outputs]
    assert [value.shape for value in model.forward(X, names).values()] == shapes
    assert model.logits_name == names[0]
    assert proto.SerializeToString() == before
    again = cnnviz.load(before, outputs=outputs, preprocessing="unit")
    np.testing.assert_array_equal(again.forward(X), model.forward(X))


def test_a_box_of_a_detector_without_its_tail_is_explained() -> None:
    model = cnnviz.load(detector(), outputs=["scores", "boxes"], preprocessing="unit")
    picture = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    score = cnnviz.saliency(model, picture, cnnviz.objectives.Score("scores", (1, 27)))
    assert {(row, column) for row, column in zip(*np.nonzero(score.map))} <= {
        (row, column) for row in (2, 3, 4) for column in (2, 3, 4)
    }
    assert cnnviz.saliency(model, picture, cnnviz.objectives.Score("boxes", (27, 3))).map.any()


def test_the_error_names_the_other_outputs() -> None:
    model = cnnviz.load(detector(), outputs=["boxes", "pooled"], preprocessing="unit")
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"ends in 'boxes'.*output\('pooled'\) of the model"):
        model.predict(picture)
    other = cnnviz.load(detector(), outputs=["pooled", "boxes"], preprocessing="unit")
    assert (other.answer, len(other.predict(picture))) == ("classes", 2)


REFUSED: Dict[str, Any] = {
    "outputs must be a list of names, not 'cls'": "cls",
    r"outputs must be a list of names, not \[1\]": [1],
    "outputs must name at least one value": [],
    "each once": ["cls", "head/cls"],
    "no node makes 'clss'; did you mean 'cls'": ["clss"],
    "no node makes 'x'": ["x"],
    "no node makes 'w'": ["w"],
}


@pytest.mark.parametrize("match", REFUSED)
def test_outputs_that_do_not_exist_are_refused(match: str) -> None:
    outputs = REFUSED[match]
    error = TypeError if "list of names" in match else ValueError
    with pytest.raises(error, match=match):
        cnnviz.load(detector(), outputs=outputs)


def test_a_tail_that_is_needed_is_still_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="NonMaxSuppression"):
        cnnviz.load(detector(), outputs=["picked"])
