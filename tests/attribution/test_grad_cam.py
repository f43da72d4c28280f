"""Grad-CAM at any layer, with the layer chosen where none is named."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import pytest
from onnx import NodeProto, helper
from toy_networks import onnx_bytes, small_classifier

import cnnviz
from cnnviz.attribution.cam_layer import last_spatial_layer
from cnnviz.attribution.grad_cam import upsample

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(softmax=True), preprocessing="imagenet")


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "conv2", "relu2"])
def test_the_map_is_its_formula(model: cnnviz.Model, layer: str) -> None:
    result = cnnviz.grad_cam(model, PICTURE, 3, layer)
    found = model.gradient(model.preprocess(PICTURE), 3, wrt=layer)
    activation, gradient = found.activations[layer][0], found.gradients[layer][0]
    cam = sum(g.astype(np.float64).mean() * a for g, a in zip(gradient, activation))
    np.testing.assert_allclose(result.values, cam, rtol=1e-4, atol=1e-6)
    assert result.values.shape == model.layers[layer][2:]
    np.testing.assert_array_equal(result.map, upsample(np.maximum(result.values, 0)[None], (32, 32))[0])
    assert result.map.min() >= 0


def test_several_layers_come_from_one_pass(model: cnnviz.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = ["relu1", "conv2", "relu2"]
    alone = {layer: cnnviz.grad_cam(model, PICTURE, 3, layer) for layer in layers}
    passes = counted_forwards(model, monkeypatch)
    together = cnnviz.grad_cam(model, PICTURE, 3, layers)
    assert passes == [1]
    assert list(together) == layers
    for layer in layers:
        assert together[layer].layer == layer
        np.testing.assert_array_equal(together[layer].values, alone[layer].values)
    pairs = cnnviz.grad_cam(model, PICTURE, [3, 5], layers)
    np.testing.assert_array_equal(pairs["conv2"][0].map, alone["conv2"].map)
    assert [result.target for result in pairs["conv2"]] == [3, 5]


def counted_forwards(model: cnnviz.Model, monkeypatch: pytest.MonkeyPatch) -> List[int]:
    """The batch sizes of the forward passes from here on."""
    passes: List[int] = []
    lend = model._pool.lend

    class Counting:
        def __init__(self, plan: Any) -> None:
            self.plan = plan

        def __getattr__(self, name: str) -> Any:
            return getattr(self.plan, name)

        def forward(self, inputs: List[Any]) -> None:
            passes.append(len(inputs[0]))
            self.plan.forward(inputs)

    @contextmanager
    def counting(request: Any) -> Iterator[Any]:
        with lend(request) as lowered:
            yield dataclasses.replace(lowered, plan=Counting(lowered.plan))

    monkeypatch.setattr(model._pool, "lend", counting)
    return passes


TECHNIQUES: Dict[str, Callable[..., Any]] = {
    "grad_cam": cnnviz.grad_cam,
    "saliency": cnnviz.saliency,
    "guided_backprop": cnnviz.guided_backprop,
}


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_several_targets_come_after_one_forward(
    model: cnnviz.Model, monkeypatch: pytest.MonkeyPatch, technique: str
) -> None:
    method = TECHNIQUES[technique]
    alone = [method(model, PICTURE, target) for target in (3, 5, 0)]
    passes = counted_forwards(model, monkeypatch)
    together = method(model, PICTURE, [3, 5, 0])
    assert passes == [1]
    for one, other in zip(alone, together):
        np.testing.assert_array_equal(one.values, other.values)
        assert (one.score, one.target) == (other.score, other.target)


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_the_predicted_class_comes_from_the_same_forward(
    model: cnnviz.Model, monkeypatch: pytest.MonkeyPatch, technique: str
) -> None:
    method, pictures = TECHNIQUES[technique], RNG.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    predicted = model.predicted(model.preprocess(pictures))
    named = method(model, pictures, predicted)
    passes = counted_forwards(model, monkeypatch)
    found = method(model, pictures)
    assert sum(passes) == 6
    assert [one.target for one in found] == predicted
    for one, other in zip(found, named):
        np.testing.assert_array_equal(one.values, other.values)
        assert (one.score, one.label, one.settings) == (other.score, other.label, other.settings)


def test_a_layer_may_be_named_by_its_node(model: cnnviz.Model) -> None:
    by_value, by_node = (cnnviz.grad_cam(model, PICTURE, 3, name) for name in ("conv2", "second"))
    np.testing.assert_array_equal(by_value.map, by_node.map)
    assert by_node.layer == "second"


def test_the_last_layer_with_places_is_the_default(model: cnnviz.Model) -> None:
    assert cnnviz.grad_cam(model, PICTURE).layer == "relu2"


def test_branches_off_the_way_to_the_scores_are_not_chosen() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"]),
        helper.make_node("GlobalAveragePool", ["conv"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
        helper.make_node("Relu", ["conv"], ["aside"]),
    ]
    data = onnx_bytes(
        nodes, {"w": RNG.normal(size=(4, 3, 3, 3))}, input_shape=["N", 3, 8, 8], output="scores"
    )
    assert cnnviz.grad_cam(cnnviz.load(data), PICTURE).layer == "conv"


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


# STEM ends in relu, N,4,6,6. HEADS are nodes from relu to the scores, and the layer that Grad-CAM takes.
STEM = [node("Conv", "x w", "conv"), node("Relu", "conv", "relu")]
LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
POOLED = [node("GlobalAveragePool", "last", "pooled"), node("Flatten", "pooled", "flat")]
HEADS: Dict[str, Tuple[List[NodeProto], str]] = {
    "channels last, flattened": (
        [node("Transpose", "relu", "turned", perm=LAST), node("Flatten", "turned", "flat")],
        "relu",
    ),
    "channels last, one more layer": (
        [
            node("Transpose", "relu", "turned", perm=LAST),
            node("Mul", "turned per_channel", "scaled"),
            node("Sigmoid", "scaled", "again"),
            node("Flatten", "again", "flat"),
        ],
        "relu",
    ),
    "channels last, and back": (
        [
            node("Transpose", "relu", "turned", perm=LAST),
            node("Mul", "turned per_channel", "scaled"),
            node("Transpose", "scaled", "last", perm=FIRST),
            *POOLED,
        ],
        "last",
    ),
    "added to tokens": (
        [
            node("Transpose", "relu", "turned", perm=LAST),
            node("MatMul", "turned square", "mixed"),
            node("Transpose", "mixed", "back", perm=FIRST),
            node("Add", "back relu", "last"),
            *POOLED,
        ],
        "last",
    ),
    "attention": (
        [
            node("Reshape", "relu heads", "q"),
            node("Transpose", "q", "k", perm=[0, 1, 3, 2]),
            node("MatMul", "k q", "pairs"),
            node("Softmax", "pairs", "attended"),
            node("MatMul", "q attended", "values"),
            node("Flatten", "values", "flat"),
        ],
        "relu",
    ),
    "heads that look like maps": (
        [node("Reshape", "relu heads", "q"), node("Sigmoid", "q", "gate"), node("Flatten", "gate", "flat")],
        "relu",
    ),
    "group normalisation, spelled out": (
        [
            node("Reshape", "relu groups", "rows"),
            node("InstanceNormalization", "rows ones zeros", "normal"),
            node("Reshape", "normal maps", "grouped"),
            node("Mul", "grouped per_map", "last"),
            *POOLED,
        ],
        "last",
    ),
    "shuffled channels, convolved": (
        [
            node("Reshape", "relu five", "split"),
            node("Transpose", "split", "swapped", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "swapped maps", "shuffled"),
            node("Conv", "shuffled one", "last"),
            *POOLED,
        ],
        "last",
    ),
    "gated": (
        [
            node("GlobalAveragePool", "relu", "mean"),
            node("Sigmoid", "mean", "gate"),
            node("Mul", "gate relu", "last"),
            *POOLED,
        ],
        "last",
    ),
    "joined": ([node("Concat", "relu conv", "last", axis=1), *POOLED], "last"),
    "joined in the batch": (
        [node("Concat", "relu conv", "last", axis=0), node("ReduceMean", "last", "flat", axes=[0, 2, 3])],
        "relu",
    ),
}
HEAD_CONSTANTS = {
    "w": RNG.normal(size=(4, 3, 3, 3)),
    "one": RNG.normal(size=(4, 4, 1, 1)),
    "square": RNG.normal(size=(4, 4)),
    "per_channel": RNG.normal(size=4),
    "per_map": RNG.normal(size=(4, 1, 1)),
    "ones": np.ones(2),
    "zeros": np.zeros(2),
    "heads": np.array([0, 2, 2, 36]),
    "groups": np.array([0, 2, 72]),
    "five": np.array([0, 2, 2, 6, 6]),
    "maps": np.array([0, 4, 6, 6]),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_default_layer_has_the_axes_of_the_picture(name: str) -> None:
    nodes, expected = HEADS[name]
    data = onnx_bytes([*STEM, *nodes], HEAD_CONSTANTS, input_shape=["N", 3, 8, 8], output="flat")
    model = cnnviz.load(data)
    assert last_spatial_layer(model) == expected
    assert model.layers[expected][2:] == (6, 6)


def test_a_network_without_maps_is_refused() -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    data = onnx_bytes(nodes, {"w": RNG.normal(size=(48, 5))}, input_shape=["N", 3, 4, 4], output="scores")
    linear = cnnviz.load(data)
    with pytest.raises(ValueError, match="no layer with maps before 'scores'"):
        cnnviz.grad_cam(linear, PICTURE)
    with pytest.raises(ValueError, match=r"layer 'scores' has shape \(1, 5\), of which no axes are"):
        cnnviz.grad_cam(linear, PICTURE, layer="scores")


CASES = [("mobilenetv2", "bull mastiff"), ("mobilenetv2", "tabby"), ("squeezenet", "bull mastiff")]


@pytest.mark.parametrize(("name", "label"), CASES, ids=["-".join(case) for case in CASES])
def test_the_dog_and_the_cat_are_found(
    network: Callable[[str], Any], assets: Path, name: str, label: str
) -> None:
    """The map is centred on the animal asked for: the dog's head and chest, or the cat in front of it."""
    result = cnnviz.grad_cam(network(name), assets / "images" / "gradcam_both.png", label)
    row, column = (np.average(np.arange(224), weights=result.map.sum(axis=axis)) for axis in (1, 0))
    low, high = (20, 110) if label == "bull mastiff" else (130, 215)
    assert low < row < high, (row, column)
    assert 60 < column < 165, (row, column)
