"""Threads and signals: a pass frees the GIL and stops at Ctrl-C; plans of several threads agree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Callable, Iterator, List, Tuple

import numpy as np
import pytest

from cnnviz import _core

Array = np.ndarray


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """A setter of the number of threads; the old number is restored afterwards."""
    before = _core.get_num_threads()
    yield _core.set_num_threads
    _core.set_num_threads(before)


def weights(n: int, channels: int, seed: int = 0) -> List[_core.Constant]:
    rng = np.random.default_rng(seed)
    scale = np.sqrt(2 / (9 * channels))
    shape = (channels, channels, 3, 3)
    return [_core.Constant((scale * rng.standard_normal(shape)).astype(np.float32)) for _ in range(n)]


def build(constants: List[_core.Constant], shape: Tuple[int, ...]) -> Tuple[_core.Plan, int, int]:
    """A chain of convolutions and rectifiers, ready for its input's gradient: plan, input, end."""
    plan = _core.Plan()
    x = value = plan.input(shape, name="x")
    for i, weight in enumerate(constants):
        w = plan.constant(weight, name=f"w{i}")
        value = plan.relu(plan.conv2d(value, w, pads=(1, 1, 1, 1), name=f"conv{i}"), name=f"relu{i}")
    plan.prepare(keep=[value], seeds=[value], wrt=[x])
    return plan, x, value


def picture(shape: Tuple[int, ...], seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class LongPass:
    """A plan whose passes last long enough to be interrupted."""

    SHAPE = (4, 64, 112, 112)

    def __init__(self, least_s: float = 0.6) -> None:
        self.x = picture(self.SHAPE)
        depth = 4
        while True:
            self.plan, self.input, self.end = build(weights(depth, 64), self.SHAPE)
            start = time.perf_counter()
            self.plan.forward([self.x])
            if time.perf_counter() - start >= least_s:
                return
            depth *= 2


def latency(run: Callable[[], object], error: type) -> float:
    """Seconds from a SIGINT in the middle of a pass to the exception; the best of three."""

    def once() -> float:
        sent: List[float] = []

        def send() -> None:
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        def run_until_stopped() -> None:
            while True:  # a pass may end before the signal
                run()

        timer = threading.Timer(0.15, send)
        timer.start()
        with pytest.raises(error):
            run_until_stopped()
        elapsed = time.perf_counter() - sent[0]
        timer.join()
        return elapsed

    return min(once() for _ in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 4])
def test_ctrl_c_stops_a_pass_within_a_fifth_of_a_second(threads: Callable[[int], None], n: int) -> None:
    threads(n)
    long = LongPass()
    cotangent = {long.end: picture(long.SHAPE)}
    expected = long.plan.read(long.end)
    assert latency(lambda: long.plan.forward([long.x]), KeyboardInterrupt) < 0.2
    with pytest.raises(ValueError, match="forward has not run"):
        long.plan.read(long.end)
    long.plan.forward([long.x])
    assert np.array_equal(long.plan.read(long.end), expected)
    assert latency(lambda: long.plan.backward(cotangent), KeyboardInterrupt) < 0.2
    with pytest.raises(ValueError, match="backward has not run"):
        long.plan.gradient(long.input)
    long.plan.backward(cotangent)
    assert long.plan.gradient(long.input).any()


@pytest.mark.slow
def test_exception_of_a_signal_handler_comes_through(threads: Callable[[int], None]) -> None:
    class StopError(Exception):
        pass

    def handler(number: int, frame: object) -> None:
        raise StopError

    threads(2)
    long = LongPass()
    before = signal.signal(signal.SIGINT, handler)
    try:
        assert latency(lambda: long.plan.forward([long.x]), StopError) < 0.2
    finally:
        signal.signal(signal.SIGINT, before)


def note_refusal(call: Callable[[], object], refused: List[str]) -> None:
    try:
        call()
    except RuntimeError as error:
        refused.append(str(error))
    except ValueError:  # the pass is over, and the plan refuses the call itself
        pass


@pytest.mark.slow
def test_other_threads_run_python_during_a_pass_but_may_not_use_the_plan(
    threads: Callable[[int], None],
) -> None:
    threads(1)
    long = LongPass()
    refused: List[str] = []
    ticks = 0
    worker = threading.Thread(target=long.plan.forward, args=([long.x],))
    worker.start()
    while worker.is_alive():
        ticks += 1
        for call in (
            lambda: long.plan.read(long.end),
            lambda: long.plan.forward([long.x]),
            lambda: long.plan.backward({}),
            lambda: long.plan.relu(long.end, name="r"),
            lambda: long.plan.shape(long.end),
            lambda: long.plan.describe(),
        ):
            note_refusal(call, refused)
        time.sleep(0.002)
    worker.join()
    assert ticks > 10
    assert len(refused) > 10
    assert set(refused) == {"the plan is in use by another thread; each thread needs a plan of its own"}
    assert long.plan.read(long.end).any()


