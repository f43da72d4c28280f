"""Ownership: no memory leaks, no array is freed too early, and a failed allocation raises MemoryError."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import List

import numpy as np
import pytest

from cnnviz import _core

ROOT = Path(__file__).resolve().parents[2]


def build_and_run(array: np.ndarray, x: np.ndarray) -> _core.Plan:
    """Make every kind of call once, wrong ones included, and return the plan."""
    plan = _core.Plan()
    constant = _core.Constant(array)
    first = plan.input(x.shape, name="x")
    w = plan.constant(constant, name="w")
    value = plan.relu(plan.conv2d(first, w, pads=(1, 1, 1, 1), name="conv"), name="relu")
    value = plan.concat([value, value], axis=1, name="concat")
    fixed = plan.constant(_core.Constant(np.full((16, 16, 3, 3), 0.1, np.float32)), name="fixed")
    value = plan.relu(plan.conv2d(value, fixed, pads=(1, 1, 1, 1), name="packed"), name="rectified")
    value = plan.reshape(value, shape=(x.size // 4 * 16,), name="flat")
    mistakes = [
        lambda: plan.relu(99, name="bad"),
        lambda: plan.conv2d(first, w, stride=("a", 1), name="bad"),
        lambda: plan.reshape(first, shape=(1, 2), name="bad"),
        lambda: plan.relu(first, nome="bad"),
        lambda: plan.constant(array, name="bad"),
        lambda: plan.prepare(keep=[value, "a"]),
        lambda: plan.prepare(keep=[99]),
        lambda: _core.Constant(array.astype("f8")),
        lambda: _core.Constant(np.ones((2, 0), "f4")),
    ]
    fail(mistakes)
    plan.prepare(keep=[value], seeds=[value], wrt=[first, w])
    fail([lambda: plan.forward([x, x]), lambda: plan.forward([x[:, :1]]), lambda: plan.forward([None])])
    plan.forward([x])
    plan.backward({value: np.ones(plan.shape(value), np.float32)})
    fail([lambda: plan.backward({value: x}), lambda: plan.backward({first: x}), lambda: plan.read(w + 1)])
    for look in (
        lambda: plan.read(value),
        lambda: plan.gradient(first),
        lambda: plan.gradient(w),
        plan.describe,
    ):
        assert look() is not None
    assert (constant.array is array, constant.shape) == (True, array.shape)
    return plan


def fail(calls: List) -> None:
    for call in calls:
        with pytest.raises((TypeError, ValueError)):
            call()


def resident_nbytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def arrays() -> tuple:
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((8, 4, 3, 3)).astype(np.float32),
        rng.standard_normal((2, 4, 40, 40)).astype(np.float32),
    )


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux' /proc")
def test_memory_does_not_grow() -> None:
    array, x = arrays()
    for _ in range(20):
        build_and_run(array, x)
    before = resident_nbytes()
    for _ in range(150):
        build_and_run(array, x)
    assert resident_nbytes() - before < 1 << 20, "150 plans of 0.5 MB each, and one leaked part would show"


def test_reference_counts_come_back() -> None:
    array, x = arrays()
    counts = sys.getrefcount(array), sys.getrefcount(x)
    plan = build_and_run(array, x)
    assert sys.getrefcount(array) > counts[0]
    assert sys.getrefcount(x) > counts[1]
    del plan
    gc.collect()
    assert (sys.getrefcount(array), sys.getrefcount(x)) == counts


def test_a_plan_keeps_its_constants_as_long_as_it_lives() -> None:
    array, x = arrays()
    expected = None
    alive = weakref.ref(array)
    plan = _core.Plan()
    first = plan.input(x.shape, name="x")
    value = plan.conv2d(first, plan.constant(_core.Constant(array), name="w"), name="conv")
    plan.prepare(keep=[value])
    plan.forward([x])
    expected = plan.read(value)
    del array
    gc.collect()
    assert alive() is not None
    plan.forward([x])
    assert np.array_equal(plan.read(value), expected)
    del plan
    gc.collect()
    assert alive() is None


def test_a_plan_in_a_cycle_is_collected() -> None:
    class Tagged(np.ndarray):
        pass

    array, x = arrays()
    tagged = x.view(Tagged)
    tagged.plan = plan = build_and_run(array, tagged)
    alive = weakref.ref(tagged)
    del tagged, plan
    gc.collect()
    assert alive() is None


def test_constants_follow_their_array() -> None:
    array, x = arrays()
    constant = _core.Constant(array)
    plan = _core.Plan()
    value = plan.conv2d(plan.input(x.shape, name="x"), plan.constant(constant, name="w"), name="conv")
    plan.prepare(keep=[value])
    plan.forward([x])
    before = plan.read(value)
    array *= 2
    constant.changed()
    plan.forward([x])
    np.testing.assert_allclose(plan.read(value), 2 * before, rtol=1e-5, atol=1e-5)
    assert constant.array is array
    assert constant.shape == array.shape


# A program for a module that can make allocations fail: the n-th fails, for growing n, until none does.
FAULTS = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("cnnviz._core", sys.argv[1])
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
sys.modules["cnnviz._core"] = core
import cnnviz
cnnviz._core = core
sys.path.insert(0, sys.argv[2])
import test_core_memory as t
array, x = t.arrays()
failed = {False: 0, True: 0}
for persist in failed:
    for n in range(1, 2000):
        core.alloc_fail_at(n, persist)
        try:
            plan = t.build_and_run(array, x)
        except MemoryError as error:
            assert "memory" in str(error), error
            failed[persist] += 1
        else:
            core.alloc_fail_at(0)
            break
counts = sys.getrefcount(array), sys.getrefcount(x)
del plan
assert sys.getrefcount(array) == counts[0] - 1, "a failed plan kept its constant"
print(failed)
assert min(failed.values()) > 30, failed
"""


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="needs the sources")
def test_every_allocation_may_fail(tmp_path: Path) -> None:
    environment = {**os.environ, "CNNVIZ_FAULTS": "1", "CNNVIZ_DEBUG": "1", "CNNVIZ_BUNDLE_OPENBLAS": "0"}
    folders = ["--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")]
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", *folders],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
    )
    assert built.returncode == 0, built.stderr.decode()
    module = next((tmp_path / "lib").rglob("_core*.so"))
    finished = subprocess.run(
        [sys.executable, "-c", FAULTS, str(module), str(ROOT / "tests" / "core")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout
