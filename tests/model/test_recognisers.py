"""Text recognisers: recurrent layers over the columns of a map, asked about one time step."""

from __future__ import annotations

import numpy as np
import pytest
from test_batches import check, together
from toy_networks import text_recogniser

import cnnviz
from cnnviz.objectives import Score

OPS = ["LSTM", "GRU", "RNN"]
X = np.random.default_rng(1).normal(size=(3, 1, 16, 24)).astype(np.float32)


def loaded(op: str, *, time_first: bool = False) -> cnnviz.Model:
    return cnnviz.load(text_recogniser(op=op, time_first=time_first), preprocessing="unit")


@pytest.mark.parametrize("op", OPS)
def test_one_time_step_is_differentiated(op: str) -> None:
    """The slope of one score of each picture, along random directions, by central differences."""
    model, step = loaded(op), 1e-2
    assert model.layers["scores"] == (1, 12, 7)
    found = model.gradient(X, Score("scores", (4, 3)))
    np.testing.assert_array_equal(found.value, model.forward(X, ["scores"])["scores"][:, 4, 3])
    slopes = found.gradients["input"].astype(np.float64)
    lengths = np.sqrt((slopes**2).sum(axis=(1, 2, 3)))
    assert lengths.min() > 1e-3
    for seed in range(4):
        direction = np.random.default_rng(seed).normal(size=X.shape)
        direction = (direction / np.linalg.norm(direction[0])).astype(np.float32)
        ends = [model.forward(X + sign * step * direction)[:, 4, 3].astype(np.float64) for sign in (1, -1)]
        along = (slopes * direction).sum(axis=(1, 2, 3))
        np.testing.assert_array_less(np.abs((ends[0] - ends[1]) / (2 * step) - along), 1e-2 * lengths)


@pytest.mark.parametrize("op", OPS)
def test_a_batch_is_read_at_once(op: str) -> None:
    """The sequences of a batch lie along the second axis of a recurrent layer."""
    model = loaded(op)
    assert together(model, "scores")
    assert model.layers["both2"] == (12, 2, 1, 5)
    for layer in ("both1", "sequence2", "scores"):
        check(model, layer)


def test_scores_with_the_time_first_are_the_same() -> None:
    first, second = loaded("LSTM"), loaded("LSTM", time_first=True)
    assert second.layers["steps"] == (12, 1, 7)
    for n in range(len(X)):
        steps = second.forward(X[n : n + 1], ["steps"])["steps"]
        np.testing.assert_array_equal(steps.transpose(1, 0, 2), first.forward(X[n : n + 1]))
    check(second, "steps")


def test_a_saliency_map_of_a_time_step_lies_on_its_columns() -> None:
    """The columns around a time step matter more than those at the far end of the picture."""
    model = loaded("LSTM")
    picture = np.random.default_rng(2).random((16, 24)).astype(np.float32)
    found = cnnviz.saliency(model, np.stack([picture] * 3, -1), Score("scores", (6, 2)))
    assert found.map.shape == (16, 24)
    columns = np.abs(found.values).reshape(-1, 16, 24).sum(axis=(0, 1))
    assert columns[10:16].mean() > 3 * columns[:4].mean()
