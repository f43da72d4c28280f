"""A run from start to result: stages, stopping, Ctrl-C, the progress bar, the history and kept frames.

A run's whole checkpoint is its `Trace`: from there, a run that was interrupted or saved continues bit for bit
as if it had never stopped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.one_line import one_line
from cnnviz.optimize.loop import LoopState, NonFiniteError, Problem, Step, climb, generator
from cnnviz.optimize.steps import Numbers
from cnnviz.pictures.arithmetic import Array, single
from cnnviz.pictures.feed import to_pictures

#: PATIENCE is how many seconds a run lasts before a progress bar appears by default.
PATIENCE = 1.0


@dataclass(frozen=True)
class Stage:
    """A part of a run with its own picture size or settings.

    Attributes
    ----------
    steps : int
    make : callable () -> Problem
        Called once, when the stage is reached.
    start : callable (Problem, planes so far or None, generator) -> variable
        Returns the variable that the stage begins with.
    """

    steps: int
    make: Callable[[], Problem]
    start: Callable[[Problem, Optional[Array], np.random.Generator], NDArray[Any]]

    def __repr__(self) -> str:
        return one_line(self)

    @cached_property
    def problem(self) -> Problem:
        """The stage's problem, made at its first use."""
        return self.make()


@dataclass(frozen=True)
class Trace:
    """A run's pictures, history and checkpoint.

    `stage` is the index of the current stage and `done` the number of its steps that are made. `history` has
    an entry for every evaluation, including the last one, which resuming repeats; before the first one it has
    an empty ``value``. `frames` are keyed by stage and step.
    """

    stage: int
    done: int
    state: LoopState
    planes: Array
    best: Array
    best_rank: Numbers
    history: Mapping[str, Sequence[Numbers]] = field(default_factory=dict)
    frames: Mapping[Tuple[int, int], NDArray[np.uint8]] = field(default_factory=dict)
    converged: bool = False
    interrupted: bool = False

    def __repr__(self) -> str:
        return one_line(self)


@dataclass(frozen=True)
class Watch:
    """Progress bar, callback and kept frames of a run, which change no computed number.

    Attributes
    ----------
    progress : bool, optional
        Whether to show a tqdm bar; by default on terminals and in notebooks, once a run has lasted a second.
    callback : callable (Step) -> bool or None, optional
        Called after every evaluation; a true return value ends the run there.
    keep_every : int
        Number of steps between the pictures kept for an animation; 0 keeps none.
    """

    progress: Optional[bool] = None
    callback: Optional[Callable[[Step], Optional[bool]]] = None
    keep_every: int = 0


