"""Graphs run without a model around them, for tests of reading, rewriting and lowering."""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

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


def differentiated(
    graph: Graph, feeds: Sequence[np.ndarray], cotangent: np.ndarray
) -> Tuple[np.ndarray, Tuple[np.ndarray, ...]]:
    """The graph's only output for its inputs, and the gradients of the inputs for the output's cotangent."""
    shapes = {tensor.name: feed.shape for tensor, feed in zip(graph.inputs, feeds)}
    lowered = lower(graph, shapes, Weights(graph))
    y, inputs = (
        lowered.values[graph.outputs[0].name],
        [lowered.values[tensor.name] for tensor in graph.inputs],
    )
    lowered.plan.prepare(keep=[y], seeds=[y], wrt=inputs)
    lowered.plan.forward([np.ascontiguousarray(feed, np.float32) for feed in feeds])
    lowered.plan.backward({y: np.ascontiguousarray(cotangent, np.float32)})
    return lowered.plan.read(y), tuple(lowered.plan.gradient(value) for value in inputs)


def prepared(graph: Graph) -> Tuple[Any, List[int], List[int]]:
    """The plan of a graph at its declared shapes, to be differentiated, and its inputs and outputs by id."""
    lowered = lower(graph, {tensor.name: tensor.shape for tensor in graph.inputs}, Weights(graph))
    ins = [lowered.values[tensor.name] for tensor in graph.inputs]
    outs = [lowered.values[tensor.name] for tensor in graph.outputs]
    lowered.plan.prepare(keep=outs, seeds=outs, wrt=ins)
    return lowered.plan, ins, outs
