"""The optimisation loop: evaluate the objective, make one step of gradient ascent, repeat.

`climb` is the loop: a generator without progress bars, stopping or Ctrl-C, which `cnnviz.optimize.run` adds.
Everything that the next step depends on is in a `LoopState`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import CnnvizError
from cnnviz.objectives import IMAGE, INPUT, Objective, Sum
from cnnviz.objectives.base import Activations, ValueAndCotangents, scaled
from cnnviz.one_line import one_line
from cnnviz.optimize.parametrize import NetworkInput, Parametrization
from cnnviz.optimize.steps import Memory, Numbers, Point, StepRule
from cnnviz.optimize.transforms import LinearMap, Transform
from cnnviz.pictures.arithmetic import Array, all_finite, single
from cnnviz.pictures.batch import squeezed
from cnnviz.pictures.feed import Feed, to_pictures

if TYPE_CHECKING:
    from cnnviz.model.gradients import Gradient
    from cnnviz.model.model import Model

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


class NonFiniteError(CnnvizError, ArithmeticError):
    """Raised when a run meets NaN or infinity; `result` is its `Synthesis` up to the last finite picture."""

    result: Any = None


@dataclass(frozen=True)
class Problem:
    """An objective, the model that it reads, and how to climb it: all that stays the same from step to step.

    Attributes
    ----------
    maximize : bool
        Whether the objective is maximised or minimised.
    transform : Transform, optional
        The random map from the picture to the network's input, drawn anew at every step.
    revive : bool
        Whether a picture whose gradient through the network is zero gets that of the ReLU rule
        "redirected" instead.
    after : callable (z, steps done, gradient) -> z, optional
        A projection or a blur of the variable after each step.
    measure : callable (activations) -> {name: (N,)}, optional
        Numbers for the history beside the objective, from the layers that the objective reads. One named
        "value" replaces the objective's value in the history.
    done : callable (Step) -> (N,) bool, optional
        Tells which pictures are finished: they no longer change, and when all are, the run has converged.
    rank_by : str, optional
        Name of the measure that ranks pictures; by default the objective's value does.
    """

    model: Model
    objective: Objective
    parametrization: Parametrization
    rule: StepRule
    maximize: bool = True
    transform: Optional[Transform] = None
    relu: str = "plain"
    revive: bool = False
    after: Optional[Callable[[Array, int, Array], Array]] = None
    measure: Optional[Callable[[Activations], Mapping[str, Numbers]]] = None
    done: Optional[Callable[[Step], NDArray[np.bool_]]] = None
    rank_by: Optional[str] = None

    def __repr__(self) -> str:
        return one_line(self)

    def __post_init__(self) -> None:
        if self.rule.repeatable_only and self.transform is not None:
            raise ValueError(
                f"{type(self.rule).__name__} evaluates several points in one step and cannot climb under "
                "random transforms: use Adam, or no transforms"
            )

    @cached_property
    def feed(self) -> Feed:
        """The map from planes to the network's input."""
        return self.model.preprocessing.feed

    @cached_property
    def direct(self) -> bool:
        """Whether the variable itself is the network's input, without a feed or a transform in between."""
        return isinstance(self.parametrization, NetworkInput) and self.transform is None

    @cached_property
    def total(self) -> Sum:
        """The objective as a sum, so that the history can list its terms."""
        return self.objective if isinstance(self.objective, Sum) else Sum([(1.0, self.objective)])

    @cached_property
    def terms(self) -> List[str]:
        """The names of the objective's terms, each of them once."""
        return _distinct([term.name for _, term in self.total.terms])


@dataclass(frozen=True)
class LoopState:
    """The variable, the random generator, the step rule's memory and the step count between two steps."""

    variable: Array
    rng: Mapping[str, Any]  # state of NumPy's bit generator before the next evaluation's draws
    memory: Memory = field(default_factory=dict)
    steps: int = 0

    def __repr__(self) -> str:
        return one_line(self)


@dataclass(frozen=True)
class Step:
    """One evaluation, as the loop reports it.

    Attributes
    ----------
    steps : int
        Number of steps made before this evaluation.
    value : ndarray of float64, shape (N,)
        The objective's value for each picture.
    terms, measures : dict of str to ndarray of float64
        The objective's weighted terms, and the results of the problem's `measure`.
    planes : ndarray of float32, shape (N, C, H, W)
        The pictures, 0 to 1.
    stalled : bool
        Whether the step rule found no way up from here.
    done : ndarray of bool, shape (N,), or None
        Which pictures are finished; None for a problem without `done`.
    """

    steps: int
    value: Numbers
    terms: Mapping[str, Numbers]
    measures: Mapping[str, Numbers]
    planes: Array
    state: LoopState
    stalled: bool = False
    done: Optional[NDArray[np.bool_]] = None

    def __repr__(self) -> str:
        return one_line(self)

    @property
    def image(self) -> Array:
        """The current pictures, 0 to 1: N,H,W,3, or H,W,3 for a batch of one."""
        return squeezed(to_pictures(self.planes))


