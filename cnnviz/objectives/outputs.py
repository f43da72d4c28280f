"""Objectives on outputs that are not scores of classes: a single number, a class of a map, an embedding."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.objectives.base import LOGITS, Activations, Array, Objective, ValueAndCotangents, whole
from cnnviz.one_line import times

Index = Union[int, "np.integer[Any]", Sequence[int]]


class Score(Objective):
    """One number of any output, such as the confidence of one box of a detector.

    Parameters
    ----------
    layer : str
    index : int or sequence of int
        The position on the layer's axes behind the batch, each from 0 to the length of its axis less 1:
        ``Score("output0", (7, 130))`` is row 7, place 130 of an output N,84,8400. Axes of length 1 at the end
        may be left out.

    Raises
    ------
    TypeError, ValueError
        For an index that is not of integers or is negative; and, when the layer is read, for one that is
        outside of it or does not name a single number.
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


class Region(Objective):
    """The mean score of a segmenter's class over a part of the map.

    Seg-Grad-CAM (Vinogradova et al. 2020) sums in place of averaging.

    Parameters
    ----------
    layer : str
        The map of scores, N,C,H,W, usually the one before a final softmax: ``"logits"``.
    cls : int
        The index of the class, 0 to C - 1.
    mask : array of bool or of weights of at least 0, shape (H, W) or (N, H, W), optional
        The part of the layer's map, for all images or for each of them. By default the places where the class
        has the highest score, anew for each image; where a map has one channel, those with a score above 0.
        An image in which the class wins nowhere has the value 0 and no gradient.
    axis : int
        The axis of the classes: 1, or 3 (or -1) for N,H,W,C.

    Raises
    ------
    TypeError, ValueError
        For a class or an axis that cannot exist, for a mask that is empty, negative, not finite or not H,W;
        and, when the layer is read, for a class or a mask that does not fit it.
    """

    def __init__(self, layer: str, cls: int, mask: Optional[NDArray[Any]] = None, *, axis: int = 1) -> None:
        if axis not in (1, 3, -1):
            raise ValueError(f"axis is {axis}, but the classes are on axis 1, or on axis 3 of N,H,W,C")
        self.layer = layer
        self.layers = (layer,)
        self.cls = whole("cls", cls)
        self.axis = 1 if axis == 1 else 3
        self.mask = None if mask is None else _mask(mask)

    @property
    def name(self) -> str:
        where = "" if self.mask is None else f", mask {times(self.mask.shape)}"
        return f"Region({self.layer}, {self.cls}{where})"

    def check_batch(self, batch: int) -> None:
        if self.mask is not None and self.mask.ndim == 3 and len(self.mask) != batch:
            raise ValueError(
                f"mask has shape {self.mask.shape} for a batch of {batch} images: "
                "give one mask H,W, or one for each image"
            )

    def take(self, start: int, stop: int) -> Region:
        if self.mask is None or self.mask.ndim == 2:
            return self
        return Region(self.layer, self.cls, self.mask[start:stop], axis=self.axis)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        if x.ndim != 4:
            raise ValueError(f"layer {self.layer!r} has shape {x.shape}, but a region needs N,C,H,W")
        scores = np.moveaxis(x, self.axis, 1)
        if not 0 <= self.cls < scores.shape[1]:
            raise ValueError(
                f"cls {self.cls} is not in layer {self.layer!r}, which has {scores.shape[1]} classes"
            )
        weights = self._weights(scores)
        picked = scores[:, self.cls].astype(np.float64)
        dx = np.zeros_like(x)
        np.moveaxis(dx, self.axis, 1)[:, self.cls] = weights
        return (weights * picked).sum(axis=(1, 2)), {self.layer: dx}

    def _weights(self, scores: Array) -> NDArray[np.float64]:
        """The share of each place in the mean: N,H,W, the sum 1, or 0 where the class wins nowhere."""
        if self.mask is None:
            best = scores.argmax(axis=1) if scores.shape[1] > 1 else np.where(scores[:, 0] > 0, 0, -1)
            part = (best == self.cls).astype(np.float64)
        elif self.mask.shape[-2:] != scores.shape[2:]:
            raise ValueError(
                f"mask is {times(self.mask.shape[-2:])}, but the map of layer {self.layer!r} is "
                f"{times(scores.shape[2:])}: resize the mask"
            )
        else:
            self.check_batch(len(scores))
            part = np.broadcast_to(self.mask, (len(scores), *scores.shape[2:]))
        total = part.sum(axis=(1, 2), keepdims=True)
        return part / np.where(total > 0, total, 1.0)


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


def _mask(mask: NDArray[Any]) -> NDArray[np.float64]:
    given = np.asarray(mask)
    if given.dtype.kind not in "biuf" or given.ndim not in (2, 3) or given.size == 0:
        raise ValueError(f"mask must be an array H,W or N,H,W, not {given.dtype} of shape {given.shape}")
    weights = given.astype(np.float64)
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise ValueError("mask must hold True and False, or finite weights of at least 0")
    if not weights.any(axis=(-2, -1)).all():
        raise ValueError("mask is empty: it must hold at least one place of each image")
    return weights


def _lengths(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
