"""Convolution, transposed too, and pooling of signals and volumes: numbers, gradients, batches, refusals."""

from __future__ import annotations

import itertools
import math
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import pytest
from graphs import differentiated
from onnx import TensorProto, helper, numpy_helper

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Graph
from cnnviz.reader.onnx_file import read

Array = np.ndarray
Attributes = Mapping[str, Any]


def sizes(a: Attributes, ndim: int) -> Tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]:
    """Strides, dilations, and the pads before and after, with ONNX's defaults."""
    pads = a.get("pads", [0] * 2 * ndim)
    return a.get("strides", [1] * ndim), a.get("dilations", [1] * ndim), pads[:ndim], pads[ndim:]


def convolution(x: Array, w: Array, b: Array, a: Attributes) -> Array:
    """The definition: a sum over the taps of products of channels."""
    kernel, groups = w.shape[2:], a.get("group", 1)
    strides, dilations, before, after = sizes(a, len(kernel))
    x = np.pad(x, [(0, 0), (0, 0), *zip(before, after)])
    wg = w.reshape(groups, -1, *w.shape[1:])
    y: Any = 0
    for tap in np.ndindex(*kernel):
        part = x[(..., *taken(x.shape[2:], kernel, tap, strides, dilations))]
        part = part.reshape(x.shape[0], groups, -1, *part.shape[2:])
        y = y + np.einsum("ngc...,goc->ngo...", part, wg[(..., *tap)])
    y = y.reshape(x.shape[0], w.shape[0], *y.shape[3:])
    return y + b.reshape(-1, *(1,) * len(kernel))


def taken(
    extents: Sequence[int],
    kernel: Sequence[int],
    tap: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> List[slice]:
    """The elements of a padded array that one tap of each window sees."""
    found = []
    for n, k, t, s, d in zip(extents, kernel, tap, strides, dilations):
        count = (n - (k - 1) * d - 1) // s + 1
        found.append(slice(t * d, t * d + (count - 1) * s + 1, s))
    return found


def transposed(x: Array, w: Array, b: Array, a: Attributes) -> Array:
    """Each element stamps the weights on a canvas, from which the padding is cut."""
    kernel, groups = w.shape[2:], a.get("group", 1)
    strides, dilations, before, after = sizes(a, len(kernel))
    more = a.get("output_padding", [0] * len(kernel))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    full = [(n - 1) * s + r + m for n, s, r, m in zip(x.shape[2:], strides, reach, more)]
    canvas = np.zeros((x.shape[0], groups * w.shape[1], *full))
    xg, wg = x.reshape(x.shape[0], groups, -1, *x.shape[2:]), w.reshape(groups, -1, *w.shape[1:])
    for tap in np.ndindex(*kernel):
        part = np.einsum("ngc...,gco->ngo...", xg, wg[(..., *tap)])
        at = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilations, x.shape[2:], strides)
        ]
        canvas[(..., *at)] += part.reshape(x.shape[0], -1, *x.shape[2:])
    inside = [slice(p, n - q) for p, q, n in zip(before, after, full)]
    return canvas[(..., *inside)] + b.reshape(-1, *(1,) * len(kernel))


def pool(x: Array, a: Attributes, mean: bool) -> Array:
    """The maximum or the mean of each window; in ceil mode the last one may reach beyond the padding."""
    kernel = a["kernel_shape"]
    strides, dilations, before, after = sizes(a, len(kernel))
    axes = []
    for n, k, s, d, p, q in zip(x.shape[2:], kernel, strides, dilations, before, after):
        room = n + p + q - (k - 1) * d - 1
        count = room // s + 1
        count += int(bool(a.get("ceil_mode")) and room % s > 0 and count * s < n + p)
        axes.append([[i * s + t * d - p for t in range(k)] for i in range(count)])
    y = np.zeros((*x.shape[:2], *map(len, axes)))
    padded = [(-p, n + q) for n, p, q in zip(x.shape[2:], before, after)]
    for place in np.ndindex(*y.shape[2:]):
        window = [axis[i] for axis, i in zip(axes, place)]
        inside = [[i for i in line if 0 <= i < n] for line, n in zip(window, x.shape[2:])]
        values = x[(slice(None), slice(None), *np.ix_(*inside))].reshape(*x.shape[:2], -1)
        counted = [sum(low <= i < high for i in line) for line, (low, high) in zip(window, padded)]
        divisor = math.prod(counted) if a.get("count_include_pad") else values.shape[-1]
        y[(..., *place)] = values.sum(-1) / divisor if mean else values.max(-1)
    return y


