"""Class model visualization: a picture of a class, made from noise.

Simonyan, Vedaldi & Zisserman 2013, *Deep Inside Convolutional Networks*, section 2, and what was learnt since
about keeping such pictures from turning into noise: jitter and blur (the course cs231n), decay and blur
(Yosinski et al. 2015), and robustness to transformations in a decorrelated Fourier basis (Olah, Mordvintsev &
Schubert 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.checks import checked_count, checked_number
from cnnviz.model.model import Model
from cnnviz.objectives import L2, LOGITS, Objective
from cnnviz.objectives.base import OutputClass
from cnnviz.optimize.loop import Problem
from cnnviz.optimize.parametrize import Fourier, NetworkInput, Parametrization, Pixels
from cnnviz.optimize.run import Stage, Trace, Watch
from cnnviz.optimize.steps import Adam, NormalizedGradient, StepRule
from cnnviz.optimize.transforms import Compose, Crop, Jitter, Pad, Rotate, Scale, Transform, gaussian
from cnnviz.pictures.arithmetic import Array, affine
from cnnviz.pictures.batch import squeezed
from cnnviz.results.results import Synthesis
from cnnviz.synthesis.recipe import (
    Bytes,
    Callback,
    Classes,
    Finished,
    Recipe,
    as_they_are,
    chosen,
    classes_of,
    measure_probability,
    need_pictures,
    synthesize,
)

#: The numbers of each preset; `learning_rate` is in the units of the preset's variable: a spectrum, the
#: network's input, or levels of pixels.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"steps": 256, "learning_rate": 0.05, "l2": 0.0, "jitter": 8, "blur_every": 0, "blur": 0.0},
    "cs231n": {"steps": 100, "learning_rate": 25.0, "l2": 1e-3, "jitter": 16, "blur_every": 10, "blur": 0.5},
    "simonyan": {"steps": 200, "learning_rate": 5.0, "l2": 1e-3, "jitter": 0, "blur_every": 0, "blur": 0.0},
    "yosinski": {"steps": 300, "learning_rate": 10.0, "l2": 1e-4, "jitter": 0, "blur_every": 4, "blur": 1.0},
}
#: Root mean square of the spectrum that "default" starts from (lucid): an almost even grey.
SPECTRUM_NOISE = 0.01
#: lucid's random transforms, whose sizes are in pixels of its networks of 224 x 224.
REFERENCE_SIZE = 224
PADDING = 12
SCALES = tuple(1 + i / 50 for i in range(-5, 6))
DEGREES = tuple(float(d) for d in range(-10, 11)) + 5 * (0.0,)


def class_visualization(
    model: Model,
    target: Union[Classes, OutputClass, Objective],
    *,
    preset: str = "default",
    steps: Optional[int] = None,
    learning_rate: Optional[float] = None,
    l2: Optional[float] = None,
    jitter: Optional[int] = None,
    blur_every: Optional[int] = None,
    blur: Optional[float] = None,
    seed: int = 0,
    progress: Optional[bool] = None,
    callback: Optional[Callback] = None,
    keep_every: int = 0,
) -> Synthesis:
    """Make a picture that maximises the score of a class, or any other objective.

    The objective is S_c(I) - l2 ||I||^2 (Simonyan et al. 2013, eq. 1) with S_c the score before the softmax:
    the probability could also rise by lowering the other classes. While a dead ReLU blocks the whole
    gradient, as where nothing in the picture resembles the class yet, the redirected gradient is taken.

    Parameters
    ----------
    model : Model
    target : int, str, {output: class}, a list of them, or Objective
        A list makes a picture of each class, in one batch, the same picture as alone. The score of a
        segmenter's class is its mean over all places, and its probability the share of the places that it
        wins. An objective of
        `cnnviz.objectives` takes the place of S_c: the activation of a channel, a neuron, a direction or a
        layer. An objective is code, which no file holds: ``settings`` stay empty, and the run can be resumed
        in memory, but neither from a file nor by `cnnviz.replay`.
    preset : {"default", "cs231n", "simonyan", "yosinski"}
        ``"default"``: Fourier basis, decorrelated colours, Adam, and a picture that must survive padding,
        jitter, scaling and rotation at every step (Olah et al. 2017).
        ``"cs231n"``: noise, x += 25 g / ||g||_2, the picture rolled by up to 16 pixels at each step, kept
        within the range of pixels, blurred every 10 steps. Copies of the course differ in whether g is
        normalised; here it is.
        ``"simonyan"``: plain ascent from the mean colour with the L2 penalty alone. The paper does not say
        how it climbs; here x += 5 g / ||g||_2.
        ``"yosinski"``: from noise about the mean, a decay of `l2` per step and a blur every 4 steps: the
        third of the paper's four sets of numbers. The paper's rate belongs to gradients of its own network;
        here a step moves pixels by `learning_rate` levels of 255 in root mean square.
    steps, learning_rate, l2, jitter, blur_every, blur : optional
        Numbers in place of the preset's. `blur` is a standard deviation in pixels, `jitter` is in pixels.
        `l2` weighs the network's input: where that is 0 to 255, 1e-3 can hold a faint score at zero.
    seed : int
        Random seed.
    progress, callback, keep_every
        As in `fooling_image`.

    Returns
    -------
    Synthesis
        ``image`` is H,W,3, for several targets N,H,W,3; a list of one target is that target. ``report`` has
        the label and the ``probability`` that the network gives to the finished picture, each a list for
        several targets (of an objective the label alone); ``history["probability"]`` is that of the
        network's input at each step.

    Raises
    ------
    TypeError, ValueError
        For a class, a preset or a number that does not exist or is out of range.

    Examples
    --------
    The pattern that excites a channel, and the one that excites two channels:

    >>> from cnnviz.objectives import Channel
    >>> cnnviz.class_visualization(model, Channel("fire5/concat", 12))  # doctest: +SKIP
    >>> both = Channel("fire5/concat", 12) + Channel("fire5/concat", 40)
    >>> cnnviz.class_visualization(model, both, steps=512)  # doctest: +SKIP
    """
    model, wanted = model.asked(target)
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    given = {
        "steps": steps,
        "learning_rate": learning_rate,
        "l2": l2,
        "jitter": jitter,
        "blur_every": blur_every,
        "blur": blur,
    }
    numbers = chosen(given, PRESETS[preset])
    settings: Dict[str, Any] = {"preset": preset}
    if not isinstance(target, Objective):
        settings["target"] = list(classes_of(model, wanted)[0])
    settings.update({name: checked_count(name, numbers[name]) for name in ("steps", "jitter", "blur_every")})
    settings.update(
        {name: checked_number(name, numbers[name], 0) for name in ("learning_rate", "l2", "blur")}
    )
    settings["seed"] = checked_count("seed", seed)
    if model.asked_output is not None:
        settings["output"] = model.asked_output
    watch = Watch(progress, callback, checked_count("keep_every", keep_every))
    if isinstance(target, Objective):
        return synthesize(_recipe(model, settings, _of_objective(target)), watch)
    return synthesize(recipe(model, settings, {}), watch)


class _Goal(NamedTuple):
    """The score to climb for a number of pictures, and the report on finished ones, given as planes.

    The probability of `classes` is measured, and decides which picture is best.
    """

    score: Objective
    pictures: int
    report: Callable[[Array], Mapping[str, Any]]
    classes: Sequence[int] = ()


@dataclass(frozen=True)
class _Climb:
    """The objective, the variable and the step rule that a preset makes of its numbers."""

    parametrization: Parametrization
    rule: StepRule
    objective: Objective
    start: Callable[[np.random.Generator], NDArray[Any]]  # one variable, 1,...
    transform: Optional[Transform] = None
    after: Optional[Callable[[Array, int, Array], Array]] = None


def recipe(model: Model, settings: Mapping[str, Any], sources: Mapping[str, Bytes]) -> Recipe:
    """Build the run that settings describe."""
    model = model.output(settings["output"]) if "output" in settings else model
    return _recipe(model, settings, _of_classes(model, settings["target"]))


def _of_classes(model: Model, targets: List[int]) -> _Goal:
    def report(planes: Array) -> Mapping[str, Any]:
        logits = model.forward(model.preprocessing.feed.forward(planes), [LOGITS])[LOGITS]
        p = model.probabilities(logits)[np.arange(len(targets)), targets].tolist()
        labels = [model.labels[i] for i in targets]
        return {"label": squeezed(labels), "probability": squeezed(p)}

    return _Goal(model.head.answer.everywhere(targets), len(targets), report, targets)


def _of_objective(objective: Objective) -> _Goal:
    return _Goal(objective, 1, lambda planes: {"label": repr(objective)})


def _recipe(model: Model, settings: Mapping[str, Any], goal: _Goal) -> Recipe:
    need_pictures(model)
    climb = _CLIMBS[settings["preset"]](model, settings, goal.score)
    problem = Problem(
        model,
        climb.objective,
        climb.parametrization,
        climb.rule,
        transform=climb.transform,
        revive=True,
        after=climb.after,
        measure=measure_probability(model, goal.classes) if goal.classes else None,
        rank_by="probability" if goal.classes else None,
    )

    def start(problem: Problem, planes: Optional[Array], rng: np.random.Generator) -> NDArray[Any]:
        # Every target starts from the same noise, as it would alone.
        return np.repeat(climb.start(rng), goal.pictures, axis=0)

    def finish(trace: Trace) -> Finished:
        plain = as_they_are(trace)
        return Finished(plain.image, plain.best, plain.converged, goal.report(trace.planes))

    stages = [Stage(settings["steps"], lambda: problem, start)]
    return Recipe("class_visualization", model, settings, stages, finish=finish, storable=bool(goal.classes))


def _size(model: Model) -> Any:
    return model.preprocessing.size or (REFERENCE_SIZE, REFERENCE_SIZE)


def _penalised(score: Objective, settings: Mapping[str, Any]) -> Objective:
    return score - settings["l2"] * L2() if settings["l2"] else score


def _default(model: Model, settings: Mapping[str, Any], score: Objective) -> _Climb:
    height, width = _size(model)
    unit = max(height, width) / REFERENCE_SIZE
    parametrization = Fourier((height, width), model.preprocessing.channels)
    transform = Compose(
        (
            Pad(max(1, round(PADDING * unit)), value=0.5),
            Jitter(round(settings["jitter"] * unit)),
            Scale(SCALES),
            Rotate(DEGREES),
            Jitter(round(settings["jitter"] * unit / 2)),
            Crop(height, width),
        )
    )
    return _Climb(
        parametrization,
        Adam(settings["learning_rate"]),
        _penalised(score, settings),
        lambda rng: SPECTRUM_NOISE * rng.normal(size=(1, *parametrization.shape)),
        transform,
        _blurring(parametrization, settings, model),
    )


def _cs231n(model: Model, settings: Mapping[str, Any], score: Objective) -> _Climb:
    parametrization = NetworkInput(model.preprocessing)
    shape = (1, model.preprocessing.channels, *_size(model))
    return _Climb(
        parametrization,
        NormalizedGradient(settings["learning_rate"]),
        _penalised(score, settings),
        lambda rng: rng.normal(size=shape),
        Jitter(settings["jitter"], one_sided=True),
        _blurring(parametrization, settings, model),
    )


def _simonyan(model: Model, settings: Mapping[str, Any], score: Objective) -> _Climb:
    parametrization = NetworkInput(model.preprocessing)
    shape = (1, model.preprocessing.channels, *_size(model))
    return _Climb(
        parametrization,
        NormalizedGradient(settings["learning_rate"]),
        _penalised(score, settings),
        lambda rng: np.zeros(shape),
        Jitter(settings["jitter"]) if settings["jitter"] else None,
        _blurring(parametrization, settings, model),
    )


def _yosinski(model: Model, settings: Mapping[str, Any], score: Objective) -> _Climb:
    """Step by `learning_rate` levels in root mean square: the size of a gradient depends on the network."""
    parametrization = Pixels()
    mean = NetworkInput(model.preprocessing).decode(np.zeros((1, model.preprocessing.channels, 1, 1)))
    blurred = _blurring(parametrization, settings, model)
    size = _size(model)
    length = settings["learning_rate"] / 255 * np.sqrt(mean.shape[1] * size[0] * size[1])
    kept = np.full(mean.shape[1], 1 - settings["l2"], np.float32)

    def after(z: Array, steps: int, gradient: Array) -> Array:
        z = affine(z, kept, (1 - kept) * mean.ravel())
        return z if blurred is None else blurred(z, steps, gradient)

    return _Climb(
        parametrization,
        NormalizedGradient(float(length)),
        score,
        lambda rng: (mean + rng.normal(size=(1, mean.shape[1], *size)) * 10 / 255).clip(0, 1),
        Jitter(settings["jitter"]) if settings["jitter"] else None,
        after,
    )


_CLIMBS: Mapping[str, Callable[[Model, Mapping[str, Any], Objective], _Climb]] = {
    "default": _default,
    "cs231n": _cs231n,
    "simonyan": _simonyan,
    "yosinski": _yosinski,
}


def _blurring(
    parametrization: Parametrization, settings: Mapping[str, Any], model: Model
) -> Optional[Callable[[Array, int, Array], Array]]:
    """Blur the picture after every `blur_every` steps, the first one included."""
    if not settings["blur_every"] or not settings["blur"]:
        return None
    blur = gaussian(_size(model), settings["blur"])

    def after(z: Array, steps: int, gradient: Array) -> Array:
        if steps % settings["blur_every"]:
            return z
        return parametrization.encode(blur.forward(parametrization.decode(z)))

    return after
