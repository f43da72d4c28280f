"""Comparisons, masks and steps on chosen numbers: NaN, infinities, equal numbers; none has a gradient."""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
import pytest
from op_rows import Row, run

INF, NAN = np.inf, np.nan

# operator, inputs, output
NUMBERS: List[Tuple[str, List[List[float]], List[float]]] = [
    ("greater", [[1, 2, 2, NAN, 1, INF], [2, 1, 2, 1, NAN, INF]], [0, 1, 0, 0, 0, 0]),
    ("greater", [[0.0, 2e-38, -INF], [-0.0, 0, INF]], [0, 1, 0]),
    ("equal", [[1, 2, 0.0, NAN, INF], [2, 2, -0.0, NAN, INF]], [0, 1, 1, 0, 1]),
    ("masked", [[1, INF, NAN, -INF, 5], [1, 0, -0.0, NAN, -2]], [1, 0, 0, -INF, 5]),
    ("sign", [[-2, -0.0, 0, 3, INF, NAN]], [-1, 0, 0, 1, 1, NAN]),
    ("round", [[-1.5, -0.5, 0.5, 1.5, 2.5, NAN]], [-2, 0, 0, 2, 2, NAN]),
    ("floor", [[-1.5, -1, 0.5, INF]], [-2, -1, 0, INF]),
    ("ceil", [[-1.5, -1, 0.5, -INF]], [-1, -1, 1, -INF]),
]


@pytest.mark.parametrize("row", NUMBERS, ids=str)
def test_numbers_and_gradients(row: Any) -> None:
    op, inputs, expected = row
    arrays = [np.array([numbers], np.float32) for numbers in inputs]
    dy = np.arange(1, 1 + len(expected), dtype=np.float32)[None]
    found = run(Row(op, tuple(array.shape for array in arrays)), arrays, dy)
    np.testing.assert_array_equal(found.y, np.array([expected], np.float32))
    passes = arrays[1] != 0 if op == "masked" else np.zeros(dy.shape, bool)
    np.testing.assert_array_equal(found.gradients[0], np.where(passes, dy, 0))
    assert not any(gradient.any() for gradient in found.gradients[1:])


def test_a_quantised_number_passes_the_gradient_inside_its_range() -> None:
    x = np.float32([[-3, -2.5, -2, -1.5, 0.5, 1.5, 2.5, 3, 3.25, INF, NAN]])
    dy = np.arange(1, 12, dtype=np.float32)[None]
    found = run(Row("quantize", (x.shape,), {"low": -2.0, "high": 3.0}), [x], dy)
    np.testing.assert_array_equal(found.y, np.float32([[-2, -2, -2, -2, 0, 2, 2, 3, 3, 3, NAN]]))
    np.testing.assert_array_equal(found.gradients[0], np.float32([[0, 0, 3, 4, 5, 6, 7, 8, 0, 0, 0]]))
