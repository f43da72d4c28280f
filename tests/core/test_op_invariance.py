"""Bits do not depend on the number of threads, nor on the other elements of the batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator, List

import numpy as np
import pytest
from op_rows import ROWS, Row, conv, conv_transpose, rows_of, run

from cnnviz import _core

# Rows large enough to be cut into several work items.
LARGE = [
    conv((2, 20, 40, 41), (24, 20, 3, 3), pads=(1, 1, 1, 1)),
    conv((1, 3, 64, 64), (16, 3, 7, 7), stride=(2, 2), pads=(3, 3, 3, 3)),
    conv((2, 96, 30, 30), (130, 96, 1, 1)),
    conv((1, 40, 28, 28), (80, 20, 3, 3), groups=2, pads=(1, 1, 1, 1)),
    conv((2, 48, 30, 30), (48, 1, 3, 3), groups=48, pads=(1, 1, 1, 1)),
    conv_transpose((2, 24, 20, 21), (24, 20, 4, 4), stride=(2, 2), pads=(1, 1, 1, 1)),
    conv_transpose((2, 48, 15, 15), (48, 1, 2, 2), groups=48, stride=(2, 2)),
    *rows_of("linear", (((4, 2100), (37, 2100), (37,)), {})),
    *rows_of("matmul", (((4, 300), (300, 2100)), {}), (((5, 30, 20), (20, 40)), {})),
    *rows_of("max_pool", (((2, 20, 60, 60),), {"kernel": (3, 3), "stride": (2, 2)})),
    *rows_of("average_pool", (((2, 20, 60, 60),), {"kernel": (3, 3), "stride": (2, 2)})),
    *rows_of("global_average_pool", (((2, 30, 60, 60),), {})),
    *rows_of("relu", (((3, 30, 33, 35),), {})),
    *rows_of("batch_norm", (((3, 30, 33, 35), (30,), (30,), (30,), (30,)), {"epsilon": 1e-5}), positive=(4,)),
    *rows_of("lrn", (((2, 30, 20, 21),), {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0})),
    *rows_of("softmax", (((2, 50, 40, 41),), {"axis": 1})),
    *rows_of(
        "mul", (((3, 30, 33, 35), (30, 1, 1)), {}), (((3, 30, 33, 35), (3, 30, 33, 35)), {}), batched=()
    ),
    *rows_of("reduce_max", (((3, 30, 33, 35),), {"axes": (1,), "keepdims": True})),
    *rows_of("reduce_log_sum_exp", (((3, 30, 33, 35),), {"axes": (1, 3), "keepdims": False})),
    *rows_of("reduce_mean", (((3, 30, 33, 35),), {"axes": (1, 2), "keepdims": True})),
]


@pytest.fixture
def threads() -> Iterator[List[int]]:
    before = _core.get_num_threads()
    yield [1, 2, 3, 4]
    _core.set_num_threads(before)


@pytest.mark.parametrize("row", LARGE, ids=str)
def test_threads_do_not_change_bits(row: Row, threads: List[int]) -> None:
    inputs = row.inputs()
    runs = []
    for n in threads:
        _core.set_num_threads(n)
        runs.append(run(row, inputs))
    for n, other in zip(threads[1:], runs[1:]):
        assert np.array_equal(other.y, runs[0].y), f"{n} threads: output"
        for i, (got, expected) in enumerate(zip(other.gradients, runs[0].gradients)):
            assert np.array_equal(got, expected), f"{n} threads: gradient of input {i}"


@pytest.mark.parametrize("row", [row for row in LARGE + ROWS if row.batched], ids=str)
def test_batch_does_not_change_bits(row: Row) -> None:
    """Each element of a batch of five has the output and the gradients of a batch of one."""
    shapes = tuple((5, *s[1:]) if i in row.batched else s for i, s in enumerate(row.shapes))
    together_row = replace(row, shapes=shapes)
    inputs = together_row.inputs()
    dy = together_row.output_gradient()
    together = run(together_row, inputs, dy)
    for n in range(5):
        own = [x[n : n + 1] if i in row.batched else x for i, x in enumerate(inputs)]
        alone = run(row, own, dy[n : n + 1])
        assert np.array_equal(alone.y, together.y[n : n + 1]), f"output of element {n}"
        for i in row.batched:
            assert np.array_equal(alone.gradients[i], together.gradients[i][n : n + 1]), (
                f"input {i}, element {n}"
            )
