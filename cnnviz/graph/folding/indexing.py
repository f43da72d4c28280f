"""Operators that read or write elements at the places that an array of indices names."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from cnnviz.graph.folding.row import Array, Row, as_inputs
from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import axis_of

__all__ = ["ROWS"]


def _gather_size(node: Node, x: Array, indices: Array) -> int:
    axis = axis_of(node.attributes["axis"], x.ndim)
    return math.prod(x.shape[:axis] + x.shape[axis + 1 :] + indices.shape)


def _gather(node: Node, x: Array, indices: Array) -> Array:
    axis = axis_of(node.attributes["axis"], x.ndim)
    length = x.shape[axis]
    if indices.size and not (-length <= int(indices.min()) and int(indices.max()) < length):
        raise ValueError(f"an index is out of range for {length} elements")
    return np.take(x, indices, axis=axis)


def _places(node: Node, x: Array, indices: Array) -> Tuple[Array, ...]:
    """The index of NumPy that names, for each element of `indices`, its place with that index on `axis`."""
    axis = axis_of(node.attributes["axis"], x.ndim)
    if indices.ndim != x.ndim:
        raise ValueError(f"indices of shape {indices.shape} do not fit an input of shape {x.shape}")
    places: List[Array] = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    places[axis] = indices
    return tuple(places)


def _gather_elements(node: Node, x: Array, indices: Array) -> Array:
    found: Array = x[_places(node, x, indices)]
    return found


def _rows_of(x: Array, indices: Array, batch: int) -> Tuple[Array, ...]:
    """The index of NumPy that GatherND and ScatterND mean: the last axis of `indices` is one place."""
    depth = indices.shape[-1] if indices.ndim else 0
    if not 0 <= batch < indices.ndim or not 1 <= depth <= x.ndim - batch:
        raise ValueError(f"indices of shape {indices.shape} do not fit an input of shape {x.shape}")
    if indices.shape[:batch] != x.shape[:batch]:
        raise ValueError(f"the first {batch} axes of {indices.shape} and {x.shape} differ")
    outer = np.ogrid[tuple(slice(n) for n in x.shape[:batch])] if batch else []
    aligned = [one.reshape(one.shape + (1,) * (indices.ndim - 1 - batch)) for one in outer]
    return (*aligned, *np.moveaxis(indices, -1, 0))


def _gather_nd_size(node: Node, x: Array, indices: Array) -> int:
    batch, depth = node.attributes["batch_dims"], (indices.shape or (0,))[-1]
    return math.prod(indices.shape[:-1]) * math.prod(x.shape[max(batch, 0) + depth :])


def _gather_nd(node: Node, x: Array, indices: Array) -> Array:
    found: Array = x[_rows_of(x, indices, node.attributes["batch_dims"])]
    return found


#: The reduction of a scatter -> the NumPy function that meets the old element with the new one.
_REDUCTIONS: Dict[str, Any] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _scattered(node: Node, x: Array, places: Tuple[Array, ...], updates: Array) -> Array:
    result, reduction = x.copy(), node.attributes["reduction"]
    if reduction == "none":
        result[places] = updates
    elif reduction in _REDUCTIONS:
        _REDUCTIONS[reduction].at(result, places, updates.astype(x.dtype))
    else:
        raise ValueError(f"reduction {reduction!r} is none of none, {', '.join(_REDUCTIONS)}")
    return result


def _scatter_elements(node: Node, x: Array, indices: Array, updates: Array) -> Array:
    if updates.shape != indices.shape:
        raise ValueError(f"updates of shape {updates.shape} do not fit indices of shape {indices.shape}")
    return _scattered(node, x, _places(node, x, indices), updates)


def _scatter_nd(node: Node, x: Array, indices: Array, updates: Array) -> Array:
    return _scattered(node, x, _rows_of(x, indices, 0), updates)


def _one_hot_size(node: Node, indices: Array, depth: Array, values: Array) -> int:
    return math.prod(indices.shape) * max(int(depth.item()), 1)


def _one_hot(node: Node, indices: Array, depth: Array, values: Array) -> Array:
    """One axis more: `on` at the index, `off` elsewhere, and everywhere for an index out of range."""
    length = int(depth.item())
    axis = axis_of(node.attributes["axis"], indices.ndim + 1)
    off, on = values
    wrapped = np.where(indices < 0, indices + length, indices)
    steps = np.arange(length).reshape((length,) + (1,) * (indices.ndim - axis))
    return np.where(np.expand_dims(wrapped, axis) == steps, on, off)


def _compress(node: Node, x: Array, condition: Array) -> Array:
    axis = node.attributes["axis"]
    return np.compress(condition != 0, x, None if axis is None else axis_of(axis, x.ndim))


def _extreme(find: Callable[..., Any]) -> Callable[..., Array]:
    """ArgMax or ArgMin: the first or the last place of the extreme along an axis."""

    def found(node: Node, x: Array) -> Array:
        a = node.attributes
        axis = axis_of(a["axis"], x.ndim)
        places = find(np.flip(x, axis), axis) if a["select_last_index"] else find(x, axis)
        places = x.shape[axis] - 1 - places if a["select_last_index"] else places
        return np.expand_dims(places, axis) if a["keepdims"] else np.asarray(places)

    return found


def _top_k(node: Node, x: Array) -> Tuple[Array, Array]:
    """The k largest (or smallest) elements along an axis, sorted, and their places; of equals the first."""
    axis, count = axis_of(node.attributes["axis"], x.ndim), node.attributes["k"]
    if not 0 <= count <= x.shape[axis]:
        raise ValueError(f"k is {count}, but axis {axis} has {x.shape[axis]} elements")
    reverse = -x if x.dtype.kind == "f" else ~x  # ~ reverses the order of integers and cannot overflow
    order = np.argsort(reverse if node.attributes["largest"] else x, axis=axis, kind="stable")
    places = np.take(order, np.arange(count), axis=axis)
    return np.take_along_axis(x, places, axis), places


ROWS: Dict[str, Row] = {
    "ArgMax": Row(_extreme(np.argmax), as_inputs),
    "ArgMin": Row(_extreme(np.argmin), as_inputs),
    "Compress": Row(_compress, as_inputs),
    "Gather": Row(_gather, _gather_size),
    "GatherElements": Row(_gather_elements, as_inputs),
    "GatherND": Row(_gather_nd, _gather_nd_size),
    "OneHot": Row(_one_hot, _one_hot_size),
    "ScatterElements": Row(_scatter_elements, as_inputs),
    "ScatterND": Row(_scatter_nd, as_inputs),
    "TopK": Row(_top_k, lambda node, x: 2 * math.prod(x.shape)),
}
