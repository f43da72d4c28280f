"""The axes of a value: which of them are rows and columns of the picture, also merged, split or turned."""

from __future__ import annotations

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

__all__ = [
    "CHANNELS",
    "LOST",
    "PLACES",
    "Axis",
    "Part",
    "Places",
    "fresh",
    "guessed_places",
    "picture_axes",
    "places_in",
    "reshaped",
    "stretched",
]

CHANNELS, LOST = "channels", "lost"
#: The most tokens before those of places: a class token, a distillation token, registers.
MOST_EXTRA = 8
#: The names of the axes of places, the last ones of a picture N,C,H,W, a signal N,C,L or a volume N,C,D,H,W.
PLACES = ("depth", "rows", "columns")


class Part(NamedTuple):
    """An axis of the picture, or a part of one that was split.

    Attributes
    ----------
    of : str
        "depth", "rows", "columns"; "channels" for numbers of one place; "lost" for an axis that could not be
        followed.
    extent : int
    step : int
        The distance of two neighbours of this part along the whole axis: where 8 rows were split into 2 x 4,
        the first part has step 4, the second step 1.
    whole : int
        The extent of the whole axis.
    """

    of: str
    extent: int
    step: int
    whole: int

    @property
    def spans(self) -> bool:
        """Whether the part goes from the axis's beginning to its end, if in steps."""
        return self.extent * self.step == self.whole


class Axis(NamedTuple):
    """One axis of a value: the product of its parts, with `before` and `after` further entries around them.

    The class token of a transformer is such an entry. Parts of extent 1 are left out, as is the batch axis of
    a single picture.
    """

    parts: Tuple[Part, ...] = ()
    before: int = 0
    after: int = 0

    @property
    def extent(self) -> int:
        """The number of entries."""
        return self.before + math.prod(part.extent for part in self.parts) + self.after

    @property
    def has_places(self) -> bool:
        """Whether a part is an axis of places."""
        return any(part.of in PLACES for part in self.parts)

    @property
    def is_lost(self) -> bool:
        """Whether a part could not be followed."""
        return any(part.of == LOST for part in self.parts)


def fresh(of: str, extent: int) -> Axis:
    """Return an axis of one whole part."""
    return Axis((Part(of, extent, 1, extent),) if extent != 1 else ())


def picture_axes(shape: Sequence[int]) -> Tuple[Axis, ...]:
    """Return the axes of a network's input: N,C and the places where it has them, one batch axis else."""
    names = PLACES[len(PLACES) - max(len(shape) - 2, 0) :]
    of = [LOST, CHANNELS, *names] if len(names) == len(shape) - 2 else [LOST] * len(shape)
    return tuple(fresh(one, extent) for one, extent in zip(of, shape))


def stretched(axis: Axis, extent: int) -> Axis:
    """Return an axis that was cut, padded or resized; some of the places in a list of them are no places."""
    if axis.extent == extent:
        return axis
    whole = len(axis.parts) == 1 and axis.parts[0].spans and not axis.before and not axis.after
    return fresh(axis.parts[0].of if whole else CHANNELS if axis.has_places else LOST, extent)


def reshaped(axes: Sequence[Axis], shape: Sequence[int]) -> Tuple[Axis, ...]:
    """Return the axes after a reshape, which keeps the order of the numbers.

    Parts are merged and split in their order. Where a new axis would begin or end within an axis that has
    further entries around its parts, or within a part that it does not divide, the axes are lost from there
    on.
    """
    waiting = [axis for axis in axes if axis.extent != 1]
    found: List[Axis] = []
    for i, extent in enumerate(shape):
        taken = _taken(waiting, extent)
        if taken is None:
            return (*found, *(fresh(LOST, extent) for extent in shape[i:]))
        found.append(taken)
    return tuple(found)


