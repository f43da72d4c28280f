"""The loop and its step rules: they climb, stay within bounds, and name the cause of NaN."""

from __future__ import annotations

from typing import Any, List

import numpy as np
import pytest
from climbs import AIM, DISTANCE, MODEL, PROBLEMS, SIZE, START, run
from numpy_model import NumpyModel

from cnnviz import objectives as obj
from cnnviz.objectives import IMAGE
from cnnviz.optimize import steps
from cnnviz.optimize import transforms as tf
from cnnviz.optimize.loop import NonFiniteError, Problem
from cnnviz.optimize.parametrize import Pixels


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_rule_improves_the_objective(name: str) -> None:
    values = np.array(run(PROBLEMS[name]).history["value"])[:, 0]
    assert len(values) == 11
    gain = values[-1] - values[0] if PROBLEMS[name].maximize else values[0] - values[-1]
    assert gain > 0


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
    plain = run(Problem(rule=steps.GradientAscent(1e-4), **descend), 40)
    assert ours.history["value"][-1] < 1e-2 * plain.history["value"][-1]


def test_no_point_is_evaluated_twice() -> None:
    seen: List[bytes] = []

    class Recording(NumpyModel):
        def gradient(self, x: np.ndarray, *args: Any, **options: Any) -> Any:
            seen.append(x.tobytes())
            return super().gradient(x, *args, **options)

    for rule in (steps.LBFGS(), steps.GradientAscent(1e-3), steps.Adam(0.01)):
        seen.clear()
        run(Problem(Recording(), DISTANCE, Pixels(), rule, maximize=False), 8)
        assert len(seen) == len(set(seen)) >= 9, rule


def test_lbfgs_refuses_random_transforms_and_batches() -> None:
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


def test_finished_pictures_stand_still_and_all_finished_is_converged() -> None:
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
        MODEL,
        obj.Logit(3),
        Pixels(),
        steps.GradientAscent(0.1),
        after=lambda z, n, g: (seen.append(n), z * 0)[1],
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
        score = dead.forward(dead.preprocessing.feed.forward(trace.planes))[0, 3]
        return float(score)

    assert climb(revive=False) == 0
    assert climb(revive=True) > 0


def test_only_the_dead_pictures_of_a_batch_are_redirected() -> None:
    """The picture whose score is alive moves as it would alone."""
    model = NumpyModel(bias=-3.0)
    objective = obj.Logit(3) - 0.001 * obj.L2()
    start = np.random.default_rng(4).uniform(size=(2, 3, *SIZE)).astype(np.float32)
    for _ in range(9):  # bring the second picture's score to life
        step = (
            0.5
            * model.gradient(
                model.preprocessing.feed.forward(start), obj.Logit(3), relu="redirected"
            ).gradients["input"]
        )
        start[1] = (start[1] + step[1]).clip(0, 1)
    alive = model.forward(model.preprocessing.feed.forward(start)).any(axis=1)
    assert alive.tolist() == [False, True]
    plain, revived = (
        run(Problem(model, objective, Pixels(), steps.GradientAscent(0.1), revive=revive), 1, start=start)  # type: ignore[arg-type]
        for revive in (False, True)
    )
    same = [np.array_equal(*pair) for pair in zip(plain.planes, revived.planes)]
    assert same == alive.tolist()


def test_measures_enter_the_history_and_can_rank() -> None:
    problem = Problem(
        MODEL,
        obj.Logit(3) - 5 * obj.L2(IMAGE),
        Pixels(),
        steps.GradientAscent(0.2),
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
    """Turns to NaN after a few evaluations: the value, or only its gradient."""

    layers = ("hidden",)

    def __init__(self, good: int, *, value: float = np.nan) -> None:
        self.left = good
        self.last = value

    def evaluate(self, activations: Any) -> Any:
        self.left -= 1
        hidden = activations["hidden"]
        if self.left >= 0:
            return np.ones(len(hidden)), {"hidden": np.ones_like(hidden)}
        return np.full(len(hidden), self.last), {"hidden": np.full_like(hidden, np.nan)}


@pytest.mark.parametrize("value", [np.nan, 1.0])
def test_a_nan_names_its_term_and_keeps_the_last_finite_picture(value: float) -> None:
    poisoned = obj.Logit(1) + _Poison(4, value=value)
    problem = Problem(MODEL, poisoned, Pixels(), steps.GradientAscent(0.1))
    with pytest.raises(
        NonFiniteError, match=r"after 4 steps the term _Poison\(hidden\).*every layer is finite"
    ) as e:
        run(problem)
    assert len(e.value.result.history["value"]) == 4
    np.testing.assert_array_equal(
        e.value.result.planes,
        run(Problem(MODEL, obj.Logit(1) + _Poison(9), Pixels(), steps.GradientAscent(0.1)), 3).planes,
    )


def test_an_overflow_names_the_first_layer_that_is_not_finite() -> None:
    model = NumpyModel()
    model.first = model.first * np.float32(1e38)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="layer 'hidden' is the first"):
        run(Problem(model, obj.Logit(1), Pixels(), steps.GradientAscent(0.1)))  # type: ignore[arg-type]


def test_a_step_to_infinity_is_blamed_on_the_rule() -> None:
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="try a smaller step"):
        run(Problem(MODEL, obj.Logit(3), Pixels(), steps.GradientAscent(0.1), after=lambda z, n, g: z / 0))
