"""The answer of a network to a picture: scores of classes, a yes or no, a value, or none of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Graph, producers
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.labels import Labels, LabelsLike, as_labels
from cnnviz.objectives import LOGITS, Objective
from cnnviz.objectives.regions import PlaceMean, shares_won
from cnnviz.objectives.scores import Logit, Rows, sigmoid, softmax
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
    kind : {"classes", "labels", "binary", "value", "map", "values", "dense"}
        "classes": one score for each of several classes, of which a picture has one. "labels": the same
        behind a Sigmoid, a picture may have several. "binary": a single score behind a Sigmoid. "value": a
        single number without one. "map": scores of classes at each place of the picture. "values": one number
        at each place. "dense": anything else, such as boxes or time steps.
    output : str
        The network's output.
    scores : str
        The layer with the scores; for "dense" the output before its final softmax or sigmoid, as far back as
        its first axis is the batch.
    count : int
        The number of scores of one picture, or of one place of it; 0 for "dense".
    others : tuple of str
        The network's further outputs.
    axis : int
        The axis of the classes: 1, or 3 for a map N,H,W,C.
    exclusive : bool
        Whether each place of a map has one class, that with the highest score, or every class with a score
        above 0, as behind a Sigmoid.
    paired : bool
        Whether the two classes come from a single score.
    """

    kind: str
    output: str
    scores: str
    count: int
    others: Tuple[str, ...] = ()
    axis: int = 1
    exclusive: bool = True
    paired: bool = False

    @property
    def classes(self) -> int:
        """The number of classes, 0 for values and for dense outputs."""
        return 0 if self.kind in ("value", "values") else self.count

    @property
    def places(self) -> bool:
        """Whether the scores are those of places of the picture."""
        return self.kind in ("map", "values")

    @property
    def predicts(self) -> bool:
        """Whether `Model.predict` answers: the scores are those of the whole picture."""
        return not self.places and self.kind != "dense"

    @property
    def single(self) -> bool:
        """Whether two classes are to be made of a single score."""
        return self.count == 1 and self.kind in ("binary", "map")

    def described(self) -> str:
        """Name the answer in a few words."""
        named = {"value": "one value", "values": "one value at each place", "dense": "no classes"}
        return named.get(self.kind, f"{self.classes} classes{' at each place' * self.places}")

    def rows(self, scores: NDArray[Any]) -> Rows:
        """Return one row of numbers for each image, N,K: the scores N,..., for a map the shares of places.

        The share of a class is that of the places that it wins, from 0 to 1.
        """
        if self.kind == "map":
            return shares_won(np.moveaxis(scores, self.axis, 1), self.exclusive)
        return np.asarray(scores.reshape(len(scores), -1), dtype=np.float64)

    def probabilities(self, scores: NDArray[Any]) -> Optional[Rows]:
        """Return the probabilities N,K of scores N,..., None where a network has none.

        Those of a map are the shares of the places.
        """
        if self.kind in ("value", "values", "dense"):
            return None
        rows = self.rows(scores)
        if self.kind == "map":
            return rows
        return softmax(rows) if self.kind == "classes" else sigmoid(rows)

    def objective(self, target: Union[int, Sequence[int]], layer: str = LOGITS) -> Objective:
        """Return the score of a class, or of one class for each image, read from `layer`.

        For a map it is the mean over the places that the class wins; where it wins none, and for values, over
        all places.
        """
        if not self.places:
            return Logit(target, layer=layer)
        where = "all" if self.kind == "values" else None
        return PlaceMean(target, where=where, layer=layer, axis=self.axis, exclusive=self.exclusive)

    def everywhere(self, target: Union[int, Sequence[int]]) -> Objective:
        """Return the score of a class for pictures to be made: on a map, its mean over all places."""
        if not self.places:
            return Logit(target)
        return PlaceMean(target, where="all", axis=self.axis)

    def labels(self, given: LabelsLike) -> Labels:
        """Resolve the names of the scores: one for each class, one for a value, none for dense outputs."""
        if self.paired:
            if isinstance(given, (list, tuple)) and len(given) == 1:
                given = [f"not {given[0]}", str(given[0])]
            return as_labels(["negative", "positive"] if given is None else given, 2)
        if self.kind in ("value", "values"):
            return as_labels(["value"] if given is None else given, 1)
        return as_labels(given, self.count)

    def ranked(self, scores: NDArray[np.float32], labels: Labels, top: int) -> List[List[Prediction]]:
        """Return the `top` best predictions for each picture of scores N,..., best first."""
        rows = scores.reshape(len(scores), -1)
        shares = self.probabilities(scores)
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

    def refusal(self, network: str, shapes: Shapes, axis: Optional[int]) -> str:
        """Say why the network has no classes, and which questions it answers in their place.

        `axis` is that of the batch in the layer with the scores, None where it has none.
        """
        shape = shapes.get(self.output, ())
        says = f"{network} does not classify: it ends in {self.output!r}, {times(shape)} for one picture"
        if self.kind == "value":
            return f"{says}, a value; take an objective for the target, such as objectives.Logit(0)"
        if self.places:
            classes = f"a class, 0 to {self.count - 1}" if self.kind == "map" else "0"
            return (
                f"{says}, {self.described()}; take for the target {classes}, or a part of the map by "
                f"objectives.Region({self.scores!r}, class, mask{', axis=3' * (self.axis == 3)})"
            )
        if self.others:
            says += f"; output({shortened(self.others[0])!r}) of the model asks another output"
        if axis is None:
            says += ", several rows for each picture"
            return f"{says}; take an earlier layer for the target, as {{layer: cotangent}} or an objective"
        if self.scores != self.output:
            says += f"; {self.scores!r}, {times(shapes[self.scores])}, has the scores"
        return (
            f"{says}; read layers with activations(), and take for the target one of its numbers, "
            f"{number_of(self.scores, shapes[self.scores], axis)}, or {{{self.scores!r}: cotangent}}"
        )


def number_of(layer: str, shape: Shape, axis: int) -> str:
    """Write the objective of one number of a layer, with the range of each index."""
    extents = [*shape[:axis], *shape[axis + 1 :]]
    letters = "ijklmn"[: len(extents)]
    index = letters if len(letters) == 1 else f"({', '.join(letters)})"
    ranges = ", ".join(f"{letter} from 0 to {extent - 1}" for letter, extent in zip(letters, extents))
    return f"objectives.Score({layer!r}, {index}) with {ranges}"


def with_batch_axis(graph: Graph, shapes: Shapes, name: str) -> str:
    """The nearest value before `name` with the same numbers whose first axis is the batch, else `name`."""
    made_by = producers(graph)
    found = name
    while shapes.get(found, ())[:1] != (1,):
        node = made_by.get(found)
        if node is None or not SCHEMAS[node.op].traits.same_numbers:
            return name
        found = node.inputs[0]
    return found
