"""Tokens that lie on a grid are places: which layer Grad-CAM chooses on them, and which numbers it gives."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz.attribution.cam_layer import last_spatial_layer
from cnnviz.model.places import Places, as_maps, places_of

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (12, 8, 3), dtype=np.uint8)
WIDTH = 4


def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), [output], **attributes)


# Patches of 4 x 4 of a picture of 12 x 8: three rows of two tokens.
PATCHES = [
    node("Conv", "x patch", "patches", kernel_shape=[4, 4], strides=[4, 4]),
    node("Reshape", "patches flat", "columns"),
    node("Transpose", "columns", "tokens", perm=[0, 2, 1]),
]
CLASS_TOKEN = [node("Concat", "class tokens", "stream", axis=1)]


def attention(source: str, output: str) -> List[Any]:
    """One block: a norm, attention with itself, and the residual sum."""
    return [
        helper.make_node("LayerNormalization", [source, "scale"], [f"{output} norm"], axis=-1),
        helper.make_node("MatMul", [f"{output} norm", "square"], [f"{output} projected"]),
        helper.make_node("Transpose", [f"{output} projected"], [f"{output} keys"], perm=[0, 2, 1]),
        helper.make_node("MatMul", [f"{output} norm", f"{output} keys"], [f"{output} products"]),
        helper.make_node("Softmax", [f"{output} products"], [f"{output} shares"], axis=-1),
        helper.make_node("MatMul", [f"{output} shares", f"{output} norm"], [f"{output} mixed"]),
        helper.make_node("Add", [source, f"{output} mixed"], [output]),
    ]


FIRST_TOKEN = [
    helper.make_node("Gather", ["second", "zero"], ["first token"], axis=1),
    helper.make_node("Flatten", ["first token"], ["pooled"]),
    node("Gemm", "pooled head", "scores"),
]
MEAN = [node("ReduceMean", "second", "pooled", axes=[1], keepdims=0), node("Gemm", "pooled head", "scores")]

NETWORKS: Dict[str, Tuple[List[Any], str, Optional[Places]]] = {
    # nodes, the layer that Grad-CAM chooses, its grid
    "class token": (
        [*PATCHES, *CLASS_TOKEN, *attention("stream", "first"), *attention("first", "second"), *FIRST_TOKEN],
        "second norm",
        Places(3, 2, 1, False, 1),
    ),
    "the class token as the answer": (
        [
            *PATCHES,
            *CLASS_TOKEN,
            *attention("stream", "first"),
            *attention("first", "second"),
            helper.make_node("Gather", ["second", "zero"], ["first token"], axis=1),
            helper.make_node("Flatten", ["first token"], ["scores"]),
        ],
        "second norm",
        Places(3, 2, 1, False, 1),
    ),
    "a convolution inside the last attention": (
        [
            *PATCHES,
            *CLASS_TOKEN,
            *attention("stream", "first"),
            *attention("first", "second")[:-1],
            helper.make_node("Slice", ["second norm", "from", "to", "from"], ["rest"]),
            node("Transpose", "rest", "turned", perm=[0, 2, 1]),
            node("Reshape", "turned grid", "maps"),
            node("Conv", "maps one", "moved"),
            node("Reshape", "moved flat", "list"),
            node("Transpose", "list", "back", perm=[0, 2, 1]),
            node("Pad", "back edge", "local"),
            helper.make_node("Sum", ["first", "second mixed", "local"], ["second"]),
            *FIRST_TOKEN,
        ],
        "second norm",
        Places(3, 2, 1, False, 1),
    ),
    "mean of the tokens": (
        [*PATCHES, *attention("tokens", "first"), *attention("first", "second"), *MEAN],
        "second",
        Places(3, 2, 1, False),
    ),
    "tokens weighted by attention": (
        [
            *PATCHES,
            node("MatMul", "tokens judge", "judged"),
            node("Softmax", "judged", "weights", axis=1),
            node("Transpose", "weights", "row", perm=[0, 2, 1]),
            node("MatMul", "row tokens", "sum"),
            node("Flatten", "sum", "pooled"),
            node("Gemm", "pooled head", "scores"),
        ],
        "patches",
        None,
    ),
    "maps again behind the tokens": (
        [
            *PATCHES,
            *attention("tokens", "first"),
            node("Transpose", "first", "turned", perm=[0, 2, 1]),
            node("Reshape", "turned grid", "maps"),
            node("Conv", "maps one", "last"),
            node("GlobalAveragePool", "last", "mean"),
            node("Flatten", "mean", "pooled"),
            node("Gemm", "pooled head", "scores"),
        ],
        "last",
        None,
    ),
}
CONSTANTS = {
    "patch": RNG.normal(0, 0.2, (WIDTH, 3, 4, 4)),
    "flat": np.array([0, WIDTH, -1]),
    "grid": np.array([0, WIDTH, 3, 2]),
    "class": RNG.normal(size=(1, 1, WIDTH)),
    "scale": np.ones(WIDTH),
    "judge": RNG.normal(size=(WIDTH, 1)),
    "zero": np.array([0]),
    "from": np.array([1]),
    "to": np.array([7]),
    "edge": np.array([0, 1, 0, 0, 0, 0]),
    "one": RNG.normal(size=(WIDTH, WIDTH, 1, 1)),
    "square": RNG.normal(size=(WIDTH, WIDTH)),
    "head": RNG.normal(size=(WIDTH, 5)),
}


def network(name: str) -> cnnviz.Model:
    nodes, _, _ = NETWORKS[name]
    used = {source for one in nodes for source in one.input}
    constants = {key: value for key, value in CONSTANTS.items() if key in used}
    data = onnx_bytes(nodes, constants, input_shape=[1, 3, 12, 8], output="scores")
    return cnnviz.load(data, preprocessing="unit")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_default_layer_speaks_for_the_scores(name: str) -> None:
    model = network(name)
    _, layer, places = NETWORKS[name]
    assert last_spatial_layer(model) == layer
    assert places_of(model, layer) == (Places(3, 2, 2, True) if places is None else places)
    result = cnnviz.grad_cam(model, PICTURE, 2)
    assert result.values.shape == (3, 2)
    assert np.any(result.values)
    assert result.map.shape == (12, 8)


def test_the_map_is_that_of_the_formula_without_the_class_token() -> None:
    model = network("class token")
    result = cnnviz.grad_cam(model, PICTURE, 2)
    x = model.preprocess(PICTURE)
    found = model.gradient(x, 2, wrt=result.layer)
    activation = model.forward(x, [result.layer])[result.layer][0, 1:]
    gradient = found.gradients[result.layer][0, 1:]
    expected = (activation @ gradient.mean(axis=0)).reshape(3, 2)
    np.testing.assert_allclose(result.values, expected, rtol=1e-4, atol=1e-6)
    guided = cnnviz.guided_grad_cam(model, PICTURE, 2)
    assert guided.layer == result.layer
    heat = np.maximum(result.map, 0)
    colours = cnnviz.guided_backprop(model, PICTURE, 2).values
    np.testing.assert_allclose(guided.values, colours * heat, rtol=1e-4, atol=1e-7)


def test_tokens_that_no_feature_map_precedes_lie_on_a_square() -> None:
    """Patches cut by Reshape and Transpose, as mixers do; the class token counts as one of the extra ones."""
    nodes = [
        node("Reshape", "x cut", "pieces"),
        node("Transpose", "pieces", "rows", perm=[0, 2, 4, 1, 3, 5]),
        node("Reshape", "rows list", "patches"),
        node("MatMul", "patches weights", "tokens"),
        *CLASS_TOKEN,
        *attention("stream", "second"),
        *MEAN,
    ]
    constants = {
        **{key: CONSTANTS[key] for key in ("class", "scale", "square", "head")},
        "cut": np.array([1, 3, 2, 4, 2, 4]),
        "list": np.array([1, 4, 48]),
        "weights": RNG.normal(0, 0.2, (48, WIDTH)),
    }
    model = cnnviz.load(
        onnx_bytes(nodes, constants, input_shape=[1, 3, 8, 8], output="scores"), preprocessing="unit"
    )
    assert places_of(model, "tokens") == Places(2, 2, 1, False)
    assert places_of(model, "second") == Places(2, 2, 1, False, 1)
    assert cnnviz.grad_cam(model, PICTURE[:8], 2, layer="second").values.shape == (2, 2)


def test_layers_without_a_grid_are_refused() -> None:
    model = network("class token")
    assert places_of(model, "second products") is None
    with pytest.raises(ValueError, match="of which no axes are the rows and columns of the picture"):
        cnnviz.grad_cam(model, PICTURE, 2, layer="second products")


def test_tokens_become_maps_row_by_row() -> None:
    tokens = np.arange(7 * 2, dtype=np.float32).reshape(1, 7, 2)
    maps = as_maps(tokens, Places(3, 2, 1, False, 1))
    np.testing.assert_array_equal(maps[0, 0], [[2, 4], [6, 8], [10, 12]])
    np.testing.assert_array_equal(as_maps(maps, Places(3, 2, 2, True)), maps)
