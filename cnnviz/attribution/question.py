"""Questions to a network: images and targets in, one `Attribution` for each pair out."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz._version import __version__
from cnnviz.model.gradients import Gradient, joined_gradients
from cnnviz.model.heads import Head
from cnnviz.model.model import Model
from cnnviz.objectives import INPUT, LOGITS, Objective, as_objective
from cnnviz.objectives.base import Activations, ClassesLike, ClassLike, OutputClass, ValueAndCotangents
from cnnviz.one_line import one_line
from cnnviz.pictures.arrays import plain_targets
from cnnviz.pictures.image import ImagesLike
from cnnviz.pictures.preprocessed import Fed
from cnnviz.results.results import ALL_ZERO, NOWHERE, Attribution

Array = NDArray[np.float32]

#: The score to explain: None, of the predicted class; of a class; an objective; or cotangents by layer.
Target = Union[None, ClassLike, Objective, OutputClass, Mapping[str, Array]]
#: One target for every image, or a list: one for each image, or several for one image.
Targets = Union[Target, ClassesLike]
#: An attribution for one picture and one target; a list of them for a batch or a list of targets.
Answer = Union[Attribution, List[Attribution]]


class Question(NamedTuple):
    """Images and targets, matched row by row.

    With `one_image`, every row has the same image and a target of its own. `exact` says that the pictures
    make x again; `flags` are those of each row.
    """

    model: Model
    x: Array
    pictures: Array
    objective: Objective
    targets: Tuple[Optional[int], ...]
    labels: Tuple[str, ...]
    many: bool
    one_image: bool = False
    exact: bool = True
    flags: Tuple[Tuple[str, ...], ...] = ()

    def __repr__(self) -> str:
        return one_line(self)

    def gradient(self, *, wrt: Union[str, Sequence[str]] = INPUT, relu: str = "plain") -> Gradient:
        """Differentiate each row's score; one forward pass serves all rows that ask about one image."""
        if not self.one_image:
            return self.model.gradient(self.x, self.objective, wrt=wrt, relu=relu)
        goals = [self.objective.take(row, row + 1) for row in range(len(self.x))]
        return joined_gradients(self.model.gradients(self.x[:1], goals, wrt=wrt, relu=relu))

    def answer(
        self,
        method: str,
        values: Array,
        maps: Array,
        scores: NDArray[np.float64],
        *,
        arguments: Mapping[str, Any],
        layer: Optional[str] = None,
    ) -> Answer:
        """Wrap each row in an `Attribution`: one of them, or a list for a batch or a list of targets.

        `arguments` are the technique's options, for `cnnviz.replay`.
        """
        rows: List[Attribution] = [
            Attribution(
                values=values[i],
                map=maps[i],
                image=self.pictures[i],
                method=method,
                target=self.targets[i],
                label=self.labels[i],
                score=float(scores[i]),
                layer=layer,
                flags=(*(self.flags[i] if self.flags else ()), *(() if maps[i].any() else (ALL_ZERO,))),
                settings=self._settings(i, method, arguments),
                output=self.model.asked_output if self.targets[i] is not None else None,
                inputs=self.model.bound_row(i),
            )
            for i in range(len(maps))
        ]
        return rows if self.many else rows[0]

    def _settings(self, row: int, method: str, arguments: Mapping[str, Any]) -> Dict[str, Any]:
        if self.targets[row] is None or not self.exact:
            return {}  # a file holds no objective, which is code, and only inputs that its picture makes
        made_by = {"method": method, "model": self.model.name, "version": __version__}
        index, output = self.targets[row], self.model.asked_output
        return {**made_by, "target": index if output is None else {output: index}, **arguments}


def ask(model: Model, image: ImagesLike, target: Targets) -> Question:
    """Read the images, find the targets, and match one with the other.

    A list of targets has one target for each image of a batch, or several for a single image.

    Raises
    ------
    ValueError
        When a batch and a list of targets differ in length, or a target does not exist.
    """
    model, asked = model.asked(target)
    model, image = model.split(image)
    fed, asked = model.preprocessing.feed_of(image), plain_targets(asked)
    if isinstance(asked, (list, tuple, np.ndarray)) and np.ndim(asked):
        classes = [model.class_index(one) for one in asked]
        matched = _matched(fed, len(classes))
        return _about_classes(model, matched, classes, one_image=not fed.many)._replace(many=True)
    count = len(fed.x)
    if isinstance(asked, (Objective, Mapping)):
        goal = as_objective(asked)
        labels = (repr(goal),) * count
        return Question(model, *fed[:2], goal, (None,) * count, labels, fed.many, exact=fed.exact)
    classes = model.predicted(fed.x) if asked is None else [model.class_index(asked)] * count
    return _about_classes(model, fed, classes)


def ask_and_differentiate(
    model: Model,
    image: ImagesLike,
    target: Targets,
    *,
    wrt: Union[str, Sequence[str]] = INPUT,
    relu: str = "plain",
) -> Tuple[Question, Gradient]:
    """Ask, and differentiate each row's score; one forward pass serves both where the scores are needed."""
    model, asked = model.asked(target)
    asked = plain_targets(asked)
    listed = isinstance(asked, (list, tuple, np.ndarray)) and bool(np.ndim(asked))
    known = isinstance(asked, (Objective, Mapping)) or (asked is not None and model.answer != "map")
    if listed or known or model.answer == "dense":
        question = ask(model, image, asked)
        return question, question.gradient(wrt=wrt, relu=relu)
    model, image = model.split(image)
    fed = model.preprocessing.feed_of(image)
    goal = _Asked(model.head, None if asked is None else model.class_index(asked))
    found = model.gradient(fed.x, goal, wrt=wrt, relu=relu)
    scores = found.activations[LOGITS]
    return _about_classes(model, fed, goal.classes(scores), scores=scores), found


class _Asked(Objective):
    """The score of one class in each image, or of the class that the network sees there."""

    layers = (LOGITS,)

    def __init__(self, head: Head, index: Optional[int]) -> None:
        self.head = head
        self.index = index

    def classes(self, scores: Array) -> List[int]:
        return self.head.chosen(scores) if self.index is None else [self.index] * len(scores)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        scores = activations[LOGITS]
        return self.head.asked(self.classes(scores), scores).objective.evaluate(activations)


def _about_classes(
    model: Model, fed: Fed, classes: List[int], *, scores: Optional[Array] = None, one_image: bool = False
) -> Question:
    """Ask about one class in each image; a map's classes are asked about where they win in its `scores`."""
    if model.answer == "map" and scores is None:
        rows = model.scores(fed.x[:1] if one_image else fed.x)
        scores = np.repeat(rows, len(fed.x), axis=0) if one_image else rows
    asked = model.head.asked(classes, scores)
    flags = tuple((NOWHERE,) if nowhere else () for nowhere in asked.nowhere)
    labels = tuple(model.labels[index] for index in classes)
    facts = (asked.objective, tuple(classes), labels, fed.many, one_image, fed.exact, flags)
    return Question(model, fed.x, fed.pictures, *facts)


def _matched(fed: Fed, targets: int) -> Fed:
    """Return the pictures with a row for each target."""
    if targets == 0:
        raise ValueError("target is an empty list")
    if not fed.many:
        rows = np.zeros(targets, int)
        return fed._replace(x=fed.x[rows], pictures=fed.pictures[rows])
    if len(fed.x) != targets:
        raise ValueError(f"target lists {targets} classes for {len(fed.x)} images")
    return fed
