"""Objectives on maps of scores, as segmenters give them: scores of classes at each place of a picture."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.objectives.base import LOGITS, Activations, Array, Objective, ValueAndCotangents, whole
from cnnviz.one_line import times

Places = NDArray[np.bool_]


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
            classes = np.full(len(scores), self.cls)
            part = places_won(scores, classes, scores.shape[1] > 1).astype(np.float64)
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


class _OfClasses(Objective):
    """An objective of one class for each image, on a map of scores.

    Parameters
    ----------
    target : int or sequence of int
        A class for the whole batch, or one for each image.
    axis : int
        The axis of the classes: 1, or 3 for N,H,W,C.
    exclusive : bool
        Whether a place has one class, that with the highest score, or each class whose score is above 0.
    """

    def __init__(
        self,
        target: Union[int, Sequence[int]],
        *,
        layer: str = LOGITS,
        axis: int = 1,
        exclusive: bool = True,
    ) -> None:
        self.target: NDArray[np.int64] = np.asarray(target, dtype=np.int64)
        self.layer = layer
        self.layers = (layer,)
        self.axis = axis
        self.exclusive = exclusive

    @property
    def name(self) -> str:
        return f"{type(self).__name__}({self.layer}, {self.target.tolist()})"

    def check_batch(self, batch: int) -> None:
        if self.target.ndim and len(self.target) != batch:
            raise ValueError(
                f"target lists {len(self.target)} classes for a batch of {batch} images: "
                "name one for each image, or a single one"
            )

    def _part(self, start: int, stop: int) -> Union[int, Sequence[int]]:
        target = self.target[start:stop] if self.target.ndim else self.target
        return target.tolist()

    def _classes(self, images: int) -> NDArray[np.int64]:
        self.check_batch(images)
        return np.broadcast_to(self.target, (images,))


class PlaceMean(_OfClasses):
    """The mean score of a class over the places that it wins, or over all places where it wins none.

    Parameters
    ----------
    target, layer, axis, exclusive
        The classes and their layer.
    where : array of bool, shape (N, H, W), or "all", optional
        The places of each image, in place of those that the class wins in the activations at hand.
    """

    def __init__(
        self,
        target: Union[int, Sequence[int]],
        *,
        where: Union[str, Places, None] = None,
        **options: Any,
    ) -> None:
        super().__init__(target, **options)
        self.where = where

    def take(self, start: int, stop: int) -> PlaceMean:
        where = self.where[start:stop] if isinstance(self.where, np.ndarray) else self.where
        options = {"layer": self.layer, "axis": self.axis, "exclusive": self.exclusive}
        return PlaceMean(self._part(start, stop), where=where, **options)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        scores = np.moveaxis(x, self.axis, 1)
        images, classes = np.arange(len(x)), self._classes(len(x))
        weights = self._weights(scores, classes)
        dx = np.zeros_like(x)
        np.moveaxis(dx, self.axis, 1)[images, classes] = weights
        picked = scores[images, classes].astype(np.float64)
        return (weights * picked).sum(axis=(1, 2)), {self.layer: dx}

    def _weights(self, scores: Array, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        if isinstance(self.where, str):
            part = np.ones((len(scores), *scores.shape[2:]))
        elif self.where is None:
            part = places_or_all(places_won(scores, classes, self.exclusive)).astype(np.float64)
        else:
            part = self.where.astype(np.float64)
        return part / part.sum(axis=(1, 2), keepdims=True)


class PlaceLead(_OfClasses):
    """How far a class is from winning every place: the mean over the places of its lead, if that is below 0.

    The lead is the score less the highest other score, or the score itself where classes do not exclude each
    other. With `leave`, minus the mean of the lead where it is above 0: how far the class is from losing
    every place. Only the places that are not won yet have a gradient, as in the dense adversary generation of
    Xie et al. 2017, *Adversarial Examples for Semantic Segmentation and Object Detection*.
    """

    def __init__(self, target: Union[int, Sequence[int]], *, leave: bool = False, **options: Any) -> None:
        super().__init__(target, **options)
        self.leave = leave

    def take(self, start: int, stop: int) -> PlaceLead:
        options = {"layer": self.layer, "axis": self.axis, "exclusive": self.exclusive}
        return PlaceLead(self._part(start, stop), leave=self.leave, **options)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        scores = np.moveaxis(x, self.axis, 1).astype(np.float64)
        images, classes = np.arange(len(x)), self._classes(len(x))
        lead = scores[images, classes]
        if self.exclusive:
            others = scores.copy()
            others[images, classes] = -np.inf
            rivals = others.argmax(axis=1)
            lead = lead - others.max(axis=1)
        sign = -1.0 if self.leave else 1.0
        weights = sign * (sign * lead <= 0) / lead[0].size
        dx = np.zeros_like(x)
        down = np.moveaxis(dx, self.axis, 1)
        down[images, classes] = weights
        if self.exclusive:
            n, row, column = np.ogrid[tuple(map(slice, rivals.shape))]
            down[n, rivals, row, column] = -weights
        return (weights * lead).sum(axis=(1, 2)), {self.layer: dx}


def places_won(scores: Array, classes: NDArray[np.int64], exclusive: bool) -> Places:
    """Return the places N,H,W of scores N,C,H,W that the class of each image wins."""
    if not exclusive:
        return np.asarray(scores[np.arange(len(scores)), classes] > 0)
    return np.asarray(scores.argmax(axis=1) == classes[:, None, None])


def places_or_all(places: Places) -> Places:
    """Return the places of each image, all of them where it has none."""
    return places | ~places.any(axis=(1, 2), keepdims=True)


def shares_won(scores: Array, exclusive: bool) -> NDArray[np.float64]:
    """Return the share of the places of scores N,C,H,W that each class wins, N,C, from 0 to 1."""
    if not exclusive:
        return np.asarray((scores > 0).mean(axis=(2, 3), dtype=np.float64))
    best, classes = scores.argmax(axis=1), scores.shape[1]
    counted = [np.bincount(one.ravel(), minlength=classes) for one in best]
    return np.asarray(np.array(counted) / best[0].size)


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
