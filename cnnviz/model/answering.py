"""The answers of a model: predictions, classes by label, and targets turned into objectives."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple, TypeVar, Union, overload

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.answers import Prediction
from cnnviz.model.bindable import Bindable
from cnnviz.model.heads import Head
from cnnviz.model.inputs import InputLike
from cnnviz.model.labels import Labels
from cnnviz.model.layers import LayerList
from cnnviz.model.passes import check_rows
from cnnviz.objectives import INPUT, LOGITS, Objective, ObjectiveLike, as_objective
from cnnviz.pictures.arrays import plain_targets
from cnnviz.pictures.image import ImageLike, ImagesLike, Listed

Array = NDArray[np.float32]
Self = TypeVar("Self", bound="Answering")


class Answering(Bindable):
    """The half of `Model` that speaks of classes; the other half runs the network.

    Attributes
    ----------
    head : Head
        The output that is asked: the kind of its answer and the names of its classes.
    asked_output : str or None
        Its name, None for the network's first output.
    """

    name: str
    layers: LayerList
    labels: Labels
    classes: int
    answer: str
    logits_name: str
    head: Head
    asked_output: Optional[str]
    input_name: str
    _heads: Dict[str, Head]

    @property
    def outputs(self) -> Tuple[str, ...]:
        """The names of the network's outputs."""
        return tuple(self._heads)

    @property
    def labels_by_output(self) -> Dict[str, Labels]:
        """The names of the classes of each output."""
        return {name: head.labels for name, head in self._heads.items()}

    def output(self: Self, name: str) -> Self:
        """Return the same network, asked about another of its outputs.

        Its labels, classes, predictions and targets are those of the output; plans and weights are shared.

        Parameters
        ----------
        name : str
            One of `outputs`, or a node or an alias that stands for it.

        Raises
        ------
        ValueError
            When the network has no such output.

        Examples
        --------
        >>> model = cnnviz.load("bird.onnx", labels={"species": names, "colour": colours})  # doctest: +SKIP
        >>> model.output("colour").predict("robin.jpg")  # doctest: +SKIP
        >>> cnnviz.grad_cam(model, "robin.jpg", {"colour": "red"})  # doctest: +SKIP
        """
        found = name if name in self._heads else self._output_named(name)
        if found == self.head.answer.output:
            return self
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._ask(found)
        return other

    def asked(self: Self, target: Any) -> Tuple[Self, Any]:
        """Return the model and the target for a target of an output, {output: class}; others as they are.

        A list of such targets must be about one output.
        """
        targets = list(target) if isinstance(target, (list, tuple)) else [target]
        named = [one for one in targets if _names_an_output(one)]
        if not named:
            return self, target
        outputs = list(dict.fromkeys(name for one in named for name in one))
        if len(named) != len(targets) or len(outputs) > 1 or not all(len(one) == 1 for one in named):
            raise ValueError(
                f"target asks about {len(outputs)} outputs, {', '.join(map(repr, outputs))}, in one call: "
                "ask about one after the other, or add objectives such as objectives.Logit(class, layer=...)"
            )
        classes = [one[outputs[0]] for one in named]
        return self.output(outputs[0]), classes if isinstance(target, (list, tuple)) else classes[0]

    def _ask(self, output: str) -> None:
        self.head = head = self._heads[output]
        self.asked_output = None if output == self.outputs[0] else output
        self.answer, self.classes, self.labels = head.answer.kind, head.answer.classes, head.labels
        self.logits_name = head.answer.scores
        self.layers = self.layers.named({INPUT: self.input_name, LOGITS: self.logits_name})

    def _output_named(self, name: str) -> str:
        try:
            found = self.layers.resolve(name)
        except ValueError:
            found = ""
        if found not in self._heads:
            outputs = ", ".join(map(repr, self.outputs))
            raise ValueError(f"output {name!r} is not one of {self.name}, they are {outputs}")
        return found

    def _read(self, x: InputLike, layer: str) -> Array:
        """Return a layer of a preprocessed batch."""
        raise NotImplementedError

    def batch_axis(self, layer: str) -> Optional[int]:
        """Return the axis of the batch in a layer."""
        raise NotImplementedError

    @overload
    def predict(self, image: ImageLike, top: int = 5, *, output: Optional[str] = ...) -> List[Prediction]: ...
    @overload
    def predict(
        self, image: Listed[ImageLike], top: int = 5, *, output: Optional[str] = ...
    ) -> List[List[Prediction]]: ...
    def predict(
        self, image: ImagesLike, top: int = 5, *, output: Optional[str] = None
    ) -> Union[List[Prediction], List[List[Prediction]]]:
        """Classify a picture, or give its value.

        Parameters
        ----------
        image : path, PIL image, array H,W,3, or a batch of them, as for `cnnviz.saliency`
        top : int
            The number of classes to return, best first.
        output : str, optional
            The output that answers, by default the first one.

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
        if output is not None:
            return self.output(output).predict(image, top)
        if isinstance(top, bool) or not isinstance(top, (int, np.integer)):
            raise TypeError(f"top must be an integer, not {top!r}")
        if top < 1:
            raise ValueError(f"top must be at least 1, not {top}")
        if not self.head.answer.predicts:
            raise ValueError(self._refusal())
        model, image = self.split(image)
        fed = self.preprocessing.feed_of(image)
        answers = self.head.answer.ranked(model.scores(fed.x), self.labels, top)
        return answers if fed.many else answers[0]

    def objective(self, target: ObjectiveLike) -> Objective:
        """Turn a class, a label, {output: class}, a list, or cotangents by layer into an objective."""
        model, asked = self.asked(target)
        if isinstance(asked, (Objective, Mapping)):
            return as_objective(asked)
        # The scores of another output have their own name: "logits" are those of the output that is asked.
        layer = LOGITS if model is self else model.logits_name
        asked = plain_targets(asked)
        if isinstance(asked, str) or np.ndim(asked) == 0:
            return model.head.answer.objective(model.class_index(asked), layer)
        return model.head.answer.objective([model.class_index(one) for one in asked], layer)

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


def _names_an_output(target: Any) -> bool:
    """Whether a target is {output: class}, rather than {layer: cotangent}."""
    return (
        isinstance(target, Mapping)
        and bool(target)
        and all(one is None or isinstance(one, (str, int, np.integer)) for one in target.values())
    )
