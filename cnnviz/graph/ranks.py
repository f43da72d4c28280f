"""The number of dimensions of a graph's values, as far as it follows without running anything."""

from __future__ import annotations

from typing import Dict, Optional

from cnnviz.graph.graph import Graph, Node
from cnnviz.graph.schema import SCHEMAS

__all__ = ["ranks"]


def ranks(graph: Graph) -> Dict[str, int]:
    """Return the number of dimensions by name; values of which it is not certain are absent."""
    found = {name: array.ndim for name, array in graph.constants.items()}
    found.update({tensor.name: len(tensor.shape) for tensor in graph.inputs if tensor.shape is not None})
    for node in graph.nodes:
        ndim = _rank(node, found)
        if ndim is not None:
            found.update((name, ndim) for name in node.outputs if name)
    return found


def _rank(node: Node, found: Dict[str, int]) -> Optional[int]:
    """The number of dimensions of the results of a node."""
    traits = SCHEMAS[node.op].traits
    if traits.axes == "picture" and traits.weights is not None:
        return found.get(node.inputs[traits.weights])
    if traits.axes in ("picture", "permutes", "joins"):
        return found.get(node.inputs[0])
    if traits.axes != "keeps" or any(name not in found for name in node.inputs if name):
        return None
    first, *others = (found[name] for name in node.inputs if name)
    return first if all(ndim <= first for ndim in others) else None  # else an operand broadcasts, or indexes
