"""Every operator agrees with its slow NumPy twin, forward and in the gradient of every input."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
import pytest
from op_rows import ROWS, Row, error, rows_of, run

from cnnviz import _core

TOLERANCE = 1e-5  # relative to the largest magnitude: a few hundred float32 roundings


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_outputs_and_gradients_agree(row: Row) -> None:
    inputs, dy = row.inputs(), row.output_gradient()
    y, backward = row.twin(inputs)
    got = run(row, inputs, dy)
    assert error(got.y, y) <= TOLERANCE
    for i, (gradient, expected) in enumerate(zip(got.gradients, backward(dy.astype(float)))):
        assert error(gradient, expected) <= TOLERANCE, f"gradient of input {i}"


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_gradients_accumulate(row: Row) -> None:
    """A value that two nodes read gets the sum of both gradients."""
    inputs, dy = row.inputs(), row.output_gradient()
    _, backward = row.twin(inputs)
    for i, (gradient, expected) in enumerate(
        zip(run(row, inputs, dy, times=2).gradients, backward(dy.astype(float)))
    ):
        assert error(gradient, 2 * expected) <= TOLERANCE, f"gradient of input {i}"


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("shapes", [((2, 3), (3, 4)), ((1, 2, 3), (1, 3, 4))], ids=str)
def test_a_product_of_zero_and_infinity_or_nan_is_nan(shapes: Tuple[Any, ...], number: float) -> None:
    row = rows_of("matmul", (shapes, {}))[0]
    a, b = row.inputs()
    a[..., 0, 1], b[..., 1, 2] = 0, number
    assert np.isnan(run(row, [a, b]).y[..., 0, 2]).all()


def test_every_operator_has_a_row() -> None:
    others = {"input", "constant", "prepare", "forward", "backward", "shape", "read", "gradient", "describe"}
    methods = {name for name in vars(_core.Plan) if not name.startswith("_")} - others
    assert {row.op for row in ROWS} == methods
