"""Passes over pictures agree with their slow NumPy twins, keep what they are given, and reuse memory."""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Optional, Tuple

import numpy as np
import pytest

from cnnviz import _core
from cnnviz.pictures.arithmetic import (
    LARGEST,
    adam_step,
    affine,
    all_finite,
    ascend,
    dots,
    free_to_move,
    lbfgs_product,
    resample,
    roll,
    single,
    total_variation,
)

SHAPES = [(1, 3, 17, 19), (2, 3, 8, 8), (3, 1, 5, 7), (2, 3, 6, 4, 2), (1, 2), (1, 3, 224, 224)]
ONE_BOX = (np.full((1, 1, 1, 1), -0.5, np.float32), np.full((1, 1, 1, 1), 0.5, np.float32))


def draw(shape: Tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def per_channel(numbers: np.ndarray, like: np.ndarray) -> np.ndarray:
    return numbers.reshape(1, -1, *(1,) * (like.ndim - 2)).astype(np.float64)


def box_of(shape: Tuple[int, ...]) -> Tuple[np.ndarray, np.ndarray]:
    low = np.linspace(-0.3, -0.1, shape[1], dtype=np.float32)
    return low.reshape(1, -1, 1, 1), (low + 0.5).reshape(1, -1, 1, 1)


def held(x: np.ndarray, bounds: Any) -> np.ndarray:
    if bounds is None:
        return x
    low, high = (per_channel(np.broadcast_to(b.ravel(), x.shape[1]), x) for b in bounds)
    return np.minimum(np.maximum(x, low), high)


BOXES: Tuple[Callable[[Tuple[int, ...]], Any], ...] = (lambda shape: None, lambda shape: ONE_BOX, box_of)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reverse", [False, True])
def test_affine(shape: Tuple[int, ...], reverse: bool) -> None:
    x, slope, shift = draw(shape), draw((shape[1],), 1), draw((shape[1],), 2)
    source = x[:, ::-1] if reverse else x
    expected = per_channel(slope, x) * source + per_channel(shift, x)
    np.testing.assert_allclose(affine(x, slope, shift, reverse=reverse), expected, rtol=1e-6, atol=1e-6)
    divided = affine(x, slope, shift, 3 * slope, reverse=reverse)
    np.testing.assert_allclose(divided, expected / per_channel(3 * slope, x), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        affine(x, slope, reverse=reverse), per_channel(slope, x) * source, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dots_are_summed_in_double(shape: Tuple[int, ...]) -> None:
    x, y = draw(shape), draw(shape, 1)
    expected = (x.astype(np.float64) * y).reshape(len(x), -1).sum(axis=1)
    np.testing.assert_allclose(dots(x, y), expected, rtol=1e-12, atol=1e-9)
    tiny = np.full(shape, 1e-25, np.float32)
    np.testing.assert_allclose(dots(tiny, tiny), 1e-50 * tiny[0].size, rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("box", BOXES)
def test_ascend(shape: Tuple[int, ...], box: Callable[[Tuple[int, ...]], Any]) -> None:
    z, g, rate, bounds = draw(shape), draw(shape, 1), np.linspace(0.1, 0.3, shape[0]), box(shape)
    expected = held(z + rate.reshape(-1, *(1,) * (z.ndim - 1)) * g, bounds)
    np.testing.assert_allclose(ascend(z, g, rate.tolist(), bounds), expected, rtol=1e-6, atol=1e-6)


def test_a_rate_beyond_float32_moves_nothing_that_has_no_gradient() -> None:
    z, g = draw((1, 3, 4, 4)), np.zeros((1, 3, 4, 4), np.float32)
    np.testing.assert_array_equal(ascend(z, g, [1e60], None), z)
    assert ascend(z, g + 1, [1e60], None).max() == np.float32(LARGEST)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("box", BOXES)
def test_adam_step(shape: Tuple[int, ...], box: Callable[[Tuple[int, ...]], Any]) -> None:
    z, mean, square, g = (draw(shape, seed) for seed in range(4))
    square, bounds = square**2, box(shape)
    numbers = {"beta1": 0.9, "beta2": 0.999, "rate": 0.5, "scale": 100.0, "epsilon": 1e-3}
    wide = [a.astype(np.float64) for a in (z, mean, square, g)]
    there = adam_twin(*wide, bounds, **numbers)
    for found, expected in zip(adam_step(z, mean, square, g, bounds, **numbers), there):
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def adam_twin(
    z: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    g: np.ndarray,
    bounds: Any,
    *,
    beta1: float,
    beta2: float,
    rate: float,
    scale: float,
    epsilon: float,
) -> Tuple[np.ndarray, ...]:
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * g * g
    return held(z + rate * mean / (np.sqrt(scale * square) + epsilon), bounds), mean, square


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("box", BOXES)
def test_free_to_move(shape: Tuple[int, ...], box: Callable[[Tuple[int, ...]], Any]) -> None:
    bounds, g = box(shape), draw(shape, 1)
    z = held(draw(shape), bounds).astype(np.float32)
    expected = np.ones(shape)
    if bounds is not None:
        low, high = (held(np.full(shape, far), bounds) for far in (-9.0, 9.0))
        expected[((z <= low) & (g < 0)) | ((z >= high) & (g > 0))] = 0
        assert expected.sum() > 0
    np.testing.assert_array_equal(free_to_move(z, g, bounds), expected)


@pytest.mark.parametrize("shape", [(1, 3, 17, 19), (1, 1, 3, 5)], ids=str)
@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_lbfgs_product_is_scipys(shape: Tuple[int, ...], count: int, share: float) -> None:
    """SciPy starts from the identity; gamma times its product for s and gamma y starts from gamma."""
    from scipy.optimize import LbfgsInvHessProduct

    curvature = np.random.default_rng(9).uniform(0.5, 2, size=shape).astype(np.float32)
    s = [draw(shape, seed) for seed in range(count)]
    y = [curvature * one for one in s]
    g, free = draw(shape, 99), (np.random.default_rng(3).random(shape) < share).astype(np.float32)
    wide_s, wide_y = (np.array([(one * free).ravel() for one in pair], np.float64) for pair in (s, y))
    gamma = (wide_s[-1] @ wide_y[-1]) / (wide_y[-1] @ wide_y[-1])
    expected = gamma * LbfgsInvHessProduct(wide_s, gamma * wide_y).matvec((g * free).ravel().astype(float))
    found = lbfgs_product(g, free, s, y)
    assert found is not None
    error = np.linalg.norm(found.ravel() - expected) / np.linalg.norm(expected)
    assert error < 1e-5


def test_lbfgs_product_leaves_out_pairs_without_curvature() -> None:
    shape = (1, 3, 4, 5)
    g, free, s = draw(shape), np.ones(shape, np.float32), draw(shape, 1)
    assert lbfgs_product(g, free, [s], [-s]) is None
    assert lbfgs_product(g, 0 * free, [s], [s]) is None
    both = lbfgs_product(g, free, [s, draw(shape, 2)], [2 * s, -draw(shape, 2)])
    np.testing.assert_array_equal(both, lbfgs_product(g, free, [s], [2 * s]))


@pytest.mark.parametrize(
    "shape", [(1, 3, 17, 19), (2, 1, 5, 8), (3, 2, 1, 9), (1, 1, 6, 1), (1, 2, 1, 1)], ids=str
)
@pytest.mark.parametrize("power", [1, 2])
def test_total_variation(shape: Tuple[int, ...], power: int) -> None:
    x = draw(shape).round(1)  # with neighbours that are equal
    value, dx = total_variation(x, power, 0.5)
    expected, gradient = np.zeros(shape[0]), np.zeros(shape)
    for axis in (2, 3):
        step = np.diff(x, axis=axis).astype(np.float64)
        expected += (np.abs(step) ** power).reshape(shape[0], -1).sum(axis=1)
        slope = 2 * step if power == 2 else np.sign(step)
        ahead, behind = [slice(None)] * 4, [slice(None)] * 4
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        gradient[tuple(ahead)] += slope
        gradient[tuple(behind)] -= slope
    np.testing.assert_allclose(value, 0.5 * expected, rtol=1e-6)
    np.testing.assert_allclose(dx, 0.5 * gradient, atol=1e-5)


PLANES = [(1, 3, 17, 19), (2, 1, 5, 130), (3, 2, 1, 9), (1, 1, 70, 1), (1, 2, 1, 1)]


@pytest.mark.parametrize("shape", PLANES, ids=str)
@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 5), (-3, 1), (40, -200)])
def test_roll(shape: Tuple[int, ...], down: int, right: int) -> None:
    x = draw(shape)
    np.testing.assert_array_equal(roll(x, down, right), np.roll(x, (down, right), axis=(2, 3)))


