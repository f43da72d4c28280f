"""The assertion that a model's gradient agrees with finite differences, or with a reference gradient."""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.model import Model
from cnnviz.objectives.base import ClassLike, Objective
from cnnviz.objectives.copies import Copies
from cnnviz.pictures.image import ImageLike

from .evidence import Panel, failure, largest

Array = NDArray[np.float32]


class Slope(NamedTuple):
    """A directional derivative by the gradient and by central differences, and the latter's error bound."""

    gradient: float
    differences: float
    doubt: float

    @property
    def error(self) -> float:
        """Absolute difference of the two derivatives."""
        return abs(self.gradient - self.differences)

    @property
    def excess(self) -> float:
        """The error less the error bound, `doubt`; infinite when one of the numbers is not finite."""
        excess = self.error - self.doubt
        return excess if np.isfinite(excess) else np.inf


def assert_gradient_agrees(
    model: Model,
    image: ImageLike,
    target: Optional[ClassLike] = None,
    *,
    reference: Optional[Callable[[Array], Any]] = None,
    rtol: float = 1e-2,
    directions: int = 8,
    step: float = 1e-2,
    seed: int = 0,
) -> None:
    """Assert that a network's gradient agrees with a reference, or with finite differences.

    Parameters
    ----------
    model : Model
    image : path, PIL image or array H,W,3
    target : int or str, optional
        The class whose pre-softmax score is differentiated; None takes the predicted one.
    reference : callable, optional
        Takes the model's input, 1,C,H,W, and returns the gradient of the score in that shape, as another
        framework computes it. Without it, central differences along random directions are compared.
    rtol : float
        With a reference, the largest ``||ours - reference|| / ||reference||``. Without one, the largest error
        of a directional derivative, relative to the length of the gradient.
    directions, step : int, float
        Number of directions, and the length of the step along them, in units of the network's input. Half of
        the directions are random, half also follow the gradient. When the slope changes with half the step,
        or from one side to the other, the path crosses a kink of a ReLU or of a pooling, and the allowed
        error grows by that change.
    seed : int
        Seed of the random directions, and of the noise that settles ties.

    Notes
    -----
    In areas of one colour a max pool has ties. Each choice among tied places gives a valid gradient, and
    frameworks choose differently, often by rounding; to either side of a tie the slope is another one. So
    where the gradients disagree at the picture itself, they are compared once more with noise of half a grey
    level on it. A wrong gradient is wrong there too. `reference` is called with this input as well.

    Raises
    ------
    AssertionError
        With the numbers, and a picture of both gradients and their difference.
    ValueError
        When the reference returns another shape.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    x = model.preprocess(image)[:1]
    index = model.predicted(x)[0] if target is None else model.class_index(target)
    goal = model.head.asked([index], model.scores(x)).objective
    question = _Question(model, goal, str(model.labels[index]), rtol)
    found: List[_Disagreement] = []
    for point in (x, _without_ties(model, x, seed)):
        if reference is None:
            other = _against_slopes(question, point, directions, step, seed)
        else:
            other = _against_reference(question, point, np.asarray(reference(point), np.float32))
        if other is None:
            return
        found.append(other)
        if not other.finite:
            break
    raise failure("gradient-agrees", "\n  ".join(found[0].lines), found[0].panels)


class _Question(NamedTuple):
    """The score whose gradient is checked, its name, and the allowed error."""

    model: Model
    goal: Objective
    label: str
    rtol: float

    def gradient(self, x: Array) -> Array:
        return self.model.gradient(x, self.goal).gradients["input"]


class _Disagreement(NamedTuple):
    """The lines and the picture of a failure; `finite` where no number is NaN or infinite."""

    lines: List[str]
    panels: List[Panel]
    finite: bool


def _without_ties(model: Model, x: Array, seed: int) -> Array:
    """The input with noise of half a grey level of the picture on it."""
    noise = np.random.default_rng(seed).uniform(-0.5 / 255, 0.5 / 255, x.shape)
    return x + model.preprocessing.scale_gradient(noise.astype(np.float32))


def _against_slopes(
    question: _Question, x: Array, directions: int, step: float, seed: int
) -> Optional[_Disagreement]:
    gradient = question.gradient(x)
    slopes = _slopes(question.model, x, question.goal, gradient, directions, step, seed)
    norm = float(np.linalg.norm(gradient))
    worst = max(slopes, key=lambda slope: slope.excess)
    if worst.excess <= question.rtol * norm:
        return None
    lines = [
        f"the gradient of {question.label!r} is not the slope of the score",
        f"along the worst of {directions} directions: gradient {worst.gradient:.6g}, "
        f"differences {worst.differences:.6g} (good to {worst.doubt:.2g})",
        f"off by {worst.error:.3g}; {question.rtol:g} of the gradient's length {norm:.4g} is allowed",
    ]
    titles = [f"gradient of {question.label}", "slope by gradient", "slope by differences"]
    numbers = np.array([[slope.gradient, slope.differences] for slope in slopes])
    names = tuple(f"direction {i}" for i in range(len(slopes)))
    bars = [Panel(title, numbers[:, i], names) for i, title in enumerate(titles[1:])]
    finite = bool(np.isfinite(worst.excess))
    return _Disagreement(lines, [Panel(titles[0], strongest(gradient[0])), *bars], finite)


def _against_reference(question: _Question, x: Array, theirs: Array) -> Optional[_Disagreement]:
    ours = question.gradient(x)
    if ours.shape != theirs.shape:
        raise ValueError(f"reference returned a gradient of shape {theirs.shape}, the input is {ours.shape}")
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    norm = float(np.linalg.norm(theirs))
    error = float(np.linalg.norm(ours - theirs)) / norm if norm else float(np.linalg.norm(ours))
    if error <= question.rtol:
        return None
    cosine = float(np.vdot(ours, theirs)) / max(norm * float(np.linalg.norm(ours)), 1e-30)
    channel, row, column = np.unravel_index(int(np.abs(ours - theirs).argmax()), ours.shape[1:])
    pair = f"{ours[0, channel, row, column]:.6g} and {theirs[0, channel, row, column]:.6g}"
    lines = [
        f"the gradient of {question.label!r} is not the reference's",
        f"relative L2 {error:.4g}, at most {question.rtol:g} is allowed; cosine {cosine:.6f}",
        f"most at channel {channel}, row {row}, column {column}: {pair}",
    ]
    limit = largest(ours, theirs)
    panels = [Panel("expected: reference", strongest(theirs[0]), limit=limit)]
    panels.append(Panel(f"got: {question.model.name}", strongest(ours[0]), limit=limit))
    panels.append(Panel(f"difference, relative L2 {error:.3g}", strongest((ours - theirs)[0])))
    return _Disagreement(lines, panels, bool(np.isfinite(error)))


def _slopes(
    model: Model, x: Array, goal: Objective, gradient: Array, directions: int, step: float, seed: int
) -> List[Slope]:
    rng = np.random.default_rng(seed)
    length = max(float(np.linalg.norm(gradient)), 1e-30)
    found = []
    for i in range(directions):
        direction = rng.standard_normal(x.shape, dtype=np.float32)
        direction /= np.float32(np.linalg.norm(direction))
        if i % 2:
            direction = direction + gradient / np.float32(length)
            direction /= np.float32(np.linalg.norm(direction))
        coarse, _ = _difference(model, x, goal, direction, step)
        fine, bend = _difference(model, x, goal, direction, step / 2)
        doubt = abs(coarse - fine) + bend + _rounding(model, x) / step
        found.append(Slope(float(np.vdot(gradient, direction)), fine, doubt))
    return found


def _difference(
    model: Model, x: Array, goal: Objective, direction: Array, step: float
) -> Tuple[float, float]:
    """Return the central difference, and the deviation of the one-sided differences from it."""
    points = np.concatenate([x + np.float32(offset) * direction for offset in (-step, 0, step)])
    scores = model.value(points, Copies(goal, 1, 3))
    before, after = np.diff(scores) / step
    return float(after + before) / 2, float(abs(after - before)) / 2


def _rounding(model: Model, x: Array) -> float:
    """A bound of the rounding error of a float32 score."""
    return 8 * float(np.finfo(np.float32).eps) * float(np.abs(model.scores(x)).max())


def strongest(gradient: Array) -> Array:
    """C,H,W -> H,W: at each pixel the largest value of a channel by absolute value, with its sign."""
    channel = np.abs(gradient).argmax(0)
    return np.asarray(np.take_along_axis(gradient, channel[None], 0)[0])
