"""Representations of one line: what `print` and a traceback's locals show of objects that hold arrays."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

#: The largest number of letters of a whole line, and of one member of an object in it.
LINE, MEMBER = 180, 50


def one_line(thing: Any) -> str:
    """Represent a dataclass or a NamedTuple by its members, without those that are None, False or empty.

    Arrays are represented by their shapes, or their range where they have one axis, mappings by their keys.
    """
    members = (f"{name} {_in_words(value)}" for name, value in _members(thing) if not _is_nothing(value))
    return shortened(f"<{type(thing).__name__}: {', '.join(members)}>", LINE)


def shortened(text: str, most: int = MEMBER) -> str:
    """Return a text as one line of at most `most` letters, with dots in place of its middle."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    kept = most - len(" ... ")
    return f"{text[: kept - kept // 3]} ... {text[len(text) - kept // 3 :]}"


def times(shape: Sequence[int]) -> str:
    """Write a shape: 3x224x224."""
    return "x".join(map(str, shape))


def span(array: NDArray[Any]) -> str:
    """Write the range of an array's numbers: "0.1 to 3", or the number where all are equal."""
    if not array.size:
        return "empty"
    low, high = f"{float(array.min()):.3g}", f"{float(array.max()):.3g}"
    return low if low == high else f"{low} to {high}"


def _members(thing: Any) -> Iterator[Tuple[str, Any]]:
    names = getattr(thing, "_fields", None) or thing.__dataclass_fields__
    return ((name, getattr(thing, name)) for name in names)


def _is_nothing(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return False
    return value is None or value is False or (isinstance(value, (str, tuple, list, Mapping)) and not value)


def _in_words(value: Any) -> str:
    if isinstance(value, np.ndarray):
        if value.ndim > 1:
            return times(value.shape)
        return span(value) if value.dtype.kind in "fiub" else shortened(str(value))
    if isinstance(value, Mapping):
        shapes = {name: f" {times(array.shape)}" for name, array in value.items() if np.ndim(array) > 1}
        return shortened(f"{{{', '.join(f'{name}{shapes.get(name, str())}' for name in value)}}}", 2 * MEMBER)
    if isinstance(value, (tuple, list)):
        return shortened(f"[{', '.join(map(_in_words, value[:6]))}{', ...' * (len(value) > 6)}]")
    if callable(value) and hasattr(value, "__qualname__"):
        return shortened(value.__qualname__)
    return shortened(repr(value))
