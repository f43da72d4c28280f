"""GridSample, AffineGrid and RoiAlign: PyTorch's numbers, batches, bad files, wild positions."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import pytest
from graphs import differentiated, run
from onnx import NodeProto, TensorProto, helper, numpy_helper

from cnnviz.errors import ModelFormatError
from cnnviz.graph.graph import Graph
from cnnviz.lowering.batch import MixedBatchError
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 2, 5, 6)).astype(np.float32)
VOLUME = RNG.normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
GRID = RNG.uniform(-1.3, 1.3, size=(3, 4, 7, 2)).astype(np.float32)
THETA = RNG.normal(size=(3, 2, 3)).astype(np.float32)
BOXES = np.array([[0, 0, 3, 4], [1.5, 0.5, 5, 2], [-2, 1, 9, 3], [4, 4, 1, 1]], np.float32)


def node(op: str, inputs: Sequence[str], output: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, list(inputs), [output], name=f"the {op}", **attributes)


def graph_of(nodes: Sequence[NodeProto], inputs: Dict[str, Any], opset: int = 20, **constants: Any) -> Graph:
    """A graph of these inputs, each with its shape, and output y."""
    arrays = {n: np.asarray(v) for n, v in constants.items()}
    arrays = {n: a.astype(np.float32 if a.dtype.kind == "f" else np.int64) for n, a in arrays.items()}
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9))


# A picture and what is done with it: nodes from x to y, the constants, and the declared shape of one image.
Case = Tuple[List[NodeProto], Dict[str, Any]]
NETWORKS: Dict[str, Case] = {
    "a known grid": ([node("GridSample", ["x", "g"])], {"g": GRID[:1]}),
    "a known grid for each part": (
        [node("Reshape", ["x", "shape"], "parts"), node("GridSample", ["parts", "g"])],
        {"shape": [2, 1, 5, 6], "g": GRID[:2]},
    ),
    "a grid from the picture": (
        [
            node("Slice", ["x", "from", "to", "axes"], "part"),
            node("Transpose", ["part"], "g", perm=[0, 2, 3, 1]),
            node("GridSample", ["x", "g"], mode="cubic", padding_mode="reflection"),
        ],
        {"from": [0, 0, 0], "to": [2, 2, 3], "axes": [1, 2, 3]},
    ),
    "a spatial transformer": (
        [
            node("GlobalAveragePool", ["x"], "p"),
            node("Flatten", ["p"], "f"),
            node("Gemm", ["f", "w"], "t"),
            node("Reshape", ["t", "shape"], "theta"),
            node("AffineGrid", ["theta", "size"], "g"),
            node("GridSample", ["x", "g"]),
        ],
        {"w": RNG.normal(size=(2, 6)), "shape": [-1, 2, 3], "size": [1, 2, 4, 5]},
    ),
    "a known picture": (
        [node("Transpose", ["x"], "g", perm=[0, 2, 3, 1]), node("GridSample", ["k", "g"])],
        {"k": X[:1]},
    ),
    "regions": (
        [node("RoiAlign", ["x", "b", "i"], output_height=2, output_width=2)],
        {"b": BOXES, "i": [0] * 4},
    ),
    "regions from the picture": (
        [
            node("Reshape", ["x", "shape"], "all"),
            node("Slice", ["all", "from", "to", "axes"], "b"),
            node("RoiAlign", ["x", "b", "i"], mode="max", sampling_ratio=2, spatial_scale=3.0),
        ],
        {"shape": [15, 4], "from": [0], "to": [3], "axes": [0], "i": [0] * 3},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_has_the_bits_of_its_images(name: str) -> None:
    nodes, constants = NETWORKS[name]
    graph = graph_of(nodes, {"x": (1, *X.shape[1:])}, **constants)
    alone = [run(graph, X[i : i + 1])[0] for i in range(3)]
    dy = RNG.normal(size=(3 * len(alone[0]), *alone[0].shape[1:])).astype(np.float32)
    y, (dx,) = differentiated(graph, [X], dy)
    np.testing.assert_array_equal(y, np.concatenate(alone))
    for i, part in enumerate(np.split(dy, 3)):
        _, (own,) = differentiated(graph, [X[i : i + 1]], part)
        np.testing.assert_array_equal(dx[i : i + 1], own, f"image {i}")


MIXED: Dict[str, Case] = {
    "regions of a picture's parts": (
        [node("Reshape", ["x", "shape"], "r"), node("RoiAlign", ["r", "b", "i"])],
        {"shape": [2, 1, 5, 6], "b": BOXES, "i": [0, 1, 0, 1]},
    ),
    "several grids for a picture": ([node("GridSample", ["x", "g"])], {"g": GRID}),
}


@pytest.mark.parametrize("name", MIXED)
def test_images_that_cannot_be_followed_are_refused(name: str) -> None:
    nodes, constants = MIXED[name]
    graph = graph_of(nodes, {"x": (1, *X.shape[1:])}, **constants)
    assert np.isfinite(run(graph, X[:1])[0]).all()
    with pytest.raises(MixedBatchError, match="mixes the images of a batch"):
        run(graph, X)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_positions_may_be_any_numbers(mode: str, padding: str) -> None:
    """Huge, infinite and undefined coordinates read zeros or elements of the picture, and nothing else."""
    wild = np.float32([np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, -3e9, 1e5])
    grid = np.stack(np.meshgrid(wild, wild), -1)[None]
    graph = graph_of(
        [node("GridSample", ["x", "g"], mode=mode, padding_mode=padding)], {"x": (1, 2, 5, 6)}, g=grid
    )
    y, (dx,) = differentiated(graph, [np.ones((1, 2, 5, 6), np.float32)], np.ones((1, 2, 8, 8), np.float32))
    np.testing.assert_allclose(y, 0 if padding == "zeros" else 1, atol=1e-6)
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_regions_may_be_any_numbers(mode: str, ratio: int) -> None:
    wild = np.float32([[np.nan] * 4, [-np.inf, 0, np.inf, 2], [0, 0, 1e30, 1e30], [1e30, 1e30, -1e30, 0]])
    attributes = {"mode": mode, "sampling_ratio": ratio, "output_height": 2, "output_width": 3}
    graph = graph_of(
        [node("RoiAlign", ["x", "b", "i"], **attributes)], {"x": (1, 2, 5, 6)}, b=wild, i=[0] * 4
    )
    y, (dx,) = differentiated(graph, [X[:1]], np.ones((4, 2, 2, 3), np.float32))
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


def test_regions_of_old_opsets_have_no_half_pixel() -> None:
    box = {"b": [[0.0, 0.0, 4.0, 4.0]], "i": [0]}
    attributes: Dict[str, Any] = {"output_height": 2, "output_width": 2, "sampling_ratio": 2}
    old = graph_of([node("RoiAlign", ["x", "b", "i"], **attributes)], {"x": (1, 2, 5, 6)}, opset=10, **box)
    attributes["coordinate_transformation_mode"] = "output_half_pixel"
    new = graph_of([node("RoiAlign", ["x", "b", "i"], **attributes)], {"x": (1, 2, 5, 6)}, opset=16, **box)
    np.testing.assert_array_equal(run(old, X[:1])[0], run(new, X[:1])[0])


REFUSED: Dict[str, Tuple[NodeProto, Dict[str, Any], str]] = {
    "mode": (node("GridSample", ["x", "g"], mode="area"), {"g": GRID[:1]}, "mode 'area' is none of"),
    "padding": (node("GridSample", ["x", "g"], padding_mode="wrap"), {"g": GRID[:1]}, "'wrap' is none of"),
    "coordinates": (node("GridSample", ["x", "g"]), {"g": GRID[:1, ..., :1]}, "needs 2 axes of points and 2"),
    "grids": (node("GridSample", ["k", "g"]), {"k": X, "g": GRID[:2]}, "3 images, but there are 2 grids"),
    "theta": (node("AffineGrid", ["x", "s"]), {"s": [1, 1, 4, 4]}, "theta of shape"),
    "five sizes": (node("AffineGrid", ["x", "s"]), {"s": [1, 4]}, "does not fit a grid"),
    "no rows": (node("RoiAlign", ["x", "b", "i"], output_height=0), {"b": BOXES, "i": [0] * 4}, "0 x 1 bins"),
    "no such image": (node("RoiAlign", ["x", "b", "i"]), {"b": BOXES, "i": [0, 0, 1, 0]}, "not all in 0..0"),
    "an index short": (node("RoiAlign", ["x", "b", "i"]), {"b": BOXES, "i": [0]}, "there are 4 regions"),
    "pool": (node("RoiAlign", ["x", "b", "i"], mode="min"), {"b": BOXES, "i": [0] * 4}, "'min' is none of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_named(name: str) -> None:
    bad, constants, message = REFUSED[name]
    graph = graph_of([node("Identity", ["x"], "same"), bad], {"x": (1, *X.shape[1:])}, **constants)
    with pytest.raises(ModelFormatError, match=message) as caught:
        run(graph, X[:1])
    assert f"the {bad.op_type}" in str(caught.value)


@pytest.mark.torch
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_torch_agrees(ndim: int, mode: str, padding: str, corners: bool) -> None:
    torch = pytest.importorskip("torch")
    if ndim == 3 and mode == "bicubic":
        pytest.skip("PyTorch has no cubic for volumes")
    x = X if ndim == 2 else VOLUME
    grid = GRID if ndim == 2 else RNG.uniform(-1.3, 1.3, size=(2, 2, 3, 4, 3)).astype(np.float32)
    attributes = {
        "mode": mode[2:] if mode != "nearest" else mode,
        "padding_mode": padding,
        "align_corners": int(corners),
    }
    graph = graph_of([node("GridSample", ["x", "g"], **attributes)], {"x": x.shape, "g": grid.shape})
    given = [torch.tensor(array, requires_grad=True) for array in (x, grid)]
    expected = torch.nn.functional.grid_sample(*given, mode=mode, padding_mode=padding, align_corners=corners)
    dy = RNG.normal(size=expected.shape).astype(np.float32)
    gradients = torch.autograd.grad(expected, given, torch.tensor(dy))
    y, found = differentiated(graph, [x, grid], dy)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    for own, theirs in zip(found, gradients):
        np.testing.assert_allclose(own, theirs.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.torch
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("size", [(3, 2, 4, 5), (3, 2, 1, 3), (2, 1, 3, 2, 4)])
def test_affine_grids_are_torch_s(size: Tuple[int, ...], corners: bool) -> None:
    torch = pytest.importorskip("torch")
    axes = len(size) - 2
    theta = RNG.normal(size=(size[0], axes, axes + 1)).astype(np.float32)
    graph = graph_of([node("AffineGrid", ["x", "s"], align_corners=int(corners))], {"x": theta.shape}, s=size)
    expected = torch.nn.functional.affine_grid(torch.tensor(theta), list(size), align_corners=corners)
    np.testing.assert_allclose(run(graph, theta)[0], expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("ratio", [0, 1, 3])
def test_onnxruntime_agrees_about_regions(ratio: int, coordinates: str, mode: str) -> None:
    """Regions that reach beyond the picture, and one whose corners are exchanged."""
    runtime = pytest.importorskip("onnxruntime")
    attributes = {"output_height": 2, "output_width": 3, "spatial_scale": 0.75, "sampling_ratio": ratio}
    region = node("RoiAlign", "xbi", coordinate_transformation_mode=coordinates, mode=mode, **attributes)
    index = np.array([2, 0, 1, 2])
    graph = helper.make_graph(
        [region],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(BOXES, "b"), numpy_helper.from_array(index, "i")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    (expected,) = runtime.InferenceSession(model.SerializeToString()).run(None, {"x": X})
    np.testing.assert_allclose(run(read(model), X)[0], expected, rtol=1e-4, atol=1e-5)
