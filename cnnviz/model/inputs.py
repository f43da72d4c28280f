"""What a model is given: the network's input and the targets about it, checked before a pass."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Graph
from cnnviz.model.answers import with_batch_axis
from cnnviz.model.layers import LayerList
from cnnviz.objectives import IMAGE, INPUT, Objective
from cnnviz.one_line import times
from cnnviz.pictures.arithmetic import all_finite, single

Array = NDArray[np.float32]


def checked_input(x: Array, channels: int) -> Array:
    """Return `x` as the C-contiguous float32 N,C,H,W that plans read, or raise an error."""
    array = np.asarray(x)
    if array.dtype.kind != "f":
        raise TypeError(
            f"x has dtype {array.dtype}: it must be float32; model.preprocess makes it from pictures"
        )
    if array.ndim != 4 or array.shape[1] != channels or array.size == 0:
        raise ValueError(f"x has shape {array.shape}: it must be N,{channels},H,W, none of them 0")
    array = single(array)
    if not all_finite(array):
        bad = array.size - int(np.isfinite(array).sum())
        raise ValueError(f"x holds NaN or infinity: {bad} of {array.size} values")
    return array


def check_goals(
    goals: Sequence[Objective],
    graph: Graph,
    layers: LayerList,
    images: int,
    axis_of: Callable[[str], Optional[int]],
) -> None:
    """Raise ValueError unless every objective can be asked of a batch of `images`, and there is one.

    `axis_of` finds the axis of the batch in a layer, None where it has several rows for each image.
    """
    if not goals:
        raise ValueError("targets is empty: give at least one")
    for goal in goals:
        if IMAGE in goal.layers:
            raise ValueError(
                f"target {goal.name} reads {IMAGE!r}, the picture before preprocessing, which only "
                f"techniques that make pictures know: take layer={INPUT!r}, what the network is fed"
            )
        for layer in goal.layers:
            if axis_of(layer) is None:
                raise ValueError(_unreadable(graph, layers, layers.resolve(layer)))
        goal.check_batch(images)


def _unreadable(graph: Graph, layers: LayerList, value: str) -> str:
    """Say that a layer has several rows for each picture, and which layer has the same numbers."""
    source = with_batch_axis(graph, layers, value)
    same = f"{source!r}, {times(layers.get(source, ()))}, the same numbers"
    return (
        f"layer {value!r} is {times(layers[value]) or 'one number'} for one picture, of which no axis is the "
        "batch: it can be read, but no target can be put on it; take "
        f"{'an earlier layer' if source == value else same}"
    )
