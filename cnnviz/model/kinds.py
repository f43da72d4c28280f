"""The kind of a network's answer, found from its graph and the shapes of its layers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import List, Mapping, Optional, Sequence, Tuple

from cnnviz.graph.graph import Graph, Names, Node, producers
from cnnviz.graph.schema import SCHEMAS, complete
from cnnviz.graph.scores import pre_softmax, probability_node
from cnnviz.model.answers import Answer, with_batch_axis
from cnnviz.model.axes import Axis, places_in
from cnnviz.model.layers import LayerList

Shape = Tuple[int, ...]
Shapes = Mapping[str, Shape]


def answer_of(graph: Graph, output: str, shapes: LayerList, size: Tuple[int, ...]) -> Answer:
    """Find the kind of answer that an output of a graph gives.

    Parameters
    ----------
    graph : Graph
    output : str
    shapes : LayerList
        The shape of each layer for one picture.
    size : tuple of int
        The height and width of the picture.
    """
    scores = pre_softmax(graph, output)
    last = probability_node(graph, output) or _of_another_output(graph, output, scores)
    kind = None if last is None else SCHEMAS[last.op].traits.probability
    shape = shapes.get(scores, ())
    source = with_batch_axis(graph, shapes, scores)
    if len(shape) == 1 and shape != (1,) and _count(shapes.get(source, ()), last) == shape[0]:
        scores, shape = source, shapes[source]
    count = _count(shape, last)
    if count == 1:
        return Answer("binary" if kind == "multilabel" else "value", output, scores, 1)
    if count > 1:
        return Answer("labels" if kind == "multilabel" else "classes", output, scores, count)
    others = tuple(tensor.name for tensor in graph.outputs if tensor.name != output)
    found = _map(output, graph, shapes, size, scores, last)
    if found is None:
        return Answer("dense", output, source, 0, others)
    scores, axis = found
    count = shapes[scores][axis]
    plain = count == 1 and kind != "multilabel"
    return Answer(
        "values" if plain else "map", output, scores, count, others, axis, exclusive=kind != "multilabel"
    )


def answers_of(graph: Graph, shapes: LayerList, size: Tuple[int, ...]) -> Tuple[Graph, List[Answer]]:
    """Find the answer of each output; a single score behind a Sigmoid becomes two in the graph returned."""
    found = []
    for output in dict.fromkeys(tensor.name for tensor in graph.outputs):
        answer = answer_of(graph, output, shapes, size)
        if answer.single:
            graph, answer = with_both_scores(graph, answer, shapes)
        found.append(answer)
    return graph, found


def _map(
    output: str, graph: Graph, shapes: LayerList, size: Tuple[int, ...], scores: str, last: Optional[Node]
) -> Optional[Tuple[str, int]]:
    """The layer that has scores at each place of the picture, and the axis of its classes; None without one.

    A softmax whose rows are the places may read another shape of the map: the map is then the value before
    with the same numbers, if its classes are those that the softmax runs over.
    """
    classes = _classes_of_softmax(shapes, last)
    if classes is None and len(shapes.get(output, ())) != 4:
        return None
    made_by = producers(graph)
    name = scores
    while True:
        axis = _class_axis(shapes.get(name, ()), shapes.axes.get(name, ()), size)
        if axis is not None and classes in (None, shapes[name][axis]):
            return name, axis
        node = made_by.get(name)
        if classes is None or node is None or not SCHEMAS[node.op].traits.same_numbers:
            return None
        name = node.inputs[0]


def _classes_of_softmax(shapes: Shapes, last: Optional[Node]) -> Optional[int]:
    if last is None or SCHEMAS[last.op].traits.probability != "multiclass":
        return None
    shape = shapes.get(last.inputs[0], ())
    return shape[last.attributes["axis"]] if shape else None


def _class_axis(shape: Shape, axes: Sequence[Axis], size: Tuple[int, ...]) -> Optional[int]:
    """The axis of the classes of a map N,C,H,W or N,H,W,C of more than one place, None for another shape.

    Where the axes could not be followed from the picture, they are rows and columns if their extents are in
    the proportion of the picture's.
    """
    if len(shape) != 4 or shape[0] != 1:
        return None
    places = places_in(axes)
    if places is not None and places.apart:
        return 1 if places.axis == 2 else 3
    if len(size) != 2 or not any(axis.is_lost for axis in axes):
        return None
    for axis, (rows, columns) in ((1, shape[2:]), (3, shape[1:3])):
        if rows * columns > 1 and abs(rows * size[1] - columns * size[0]) < max(size):
            return axis
    return None


def _of_another_output(graph: Graph, output: str, scores: str) -> Optional[Node]:
    """The node that makes probabilities, another output of the network, of the scores."""
    nodes = (probability_node(graph, tensor.name) for tensor in graph.outputs if tensor.name != output)
    return next((node for node in nodes if node is not None and node.inputs[0] == scores), None)


def _count(shape: Shape, last: Optional[Node]) -> int:
    """The number of scores in a row of them for one picture, 0 for any other shape.

    A row is N,K or N or has further axes of 1: N,K,1,1 from a pool, N,1,1,K with the channels last. N,K,1 is
    K anchors or time steps with one number each, unless a softmax runs over the K.
    """
    long = [axis for axis, extent in enumerate(shape) if extent != 1]
    if not shape or len(long) > 1 or (long and long[0] not in (1, len(shape) - 1)) or 0 in long:
        return 0
    if len(shape) == 3 and long == [1] and not (last is not None and last.attributes.get("axis") in (1, -2)):
        return 0
    return math.prod(shape)


def with_both_scores(graph: Graph, answer: Answer, shapes: Shapes) -> Tuple[Graph, Answer]:
    """Append the two scores of a single one: minus it for the negative class, and itself for the positive.

    The sigmoids of both are the probabilities, which sum to one, and every technique finds a score and a
    gradient for either class. At the places of a map, the class with the higher score is the one whose
    probability is above one half.
    """
    score = answer.scores
    names = Names(
        {name for node in graph.nodes for name in (node.name, *node.outputs)}
        | {one.name for one in graph.inputs}
    )
    row, minus, both = (names.fresh(f"{score}/{part}") for part in ("row", "negative", "both"))
    added: Tuple[Node, ...] = ()
    if answer.kind == "map":
        row = score
    elif len(shapes[score]) == 1:
        added = (Node("Unsqueeze", row, (score,), (row,), {"axes": (1,)}),)
    else:
        added = (Node("Flatten", row, (score,), (row,)),)
    added += (
        Node("Neg", minus, (row,), (minus,)),
        Node("Concat", both, (minus, row), (both,), {"axis": answer.axis}),
    )
    nodes = (*graph.nodes, *(complete(node) for node in added))
    return graph.replace(nodes=nodes), replace(answer, scores=both, count=2, exclusive=True, paired=True)
