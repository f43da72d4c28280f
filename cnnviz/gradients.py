"""What differentiating an objective gives, and the small change of it: requests, seeds, pieces of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.objectives import ObjectiveLike
from cnnviz.plan_pool import Request

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Gradient:
    """What `Model.gradient` returns.

    Attributes
    ----------
    value : ndarray of float64, shape (N,)
        The objective of each batch element.
    gradients : dict of str to ndarray of float32
        By the names in `wrt`: d(value of the element)/d(that array), N first.
    activations : dict of str to ndarray of float32
        The layers that the objective read and those in `wrt`, except the input.
    """

    value: NDArray[np.float64]
    gradients: Dict[str, Array]
    activations: Dict[str, Array]


def check_lengths(objective: ObjectiveLike, batch: int) -> None:
    """Raise ValueError unless a list fits the batch image by image, also where that is run in pieces."""
    if isinstance(objective, (list, tuple, np.ndarray)) and np.ndim(objective) and len(objective) != batch:
        raise ValueError(f"target lists {len(objective)} classes for a batch of {batch} images")
    if isinstance(objective, Mapping):
        for layer, cotangent in objective.items():
            if len(cotangent) not in (1, batch):
                raise ValueError(
                    f"objective[{layer!r}] has shape {np.shape(cotangent)} for a batch of {batch} images"
                )


def gradient_request(
    shape: Tuple[int, ...],
    seeds: Tuple[str, ...],
    wrt: Tuple[str, ...],
    values: Mapping[str, str],
    input_name: str,
) -> Request:
    """Say what a plan must keep, be seeded at and differentiate by, from names as the caller gave them."""
    seeded = tuple(dict.fromkeys(values[name] for name in seeds))
    asked = tuple(dict.fromkeys(values[name] for name in wrt))
    keep = tuple(value for value in dict.fromkeys((*seeded, *asked)) if value != input_name)
    return Request(shape, keep, seeded, asked)


def seeds_by_value(
    cotangents: Mapping[str, Array], values: Mapping[str, str], ids: Mapping[str, int]
) -> Dict[int, Array]:
    """Cotangents by value id; names of one value (a layer and "logits", say) add up."""
    seeds: Dict[int, Array] = {}
    for name, cotangent in cotangents.items():
        value = ids[values[name]]
        seed = np.ascontiguousarray(cotangent, dtype=np.float32)
        seeds[value] = seeds[value] + seed if value in seeds else seed
    return seeds


def joined(arrays: List[Array]) -> Array:
    """Put the pieces of a batch together."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def joined_gradients(pieces: Sequence[Gradient]) -> Gradient:
    """Put the gradients of the pieces of a batch together."""
    return Gradient(
        np.concatenate([piece.value for piece in pieces]),
        {name: joined([piece.gradients[name] for piece in pieces]) for name in pieces[0].gradients},
        {name: joined([piece.activations[name] for piece in pieces]) for name in pieces[0].activations},
    )
