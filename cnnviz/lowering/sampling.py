"""Lowering of operators that read pictures at positions: grids, regions."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Node
from cnnviz.lowering.spatial import Window
from cnnviz.lowering.state import Lowering
from cnnviz.lowering.windows import window_of

__all__ = ["ROWS"]

# The modes of ONNX, the older names too, as degrees of a polynomial; and the paddings as those of the core.
_DEGREES = {"nearest": 0, "linear": 1, "bilinear": 1, "cubic": 3, "bicubic": 3}
_PADDINGS = {"zeros": "constant", "border": "edge", "reflection": "reflect"}
_COORDINATES = ("half_pixel", "output_half_pixel")
_POOLS = ("avg", "max")


def _one_of(node: Node, name: str, choices: Any) -> str:
    """A text attribute, one of some."""
    found: str = node.attributes[name]
    if found not in choices:
        raise ValueError(f"{name} {found!r} is none of {', '.join(choices)}")
    return found


def _grid_sample(low: Lowering, node: Node) -> int:
    """Jaderberg et al. 2015, eq. 3 and 5, with the gradients of the picture and of the grid."""
    x, grid = (low.id(name) for name in node.inputs)
    return low.plan.grid_sample(
        x,
        grid,
        degree=_DEGREES[_one_of(node, "mode", _DEGREES)],
        padding=_PADDINGS[_one_of(node, "padding_mode", _PADDINGS)],
        align_corners=bool(node.attributes["align_corners"]),
        name=node.name,
    )


def _affine_grid(low: Lowering, node: Node) -> int:
    """The grid of an affine map: the coordinates of a picture's points times its matrix, Jaderberg eq. 1."""
    theta, size = low.id(node.inputs[0]), node.attributes["size"]
    shape, axes = low.plan.shape(theta), len(size) - 2
    if axes not in (2, 3) or shape != (size[0], axes, axes + 1):
        raise ValueError(f"theta of shape {shape} does not fit a grid for pictures of size {tuple(size)}")
    if any(n < 1 for n in size):
        raise ValueError(f"size {tuple(size)} must have positive numbers")
    extents = size[2:]
    low.spend(int(np.prod(extents)) * (axes + 1), node)
    lines = [_coordinates(n, bool(node.attributes["align_corners"])) for n in extents]
    places = np.meshgrid(*lines, indexing="ij")[::-1]
    points = np.stack([*places, np.ones_like(places[0])], axis=-1).reshape(-1, axes + 1)
    turned = low.plan.transpose(theta, perm=(0, 2, 1), name=node.name)
    y = low.plan.matmul(low.array(points, f"{node.name}/points"), turned, name=node.name)
    return low.plan.reshape(y, shape=(size[0], *extents, axes), name=node.name)


def _coordinates(n: int, align_corners: bool) -> NDArray[np.float32]:
    """The coordinates of n elements from -1 to 1: of their centres, between the outermost or the edges.

    A single element lies in the middle, as in PyTorch; ONNX Runtime lays it at -1.
    """
    if align_corners:
        return np.linspace(-1, 1, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32)
    return ((2 * np.arange(n) + 1) / n - 1).astype(np.float32)


def _roi_align(low: Lowering, node: Node) -> int:
    """He et al. 2017, section 3; without a gradient to the regions."""
    x, regions, index = (low.id(name) for name in node.inputs)
    a, images = node.attributes, low.plan.shape(x)[:1]
    if node.inputs[2] in low.known and images:
        given: List[int] = low.known[node.inputs[2]].ravel().tolist()
        if any(not 0 <= i < images[0] for i in given):
            raise ValueError(f"batch_indices {given} are not all in 0..{images[0] - 1}")
    return low.plan.roi_align(
        x,
        regions,
        index,
        bins=(a["output_height"], a["output_width"]),
        samples=a["sampling_ratio"],
        scale=a["spatial_scale"],
        half_pixel=_one_of(node, "coordinate_transformation_mode", _COORDINATES) == "half_pixel",
        maximum=_one_of(node, "mode", _POOLS) == "max",
        name=node.name,
    )