def climb(problem: Problem, state: LoopState) -> Iterator[Step]:
    """Yield an evaluation and make a step, without end; a rule that finds no way up yields it as stalled.

    Raises
    ------
    NonFiniteError
    """
    rng = generator(state.rng)

    def uphill(found: Evaluated) -> Point:
        if problem.maximize:
            return Point(found.value, found.gradient)
        return Point(-found.value, -found.gradient)

    tried: List[Tuple[Array, Evaluated]] = []

    def repeated(z: Array) -> Point:
        tried[:] = [(z, evaluate(problem, z, rng))]
        return uphill(tried[0][1])

    while True:
        # A line search has already evaluated the point that it ends at.
        known = [found for z, found in tried if z is state.variable]
        here = known[0] if known else evaluate(problem, state.variable, rng)
        here.check(problem, state.steps)
        step = Step(state.steps, here.value, here.terms, here.measures, here.planes, state)
        if problem.done is not None:
            step = replace(step, done=problem.done(step))
        yield step
        point = uphill(here)
        bounds = problem.parametrization.bounds
        z, memory, stalled = problem.rule.move(state.variable, point, repeated, state.memory, bounds)
        if stalled:
            yield replace(step, stalled=True)
        if problem.after is not None:
            z = problem.after(z, state.steps, point.gradient)
        if step.done is not None and any(step.done.tolist()):
            z = np.where(step.done.reshape((-1,) + (1,) * (z.ndim - 1)), state.variable, z)
        drawn = state.rng if problem.transform is None else rng.bit_generator.state
        state = LoopState(single(z), drawn, memory, state.steps + 1)


class Evaluated(NamedTuple):
    """The objective's value and gradient at one point, not yet checked for NaN."""

    value: Numbers
    gradient: Array
    terms: Mapping[str, Numbers]
    measures: Mapping[str, Numbers]
    planes: Array
    fed: Array

    def __repr__(self) -> str:
        return one_line(self)

    def check(self, problem: Problem, steps: int) -> None:
        """Raise `NonFiniteError`, naming the term and the first layer that hold NaN or infinity."""
        if all(map(math.isfinite, self.value.tolist())) and all_finite(self.gradient):
            return
        layers = list(problem.model.layers)
        read = [name for name in problem.total.layers if name not in (INPUT, IMAGE)]
        outputs = problem.model.forward(self.fed, list(dict.fromkeys([*layers, *read])))
        bad = [name for name, value in self.terms.items() if not np.isfinite(value).all()]
        bad = bad or self._ill({**outputs, INPUT: self.fed, IMAGE: self.planes}, problem)
        culprit = f"the term {bad[0]}" if bad else "the gradient through the network"
        first = next((name for name in layers if not np.isfinite(outputs[name]).all()), None)
        where = (
            f"; layer {first!r} is the first to hold NaN or infinity" if first else "; every layer is finite"
        )
        raise NonFiniteError(f"after {steps} steps {culprit} is not finite{where}")

    @staticmethod
    def _ill(activations: Activations, problem: Problem) -> List[str]:
        """The terms whose cotangents hold NaN or infinity; only a failed step evaluates the terms again."""
        evaluated = (
            (name, term.evaluate(activations)) for name, (_, term) in zip(problem.terms, problem.total.terms)
        )
        return [name for name, (_, cotangents) in evaluated if not all(map(all_finite, cotangents.values()))]


def evaluate(problem: Problem, z: Array, rng: np.random.Generator) -> Evaluated:
    """Evaluate the objective and its gradient with respect to z, for a transform drawn from `rng`."""
    planes = problem.parametrization.decode(z)
    size = (planes.shape[2], planes.shape[3])
    drawn = LinearMap() if problem.transform is None else problem.transform.draw(rng, size)
    fed = single(z) if problem.direct else problem.feed.forward(drawn.forward(planes))
    bound, found = _differentiate(problem, fed, planes, problem.relu)
    dfed = found.gradients[INPUT]
    if problem.revive:
        own = bound.dinput()
        alive = list(map(_alive, dfed, [None] * len(dfed) if own is None else own))
        if not all(alive):
            _, revived = _differentiate(problem, fed, planes, "redirected")
            dfed = np.where(np.reshape(alive, (-1, 1, 1, 1)), dfed, revived.gradients[INPUT])
    dimage = bound.dimage() if bound.reads_image else None
    return Evaluated(
        found.value,
        _back(problem, z, planes, drawn, dfed, dimage),
        bound.terms(),
        {} if problem.measure is None else dict(problem.measure(found.activations)),
        planes,
        fed,
    )


