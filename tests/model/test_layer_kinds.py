"""The kinds of layers: what `model.layers` says can be asked of a layer can be asked, and nothing else."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import onnx
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz import objectives

RNG = np.random.default_rng(2)
PICTURE = RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)


def network() -> cnnviz.Model:
    """Maps, tokens, time steps before the batch, windows joined with it, scores and a map of scores."""
    rng = np.random.default_rng(1)
    constants: Dict[str, Any] = {
        "w": rng.normal(0, 0.4, (4, 3, 3, 3)),
        "b": rng.normal(0, 0.2, 4),
        "flat": np.array([0, 4, -1]),
        "windows": np.array([-1, 4]),
        "v": rng.normal(0, 0.5, (4, 5)),
        "m": rng.normal(0, 0.5, (2, 4, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Reshape", ["relu", "flat"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("Transpose", ["columns"], ["steps"], perm=[2, 0, 1]),
        helper.make_node("ReduceMax", ["steps"], ["longest"], axes=[0], keepdims=0),
        helper.make_node("Reshape", ["tokens", "windows"], ["rows"]),
        helper.make_node("MatMul", ["longest", "v"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=1),
        helper.make_node("Conv", ["relu", "m"], ["parts"]),
    ]
    file = onnx.load_from_string(onnx_bytes(nodes, constants, input_shape=["N", 3, 12, 12], output="shares"))
    for name in ("parts", "rows"):
        file.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return cnnviz.load(file, preprocessing="unit")


MODEL = network()
KINDS = {
    "conv": "maps",
    "relu": "maps",
    "columns": "places",
    "tokens": "places",
    "steps": "numbers",
    "longest": "numbers",
    "rows": "rows",
    "scores": "scores",
    "shares": "numbers",
    "parts": "map of scores",
}


def test_each_layer_has_its_kind() -> None:
    assert dict(MODEL.layers.kinds) == KINDS
    assert dict(MODEL.output("parts").layers.kinds) == KINDS
    lines = str(MODEL.layers).splitlines()
    assert [line.split("  ")[::2] for line in lines] == [[name, kind] for name, kind in KINDS.items()]
    row = next(line for line in MODEL.summary().splitlines() if line.startswith("parts"))
    assert "1x2x12x12  map of scores" in row
    assert MODEL.layers.ask("rows").startswith("rows: 144x4, rows: several rows for each picture")
    assert MODEL.layers.ask("logits").startswith("scores: 1x5, scores: targets are classes")
    assert MODEL.layers.ask("input") == "x: the network's input"


@pytest.mark.parametrize("layer", KINDS)
def test_a_target_can_be_put_on_all_but_rows(layer: str) -> None:
    x = MODEL.preprocess([PICTURE, PICTURE[::-1]])
    read = MODEL.forward(x, [layer])[layer]
    if KINDS[layer] == "rows":
        assert len(read) == 288
        with pytest.raises(ValueError, match=r"'rows' is 144x4 for one picture.*can be read, but no target"):
            MODEL.gradient(x, objectives.Layer(layer))
        return
    assert MODEL.gradient(x, objectives.Layer(layer)).gradients["input"].any()
    index = (0,) * (read.ndim - 1)
    first = np.moveaxis(read, MODEL.batch_axis(layer) or 0, 0)[(slice(None), *index)]
    np.testing.assert_array_equal(MODEL.value(x, objectives.Score(layer, index)), first)


@pytest.mark.parametrize("layer", [name for name, kind in KINDS.items() if kind in ("maps", "places")])
def test_places_are_layers_for_grad_cam(layer: str) -> None:
    assert cnnviz.grad_cam(MODEL, PICTURE, 2, layer).map.shape == (12, 12)


def test_a_network_that_mixes_its_batch_has_kinds_too() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"]),
        helper.make_node("Transpose", ["conv"], ["turned"], perm=[1, 0, 2, 3]),
        helper.make_node("Conv", ["turned", "v"], ["mixed"]),
        helper.make_node("Reshape", ["mixed", "s"], ["y"]),
    ]
    constants = {
        "w": RNG.normal(size=(4, 3, 3, 3)),
        "v": RNG.normal(size=(2, 1, 3, 3)),
        "s": np.array([1, 128]),
    }
    model = cnnviz.load(
        onnx_bytes(nodes, constants, input_shape=[1, 3, 8, 8], output="y"), preprocessing="unit"
    )
    assert "one picture at a time" in model.summary()
    kinds = dict(model.layers.kinds)
    assert (kinds["conv"], kinds["mixed"], kinds["y"]) == ("maps", "rows", "scores")
