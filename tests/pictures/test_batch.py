"""A batch of one picture loses its axis for users, and has it again for readers."""

from __future__ import annotations

from typing import Any, List

import numpy as np
import pytest

from cnnviz.pictures.batch import batch_of, listed, squeezed

SHAPES = ((1, 4, 5, 3), (2, 4, 5, 3), (1, 1, 5, 3), (3, 1, 1, 3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_readers_have_the_batch_again(shape: Any) -> None:
    batch = np.random.default_rng(0).random(shape)
    shown = squeezed(batch)
    assert shown.shape == (shape[1:] if shape[0] == 1 else shape)
    np.testing.assert_array_equal(batch_of(shown), batch)


@pytest.mark.parametrize("facts", [["cat"], ["cat", "dog"], [0.5], [True, False]], ids=str)
def test_facts_are_lists_again(facts: List[Any]) -> None:
    assert squeezed(facts) == (facts if len(facts) > 1 else facts[0])
    assert listed(squeezed(facts)) == facts
