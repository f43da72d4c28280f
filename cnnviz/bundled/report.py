"""The test report of a network: its accuracy per class, and its confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

import numpy as np
from numpy.typing import NDArray

from .network import as_input, training_plan
from .pictures import CLASSES, Drawn

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Report:
    """Predictions on pictures that the network was not trained on.

    Attributes
    ----------
    confusion : int64, classes,classes
        How often an object of the row's class was predicted as the column's class.
    second_found : float
        Share of two-object pictures whose two classes have the two highest scores.
    """

    confusion: NDArray[np.int64]
    second_found: float

    @property
    def accuracy(self) -> float:
        """Share of right predictions."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def per_class(self) -> NDArray[np.float64]:
        """Share of right predictions for the objects of each class."""
        return np.asarray(np.diag(self.confusion) / np.maximum(1, self.confusion.sum(1)))

    def __str__(self) -> str:
        width = max(map(len, CLASSES))
        head = " " * (width + 10) + " ".join(f"{name[:5]:>5}" for name in CLASSES)
        rows = [
            f"{name:<{width}} {100 * share:6.1f} % " + " ".join(f"{count:5d}" for count in row)
            for name, share, row in zip(CLASSES, self.per_class, self.confusion)
        ]
        total = f"accuracy {100 * self.accuracy:.2f} % of {self.confusion.sum()} pictures"
        pairs = f"both objects found in {100 * self.second_found:.1f} % of pictures of two"
        return "\n".join([head, *rows, total, pairs])


def report(parameters: Mapping[str, Array], drawn: Drawn, pairs: Drawn, batch: int = 50) -> Report:
    """Test the network on pictures of one object, and on pictures of two."""
    answers = log_probabilities(parameters, drawn, batch).argmax(1)
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    np.add.at(confusion, (drawn.labels, answers), 1)
    first_two = np.sort(log_probabilities(parameters, pairs, batch).argsort(1)[:, -2:], 1)
    wanted = np.sort(np.stack([pairs.labels, pairs.other_labels], 1), 1)
    return Report(confusion, float((first_two == wanted).all(1).mean()))


def log_probabilities(parameters: Mapping[str, Array], drawn: Drawn, batch: int) -> Array:
    """Return log-probabilities, n,classes; a short last batch is filled up with the last picture."""
    network = training_plan(parameters, batch)
    answers = []
    for start in range(0, len(drawn), batch):
        numbers = np.minimum(np.arange(start, start + batch), len(drawn) - 1)
        network.plan.forward([as_input(drawn.images[numbers])])
        answers.append(network.plan.read(network.values["log_probabilities"]))
    return np.concatenate(answers)[: len(drawn)]
