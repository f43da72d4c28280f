"""ConvTranspose: each way to state the size of the output cuts the same canvas."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import TensorProto, helper, numpy_helper

from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4, 4)).astype(np.float32)
W = RNG.normal(size=(3, 2, 3, 3)).astype(np.float32)
NORM = {name: RNG.uniform(0.5, 1.5, 2).astype(np.float32) for name in ("scale", "shift", "mean", "var")}


def transposed(x: np.ndarray, w: np.ndarray, norm: bool = False, **attributes: Any) -> np.ndarray:
    """The output of a ConvTranspose, behind a batch normalisation if `norm` is set."""
    nodes = [helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", **attributes)]
    if norm:
        nodes.append(helper.make_node("BatchNormalization", ["y", *NORM], ["n"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("n" if norm else "y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in {"w": w, **NORM}.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (y,) = run(simplify(read(model)), x)
    return y


# With strides of 2 the windows of X cover 9 x 9; each row keeps `rows` and `columns` of it, counted from 0,
# and zeros beyond the ninth.
CUTS: Dict[str, Tuple[Dict[str, Any], range, range]] = {
    "nothing": ({}, range(9), range(9)),
    "pads": ({"pads": [1, 0, 0, 2]}, range(1, 9), range(7)),
    "pads that reach beyond a window": ({"pads": [4, 0, 3, 0]}, range(4, 6), range(9)),
    "output padding": ({"pads": [1, 1, 1, 1], "output_padding": [1, 0]}, range(1, 9), range(1, 8)),
    "output padding beyond the windows": ({"output_padding": [2, 1]}, range(11), range(10)),
    "VALID": ({"auto_pad": "VALID"}, range(9), range(9)),
    "SAME_UPPER": ({"auto_pad": "SAME_UPPER"}, range(8), range(8)),
    "SAME_LOWER": ({"auto_pad": "SAME_LOWER"}, range(1, 9), range(1, 9)),
    "output_shape": ({"output_shape": [7, 6]}, range(1, 8), range(2, 8)),
    "output_shape of the whole output": ({"output_shape": [2, 2, 7, 6]}, range(1, 8), range(2, 8)),
    "output_shape, upper": (
        {"output_shape": [7, 6], "auto_pad": "SAME_UPPER"},
        range(1, 8),
        range(1, 7),
    ),
    "output_shape beyond the windows": ({"output_shape": [11, 9]}, range(11), range(9)),
    "output_shape and output padding": (
        {"output_shape": [8, 9], "output_padding": [1, 1]},
        range(1, 9),
        range(1, 10),
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_the_output_is_a_part_of_the_canvas(name: str) -> None:
    attributes, rows, columns = CUTS[name]
    canvas = np.pad(transposed(X, W, strides=[2, 2]), ((0, 0), (0, 0), (0, 4), (0, 4)))
    y = transposed(X, W, strides=[2, 2], **attributes)
    np.testing.assert_allclose(y, canvas[:, :, rows][:, :, :, columns], rtol=1e-5, atol=1e-6)


def test_a_pixel_stamps_the_weights() -> None:
    x = np.zeros((1, 3, 3, 3), np.float32)
    x[0, 1, 1, 2] = 2
    y = transposed(x, W, strides=[3, 3])
    np.testing.assert_array_equal(y[0, :, 3:6, 6:9], 2 * W[1])
    assert np.count_nonzero(y) == W[1].size


def test_a_signal_is_a_picture_of_one_row() -> None:
    attributes: Dict[str, Any] = {"strides": [2], "pads": [1, 0], "output_padding": [1], "dilations": [2]}
    y = transposed(X[:, :, 0], W[:, :, 0], **attributes)
    wide = {name: [0 if name in ("pads", "output_padding") else 1, *n] for name, n in attributes.items()}
    wide["pads"] = [0, 1, 0, 0]
    np.testing.assert_array_equal(y, transposed(X[:, :, :1], W[:, :, :1], **wide)[:, :, 0])


def test_a_batch_normalisation_may_follow() -> None:
    plain = transposed(X, W, strides=[2, 2])
    scale, shift, mean, var = (array[:, None, None] for array in NORM.values())
    expected = scale * (plain - mean) / np.sqrt(var + 1e-5) + shift
    np.testing.assert_allclose(transposed(X, W, norm=True, strides=[2, 2]), expected, rtol=1e-5, atol=1e-5)
