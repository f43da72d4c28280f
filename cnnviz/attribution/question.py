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
from cnnviz.pictures.image import ImagesLike
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

    With `one_image`, every row has the same image and a target of its own.
    """

    model: Model
    x: Array
    pictures: Array
    objective: Objective
    targets: Tuple[Optional[int], ...]
    labels: Tuple[str, ...]
    many: bool
    one_image: bool = False

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
        if self.targets[row] is None:
            return {}  # an objective is code, which a file does not hold
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
    pictures, many = model.preprocessing.read(image)
    fitted = np.stack([model.preprocessing.fit(picture) for picture in pictures])
    if isinstance(target, (list, tuple, np.ndarray)) and np.ndim(target):
        classes = [model.class_index(one) for one in target]
        fitted = _matched(fitted, len(classes), many)
        x = model.preprocessing.normalise(fitted)
        return _about_classes(model, x, fitted, classes, True)._replace(one_image=not many)
    x = model.preprocessing.normalise(fitted)
    if isinstance(target, (Objective, Mapping)):
        target = as_objective(target)
        return Question(model, x, fitted, target, (None,) * len(x), (repr(target),) * len(x), many)
    classes = model.predicted(x) if target is None else [model.class_index(target)] * len(x)
    return _about_classes(model, x, fitted, classes, many)


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
    pictures, many = model.preprocessing.read(image)
    fitted = np.stack([model.preprocessing.fit(picture) for picture in pictures])
    x = model.preprocessing.normalise(fitted)
    found = model.gradient(x, _Highest(), wrt=wrt, relu=relu)
    classes = _best(found.activations[LOGITS])
    return _about_classes(model, x, fitted, classes.tolist(), many), found


class _Highest(Objective):
    """The highest score of each image."""

    layers = (LOGITS,)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        return Logit(_best(activations[LOGITS]).tolist()).evaluate(activations)


def _best(logits: Array) -> NDArray[np.int64]:
    return logits.reshape(len(logits), -1).argmax(axis=1)


def _about_classes(model: Model, x: Array, pictures: Array, classes: List[int], many: bool) -> Question:
    labels = tuple(model.labels[index] for index in classes)
    return Question(model, x, pictures, Logit(classes), tuple(classes), labels, many)


def _matched(pictures: Array, targets: int, batched: bool) -> Array:
    if targets == 0:
        raise ValueError("target is an empty list")
    if not batched:
        return np.repeat(pictures, targets, axis=0)
    if len(pictures) != targets:
        raise ValueError(f"target lists {targets} classes for {len(pictures)} images")
    return pictures