# operator, shapes of x and of the weights, attributes
SIGNALS = [
    ("Conv", (2, 3, 9), (4, 3, 3), {}),
    ("Conv", (2, 4, 11), (6, 2, 3), {"group": 2, "strides": [2], "pads": [2, 1], "dilations": [2]}),
    ("Conv", (1, 3, 5), (6, 1, 3), {"group": 3, "pads": [1, 1]}),
    ("ConvTranspose", (2, 4, 5), (4, 3, 3), {"strides": [3], "output_padding": [2], "pads": [1, 0]}),
    ("ConvTranspose", (1, 4, 5), (4, 2, 3), {"group": 2, "dilations": [2], "pads": [2, 3]}),
    ("MaxPool", (2, 3, 10), (), {"kernel_shape": [3], "strides": [2], "ceil_mode": 1}),
    ("AveragePool", (2, 3, 10), (), {"kernel_shape": [4], "strides": [3], "pads": [2, 1], "ceil_mode": 1}),
]
VOLUMES = [
    ("Conv", (2, 3, 4, 5, 6), (4, 3, 3, 3, 3), {"pads": [1] * 6}),
    ("Conv", (1, 2, 3, 3, 3), (3, 2, 1, 1, 1), {}),
    ("Conv", (2, 3, 5, 4, 4), (2, 3, 1, 3, 3), {"strides": [2, 1, 1]}),  # pictures, every other one
    ("Conv", (2, 3, 5, 4, 4), (2, 3, 3, 1, 1), {"pads": [1, 0, 0, 1, 0, 0]}),  # along the depth alone
    ("Conv", (1, 2, 3, 3, 3), (2, 2, 3, 3, 3), {}),  # one window
    (
        "Conv",
        (2, 4, 7, 6, 8),
        (6, 2, 2, 3, 2),
        {"group": 2, "strides": [2, 1, 3], "dilations": [2, 1, 3], "pads": [2, 0, 1, 1, 2, 0]},
    ),
    ("Conv", (1, 3, 4, 5, 4), (6, 1, 3, 3, 3), {"group": 3, "pads": [1, 1, 1, 1, 1, 1]}),  # depthwise
    ("ConvTranspose", (2, 3, 3, 4, 2), (3, 4, 2, 2, 2), {"strides": [2, 2, 2]}),  # of a U-Net
    ("ConvTranspose", (1, 2, 3, 2, 2), (2, 3, 3, 3, 3), {"pads": [1] * 6}),
    (
        "ConvTranspose",
        (2, 4, 3, 2, 3),
        (4, 3, 3, 2, 3),
        {"group": 2, "strides": [3, 2, 2], "pads": [2, 0, 1, 0, 1, 2], "output_padding": [2, 1, 0]},
    ),
    ("ConvTranspose", (1, 2, 3, 2, 2), (2, 2, 3, 2, 2), {"dilations": [2, 1, 2], "strides": [2, 1, 1]}),
    ("ConvTranspose", (1, 2, 4, 2, 2), (2, 2, 2, 2, 2), {"pads": [3, 0, 0, 1, 0, 0], "strides": [2, 1, 1]}),
    ("MaxPool", (2, 3, 4, 6, 5), (), {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]}),
    (
        "MaxPool",
        (1, 2, 6, 5, 7),
        (),
        {
            "kernel_shape": [3, 2, 3],
            "strides": [2, 2, 3],
            "pads": [1, 0, 2, 1, 1, 0],
            "ceil_mode": 1,
            "dilations": [2, 1, 1],
        },
    ),
    *[
        (
            "AveragePool",
            (2, 2, 5, 6, 4),
            (),
            {
                "kernel_shape": [3, 2, 3],
                "strides": [2, 3, 2],
                "pads": [1, 1, 0, 2, 0, 1],
                "ceil_mode": ceil,
                "count_include_pad": include,
            },
        )
        for ceil, include in itertools.product((0, 1), (0, 1))
    ],
]  # fmt: skip
Row = Tuple[str, Tuple[int, ...], Tuple[int, ...], Attributes]


