"""The kind of a network's pictures: colour, grey or channels of its own, and the range of their numbers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

# The distance outside the range, as a share of it, up to which a float is taken for a rounding error.
SLACK = 1e-4
# Floats from 0 to 1 in a range at least this wide are taken for a picture on the displayed scale.
_WIDE = 16


class PictureKind(NamedTuple):
    """The pictures that a network takes.

    Attributes
    ----------
    channels : tuple of str
        The names of the channels of pictures H,W,C; empty for colour and grey, which are read as H,W,3.
    range : (float, float) or None
        The numbers shown as black and as white, in units of the picture's own: pictures of any type of number
        must lie between them. None stands for uint8 from 0 to 255, uint16, and floats from 0 to 1, and for
        any numbers of signals and volumes.
    axes : int
        The axes of places: 2 for pictures, 1 for signals L,C, 3 for volumes D,H,W,C.
    """

    channels: Tuple[str, ...] = ()
    range: Optional[Tuple[float, float]] = None
    axes: int = 2

    def listed(self) -> str:
        """Return the number of channels and their names, for messages: ``5 channels (blue, green, ...)``."""
        return f"{len(self.channels)} channels ({shortlist(self.channels)})"


#: Colour or grey, without a range of its own.
COLOUR = PictureKind()


@dataclass(frozen=True)
class Displayed:
    """A picture H,W,C on the displayed scale from 0 to 1, in place of one in units of its own.

    Results hold their pictures on that scale, whatever the range of the network's pictures.
    """

    pixels: NDArray[Any]


def shortlist(names: Tuple[str, ...]) -> str:
    """Return names in one line, the first four of many."""
    return ", ".join(names if len(names) <= 5 else [*names[:4], "..."])


def within(array: NDArray[Any], name: str, low: float, high: float) -> NDArray[np.float32]:
    """Return numbers of any type between `low` and `high` on the displayed scale, from 0 to 1.

    Raises
    ------
    TypeError
        When the array does not hold numbers.
    ValueError
        When some of them are NaN, or lie outside.

    Warns
    -----
    UserWarning
        When floats from 0 to 1 are given for a much wider range.
    """
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}: it must hold numbers from {low:g} to {high:g}")
    values = array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)
    bad = values.size - int(np.isfinite(values).sum())
    if bad:
        raise ValueError(f"{name} holds NaN or infinity: {bad} of {values.size} values")
    least, most = float(values.min()), float(values.max())
    slack = SLACK * (high - low)
    if least < low - slack or most > high + slack:
        raise ValueError(
            f"{name} spans {least:.6g} to {most:.6g}, outside the range {low:g} to {high:g} of "
            "preprocessing.range: clip the picture, or state a wider range"
        )
    if array.dtype.kind == "f" and high - low >= _WIDE and 0 <= least < most <= 1:
        warnings.warn(
            f"{name} spans {least:.4g} to {most:.4g} in a range of {low:g} to {high:g}: numbers are taken in "
            "units of the picture; preprocessing.in_units brings a result's picture back into them",
            stacklevel=2,
        )
    return ((values - low) / (high - low)).clip(0, 1).astype(np.float32)
