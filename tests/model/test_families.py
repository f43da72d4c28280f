"""Every technique on a small network of each family, against `Model.gradient` and against differences."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz.attribution.grad_cam import upsample
from cnnviz.model.places import as_maps, places_of
from cnnviz.objectives import Logit, Objective, Region, Score

RNG = np.random.default_rng(11)
PICTURE, STYLE = RNG.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(" "), outputs.split(" "), **attributes)


def convolution(source: str, output: str, weights: str, *, stride: int = 1, act: str = "Relu") -> List[Any]:
    made = node("Conv", f"{source} {weights}", f"{output}_sum", strides=[stride, stride], pads=[1, 1, 1, 1])
    return [made, node(act, f"{output}_sum", output)]


U_NET = [
    *convolution("x", "fine", "first"),
    *convolution("fine", "coarse", "square", stride=2),
    *convolution("coarse", "middle", "square"),
    node("ConvTranspose", "middle up", "risen", kernel_shape=[2, 2], strides=[2, 2]),
    node("Concat", "fine risen", "skip", axis=1),
    *convolution("skip", "last", "join"),
    node("Conv", "last three", "y"),
]
# Two scales of cells; a row has x, y, an objectness and two classes, and x and y get the cell added.
YOLO = [
    *convolution("x", "stem", "first", act="Softplus"),
    *convolution("stem", "trunk", "square", stride=2),
    *convolution("trunk", "fine", "square"),
    *convolution("trunk", "coarse", "square", stride=2),
    node("Conv", "fine five", "fine_map"),
    node("Reshape", "fine_map list", "fine_list"),
    node("Conv", "coarse five", "coarse_map"),
    node("Reshape", "coarse_map list", "coarse_list"),
    node("Concat", "fine_list coarse_list", "all", axis=2),
    node("Transpose", "all", "rows", perm=[0, 2, 1]),
    node("Sigmoid", "rows", "shares"),
    node("Add", "shares cells", "y"),
]
REGRESSOR = [
    *convolution("x", "stem", "first", stride=2),
    *convolution("stem", "last", "square"),
    node("GlobalAveragePool", "last", "mean"),
    node("Flatten", "mean", "features"),
    node("Gemm", "features weigh", "y"),
]


def block(source: str, output: str) -> List[Any]:
    """A transformer's block of two heads: attention and a mixer of channels, each with norm and sum."""
    return [
        node("LayerNormalization", f"{source} ones", f"{output}_norm", axis=-1),
        *[
            made
            for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3]))
            for made in (
                node("MatMul", f"{output}_norm {name}", f"{output}_{name}"),
                node("Reshape", f"{output}_{name} heads", f"{output}_{name}_split"),
                node("Transpose", f"{output}_{name}_split", f"{output}_{name}_heads", perm=perm),
            )
        ],
        node("MatMul", f"{output}_q_heads {output}_k_heads", f"{output}_products"),
        node("Softmax", f"{output}_products", f"{output}_shares", axis=-1),
        node("MatMul", f"{output}_shares {output}_v_heads", f"{output}_weighted"),
        node("Transpose", f"{output}_weighted", f"{output}_together", perm=[0, 2, 1, 3]),
        node("Reshape", f"{output}_together merged", f"{output}_merged"),
        node("Add", f"{source} {output}_merged", f"{output}_attended"),
        node("MatMul", f"{output}_attended mix", f"{output}_wide"),
        node("Gelu", f"{output}_wide", f"{output}_active"),
        node("MatMul", f"{output}_active mix", f"{output}_mixed"),
        node("Add", f"{output}_attended {output}_mixed", output),
    ]


