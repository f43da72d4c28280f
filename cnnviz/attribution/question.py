"""Questions to a network: images and targets in, one `Attribution` for each pair out."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz._version import __version__
from cnnviz.model.gradients import Gradient, joined_gradients
from cnnviz.model.model import Model
from cnnviz.objectives import INPUT, LOGITS, Logit, Objective, as_objective
from cnnviz.objectives.base import Activations, ClassesLike, ClassLike, ValueAndCotangents
from cnnviz.one_line import one_line
from cnnviz.pictures.arrays import plain_targets
from cnnviz.pictures.image import ImagesLike
from cnnviz.pictures.preprocessed import Fed
from cnnviz.results.results import ALL_ZERO, Attribution

Array = NDArray[np.float32]

#: The score to explain: None, of the predicted class; of a class; an objective; or cotangents by layer.
Target = Union[None, ClassLike, Objective, Mapping[str, Array]]
#: One target for every image, or a list: one for each image, or several for one image.
Targets = Union[Target, ClassesLike]
#: An attribution for one picture and one target; a list of them for a batch or a list of targets.
Answer = Union[Attribution, List[Attribution]]


class Question(NamedTuple):
    """Images and targets, matched row by row.

    With `one_image`, every row has the same image and a target of its own. `exact` says that the pictures
    make x again.
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
                flags=() if maps[i].any() else (ALL_ZERO,),
                settings=self._settings(i, method, arguments),
            )
            for i in range(len(maps))
        ]
        return rows if self.many else rows[0]

    def _settings(self, row: int, method: str, arguments: Mapping[str, Any]) -> Dict[str, Any]:
        if self.targets[row] is None or not self.exact:
            return {}  # a file holds no objective, which is code, and only inputs that its picture makes
        made_by = {"method": method, "model": self.model.name, "version": __version__}
        return {**made_by, "target": self.targets[row], **arguments}


def ask(model: Model, image: ImagesLike, target: Targets) -> Question:
    """Read the images, find the targets, and match one with the other.

    A list of targets has one target for each image of a batch, or several for a single image.

    Raises
    ------
    ValueError
        When a batch and a list of targets differ in length, or a target does not exist.
    """
    fed, target = model.preprocessing.feed_of(image), plain_targets(target)
    if isinstance(target, (list, tuple, np.ndarray)) and np.ndim(target):
        classes = [model.class_index(one) for one in target]
        matched = _matched(fed, len(classes))
        return _about_classes(model, matched, classes)._replace(many=True, one_image=not fed.many)
    count = len(fed.x)
    if isinstance(target, (Objective, Mapping)):
        target = as_objective(target)
        return Question(model, *fed[:2], target, (None,) * count, (repr(target),) * count, fed.many)
    classes = model.predicted(fed.x) if target is None else [model.class_index(target)] * count
    return _about_classes(model, fed, classes)


def ask_and_differentiate(
    model: Model,
    image: ImagesLike,
    target: Targets,
    *,
    wrt: Union[str, Sequence[str]] = INPUT,
    relu: str = "plain",
) -> Tuple[Question, Gradient]:
    """Ask, and differentiate each row's score; one forward pass serves both for the predicted class."""
    if target is not None or model.answer == "dense":
        question = ask(model, image, target)
        return question, question.gradient(wrt=wrt, relu=relu)
    fed = model.preprocessing.feed_of(image)
    found = model.gradient(fed.x, _Highest(), wrt=wrt, relu=relu)
    classes = _best(found.activations[LOGITS])
    return _about_classes(model, fed, classes.tolist()), found


class _Highest(Objective):
    """The highest score of each image."""

    layers = (LOGITS,)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        return Logit(_best(activations[LOGITS]).tolist()).evaluate(activations)


def _best(logits: Array) -> NDArray[np.int64]:
    return logits.reshape(len(logits), -1).argmax(axis=1)


def _about_classes(model: Model, fed: Fed, classes: List[int]) -> Question:
    labels = tuple(model.labels[index] for index in classes)
    facts = (Logit(classes), tuple(classes), labels, fed.many)
    return Question(model, fed.x, fed.pictures, *facts, exact=fed.exact)


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
