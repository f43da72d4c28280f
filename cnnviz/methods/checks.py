"""Arguments checked: a number comes back as Python's own, a mistake names the argument and what it was."""

from __future__ import annotations

import numpy as np


def checked_count(name: str, value: int, least: int = 0) -> int:
    """Return a whole number of at least `least`, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    return int(value)


def checked_number(name: str, value: float, low: float, high: float = np.inf) -> float:
    """Return a finite number within bounds, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low <= value <= high:
        span = f"between {low:g} and {high:g}" if np.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"{name} must be a number {span}, not {value!r}")
    return float(value)
