"""The description of a network in a table."""

from __future__ import annotations

from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.answers import Answer
from cnnviz.model.inputs import Inputs
from cnnviz.model.layers import LayerList
from cnnviz.model.plan_pool import PlanPool, Request
from cnnviz.one_line import times
from cnnviz.pictures.preprocessing import Preprocessing


def described(
    inputs: Inputs, name: str, preprocessing: Preprocessing, answer: Answer, layers: LayerList, pool: PlanPool
) -> str:
    """Return the lines of `Model.summary`: the network, its preprocessing, and the table of its layers."""
    graph = inputs.graph
    shape = (preprocessing.channels, *(preprocessing.size or ()))
    head = f"{name}: input {times(shape)}, {answer.described()}"
    mixing = pool.mixing(Request((1, *shape), (graph.outputs[0].name,)))
    notes = [] if mixing is None else [f"one picture at a time: {mixing}"]
    if any(SCHEMAS[node.op].traits.quantizes for node in graph.nodes):
        notes.append("gradients pass straight through the rounding of quantised numbers")
    if len(graph.inputs) > 1:
        notes.append(f"also takes {inputs.listed()}")
    table = layers.summary(pool.packed_usage())
    return "\n".join([head, f"preprocessing {preprocessing.describe()}", *notes, *table])
