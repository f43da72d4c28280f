"""The rules of batches, in plans of random operators: each image has the bits of a plan of its own."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import pytest

from cnnviz import _core
from cnnviz.lowering.batch import MixedBatchError
from cnnviz.lowering.batch_rules import RULES
from cnnviz.lowering.batched_plan import BatchedPlan
from cnnviz.lowering.weights import as_constant

IMAGES = 3
NOT_OPERATORS = {
    *("input", "constant", "shape", "prepare", "forward", "read", "backward", "gradient", "describe"),
}


def test_every_operator_of_the_core_has_a_rule() -> None:
    assert set(RULES) == {name for name in dir(_core.Plan) if not name.startswith("_")} - NOT_OPERATORS


class Draw:
    """Random operators for both builders: a choice depends on the seed and on shown shapes alone."""

    def __init__(self, seed: int, plan: Any, declared: int) -> None:
        self.declared = declared
        self.rng = np.random.default_rng(seed)
        self.plan = plan
        self.values: List[int] = []

    def one_of(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def constant(self, *shape: int) -> int:
        array = self.rng.normal(size=shape).astype(np.float32)
        value: int = self.plan.constant(as_constant(array), name="c")
        return value

    def unary(self, x: int) -> int:
        op = self.one_of(["relu", "sigmoid", "abs", "tanh", "gelu", "silu", "neg", "hard_swish"])
        value: int = getattr(self.plan, op)(x, name=op)
        return value

    def binary(self, x: int) -> int:
        shape = self.plan.shape(x)
        others = [v for v in self.values if broadcasts(self.plan.shape(v), shape)]
        if not self.rng.integers(3):
            ones = [n if self.rng.integers(2) else 1 for n in shape]
            other = self.constant(*ones[int(self.rng.integers(len(ones) + 1)) :])
        elif not self.rng.integers(4) and 1 in shape:
            other = self.constant(*(3 if n == 1 else n for n in shape))
        else:
            other = self.one_of(others)
        op = self.one_of(["add", "mul", "sub", "max"])
        operands = (x, other) if self.rng.integers(2) else (other, x)
        value: int = getattr(self.plan, op)(*operands, name=op)
        return value

    def reshape(self, x: int) -> int:
        left, target = math.prod(self.plan.shape(x)), []
        while left > 1 and len(target) < 4:
            target.append(self.one_of([n for n in range(1, left + 1) if left % n == 0]))
            left //= target[-1]
        target.append(left)
        value: int = self.plan.reshape(x, shape=target, name="reshape")
        return value

    def to_images(self, x: int) -> int:
        value: int = self.plan.reshape(x, shape=(1, *self.plan.shape(x)), name="to_images")
        return value

    def transpose(self, x: int) -> int:
        perm = self.rng.permutation(len(self.plan.shape(x))).tolist()
        value: int = self.plan.transpose(x, perm=perm, name="transpose")
        return value

    def concat(self, x: int) -> int:
        shape = self.plan.shape(x)
        axis = self.axis(shape)
        same = [v for v in self.values if self.plan.shape(v) == shape]
        extra = self.constant(*shape) if self.rng.integers(2) else self.one_of(same)
        value: int = self.plan.concat([x, extra, x], axis=axis, name="concat")
        return value

    def slice(self, x: int) -> int:
        shape = self.plan.shape(x)
        axis, start, count = self.axis(shape), [0] * len(shape), list(shape)
        start[axis] = int(self.rng.integers(shape[axis]))
        count[axis] = int(self.rng.integers(1, shape[axis] - start[axis] + 1))
        value: int = self.plan.slice(x, start=start, shape=count, step=[1] * len(shape), name="slice")
        return value

    def pad(self, x: int) -> int:
        shape = self.plan.shape(x)
        before, after = [0] * len(shape), [0] * len(shape)
        before[self.axis(shape)], after[self.axis(shape)] = 1, 2
        value: int = self.plan.pad(x, before=before, after=after, value=0.5, name="pad")
        return value

    def softmax(self, x: int) -> int:
        op = self.one_of(["softmax", "log_softmax"])
        value: int = getattr(self.plan, op)(x, axis=self.axis(self.plan.shape(x)), name=op)
        return value

    def reduce(self, x: int) -> int:
        ndim = len(self.plan.shape(x))
        axes = sorted(set(self.rng.integers(ndim, size=2).tolist()))
        keepdims = bool(self.rng.integers(2)) or len(axes) == ndim
        op = self.one_of(["reduce_mean", "reduce_sum"])
        value: int = getattr(self.plan, op)(x, axes=axes, keepdims=keepdims, name=op)
        return value

    def matmul(self, x: int) -> int:
        shape = self.plan.shape(x)
        value: int
        if len(shape) < 2:
            return self.unary(x)
        if len(shape) == 2:
            value = self.plan.linear(x, self.constant(4, shape[1]), self.constant(4), name="linear")
            return value
        lead = [n if self.rng.integers(2) else 1 for n in shape[:-2]]
        last = len(shape) - 1
        turned = self.plan.transpose(x, perm=[*range(last - 1), last, last - 1], name="t")
        others = [self.constant(shape[-1], 4), self.constant(*lead, shape[-1], 2), turned]
        value = self.plan.matmul(x, self.one_of(others), name="matmul")
        return value

    def window(self, x: int) -> int:
        shape = self.plan.shape(x)
        if len(shape) != 4:
            return self.unary(x)
        op = self.one_of(["conv2d", "max_pool", "average_pool", "global_average_pool", "global_max_pool"])
        if op == "conv2d":
            value: int = self.plan.conv2d(x, self.constant(4, shape[1], 1, 1), name=op)
        elif op.startswith("global"):
            value = getattr(self.plan, op)(x, name=op)
        else:
            value = getattr(self.plan, op)(x, kernel=(1, 1), stride=(2, 1), name=op)
        return value

    def axis(self, shape: Sequence[int]) -> int:
        return int(self.rng.integers(len(shape)))

    def network(self, length: int) -> List[int]:
        """Values, each made from an earlier one that is small."""
        self.values = [self.plan.input((self.declared, 2, 3, 4), name="x")]
        kinds: List[Callable[[int], int]] = [
            *(self.unary, self.binary, self.binary, self.reshape, self.reshape, self.to_images),
            *(self.transpose, self.transpose, self.concat, self.slice, self.pad, self.softmax, self.reduce),
            *(self.matmul, self.window),
        ]
        for _ in range(length):
            x = self.values[-1] if self.rng.integers(3) else self.one_of(self.values)
            if not 0 < len(self.plan.shape(x)) <= 5 or math.prod(self.plan.shape(x)) > 300:
                continue
            self.values.append(self.one_of(kinds)(x))
        return self.values


def broadcasts(a: Tuple[int, ...], b: Tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1])) and len(a) + len(b) <= 10


def batched(seed: int, declared: int, length: int) -> Tuple[BatchedPlan, int, int]:
    """The network of a seed as far as its images can be followed, its length, and its last value."""
    while True:
        plan = BatchedPlan(declared, IMAGES, frozenset({"x"}))
        try:
            return plan, length, Draw(seed, plan, declared).network(length)[-1]
        except MixedBatchError:
            length -= 1


def passed(
    plan: _core.Plan, value: int, x: np.ndarray, seeds: Dict[int, np.ndarray]
) -> Tuple[np.ndarray, np.ndarray]:
    """A value of a plan and the gradient of its input."""
    plan.prepare(keep=[value], seeds=[value], wrt=[0])
    plan.forward([x])
    plan.backward(seeds, relu="redirected")
    return plan.read(value), plan.gradient(0)


def check(seed: int, declared: int) -> int:
    """Compare three images with as many as the network is declared for; return the number of operators."""
    plan, length, last = batched(seed, declared, 14)
    shape, place = plan.shape(last), plan._batch.place(last)
    assert place is not None
    axis = place.axis
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(IMAGES, 2, 3, 4)).astype(np.float32)
    parts = (*shape[:axis], place.outer, IMAGES, place.inner, *shape[axis + 1 :])
    cotangent = rng.normal(size=parts).astype(np.float32)
    real, ids = plan.finish({"x": 0, "y": last}, ["x"])
    y, dx = passed(real, ids["y"], x, {ids["y"]: cotangent.reshape(real.shape(ids["y"]))})
    for i in range(IMAGES + 1 - declared):
        alone = _core.Plan()
        own = Draw(seed, alone, declared).network(length)[-1]
        some = range(i, i + declared)
        dy = cotangent.take(some, axis + 1).reshape(shape)
        expected, expected_dx = passed(alone, own, x[i : i + declared], {own: dy})
        found = y.reshape(parts).take(some, axis + 1).reshape(shape)
        np.testing.assert_array_equal(found, expected, f"seed {seed}")
        np.testing.assert_array_equal(dx[i : i + declared], expected_dx, f"gradient, seed {seed}")
    return length


@pytest.mark.parametrize("declared", [1, 2])
@pytest.mark.parametrize("first", range(0, 400, 40))
def test_images_of_random_networks_stay_apart(first: int, declared: int) -> None:
    lengths = [check(seed, declared) for seed in range(first, first + 40)]
    assert np.mean(lengths) > (8 if declared == 1 else 2.5)


def _flat(plan: Any, x: int) -> int:
    value: int = plan.reshape(x, shape=(1, 24), name="flat")
    return value


def _column(plan: Any, x: int) -> int:
    """A column of 24 numbers in which the images alternate, beside one in which they follow each other."""
    value: int = plan.transpose(_flat(plan, x), perm=(1, 0), name="column")
    return value


def _weights(*shape: int) -> _core.Constant:
    return as_constant(np.ones(shape, np.float32))


FOLLOWED_NOWHERE: Dict[str, Callable[[Any, int], Any]] = {
    "images as columns of a product": lambda plan, x: plan.matmul(
        plan.constant(_weights(2, 5, 24), name="a"), _column(plan, x), name="y"
    ),
    "images as weights": lambda plan, x: plan.linear(
        plan.constant(_weights(5, 24), name="a"), _flat(plan, x), name="y"
    ),
    "images as channels": lambda plan, x: plan.conv2d(
        plan.transpose(x, perm=(1, 0, 2, 3), name="t"),
        plan.constant(_weights(1, 1, 1, 1), name="w"),
        name="y",
    ),
    "one number": lambda plan, x: plan.reshape(
        plan.reduce_sum(x, axes=(0, 1, 2, 3), keepdims=True, name="s"), shape=(), name="y"
    ),
    "layouts that differ": lambda plan, x: plan.concat(
        [
            plan.reshape(_flat(plan, x), shape=(24, 1), name="rows"),
            plan.reshape(plan.reshape(_column(plan, x), shape=(24,), name="a"), shape=(24, 1), name="b"),
        ],
        axis=1,
        name="y",
    ),
    "sums of layouts that differ": lambda plan, x: plan.add(
        plan.reshape(_flat(plan, x), shape=(24,), name="rows"),
        plan.reshape(_column(plan, x), shape=(24,), name="a"),
        name="y",
    ),
    "a rectifier over parts of several images": lambda plan, x: plan.relu(_column(plan, x), name="y"),
}


@pytest.mark.parametrize("name", FOLLOWED_NOWHERE)
def test_images_that_cannot_be_followed(name: str) -> None:
    plan = BatchedPlan(1, IMAGES, frozenset({"x"}))
    x = plan.input((1, 2, 3, 4), name="x")
    with pytest.raises(MixedBatchError):
        FOLLOWED_NOWHERE[name](plan, x)


def test_another_input_is_the_same_for_all_images() -> None:
    plan = BatchedPlan(1, IMAGES, frozenset({"x"}))
    x, fixed = plan.input((1, 4), name="x"), plan.input((1, 4), name="fixed")
    y = plan.add(x, fixed, name="y")
    real, ids = plan.finish({"x": x, "fixed": fixed, "y": y}, ["y"])
    assert [real.shape(ids[name]) for name in ("x", "fixed", "y")] == [(IMAGES, 4), (1, 4), (IMAGES, 4)]
