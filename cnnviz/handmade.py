"""A small network designed by hand: edges of four orientations and six colours, ten classes, no training.

It is what `cnnviz.load()` returns, so that everything can be tried without a download. Its filters are
formulas: oriented Gabor filters of the brightness (the model of simple cells of Daugman 1985) and blurred
colour opponents. It sees stripes and colours and nothing else; an explanation of it can be checked by eye.
"""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

PREPROCESSING = "unit"
LABELS = (
    "vertical edges",
    "horizontal edges",
    "rising diagonals",
    "falling diagonals",
    "red",
    "green",
    "blue",
    "skin tones",
    "bright",
    "dark",
)

_LUMA = np.array([0.299, 0.587, 0.114])
_RADIUS = 3
# Per class: how a colour is weighted (red, green, blue) and what it must exceed to count.
_COLOURS: Tuple[Tuple[Tuple[float, float, float], float], ...] = (
    ((1.0, -0.5, -0.5), 0.15),
    ((-0.5, 1.0, -0.5), 0.10),
    ((-0.5, -0.5, 1.0), 0.05),
    ((1.6, -0.8, -0.6), 0.22),
    ((0.299, 0.587, 0.114), 0.75),
    ((-0.299, -0.587, -0.114), -0.22),
)
_EDGE_THRESHOLD = 0.25
# Mean responses become scores of comparable size: edges fire in fewer places than colours.
_GAINS = (60.0,) * 4 + (40.0, 40.0, 40.0, 40.0, 20.0, 20.0)


def onnx_bytes() -> bytes:
    """Return the network as an ONNX file."""
    from onnx import TensorProto, helper, numpy_helper

    filters, thresholds = _filters()
    pooling = _class_of_filter()
    weights = {
        "filters": filters,
        "thresholds": thresholds,
        "pooling": pooling[:, :, None, None],
        "gains": np.diag(np.asarray(_GAINS)),
    }
    nodes = [
        helper.make_node(
            "Conv", ["image", "filters", "thresholds"], ["cells"], strides=[2, 2], pads=[_RADIUS] * 4
        ),
        helper.make_node("Relu", ["cells"], ["firing"]),
        helper.make_node("MaxPool", ["firing"], ["strongest"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Conv", ["strongest", "pooling"], ["evidence"]),
        helper.make_node("Relu", ["evidence"], ["classes"]),
        helper.make_node("GlobalAveragePool", ["classes"], ["share"]),
        helper.make_node("Flatten", ["share"], ["shares"]),
        helper.make_node("Gemm", ["shares", "gains"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "handmade",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(LABELS)])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model: Any = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _filters() -> Tuple[Array, Array]:
    """The first layer: 8 Gabor filters (4 orientations, either polarity) and 6 colours; 14,3,7,7 and 14."""
    edges: List[Array] = []
    for degrees in (0, 90, 45, 135):
        gabor = _gabor(np.deg2rad(degrees))
        edges += [_LUMA[:, None, None] * gabor, -_LUMA[:, None, None] * gabor]
    blur = _window(1.5)
    colours = [np.asarray(mix)[:, None, None] * blur for mix, _ in _COLOURS]
    thresholds = [-_EDGE_THRESHOLD] * len(edges) + [-threshold for _, threshold in _COLOURS]
    return np.stack(edges + colours), np.asarray(thresholds)


def _class_of_filter() -> Array:
    """The second layer: both polarities of an edge are one class; 10,14."""
    pooling = np.zeros((10, 14), np.float32)
    for orientation in range(4):
        pooling[orientation, [2 * orientation, 2 * orientation + 1]] = 1
    pooling[np.arange(4, 10), np.arange(8, 14)] = 1
    return pooling


def _gabor(angle: float) -> Array:
    """An odd Gabor filter whose response is largest across edges at `angle` from the vertical."""
    y, x = np.mgrid[-_RADIUS : _RADIUS + 1, -_RADIUS : _RADIUS + 1]
    across = x * np.cos(angle) + y * np.sin(angle)
    wave = np.sin(2 * np.pi * across / (2 * _RADIUS + 1)) * _window(2.0)
    return wave / np.abs(wave).sum() * 2


def _window(sigma: float) -> Array:
    y, x = np.mgrid[-_RADIUS : _RADIUS + 1, -_RADIUS : _RADIUS + 1]
    window = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return window / window.sum()