VIT = [
    node("Conv", "x patch", "patches", strides=[8, 8]),
    node("Reshape", "patches flat", "columns"),
    node("Transpose", "columns", "tokens", perm=[0, 2, 1]),
    node("Concat", "class tokens", "with_class", axis=1),
    node("Add", "with_class positions", "stream"),
    *block("stream", "one"),
    *block("one", "two"),
    node("LayerNormalization", "two ones", "normal", axis=-1),
    node("Gather", "normal zero", "first_token", axis=1),
    node("Flatten", "first_token", "answer"),
    node("Gemm", "answer classify", "y"),
]
CONSTANTS = {
    "first": RNG.normal(0, 0.4, (4, 3, 3, 3)),
    "square": RNG.normal(0, 0.3, (4, 4, 3, 3)),
    "up": RNG.normal(0, 0.4, (4, 4, 2, 2)),
    "join": RNG.normal(0, 0.2, (4, 8, 3, 3)),
    "three": RNG.normal(0, 0.5, (3, 4, 1, 1)),
    "five": np.abs(RNG.normal(0, 0.5, (5, 4, 1, 1))),
    "list": np.array([0, 5, -1]),
    "cells": np.pad(RNG.integers(0, 16, (1, 320, 2)), ((0, 0), (0, 0), (0, 3))).astype(np.float32),
    "weigh": RNG.normal(0, 1, (4, 1)),
    "patch": RNG.normal(0, 0.1, (8, 3, 8, 8)),
    "flat": np.array([0, 8, -1]),
    "class": RNG.normal(size=(1, 1, 8)),
    "positions": RNG.normal(0, 0.3, (1, 17, 8)),
    "ones": np.ones(8),
    "q": RNG.normal(0, 0.6, (8, 8)),
    "k": RNG.normal(0, 0.6, (8, 8)),
    "v": RNG.normal(0, 0.6, (8, 8)),
    "mix": RNG.normal(0, 0.4, (8, 8)),
    "heads": np.array([0, 17, 2, 4]),
    "merged": np.array([0, 17, 8]),
    "zero": np.array([0]),
    "classify": RNG.normal(0, 1, (8, 5)),
}


class Family(NamedTuple):
    """A network, a question, the layer of Grad-CAM, and content and style layers."""

    nodes: List[Any]
    target: Any
    layer: str
    content: str
    style: Tuple[str, ...]
    batch: Any = "N"


FAMILIES: Dict[str, Family] = {
    "U-Net": Family(U_NET, 2, "last", "fine", ("fine", "coarse")),
    "a part of a U-Net's map": Family(
        U_NET, Region("y", 1, np.eye(32, dtype=bool)), "last", "fine", ("fine", "coarse")
    ),
    "detector, a box of the fine cells": Family(
        YOLO, Score("logits", (5, 3)), "fine", "fine", ("stem", "trunk", "coarse")
    ),
    "detector, a box of the coarse cells": Family(
        YOLO, Score("logits", (270, 3)), "coarse", "fine", ("stem", "trunk", "coarse")
    ),
    "regressor": Family(REGRESSOR, Logit(0), "last", "last", ("stem",)),
    "vision transformer": Family(VIT, 3, "two_norm", "patches", ("patches",), 1),
}


def network(name: str) -> cnnviz.Model:
    family = FAMILIES[name]
    used = {source for one in family.nodes for source in one.input}
    constants = {key: value for key, value in CONSTANTS.items() if key in used}
    shape = [family.batch, 3, 32, 32]
    return cnnviz.load(
        onnx_bytes(family.nodes, constants, input_shape=shape, output="y", opset=20), preprocessing="unit"
    )


MODELS = {name: network(name) for name in FAMILIES}


def by_hand(name: str, wrt: str, relu: str = "plain") -> Any:
    """The gradient that a technique has to use."""
    return MODELS[name].gradient(MODELS[name].preprocess(PICTURE), asked(name), wrt=wrt, relu=relu)


def asked(name: str) -> Any:
    """The target as an objective: the places of a U-Net's class are those of the picture itself."""
    target = FAMILIES[name].target
    if MODELS[name].answer != "map" or isinstance(target, Objective):
        return target
    won = MODELS[name].forward(MODELS[name].preprocess(PICTURE))[0].argmax(axis=0) == target
    return Region("y", target, won)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_gradient_is_the_slope(name: str) -> None:
    model, target = MODELS[name], asked(name)
    x = model.preprocess(PICTURE)
    gradient = by_hand(name, "input").gradients["input"]
    length = float(np.linalg.norm(gradient))
    assert length > 1e-4
    for seed in range(4):
        way = np.random.default_rng(seed).normal(size=x.shape) + gradient * (x.size**0.5 / length)
        way = (way / np.linalg.norm(way)).astype(np.float32)
        ends = [float(model.gradient(x + step * way, target).value[0]) for step in (-0.01, 0.01)]
        slope = (ends[1] - ends[0]) / 0.02
        assert abs(slope - float(np.vdot(gradient, way))) < 0.02 * length


