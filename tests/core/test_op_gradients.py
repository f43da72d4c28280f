"""Gradients are derivatives: five-point differences of the float64 twin, away from the kinks.

Operators that round have the derivative of another function: `twin_elementwise.STRAIGHT` has it.
"""

from __future__ import annotations

import numpy as np
import pytest
from op_rows import ROWS, Row, run, twin_of
from twin_elementwise import STRAIGHT

STEP = 1e-4  # the stencil's error STEP^4 and its rounding error 1e-16 / STEP are far below float32's


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_gradients_are_directional_derivatives(row: Row) -> None:
    inputs, dy = row.inputs(), row.output_gradient().astype(float)
    gradients = run(row, inputs, dy.astype(np.float32)).gradients
    _, backward = row.twin(inputs)
    function = STRAIGHT.get(row.op, twin_of(row.op))
    rng = np.random.default_rng(2)
    for i, (gradient, of_twin) in enumerate(zip(gradients, backward(dy))):
        if i in row.fixed:
            assert not gradient.any(), f"input {i}"
            continue
        direction = rng.uniform(-1, 1, gradient.shape)

        def along(t: float, i: int = i, direction: np.ndarray = direction) -> float:
            moved = [x.astype(float) for x in inputs]
            moved[i] = moved[i] + t * direction
            return float((function(*moved, **row.params)[0] * dy).sum())

        near, far = along(STEP) - along(-STEP), along(2 * STEP) - along(-2 * STEP)  # 0 for a constant
        difference = (8 * near - far) / (12 * STEP)
        size = max(float(np.abs(of_twin * direction).sum()), 1e-30)
        assert abs(difference - (of_twin * direction).sum()) <= 1e-8 * size, f"twin, input {i}"
        assert abs(difference - (gradient * direction).sum()) <= 1e-5 * size, f"core, input {i}"
