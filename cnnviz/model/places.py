"""The places of a layer: which of its axes are the rows and columns of the picture, or a list of both.

A signal has one row, and a layer of a volume has the depth before the rows.
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.axes import Places
from cnnviz.model.model import Model

__all__ = ["Places", "as_maps", "layers_with_places", "lists_places", "places_of"]


def places_of(model: Model, layer: str) -> Optional[Places]:
    """Return the places of a layer for a picture of the usual size, None for a layer without any.

    They are those of the picture that is explained: layers of another picture alone have none.

    A shape of four axes says nothing: in attention the axes are pairs of places, in windows they are parts of
    rows and columns. So the axes are followed from the network's input. A layer of one place has none.
    """
    return model.layers.places.get(model.layers.resolve(layer))


def layers_with_places(model: Model) -> List[str]:
    """Return the layers N,C,H,W with more than one place, first to last; of a volume they are N,C,D,H,W."""
    found = []
    for name, places in model.layers.places.items():
        size = (*([places.depth] if places.depth else []), places.rows, places.columns)
        if size == model.layers[name][2:]:
            found.append(name)
    return found


def lists_places(model: Model, layer: str) -> bool:
    """Whether a layer has its channels along the last axis: N,T,C, tokens, or N,H,W,C."""
    places = model.layers.places.get(layer)
    rank = len(model.layers[layer])
    return places is not None and places.axis == 1 and rank == (4 if places.apart else 3)


def as_maps(array: NDArray[np.float32], places: Optional[Places]) -> NDArray[np.float32]:
    """Return a layer as maps N,C,rows,columns; the axes other than those of its places become channels.

    A layer of a volume comes as N,C,depth,rows,columns.

    Raises
    ------
    ValueError
        For a layer without places.
    """
    if places is None:
        raise ValueError(f"a layer {array.shape} without places has no maps")
    axis = places.axis
    if places.depth:
        moved = np.moveaxis(array, (axis, axis + 1, axis + 2), (-3, -2, -1))
        size = moved.shape[-3:]
    elif places.apart:
        moved = np.moveaxis(array, (axis, axis + 1), (-2, -1))
        size = moved.shape[-2:]
    else:
        size = (places.rows, places.columns)
        moved = np.moveaxis(array, axis, -1)[..., places.extra : places.extra + places.number]
    return np.ascontiguousarray(moved.reshape(len(array), -1, *size))
