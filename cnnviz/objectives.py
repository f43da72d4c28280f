"""What to climb: scalar functions of a network's activations, one value per batch element.

An objective names the layers it reads and, given their activations, returns its value and its gradient with
respect to each of them (the cotangents that start the backward pass). Two layer names always mean the same
thing: ``"logits"`` is the score before a final softmax, ``"input"`` is the preprocessed image.
"""

from __future__ import annotations

from typing import Dict, Mapping, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Activations = Mapping[str, Array]
Evaluation = Tuple["NDArray[np.float64]", Dict[str, Array]]

#: What `Model.gradient` takes: a class, one class per image, cotangents by layer, or an objective.
ObjectiveLike = Union[int, str, Sequence[Union[int, str]], Mapping[str, Array], "Objective"]

LOGITS = "logits"
INPUT = "input"


class Objective:
    """A differentiable score of a batch; subclasses set `layers` and write `evaluate`.

    Attributes
    ----------
    layers : tuple of str
        The values that `evaluate` reads.
    """

    layers: Tuple[str, ...] = ()

    def evaluate(self, activations: Activations) -> Evaluation:
        """Return the value of each batch element and the cotangent of each layer.

        Parameters
        ----------
        activations : mapping of str to ndarray of float32
            The numbers of every layer in `layers`; the first axis is the batch.

        Returns
        -------
        value : ndarray of float64, shape (N,)
        cotangents : dict of str to ndarray of float32
            d(sum of value)/d(layer), shaped like the layer.
        """
        raise NotImplementedError

    def take(self, start: int, stop: int) -> Objective:
        """Return the objective of the images `start` to `stop` of its batch, for work in chunks.

        An objective that treats every image alike, as most do, is its own slice.
        """
        return self


class Logit(Objective):
    """The pre-softmax score of a class.

    Parameters
    ----------
    target : int or sequence of int
        A class index for the whole batch, or one for each image.
    """

    layers = (LOGITS,)

    def __init__(self, target: Union[int, Sequence[int]]) -> None:
        indices = np.asarray(target)
        if indices.dtype.kind not in "iu" or indices.ndim > 1 or indices.size == 0:
            raise TypeError(f"target must be a class index or a flat list of class indices, not {target!r}")
        self.target: NDArray[np.int64] = indices.astype(np.int64)

    def __repr__(self) -> str:
        return f"Logit({self.target.tolist()})"

    def take(self, start: int, stop: int) -> Logit:
        """Return the scores that the images `start` to `stop` are asked for."""
        return self if self.target.ndim == 0 else Logit(self.target[start:stop].tolist())

    def evaluate(self, activations: Activations) -> Evaluation:
        """Return the scores and a one-hot row of the logits for each image."""
        logits = activations[LOGITS]
        batch = len(logits)
        rows = logits.reshape(batch, -1)
        columns = self._columns(batch, rows.shape[1])
        dlogits = np.zeros_like(rows)
        dlogits[np.arange(batch), columns] = 1
        value = rows[np.arange(batch), columns].astype(np.float64)
        return value, {LOGITS: dlogits.reshape(logits.shape)}

    def _columns(self, batch: int, classes: int) -> NDArray[np.int64]:
        if self.target.ndim == 1 and len(self.target) != batch:
            raise ValueError(f"target lists {len(self.target)} classes for a batch of {batch} images")
        wrong = self.target[(self.target < 0) | (self.target >= classes)]
        if wrong.size:
            raise ValueError(
                f"target {wrong.flat[0]} is not a class index: the network has {classes} classes"
            )
        return np.broadcast_to(self.target, (batch,))


class Cotangents(Objective):
    """A plain vector-Jacobian product, for a loss that is computed elsewhere.

    The value is the inner product of each layer with its cotangent, summed over the layers.

    Parameters
    ----------
    cotangents : mapping of str to array
        One array for each layer, shaped like the layer; a first axis of 1 serves every image of the batch.
    """

    def __init__(self, cotangents: Mapping[str, Array]) -> None:
        if not cotangents:
            raise ValueError("objective is an empty mapping: name at least one layer and its cotangent")
        self.layers = tuple(cotangents)
        self._cotangents = {layer: _as_cotangent(layer, array) for layer, array in cotangents.items()}

    def take(self, start: int, stop: int) -> Cotangents:
        """Return the cotangents of the images `start` to `stop`."""
        return Cotangents(
            {layer: d if len(d) == 1 else d[start:stop] for layer, d in self._cotangents.items()}
        )

    def evaluate(self, activations: Activations) -> Evaluation:
        """Return the inner products and the cotangents as they were given."""
        value = np.zeros(len(activations[self.layers[0]]))
        cotangents: Dict[str, Array] = {}
        for layer, given in self._cotangents.items():
            activation = activations[layer]
            if given.shape[1:] != activation.shape[1:] or len(given) not in (1, len(activation)):
                raise ValueError(
                    f"objective[{layer!r}] has shape {given.shape}, the layer {activation.shape}"
                )
            cotangents[layer] = np.broadcast_to(given, activation.shape)
            products = (given * activation).reshape(len(activation), -1)
            value += products.sum(axis=1, dtype=np.float64)
        return value, cotangents


def as_objective(target: Union[int, Sequence[int], Mapping[str, Array], Objective]) -> Objective:
    """Turn a class index, a list of them or cotangents by layer into an objective."""
    if isinstance(target, Objective):
        return target
    if isinstance(target, Mapping):
        return Cotangents(target)
    return Logit(target)


def _as_cotangent(layer: str, array: Array) -> Array:
    given = np.asarray(array)
    if given.dtype.kind != "f" or given.ndim == 0:
        raise TypeError(
            f"objective[{layer!r}] must be a float array shaped like the layer, not {array!r:.80}"
        )
    if not np.isfinite(given).all():
        raise ValueError(f"objective[{layer!r}] holds NaN or infinity")
    return np.ascontiguousarray(given, dtype=np.float32)