def test_a_refused_forward_keeps_the_inputs_of_the_last_forward(
    threads: Callable[[int], None],
) -> None:
    """While another plan of the same memory runs, the first still reads the inputs of its last forward."""
    threads(1)
    long, plan = LongPass(0.3), _core.Plan()
    first = plan.input((8,), name="x")
    plan.prepare(keep=[plan.relu(first, name="r")], shares=long.plan)
    given = np.arange(8, dtype=np.float32)
    alive = weakref.ref(given)
    plan.forward([given])
    del given
    refused: List[str] = []

    def handler(number: int, frame: object) -> None:
        try:
            plan.forward([np.ones(8, np.float32)])
        except ValueError as error:
            refused.append(str(error))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        long.plan.forward([long.x])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert refused == ["a plan that shares this one's memory is running in another thread"]
    assert alive() is not None
    np.testing.assert_array_equal(plan.read(first), np.arange(8))


def run_pass(constants: List[_core.Constant], x: Array) -> Tuple[Array, Array]:
    plan, first, last = build(constants, x.shape)
    for _ in range(3):
        plan.forward([x])
        plan.backward({last: np.ones(plan.shape(last), np.float32)}, relu="guided")
    return plan.read(last), plan.gradient(first)


def test_results_do_not_depend_on_the_number_of_threads(threads: Callable[[int], None]) -> None:
    constants, x = weights(4, 8), picture((3, 8, 31, 29))
    results = []
    for n in (1, 2, 3, 8, 64):
        threads(n)
        results.append(run_pass(constants, x))
    for value, gradient in results[1:]:
        assert np.array_equal(value, results[0][0])
        assert np.array_equal(gradient, results[0][1])


def test_results_do_not_depend_on_the_batch() -> None:
    constants, x = weights(4, 8), picture((5, 8, 31, 29))
    value, gradient = run_pass(constants, x)
    for i in range(5):
        alone = run_pass(constants, x[i : i + 1])
        assert np.array_equal(alone[0][0], value[i])
        assert np.array_equal(alone[1][0], gradient[i])


def test_threads_with_plans_of_their_own_share_constants() -> None:
    constants = weights(4, 8)
    pictures = [picture((2, 8, 24, 24), seed) for seed in range(8)]
    expected = [run_pass(constants, x) for x in pictures]
    wrong: List[int] = []

    def work(i: int) -> None:
        for _ in range(4):
            value, gradient = run_pass(constants, pictures[i])
            if not (np.array_equal(value, expected[i][0]) and np.array_equal(gradient, expected[i][1])):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


PROGRAM = """
import os, sys, threading, time
import numpy as np
from cnnviz._config import _core

def run(n=4, size=64):
    plan = _core.Plan()
    w = plan.constant(_core.Constant(np.ones((n, n, 3, 3), np.float32)), name="w")
    value = plan.input((1, n, size, size), name="x")
    for i in range(4):
        value = plan.conv2d(value, w, pads=(1, 1, 1, 1), name="c")
    plan.prepare(keep=[value])
    plan.forward([np.ones((1, n, size, size), np.float32)])
    return plan.read(value)
"""

CHILDREN = """
expected = run()
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(run(), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(run(), expected)
"""

# The parent forks while another thread is in the middle of a model's first use.
LOCKED = """
import cnnviz, signal
model = cnnviz.load()
x = np.zeros((1, 3, 96, 96), np.float32)
inside, done = threading.Event(), threading.Event()

def use():
    with model._pool._packing, model._pool._lock, model._pool._weights._lock:
        inside.set()
        done.wait()

thread = threading.Thread(target=use)
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)  # ends a child that waits forever
    model.forward(x)
    os._exit(0)
status = os.waitpid(child, 0)[1]
done.set()
thread.join()
assert status == 0, status
model.forward(x)
"""

# The interpreter exits while a daemon thread runs passes.
EXIT = """
def forever():
    while True:
        run(32, 128)
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.5)
"""


@pytest.mark.parametrize("program", [CHILDREN, LOCKED, EXIT], ids=["fork", "locked", "exit"])
def test_fork_and_exit(program: str) -> None:
    if program is not EXIT and not hasattr(os, "fork"):
        pytest.skip("no fork")
    environment = {**os.environ, "CNNVIZ_NUM_THREADS": "4", "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROGRAM + program)],
        env=environment,
        timeout=60,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
