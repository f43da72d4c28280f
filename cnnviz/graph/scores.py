"""The scores of a network: the values that its final Softmax or Sigmoid turns into probabilities."""

from __future__ import annotations

from typing import Optional

from cnnviz.graph.graph import Graph, Node, producers
from cnnviz.graph.schema import SCHEMAS


def pre_softmax(graph: Graph, output: str) -> str:
    """Return the value that holds the scores behind `output`: the input of the network's final Softmax.

    The operator of probabilities may be a Softmax, LogSoftmax or Sigmoid. Operators behind it that leave its
    numbers as they are (Reshape, Flatten, Squeeze) or quantise them are skipped. A network without such an
    operator has its scores in `output`.

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
    """Return the node that turns scores into the probabilities in `output`, None without one."""
    made_by = producers(graph)
    name = output
    while name in made_by:
        node = made_by[name]
        traits = SCHEMAS[node.op].traits
        if traits.probability is not None:
            return node
        if not traits.same_numbers and not traits.quantizes:
            break
        name = node.inputs[0]
    return None