MAPS = {
    "identity": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "turned": ((-2.5, 0.94, 0.34), (3.25, -0.34, 0.94)),
    "closer": ((2.0, 0.8, 0.0), (1.5, 0.0, 0.8)),
    "further": ((-3.0, 1.4, 0.0), (-4.0, 0.0, 1.4)),
    "mirrored": ((4.0, 0.0, -1.0), (4.0, -1.0, 0.0)),
    "all outside": ((-9.0, 0.0, 0.0), (999.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("shape", PLANES, ids=str)
@pytest.mark.parametrize("name", MAPS)
def test_resample_is_scipys(shape: Tuple[int, ...], name: str) -> None:
    """And its adjoint spreads the same weights: <A x, d> = <x, A' d>."""
    from scipy import ndimage

    x, d, (row, column) = draw(shape), draw(shape, 1), MAPS[name]
    i, j = np.mgrid[: shape[2], : shape[3]]
    places = [offset + by_row * i + by_column * j for offset, by_row, by_column in (row, column)]
    planes = x.reshape(-1, *shape[2:]).astype(np.float64)
    expected = [ndimage.map_coordinates(plane, places, order=1, mode="nearest") for plane in planes]
    found = resample(x, row, column)
    np.testing.assert_allclose(found.reshape(planes.shape), expected, atol=2e-6)
    back = resample(d, row, column, adjoint=True)
    rounding = 1e-6 * np.linalg.norm(x) * np.linalg.norm(back)
    np.testing.assert_allclose(dots(found, d).sum(), dots(x, back).sum(), atol=rounding)


def test_a_place_that_is_no_number_is_inside() -> None:
    x, nan = draw((1, 1, 4, 5)), float("nan")
    found = resample(x, (nan, 0.0, 0.0), (float("inf"), -1.0, 0.0))
    np.testing.assert_array_equal(found, np.full_like(x, x[0, 0, 0, 4]))


@pytest.mark.parametrize("place", [0, 4095, 4096, 9999])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_all_finite(place: int, bad: float) -> None:
    x = np.full(10000, LARGEST, np.float32)
    assert all_finite(x)
    x[place] = bad
    assert not all_finite(x)


def test_lbfgs_product_holds_the_arrays_of_a_list_that_shrinks() -> None:
    g, steps = draw((1, 3, 64, 64)), [draw((1, 3, 64, 64), 1)]
    free, expected = np.ones_like(g), lbfgs_product(g, np.ones_like(g), steps, steps)

    class Emptying(List[np.ndarray]):
        def __iter__(self) -> Iterator[np.ndarray]:
            steps.clear()
            return super().__iter__()

    np.testing.assert_array_equal(_core.lbfgs_product(g, free, steps, Emptying(steps)), expected)


def test_nan_is_not_lost_in_the_box() -> None:
    z = np.full((1, 3, 4, 4), np.nan, np.float32)
    assert np.isnan(ascend(z, 0 * z, [1.0], ONE_BOX)).all()


def test_what_is_given_stays_as_it_is_and_may_be_float64() -> None:
    z, mean, square, g = (draw((1, 3, 9, 9), seed).astype(np.float64) for seed in range(4))
    square = square**2
    before = [a.copy() for a in (z, mean, square, g)]
    numbers = {"beta1": 0.9, "beta2": 0.999, "rate": 0.5, "scale": 1.0, "epsilon": 1e-8}
    made = adam_step(z, mean, square, g, ONE_BOX, **numbers)
    assert [a.dtype for a in made] == [np.float32] * 3
    ascend(z, g, [1.0], ONE_BOX)
    for kept, was in zip((z, mean, square, g), before):
        np.testing.assert_array_equal(kept, was)


def test_single_copies_only_what_it_must() -> None:
    x = draw((2, 3, 4, 5))
    assert single(x) is x
    assert single(x[:, ::-1]).flags.c_contiguous
    assert np.isinf(single(np.full(2, 1e300))).all()  # without a warning


WRONG = {
    "float64": (lambda z: _core.dots(z.astype("f8"), z), TypeError, "float32"),
    "strided": (lambda z: _core.all_finite(z[:, ::2]), ValueError, "C-contiguous"),
    "other shape": (lambda z: _core.dots(z, z[:, :1].copy()), ValueError, r"y has shape \(2, 1"),
    "slopes": (lambda z: _core.affine(z, np.ones(2, "f4")), ValueError, "slope has 2 numbers, not 3"),
    "rates": (lambda z: _core.ascend(z, z, np.ones(3, "f4")), ValueError, "rate has 3 numbers, not 2"),
    "bounds": (lambda z: _core.ascend(z, z, np.ones(2, "f4"), 3), TypeError, "a pair of arrays"),
    "one bound": (
        lambda z: _core.ascend(z, z, np.ones(2, "f4"), (np.ones(3, "f4"), np.ones(1, "f4"))),
        ValueError,
        "upper bound has 1 numbers, not 3",
    ),
    "no channels": (lambda z: _core.affine(z[0, 0, 0], np.ones(3, "f4")), ValueError, "at least 2 axes"),
    "empty": (lambda z: _core.affine(z[:0], np.ones(3, "f4")), ValueError, "one number"),
    "power": (lambda z: _core.total_variation(z, 7, 1.0), ValueError, "power is 7, not 1 or 2"),
    "no plane": (lambda z: _core.roll(z[0], 1, 1), ValueError, "4 axes"),
    "places": (lambda z: _core.resample(z, (0.0, 1.0), (0.0, 0.0, 1.0), False), TypeError, "length 3"),
    "axes": (lambda z: _core.total_variation(z[0], 2, 1.0), ValueError, "4 axes"),
    "pairs": (lambda z: _core.lbfgs_product(z, z, [z], []), ValueError, "as many"),
    "many pairs": (lambda z: _core.lbfgs_product(z, z, [z] * 65, [z] * 65), ValueError, "not up to 64"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    call, error, match = WRONG[name]
    with pytest.raises(error, match=match):
        call(draw((2, 3, 4, 5)))


def test_an_array_that_is_alive_is_never_written_to() -> None:
    """Blocks are used again only when the last array, or view, on them is gone."""
    x, slope = np.zeros((1, 3, 200, 200), np.float32), np.ones(3, np.float32)
    kept = []
    for i in range(40):
        made = affine(x, slope, np.full(3, i, np.float32))
        if i % 3 == 0:
            kept.append((i, made[0, 1, ::2]))
        del made
    for i, view in kept:
        assert (view == i).all()


@pytest.mark.parametrize("side", [200, 300])
def test_memory_of_arrays_that_are_gone_is_used_again(side: int) -> None:
    x, slope = draw((1, 3, side, side)), np.ones(3, np.float32)
    last: Optional[np.ndarray] = affine(x, slope)
    before = _core.alloc_calls()
    for _ in range(20):
        last = None
        last = affine(x, slope)
    assert _core.alloc_calls() == before
    np.testing.assert_array_equal(last, x)


def test_few_blocks_wait() -> None:
    """What many arrays have taken goes back to the system, but for a few of them."""
    slope = np.ones(1, np.float32)

    def make() -> int:
        before = _core.alloc_calls()
        made = [affine(np.zeros((1, 1, 200 + i, 200), np.float32), slope) for i in range(50)]
        assert len(made) == 50
        return _core.alloc_calls() - before

    make()
    assert make() >= 50 - 8
