"""Pictures as results have them, for readers: a batch of one has no batch axis, channels may be any."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, TypeVar, Union, overload

import numpy as np
from numpy.typing import NDArray

Fact = TypeVar("Fact")


@overload
def squeezed(batch: NDArray[Any]) -> NDArray[Any]: ...
@overload
def squeezed(batch: List[Fact]) -> Union[Fact, List[Fact]]: ...
def squeezed(batch: Any) -> Any:
    """Return the single member of a batch of one, and any other batch as it is."""
    return batch[0] if len(batch) == 1 else batch


def batch_of(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return pictures H,W,C or N,H,W,C as N,H,W,C."""
    return pictures if pictures.ndim == 4 else pictures[np.newaxis]


def in_colour(picture: NDArray[Any], channels: Optional[Sequence[int]] = None) -> NDArray[Any]:
    """Return a picture H,W,C as H,W,3, for plots.

    Parameters
    ----------
    picture : ndarray, shape (H, W, C)
    channels : sequence of int, optional
        One channel to show in grey, or three for red, green and blue. Without it, pictures of three channels
        are shown as they are, others as the mean of their channels.

    Raises
    ------
    ValueError
        When `channels` are not one or three of the picture's.
    """
    if channels is None:
        if picture.shape[2] == 3:
            return picture
        return np.repeat(picture.mean(axis=2, keepdims=True, dtype=np.float32), 3, axis=2)
    count = picture.shape[2]
    chosen = list(channels) if isinstance(channels, (Sequence, np.ndarray)) else []
    if len(chosen) not in (1, 3) or not all(_is_index(index, count) for index in chosen):
        raise ValueError(
            f"channels must be one or three indices from 0 to {count - 1} in a list, not {channels!r}"
        )
    return np.repeat(picture[..., chosen], 3 // len(chosen), axis=2)


def _is_index(index: Any, count: int) -> bool:
    whole = isinstance(index, (int, np.integer)) and not isinstance(index, bool)
    return whole and 0 <= index < count


def listed(facts: Union[Fact, List[Fact]]) -> List[Fact]:
    """Return a fact about each picture as a list, also that about a batch of one."""
    return facts if isinstance(facts, list) else [facts]
