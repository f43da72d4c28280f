"""Pooling of ties, of NaN, and of windows that hold padding only."""

from __future__ import annotations

import numpy as np
import pytest
from op_rows import Row, run

WHOLE = Row("max_pool", ((1, 1, 2, 2),), {"kernel": (2, 2), "stride": (1, 1)})
GLOBAL = Row("global_max_pool", ((1, 1, 2, 2),))


@pytest.mark.parametrize("row", [WHOLE, GLOBAL], ids=str)
@pytest.mark.parametrize(
    ("x", "y", "winner"),
    [
        ([1, 1, 1, 1], 1, 0),
        ([0, 3, 3, 1], 3, 1),
        ([0, np.nan, 9, np.nan], np.nan, 1),
        ([np.nan, 1, 2, 3], np.nan, 0),
        ([-np.inf] * 4, -np.inf, 0),
        ([-np.inf, -np.inf, -5, -np.inf], -5, 2),
    ],
)
def test_maximum_and_its_gradient(row: Row, x: list, y: float, winner: int) -> None:
    got = run(row, [np.float32(x).reshape(1, 1, 2, 2)], np.full((1, 1, 1, 1), 7, np.float32))
    assert np.array_equal(got.y.ravel(), [np.float32(y)], equal_nan=True)
    assert got.gradients[0].ravel().tolist() == [7 if i == winner else 0 for i in range(4)]


@pytest.mark.parametrize(
    ("op", "more", "outside"),
    [
        ("max_pool", {}, -np.inf),
        ("average_pool", {}, 0.0),
        ("average_pool", {"count_include_pad": True}, 0.0),
    ],
)
def test_window_in_the_padding(op: str, more: dict, outside: float) -> None:
    row = Row(op, ((1, 1, 1, 2),), {"kernel": (1, 1), "stride": (1, 1), "pads": (1, 0, 0, 1), **more})
    got = run(row, [np.float32([[[[3, 4]]]])], np.ones((1, 1, 2, 3), np.float32))
    assert got.y[0, 0].tolist() == [[outside] * 3, [3, 4, outside]]
    assert got.gradients[0].ravel().tolist() == [1, 1]


@pytest.mark.parametrize(
    ("extent", "kernel", "stride", "pad", "floor", "ceil"),
    [(6, 3, 2, (0, 0), 2, 3), (7, 3, 2, (0, 0), 3, 3), (4, 3, 3, (1, 1), 2, 2), (2, 1, 3, (0, 0), 1, 1),
     (5, 2, 3, (0, 0), 2, 2), (5, 2, 4, (0, 0), 1, 2), (6, 2, 4, (0, 0), 2, 2), (3, 1, 2, (0, 1), 2, 2)],
)  # fmt: skip
def test_ceil_mode_adds_a_window(
    extent: int, kernel: int, stride: int, pad: tuple, floor: int, ceil: int
) -> None:
    """The last window must start inside the picture or the padding before it."""
    for ceil_mode, expected in [(False, floor), (True, ceil)]:
        params = {"kernel": (kernel, 1), "stride": (stride, 1), "pads": (pad[0], 0, pad[1], 0)}
        row = Row("max_pool", ((1, 1, extent, 1),), {**params, "ceil_mode": ceil_mode})
        assert run(row, row.inputs()).y.shape == (1, 1, expected, 1)


@pytest.mark.parametrize("taps", [(16, 16), (16, 17), (256, 257)])
def test_maximum_of_many_taps(taps: tuple) -> None:
    """The index of the maximum takes one, two or four bytes; here the maximum is the last tap."""
    x = np.arange(taps[0] * taps[1], dtype=np.float32).reshape(1, 1, *taps)
    row = Row("max_pool", (x.shape,), {"kernel": taps, "stride": (1, 1)})
    got = run(row, [x], np.ones((1, 1, 1, 1), np.float32))
    assert got.y.item() == x.max()
    assert np.flatnonzero(got.gradients[0]).tolist() == [x.size - 1]
