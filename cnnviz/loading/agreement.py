"""Whether two programs compute the same network: the judgement of `from_torch` and `from_keras`."""

from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import CnnvizError

# The largest difference between two float32 programs that add in different orders, relative to the largest
# output; the floor is absolute, for outputs that are all zero or nearly so.
TOLERANCE = 1e-3
_FLOOR = 1e-7
# The error of a float32 program that is right, in multiples of the original's own error against float64.
_TIMES = 8.0
# The number of projections of a fingerprint.
_PROJECTIONS = 4
# The length of a wave in elements; whole waves differ by a factor.
_PERIOD = 997

Print = NDArray[np.float64]


def check(
    name: str,
    found: NDArray[Any],
    expected: NDArray[Any],
    exact: Optional[Callable[[], Optional[NDArray[Any]]]] = None,
) -> None:
    """Raise CnnvizError when the outputs `found` and `expected` of a network differ.

    Networks exist whose float32 outputs are mostly rounding. Where the difference is large, `exact` gives the
    outputs of the original in float64, or None, and `found` is right when its error is a few times that of
    `expected`.
    """
    if found.shape != expected.shape:
        raise CnnvizError(f"{name}: the output has shape {found.shape}, the original's {expected.shape}")
    error, size = _distance(found, expected), _largest(expected)
    if error <= max(TOLERANCE * size, _FLOOR):
        return
    reference = exact() if exact is not None else None
    note = ""
    if reference is not None:
        own, ours = _distance(expected, reference), _distance(found, reference)
        if ours <= _TIMES * own:
            return
        note = f"; against float64 the errors are {ours:.3g} and the original's own {own:.3g}"
    raise CnnvizError(
        f"{name}: outputs for the example differ from the original's by up to {error:.3g}, "
        f"on values up to {size:.3g}{note}"
    )


def fingerprint(array: NDArray[Any]) -> Print:
    """Return a few numbers that tell arrays apart: the size, the norm, and projections on fixed waves."""
    flat = np.asarray(array, np.float32).ravel()
    rows = np.pad(flat, (0, -flat.size % _PERIOD)).reshape(-1, _PERIOD)
    waves = np.cos(np.outer(np.arange(1, _PERIOD + 1), 0.7 + 0.31 * np.arange(_PROJECTIONS)))
    turns = np.cos(0.3 * np.arange(1, len(rows) + 1))
    projected = turns @ (rows @ waves.astype(np.float32)).astype(np.float64)
    return np.array([flat.size, np.sqrt(np.square(rows).sum(dtype=np.float64)), *projected])


def same(a: Print, b: Print, tolerance: float = TOLERANCE) -> bool:
    """Return whether two fingerprints are those of the same array, up to float32 rounding."""
    if a[0] != b[0] or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    return bool(np.abs(a[1:] - b[1:]).max() <= tolerance * max(a[1], b[1]) + _FLOOR)


def _distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.abs(a.astype(np.float64) - b).max())


def _largest(array: NDArray[Any]) -> float:
    return float(np.abs(array).max())