@pytest.mark.parametrize("name", FAMILIES)
def test_saliency_and_guided_backprop_are_the_gradient(name: str) -> None:
    model, target = MODELS[name], FAMILIES[name].target
    for technique, relu in ((cnnviz.saliency, "plain"), (cnnviz.guided_backprop, "guided")):
        found = technique(model, PICTURE, target)
        np.testing.assert_array_equal(found.values, by_hand(name, "input", relu).gradients["input"][0])
        np.testing.assert_array_equal(found.map, np.abs(found.values).max(axis=0))
        assert found.flags == ()


@pytest.mark.parametrize("name", FAMILIES)
def test_grad_cam_follows_its_formula_at_its_own_layer(name: str) -> None:
    model, (_, target, layer, *_) = MODELS[name], FAMILIES[name]
    found = cnnviz.grad_cam(model, PICTURE, target)
    assert found.layer == layer
    answer, places = by_hand(name, layer), places_of(model, layer)
    alpha = as_maps(answer.gradients[layer], places).mean(axis=(2, 3))
    expected = np.einsum("nc,nchw->nhw", alpha, as_maps(answer.activations[layer], places))
    np.testing.assert_allclose(found.values, expected[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        found.map, upsample(np.maximum(expected, 0), (32, 32))[0], rtol=1e-4, atol=1e-6
    )
    assert np.ptp(found.values) > 1e-5
    guided = cnnviz.guided_grad_cam(model, PICTURE, target)
    colours = cnnviz.guided_backprop(model, PICTURE, target).values
    np.testing.assert_allclose(guided.values, colours * found.map, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", FAMILIES)
def test_class_pictures_raise_the_score(name: str) -> None:
    model, target = MODELS[name], FAMILIES[name].target
    options: Dict[str, Any] = {"l2": 0.0, "jitter": 0, "blur_every": 0, "progress": False}
    first, last = (cnnviz.class_visualization(model, target, steps=steps, **options) for steps in (1, 30))
    scores = [float(as_score(model, target, one.image)) for one in (first, last)]
    assert scores[1] > scores[0] + 0.03
    assert np.ptp(last.image) > 0


def as_score(model: cnnviz.Model, target: Any, image: Any) -> float:
    scores = model.forward(model.preprocess(image))
    if isinstance(target, int) and model.answer == "map":
        return float(scores[0, target].mean())
    return float(model.gradient(model.preprocess(image), target).value[0])


@pytest.mark.parametrize("name", ["U-Net", "vision transformer"])
def test_a_network_of_classes_is_fooled(name: str) -> None:
    model = MODELS[name]
    rows = model.scores(model.preprocess(PICTURE))
    target = int(np.argsort(model.head.answer.rows(rows)[0])[0])
    made = cnnviz.fooling_image(model, PICTURE, target, progress=False)
    assert target == int(model.head.answer.rows(model.scores(model.preprocess(made.image)))[0].argmax())


@pytest.mark.parametrize("name", ["detector, a box of the fine cells", "regressor"])
def test_a_network_without_classes_cannot_be_fooled(name: str) -> None:
    with pytest.raises(ValueError, match="does not classify"):
        cnnviz.fooling_image(MODELS[name], PICTURE, 0, progress=False)


@pytest.mark.parametrize("name", FAMILIES)
def test_style_transfer_lowers_its_loss_at_its_own_layers(name: str) -> None:
    model, family = MODELS[name], FAMILIES[name]
    made = cnnviz.style_transfer(model, PICTURE, STYLE, steps=12, progress=False)
    assert tuple(made.settings["style_layers"]) == family.style
    assert tuple(made.settings["content_layers"]) == (family.content,)
    assert made.history["value"][-1] < 0.9 * made.history["value"][0]


@pytest.mark.parametrize("name", ["U-Net", "regressor"])
def test_style_transfer_has_the_size_of_its_picture(name: str) -> None:
    content = RNG.integers(0, 256, (48, 36, 3), dtype=np.uint8)
    made = cnnviz.style_transfer(MODELS[name], content, STYLE, steps=2, progress=False)
    assert made.image.shape == (48, 36, 3)
