"""Cost of the optimisation loop beside the network: Python, NumPy and the small passes in C.

    python tests/bench/loop.py
    python tests/bench/loop.py --network resnet18 --steps 100 --json loop.json
    python tests/bench/loop.py --only adam --profile

The time of an iteration is that from callback to callback, less that of plan.forward and plan.backward; the
difference is the cost of the loop, in the core's small passes over the picture and in Python with NumPy. With
one thread it is CPU time, which other programs do not add to. The table shows medians over all iterations,
and the first decile of the differences, which other programs disturb least.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import time
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from networks import IMAGE_SIZE, NETWORKS
from timing import pin

import cnnviz
import cnnviz.pictures.arithmetic
from cnnviz import objectives
from cnnviz.model.model import Model
from cnnviz.optimize import steps
from cnnviz.optimize.loop import Problem
from cnnviz.optimize.parametrize import NetworkInput, Pixels
from cnnviz.optimize.run import Stage, Watch, advance, begin

TARGET = 7
UNREACHABLE = 1e6  # margin that a fooling image never reaches, so that it makes all its steps
WARM_UP = 5  # iterations that make plans and matrices, and fill caches; they are not counted

# A Split has the seconds of an iteration: in all, in forward and backward, in the core's picture passes.
Split = Tuple[float, float, float]

Callback = Callable[[Any], None]
Run = Callable[[int, Callback], object]


class Clock:
    """Times the core from outside: wraps a model's plans and the core's picture functions."""

    def __init__(self, model: Model, now: Callable[[], float]) -> None:
        self.kernels = 0.0
        self.pictures = 0.0
        self.now = now
        self._lend = model._pool.lend
        self._timed_plans: Dict[int, _Timed] = {}
        model._pool.lend = self._timed  # type: ignore[method-assign,assignment]
        cnnviz.pictures.arithmetic._core = _TimedCore(cnnviz.pictures.arithmetic._core, self)

    def picture(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a pass over a picture."""
        start = self.now()
        result = function(*arguments, **options)
        self.pictures += self.now() - start
        return result

    @contextmanager
    def _timed(self, request: Any) -> Iterator[Any]:
        with self._lend(request) as lowered:
            # Made once for each plan: the time of wrapping would count as the loop's.
            timed = self._timed_plans.get(id(lowered))
            if timed is None:
                timed = self._timed_plans[id(lowered)] = _Timed(lowered, self)
            yield timed


class _TimedCore:
    """The core's functions on pictures, timed."""

    def __init__(self, core: Any, clock: Clock) -> None:
        self._core = core
        self._clock = clock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        timed = partial(self._clock.picture, getattr(self._core, name))
        setattr(self, name, timed)
        return timed


class _Timed:
    """A lowered network that is its own plan, timed."""

    def __init__(self, lowered: Any, clock: Clock) -> None:
        self.lowered = lowered  # kept alive, because the clock looks it up by id
        self.plan = self
        self.values = lowered.values
        self.read = partial(clock.picture, lowered.plan.read)
        self.gradient = partial(clock.picture, lowered.plan.gradient)
        self._plan = lowered.plan
        self._clock = clock

    def forward(self, inputs: Any) -> None:
        start = self._clock.now()
        self._plan.forward(inputs)
        self._clock.kernels += self._clock.now() - start

    def backward(self, cotangents: Any, **options: Any) -> None:
        start = self._clock.now()
        self._plan.backward(cotangents, **options)
        self._clock.kernels += self._clock.now() - start


