"""Graphs run without a model around them, for tests of reading, rewriting and lowering."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from cnnviz.graph.graph import Graph
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights


def run(graph: Graph, *feeds: np.ndarray) -> Tuple[np.ndarray, ...]:
    """The graph's outputs for its inputs, in order."""
    shapes = {tensor.name: feed.shape for tensor, feed in zip(graph.inputs, feeds)}
    lowered = lower(graph, shapes, Weights(graph))
    ids = [lowered.values[tensor.name] for tensor in graph.outputs]
    lowered.plan.prepare(keep=ids)
    lowered.plan.forward([np.ascontiguousarray(feed, np.float32) for feed in feeds])
    return tuple(lowered.plan.read(value) for value in ids)
