"""Small optimisations on a network in NumPy, for the tests of the loop and of runs."""

from __future__ import annotations

import pickle

import numpy as np
from numpy_model import NumpyModel

from cnnviz import objectives as obj
from cnnviz.objectives import IMAGE
from cnnviz.optimize import steps
from cnnviz.optimize import transforms as tf
from cnnviz.optimize.loop import Problem
from cnnviz.optimize.parametrize import Fourier, NetworkInput, Pixels
from cnnviz.optimize.run import Stage, Trace, Watch, advance, begin

MODEL = NumpyModel()
SIZE = (6, 8)
QUIET = Watch(progress=False)
START = np.random.default_rng(1).uniform(0.2, 0.8, size=(1, 3, *SIZE)).astype(np.float32)
AIM = np.random.default_rng(2).uniform(-0.4, 1.4, size=(1, 3, *SIZE)).astype(np.float32)
ROBUST = tf.Compose((tf.Pad(2), tf.Jitter(2), tf.Scale((0.9, 1.1)), tf.Crop(*SIZE)))

#: DISTANCE has its minimum at a picture with a third of its pixels on a bound. Its cross-entropy goes through
#: the network; its total variation couples pixels, so that L-BFGS does not converge to the last digit of
#: float32 within a test.
DISTANCE = (
    obj.Content(IMAGE, AIM, reduction="sum")
    + 0.1 * obj.CrossEntropy(2)
    + 0.1 * obj.TotalVariation(reduction="sum")
)

PROBLEMS = {
    "gradient": Problem(MODEL, obj.Logit(3), NetworkInput(MODEL.preprocessing), steps.GradientAscent(0.5)),
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
