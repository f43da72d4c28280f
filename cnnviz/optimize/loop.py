"""The one loop that climbs: evaluate, move, again.

`climb` is the loop, a generator that knows nothing of progress bars, stopping or Ctrl-C: those belong to
`cnnviz.optimize.run`, which drives it. All that the next step depends on is in a `LoopState`.
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
from cnnviz.optimize.parametrize import NetworkInput, Parametrization
from cnnviz.optimize.steps import Memory, Numbers, Point, StepRule
from cnnviz.optimize.transforms import LinearMap, Transform
from cnnviz.pictures.arithmetic import Array, all_finite, single
from cnnviz.pictures.feed import Feed, to_pictures

if TYPE_CHECKING:
    from cnnviz.model.gradients import Gradient
    from cnnviz.model.model import Model

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


class NonFiniteError(CnnvizError, ArithmeticError):
    """A run met NaN or infinity; `result` is the `Synthesis` until then, which ends in a finite picture."""

    result: Any = None


@dataclass(frozen=True)
class Problem:
    """What to climb and how: all that stays the same from step to step.

    Attributes
    ----------
    maximize : bool
        Up, or down.
    transform : Transform, optional
        Drawn anew at every step; what comes out is what the network is fed.
    revive : bool
        While the network sends nothing back for a picture, take the redirected gradient instead.
    after : callable (z, steps done, gradient) -> z, optional
        Projections and blurs between steps.
    measure : callable (activations) -> {name: (N,)}, optional
        Facts for the history that are not climbed; it may read the layers that the objective reads. One
        called "value" stands there in place of the objective's.
    done : callable (Step) -> (N,) bool, optional
        Which pictures are finished: they stay as they are, and when all are, the run has converged.
    rank_by : str, optional
        The measure that decides which picture is best, rather than the value.
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

    def __post_init__(self) -> None:
        if self.rule.repeatable_only and self.transform is not None:
            raise ValueError(
                f"{type(self.rule).__name__} evaluates several points in one step and cannot climb under "
                "random transforms: use Adam, or no transforms"
            )

    @cached_property
    def feed(self) -> Feed:
        """The way from planes to the network."""
        return self.model.preprocessing.feed

    @cached_property
    def direct(self) -> bool:
        """Whether the variable is what the network is fed, with nothing in between."""
        return isinstance(self.parametrization, NetworkInput) and self.transform is None

    @cached_property
    def total(self) -> Sum:
        """The objective as a sum, so that its terms can be told apart."""
        return self.objective if isinstance(self.objective, Sum) else Sum([(1.0, self.objective)])

    @cached_property
    def terms(self) -> List[str]:
        """What the terms of the objective are called."""
        return _distinct([term.name for _, term in self.total.terms])


@dataclass(frozen=True)
class LoopState:
    """Where a run stands between two steps."""

    variable: Array
    rng: Mapping[str, Any]  # of a NumPy bit generator, before the draws of the next evaluation
    memory: Memory = field(default_factory=dict)
    steps: int = 0


@dataclass(frozen=True)
class Step:
    """One evaluation, as the loop reports it.

    Attributes
    ----------
    steps : int
        Steps made before it.
    value : ndarray of float64, shape (N,)
        The objective.
    terms, measures : dict of str to ndarray of float64
        Its terms with their weights, and what else was measured.
    planes : ndarray of float32, shape (N, C, H, W)
    done : ndarray of bool, shape (N,), or None
        Which pictures are finished, where the problem says what that is.
    """

    steps: int
    value: Numbers
    terms: Mapping[str, Numbers]
    measures: Mapping[str, Numbers]
    planes: Array
    state: LoopState
    stalled: bool = False
    done: Optional[NDArray[np.bool_]] = None

    @property
    def image(self) -> Array:
        """The pictures as they stand: N,H,W,3 from 0 to 1; without N when there is but one."""
        return squeezed(to_pictures(self.planes))


def climb(problem: Problem, state: LoopState) -> Iterator[Step]:
    """Yield an evaluation, move, and again without end; a step that could not be made is yielded as stalled.

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
        # A line search ends at a point that it has evaluated.
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
    """The objective at one point, before anybody asked whether it is finite."""

    value: Numbers
    gradient: Array
    terms: Mapping[str, Numbers]
    measures: Mapping[str, Numbers]
    planes: Array
    fed: Array

    def check(self, problem: Problem, steps: int) -> None:
        """Raise `NonFiniteError` naming the term and the layer that is to blame."""
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
        """The terms whose cotangents are not all finite: asked again, so that no good step looks at them."""
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
    """Whether the network has sent anything back: `own` is what the objective has for the input itself.

    Both are C,H,W; their middle rows nearly always answer for them. What kernels take for zero in `own` is no
    answer: a denormal number that is missing from their sum.
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
    """The gradient with respect to z; dfed is the network's, which is used up, dimage that of the planes."""
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
    except ValueError as error:  # a model looks for NaN in what it is fed: no need to do so before
        if all_finite(fed):
            raise
        raise NonFiniteError(
            f"the picture holds NaN or infinity: {problem.rule!r} went too far, try a smaller step"
        ) from error


class _Part(NamedTuple):
    """What one evaluation of an objective, perhaps of a part of a batch, left behind, term by term."""

    values: List[Numbers]
    dimage: Optional[Array]  # of an objective that reads the picture
    dinput: Optional[Array]  # of one that reads the network's input


class _Bound(Objective):
    """An objective with the picture bound to it: a model knows its input, not the picture behind it.

    It also keeps the terms apart. A model evaluates large batches in pieces, through `take`; the pieces
    share one list of parts, in order.
    """

    def __init__(self, objective: Sum, names: List[str], planes: Array, parts: List[_Part]) -> None:
        self.objective = objective
        self.names = names
        self.planes = planes
        self.parts = parts
        self.reads_image = IMAGE in self.objective.layers
        # A model must be asked for something: an objective of the picture alone reads the network's input
        # too.
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
        """What the objective adds to the gradient of the network's input, past the network."""
        parts = [part.dinput for part in self.parts if part.dinput is not None]
        return _joined(parts) if parts else None


def generator(state: Mapping[str, Any]) -> np.random.Generator:
    """A generator that goes on from a saved state."""
    bits = np.random.PCG64()
    bits.state = state  # type: ignore[assignment]
    return np.random.Generator(bits)


def squeezed(batch: NDArray[Any]) -> NDArray[Any]:
    """A batch of one as the one."""
    return batch[0] if len(batch) == 1 else batch


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