def _taken(waiting: List[Axis], extent: int) -> Optional[Axis]:
    """Take an axis of an extent from the front of those that wait, None where that is impossible."""
    if waiting and waiting[0].extent == extent and extent != 1:
        return waiting.pop(0)
    parts: List[Part] = []
    left = extent
    while left != 1:
        if not waiting or waiting[0].before or waiting[0].after or not waiting[0].parts:
            return None
        first, *others = waiting[0].parts
        took = math.gcd(left, first.extent)
        if took == 1 or (took != first.extent and took != left):
            return None
        rest = first.extent // took
        parts.append(first._replace(extent=took, step=first.step * rest))
        left //= took
        remaining = ([first._replace(extent=rest)] if rest != 1 else []) + others
        waiting[0] = Axis(tuple(remaining))
        if not remaining:
            waiting.pop(0)
    return Axis(_merged(parts))


def _merged(parts: Sequence[Part]) -> Tuple[Part, ...]:
    """Join neighbouring parts of one axis that lie in their order, and channels in any."""
    found: List[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if last is not None and last.of == part.of and part.of in (CHANNELS, LOST):
            found[-1] = Part(part.of, last.extent * part.extent, 1, last.extent * part.extent)
        elif last is not None and last.of == part.of and last.step == part.extent * part.step:
            found[-1] = part._replace(extent=last.extent * part.extent)
        else:
            found.append(part)
    return tuple(found)


class Places(NamedTuple):
    """Where the places of a layer lie.

    Attributes
    ----------
    rows, columns : int
    axis : int
        The axis of the rows, which that of the columns follows; where they are one axis, as tokens are, this
        axis.
    apart : bool
        Rows and columns have an axis each.
    extra : int
        The number of entries before the places along `axis`, such as a class token. Entries behind them are
        left out, too.
    depth : int
        The extent of the axis before the rows in a volume; 0 for pictures and signals.
    """

    rows: int
    columns: int
    axis: int
    apart: bool
    extra: int = 0
    depth: int = 0

    @property
    def number(self) -> int:
        """The number of places."""
        return self.rows * self.columns


def places_in(axes: Sequence[Axis]) -> Optional[Places]:
    """Return the places of a value with these axes, None for a value without any."""
    placed = [i for i, axis in enumerate(axes) if axis.has_places]
    parts = [part for i in placed for part in axes[i].parts]
    names = [part.of for part in parts]
    if not placed or placed[0] == 0 or axes[0].extent != 1 or not all(part.spans for part in parts):
        return None
    if names == list(PLACES) and placed == [placed[0], placed[0] + 1, placed[0] + 2]:
        whole = all(len(axes[i].parts) == 1 and not axes[i].before and not axes[i].after for i in placed)
        depth, rows, columns = (part.extent for part in parts)
        return Places(rows, columns, placed[0], True, 0, depth) if whole else None
    lost = any(axis.is_lost for axis in axes)
    if names != ["rows", "columns"] and (lost or names not in (["rows"], ["columns"])):
        return None
    first, last = axes[placed[0]], axes[placed[-1]]
    extra = first.before + first.after + last.before + last.after
    if len(placed) > 1 and (extra or placed[1] != placed[0] + 1):
        return None
    extents = {part.of: part.extent for part in parts}
    rows, columns = extents.get("rows", 1), extents.get("columns", 1)
    return Places(rows, columns, placed[0], len(placed) > 1, first.before)


def guessed_places(axes: Sequence[Axis], sizes: Sequence[Tuple[int, int]], square: bool) -> Optional[Places]:
    """Return the places of tokens N,T,C whose axis T was lost, None for a value of another kind.

    They are those of the first of `sizes` that has as many places; else, where pictures are square, a square.
    Up to `MOST_EXTRA` entries more are class tokens.
    """
    if len(axes) != 3 or axes[0].extent != 1 or not axes[1].is_lost:
        return None
    tokens = axes[1].extent
    for rows, columns in sizes:
        if rows > 1 and 0 <= tokens - rows * columns <= MOST_EXTRA:
            return Places(rows, columns, 1, False, tokens - rows * columns)
    for extra in range(MOST_EXTRA + 1 if square else 0):
        side = math.isqrt(max(tokens - extra, 0))
        if side > 1 and side * side == tokens - extra:
            return Places(side, side, 1, False, extra)
    return None
