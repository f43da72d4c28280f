"""The layer that Grad-CAM takes on networks with branches, and on networks that end in a map of scores."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz.attribution.cam_layer import last_layers, last_spatial_layer
from cnnviz.objectives import Channel, Score

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def convolution(source: str, output: str, weights: str, stride: int = 1) -> List[Any]:
    return [
        node("Conv", f"{source} {weights}", f"{output}_before", strides=[stride, stride], pads=[1, 1, 1, 1]),
        node("Relu", f"{output}_before", output),
    ]


def rows(source: str, output: str) -> List[Any]:
    """The six numbers of each place as rows of a detector's output."""
    return [
        node("Conv", f"{source} predict", f"{output}_map"),
        node("Reshape", f"{output}_map six", f"{output}_list"),
        node("Transpose", f"{output}_list", output, perm=[0, 2, 1]),
    ]


STEM = [*convolution("x", "stem", "first"), *convolution("stem", "trunk", "second", 2)]
# Two heads: 64 boxes at 8 x 8 places, then 16 at 4 x 4.
DETECTOR = [
    *STEM,
    *convolution("trunk", "fine", "square"),
    *convolution("trunk", "coarse", "square", 2),
    *rows("fine", "fine_rows"),
    *rows("coarse", "coarse_rows"),
    node("Concat", "fine_rows coarse_rows", "all", axis=1),
    node("Sigmoid", "all", "boxes"),
    node("Mul", "boxes scale", "y"),
]
POOLS = [
    *STEM,
    node("MaxPool", "trunk", "halves", kernel_shape=[4, 4], strides=[4, 4]),
    node("MaxPool", "trunk", "quarters", kernel_shape=[2, 2], strides=[2, 2]),
    node("Flatten", "halves", "few"),
    node("Flatten", "quarters", "many"),
    node("Concat", "few many", "features", axis=1),
    node("Gemm", "features classify", "y"),
]
# The name, the nodes, the layers in which branches end, and the last one that they have in common.
NETWORKS: Dict[str, Tuple[List[Any], Tuple[str, ...], str]] = {
    "a detector with two heads": (DETECTOR, ("fine", "coarse"), "trunk"),
    "a pyramid of pools": (POOLS, ("halves", "quarters"), "trunk"),
    "a map of scores that is enlarged": (
        [
            *STEM,
            node("Conv", "trunk predict", "scores"),
            node("Resize", "scores none twice", "y", mode="linear"),
        ],
        ("trunk",),
        "trunk",
    ),
    "a residual sum as the output": (
        [*STEM, *convolution("trunk", "branch", "square"), node("Add", "trunk branch", "y")],
        ("y",),
        "y",
    ),
    "a residual sum and its ReLU as the output": (
        [
            *STEM,
            *convolution("trunk", "branch", "square"),
            node("Add", "trunk branch", "sum"),
            node("Relu", "sum", "y"),
        ],
        ("sum",),
        "sum",
    ),
    "the last branch without places": (
        [
            *STEM,
            *convolution("trunk", "branch", "square"),
            node("GlobalAveragePool", "branch", "mean"),
            node("Conv", "mean predict", "one"),
            node("GlobalAveragePool", "trunk", "other"),
            node("Conv", "other predict", "two"),
            node("Add", "one two", "sum"),
            node("Flatten", "sum", "y"),
        ],
        ("branch",),
        "branch",
    ),
}
CONSTANTS = {
    "first": RNG.normal(0, 0.3, (4, 3, 3, 3)),
    "second": RNG.normal(0, 0.3, (4, 4, 3, 3)),
    "square": RNG.normal(0, 0.3, (4, 4, 3, 3)),
    "predict": RNG.normal(0, 0.5, (6, 4, 1, 1)),
    "six": np.array([0, 6, -1]),
    "scale": np.array([16.0, 16, 16, 16, 1, 1]),
    "classify": RNG.normal(0, 0.3, (4 * (4 + 16), 5)),
    "twice": np.array([1.0, 1, 2, 2]),
    "none": np.zeros(0, np.float32),
}


def network(name: str) -> cnnviz.Model:
    nodes = NETWORKS[name][0]
    used = {source for one in nodes for source in one.input}
    constants = {key: value for key, value in CONSTANTS.items() if key in used}
    data = onnx_bytes(nodes, constants, input_shape=["N", 3, 16, 16], output="y")
    return cnnviz.load(data, preprocessing="unit")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_is_the_last_that_the_scores_pass(name: str) -> None:
    model = network(name)
    _, ends, layer = NETWORKS[name]
    assert last_layers(model) == ends
    assert last_spatial_layer(model) == layer


@pytest.mark.parametrize(
    ("places", "layer"),
    [([3], "fine"), ([70], "coarse"), ([3, 70], "trunk"), ([3, 5], "fine")],
    ids=["a box of the first head", "one of the second", "one of each", "two of the first"],
)
def test_a_box_is_explained_by_the_branch_that_found_it(places: List[int], layer: str) -> None:
    model = network("a detector with two heads")
    target = sum((Score("logits", (place, 4)) for place in places[1:]), Score("logits", (places[0], 4)))
    found = cnnviz.grad_cam(model, PICTURE, target)
    assert found.layer == layer
    gradient = model.gradient(model.preprocess(PICTURE), target, wrt=layer)
    alpha = gradient.gradients[layer].mean(axis=(2, 3))
    assert np.any(alpha)
    expected = np.einsum("nc,nchw->nhw", alpha, gradient.activations[layer])[0]
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-7)
    guided = cnnviz.guided_grad_cam(model, PICTURE, target)
    assert guided.layer == layer
    colours = cnnviz.guided_backprop(model, PICTURE, target).values
    np.testing.assert_allclose(guided.values, colours * found.map, rtol=1e-4, atol=1e-8)


def test_pictures_of_one_batch_have_one_layer() -> None:
    """A layer for all: that of the branches which any of them uses."""
    model = network("a detector with two heads")
    cotangent = np.zeros((2, 80, 6), np.float32)
    cotangent[0, 3, 4] = cotangent[1, 70, 4] = 1
    both = cnnviz.grad_cam(model, [PICTURE, PICTURE], {"logits": cotangent})
    assert [one.layer for one in both] == ["trunk", "trunk"]
    assert not np.array_equal(both[0].values, both[1].values)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("a map of scores that is enlarged", "trunk"), ("a residual sum as the output", "y")],
)
def test_a_channel_of_the_output_is_explained(name: str, layer: str) -> None:
    model = network(name)
    found = cnnviz.grad_cam(model, PICTURE, Channel("logits", 2))
    assert (found.layer, found.values.shape) == (layer, (8, 8))
    assert np.any(found.values)


@pytest.mark.parametrize("layer", [3, ("trunk", 3)])
def test_a_layer_is_given_by_its_name(layer: Any) -> None:
    with pytest.raises(TypeError, match="layer must be a name, a list of names or None, not 3"):
        cnnviz.grad_cam(network("a pyramid of pools"), PICTURE, 1, layer=layer)
