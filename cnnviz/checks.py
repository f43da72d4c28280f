"""Checks of arguments: a mistake names the argument and its value; a keyword's former name warns."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any, Callable, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])


def checked_count(name: str, value: int, least: int = 0) -> int:
    """Return `value` as an int of at least `least`, or raise ValueError naming the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    return int(value)


def checked_number(name: str, value: float, low: float, high: float = math.inf) -> float:
    """Return `value` as a finite float within bounds, or raise ValueError naming the argument."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not low <= value <= high:
        span = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"{name} must be a number {span}, not {value!r}")
    return float(value)


def renamed(**names: str) -> Callable[[Function], Function]:
    """Let a function take keywords under their former names, with a DeprecationWarning.

    Parameters
    ----------
    **names
        The present name of each former one: ``renamed(rule="relu")``.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def renaming(*args: Any, **keywords: Any) -> Any:
            for old, new in names.items():
                if old not in keywords:
                    continue
                if new in keywords:
                    raise TypeError(
                        f"{function.__name__}: {old}= is the former name of {new}=: pass {new}= only"
                    )
                text = f"{function.__name__}({old}=) is deprecated: use {new}="
                warnings.warn(text, DeprecationWarning, stacklevel=2)
                keywords[new] = keywords.pop(old)
            return function(*args, **keywords)

        return renaming  # type: ignore[return-value]

    return decorate
