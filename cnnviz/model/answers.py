"""The answer of a network to a picture: scores of classes, a yes or no, a value, or none of these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Mapping, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Graph, Names, Node, producers
from cnnviz.graph.schema import SCHEMAS, complete
from cnnviz.graph.scores import pre_softmax, probability_node
from cnnviz.model.labels import Labels, LabelsLike, as_labels
from cnnviz.model.layers import LayerList
from cnnviz.objectives.scores import Rows, sigmoid, softmax
from cnnviz.one_line import shortened, times

Shape = Tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Prediction:
    """One class of a prediction, or the value that a network without classes gives.

    Attributes
    ----------
    index : int
        The index of the class; 0 for a value.
    label : str
    probability : float or None
        From 0 to 1: the softmax over all classes. Where the network ends in a Sigmoid it is the sigmoid of
        the score, and these do not sum to one, except for the two classes of a single score. None for a
        value.
    score : float
        The logit: the number before the softmax or sigmoid. The value itself where there are no classes.
    """

    index: int
    label: str
    probability: Optional[float]
    score: float


@dataclass(frozen=True)
class Answer:
    """The kind of answer that a network gives, and the layer that holds its scores.

    Attributes
    ----------
    kind : {"classes", "labels", "binary", "value", "dense"}
        "classes": one score for each of several classes, of which a picture has one. "labels": the same
        behind a Sigmoid, a picture may have several. "binary": a single score behind a Sigmoid. "value": a
        single number without one. "dense": anything else, such as feature maps, boxes or time steps.
    output : str
        The network's output.
    scores : str
        The layer with the scores; for "dense" the output before its final softmax or sigmoid, as far back as
        its first axis is the batch.
    count : int
        The number of scores of one picture, 0 for "dense".
    others : tuple of str
        The network's further outputs.
    """

    kind: str
    output: str
    scores: str
    count: int
    others: Tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """The number of classes, 0 for a value and for dense outputs."""
        return {"binary": 2, "value": 0}.get(self.kind, self.count)

    def described(self) -> str:
        """Name the answer in two words."""
        return {"value": "one value", "dense": "no classes"}.get(self.kind, f"{self.classes} classes")

    def probabilities(self, rows: Rows) -> Optional[Rows]:
        """Return the probabilities of scores N,K, None where a network has none."""
        if self.kind in ("value", "dense"):
            return None
        return softmax(rows) if self.kind == "classes" else sigmoid(rows)

    def labels(self, given: LabelsLike) -> Labels:
        """Resolve the names of the scores: one for each class, one for a value, none for dense outputs."""
        if self.kind == "binary":
            if isinstance(given, (list, tuple)) and len(given) == 1:
                given = [f"not {given[0]}", str(given[0])]
            return as_labels(["negative", "positive"] if given is None else given, 2)
        if self.kind == "value":
            return as_labels(["value"] if given is None else given, 1)
        return as_labels(given, self.count)

    def ranked(self, scores: NDArray[np.float32], labels: Labels, top: int) -> List[List[Prediction]]:
        """Return the `top` best predictions for each picture of scores N,..., best first."""
        rows = scores.reshape(len(scores), -1)
        shares = self.probabilities(rows.astype(np.float64))
        found = []
        for n, row in enumerate(rows):
            best = np.argsort(-row, kind="stable")[:top]
            found.append(
                [
                    Prediction(
                        int(i), labels[i], None if shares is None else float(shares[n, i]), float(row[i])
                    )
                    for i in best
                ]
            )
        return found

    def refusal(self, network: str, shapes: Shapes) -> str:
        """Say why the network has no classes, and which questions it answers in their place."""
        shape = shapes.get(self.output, ())
        says = f"{network} does not classify: it ends in {self.output!r}, {times(shape)} for one picture"
        if self.kind == "value":
            return f"{says}, a value; take an objective for the target, such as objectives.Logit(0)"
        if shape[:1] != (1,):
            says += ", whose first axis is not the batch"
        if self.others:
            says += f"; outputs=[{shortened(self.others[0])!r}] of cnnviz.load takes another output first"
        if shapes.get(self.scores, ())[:1] != (1,):
            return f"{says}; take an earlier layer for the target, as {{layer: cotangent}} or an objective"
        if self.scores != self.output:
            says += f"; {self.scores!r}, {times(shapes[self.scores])}, has the scores"
        question = "Region({!r}, class)" if len(shapes[self.scores]) == 4 else "Score({!r}, index)"
        return (
            f"{says}; read layers with activations(), and take for the target an objective such as "
            f"objectives.{question.format(self.scores)}, or {{{self.scores!r}: cotangent}}"
        )


def answer_of(graph: Graph, shapes: Shapes) -> Answer:
    """Find the kind of answer that a graph gives.

    Parameters
    ----------
    graph : Graph
    shapes : mapping of str to tuple of int
        The shape of each layer for one picture.
    """
    output = graph.outputs[0].name
    scores = pre_softmax(graph, output)
    last = probability_node(graph, output) or _of_another_output(graph, scores)
    kind = None if last is None else SCHEMAS[last.op].traits.probability
    shape = shapes.get(scores, ())
    source = _with_batch_axis(graph, shapes, scores)
    if len(shape) == 1 and shape != (1,) and _count(shapes.get(source, ()), last) == shape[0]:
        scores, shape = source, shapes[source]
    count = _count(shape, last)
    if count == 0:
        others = tuple(tensor.name for tensor in graph.outputs[1:])
        return Answer("dense", output, source, 0, others)
    if count == 1:
        return Answer("binary" if kind == "multilabel" else "value", output, scores, 1)
    return Answer("labels" if kind == "multilabel" else "classes", output, scores, count)


def _of_another_output(graph: Graph, scores: str) -> Optional[Node]:
    """The node that makes probabilities, another output of the network, of the scores."""
    nodes = (probability_node(graph, tensor.name) for tensor in graph.outputs[1:])
    return next((node for node in nodes if node is not None and node.inputs[0] == scores), None)


def _with_batch_axis(graph: Graph, shapes: Shapes, name: str) -> str:
    """The nearest value before `name` with the same numbers whose first axis is the batch, else `name`."""
    made_by = producers(graph)
    found = name
    while shapes.get(found, ())[:1] != (1,):
        node = made_by.get(found)
        if node is None or not SCHEMAS[node.op].traits.same_numbers:
            return name
        found = node.inputs[0]
    return found


def check_readable(graph: Graph, layers: LayerList, layer: str) -> None:
    """Raise ValueError for a layer that no target can read: its first axis is not the batch.

    A name that no layer has is passed over; the pass itself raises.
    """
    try:
        value = layers.resolve(layer)
    except ValueError:
        return
    shape = layers.get(value, (1,))
    if shape[:1] == (1,):
        return
    source = _with_batch_axis(graph, layers, value)
    same = f"{source!r}, {times(layers.get(source, ()))}, the same numbers"
    raise ValueError(
        f"layer {value!r} is {times(shape) or 'one number'} for one picture: its first axis is not the "
        f"batch, so that no target can read it; take {'an earlier layer' if source == value else same}"
    )


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
    """Append the two scores of a binary network: minus its score for the negative class, and its score.

    The sigmoids of both are the probabilities, which sum to one, and every technique finds a score and a
    gradient for either class.
    """
    score = answer.scores
    names = Names(
        {name for node in graph.nodes for name in (node.name, *node.outputs)}
        | {one.name for one in graph.inputs}
    )
    row, minus, both = (names.fresh(f"{score}/{part}") for part in ("row", "negative", "both"))
    column = (
        Node("Unsqueeze", row, (score,), (row,), {"axes": (1,)})
        if len(shapes[score]) == 1
        else Node("Flatten", row, (score,), (row,))
    )
    added = (
        column,
        Node("Neg", minus, (row,), (minus,)),
        Node("Concat", both, (minus, row), (both,), {"axis": 1}),
    )
    nodes = (*graph.nodes, *(complete(node) for node in added))
    return graph.replace(nodes=nodes), Answer("binary", answer.output, both, 2)