def _deform_conv(low: Lowering, node: Node) -> int:
    """Dai et al. 2017, eq. 2, and with a mask Zhu et al. 2019, eq. 1: a convolution of sampled elements.

    The elements under each tap become channels, of which the weights take the sum.
    """
    plan, name, a = low.plan, node.name, node.attributes
    x, w, offset = (low.id(value) for value in node.inputs[:3])
    bias, mask = ((low.id(value) if value else None) for value in (*node.inputs[3:], "", "")[:2])
    n, c, *extents = plan.shape(x)
    filters, per_group, *kernel = plan.shape(w)
    if len(extents) != 2 or len(kernel) != 2:
        raise ValueError(
            f"x of shape {plan.shape(x)} and w of shape {plan.shape(w)} are not those of pictures"
        )
    window = window_of(node, tuple(extents), kernel)
    if window.kernel != tuple(kernel):
        raise ValueError(f"kernel_shape {window.kernel} contradicts weights of shape {plan.shape(w)}")
    parts, taps = a["offset_group"], math.prod(kernel)
    if parts < 1 or c % parts:
        raise ValueError(f"offset_group {parts} does not divide {c} channels")
    rows, columns = window.outputs(tuple(extents))
    offset = _shaped(low, node, offset, "offset", (n, parts * taps * 2, rows, columns))
    grid = plan.reshape(offset, shape=(n * parts, taps, 2, rows, columns), name=name)
    grid = plan.transpose(grid, perm=(0, 1, 3, 4, 2), name=name)
    grid = plan.add(grid, low.array(_taps(window, rows, columns), f"{name}/taps"), name=name)
    grid = plan.slice(grid, start=(0, 0, 0, 0, 1), shape=plan.shape(grid), step=(1, 1, 1, 1, -1), name=name)
    grid = plan.reshape(grid, shape=(n * parts, taps * rows, columns, 2), name=name)
    x = plan.reshape(x, shape=(n * parts, c // parts, *extents), name=name)
    y = plan.grid_sample(x, grid, degree=1, padding="constant", align_corners=False, elements=True, name=name)
    if mask is not None:
        mask = _shaped(low, node, mask, "mask", (n, parts * taps, rows, columns))
        mask = plan.reshape(mask, shape=(n * parts, 1, taps * rows, columns), name=name)
        y = plan.mul(y, mask, name=name)
    y = plan.reshape(y, shape=(n, c * taps, rows, columns), name=name)
    w = _column(low, node.inputs[1], (filters, per_group * taps, 1, 1))
    return plan.conv2d(y, w, bias, groups=a["group"], name=name)


def _shaped(low: Lowering, node: Node, value: int, what: str, shape: Tuple[int, ...]) -> int:
    if low.plan.shape(value) != shape:
        raise ValueError(f"{what} has shape {low.plan.shape(value)}, expected {shape}")
    return value


def _taps(window: Window, rows: int, columns: int) -> NDArray[np.float32]:
    """The element under each tap of each window: taps, rows, columns, (row, column)."""
    lines = [
        np.arange(count) * stride - before + (np.arange(k) * d)[:, None]
        for count, k, stride, d, before in zip((rows, columns), *window[:4])
    ]
    down, right = (line.astype(np.float32) for line in lines)
    places = np.broadcast_arrays(down[:, None, :, None], right[None, :, None, :])
    return np.stack(places, -1).reshape(-1, rows, columns, 2)


def _column(low: Lowering, name: str, shape: Tuple[int, ...]) -> int:
    """Weights as those of a convolution over single elements; a constant, where they are known."""
    if name in low.known:
        return low.derived(name, f"column {shape}", lambda w: w.reshape(shape))
    return low.plan.reshape(low.id(name), shape=shape, name=f"{name}/column")


ROWS: Dict[str, Callable[[Lowering, Node], int]] = {
    "AffineGrid": _affine_grid,
    "DeformConv": _deform_conv,
    "GridSample": _grid_sample,
    "RoiAlign": _roi_align,
}
