"""What a model is given: the network's input and the targets about it, checked before a pass."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Graph
from cnnviz.model.answers import check_readable
from cnnviz.model.layers import LayerList
from cnnviz.objectives import IMAGE, INPUT, Objective
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


def check_goals(goals: Sequence[Objective], graph: Graph, layers: LayerList, images: int) -> None:
    """Raise ValueError unless every objective can be asked of a batch of `images`, and there is one."""
    if not goals:
        raise ValueError("targets is empty: give at least one")
    for goal in goals:
        for layer in goal.layers:
            check_readable(graph, layers, layer)
        goal.check_batch(images)
        if IMAGE in goal.layers:
            raise ValueError(
                f"target {goal.name} reads {IMAGE!r}, the picture before preprocessing, which only "
                f"techniques that make pictures know: take layer={INPUT!r}, what the network is fed"
            )
