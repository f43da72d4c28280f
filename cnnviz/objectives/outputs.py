"""Objectives on outputs that are not scores of classes: a single number, and an embedding."""

from __future__ import annotations

from typing import Any, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.objectives.base import LOGITS, Activations, Objective, ValueAndCotangents
from cnnviz.one_line import times

Index = Union[int, "np.integer[Any]", Sequence[int]]


class Score(Objective):
    """One number of any output: the confidence of one box of a detector, or one character of a text.

    Parameters
    ----------
    layer : str
    index : int or sequence of int
        The position on the layer's axes without that of the batch, each from 0 to the length of its axis
        less 1: ``Score("output0", (7, 130))`` is row 7, place 130 of an output N,84,8400, and ``Score("text",
        (3, 40))`` is character 40 at time step 3 of an output T,N,K or N,T,K alike. Axes of length 1 at the
        end may be left out.

    Raises
    ------
    TypeError, ValueError
        For an index that is not of integers or is negative; and, when the layer is read, for one that is
        outside of it or does not name a single number.

    Examples
    --------
    What made a text recogniser read the third character? Its output T,N,K has the scores of K characters, of
    which one is the blank, at T time steps. A character is read at the first step of a run of one best class:

    >>> scores = model.activations("plate.png", "text")["text"][:, 0]  # doctest: +SKIP
    >>> best = scores.argmax(axis=1)  # 0 is the blank  # doctest: +SKIP
    >>> reads = [t for t, k in enumerate(best) if k and (t == 0 or k != best[t - 1])]  # doctest: +SKIP
    >>> third = Score("text", (reads[2], int(best[reads[2]])))  # doctest: +SKIP
    >>> cnnviz.saliency(model, "plate.png", third)  # doctest: +SKIP
    """

    def __init__(self, layer: str, index: Index) -> None:
        self.layer = layer
        self.layers = (layer,)
        given = np.asarray(index)
        if given.dtype.kind not in "iu" or given.ndim > 1 or given.size == 0:
            raise TypeError(f"index must be an integer or a tuple of integers, not {index!r:.80}")
        if given.min() < 0:
            raise ValueError(f"index is {index!r}, but positions count from 0")
        self.index: Tuple[int, ...] = tuple(np.atleast_1d(given).tolist())

    @property
    def name(self) -> str:
        index = self.index if len(self.index) > 1 else self.index[0]
        return f"Score({self.layer}, {index})"

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        axes = x.shape[1:]
        left_out = axes[len(self.index) :]
        if len(self.index) > len(axes) or any(extent != 1 for extent in left_out):
            raise ValueError(
                f"index {self.index} is not one number of layer {self.layer!r}, which is {times(axes)} "
                f"for one picture: give {len(axes)} integers"
            )
        for axis, (position, extent) in enumerate(zip(self.index, axes), start=1):
            if position >= extent:
                raise ValueError(
                    f"index {self.index} is not in layer {self.layer!r}: "
                    f"its axis {axis} has {extent} positions"
                )
        place: Tuple[Union[int, slice], ...] = (slice(None), *self.index, *(0 for _ in left_out))
        dx = np.zeros_like(x)
        dx[place] = 1.0
        return x[place].astype(np.float64), {self.layer: dx}


class Similarity(Objective):
    """The cosine of the angle between an embedding and a given one, -1 to 1: "what makes these two alike?".

    Parameters
    ----------
    reference : array of float, shape (K,) or (N, K, ...)
        The embedding to compare with, as ``model.activations(image, layer)[layer]`` gives it; a first axis of
        1, or none, serves every image of the batch.
    layer : str
        The layer with the embedding, by default the network's scores or output.

    Raises
    ------
    ValueError
        For a reference that is zero, empty or not finite; and, when the layer is read, for one of another
        size.
    """

    def __init__(self, reference: NDArray[Any], *, layer: str = LOGITS) -> None:
        self.layer = layer
        self.layers = (layer,)
        given = np.asarray(reference, dtype=np.float64)
        rows = given.reshape(1, -1) if given.ndim < 2 else given.reshape(len(given), -1)
        if rows.size == 0 or not np.isfinite(rows).all() or not rows.any(axis=1).all():
            raise ValueError(
                f"reference must hold finite numbers that are not all 0, its shape is {given.shape}"
            )
        self.reference = rows

    @property
    def name(self) -> str:
        return f"Similarity({self.layer})"

    def check_batch(self, batch: int) -> None:
        if len(self.reference) not in (1, batch):
            raise ValueError(
                f"reference has {len(self.reference)} rows for a batch of {batch} images: "
                "give one embedding, or one for each image"
            )

    def take(self, start: int, stop: int) -> Similarity:
        if len(self.reference) == 1:
            return self
        return Similarity(self.reference[start:stop], layer=self.layer)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        rows = x.reshape(len(x), -1).astype(np.float64)
        if rows.shape[1] != self.reference.shape[1]:
            raise ValueError(
                f"reference has {self.reference.shape[1]} numbers, layer {self.layer!r} {rows.shape[1]}"
            )
        self.check_batch(len(x))
        towards = self.reference / _lengths(self.reference)
        length = np.maximum(_lengths(rows), 1e-12)
        cosine = (rows / length * towards).sum(axis=1, keepdims=True)
        drows = (towards - cosine * rows / length) / length
        return cosine[:, 0], {self.layer: drows.astype(np.float32).reshape(x.shape)}


def _lengths(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
