"""The four backward rules of every rectifier, and each operator at its special values."""

from __future__ import annotations

import numpy as np
import pytest
from op_rows import RECTIFIER, Row, error, rows_of, run

RULES = ["plain", "guided", "deconv", "redirected"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("row", RECTIFIER, ids=str)
def test_backward_rule_agrees_with_the_twin(row: Row, rule: str) -> None:
    inputs, dy = row.inputs(), row.output_gradient()
    _, backward = row.twin(inputs, rule=rule)
    for i, (got, expected) in enumerate(
        zip(run(row, inputs, dy, relu=rule).gradients, backward(dy.astype(float)))
    ):
        assert error(got, expected) <= 1e-6, f"gradient of input {i}"


# The input z, the output's gradient g, and the input's gradient under each rule, for one batch element.
GOLDEN = [
    ("relu", {}, [3.0, -1.0, 0.0, 2.0], [1.0, 2.0, -3.0, -4.0], {
        "plain": [1.0, 0.0, 0.0, -4.0],
        "guided": [1.0, 0.0, 0.0, 0.0],
        "deconv": [1.0, 2.0, 0.0, 0.0],
        "redirected": [1.0, 0.0, 0.0, -4.0],
    }),
    ("relu", {}, [-3.0, -1.0, 0.0, 2.0], [1.0, -2.0, 3.0, 0.0], {
        "plain": [0.0, 0.0, 0.0, 0.0],
        "redirected": [1.0, 0.0, 3.0, 0.0],
    }),
    ("clip", {"low": 0.0, "high": 6.0}, [-1.0, 0.0, 6.0, 7.0], [1.0, -2.0, 3.0, -4.0], {
        "plain": [0.0, 0.0, 0.0, 0.0],
        "guided": [0.0, 0.0, 0.0, 0.0],
        "deconv": [1.0, 0.0, 3.0, 0.0],
        "redirected": [1.0, 0.0, 0.0, -4.0],
    }),
    ("clip", {"low": 0.0, "high": 6.0}, [5.0, 0.0, 6.0, 7.0], [1.0, -2.0, 3.0, -4.0], {
        "plain": [1.0, 0.0, 0.0, 0.0],
        "redirected": [1.0, 0.0, 0.0, 0.0],
    }),
    ("leaky_relu", {"slope": 0.5}, [3.0, -1.0, -2.0, 2.0], [1.0, 2.0, -3.0, -4.0], {
        "plain": [1.0, 1.0, -1.5, -4.0],
        "guided": [1.0, 0.0, 0.0, 0.0],
        "deconv": [1.0, 2.0, 0.0, 0.0],
        "redirected": [1.0, 1.0, -1.5, -4.0],
    }),
]  # fmt: skip


@pytest.mark.parametrize(("op", "params", "z", "g", "expected"), GOLDEN)
def test_backward_rule_on_chosen_numbers(op: str, params: dict, z: list, g: list, expected: dict) -> None:
    row = Row(op, ((1, 4),), params)
    for rule, gradient in expected.items():
        got = run(row, [np.float32([z])], np.float32([g]), relu=rule).gradients[0]
        assert got.tolist() == [gradient], rule


def test_redirection_treats_each_batch_element_alone() -> None:
    z = np.float32([[-1, -2], [1, -2], [-1, -2]])
    g = np.float32([[5, -6], [7, 8], [-9, 10]])
    got = run(Row("relu", ((3, 2),)), [z], g, relu="redirected").gradients[0]
    assert got.tolist() == [[5, 0], [7, 0], [0, 10]]


@pytest.mark.parametrize("row", [Row("relu", ((1, 3),)), Row("leaky_relu", ((1, 3),), {"slope": 0.5}),
                                 Row("clip", ((1, 3),), {"low": -1.0, "high": 1.0})], ids=str)  # fmt: skip
def test_rectifiers_pass_nan_on(row: Row) -> None:
    got = run(row, [np.float32([[np.nan, np.inf, -np.inf]])]).y[0]
    assert np.isnan(got[0])
    assert not np.isnan(got[1:]).any()


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-np.inf, np.inf, [-5, 0, 5]), (-np.inf, 1, [-5, 0, 1]), (2, 1, [1, 1, 1])]
)
def test_clip_with_infinite_and_crossed_bounds(low: float, high: float, expected: list) -> None:
    row = Row("clip", ((1, 3),), {"low": low, "high": high})
    assert run(row, [np.float32([[-5, 0, 5]])]).y.tolist() == [expected]


def test_masks_of_every_tail_length() -> None:
    """A mask packs eight elements to a byte, and a work item is a whole number of bytes."""
    for size in [1, 7, 8, 9, 63, 65, 32767, 32768, 32769, 65537]:
        (row,) = rows_of("relu", (((1, size),), {}))
        z = row.inputs()[0]
        assert np.array_equal(run(row, [z], np.ones_like(z)).gradients[0], (z > 0).astype(np.float32)), size
