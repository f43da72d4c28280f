"""Runs stop, survive Ctrl-C, go through stages, and resume bit for bit."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Callable, List

import numpy as np
import pytest
from climbs import MODEL, PROBLEMS, QUIET, SIZE, START, assert_same, run, stages
from numpy_model import NumpyModel

from cnnviz import objectives as obj
from cnnviz.optimize import steps
from cnnviz.optimize.loop import Problem
from cnnviz.optimize.parametrize import Pixels
from cnnviz.optimize.run import Stage, Watch, advance, begin, pack, unpack


@pytest.mark.parametrize("name", PROBLEMS)
def test_resume_equals_an_uninterrupted_run_bit_for_bit(name: str) -> None:
    plan = stages(PROBLEMS[name])
    watch = Watch(progress=False, keep_every=3)
    whole = advance(plan, begin(plan, 5), 10, watch)
    for cut in (0, 1, 6, 9):
        first = advance(plan, begin(plan, 5), cut, watch)
        assert_same(advance(plan, first, 10 - cut, watch), whole)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_run_continues_from_packed_arrays(name: str) -> None:
    plan = stages(PROBLEMS[name])
    watch = Watch(progress=False, keep_every=3)
    first = unpack(pack(advance(plan, begin(plan, 5), 6, watch)))
    assert_same(advance(plan, first, 4, watch), advance(plan, begin(plan, 5), 10, watch))


@pytest.mark.parametrize("name", PROBLEMS)
def test_ctrl_c_keeps_the_whole_trace_and_can_be_resumed(name: str) -> None:
    calls = []

    def interrupt(step: Any) -> None:
        calls.append(step.steps)
        if len(calls) == 5:
            raise KeyboardInterrupt

    plan = stages(PROBLEMS[name])
    stopped = advance(plan, begin(plan, 5), 10, Watch(progress=False, callback=interrupt))
    assert stopped.interrupted
    assert len(stopped.history["value"]) == 5
    assert_same(advance(plan, stopped, 6, QUIET), run(PROBLEMS[name]))


class AtLine:
    """Raises KeyboardInterrupt before the n-th line that runs inside a function of the given name."""

    def __init__(self, name: str, n: int) -> None:
        self.name, self.left = name, n

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        return self.line if frame.f_code.co_name == self.name else None

    def line(self, frame: Any, event: str, argument: Any) -> Any:
        self.left -= event == "line"
        if self.left == 0:
            raise KeyboardInterrupt
        return self.line

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self)

    def __exit__(self, *exception: Any) -> None:
        sys.settrace(self.before)


@pytest.mark.parametrize("name", ["add", "_ranked"])
def test_ctrl_c_while_a_step_is_recorded_keeps_whole_steps(name: str) -> None:
    watch = Watch(progress=False, keep_every=1)
    plan = stages(PROBLEMS["adam"])
    whole = advance(plan, begin(plan, 5), 10, watch)
    for n in range(12, 40):
        with AtLine(name, n):
            stopped = advance(plan, begin(plan, 5), 10, watch)
        assert stopped.interrupted, n
        assert len(stopped.history["value"]) == len(stopped.frames) == stopped.done + 1, n
        assert stopped.best_rank == max(stopped.history["value"]), n
        assert_same(advance(plan, stopped, 10 - stopped.done, watch), whole)


def test_ctrl_c_inside_the_network_returns_the_start() -> None:
    class Stopping(NumpyModel):
        def gradient(self, *args: Any, **options: Any) -> Any:
            raise KeyboardInterrupt

    watch = Watch(progress=False, keep_every=3)
    problem = PROBLEMS["normalized"]
    trace = run(replace(problem, model=Stopping()), watch=watch)  # type: ignore[arg-type]
    assert trace.interrupted
    np.testing.assert_array_equal(trace.planes, START)
    np.testing.assert_array_equal(trace.best, START)
    assert trace.history == {"value": ()}
    assert list(trace.frames) == [(0, 0)]
    trace = unpack(pack(trace))
    assert_same(advance(stages(problem), trace, 10, watch), run(problem, watch=watch))


def test_callback_ends_the_run_and_sees_pictures() -> None:
    shapes = []

    def look(step: Any) -> bool:
        shapes.append(step.image.shape)
        return step.steps == 3

    trace = run(PROBLEMS["adam"], watch=Watch(progress=False, callback=look))
    assert shapes == [(*SIZE, 3)] * 4
    assert not trace.interrupted
    assert not trace.converged


def test_progress_bar_shows_rate_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    run(PROBLEMS["gradient"], watch=Watch(progress=True))
    shown = capsys.readouterr().err
    assert "10/10" in shown
    assert "it/s" in shown
    assert "value=" in shown
    run(PROBLEMS["gradient"], watch=Watch())
    assert capsys.readouterr().err == ""


def two_stages(**options: Any) -> List[Stage]:
    """Four steps of Adam, then five along the gradient from that picture upside down."""
    small = Problem(MODEL, obj.Logit(3), Pixels(), steps.Adam(0.02), **options)
    large = Problem(MODEL, obj.Logit(3), Pixels(), steps.GradientAscent(0.02))
    return [
        Stage(4, lambda: small, lambda p, planes, rng: START),
        Stage(
            5,
            lambda: large,
            lambda p, planes, rng: planes[:, :, ::-1] + 0.01 * rng.normal(size=START.shape),
        ),
    ]


@pytest.mark.parametrize("budget", [0, 3, 4, 5, 9])
def test_stages_follow_each_other_and_resume_anywhere(budget: int) -> None:
    whole = advance(two_stages(), begin(two_stages(), 5), 9, QUIET)
    assert whole.stage == 1
    assert whole.done == 5
    assert len(whole.history["value"]) == 10
    part = advance(two_stages(), begin(two_stages(), 5), budget, QUIET)
    assert_same(advance(two_stages(), part, 9 - budget, QUIET), whole)


def test_a_run_without_steps_reaches_its_last_stage() -> None:
    stages = [replace(stage, steps=0) for stage in two_stages()]
    trace = advance(stages, begin(stages, 5), 0, QUIET)
    assert (trace.stage, trace.done, len(trace.history["value"])) == (1, 0, 1)


def interrupt(*arguments: Any) -> Any:
    raise KeyboardInterrupt


def asking(n: int, how: str) -> Callable[[Any], bool]:
    """A callback that ends the run at its n-th call."""
    calls = []

    def look(step: Any) -> bool:
        calls.append(step.steps)
        if len(calls) == n and how == "Ctrl-C":
            raise KeyboardInterrupt
        return len(calls) == n

    return look


@pytest.mark.parametrize("how", ["callback", "Ctrl-C"])
@pytest.mark.parametrize(("n", "position"), [(1, (0, 0)), (3, (0, 2)), (5, (0, 4)), (6, (1, 0)), (8, (1, 2))])
def test_a_callback_ends_the_whole_run_whatever_the_stage(how: str, n: int, position: Any) -> None:
    whole = advance(two_stages(), begin(two_stages(), 5), 9, QUIET)
    stopped = advance(two_stages(), begin(two_stages(), 5), 9, Watch(progress=False, callback=asking(n, how)))
    assert (stopped.stage, stopped.done) == position
    assert stopped.interrupted == (how == "Ctrl-C")
    made = 4 * stopped.stage + stopped.done
    assert len(stopped.history["value"]) == made + 1
    assert_same(advance(two_stages(), stopped, 9 - made, QUIET), whole)


def test_a_callback_ends_the_run_also_where_its_stage_has_converged() -> None:
    stages = two_stages(done=lambda step: np.array([step.steps == 2]))
    stopped = advance(stages, begin(stages, 5), 9, Watch(progress=False, callback=asking(3, "callback")))
    assert (stopped.stage, stopped.done, stopped.converged) == (0, 2, True)


@pytest.mark.parametrize("at", ["make", "start"])
def test_ctrl_c_between_stages_keeps_the_finished_one(at: str) -> None:
    whole = advance(two_stages(), begin(two_stages(), 5), 9, QUIET)
    stages = two_stages()
    stages[1] = replace(stages[1], **{at: interrupt})
    stopped = advance(stages, begin(stages, 5), 9, QUIET)
    assert (stopped.stage, stopped.done, stopped.interrupted) == (0, 4, True)
    assert len(stopped.history["value"]) == 5
    assert_same(advance(two_stages(), stopped, 5, QUIET), whole)


def test_ctrl_c_before_a_loaded_run_continues_keeps_its_trace() -> None:
    loaded = unpack(pack(advance(two_stages(), begin(two_stages(), 5), 7, QUIET)))
    stages = two_stages()
    stages[1] = replace(stages[1], make=interrupt)
    stopped = advance(stages, loaded, 2, QUIET)
    assert stopped.interrupted
    assert_same(stopped, loaded)