def name_of(row: Row) -> str:
    return f"{row[0]} {row[1]} {row[2]} " + " ".join(f"{k}={v}" for k, v in row[3].items())


def arrays(row: Row, seed: int = 0) -> List[Array]:
    """The inputs of a row: distinct numbers for x, and weights and a bias where there are any."""
    rng = np.random.default_rng(seed)
    op, shape, weights, a = row
    x = rng.permutation(math.prod(shape)).reshape(shape) / math.prod(shape) - 0.5
    if not weights:
        return [x.astype(np.float32)]
    channels = weights[0] if op == "Conv" else weights[1] * a.get("group", 1)
    return [n.astype(np.float32) for n in (x, rng.normal(size=weights), rng.normal(size=channels))]


def twin(row: Row, inputs: Sequence[Array]) -> Array:
    op, _, _, a = row
    x, *rest = (array.astype(np.float64) for array in inputs)
    if rest:
        return (convolution if op == "Conv" else transposed)(x, *rest, a)
    return pool(x, a, op == "AveragePool")


def graph_of(row: Row, inputs: Sequence[Array], *, known: bool = True, batch: Any = None) -> Graph:
    """A graph of one node; `known`: the weights are constants, else they are inputs, too."""
    op, _, _, a = row
    names = ["x", "w", "b"][: len(inputs)]
    first = 1 if known else len(names)
    shapes = [list(array.shape) for array in inputs]
    if batch is not None:
        shapes[0][0] = batch
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], name="node", **a)],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(names[:first], shapes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, n) for n, array in list(zip(names, inputs))[first:]],
    )
    return read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9))


@pytest.mark.parametrize("known", [True, False], ids=["constants", "inputs"])
@pytest.mark.parametrize("row", SIGNALS + VOLUMES, ids=name_of)
def test_numbers_and_gradients(row: Row, known: bool) -> None:
    """The twin's derivative along a direction is the gradient's product with it; each is linear nearby."""
    inputs = arrays(row)
    expected = twin(row, inputs)
    dy = np.random.default_rng(1).normal(size=expected.shape).astype(np.float32)
    y, gradients = differentiated(graph_of(row, inputs, known=known), inputs[: 1 if known else None], dy)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    for i, gradient in enumerate(gradients):
        direction = np.random.default_rng(2).uniform(-1, 1, gradient.shape)
        sides = []
        for t in (1e-4, -1e-4):
            moved = [array.astype(np.float64) for array in inputs]
            moved[i] = moved[i] + t * direction
            sides.append((twin(row, moved) * dy).sum())
        difference = (sides[0] - sides[1]) / 2e-4
        size = max(np.abs(gradient * direction).sum(), 1e-3)
        assert abs((gradient * direction).sum() - difference) <= 1e-5 * size, f"input {i}"


@pytest.mark.parametrize("row", SIGNALS + VOLUMES, ids=name_of)
def test_a_batch_has_the_bits_of_its_images(row: Row) -> None:
    """Whether the file declares a batch of one or leaves it open."""
    op, shape, weights, a = row
    inputs = arrays((op, (3, *shape[1:]), weights, a))
    x = inputs[0]
    dy = np.random.default_rng(1).normal(size=twin(row, inputs).shape).astype(np.float32)
    for batch in (1, "N"):
        graph = graph_of(row, inputs, batch=batch)
        y, (dx,) = differentiated(graph, [x], dy)
        for i in range(3):
            own, (own_dx,) = differentiated(graph, [x[i : i + 1]], dy[i : i + 1])
            np.testing.assert_array_equal(y[i : i + 1], own)
            np.testing.assert_array_equal(dx[i : i + 1], own_dx)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_same_padding_of_volumes(auto_pad: str) -> None:
    """Ceil(length / stride) windows; the odd element of padding lies behind, or in front."""
    inputs = arrays(("Conv", (1, 2, 5, 4, 6), (3, 2, 2, 3, 4), {}))
    a = {"strides": [2, 1, 3]}
    # the lengths of 5, 4 and 6 need 1, 2 and 1 more
    pads = [0, 1, 0, 1, 1, 1] if auto_pad == "SAME_UPPER" else [1, 1, 1, 0, 1, 0]
    dy = np.ones((1, 3, 3, 4, 2), np.float32)
    row = ("Conv", (), (), {**a, "auto_pad": auto_pad})
    y, _ = differentiated(graph_of(row, inputs), inputs[:1], dy)
    np.testing.assert_allclose(y, convolution(*inputs, {**a, "pads": pads}), rtol=1e-4, atol=1e-5)


