"""Objectives on the scores of classes: `Logit`, `Probability`, `CrossEntropy`, `Margin`."""

from __future__ import annotations

from typing import Mapping, Sequence, Tuple, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.objectives.base import LOGITS, Activations, Array, Cotangents, Objective, ValueAndCotangents

Rows = NDArray[np.float64]
Self = TypeVar("Self", bound="ClassScore")


class ClassScore(Objective):
    """A function of the logits and of one class per image; subclasses write `score` on float64 rows.

    Parameters
    ----------
    target : int or sequence of int
        A class index for the whole batch, or one for each image.
    layer : str
        The layer with the scores, by default those of the network's first output.
    """

    def __init__(self, target: Union[int, Sequence[int]], *, layer: str = LOGITS) -> None:
        indices = np.asarray(target)
        if indices.dtype.kind not in "iu" or indices.ndim > 1 or indices.size == 0:
            raise TypeError(f"target must be a class index or a flat list of class indices, not {target!r}")
        self.target: NDArray[np.int64] = indices.astype(np.int64)
        self.layer = layer
        self.layers = (layer,)
        self._least, self._most = int(self.target.min()), int(self.target.max())

    @property
    def name(self) -> str:
        layer = "" if self.layer == LOGITS else f", {self.layer}"
        return f"{type(self).__name__}({self.target.tolist()}{layer})"

    def check_batch(self, batch: int) -> None:
        if self.target.ndim == 1 and len(self.target) != batch:
            raise ValueError(
                f"target lists {len(self.target)} classes for a batch of {batch} images: "
                "name one for each image, or a single one"
            )

    def take(self: Self, start: int, stop: int) -> Self:
        return (
            self if self.target.ndim == 0 else type(self)(self.target[start:stop].tolist(), layer=self.layer)
        )

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        logits = activations[self.layer]
        rows = logits.reshape(len(logits), -1).astype(np.float64)
        columns = self._columns(*rows.shape)
        value, drows = self.score(rows, columns)
        return value, {self.layer: drows.astype(np.float32).reshape(logits.shape)}

    def score(self, rows: Rows, columns: NDArray[np.int64]) -> Tuple[NDArray[np.float64], Rows]:
        """Return the value of each row and its gradient; `columns` holds the class of each row."""
        raise NotImplementedError

    def _columns(self, batch: int, classes: int) -> NDArray[np.int64]:
        self.check_batch(batch)
        if self._least < 0 or self._most >= classes:
            wrong = self._least if self._least < 0 else self._most
            raise ValueError(f"target {wrong} is not a class index: the network has {classes} classes")
        return self.target if self.target.ndim else self.target.repeat(batch)


class Logit(ClassScore):
    """The score of a class before a final softmax or sigmoid: the S_c of Simonyan et al. 2013."""

    def score(self, rows: Rows, columns: NDArray[np.int64]) -> Tuple[NDArray[np.float64], Rows]:
        index = np.arange(len(rows)), columns
        drows = np.zeros(rows.shape)
        drows[index] = 1.0
        return rows[index], drows


class Probability(ClassScore):
    """The softmax probability of a class, also of a network that ends in a Sigmoid.

    Its gradient vanishes where the probability is near 0 or 1.
    """

    def score(self, rows: Rows, columns: NDArray[np.int64]) -> Tuple[NDArray[np.float64], Rows]:
        p = softmax(rows)
        value = at_columns(p, columns)
        return value, value[:, None] * (_one_hot(rows, columns) - p)


class CrossEntropy(ClassScore):
    """Minus the logarithm of the softmax probability of a class, in nats.

    The probability is the softmax's also for a network that ends in a Sigmoid.
    """

    def score(self, rows: Rows, columns: NDArray[np.int64]) -> Tuple[NDArray[np.float64], Rows]:
        shifted = rows - rows.max(axis=1, keepdims=True)
        value = np.log(np.exp(shifted).sum(axis=1)) - at_columns(shifted, columns)
        return value, softmax(rows) - _one_hot(rows, columns)


class Margin(ClassScore):
    """How far a class is ahead of the best other one, in units of the score; negative when behind."""

    def score(self, rows: Rows, columns: NDArray[np.int64]) -> Tuple[NDArray[np.float64], Rows]:
        ahead, rivals = lead(rows, columns)
        index = np.arange(len(rows))
        drows = np.zeros(rows.shape)
        drows[index, columns] = 1.0
        drows[index, rivals] -= 1.0
        return ahead, drows


def as_objective(target: Union[int, Sequence[int], Mapping[str, Array], Objective]) -> Objective:
    """Turn a class index, a list of them or cotangents by layer into an objective."""
    if isinstance(target, Objective):
        return target
    if isinstance(target, Mapping):
        return Cotangents(target)
    return Logit(target)


def softmax(rows: Rows) -> Rows:
    """Probabilities of each row; shifted by its maximum so that no score overflows."""
    e = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def sigmoid(rows: Rows) -> Rows:
    """The logistic function of each score, without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -rows)))


def at_columns(rows: Rows, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The number of each row that stands in its column of `columns`."""
    return rows[np.arange(len(rows)), columns]


def lead(rows: Rows, columns: NDArray[np.int64]) -> Tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return each row's score in `columns` minus its largest other score, and the column of that rival."""
    if rows.shape[1] < 2:
        raise ValueError("a margin needs a network with at least two classes")
    index, best = np.arange(len(rows)), rows.argmax(axis=1)
    if any((best == columns).tolist()):  # otherwise the row's maximum is the rival, and no copy is needed
        others = rows.copy()
        others[index, columns] = -np.inf
        best = others.argmax(axis=1)
    return rows[index, columns] - rows[index, best], best


def _one_hot(rows: Rows, columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(columns[:, None] == np.arange(rows.shape[1]))
