"""The loop and its step rules: they climb, repeat, resume, stop, survive Ctrl-C, and say what went wrong."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from typing import Any, Callable, List

import numpy as np
import pytest
from numpy_model import NumpyModel

from cnnviz import objectives as obj
from cnnviz import steps
from cnnviz import transforms as tf
from cnnviz.objectives import IMAGE
from cnnviz.optimize import NonFiniteError, Problem
from cnnviz.parametrize import Feed, Fourier, NetworkInput, Pixels
from cnnviz.run import Stage, Trace, Watch, advance, begin, pack, unpack

MODEL = NumpyModel()
SIZE = (6, 8)
QUIET = Watch(progress=False)
START = np.random.default_rng(1).uniform(0.2, 0.8, size=(1, 3, *SIZE)).astype(np.float32)
AIM = np.random.default_rng(2).uniform(-0.4, 1.4, size=(1, 3, *SIZE)).astype(np.float32)
ROBUST = tf.Compose((tf.Pad(2), tf.Jitter(2), tf.Scale((0.9, 1.1)), tf.Crop(*SIZE)))

#: Descends to a picture a third of which is pressed against the box, through the network as well; roughness
#: couples pixels, so that L-BFGS is not there to the last digit of float32 before the tests have ended.
DISTANCE = (
    obj.Content(IMAGE, AIM, reduction="sum")
    + 0.1 * obj.CrossEntropy(2)
    + 0.1 * obj.TotalVariation(reduction="sum")
)

PROBLEMS = {
    "gradient": Problem(MODEL, obj.Logit(3), NetworkInput(MODEL.preprocessing), steps.Gradient(0.5)),
    "normalized": Problem(MODEL, obj.Logit(3), Pixels(), steps.NormalizedGradient(0.2)),
    "mean": Problem(MODEL, obj.Layer("hidden"), Pixels(), steps.NormalizedGradient(0.01, "mean")),
    "progress": Problem(MODEL, obj.Probability(3), Pixels(), steps.Progress()),
    "adam": Problem(
        MODEL, obj.Logit(3), Fourier(SIZE), steps.Adam(0.05, restarts=((6, 0.01),)), transform=ROBUST
    ),
    "lbfgs": Problem(MODEL, DISTANCE, Pixels(), steps.LBFGS(), maximize=False),
}


def stages(problem: Problem, start: np.ndarray = START):
    return [Stage(10, lambda: problem, lambda p, planes, rng: p.parametrization.encode(start))]


def run(problem: Problem, n: int = 10, watch: Watch = QUIET, start: np.ndarray = START) -> Trace:
    plan = stages(problem, start)
    return advance(plan, begin(plan, seed=5), n, watch)


def assert_same(a: Trace, b: Trace) -> None:
    for name in ("planes", "best", "best_rank"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.history.keys() == b.history.keys()
    for name in a.history:
        np.testing.assert_array_equal(a.history[name], b.history[name], err_msg=name)
    assert a.frames.keys() == b.frames.keys()
    assert all(np.array_equal(a.frames[key], b.frames[key]) for key in a.frames)
    assert pickle.dumps(a.state.rng) == pickle.dumps(b.state.rng)


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_rule_improves_the_objective(name: str) -> None:
    values = np.array(run(PROBLEMS[name]).history["value"])[:, 0]
    assert len(values) == 11
    gain = values[-1] - values[0] if PROBLEMS[name].maximize else values[0] - values[-1]
    assert gain > 0


@pytest.mark.parametrize("name", PROBLEMS)
def test_resume_equals_an_uninterrupted_run_bit_for_bit(name: str) -> None:
    plan = stages(PROBLEMS[name])
    watch = Watch(progress=False, keep_every=3)
    whole = advance(plan, begin(plan, 5), 10, watch)
    for cut in (0, 1, 6, 9):
        first = advance(plan, begin(plan, 5), cut, watch)
        assert_same(advance(plan, first, 10 - cut, watch), whole)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_run_goes_on_from_arrays_as_from_itself(name: str) -> None:
    plan = stages(PROBLEMS[name])
    watch = Watch(progress=False, keep_every=3)
    first = unpack(pack(advance(plan, begin(plan, 5), 6, watch)))
    assert_same(advance(plan, first, 4, watch), advance(plan, begin(plan, 5), 10, watch))


@pytest.mark.parametrize("name", PROBLEMS)
def test_ctrl_c_keeps_everything_and_can_be_resumed(name: str) -> None:
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
def test_ctrl_c_while_a_step_is_written_down_keeps_whole_steps(name: str) -> None:
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


def test_ctrl_c_between_two_stages_keeps_the_first() -> None:
    problem, pressed = PROBLEMS["adam"], [False, True]

    def make() -> Problem:
        if pressed.pop():
            raise KeyboardInterrupt
        return problem

    plan = [*stages(problem), *stages(problem)]
    slow = [plan[0], replace(plan[1], make=make)]
    stopped = advance(slow, begin(slow, 5), 20, QUIET)
    assert stopped.interrupted
    assert (stopped.stage, stopped.done) == (0, 10)
    assert_same(advance(slow, stopped, 10, QUIET), advance(plan, begin(plan, 5), 20, QUIET))


@pytest.mark.parametrize("name", PROBLEMS)
def test_pictures_stay_within_0_and_1(name: str) -> None:
    trace = run(PROBLEMS[name], 10)
    assert trace.planes.min() >= -1e-7
    assert trace.planes.max() <= 1 + 1e-7


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "lbfgs"])
def test_a_batch_is_its_pictures_one_by_one(name: str) -> None:
    other = np.random.default_rng(8).uniform(size=START.shape)
    both = run(PROBLEMS[name], start=np.concatenate([START, other]))
    for i, one in enumerate((START, other)):
        np.testing.assert_allclose(both.planes[i], run(PROBLEMS[name], start=one).planes[0], atol=1e-5)


def test_lbfgs_descends_strictly_to_the_projection_of_its_aim() -> None:
    """Of all pictures in the box, the nearest to a point outside it is the point clipped."""
    problem = Problem(
        MODEL, obj.Content(IMAGE, AIM, reduction="sum"), Pixels(), steps.LBFGS(), maximize=False
    )
    trace = run(problem, 60)
    np.testing.assert_allclose(trace.planes, AIM.clip(0, 1), atol=1e-3)
    assert (np.diff(np.array(trace.history["value"])[:, 0]) < 0).all()
    assert trace.converged


def test_lbfgs_needs_fewer_evaluations_than_gradient_descent() -> None:
    weights = np.linspace(1, 100, START.size).reshape(START.shape).astype(np.float32)
    bowl = obj.Content(IMAGE, np.full_like(AIM, 0.5), reduction="sum")

    class Stretched(obj.Objective):
        layers = (IMAGE,)

        def evaluate(self, activations: Any) -> Any:
            value, d = bowl.evaluate({IMAGE: 0.5 + (activations[IMAGE] - 0.5) * weights})
            return value, {IMAGE: d[IMAGE] * weights}

    descend = {"maximize": False, "objective": Stretched(), "model": MODEL, "parametrization": Pixels()}
    ours = run(Problem(rule=steps.LBFGS(), **descend), 40)
    plain = run(Problem(rule=steps.Gradient(1e-4), **descend), 40)
    assert ours.history["value"][-1] < 1e-2 * plain.history["value"][-1]


def test_no_point_is_evaluated_twice() -> None:
    seen: List[bytes] = []

    class Recording(NumpyModel):
        def gradient(self, x: np.ndarray, *args: Any, **options: Any) -> Any:
            seen.append(x.tobytes())
            return super().gradient(x, *args, **options)

    for rule in (steps.LBFGS(), steps.Gradient(1e-3), steps.Adam(0.01)):
        seen.clear()
        run(Problem(Recording(), DISTANCE, Pixels(), rule, maximize=False), 8)
        assert len(seen) == len(set(seen)) >= 9, rule


def test_lbfgs_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="random transforms"):
        Problem(MODEL, obj.Logit(1), Pixels(), steps.LBFGS(), transform=tf.Jitter(2))
    with pytest.raises(ValueError, match="one picture at a time, not 2"):
        run(PROBLEMS["lbfgs"], start=np.concatenate([START, START]))


def test_adam_is_the_published_algorithm() -> None:
    """Two steps by hand: with bias correction the first one is the learning rate times the sign."""
    rule, memory = steps.Adam(0.1), {}
    z = np.zeros((1, 2))
    first = steps.Point(np.zeros(1), np.array([[2.0, -3.0]]))
    z, memory, _ = rule.move(z, first, lambda z: first, memory, None)
    np.testing.assert_allclose(z, [[0.1, -0.1]], rtol=1e-7)
    second = steps.Point(np.zeros(1), np.array([[1.0, 0.0]]))
    z, memory, _ = rule.move(z, second, lambda z: second, memory, None)
    mean = (0.9 * 0.1 * 2 + 0.1 * 1) / (1 - 0.9**2)
    square = (0.999 * 0.001 * 4 + 0.001 * 1) / (1 - 0.999**2)
    np.testing.assert_allclose(z[0, 0], 0.1 + 0.1 * mean / np.sqrt(square), rtol=1e-6)


def test_done_pictures_stand_still_and_all_done_is_converged() -> None:
    problem = Problem(
        MODEL, obj.Logit(3), Pixels(), steps.NormalizedGradient(0.2), done=lambda step: step.value > 0.3
    )
    both = run(problem, 50, start=np.concatenate([START, 1 - START]))
    assert both.converged
    assert (both.history["value"][-1] > 0.3).all()
    values = np.array(both.history["value"])
    early = values[:, values[-1].argmax()]
    assert (np.diff(early[early > 0.3]) == 0).all()


def test_after_runs_between_steps_with_their_number() -> None:
    seen = []
    problem = Problem(
        MODEL, obj.Logit(3), Pixels(), steps.Gradient(0.1), after=lambda z, n, g: (seen.append(n), z * 0)[1]
    )
    trace = run(problem, 3)
    assert seen == [0, 1, 2]
    assert not trace.planes.any()


AGROUND = {
    "the score alone": obj.Logit(3),
    "and the size of the input": obj.Logit(3) - 0.01 * obj.L2(),
    "and that of the picture": obj.Logit(3) - 0.01 * obj.L2(IMAGE),
}


@pytest.mark.parametrize("name", AGROUND)
def test_a_dead_gradient_is_redirected_until_it_lives(name: str) -> None:
    dead = NumpyModel(bias=-3.0)

    def climb(revive: bool) -> float:
        rule = {"parametrization": Pixels(), "rule": steps.NormalizedGradient(0.5)}
        trace = run(Problem(dead, AGROUND[name], revive=revive, **rule), 30)  # type: ignore[arg-type]
        score = dead.forward(Feed(dead.preprocessing).forward(trace.planes))[0, 3]
        return float(score)

    assert climb(revive=False) == 0
    assert climb(revive=True) > 0


def test_of_a_batch_only_the_dead_are_redirected() -> None:
    """The one whose score is alive goes on as it would alone, whatever the other needs."""
    model = NumpyModel(bias=-3.0)
    objective = obj.Logit(3) - 0.001 * obj.L2()
    start = np.random.default_rng(4).uniform(size=(2, 3, *SIZE)).astype(np.float32)
    for _ in range(9):  # wake the second one
        step = (
            0.5
            * model.gradient(
                Feed(model.preprocessing).forward(start), obj.Logit(3), relu="redirected"
            ).gradients["input"]
        )
        start[1] = (start[1] + step[1]).clip(0, 1)
    alive = model.forward(Feed(model.preprocessing).forward(start)).any(axis=1)
    assert alive.tolist() == [False, True]
    plain, revived = (
        run(Problem(model, objective, Pixels(), steps.Gradient(0.1), revive=revive), 1, start=start)  # type: ignore[arg-type]
        for revive in (False, True)
    )
    same = [np.array_equal(*pair) for pair in zip(plain.planes, revived.planes)]
    assert same == alive.tolist()


def test_measures_enter_the_history_and_can_rank() -> None:
    problem = Problem(
        MODEL,
        obj.Logit(3) - 5 * obj.L2(IMAGE),
        Pixels(),
        steps.Gradient(0.2),
        measure=lambda a: {"odd": -a["logits"][:, 3].astype(np.float64)},
        rank_by="odd",
    )
    trace = run(problem)
    assert set(trace.history) == {"value", "Logit(3)", "L2(image)", "odd"}
    assert trace.best_rank == max(trace.history["odd"])
    terms = np.array(trace.history["Logit(3)"]) + np.array(trace.history["L2(image)"])
    np.testing.assert_allclose(trace.history["value"], terms)


def test_a_large_batch_in_pieces_is_the_same() -> None:
    class InPieces(NumpyModel):
        def gradient(self, x: Any, objective: Any, **options: Any) -> Any:
            parts = [
                super(InPieces, self).gradient(x[i : i + 1], objective.take(i, i + 1), **options)
                for i in range(len(x))
            ]
            whole = parts[0]
            whole.value = np.concatenate([part.value for part in parts])
            whole.gradients = {"input": np.concatenate([part.gradients["input"] for part in parts])}
            return whole

    start = np.concatenate([START, 1 - START])
    rule = {"parametrization": Pixels(), "rule": steps.Adam(0.05)}
    objective = obj.Logit([3, 1]) - 0.1 * obj.TotalVariation(reduction="sum")
    whole = run(Problem(NumpyModel(), objective, **rule), start=start)  # type: ignore[arg-type]
    pieces = run(Problem(InPieces(), objective, **rule), start=start)  # type: ignore[arg-type]
    np.testing.assert_allclose(whole.planes, pieces.planes, atol=1e-6)


class _Poison(obj.Objective):
    """Turns to NaN after a few evaluations."""

    layers = ("hidden",)

    def __init__(self, good: int) -> None:
        self.left = good

    def evaluate(self, activations: Any) -> Any:
        self.left -= 1
        hidden = activations["hidden"]
        value = np.full(len(hidden), np.nan if self.left < 0 else 1.0)
        return value, {"hidden": np.ones_like(hidden)}


def test_a_nan_names_its_term_and_keeps_the_last_finite_picture() -> None:
    problem = Problem(MODEL, obj.Logit(1) + _Poison(4), Pixels(), steps.Gradient(0.1))
    with pytest.raises(
        NonFiniteError, match=r"after 4 steps the term _Poison\(hidden\).*every layer is finite"
    ) as e:
        run(problem)
    assert len(e.value.result.history["value"]) == 4
    np.testing.assert_array_equal(
        e.value.result.planes,
        run(Problem(MODEL, obj.Logit(1) + _Poison(9), Pixels(), steps.Gradient(0.1)), 3).planes,
    )


def test_an_overflow_names_the_first_layer_that_has_it() -> None:
    model = NumpyModel()
    model.first = model.first * np.float32(1e38)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="layer 'hidden' is the first"):
        run(Problem(model, obj.Logit(1), Pixels(), steps.Gradient(0.1)))  # type: ignore[arg-type]


def test_a_step_that_leaves_the_numbers_is_blamed_on_the_rule() -> None:
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="try a smaller step"):
        run(Problem(MODEL, obj.Logit(3), Pixels(), steps.Gradient(0.1), after=lambda z, n, g: z / 0))


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
    large = Problem(MODEL, obj.Logit(3), Pixels(), steps.Gradient(0.02))
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
@pytest.mark.parametrize(("n", "place"), [(1, (0, 0)), (3, (0, 2)), (5, (0, 4)), (6, (1, 0)), (8, (1, 2))])
def test_a_callback_ends_the_whole_run_whatever_the_stage(how: str, n: int, place: Any) -> None:
    whole = advance(two_stages(), begin(two_stages(), 5), 9, QUIET)
    stopped = advance(two_stages(), begin(two_stages(), 5), 9, Watch(progress=False, callback=asking(n, how)))
    assert (stopped.stage, stopped.done) == place
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


def test_ctrl_c_before_a_loaded_run_goes_on_keeps_what_there_was() -> None:
    loaded = unpack(pack(advance(two_stages(), begin(two_stages(), 5), 7, QUIET)))
    stages = two_stages()
    stages[1] = replace(stages[1], make=interrupt)
    stopped = advance(stages, loaded, 2, QUIET)
    assert stopped.interrupted
    assert_same(stopped, loaded)
