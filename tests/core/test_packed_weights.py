"""Packed weights: they take up to a given number of bytes, and results have the same bits for any number."""

from __future__ import annotations

import pickle
from typing import Any, Dict, List

import numpy as np
import pytest
from test_fast_tier import NETS, Net
from toy_networks import small_classifier

import cnnviz
from cnnviz import _core

pytestmark = pytest.mark.skipif(_core.config()["kernels"] == "portable", reason="there is no fast tier here")

BUDGETS = (0, 10_000, 50_000, 150_000, 10**9)


def prepared(name: str, packed_nbytes: int, *, gradient: bool = True) -> Net:
    net = NETS[name](2)
    end = [net.named["end"]]
    wrt = [net.named["x"]] if gradient else []
    net.plan.prepare(keep=end, seeds=end, wrt=wrt, packed_nbytes=packed_nbytes)
    return net


def packed(net: Net) -> int:
    return int(net.plan.describe()["memory"]["packed"])


def gradient_of(net: Net) -> List[Any]:
    rng = np.random.default_rng(3)
    x, end = net.named["x"], net.named["end"]
    net.plan.forward([rng.standard_normal(net.plan.shape(x)).astype(np.float32)])
    net.plan.backward({end: rng.standard_normal(net.plan.shape(end)).astype(np.float32)})
    return [net.plan.read(end), net.plan.gradient(x)]


@pytest.mark.parametrize("name", NETS)
def test_a_budget_bounds_packed_weights_and_changes_no_bit(name: str) -> None:
    needed = packed(prepared(name, 0))
    sizes: Dict[int, int] = {}
    expected = gradient_of(prepared(name, BUDGETS[-1]))
    for budget in BUDGETS:
        net = prepared(name, budget)
        sizes[budget] = packed(net)
        for found, number in zip(gradient_of(net), expected):
            np.testing.assert_array_equal(found, number, err_msg=f"{name}, {budget}")
    assert all(size <= max(budget, needed) for budget, size in sizes.items()), sizes
    assert needed < sizes[BUDGETS[-1]] / 3, "kernels require few packed weights"
    assert sorted(sizes.values()) == list(sizes.values())


def test_threads_and_batches_do_not_change_bits_without_packed_weights() -> None:
    before = _core.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            _core.set_num_threads(threads)
            found.append(gradient_of(prepared("chain", 0)))
    finally:
        _core.set_num_threads(before)
    for one, three in zip(*found):
        np.testing.assert_array_equal(one, three)


def test_describe_counts_the_bytes_of_each_node() -> None:
    net = prepared("chain", 10**9)
    described = net.plan.describe()
    by_node = [node["packed_nbytes"] for node in described["nodes"]]
    assert sum(by_node) == described["memory"]["packed"]
    f4 = next(node for node in described["nodes"] if "winograd 4x4" in node["kernel"])
    # 36 positions of 20 x 32 weights, 36 of 32 x 32 for backward, a bias; a cache line follows each position.
    assert f4["packed_nbytes"] == 4 * (36 * (20 * 32 + 16) + 36 * (32 * 32 + 16) + 32)
    assert max(node["packed_nbytes"] for node in prepared("chain", 0).plan.describe()["nodes"]) < 10_000


def test_a_forward_plan_packs_nothing_for_backward() -> None:
    assert packed(prepared("residual", 10**9, gradient=False)) < 0.6 * packed(prepared("residual", 10**9))


def test_plans_of_a_model_share_one_budget() -> None:
    file, budget = small_classifier(), 9_000
    rng = np.random.default_rng(0)
    bounded = cnnviz.load(file, preprocessing="unit", packed_nbytes=budget)
    free = cnnviz.load(file, preprocessing="unit")
    for size in (32, 40, 21):
        x = rng.normal(size=(1, 3, size, size)).astype(np.float32)
        for model in (bounded, free):
            model.forward(x)
        found, expected = (model.gradient(x, 3).gradients["input"] for model in (bounded, free))
        np.testing.assert_array_equal(found, expected)
    sizes = [sum(model._pool.packed_usage().values()) for model in (bounded, free)]
    assert sizes[0] <= budget < sizes[1], sizes
    assert f"{sizes[1] / 1e6:.2f} MB packed" in free.summary()


def test_a_budget_survives_pickling() -> None:
    model = cnnviz.load(small_classifier(), preprocessing="unit", packed_nbytes=12345)
    assert pickle.loads(pickle.dumps(model)).packed_nbytes == 12345


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_a_budget_is_a_number_of_bytes(value: Any, error: type) -> None:
    with pytest.raises(error, match="packed_nbytes"):
        cnnviz.load(small_classifier(), packed_nbytes=value)
