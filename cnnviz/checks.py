"""Arguments checked: a number comes back as Python's own, a mistake names the argument and what it was."""

from __future__ import annotations

import math

import numpy as np


def checked_count(name: str, value: int, least: int = 0) -> int:
    """Return a whole number of at least `least`, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    return int(value)


def checked_number(name: str, value: float, low: float, high: float = math.inf) -> float:
    """Return a finite number within bounds, or say what is wrong with it."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not low <= value <= high:
        span = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"{name} must be a number {span}, not {value!r}")
    return float(value)
