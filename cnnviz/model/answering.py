"""The answers of a model: predictions, classes by label, and targets turned into objectives."""

from __future__ import annotations

from typing import List, Mapping, Optional, Union, overload

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.answers import Prediction
from cnnviz.model.bindable import Bindable
from cnnviz.model.heads import Head
from cnnviz.model.inputs import InputLike
from cnnviz.model.labels import Labels
from cnnviz.model.layers import LayerList
from cnnviz.model.passes import check_rows
from cnnviz.objectives import LOGITS, Objective, ObjectiveLike, as_objective
from cnnviz.pictures.arrays import plain_targets
from cnnviz.pictures.image import ImageLike, ImagesLike, Listed

Array = NDArray[np.float32]


class Answering(Bindable):
    """The half of `Model` that speaks of classes; the other half runs the network.

    Attributes
    ----------
    head : Head
        The first output: the kind of its answer and the names of its classes.
    """

    name: str
    layers: LayerList
    labels: Labels
    classes: int
    answer: str
    logits_name: str
    head: Head

    def _read(self, x: InputLike, layer: str) -> Array:
        """Return a layer of a preprocessed batch."""
        raise NotImplementedError

    def batch_axis(self, layer: str) -> Optional[int]:
        """Return the axis of the batch in a layer."""
        raise NotImplementedError

    @overload
    def predict(self, image: ImageLike, top: int = 5) -> List[Prediction]: ...
    @overload
    def predict(self, image: Listed[ImageLike], top: int = 5) -> List[List[Prediction]]: ...
    def predict(self, image: ImagesLike, top: int = 5) -> Union[List[Prediction], List[List[Prediction]]]:
        """Classify a picture, or give its value.

        Parameters
        ----------
        image : path, PIL image, array H,W,3, or a batch of them, as for `cnnviz.saliency`
        top : int
            The number of classes to return, best first.

        Returns
        -------
        list of Prediction, or a list of such lists for a batch
            A network that gives one number has one prediction, without a probability.

        Raises
        ------
        TypeError, ValueError
            When the network answers for places, or its output is dense (the message names what can be asked),
            or `top` is not a positive integer.
        """
        if isinstance(top, bool) or not isinstance(top, (int, np.integer)):
            raise TypeError(f"top must be an integer, not {top!r}")
        if top < 1:
            raise ValueError(f"top must be at least 1, not {top}")
        if self.answer in ("map", "values", "dense"):
            raise ValueError(self._refusal())
        model, image = self.split(image)
        fed = self.preprocessing.feed_of(image)
        answers = self.head.answer.ranked(model.scores(fed.x), self.labels, top)
        return answers if fed.many else answers[0]

    def objective(self, target: ObjectiveLike) -> Objective:
        """Turn a class, a label, a list of them, or cotangents by layer into an objective."""
        if isinstance(target, (Objective, Mapping)):
            return as_objective(target)
        target = plain_targets(target)
        if isinstance(target, str) or np.ndim(target) == 0:  # type: ignore[arg-type]
            return self.head.answer.objective(self.class_index(target))
        return self.head.answer.objective([self.class_index(one) for one in target])  # type: ignore[union-attr]

    def class_index(self, target: object) -> int:
        """Return the index of a class given by index or by label; a value has index 0.

        Raises
        ------
        TypeError
            When `target` is neither an index nor a label.
        ValueError
            When there is no such class, or the label fits several; the message lists candidates.
        """
        self._need_scores()
        return self.head.class_index(plain_targets(target))

    def need_classes(self) -> None:
        """Raise ValueError unless the network has classes; the message says what can be asked of it."""
        if not self.classes:
            raise ValueError(self._refusal())

    def predicted(self, x: Array) -> List[int]:
        """Return the class with the highest score for each image of a preprocessed batch.

        For a map of scores it is the class that covers most places; one whose label is "background" (and the
        negative one of a single score) is left out where another class covers any.
        """
        self._need_scores()
        return self.head.chosen(self.scores(x))

    def probabilities(self, scores: Array) -> NDArray[np.float64]:
        """Return the probabilities N,K of logits N,...: softmax, or sigmoid where the network ends in one.

        For a map of scores they are the shares of the places that each class wins.

        Raises
        ------
        ValueError
            When the network has no classes.
        """
        shares = self.head.answer.probabilities(scores)
        if shares is None:
            raise ValueError(self._refusal())
        return shares

    @property
    def multi_label(self) -> bool:
        """Whether a picture may have several classes, or none: `answer` is "labels"."""
        return self.answer == "labels"

    def scores(self, x: Array) -> Array:
        """Return the layer "logits" of a preprocessed batch: N,K, or N,C,H,W for a map of scores."""
        scores = self._read(x, LOGITS)
        check_rows(self.logits_name, scores, len(x))
        return scores

    def _refusal(self) -> str:
        axis = self.batch_axis(self.logits_name)
        return self.head.answer.refusal(self.name, self.layers, axis)

    def _need_scores(self) -> None:
        if self.answer == "dense":
            self.need_classes()
