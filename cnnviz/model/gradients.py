"""The gradients of a target, and their parts: the request to a plan, the seeds, the pieces of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import AbstractSet, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.plan_pool import Request
from cnnviz.one_line import one_line

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Gradient:
    """The gradients of a target, as `Model.gradient` returns them.

    Attributes
    ----------
    value : ndarray of float64, shape (N,)
        The value of the target for each image.
    gradients : dict of str to ndarray of float32
        d(value of an image)/d(its array), N first, by the names in `wrt`.
    activations : dict of str to ndarray of float32
        The layers that the target reads and those in `wrt`, except the input; N first, also where the network
        has its batch along another axis.
    """

    value: NDArray[np.float64]
    gradients: Dict[str, Array]
    activations: Dict[str, Array]

    def __repr__(self) -> str:
        return one_line(self)


def gradient_request(
    shape: Tuple[int, ...],
    seeds: Tuple[str, ...],
    wrt: Tuple[str, ...],
    values: Mapping[str, str],
    inputs: AbstractSet[str],
) -> Request:
    """Make the request for a plan: which values to keep, to seed and to differentiate by.

    Inputs are not kept, since the caller has them.
    """
    seeded = tuple(dict.fromkeys(values[name] for name in seeds))
    asked = tuple(dict.fromkeys(values[name] for name in wrt))
    keep = tuple(value for value in dict.fromkeys((*seeded, *asked)) if value not in inputs)
    return Request(shape, keep, seeded, asked)


def seeds_by_value(
    cotangents: Mapping[str, Array], values: Mapping[str, str], ids: Mapping[str, int]
) -> Dict[int, Array]:
    """Return cotangents by value id; those of two names of one value (a layer and "logits") add up."""
    seeds: Dict[int, Array] = {}
    for name, cotangent in cotangents.items():
        value = ids[values[name]]
        seed = np.ascontiguousarray(cotangent, dtype=np.float32)
        seeds[value] = seeds[value] + seed if value in seeds else seed
    return seeds


def batch_first(array: Array, axis: int) -> Array:
    """Return the array of a layer whose images lie along `axis` as targets see it: N first."""
    return array if axis == 0 else np.ascontiguousarray(np.moveaxis(array, axis, 0))


def batch_back(array: Array, axis: int) -> Array:
    """Undo `batch_first`."""
    return array if axis == 0 else np.moveaxis(array, 0, axis)


def joined(arrays: List[Array], axis: int = 0) -> Array:
    """Concatenate the pieces of a batch."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis)


def joined_gradients(pieces: Sequence[Gradient]) -> Gradient:
    """Concatenate the gradients of the pieces of a batch."""
    return Gradient(
        np.concatenate([piece.value for piece in pieces]),
        {name: joined([piece.gradients[name] for piece in pieces]) for name in pieces[0].gradients},
        {name: joined([piece.activations[name] for piece in pieces]) for name in pieces[0].activations},
    )
