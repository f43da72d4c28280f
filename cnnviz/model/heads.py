"""A head of a network: an output with the kind of its answer and the names of its classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.answers import Answer
from cnnviz.model.labels import Labels, LabelsByOutput, folded
from cnnviz.objectives import Objective
from cnnviz.objectives.regions import PlaceMean, places_or_all, places_won

Array = NDArray[np.float32]


class Asked(NamedTuple):
    """The score of one class for each image, and the images at whose places the class wins nowhere."""

    objective: Objective
    nowhere: Tuple[bool, ...]


@dataclass(frozen=True)
class Head:
    """An output of a network.

    Attributes
    ----------
    answer : Answer
    labels : Labels
    """

    answer: Answer
    labels: Labels

    def class_index(self, target: object) -> int:
        """Return the index of a class given by index or by label, as `Model.class_index` does."""
        if isinstance(target, str):
            return self.labels.find(target)
        if isinstance(target, (bool, np.bool_)) or not isinstance(target, (int, np.integer)):
            raise TypeError(f"target must be a class index or a label, not {target!r}")
        if not 0 <= target < len(self.labels):
            has = self.answer.described()
            raise ValueError(f"target {target} is not a class index: the network has {has}")
        return int(target)

    def chosen(self, scores: Array) -> List[int]:
        """Return the class of each image that a target of None stands for, from scores N,....

        It is the class with the highest score. For a map it is the class that covers most places; the
        background is left out where another class covers any.
        """
        if self.answer.kind == "values":
            return [0] * len(scores)
        rows = self.answer.rows(scores)
        background = self._background()
        if background is not None:
            others = np.delete(rows, background, axis=1).any(axis=1)
            rows[others, background] = -1.0
        return [int(best) for best in rows.argmax(axis=1)]

    def asked(self, classes: Sequence[int], scores: Optional[Array]) -> Asked:
        """Return the score of one class for each image.

        For a map, `scores` are needed, and the places that the class wins in them stay the region of the
        question, whatever noise a technique adds to the picture.
        """
        answer = self.answer
        if answer.kind != "map" or scores is None:
            return Asked(answer.objective(classes), (False,) * len(classes))
        places = places_won(np.moveaxis(scores, answer.axis, 1), np.asarray(classes), answer.exclusive)
        nowhere = [not one.any() for one in places]
        goal = PlaceMean(classes, where=places_or_all(places), axis=answer.axis)
        return Asked(goal, tuple(nowhere))

    def _background(self) -> Optional[int]:
        """The class of a map that stands for none, if there are others."""
        if self.answer.kind != "map" or len(self.labels) < 2:
            return None
        if self.answer.paired:
            return 0
        named = [i for i, label in enumerate(self.labels) if folded(label) == "background"]
        return named[0] if named else None


def heads_of(answers: Sequence[Answer], labels: LabelsByOutput) -> Dict[str, Head]:
    """Return the heads by output, in the order of the outputs.

    Raises
    ------
    ValueError
        When `labels` names an output that does not exist, or has another number of names than classes.
    """
    outputs = [answer.output for answer in answers]
    given = labels if isinstance(labels, Mapping) else {outputs[0]: labels}
    for name in given:
        if name not in outputs:
            raise ValueError(f"labels: {name!r} is not an output, they are {', '.join(map(repr, outputs))}")
    return {answer.output: Head(answer, answer.labels(given.get(answer.output))) for answer in answers}
