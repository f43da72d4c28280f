"""Step rules: how a gradient becomes the next iterate.

A rule keeps nothing of its own: what it remembers between steps is a plain dictionary that the loop
carries, saves and gives back, so that a run which is resumed cannot differ from one that never stopped.
Arrays are float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Memory = Dict[str, Any]  # of arrays and numbers
Bounds = Optional[Tuple[Vector, Vector]]  # broadcast over the variable


class Point(NamedTuple):
    """Where a run stands: the value (N,) and its gradient, both to be made larger."""

    value: Vector
    gradient: Vector


class Move(NamedTuple):
    """What a rule decided: the next variable, what to remember, and whether there was no way up any more."""

    variable: Vector
    memory: Memory
    stalled: bool = False


class StepRule:
    """How to climb. Rules always go up; a loop that goes down negates."""

    #: A rule that evaluates several points in one step cannot work with an objective that changes between
    #: them.
    repeatable_only = False

    def move(
        self, z: Vector, here: Point, evaluate: Callable[[Vector], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        raise NotImplementedError


@dataclass(frozen=True)
class Gradient(StepRule):
    """Plain gradient ascent: z += learning_rate * g."""

    learning_rate: float

    def move(
        self, z: Vector, here: Point, evaluate: Callable[[Vector], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        return Move(_clip(z + self.learning_rate * here.gradient, bounds), memory)


@dataclass(frozen=True)
class NormalizedGradient(StepRule):
    """Steps of a fixed length in the direction of the gradient, image by image.

    ``norm="l2"``: z += learning_rate * g / ||g||_2 (cs231n); ``"mean"``: over the mean absolute value
    (DeepDream).
    """

    learning_rate: float
    norm: str = "l2"

    def move(
        self, z: Vector, here: Point, evaluate: Callable[[Vector], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        g = here.gradient
        axes = tuple(range(1, g.ndim))
        if self.norm == "l2":
            length = np.sqrt((g * g).sum(axis=axes, keepdims=True))
        else:
            length = np.abs(g).mean(axis=axes, keepdims=True)
        step = g / np.where(length > 0, length, 1.0)
        return Move(_clip(z + self.learning_rate * step, bounds), memory)


@dataclass(frozen=True)
class Progress(StepRule):
    """Steps that should raise a probability by a set amount (Nguyen et al. 2015; Yosinski et al. 2015).

    The step is min(max_rate, desired / ||g||^2) * g with desired = min(early, late * (1 - p)): to first
    order p grows by `early` at first, and by a share `late` of what is missing near the end. The objective
    must be a probability.
    """

    early: float = 0.03
    late: float = 0.1
    max_rate: float = 1e12

    def move(
        self, z: Vector, here: Point, evaluate: Callable[[Vector], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        g = here.gradient
        shape = (-1,) + (1,) * (g.ndim - 1)
        desired = np.minimum(self.early, self.late * (1.0 - here.value)).reshape(shape)
        square = (g * g).sum(axis=tuple(range(1, g.ndim)), keepdims=True)
        rate = np.minimum(self.max_rate, desired / np.maximum(square, np.finfo(np.float64).tiny))
        return Move(_clip(z + rate * g, bounds), memory)


@dataclass(frozen=True)
class Adam(StepRule):
    """Adam (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon : float
    restarts : tuple of (int, float)
        At these steps forget the moments and go on with this learning rate.
    """

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    restarts: Tuple[Tuple[int, float], ...] = ()

    def move(
        self, z: Vector, here: Point, evaluate: Callable[[Vector], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        step = memory.get("step", 0)
        rate = memory.get("rate", self.learning_rate)
        zero = np.zeros_like(z)
        mean, square, age = memory.get("mean", zero), memory.get("square", zero), memory.get("age", 0)
        for at, restarted in self.restarts:
            if step == at:
                rate, mean, square, age = restarted, zero, zero, 0
        age += 1
        g = here.gradient
        # In place, in the order of the formulas: half of an iteration on a small network would go into
        # fetching memory for a dozen pictures and giving it back.
        scratch = (1 - self.beta1) * g
        mean = self.beta1 * mean
        mean += scratch
        np.multiply(1 - self.beta2, g, out=scratch)
        scratch *= g
        square = self.beta2 * square
        square += scratch
        np.divide(square, 1 - self.beta2**age, out=scratch)
        np.sqrt(scratch, out=scratch)
        scratch += self.epsilon
        there = mean / (1 - self.beta1**age)
        there *= rate
        there /= scratch
        there += z
        if bounds is not None:
            np.clip(there, *bounds, out=there)
        kept = {"step": step + 1, "rate": rate, "age": age, "mean": mean, "square": square}
        return Move(there, kept)


@dataclass(frozen=True)
class LBFGS(StepRule):
    """Limited-memory BFGS inside a box: two-metric projection (Gafni & Bertsekas 1984) and an Armijo search.

    Each step takes SciPy's L-BFGS product over the variables that are free to move (not pressed against a
    bound), and halves the step along the projected arc until the value has risen enough. Values therefore
    rise strictly; when no step does, the memory is dropped, and when the bare gradient does not climb
    either, the run has stalled: it stands at a maximum, up to the rounding of float32 activations.

    Parameters
    ----------
    history : int
        How many pairs of steps and gradient changes are kept.
    first_step : float
        Root mean square of the very first step, in units of the variable, while nothing is known of the
        curvature.
    """

    history: int = 10
    first_step: float = 0.01

    repeatable_only = True
    ARMIJO = 1e-4
    TRIALS = 20

    def move(
        self, z: Vector, here: Point, evaluate: Callable[[Vector], Point], memory: Memory, bounds: Bounds
    ) -> Move:
        if len(z) != 1:
            raise ValueError(f"L-BFGS takes one picture at a time, not {len(z)}: use Adam for a batch")
        for pairs in ([memory] if memory else []) + [{}]:
            ascent = self._direction(z, here.gradient, pairs, bounds)
            found = self._search(z, here, ascent, evaluate, bounds)
            if found is not None:
                there, point = found
                kept = self._remember(pairs, there - z, here.gradient - point.gradient)
                return Move(there, kept)
        return Move(z, {}, stalled=True)

    def _direction(self, z: Vector, g: Vector, pairs: Memory, bounds: Bounds) -> Vector:
        from scipy.optimize import LbfgsInvHessProduct

        free = _free(z, g, bounds)
        uphill = np.asarray(np.where(free, g, 0.0))
        if not pairs:
            rms = np.sqrt(np.mean(uphill**2))
            return uphill * (self.first_step / rms if rms > 0 else 0.0)
        mask = free.reshape(1, -1)
        s, y = pairs["s"] * mask, pairs["y"] * mask
        curvature = np.einsum("ij,ij->i", s, y)
        usable = curvature > 1e-10 * np.einsum("ij,ij->i", y, y)
        if not usable.any():
            return self._direction(z, g, {}, bounds)
        s, y, curvature = s[usable], y[usable], curvature[usable]
        # SciPy's product starts from the identity; starting from gamma * I (Nocedal & Wright, eq. 7.20) is
        # the same as gamma times the product made of the pairs s and gamma * y.
        gamma = curvature[-1] / (y[-1] @ y[-1])
        product = gamma * LbfgsInvHessProduct(s, gamma * y).matvec(uphill.ravel())
        direction = np.where(free, product.reshape(z.shape), 0.0)
        return direction if (direction * uphill).sum() > 0 else self._direction(z, g, {}, bounds)

    def _search(
        self, z: Vector, here: Point, ascent: Vector, evaluate: Callable[[Vector], Point], bounds: Bounds
    ) -> Optional[Tuple[Vector, Point]]:
        length = 1.0
        for _ in range(self.TRIALS):
            there = _clip(z + length * ascent, bounds)
            promised = float((here.gradient * (there - z)).sum())
            if promised <= 0:
                return None
            point = evaluate(there)
            risen = float(point.value[0] - here.value[0])
            if np.isfinite(risen) and risen >= self.ARMIJO * promised and np.isfinite(point.gradient).all():
                return there, point
            # The parabola through both values and the slope has its top here; stay within a tenth and a half.
            top = 0.5 * promised / (promised - risen) if np.isfinite(risen) else 0.1
            length *= min(max(top, 0.1), 0.5)
        return None

    def _remember(self, pairs: Memory, s: Vector, y: Vector) -> Memory:
        s, y = s.reshape(1, -1), y.reshape(1, -1)
        if float((s * y).sum()) <= 1e-10 * float((y * y).sum()):
            return pairs
        if not pairs:
            return {"s": s, "y": y}
        keep = self.history - 1
        return {
            "s": np.concatenate([pairs["s"][-keep:], s]),
            "y": np.concatenate([pairs["y"][-keep:], y]),
        }


def _clip(z: Vector, bounds: Bounds) -> Vector:
    return z if bounds is None else np.clip(z, *bounds)


def _free(z: Vector, g: Vector, bounds: Bounds) -> NDArray[np.bool_]:
    """Where a step uphill is not stopped at once by a bound."""
    if bounds is None:
        return np.ones(z.shape, dtype=bool)
    low, high = bounds
    return np.asarray(~(((z <= low) & (g < 0)) | ((z >= high) & (g > 0))))