def test_one_array_of_weights_serves_both_directions() -> None:
    """An encoder and a decoder may share their weights, of which they read different forms."""
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=n).astype(np.float32) for n in ((1, 2, 4, 4, 4), (3, 2, 3, 2, 2)))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("ConvTranspose", ["h", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, "w")],
    )
    model = read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9))
    y, _ = differentiated(model, [x], np.ones_like(x))
    hidden = convolution(x, w, np.zeros(3), {})
    np.testing.assert_allclose(y, transposed(hidden, w, np.zeros(2), {}), rtol=1e-4, atol=1e-5)


REFUSED: Dict[str, Tuple[Row, str]] = {
    "kernel too deep": (("Conv", (1, 2, 2, 5, 5), (3, 2, 3, 3, 3), {}), r"do not fit extents of \(2,\)"),
    "pool too deep": (
        ("MaxPool", (1, 2, 2, 5, 5), (), {"kernel_shape": [3, 1, 1]}), "kernel 3 with dilation 1 spans 3"
    ),
    "groups": (("Conv", (1, 3, 3, 3, 3), (4, 1, 1, 1, 1), {"group": 2}), "2 groups do not divide 3"),
    "channels": (("Conv", (1, 3, 3, 3, 3), (4, 2, 3, 1, 1), {}), "w has 2 channels"),
    "weights of a picture": (("Conv", (1, 3, 3, 3, 3), (4, 3, 1, 1), {}), "do not fit an input"),
    "two strides": (("Conv", (1, 3, 3, 3, 3), (4, 3, 1, 1, 1), {"strides": [1, 1]}), "must be 3 numbers"),
    "four pads": (("Conv", (1, 3, 3, 3, 3), (4, 3, 1, 1, 1), {"pads": [0] * 4}), "has 4 numbers, expected 6"),
    "padding alone": (
        ("MaxPool", (1, 2, 3, 3, 3), (), {"kernel_shape": [2, 2, 2], "pads": [2, 0, 0, 0, 0, 0]}),
        "reach beyond a window of 2",
    ),
    "nothing left": (
        ("ConvTranspose", (1, 2, 2, 2, 2), (2, 2, 2, 1, 1), {"pads": [2, 0, 0, 1, 0, 0]}), "leaves no depth"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_named(name: str) -> None:
    row, message = REFUSED[name]
    with pytest.raises(ModelFormatError, match=message) as caught:
        differentiated(graph_of(row, arrays(row)), arrays(row)[:1], np.ones(1, np.float32))
    assert "node" in str(caught.value)


def test_four_spatial_axes_are_too_many() -> None:
    row: Row = ("Conv", (1, 2, 3, 3, 3, 3), (2, 2, 1, 1, 1, 1), {})
    with pytest.raises(UnsupportedModelError, match="one to 3 spatial axes"):
        differentiated(graph_of(row, arrays(row)), arrays(row)[:1], np.ones(1, np.float32))


@pytest.mark.torch
@pytest.mark.parametrize("row", SIGNALS + VOLUMES, ids=name_of)
def test_torch_agrees(row: Row) -> None:
    torch = pytest.importorskip("torch")
    op, _, _, a = row
    strides, dilations, before, after = sizes(a, len(arrays(row)[0].shape) - 2)
    if op not in ("Conv", "ConvTranspose") or list(before) != list(after):
        pytest.skip("PyTorch pads alike on both sides")
    inputs = arrays(row)
    x, w, b = (torch.tensor(array) for array in inputs)
    x.requires_grad_()
    kind = "conv" if op == "Conv" else "conv_transpose"
    function: Callable[..., Any] = getattr(torch.nn.functional, f"{kind}{x.ndim - 2}d")
    more = {} if op == "Conv" else {"output_padding": a.get("output_padding", 0)}
    expected = function(
        x, w, b, stride=strides, padding=before, dilation=dilations, groups=a.get("group", 1), **more
    )
    dy = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(expected, x, dy)
    y, (dx,) = differentiated(graph_of(row, inputs), inputs[:1], dy.numpy())
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx, gradient.numpy(), rtol=1e-4, atol=1e-5)
