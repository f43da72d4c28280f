"""Lowering of operators with known indices into an activation, of running sums and of triangles."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.schema import MAX_LIST
from cnnviz.graph.shapes import axis_of
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS", "part", "taken"]

Indices = NDArray[Any]
_REDUCTIONS = ("none", "add", "mul", "max", "min")
_MOST_ROUNDS = 64  # the largest number of updates of one place, each of which copies the data once
Shape = Tuple[int, ...]


class _Run(NamedTuple):
    """Consecutive elements of one source, the data (0) or the updates (1)."""

    source: int
    start: int
    length: int


def part(low: Lowering, x: int, axis: int, start: int, count: int, name: str) -> int:
    """A slice of `count` elements along one axis."""
    shape = list(low.plan.shape(x))
    first = [0] * len(shape)
    first[axis], shape[axis] = start, count
    return low.plan.slice(x, start=first, shape=shape, step=[1] * len(shape), name=name)


def _runs(sources: Indices, indices: Indices) -> List[_Run]:
    """Runs of neighbours in lists of sources and of indices into them."""
    cuts = np.flatnonzero((np.diff(indices) != 1) | (np.diff(sources) != 0)) + 1
    edges = [0, *cuts.tolist(), len(indices)]
    return [_Run(int(sources[i]), int(indices[i]), j - i) for i, j in zip(edges, edges[1:])]


def _joined(low: Lowering, node: Node, values: Tuple[int, ...], axis: int, runs: List[_Run]) -> int:
    """The runs of the values, one behind the other along an axis."""
    if len(runs) > MAX_LIST:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): its indices have {len(runs)} runs of neighbours, "
            f"at most {MAX_LIST} are supported",
            [node.op],
        )
    parts = [part(low, values[run.source], axis, run.start, run.length, node.name) for run in runs]
    return parts[0] if len(parts) == 1 else low.plan.concat(parts, axis=axis, name=node.name)


def taken(low: Lowering, node: Node, x: int, axis: int, indices: Indices) -> int:
    """The elements of x at indices, a vector, along one axis: a slice for each run of neighbours, joined."""
    return _joined(low, node, (x,), axis, _runs(np.zeros_like(indices), indices))


def _known(low: Lowering, node: Node, position: int) -> Indices:
    name = node.inputs[position]
    if name not in low.known:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): its indices depend on the picture", [node.op]
        )
    if low.known[name].dtype.kind not in "iu":
        raise ValueError(f"input {position}, {name!r}, holds {low.known[name].dtype}, expected integers")
    return low.known[name]


def _positive(indices: Indices, extent: int) -> Indices:
    """Indices counted from the front."""
    if indices.size and (int(indices.min()) < -extent or int(indices.max()) >= extent):
        raise ValueError(f"an index is out of range for {extent} elements")
    return np.where(indices < 0, indices + extent, indices)


def _gather(low: Lowering, node: Node) -> int:
    """Known indices into an activation."""
    x = low.id(node.inputs[0])
    shape = low.plan.shape(x)
    axis = axis_of(node.attributes["axis"], len(shape))
    indices = _known(low, node, 1)
    flat = _positive(indices.ravel(), shape[axis])
    y = taken(low, node, x, axis, flat)
    target = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
    return low.plan.reshape(y, shape=target, name=node.name)


def _places(node: Node, shape: Shape, indices: Indices) -> Indices:
    """Tuples of indices into the leading axes of a shape, as indices into these axes laid flat."""
    depth = indices.shape[-1] if indices.ndim else 0
    if not 1 <= depth <= len(shape):
        raise ValueError(f"indices of shape {indices.shape} do not fit an input of shape {shape}")
    columns = [_positive(indices[..., i].ravel(), shape[i]) for i in range(depth)]
    return np.ravel_multi_index(columns, shape[:depth])


def _gather_nd(low: Lowering, node: Node) -> int:
    """Known tuples of indices: the axes that they index become one, of which runs are taken."""
    x, indices = low.id(node.inputs[0]), _known(low, node, 1)
    shape, batch = low.plan.shape(x), node.attributes["batch_dims"]
    if not 0 <= batch < indices.ndim or shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"batch_dims {batch} does not fit shapes {shape} and {indices.shape}")
    if batch:  # the batch's own indices become leading ones
        grid = np.indices(indices.shape[:-1])[:batch]
        indices = np.concatenate([np.stack(list(grid), -1), indices], axis=-1)
    flat = _places(node, shape, indices)
    depth = indices.shape[-1]
    x = low.plan.reshape(x, shape=(math.prod(shape[:depth]), *shape[depth:]), name=node.name)
    y = taken(low, node, x, 0, flat)
    return low.plan.reshape(y, shape=(*indices.shape[:-1], *shape[depth:]), name=node.name)


def _flat_places(node: Node, shape: Shape, indices: Indices) -> Indices:
    """The places in an input of `shape`, laid flat, that GatherElements and ScatterElements mean."""
    axis = axis_of(node.attributes["axis"], len(shape))
    if indices.ndim != len(shape) or any(
        m > n for i, (m, n) in enumerate(zip(indices.shape, shape)) if i != axis
    ):
        raise ValueError(f"indices of shape {indices.shape} do not fit an input of shape {shape}")
    places = np.indices(indices.shape)
    places[axis] = _positive(indices, shape[axis])
    flat: Indices = np.asarray(np.ravel_multi_index(tuple(places.reshape(len(shape), -1)), shape))
    return flat


def _gather_elements(low: Lowering, node: Node) -> int:
    """Known places, one for each element of the result; the same on all other axes, they are a Gather."""
    x, indices = low.id(node.inputs[0]), _known(low, node, 1)
    shape = low.plan.shape(x)
    flat = _flat_places(node, shape, indices)
    axis = axis_of(node.attributes["axis"], len(shape))
    lines = np.moveaxis(indices, axis, 0).reshape(indices.shape[axis], -1)
    rest = [n for i, n in enumerate(shape) if i != axis]
    if rest == [n for i, n in enumerate(indices.shape) if i != axis] and (lines == lines[:, :1]).all():
        along = _positive(lines[:, 0], shape[axis])
        return taken(low, node, x, axis, along)
    x = low.plan.reshape(x, shape=(math.prod(shape),), name=node.name)
    return low.plan.reshape(taken(low, node, x, 0, flat), shape=indices.shape, name=node.name)


def _scatter_elements(low: Lowering, node: Node) -> int:
    """Known places of the updates; updates of one place follow each other."""
    x, indices, updates = low.id(node.inputs[0]), _known(low, node, 1), low.id(node.inputs[2])
    shape = low.plan.shape(x)
    if low.plan.shape(updates) != indices.shape:
        raise ValueError(f"updates have shape {low.plan.shape(updates)}, expected {indices.shape}")
    return _scattered(low, node, x, updates, _flat_places(node, shape, indices), len(shape))


def _scatter_nd(low: Lowering, node: Node) -> int:
    """Known tuples of indices: runs of data and updates, joined; updates of one place follow each other."""
    x, indices, updates = low.id(node.inputs[0]), _known(low, node, 1), low.id(node.inputs[2])
    shape = low.plan.shape(x)
    flat = _places(node, shape, indices)
    depth = indices.shape[-1]
    wanted = (*indices.shape[:-1], *shape[depth:])
    if low.plan.shape(updates) != wanted:
        raise ValueError(f"updates have shape {low.plan.shape(updates)}, expected {wanted}")
    return _scattered(low, node, x, updates, flat, depth)


def _scattered(low: Lowering, node: Node, x: int, updates: int, flat: Indices, depth: int) -> int:
    """X with updates at the places `flat` of its first `depth` axes."""
    reduction = node.attributes["reduction"]
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction {reduction!r} is none of {', '.join(_REDUCTIONS)}")
    shape = low.plan.shape(x)
    extent, rest = math.prod(shape[:depth]), shape[depth:]
    y = low.plan.reshape(x, shape=(extent, *rest), name=node.name)
    updates = low.plan.reshape(updates, shape=(len(flat), *rest), name=node.name)
    if reduction == "none":
        y = _written(low, node, y, updates, flat)
    else:
        for chosen in _rounds(node, flat):
            old, new = taken(low, node, y, 0, flat[chosen]), taken(low, node, updates, 0, chosen)
            new = getattr(low.plan, reduction)(old, new, name=node.name)
            y = _written(low, node, y, new, flat[chosen])
    return low.plan.reshape(y, shape=shape, name=node.name)


def _written(low: Lowering, node: Node, x: int, updates: int, places: Indices) -> int:
    """X with updates at some places of its first axis; of equal places the last counts."""
    extent = low.plan.shape(x)[0]
    sources, found = np.zeros(extent, np.int64), np.arange(extent)
    sources[places], found[places] = 1, np.arange(len(places))
    return _joined(low, node, (x, updates), 0, _runs(sources, found))


def _rounds(node: Node, places: Indices) -> List[Indices]:
    """The updates in groups that name no place twice: the first update of each place, the second, ..."""
    order = np.argsort(places, kind="stable")
    _, starts, counts = np.unique(places[order], return_index=True, return_counts=True)
    turns = np.arange(len(places)) - np.repeat(starts, counts)
    if counts.size and counts.max() > _MOST_ROUNDS:
        raise UnsupportedModelError(
            f"node {node.name!r} (ScatterND): {counts.max()} updates of one place, at most {_MOST_ROUNDS} "
            "are supported",
            ["ScatterND"],
        )
    return [np.sort(order[turns == turn]) for turn in range(counts.max() if counts.size else 0)]


def _cumulative_sum(low: Lowering, node: Node) -> int:
    """Running sums along a known axis, as a product with a triangle of ones."""
    x, axes = low.id(node.inputs[0]), _known(low, node, 1)
    shape = low.plan.shape(x)
    if axes.size != 1:
        raise ValueError(f"axis has {axes.size} elements, expected one")
    axis = axis_of(int(axes.item()), len(shape))
    low.spend(shape[axis] ** 2, node)
    ones: NDArray[Any] = np.ones((shape[axis], shape[axis]), np.float32)
    triangle = np.tril(ones, -1 if node.attributes["exclusive"] else 0)  # row i: the elements that are summed
    triangle = triangle.T if node.attributes["reverse"] else triangle
    row = (1,) * (3 - len(shape)) + shape  # three axes, so that every batch runs the same kernel
    y = low.plan.reshape(x, shape=row, name=node.name)
    axis += len(row) - len(shape)
    perm = [*(i for i in range(len(row)) if i != axis), axis]
    y = low.plan.transpose(y, perm=perm, name=node.name)
    y = low.plan.matmul(y, low.array(np.ascontiguousarray(triangle.T), f"{node.name}/ones"), name=node.name)
    y = low.plan.transpose(y, perm=np.argsort(perm).tolist(), name=node.name)
    return low.plan.reshape(y, shape=shape, name=node.name)


def _triangle(low: Lowering, node: Node) -> int:
    """The upper or lower triangle of each matrix, the rest masked; k shifts the diagonal."""
    x = low.id(node.inputs[0])
    shape = low.plan.shape(x)
    if len(shape) < 2:
        raise ValueError(f"input has shape {shape}, expected matrices")
    k = int(_known(low, node, 1).item()) if len(node.inputs) > 1 and node.inputs[1] else 0
    k = max(-shape[-2], min(k, shape[-1]))
    ones: NDArray[Any] = np.ones(shape[-2:], np.float32)
    mask = np.triu(ones, k) if node.attributes["upper"] else np.tril(ones, k)
    return low.plan.masked(x, low.array(mask, f"{node.name}/triangle"), name=node.name)


ROWS: Dict[str, Callable[[Lowering, Node], int]] = {
    "CumSum": _cumulative_sum,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Trilu": _triangle,
}
