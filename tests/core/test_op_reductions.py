"""Reductions where their derivative is not that of the neighbouring points: ties, zeros, infinities."""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
import pytest
from op_rows import Row, run

INF, NAN = np.inf, np.nan

# operator, numbers, value, gradient
EDGES: List[Tuple[str, List[float], float, List[float]]] = [
    ("reduce_max", [1, 3, 3, 2], 3, [0, 0.5, 0.5, 0]),
    ("reduce_max", [0, 0, 0, 0], 0, [0.25] * 4),
    ("reduce_max", [0.0, -0.0], 0, [0.5, 0.5]),
    ("reduce_max", [-INF, -INF], -INF, [0.5, 0.5]),
    ("reduce_max", [1, INF], INF, [0, 1]),
    ("reduce_max", [1, NAN, 2], NAN, [0, 0, 0]),
    ("reduce_prod", [2, 0, 3], 0, [0, 6, 0]),
    ("reduce_prod", [2, 0, 3, 0], 0, [0, 0, 0, 0]),
    ("reduce_prod", [2, -3, 4], -24, [-12, 8, -6]),
    ("reduce_prod", [1e-30, 1e30, 1e30, 1e-30], 1, [1e30, 1e-30, 1e-30, 1e30]),
    ("reduce_l2", [0, 0, 0], 0, [0, 0, 0]),
    ("reduce_l2", [3, 0, -4], 5, [0.6, 0, -0.8]),
    ("reduce_l2", [3e30, 4e30], 5e30, [0.6, 0.8]),
    ("reduce_l2", [3e-30, 4e-30], 5e-30, [0.6, 0.8]),
    ("reduce_log_sum_exp", [1000, 1000], 1000 + np.log(2), [0.5, 0.5]),
    ("reduce_log_sum_exp", [-1000, -1000], -1000 + np.log(2), [0.5, 0.5]),
    ("reduce_log_sum_exp", [-INF, 1], 1, [0, 1]),
    ("reduce_log_sum_exp", [-INF, -INF], -INF, [0, 0]),
    ("reduce_log_sum_exp", [INF, 1], INF, [0, 0]),
    ("reduce_log_sum_exp", [NAN, 1], NAN, [NAN, NAN]),
]


@pytest.mark.parametrize("row", EDGES, ids=str)
def test_edges(row: Any) -> None:
    op, numbers, value, gradient = row
    x = np.array([numbers], np.float32)
    found = run(Row(op, (x.shape,), {"axes": (1,), "keepdims": False}), [x], np.ones(1, np.float32))
    np.testing.assert_allclose(found.y, np.array([value], np.float32), rtol=1e-6)
    np.testing.assert_allclose(found.gradients[0][0], np.array(gradient, np.float32), rtol=1e-6)
