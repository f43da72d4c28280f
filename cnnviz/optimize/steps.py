"""Step rules: how a gradient becomes the next iterate.

A rule is stateless: its memory (moments, curvature pairs) is a plain dictionary that the loop carries, saves
and passes back, so that a resumed run cannot differ from one that never stopped. Variables and gradients are
float32, like the network's input; values are float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.one_line import one_line
from cnnviz.pictures.arithmetic import (
    Array,
    Bounds,
    adam_step,
    all_finite,
    ascend,
    dots,
    free_to_move,
    lbfgs_product,
    single,
)

Numbers = NDArray[np.float64]  # one number for each picture
Memory = Dict[str, Any]  # arrays and numbers by name


class Point(NamedTuple):
    """The value (N,) and its gradient at one point; a rule makes the value larger."""

    value: Numbers
    gradient: Array

    def __repr__(self) -> str:
        return one_line(self)


class Move(NamedTuple):
    """A rule's answer: the next variable, its new memory, and whether it found no way up (`stalled`)."""

    variable: Array
    memory: Memory
    stalled: bool = False

    def __repr__(self) -> str:
        return one_line(self)


class StepRule:
    """A rule that turns a gradient into a step upwards; to go down, the loop negates value and gradient."""

    #: repeatable_only is true for rules that evaluate several points in one step: the objective must not
    #: change between evaluations, as it does under random transforms.
    repeatable_only = False

    def move(
        self, z: Array, here: Point, evaluate: Callable[[Array], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        """Return the next variable after z, within `bounds`; `evaluate` computes further points."""
        raise NotImplementedError


@dataclass(frozen=True)
class GradientAscent(StepRule):
    """Plain gradient ascent: z += learning_rate * g."""

    learning_rate: float

    def move(
        self, z: Array, here: Point, evaluate: Callable[[Array], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        return Move(ascend(z, here.gradient, [self.learning_rate] * len(z), bounds), memory)


@dataclass(frozen=True)
class NormalizedGradient(StepRule):
    """Steps of a fixed length in the direction of the gradient, image by image.

    ``norm="l2"``: z += learning_rate * g / ||g||_2 (cs231n); ``"mean"``: over the mean absolute value
    (DeepDream).
    """

    learning_rate: float
    norm: str = "l2"

    def move(
        self, z: Array, here: Point, evaluate: Callable[[Array], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        g = here.gradient
        if self.norm == "l2":
            lengths = map(math.sqrt, dots(g, g))
        else:
            lengths = map(float, np.abs(g).mean(axis=tuple(range(1, g.ndim)), dtype=np.float64))
        rates = [self.learning_rate / (length if length > 0 else 1.0) for length in lengths]
        return Move(ascend(z, g, rates, bounds), memory)


@dataclass(frozen=True)
class Progress(StepRule):
    """Steps that should raise a probability by a set amount (Nguyen et al. 2015; Yosinski et al. 2015).

    The step is min(max_rate, desired / ||g||^2) * g with desired = min(early, late * (1 - p)): to first
    order p grows by `early` at first, and by the share `late` of 1 - p near the end. The objective must be a
    probability.
    """

    early: float = 0.03
    late: float = 0.1
    max_rate: float = 1e12

    def move(
        self, z: Array, here: Point, evaluate: Callable[[Array], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        desired = np.minimum(self.early, self.late * (1.0 - here.value))
        square = dots(here.gradient, here.gradient)
        rate = np.minimum(self.max_rate, desired / np.maximum(square, np.finfo(np.float64).tiny))
        return Move(ascend(z, here.gradient, rate.tolist(), bounds), memory)


@dataclass(frozen=True)
class Adam(StepRule):
    """Adam (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon : float
    restarts : tuple of (int, float)
        Pairs of a step and the learning rate from that step on; the moments start anew there.
    """

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    restarts: Tuple[Tuple[int, float], ...] = ()

    def move(
        self, z: Array, here: Point, evaluate: Callable[[Array], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        step = memory.get("step", 0)
        rate = memory.get("rate", self.learning_rate)
        mean, square, age = memory.get("mean"), memory.get("square"), memory.get("age", 0)
        for at, restarted in self.restarts:
            if step == at:
                rate, mean, age = restarted, None, 0
        if mean is None or square is None:
            mean = square = np.zeros(z.shape, np.float32)
        age += 1
        there, mean, square = adam_step(
            z,
            mean,
            square,
            here.gradient,
            bounds,
            beta1=self.beta1,
            beta2=self.beta2,
            rate=rate / (1 - self.beta1**age),
            scale=1 / (1 - self.beta2**age),
            epsilon=self.epsilon,
        )
        kept = {"step": step + 1, "rate": rate, "age": age, "mean": mean, "square": square}
        return Move(there, kept)


@dataclass(frozen=True)
class LBFGS(StepRule):
    """Limited-memory BFGS inside a box: two-metric projection (Gafni & Bertsekas 1984) and an Armijo search.

    Each step takes the L-BFGS product over the variables that are free to move (not pressed against a bound),
    and shortens the step along the projected arc until the value has risen enough. Values therefore rise
    strictly. When no step length raises the value, the memory is dropped; when a step along the plain
    gradient does not raise it either, the run has stalled: it is at a maximum, up to the rounding of float32
    activations.

    Parameters
    ----------
    history : int
        Number of (step, gradient change) pairs that are kept.
    first_step : float
        Root mean square of the first step, in units of the variable, before any curvature is known.
    """

    history: int = 10
    first_step: float = 0.01

    repeatable_only = True
    ARMIJO = 1e-4
    TRIALS = 20

    def move(
        self, z: Array, here: Point, evaluate: Callable[[Array], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        if len(z) != 1:
            raise ValueError(f"L-BFGS takes one picture at a time, not {len(z)}: use Adam for a batch")
        z, gradient = single(z), single(here.gradient)
        for pairs in ([memory] if memory else []) + [{}]:
            ascent = self._direction(z, gradient, pairs, bounds)
            found = self._search(z, here, ascent, evaluate, bounds)
            if found is not None:
                there, point = found
                kept = self._remember(pairs, there - z, gradient - single(point.gradient))
                return Move(there, kept)
        return Move(z, {}, stalled=True)

    def _direction(self, z: Array, g: Array, pairs: Memory, bounds: Bounds) -> Array:
        free = free_to_move(z, g, bounds)
        uphill = g * free
        if pairs:
            s, y = (tuple(map(single, pairs[name])) for name in ("s", "y"))
            product = lbfgs_product(g, free, s, y)
            if product is not None and dots(product, uphill)[0] > 0:
                return product
        rms = float(np.sqrt(dots(uphill, uphill)[0] / g.size))
        return uphill * np.float32(self.first_step / rms if rms > 0 else 0.0)

    def _search(
        self, z: Array, here: Point, ascent: Array, evaluate: Callable[[Array], Point], bounds: Bounds
    ) -> Optional[Tuple[Array, Point]]:
        length = 1.0
        for _ in range(self.TRIALS):
            there = ascend(z, ascent, [length], bounds)
            promised = float(dots(here.gradient, there - z)[0])
            if promised <= 0:
                return None
            point = evaluate(there)
            risen = float(point.value[0] - here.value[0])
            if np.isfinite(risen) and risen >= self.ARMIJO * promised and all_finite(point.gradient):
                return there, point
            # The parabola through both values and the slope has its maximum at `top`; the step shrinks to
            # between a tenth and a half.
            top = 0.5 * promised / (promised - risen) if np.isfinite(risen) else 0.1
            length *= min(max(top, 0.1), 0.5)
        return None

    def _remember(self, pairs: Memory, s: Array, y: Array) -> Memory:
        if float(dots(s, y)[0]) <= 1e-10 * float(dots(y, y)[0]):
            return pairs
        # Pairs lie in tuples, not in one array: adding a pair copies none of the others.
        return {
            "s": (*pairs.get("s", ()), s)[-self.history :],
            "y": (*pairs.get("y", ()), y)[-self.history :],
        }
