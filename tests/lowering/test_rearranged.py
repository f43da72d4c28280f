"""Col2Im, CenterCropPad, ReverseSequence, DeformConv and ScatterND that adds: numbers, gradients, batches."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import pytest
from graphs import differentiated, run
from onnx import TensorProto, helper, numpy_helper

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Graph
from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(0)
Array = np.ndarray
Function = Callable[..., Array]


def blocks(image: Sequence[int], block: Sequence[int], a: Dict[str, Any]) -> Function:
    """Every number of the columns added to the element that it was taken from."""
    ndim = len(image)
    strides, dilations = a.get("strides", [1] * ndim), a.get("dilations", [1] * ndim)
    pads = a.get("pads", [0] * 2 * ndim)

    def function(x: Array) -> Array:
        lines = [
            range(0, n + pads[i] + pads[i + ndim] - (k - 1) * d, s)
            for i, (n, k, s, d) in enumerate(zip(image, block, strides, dilations))
        ]
        channels = x.shape[1] // int(np.prod(block))
        columns = x.reshape(len(x), channels, *block, *map(len, lines))
        y = np.zeros((len(x), channels, *image))
        for tap in np.ndindex(*block):
            for place in np.ndindex(*map(len, lines)):
                at = [lines[i][p] + t * dilations[i] - pads[i] for i, (p, t) in enumerate(zip(place, tap))]
                if all(0 <= i < n for i, n in zip(at, image)):
                    y[(..., *at)] += columns[(..., *tap, *place)]
        return y

    return function


def deformed(a: Dict[str, Any], kernel: Sequence[int]) -> Function:
    """The definition, a window at a time: elements at fractional places, zeros beyond the picture."""

    def function(x: Array, offset: Array, mask: Any = None, *, w: Array, b: Array) -> Array:
        n, c, height, width = x.shape
        parts, groups, (top, left) = a.get("offset_group", 1), a.get("group", 1), a.get("pads", [0, 0])[:2]
        (down, right), (dh, dw) = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
        rows, columns = offset.shape[2:]
        offset = offset.reshape(n, parts, *kernel, 2, rows, columns)
        scale = np.ones((n, parts, *kernel, rows, columns)) if mask is None else mask
        scale = scale.reshape(n, parts, *kernel, rows, columns)
        sampled = np.zeros((n, c, *kernel, rows, columns))
        for image, channel, r, s, i, j in np.ndindex(*sampled.shape):
            part = channel // (c // parts)
            move = offset[image, part, r, s, :, i, j]
            at = (i * down - top + r * dh + move[0], j * right - left + s * dw + move[1])
            weights = [np.maximum(1 - np.abs(np.arange(m) - p), 0) for m, p in zip((height, width), at)]
            value = weights[0] @ x[image, channel] @ weights[1]
            sampled[image, channel, r, s, i, j] = value * scale[image, part, r, s, i, j]
        per_group = sampled.reshape(n, groups, c // groups, *kernel, rows, columns)
        wg = w.reshape(groups, -1, *w.shape[1:])
        y = np.einsum("ngcrsij,gocrs->ngoij", per_group, wg).reshape(n, -1, rows, columns)
        return y + b[:, None, None]

    return function


def cut_and_padded(x: Array) -> Array:
    """3,6,5 elements of a picture as 4 channels, 3 rows and 8 columns."""
    return np.pad(x[:, :, 1:4], ((0, 0), (0, 1), (0, 0), (1, 2)))


def reversed_parts(x: Array) -> Array:
    y = x.copy()
    for i, n in enumerate((2, 0, 4)):
        y[:n, i] = x[:n, i][::-1]
    return y


PLACES = np.array([[2], [0], [2], [2], [-4]])  # of the first axis, which has four elements


def scattered(function: Any) -> Function:
    def apply(x: Array, updates: Array) -> Array:
        y = x.copy()
        for place, update in zip(PLACES[:, 0], updates):
            y[place] = function(y[place], update)
        return y

    return apply


W = RNG.normal(size=(4, 3, 2, 3)).astype(np.float32)
WIDE = {"pads": [1, 0, 0, 1], "strides": [2, 1], "dilations": [1, 2]}
GROUPED = {"group": 2, "offset_group": 2}
WG, BIAS = RNG.normal(size=(4, 2, 2, 2)).astype(np.float32), RNG.normal(size=4).astype(np.float32)

# operator, its inputs, the shapes of those that vary, the constants, the attributes, the function
Row = Tuple[str, List[str], List[Tuple[int, ...]], Dict[str, Any], Dict[str, Any], Function]
ROWS: Dict[str, Row] = {
    "blocks of a signal": (
        "Col2Im",
        ["x", "i", "b"],
        [(2, 6, 4)],
        {"i": [9], "b": [3]},
        {"strides": [2]},
        blocks([9], [3], {"strides": [2]}),
    ),
    "blocks that leave a rest": (
        "Col2Im",
        ["x", "i", "b"],
        [(2, 6, 4)],
        {"i": [10], "b": [3]},
        {"strides": [2]},
        blocks([10], [3], {"strides": [2]}),
    ),
    "blocks of a picture": (
        "Col2Im",
        ["x", "i", "b"],
        [(2, 12, 9)],
        {"i": [5, 6], "b": [2, 3]},
        WIDE,
        blocks([5, 6], [2, 3], WIDE),
    ),
    "blocks of a volume": (
        "Col2Im",
        ["x", "i", "b"],
        [(1, 16, 8)],
        {"i": [3, 3, 3], "b": [2, 2, 2]},
        {},
        blocks([3] * 3, [2] * 3, {}),
    ),
    "cut and padded": (
        "CenterCropPad",
        ["x", "s"],
        [(2, 3, 6, 5)],
        {"s": [4, 3, 8]},
        {"axes": [1, 2, -1]},
        cut_and_padded,
    ),
    "all axes": ("CenterCropPad", ["x", "s"], [(3, 4)], {"s": [1, 2]}, {}, lambda x: x[1:2, 1:3]),
    "sequences": ("ReverseSequence", ["x", "n"], [(5, 3, 2)], {"n": [2, 0, 4]}, {}, reversed_parts),
    "sequences in rows": (
        "ReverseSequence",
        ["x", "n"],
        [(3, 5)],
        {"n": [5, 5, 5]},
        {"batch_axis": 0, "time_axis": 1},
        lambda x: x[:, ::-1],
    ),
    **{
        f"scattered, {name}": (
            "ScatterND",
            ["x", "p", "u"],
            [(4, 3), (5, 3)],
            {"p": PLACES},
            {"reduction": name},
            scattered(function),
        )
        for name, function in (
            ("add", np.add),
            ("mul", np.multiply),
            ("max", np.maximum),
            ("min", np.minimum),
        )
    },
    "deformed": (
        "DeformConv",
        ["x", "w", "o", "b"],
        [(2, 3, 6, 7), (2, 12, 3, 4)],
        {"w": W, "b": BIAS},
        WIDE,
        lambda x, o: deformed(WIDE, (2, 3))(x, o, w=W, b=BIAS),
    ),
    "deformed and masked": (
        "DeformConv",
        ["x", "w", "o", "", "m"],
        [(1, 4, 4, 3), (1, 16, 3, 2), (1, 8, 3, 2)],
        {"w": WG},
        GROUPED,
        lambda x, o, m: deformed(GROUPED, (2, 2))(x, o, m, w=WG, b=np.zeros(4)),
    ),
}


def test_maxima_go_back_to_their_places() -> None:
    """Numbers, gradients, batches of a pool and its inverse; a convolution in between makes other numbers."""
    nodes = [
        helper.make_node(
            "MaxPool", ["x"], ["p", "i"], kernel_shape=[3, 2], strides=[2, 2], pads=[0, 0, 1, 0]
        ),
        helper.make_node("Mul", ["p", "two"], ["q"]),
        helper.make_node(
            "MaxUnpool", ["q", "i", "s"], ["y"], kernel_shape=[2, 2], strides=[2, 2], name="back"
        ),
    ]
    constants = {"two": np.float32(2), "s": np.array([1, 2, 6, 6])}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 6, 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8))
    x = RNG.permutation(3 * 72).reshape(3, 2, 6, 6).astype(np.float32)
    chosen = np.zeros(x.shape, bool)
    for n, c, i, j in np.ndindex(3, 2, 3, 3):
        window = x[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 2]
        row, column = np.unravel_index(window.argmax(), window.shape)
        chosen[n, c, 2 * i + row, 2 * j + column] = True
    dy = RNG.normal(size=x.shape).astype(np.float32)
    y, (dx,) = differentiated(model, [x], dy)
    np.testing.assert_array_equal(y, np.where(chosen, 2 * x, 0))
    once = np.where(chosen, 2 * dy, 0)  # a number that wins two windows hands its gradient out once
    np.testing.assert_array_equal(dx, once)


INDICES: Dict[str, Tuple[Tuple[int, ...], Dict[str, Any], str]] = {
    "of a volume": ((1, 1, 4, 4, 4), {"kernel_shape": [2, 2, 2]}, "indices of volumes"),
    "in columns": ((1, 1, 4, 4), {"kernel_shape": [2, 2], "storage_order": 1}, "storage_order=1"),
    "beyond float32": ((1, 2, 4096, 2049), {"kernel_shape": [1, 1]}, "16785408 elements"),
}


@pytest.mark.parametrize("name", INDICES)
def test_indices_are_refused_only_where_they_are_read(name: str) -> None:
    shape, attributes, message = INDICES[name]
    for outputs in (["y"], ["y", "i"]):
        graph = helper.make_graph(
            [helper.make_node("MaxPool", ["x"], ["y", "i"], name="the node", **attributes)],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
        simple = simplify(read(model))
        if outputs == ["y"]:
            assert lower(simple, {"x": shape}, Weights(simple)).plan is not None
            continue
        with pytest.raises(UnsupportedModelError, match=f"the node.*{message}"):
            lower(simple, {"x": shape}, Weights(simple))


def graph_of(op: str, inputs: Sequence[str], shapes: Sequence[Any], constants: Any, attributes: Any) -> Graph:
    arrays = {n: np.asarray(v) for n, v in constants.items()}
    arrays = {n: a.astype(np.float32 if a.dtype.kind == "f" else np.int64) for n, a in arrays.items()}
    varying = [name for name in inputs if name and name not in constants]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, ["y"], name="the node", **attributes)],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in zip(varying, shapes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9))


@pytest.mark.parametrize("name", ROWS)
def test_numbers_and_gradients(name: str) -> None:
    """Between kinks the functions are products of linear ones, for which central differences are exact."""
    op, inputs, shapes, constants, attributes, function = ROWS[name]
    rng = np.random.default_rng(1)
    feeds = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    expected = function(*(feed.astype(np.float64) for feed in feeds))
    dy = rng.normal(size=expected.shape).astype(np.float32)
    y, gradients = differentiated(graph_of(op, inputs, shapes, constants, attributes), feeds, dy)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    for i, gradient in enumerate(gradients):
        direction = rng.uniform(-1, 1, gradient.shape)
        sides = []
        for t in (1e-4, -1e-4):
            moved = [feed.astype(np.float64) for feed in feeds]
            moved[i] = moved[i] + t * direction
            sides.append((function(*moved) * dy).sum())
        size = max(np.abs(gradient * direction).sum(), 1e-3)
        difference = (sides[0] - sides[1]) / 2e-4
        assert abs((gradient * direction).sum() - difference) <= 1e-4 * size, f"input {i}"


# Rows whose images lie along the first axis; the file declares one of them.
BATCHED = ["blocks of a signal", "blocks of a picture", "cut and padded", "deformed", "deformed and masked"]


@pytest.mark.parametrize("name", BATCHED)
def test_a_batch_has_the_bits_of_its_images(name: str) -> None:
    op, inputs, shapes, constants, attributes, _ = ROWS[name]
    feeds = [RNG.normal(size=(3, *shape[1:])).astype(np.float32) for shape in shapes]
    graph = graph_of(op, inputs, [(1, *shape[1:]) for shape in shapes], constants, attributes)
    y = run(graph, *feeds)[0]
    dy = RNG.normal(size=y.shape).astype(np.float32)
    _, gradients = differentiated(graph, feeds, dy)
    for i in range(3):
        own, own_gradients = differentiated(graph, [feed[i : i + 1] for feed in feeds], dy[i : i + 1])
        np.testing.assert_array_equal(y[i : i + 1], own)
        for found, expected in zip(gradients, own_gradients):
            np.testing.assert_array_equal(found[i : i + 1], expected)


REFUSED: Dict[str, Tuple[str, Dict[str, Any], Dict[str, Any], str]] = {
    "blocks": (
        "blocks of a signal",
        {"i": [10]},
        {"strides": [1]},
        r"there are 4 blocks, but .* have \(8,\)",
    ),
    "numbers of a block": ("blocks of a signal", {"b": [4]}, {}, "6 channels are not divisible by the 4"),
    "two axes for one": ("blocks of a signal", {"b": [3, 1]}, {}, "does not hold blocks"),
    "block too large": ("blocks of a signal", {"i": [2]}, {}, "do not fit extents of"),
    "an axis short": ("cut and padded", {"s": [4, 3]}, {}, "a positive number for each of the axes"),
    "nothing left": ("cut and padded", {"s": [4, 0, 8]}, {}, "a positive number"),
    "too long": ("sequences", {"n": [2, 0, 6]}, {}, "3 numbers from 0 to 5"),
    "one axis twice": ("sequences", {}, {"time_axis": 1}, "must be 0 and 1"),
    "reduction": ("scattered, add", {}, {"reduction": "mean"}, "'mean' is none of none, add"),
    "offset": ("deformed", {}, {"strides": [1, 1]}, "offset has shape"),
    "offset groups": ("deformed", {}, {"offset_group": 2}, "offset_group 2 does not divide 3"),
    "kernel": ("deformed", {}, {"kernel_shape": [3, 3]}, "contradicts weights"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_named(name: str) -> None:
    base, others, more, message = REFUSED[name]
    op, inputs, shapes, constants, attributes, _ = ROWS[base]
    graph = graph_of(op, inputs, shapes, {**constants, **others}, {**attributes, **more})
    with pytest.raises(ModelFormatError, match=message) as caught:
        run(graph, *(np.ones(shape, np.float32) for shape in shapes))
    assert "the node" in str(caught.value)


def test_many_updates_of_one_place_are_refused() -> None:
    places = {"p": np.zeros((65, 1), np.int64)}
    graph = graph_of("ScatterND", ["x", "p", "u"], [(2, 3), (65, 3)], places, {"reduction": "add"})
    with pytest.raises(UnsupportedModelError, match="65 updates of one place"):
        run(graph, np.ones((2, 3), np.float32), np.ones((65, 3), np.float32))
