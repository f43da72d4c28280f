"""The layers that style transfer takes on its own: activations, never gates, and a layer on every network."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz.synthesis.style_layers import automatic

RNG = np.random.default_rng(0)


def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(" "), [output], **attributes)


FIRST = node("Conv", "x w", "conv", pads=[1, 1, 1, 1])
POOLED = [node("GlobalAveragePool", "last", "mean"), node("Flatten", "mean", "scores")]

NETWORKS: Dict[str, Tuple[List[Any], str, Tuple[str, ...]]] = {
    # nodes, the content layer, the style layers
    "SiLU of two nodes": (
        [
            FIRST,
            node("Sigmoid", "conv", "gate"),
            node("Mul", "conv gate", "silu"),
            node("MaxPool", "silu", "half", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", "half square", "deep", pads=[1, 1, 1, 1]),
            node("Sigmoid", "deep", "deep_gate"),
            node("Mul", "deep_gate deep", "last"),
            *POOLED,
        ],
        "silu",
        ("silu", "last"),
    ),
    "squeeze and excitation": (
        [
            FIRST,
            node("Relu", "conv", "relu"),
            node("Conv", "relu square", "judged", pads=[1, 1, 1, 1]),
            node("Sigmoid", "judged", "spatial_gate"),
            node("Mul", "conv spatial_gate", "last"),
            *POOLED,
        ],
        "relu",
        ("relu",),
    ),
    "a sigmoid that is an activation": (
        [FIRST, node("Sigmoid", "conv", "squashed"), node("Conv", "squashed square", "last"), *POOLED],
        "squashed",
        ("squashed",),
    ),
    "GELU": ([FIRST, node("Gelu", "conv", "last"), *POOLED], "last", ("last",)),
    "residual sums of a network that activates elsewhere": (
        [
            FIRST,
            node("Transpose", "conv", "turned", perm=[0, 2, 3, 1]),
            node("Gelu", "turned", "active"),
            node("Transpose", "active", "back", perm=[0, 3, 1, 2]),
            node("Add", "conv back", "last"),
            *POOLED,
        ],
        "last",
        ("last",),
    ),
    "GELU of several nodes": (
        [
            FIRST,
            node("Div", "conv root", "scaled"),
            node("Erf", "scaled", "erf"),
            node("Add", "erf one", "up"),
            node("Mul", "conv up", "twice"),
            node("Mul", "twice a_half", "last"),
            *POOLED,
        ],
        "twice",
        ("twice",),
    ),
    "a scale of each channel is no activation": (
        [
            FIRST,
            node("Relu", "conv", "relu"),
            node("Mul", "relu a_half", "scaled"),
            node("Add", "scaled one", "moved"),
            node("Mul", "scaled moved", "last"),
            *POOLED,
        ],
        "relu",
        ("relu",),
    ),
    "a pool less its input is no residual sum": (
        [
            FIRST,
            node("Transpose", "conv", "turned", perm=[0, 2, 3, 1]),
            node("Gelu", "turned", "active"),
            node("Transpose", "active", "back", perm=[0, 3, 1, 2]),
            node("AveragePool", "back", "mean", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("Sub", "mean back", "mixed"),
            node("Add", "back mixed", "last"),
            node("GlobalAveragePool", "last", "all"),
            node("Flatten", "all", "scores"),
        ],
        "last",
        ("last",),
    ),
    "a finer branch that comes later": (
        [
            FIRST,
            node("Relu", "conv", "fine"),
            node("MaxPool", "fine", "half", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", "half square", "short", pads=[1, 1, 1, 1], strides=[2, 2]),
            node("Relu", "short", "coarse"),
            node("Conv", "half square", "long", pads=[1, 1, 1, 1]),
            node("Relu", "long", "middle"),
            node("Conv", "middle square", "down", pads=[1, 1, 1, 1], strides=[2, 2]),
            node("Add", "down coarse", "last"),
            *POOLED,
        ],
        "middle",
        ("fine", "middle", "coarse"),
    ),
    "the half in which the picture is enlarged again": (
        [
            FIRST,
            node("Relu", "conv", "fine"),
            node("MaxPool", "fine", "half", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", "half square", "deep", pads=[2, 2, 2, 2]),
            node("Relu", "deep", "coarse"),
            node("Resize", "half  double", "risen", mode="linear"),
            node("Concat", "fine risen", "skip", axis=1),
            node("GlobalAveragePool", "skip", "mean"),
            node("GlobalAveragePool", "coarse", "other"),
            node("Concat", "mean other", "both", axis=1),
            node("Flatten", "both", "scores"),
        ],
        "fine",
        ("fine", "coarse"),
    ),
    "a picture that is resized": (
        [
            node("Resize", "x  sizes", "small", mode="linear"),
            node("Conv", "small patch", "patches", strides=[2, 2], kernel_shape=[4, 4]),
            node("Flatten", "patches", "flat"),
            node("Tanh", "flat", "scores"),
        ],
        "patches",
        ("patches",),
    ),
    "patches and a mixer": (
        [
            node("Conv", "x patch", "patches", strides=[4, 4]),
            node("Flatten", "patches", "flat"),
            node("Tanh", "flat", "scores"),
        ],
        "patches",
        ("patches",),
    ),
}
CONSTANTS = {
    "w": RNG.normal(size=(4, 3, 3, 3)),
    "square": RNG.normal(size=(4, 4, 3, 3)),
    "root": np.array(2.0**0.5),
    "one": np.array(1.0),
    "a_half": np.array(0.5),
    "double": np.array([1.0, 1.0, 2.0, 2.0]),
    "sizes": np.array([1.0, 1.0, 0.75, 0.75]),
    "patch": RNG.normal(size=(4, 3, 4, 4)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_are_activations_or_what_comes_nearest(name: str) -> None:
    nodes, content, style = NETWORKS[name]
    used = {source for one in nodes for source in one.input}
    constants = {key: value for key, value in CONSTANTS.items() if key in used}
    data = onnx_bytes(nodes, constants, input_shape=["N", 3, 16, 16], output="scores", opset=20)
    assert automatic(cnnviz.load(data, preprocessing="unit")) == (content, style)


def test_a_network_without_maps_is_refused() -> None:
    nodes = [node("Flatten", "x", "flat"), node("MatMul", "flat w", "scores")]
    data = onnx_bytes(nodes, {"w": RNG.normal(size=(48, 5))}, input_shape=["N", 3, 4, 4], output="scores")
    with pytest.raises(ValueError, match="has no layer to take style from"):
        automatic(cnnviz.load(data))