def runs(model: Model) -> Dict[str, Run]:
    """Every step rule on the loop alone, then the presets of the techniques."""
    size = model.preprocessing.size or (IMAGE_SIZE, IMAGE_SIZE)
    picture = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    planes = np.random.default_rng(1).random((1, 3, *size))
    score = objectives.Logit(TARGET)
    fed, pixels = NetworkInput(model.preprocessing), Pixels()
    photograph = model.preprocessing.planes(picture[None]).astype(np.float32)
    # The distance to a picture can be reduced in every step, so that L-BFGS does not stall.
    near = objectives.Content("image", photograph) - 1e-3 * score
    problems: Mapping[str, Problem] = {
        "gradient": Problem(model, score, pixels, steps.GradientAscent(0.1)),
        "normalised": Problem(model, score, pixels, steps.NormalizedGradient(0.25)),
        "normalised, network's units": Problem(model, score, fed, steps.NormalizedGradient(1.0)),
        "adam": Problem(model, score, pixels, steps.Adam(0.01)),
        "adam, total variation": Problem(
            model, score - objectives.TotalVariation(), pixels, steps.Adam(0.01)
        ),
        "lbfgs": Problem(model, near, pixels, steps.LBFGS(), maximize=False),
    }
    found: Dict[str, Run] = {name: _bare(problem, planes) for name, problem in problems.items()}
    for preset in ("margin", "cs231n", "nguyen"):
        found[f"fooling image, {preset}"] = _fooling(model, picture, preset)
    for preset in ("default", "cs231n", "simonyan", "yosinski"):
        found[f"class visualization, {preset}"] = _class(model, preset)
    return found


def _bare(problem: Problem, planes: Any) -> Run:
    def run(count: int, callback: Callback) -> object:
        stages = [Stage(count, lambda: problem, lambda p, start, rng: p.parametrization.encode(planes))]
        return advance(stages, begin(stages, seed=0), count, Watch(progress=False, callback=callback))

    return run


def _fooling(model: Model, picture: Any, preset: str) -> Run:
    def run(count: int, callback: Callback) -> object:
        return cnnviz.fooling_image(
            model,
            picture,
            TARGET,
            preset=preset,
            margin=UNREACHABLE,
            steps=count,
            progress=False,
            callback=callback,
        )

    return run


def _class(model: Model, preset: str) -> Run:
    def run(count: int, callback: Callback) -> object:
        return cnnviz.class_visualization(
            model, TARGET, preset=preset, steps=count, progress=False, callback=callback
        )

    return run


def measured(clock: Clock, run: Run, count: int) -> List[Split]:
    """The times of every iteration after the warm-up."""
    marks: List[Split] = []

    def mark(step: Any) -> None:
        marks.append((clock.now(), clock.kernels, clock.pictures))

    run(count + WARM_UP, mark)
    found = [tuple(after - before for before, after in zip(*pair)) for pair in zip(marks, marks[1:])]
    return found[WARM_UP:]  # type: ignore[return-value]


def table(found: Mapping[str, Sequence[Split]]) -> List[str]:
    lines = [
        "| loop | iteration ms | kernels ms | difference ms | undisturbed | of it pictures | Python |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, times in found.items():
        whole, kernels, pictures = (1e3 * median(column) for column in zip(*times))
        costs = sorted(1e3 * (both - inside) for both, inside, _ in times)
        python = median(1e3 * (both - inside - passes) for both, inside, passes in times)
        lines.append(
            f"| {name} | {whole:.2f} | {kernels:.2f} | **{median(costs):.3f}** "
            f"| {costs[len(costs) // 10]:.3f} | {pictures:.3f} | {python:.3f} |"
        )
    return lines


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=list(NETWORKS), default="squeezenet")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--first-cpu", type=int, default=0, help="first CPU to pin to")
    parser.add_argument("--only", default="", help="measure only loops whose name contains this text")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    parser.add_argument("--profile", action="store_true", help="profile the functions of each loop")
    options = parser.parse_args(arguments)
    pin(options.threads, options.first_cpu)
    cnnviz.set_num_threads(options.threads)
    warnings.simplefilter("ignore", UserWarning)  # the margin is never reached on purpose
    model = cnnviz.load(NETWORKS[options.network]().proto, preprocessing="imagenet")
    clock = Clock(model, time.thread_time if options.threads == 1 else time.perf_counter)
    found = {}
    for name, run in runs(model).items():
        if options.only not in name:
            continue
        if options.profile:
            _profile(name, run, options.steps)
        else:
            found[name] = measured(clock, run, options.steps)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if found:
        print("\n".join(table(found)))


def _profile(name: str, run: Run, count: int) -> None:
    print(name)
    profile = cProfile.Profile()
    profile.runcall(run, count, lambda step: None)
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