def _alive(gradient: Array, own: Optional[Array]) -> bool:
    """Whether the network contributes to the gradient of one picture, C,H,W.

    `own` is the objective's direct gradient with respect to the network's input, a penalty's for example.
    Differences below the smallest normal float32 do not count: kernels flush denormals to zero. The middle
    rows are compared first, because they nearly always decide.
    """
    middle = gradient.shape[1] // 2
    if own is None:
        return bool(np.count_nonzero(gradient[:, middle]) or gradient.any())
    return _differ(gradient[:, middle], own[:, middle]) or _differ(gradient, own)


def _differ(a: Array, b: Array) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return not bool((np.abs(a - b) < _SMALLEST_NORMAL).all())


def _back(
    problem: Problem, z: Array, planes: Array, drawn: LinearMap, dfed: Array, dimage: Optional[Array]
) -> Array:
    """The gradient with respect to z, from that of the input, `dfed` (overwritten), and of the planes."""
    if problem.direct:
        return dfed if dimage is None else dfed + problem.parametrization.adjoint(z, dimage, planes)
    dplanes = drawn.adjoint(problem.feed.adjoint(dfed, overwrite=True))
    if dimage is not None:
        dplanes += dimage
    return problem.parametrization.adjoint(z, dplanes, planes)


def _differentiate(problem: Problem, fed: Array, planes: Array, relu: str) -> Tuple[_Bound, Gradient]:
    bound = _Bound(problem.total, problem.terms, planes, [])
    try:
        return bound, problem.model.gradient(fed, bound, wrt=INPUT, relu=relu)
    except ValueError as error:  # the model checks its input for NaN, so the loop does not
        if all_finite(fed):
            raise
        raise NonFiniteError(
            f"the picture holds NaN or infinity: {problem.rule!r} went too far, try a smaller step"
        ) from error


class _Part(NamedTuple):
    """Term values and direct gradients of one evaluation, which may cover only some images of a batch."""

    values: List[Numbers]
    dimage: Optional[Array]  # gradient of the picture's planes, when the objective reads them
    dinput: Optional[Array]  # gradient of the network's input past the network, when the objective reads it

    def __repr__(self) -> str:
        return one_line(self)


class _Bound(Objective):
    """An objective with the picture's planes bound to it, because a model only knows the network's input.

    The binding also records the value of each term. A model evaluates large batches in pieces, through
    `take`; all pieces append to one list of parts, in order.
    """

    def __init__(self, objective: Sum, names: List[str], planes: Array, parts: List[_Part]) -> None:
        self.objective = objective
        self.names = names
        self.planes = planes
        self.parts = parts
        self.reads_image = IMAGE in self.objective.layers
        # A model needs a layer to read: an objective of the picture alone names the network's input.
        self.layers = tuple(layer for layer in self.objective.layers if layer != IMAGE) or (INPUT,)

    def check_batch(self, batch: int) -> None:
        self.objective.check_batch(batch)

    def take(self, start: int, stop: int) -> _Bound:
        return _Bound(self.objective.take(start, stop), self.names, self.planes[start:stop], self.parts)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        known = {**activations, IMAGE: self.planes} if self.reads_image else activations
        evaluated = [(weight, term.evaluate(known)) for weight, term in self.objective.terms]
        value, total = self.objective.combine(evaluated)
        dimage = total.pop(IMAGE, None)
        if not total:
            total = {INPUT: np.zeros_like(activations[INPUT])}
        values = [scaled(weight, result[0]) for weight, result in evaluated]
        self.parts.append(_Part(values, dimage, total.get(INPUT)))
        return value, total

    def terms(self) -> Dict[str, Numbers]:
        series = zip(*(part.values for part in self.parts))
        return {name: _joined(values) for name, values in zip(self.names, series)}

    def dimage(self) -> Array:
        return _joined([part.dimage for part in self.parts if part.dimage is not None])

    def dinput(self) -> Optional[Array]:
        """The objective's direct gradient with respect to the network's input, past the network."""
        parts = [part.dinput for part in self.parts if part.dinput is not None]
        return _joined(parts) if parts else None


def generator(state: Mapping[str, Any]) -> np.random.Generator:
    """Return a generator that continues from a saved state of its bit generator."""
    bits = np.random.PCG64()
    bits.state = state  # type: ignore[assignment]
    return np.random.Generator(bits)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _distinct(names: Sequence[str]) -> List[str]:
    """Number names that occur again: two styles on one layer are two terms."""
    seen: Dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return out
