"""The pictures that Keras' networks want: modes by name, functions, and the scaling inside a network."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import numpy as np
import pytest
from onnx import NodeProto, helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz.loading.keras_pictures import scaling_inside, suggested
from cnnviz.loading.recipes import preprocessing_of
from cnnviz.pictures.keras_modes import MODES, mode_of
from cnnviz.reader.onnx_file import read

#: What keras.applications call their networks, and the documented mode of each.
APPLICATIONS = {
    "vgg16": "caffe",
    "VGG19": "caffe",
    "resnet50": "caffe",
    "resnet152": "caffe",
    "resnet50v2": "tf",
    "ResNet101V2": "tf",
    "mobilenet_1.00_224": "tf",
    "mobilenetv2_1.00_96": "tf",
    "MobileNetV3Small": "pixels",
    "inception_v3": "tf",
    "inception_resnet_v2": "tf",
    "xception": "tf",
    "NASNetMobile": "tf",
    "nasnet": "tf",
    "densenet121": "torch",
    "efficientnetb0": "pixels",
    "efficientnetv2-b0": "pixels",
    "efficientnetv2-s": "pixels",
    "convnext_tiny": "pixels",
    "my_vgg": None,
    "sequential_1": None,
    "resnet18": None,
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_has_its_documented_mode(name: str) -> None:
    assert mode_of(name) == APPLICATIONS[name]


@pytest.mark.parametrize(
    ("name", "mode"), [("MobileNetV3Large", "tf"), ("efficientnetv2-b3", "tf"), ("convnext_base", "torch")]
)
def test_an_application_without_its_own_scaling_has_another_mode(name: str, mode: str) -> None:
    assert mode_of(name, bare=True) == mode


GREEN = np.array([[[[0.0, 1.0, 0.0]]]], np.float32)


@pytest.mark.parametrize(
    ("name", "x"),
    [
        ("keras:caffe", (-103.939, 255 - 116.779, -123.68)),
        ("keras:vgg16", (-103.939, 255 - 116.779, -123.68)),
        ("keras:tf", (-1, 1, -1)),
        ("keras:mobilenet_v2", (-1, 1, -1)),
        ("keras:resnet_v2", (-1, 1, -1)),
        ("keras:torch", (-0.485 / 0.229, 0.544 / 0.224, -0.406 / 0.225)),
        ("keras:pixels", (0, 255, 0)),
        ("keras:EfficientNetB7", (0, 255, 0)),
    ],
)
def test_a_green_pixel_becomes_what_keras_makes_of_it(name: str, x: Tuple[float, ...]) -> None:
    model = cnnviz.load(network([]), preprocessing=name)
    np.testing.assert_allclose(model.preprocessing.normalise(GREEN).ravel(), x, rtol=1e-5)


def test_a_wrong_mode_lists_the_right_ones() -> None:
    with pytest.raises(ValueError, match="'keras:alexnet' does not exist: after 'keras:' stands caffe, tf"):
        cnnviz.load(network([]), preprocessing="keras:alexnet")


def preprocess_input(x: Any, mode: str = "caffe") -> Any:
    """A function of Keras: it works in place, as theirs do."""
    if mode == "tf":
        x /= 127.5
        x -= 1.0
    elif mode == "torch":
        x /= 255.0
        x -= np.array([0.485, 0.456, 0.406], np.float32)
        x /= np.array([0.229, 0.224, 0.225], np.float32)
    elif mode == "caffe":
        x = x[..., ::-1]
        x -= np.array([103.939, 116.779, 123.68], np.float32)
    elif mode == "squared":
        x *= x
    return x


@pytest.mark.parametrize("mode", MODES)
def test_a_function_of_keras_is_measured(mode: str) -> None:
    def own(x: Any) -> Any:
        return preprocess_input(x, mode)

    own.__name__ = "preprocess_input"
    pictures = np.random.default_rng(0).random((2, 4, 5, 3), dtype=np.float32)
    found = preprocessing_of(own)
    expected = np.moveaxis(own(pictures * np.float32(255.0)), 3, 1)
    np.testing.assert_allclose(found.normalise(pictures), expected, rtol=1e-4, atol=2e-4)


def test_a_function_that_is_no_scaling_is_refused() -> None:
    def own(x: Any) -> Any:
        return preprocess_input(x, "squared")

    own.__name__ = "preprocess_input"
    with pytest.raises(ValueError, match="preprocess_input is no scaling of each channel"):
        preprocessing_of(own)


def network(first: List[NodeProto], name: str = "x", **constants: Any) -> bytes:
    """A small network behind the given nodes."""
    nodes = [
        *first,
        helper.make_node("Conv", [name, "w"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    weights = {"w": np.ones((4, 3, 3, 3)) / 27, **constants}
    return onnx_bytes(nodes, weights, input_shape=["N", 3, 32, 32], output="scores")


def scaled(factor: Any, shift: Any, padded: bool = False) -> bytes:
    """A network that begins with factor * x + shift, and with zeros around it."""
    nodes = [
        helper.make_node("Mul", ["x", "factor"], ["a"]),
        helper.make_node("Add", ["a", "shift"], ["b"]),
    ]
    numbers = {key: np.reshape(value, (-1, 1, 1)) for key, value in (("factor", factor), ("shift", shift))}
    if padded:
        nodes.append(helper.make_node("Pad", ["b", "pads"], ["c"]))
        numbers["pads"] = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    return network(nodes, "c" if padded else "b", **numbers)


FAR = (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)


@pytest.mark.parametrize(
    ("factor", "shift", "wanted"),
    [
        ([1 / 255], [0.0], "keras:pixels"),
        ([1 / 127.5], [-1.0], "keras:pixels"),
        ([1 / 58.4, 1 / 57.1, 1 / 57.4], FAR, "keras:pixels"),
        ([1.0], [-103.9, -116.8, -123.7], "keras:pixels"),
        ([2.0], [-1.0], "unit"),
        ([1 / 0.229, 1 / 0.224, 1 / 0.225], FAR, "unit"),
        ([1.0], [0.0], None),
    ],
)
@pytest.mark.parametrize("padded", [False, True])
def test_the_scaling_inside_a_network_says_what_it_takes(
    factor: List[float], shift: List[float], wanted: Optional[str], padded: bool
) -> None:
    graph = read(scaled(factor, shift, padded))
    assert scaling_inside(graph, 3, (32, 32)) == wanted


@pytest.mark.parametrize("op", ["Sigmoid", "Exp"])
def test_what_is_no_scaling_says_nothing(op: str) -> None:
    graph = read(network([helper.make_node(op, ["x"], ["a"])], "a"))
    assert scaling_inside(graph, 3, (32, 32)) is None


def test_the_scaling_inside_counts_before_the_name() -> None:
    plain, inside = read(network([])), read(scaled([1 / 255], [0.0]))
    assert suggested(plain, 3, (32, 32), ["model", "mobilenetv2_1.00_96"]) == "keras:tf"
    assert suggested(inside, 3, (32, 32), ["model", "mobilenetv2_1.00_96"]) == "keras:pixels"
    assert suggested(plain, 3, (32, 32), ["model"]) is None
    assert suggested(plain, 3, (32, 32), ["convnext_tiny"]) == "keras:torch"
