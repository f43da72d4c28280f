"""Lowering of operators that read pictures at positions: grids, regions."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Node
from cnnviz.lowering.state import Lowering

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
    """The coordinates of n elements from -1 to 1: of their centres, between the outermost or the edges."""
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


ROWS: Dict[str, Callable[[Lowering, Node], int]] = {
    "AffineGrid": _affine_grid,
    "GridSample": _grid_sample,
    "RoiAlign": _roi_align,
}