def begin(stages: Sequence[Stage], seed: int) -> Trace:
    """Return the trace of a run before its first step."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return _enter(stages[0], 0, None, rng)


def advance(stages: Sequence[Stage], trace: Trace, steps: int, watch: Watch) -> Trace:
    """Continue a run for `steps` steps, through as many stages as they reach; the last stage has no limit.

    When a stage's steps are used up, the next stage begins immediately, so that the result has the new
    stage's size.
    """
    trace = replace(trace, interrupted=False, converged=False)
    with _Bar(steps, watch.progress) as bar:
        left = steps
        while True:
            last = trace.stage == len(stages) - 1
            here = left if last else min(left, stages[trace.stage].steps - trace.done)
            before = trace.done
            trace, stopped = _within(stages[trace.stage], trace, here, watch, bar)
            left -= trace.done - before
            missing = stages[trace.stage].steps - trace.done
            if stopped or last or (missing > 0 and not trace.converged):
                return trace
            left = max(left - missing, 0)  # steps that a converged stage did not need are not made elsewhere
            try:
                trace = _next_stage(stages, trace)
            except KeyboardInterrupt:  # computing the style targets of a finer scale takes seconds
                return replace(trace, interrupted=True)


def _within(stage: Stage, trace: Trace, steps: int, watch: Watch, bar: _Bar) -> Tuple[Trace, bool]:
    """Make up to `steps` steps of one stage; also return whether a callback or Ctrl-C ends the whole run."""
    recorder = _Recorder(trace, stage, watch)
    try:
        for made, step in enumerate(climb(stage.problem, trace.state)):
            if step.stalled:
                return recorder.trace(converged=True), False
            recorder.add(step)
            bar.show(made, step)
            asked = watch.callback is not None and bool(watch.callback(step))
            if step.done is not None and all(step.done.tolist()):
                return recorder.trace(converged=True), asked
            if asked or made == steps:
                return recorder.trace(), asked
    except KeyboardInterrupt:
        return recorder.trace(interrupted=True), True
    except NonFiniteError as error:
        error.result = recorder.trace()
        raise
    raise RuntimeError("climb returned, but a generator without end was expected")


def _enter(stage: Stage, index: int, planes: Optional[Array], rng: np.random.Generator) -> Trace:
    variable = single(stage.start(stage.problem, planes, rng))
    decoded = stage.problem.parametrization.decode(variable)
    state = LoopState(variable, rng.bit_generator.state)
    return Trace(index, 0, state, decoded, decoded, np.full(len(decoded), -np.inf), {"value": ()})


def _next_stage(stages: Sequence[Stage], trace: Trace) -> Trace:
    entered = _enter(stages[trace.stage + 1], trace.stage + 1, trace.planes, generator(trace.state.rng))
    # The next stage's first evaluation replaces this stage's last one, so that one's frame is dropped.
    frames = {key: kept for key, kept in trace.frames.items() if key != (trace.stage, trace.state.steps)}
    return replace(entered, history=trace.history, frames=frames)


class _Kept(NamedTuple):
    """The last evaluation, the best pictures so far, their ranks, and `made`, the number of whole records."""

    step: Step
    best: Array
    rank: Numbers
    made: int

    def __repr__(self) -> str:
        return one_line(self)


class _Recorder:
    """Appends the evaluations of one stage to the trace that the stage continues."""

    def __init__(self, trace: Trace, stage: Stage, watch: Watch) -> None:
        self._trace = trace
        self._stage = stage
        self._every = watch.keep_every
        self._records: List[Tuple[int, Dict[str, Numbers], Optional[NDArray[np.uint8]]]] = []
        self._kept: Optional[_Kept] = None

    def add(self, step: Step) -> None:
        best, rank = self._ranked(step)
        terms = step.terms if len(step.terms) > 1 else {}
        frame = self._frame(step.steps, step.planes)
        self._records.append((step.steps, {"value": step.value, **terms, **step.measures}, frame))
        # Ctrl-C may come between any two lines: this single assignment makes the whole evaluation count.
        self._kept = _Kept(step, best, rank, len(self._records))

    def _ranked(self, step: Step) -> Tuple[Array, Numbers]:
        """The best pictures so far, and their ranks."""
        so_far = self._kept
        best, rank = (self._trace.best, self._trace.best_rank) if so_far is None else so_far[1:3]
        problem = self._stage.problem
        value = step.value if problem.maximize else -step.value
        now = step.measures[problem.rank_by] if problem.rank_by else value
        better = now > rank
        if all(better.tolist()):
            return step.planes, now
        if any(better.tolist()):
            return np.where(better[:, None, None, None], step.planes, best), np.where(better, now, rank)
        return best, rank

    def _frame(self, steps: int, planes: Array) -> Optional[NDArray[np.uint8]]:
        """The pictures as bytes if an animation keeps this step, else None."""
        wanted = self._every and steps % self._every == 0
        return as_bytes(to_pictures(planes)) if wanted else None

    def trace(self, *, converged: bool = False, interrupted: bool = False) -> Trace:
        kept = self._kept
        if kept is None:  # Ctrl-C came before the first evaluation: only the start can be a frame
            frame = self._frame(self._trace.state.steps, self._trace.planes)
            first = {} if frame is None else {(self._trace.stage, self._trace.state.steps): frame}
            frames = {**self._trace.frames, **first}
            return replace(self._trace, frames=frames, converged=converged, interrupted=interrupted)
        # The last evaluation of the trace before is repeated as the first of this one, and is listed once.
        history = {name: list(series) for name, series in _without_last(self._trace.history).items()}
        frames = dict(self._trace.frames)
        for steps, numbers, frame in self._records[: kept.made]:
            for name, series in numbers.items():
                history.setdefault(name, []).append(series)
            if frame is not None:
                frames[self._trace.stage, steps] = frame
        state = kept.step.state
        return Trace(
            stage=self._trace.stage,
            done=self._trace.done + state.steps - self._trace.state.steps,
            state=state,
            planes=kept.step.planes,
            best=kept.best,
            best_rank=kept.rank,
            history={name: tuple(series) for name, series in history.items()},
            frames=frames,
            converged=converged,
            interrupted=interrupted,
        )


class _Bar:
    """A tqdm bar with the rate, the time left and the current values; by default none outside terminals."""

    def __init__(self, steps: int, progress: Optional[bool]) -> None:
        self._steps = steps
        self._progress = progress
        self._bar: Any = None
        self._base = 0

    def __enter__(self) -> _Bar:
        if self._progress is not False and self._steps > 0:
            from tqdm.auto import tqdm

            asked = bool(self._progress)
            disable = False if asked else None  # None: only on a terminal, or in a notebook
            self._bar = tqdm(total=self._steps, unit="it", disable=disable, delay=0 if asked else PATIENCE)
        return self

    def show(self, made: int, step: Step) -> None:
        if self._bar is None or self._bar.disable:
            return
        if made == 0:
            self._base = self._bar.n
        numbers = {"value": step.value, **step.measures}
        self._bar.set_postfix({name: f"{float(v.mean()):.4g}" for name, v in numbers.items()}, refresh=False)
        self._bar.update(self._base + made - self._bar.n)

    def __exit__(self, *exception: Any) -> None:
        if self._bar is not None:
            self._bar.close()


def as_bytes(pictures: Array) -> NDArray[np.uint8]:
    """Return pictures from 0 to 1 as bytes, rounded to the nearest level."""
    return np.rint(pictures * np.float32(255)).astype(np.uint8)


def _without_last(history: Mapping[str, Sequence[Numbers]]) -> Dict[str, Sequence[Numbers]]:
    return {name: series[:-1] for name, series in history.items()}


def pack(trace: Trace) -> Dict[str, NDArray[Any]]:
    """Return a trace as arrays for a file; `unpack` is its inverse, bit for bit."""
    facts = {
        "stage": trace.stage,
        "done": trace.done,
        "steps": trace.state.steps,
        "rng": trace.state.rng,
        "converged": trace.converged,
        "interrupted": trace.interrupted,
        "memory": {name: value for name, value in trace.state.memory.items() if np.ndim(value) == 0},
        "history": list(trace.history),
    }
    arrays = {
        f"memory/{name}": np.asarray(value) for name, value in trace.state.memory.items() if np.ndim(value)
    }
    arrays.update({f"history/{i}": np.array(series) for i, series in enumerate(trace.history.values())})
    arrays.update({f"frames/{stage}/{step}": frame for (stage, step), frame in trace.frames.items()})
    return {
        "facts": np.array(json.dumps(facts)),
        "variable": trace.state.variable,
        "planes": trace.planes,
        "best": trace.best,
        "best_rank": trace.best_rank,
        **arrays,
    }


def unpack(arrays: Mapping[str, NDArray[Any]]) -> Trace:
    """Return the trace that `pack` turned into arrays."""
    facts = json.loads(str(arrays["facts"]))
    memory = dict(facts["memory"])
    memory.update({key[len("memory/") :]: a for key, a in arrays.items() if key.startswith("memory/")})
    frames = [key.split("/")[1:] for key in arrays if key.startswith("frames/")]
    return Trace(
        stage=facts["stage"],
        done=facts["done"],
        state=LoopState(arrays["variable"], facts["rng"], memory, facts["steps"]),
        planes=arrays["planes"],
        best=arrays["best"],
        best_rank=arrays["best_rank"],
        history={name: tuple(arrays[f"history/{i}"]) for i, name in enumerate(facts["history"])},
        frames={(int(stage), int(step)): arrays[f"frames/{stage}/{step}"] for stage, step in frames},
        converged=facts["converged"],
        interrupted=facts["interrupted"],
    )
