"""Checks of arguments: they return a Python number, or raise an error with the argument's name and value."""

from __future__ import annotations

import math

import numpy as np


def checked_count(name: str, value: int, least: int = 0) -> int:
    """Return `value` as an int of at least `least`, or raise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    return int(value)


def checked_number(name: str, value: float, low: float, high: float = math.inf) -> float:
    """Return `value` as a finite float from `low` to `high`, or raise."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not low <= value <= high:
        span = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"{name} must be a number {span}, not {value!r}")
    return float(value)
