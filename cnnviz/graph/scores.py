"""The scores of a network: the values that its final Softmax or Sigmoid turns into probabilities."""

from __future__ import annotations

from typing import Optional

from cnnviz.graph.graph import Graph, Node, producers

_PROBABILITIES = frozenset({"Softmax", "LogSoftmax", "Sigmoid"})
_SAME_NUMBERS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast"})


def pre_softmax(graph: Graph, output: str) -> str:
    """The value that holds the scores behind `output`: the input of the Softmax that ends the network.

    A Softmax, LogSoftmax or Sigmoid is stepped over, together with what only rearranges its numbers
    afterwards (Reshape, Flatten, Squeeze). Without one, `output` itself holds the scores.

    Parameters
    ----------
    graph : Graph
    output : str
        A value of the graph, usually one of its outputs.

    Returns
    -------
    str
        The name of a value of the graph.
    """
    node = probability_node(graph, output)
    return output if node is None else node.inputs[0]


def probability_node(graph: Graph, output: str) -> Optional[Node]:
    """The Softmax, LogSoftmax or Sigmoid that `pre_softmax` steps over, None when there is none."""
    made_by = producers(graph)
    name = output
    while name in made_by:
        node = made_by[name]
        if node.op in _PROBABILITIES:
            return node
        if node.op not in _SAME_NUMBERS:
            break
        name = node.inputs[0]
    return None
