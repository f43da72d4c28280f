"""Signals and volumes in two dimensions: lines over the colours of their map, and slices side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.plot.maps import DIVERGING, MOST, SEQUENTIAL, entitle, fading, limit_of, own_axes, wrapped
from cnnviz.plot.shown import ShownMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float32]

# The pixels between two slices of a volume.
_GAP = 2
# The width and height in inches of a figure of one signal.
_SIZE = (6.0, 2.4)


def signal(
    values: Array,
    map: Array,  # noqa: A002
    *,
    ax: Optional[Axes] = None,
    percentile: float = MOST,
    vmax: Optional[float] = None,
    signed: bool = False,
    cmap: Optional[str] = None,
    opacity: float = 0.8,
    colorbar: bool = True,
    units: str = "score",
    title: str = "",
) -> Axes:
    """Draw a signal as lines, one for each channel, over the colours of its map.

    Parameters
    ----------
    values : ndarray, shape (L,) or (L, C)
    map : ndarray, shape (L,)
    ax, percentile, vmax, signed, cmap, opacity, colorbar, units, title
        As in `cnnviz.plot.overlay`.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        When the map is not as long as the signal, is empty, or holds NaN.
    """
    lines = np.asarray(values).reshape(len(values), -1)
    array = np.asarray(map)
    if array.shape != lines.shape[:1] or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"map must be {len(lines)} finite numbers, as the signal, not of shape {array.shape}"
        )
    ax = own_axes(ax, _SIZE)
    signed = signed or bool((array < 0).any())
    limit, clipped = limit_of(array, percentile, vmax)
    low, high = float(lines.min()), float(lines.max())
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    colours = ax.imshow(
        array[np.newaxis],
        cmap=fading(cmap or (DIVERGING if signed else SEQUENTIAL), signed, opacity),
        vmin=-limit if signed else 0,
        vmax=limit,
        extent=(-0.5, len(array) - 0.5, low, high),
        aspect="auto",
        interpolation="nearest",
    )
    for channel in lines.T:
        ax.plot(np.arange(len(lines)), channel, color="0.2", linewidth=0.8)
    ax.set_ylim(low, high)
    if colorbar:
        extend = ("both" if signed else "max") if clipped else "neither"
        bar = ax.figure.colorbar(colours, ax=ax, extend=extend, pad=0.02)
        bar.set_label(wrapped(units, ax.get_window_extent().height / ax.figure.dpi))
    entitle(ax, title + ("" if array.any() else "\n(all zero)"))
    return ax


@dataclass(frozen=True)
class _Flat:
    """A result whose map and picture are slices of those of a volume."""

    values: Array
    map: Array
    image: Array
    method: str
    label: str
    score: float
    settings: Mapping[str, Any]


def flattened(result: ShownMap, chosen: Optional[Tuple[int, int]] = None) -> ShownMap:
    """Return a result of a volume as one of a picture: the middle slices of its axes side by side.

    Parameters
    ----------
    result : ShownMap
        Its map is D,H,W, its picture D,H,W,C.
    chosen : (int, int), optional
        The axis and the index of one slice to take instead.

    Raises
    ------
    ValueError
        When there is no such slice.
    """
    cuts = None if chosen is None else [_checked_cut(chosen, result.map.shape)]
    low, high = float(result.image.min()), float(result.image.max())
    shown = (result.image - low) / (high - low or 1.0)
    shown_map = slices_of(result.map, 0.0, cuts)
    picture = slices_of(shown, 1.0, cuts)
    over = result.values.ndim == result.map.ndim  # drawn over the picture
    values = shown_map if over else shown_map[np.newaxis]
    facts = (result.method, result.label, result.score, result.settings)
    return _Flat(values, shown_map, picture, *facts)


def _checked_cut(chosen: Any, size: Sequence[int]) -> Tuple[int, int]:
    numbers = tuple(chosen) if isinstance(chosen, (tuple, list, np.ndarray)) else ()
    whole = all(isinstance(one, (int, np.integer)) and not isinstance(one, bool) for one in numbers)
    if (
        len(numbers) != 2
        or not whole
        or numbers[0] not in (0, 1, 2)
        or not 0 <= numbers[1] < size[numbers[0]]
    ):
        raise ValueError(
            f"slice must be (axis, index), an axis of {tuple(size)} and an index along it, not {chosen!r}"
        )
    return int(numbers[0]), int(numbers[1])


def slices_of(volume: NDArray[Any], blank: float, cuts: Optional[Sequence[Tuple[int, int]]] = None) -> Array:
    """Join slices of a volume D,H,W or D,H,W,C in one row, each with a gap behind it but the last.

    By default they are the middle slices of its three axes.
    """
    if cuts is None:
        cuts = [(axis, extent // 2) for axis, extent in enumerate(volume.shape[:3])]
    slices = [np.take(volume, index, axis=axis) for axis, index in cuts]
    height = max(len(one) for one in slices)
    padded: List[NDArray[Any]] = []
    for i, one in enumerate(slices):
        gap = _GAP if i < len(slices) - 1 else 0
        room = ((0, height - len(one)), (0, gap), *((0, 0),) * (one.ndim - 2))
        padded.append(np.pad(one, room, constant_values=blank))
    return np.asarray(np.concatenate(padded, axis=1), dtype=np.float32)
