"""The places of a layer: which of its axes are the rows and columns of the picture, or a list of both."""

from __future__ import annotations

from typing import List, Optional

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.axes import Places
from cnnviz.model.model import Model

__all__ = ["Places", "as_maps", "layers_with_places", "lists_places", "places_of"]


def places_of(model: Model, layer: str) -> Optional[Places]:
    """Return the places of a layer for a picture of the usual size, None for a layer without any.

    A shape of four axes says nothing: in attention the axes are pairs of places, in windows they are parts of
    rows and columns. So the axes are followed from the network's input. A layer of one place has none.
    """
    return model.layers.places.get(model.layers.resolve(layer))


def layers_with_places(model: Model) -> List[str]:
    """Return the layers N,C,H,W with more than one place, first to last."""
    found = []
    for name, places in model.layers.places.items():
        if len(model.layers[name]) == 4 and (places.rows, places.columns) == model.layers[name][2:]:
            found.append(name)
    return found


def lists_places(model: Model, layer: str) -> bool:
    """Whether a layer has its channels along the last axis: N,T,C, tokens, or N,H,W,C."""
    places = model.layers.places.get(layer)
    rank = len(model.layers[layer])
    return places is not None and places.axis == 1 and rank == (4 if places.apart else 3)


def as_maps(array: NDArray[np.float32], places: Optional[Places]) -> NDArray[np.float32]:
    """Return a layer as maps N,C,rows,columns; the axes other than those of its places become channels.

    Raises
    ------
    ValueError
        For a layer without places.
    """
    if places is None:
        raise ValueError(f"a layer {array.shape} without places has no maps")
    axis = places.axis
    if places.apart:
        size = (array.shape[axis], array.shape[axis + 1])
        moved = np.moveaxis(array, (axis, axis + 1), (-2, -1))
    else:
        size = (places.rows, places.columns)
        moved = np.moveaxis(array, axis, -1)[..., places.extra : places.extra + places.number]
    return np.ascontiguousarray(moved.reshape(len(array), -1, *size))
