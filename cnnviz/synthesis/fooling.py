"""Fooling images: pictures to which a network gives a class that no person would give them.

From a photograph (Szegedy et al. 2013, *Intriguing properties of neural networks*), by the normalised
gradient ascent of the course cs231n; or from noise, by the gradient ascent of Nguyen, Yosinski & Clune 2015,
*Deep Neural Networks are Easily Fooled*.
"""

from __future__ import annotations

import warnings
from typing import Any, Dict, List, Mapping, Optional, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.checks import checked_count, checked_number
from cnnviz.model.model import Model
from cnnviz.objectives import LOGITS, Margin, Objective, Probability
from cnnviz.objectives.base import Activations, Array, OutputClass
from cnnviz.objectives.regions import PlaceLead
from cnnviz.objectives.scores import at_columns, lead
from cnnviz.optimize.loop import Problem, Step
from cnnviz.optimize.parametrize import NetworkInput, Pixels
from cnnviz.optimize.run import Stage, Trace, Watch, as_bytes
from cnnviz.optimize.steps import NormalizedGradient, Numbers, Progress
from cnnviz.pictures.arithmetic import affine
from cnnviz.pictures.batch import listed, squeezed
from cnnviz.pictures.feed import to_pictures
from cnnviz.pictures.image import ImagesLike, as_float
from cnnviz.results.results import Synthesis
from cnnviz.synthesis.recipe import (
    Bytes,
    Callback,
    Classes,
    Finished,
    Recipe,
    chosen,
    classes_of,
    pictures_of,
    planes_of,
    synthesize,
)

#: The L2 length of a step in displayed pixels: about that of cs231n's step of 1 in a network's input whose
#: standard deviation is ImageNet's 0.225.
RATE = 0.25
#: Ours and the published recipes: "cs231n" steps in units of the network's input, the others in pixels.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "margin": {"steps": 300, "learning_rate": RATE, "confidence": 0.0, "decay": 0.0},
    "cs231n": {"steps": 100, "learning_rate": 1.0, "confidence": 0.0, "decay": 0.0},
    "nguyen": {"steps": 300, "learning_rate": 0.03, "confidence": 0.99, "decay": 0.001},
}
#: The share of the missing probability that a step of "nguyen" aims at, once the share is less than the rate.
LATE = 0.1
#: The probability that a picture made from noise must reach by default.
NOISE_CONFIDENCE = 0.99
#: The largest number of steps that raise a score from the zero at which a rectifier holds it.
WAKE = 50


def fooling_image(
    model: Model,
    image: Optional[ImagesLike],
    target: Union[Classes, OutputClass, None] = None,
    *,
    preset: str = "margin",
    confidence: Optional[float] = None,
    margin: Optional[float] = None,
    steps: Optional[int] = None,
    learning_rate: Optional[float] = None,
    decay: Optional[float] = None,
    seed: int = 0,
    progress: Optional[bool] = None,
    callback: Optional[Callback] = None,
    keep_every: int = 0,
) -> Synthesis:
    """Change a picture, as little as gradient ascent needs, until the network calls it `target`.

    The picture that comes out is exact in 8 bits: the run goes on until the *rounded* picture fools the
    network, so the file that ``result.save("x.png")`` writes fools it too (a JPEG changes pixels). Where the
    preprocessing states a range, bytes are read as numbers in it: save ``"x.npz"``, and pass
    ``model.preprocessing.in_units(cnnviz.load_result("x.npz").image)``.
    Every number about pixels is in units of the displayed range, 0 to 1: 8/255 is eight levels.

    Parameters
    ----------
    model : Model
    image : path, PIL image, array H,W,3, a batch of them, or None
        None starts from noise, for pictures that mean nothing to a person.
    target : int, str, {output: class}, or a list for a batch
        The class to reach. None (only with a picture) leaves the predicted class for any other. A segmenter
        is fooled when the class covers more places than any other does; the share of the places that it
        covers, 0 to 1, takes the part of its probability and, for `margin`, of its score.
    preset : {"margin", "cs231n", "nguyen"}
        ``"cs231n"``: x += learning_rate * g / ||g||_2 with g the gradient of the class score and x the
        network's input, kept within the range of pixels; at most 100 steps of 1. Where two classes are alike
        (one terrier and another) both scores rise and the picture never changes sides.
        ``"margin"``: x += learning_rate * g / ||g||_2 with g the gradient of the margin by which the score of
        the target leads all others, and x in displayed pixels; at most 300 steps of 0.25. For a segmenter it
        is the mean of the margins at the places that are not won yet.
        ``"nguyen"``: ascent of the softmax probability p in steps that should raise it by
        min(0.03, 0.1 (1 - p)), and a decay of 0.001 a step towards mid-grey, until p is 0.99; at most 300
        steps. Not for networks that end in a Sigmoid, nor for segmenters.
        "margin" and "nguyen" first raise the score itself while a rectifier holds it at zero.
    confidence : float, optional
        Go on until the probability of the target (as `Model.predict` gives it) is at least this; without a
        target, until that of the original class is at most one minus this. By default 0.99 from noise.
    margin : float, optional
        Go on until the score of the target is ahead of every other by this much.
    steps : int, optional
        The largest number of steps, in place of the preset's.
    learning_rate, decay : float, optional
        Numbers in place of the preset's.
    seed : int
        Random seed of the noise.
    progress : bool, optional
        Whether to show a progress bar; by default after a second.
    callback : callable (Step) -> bool or None, optional
        Called after every evaluation; a true return value ends the run.
    keep_every : int
        Keep every `keep_every`-th picture of the run, for ``result.save("x.gif")``; 0 keeps none.

    Returns
    -------
    Synthesis
        ``report`` has the target, probabilities before and after, whether it ``fools``, and the size of the
        change, ``l2`` and ``linf``, each a list for several pictures. ``converged`` is true when every
        picture fools.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        For an image, a class or a number that does not exist or is out of range, for the class that the
        network sees in the picture as it is, and for a network without classes.

    Warns
    -----
    UserWarning
        When a picture does not fool the network after all steps.
    """
    model, wanted = model.asked(target)
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    given = {"steps": steps, "learning_rate": learning_rate, "confidence": confidence, "decay": decay}
    defaults = {**PRESETS[preset], **({"confidence": NOISE_CONFIDENCE} if image is None else {})}
    numbers = chosen(given, defaults)
    if image is None and wanted is None:
        raise ValueError("target is None: from noise there is no class to leave, name one to reach")
    settings = {
        "preset": preset,
        "target": None if wanted is None else list(classes_of(model, wanted)[0]),
        "steps": checked_count("steps", numbers["steps"]),
        "learning_rate": checked_number("learning_rate", numbers["learning_rate"], 0),
        "confidence": checked_number("confidence", numbers["confidence"], 0, 1),
        "decay": checked_number("decay", numbers["decay"], 0, 1),
        "margin": 0.0 if margin is None else checked_number("margin", margin, 0),
        "seed": checked_count("seed", seed),
        **({} if model.asked_output is None else {"output": model.asked_output}),
    }
    model, image = (model, None) if image is None else model.split(image)
    sources = {} if image is None else {"image": pictures_of(model, image)[0]}
    watch = Watch(progress, callback, checked_count("keep_every", keep_every))
    result = synthesize(recipe(model, settings, sources), watch)
    if not result.converged and not result.interrupted:
        warnings.warn(_shortfall(result), stacklevel=2)
    return result


def recipe(model: Model, settings: Mapping[str, Any], sources: Mapping[str, Bytes]) -> Recipe:
    """Build the run that settings and sources describe."""
    model = model.output(settings["output"]) if "output" in settings else model
    goal = _Goal(model, settings, sources.get("image"))
    preset, rate = settings["preset"], settings["learning_rate"]
    problem = Problem(
        model,
        goal.objective(),
        NetworkInput(model.preprocessing) if preset == "cs231n" else Pixels(),
        Progress(rate, LATE) if preset == "nguyen" else NormalizedGradient(rate),
        revive=True,
        after=goal.decay if settings["decay"] else None,
        measure=goal.measure,
        done=goal.reached,
        rank_by="probability",
    )

    def start(problem: Problem, planes: Optional[Array], rng: np.random.Generator) -> Array:
        return problem.parametrization.encode(goal.first_planes(rng) if planes is None else planes)

    stages = [Stage(settings["steps"], lambda: problem, start)]
    if preset != "cs231n" and not goal.leave:
        stages.insert(0, Stage(WAKE, lambda: _waking(model, goal), start))
    return Recipe("fooling_image", model, settings, stages, sources, goal.finish)


def _waking(model: Model, goal: _Goal) -> Problem:
    """Climb the score itself, whose gradient is redirected while it is dead, until it is alive."""
    return Problem(
        model,
        model.head.answer.everywhere(goal.classes.tolist()),
        Pixels(),
        NormalizedGradient(RATE),
        revive=True,
        measure=goal.measure_with_value,
        done=lambda step: step.value != 0,
        rank_by="probability",
    )


class _Goal:
    """The goal of a fooling run: its classes, its objective, and the test that ends it."""

    def __init__(self, model: Model, settings: Mapping[str, Any], pictures: Optional[Bytes]) -> None:
        self.model = model
        self.settings = settings
        self.targets: List[int] = settings["target"] or []
        self.pictures = pictures
        self.before: Optional[NDArray[np.float64]] = None
        if pictures is not None:
            self.pictures = self._one_each(pictures)
            logits = self._logits(as_float(self.pictures))
            self.before, self.original = model.probabilities(logits), self._highest(logits)
        self.count = len(self.targets) if self.pictures is None else len(self.pictures)
        self.leave = not self.targets
        self.classes = np.array(self.targets if self.targets else self.original)
        self.classes = np.broadcast_to(self.classes, (self.count,))
        if pictures is not None and self.targets:
            self._check_they_differ(batched=len(pictures) > 1)

    def _check_they_differ(self, *, batched: bool) -> None:
        """Raise ValueError for a target that is predicted already; a single class fails at its margin."""
        same = np.flatnonzero(self.classes == self.original).tolist()
        if same and self.model.classes > 1:
            index = int(self.classes[same[0]])
            raise ValueError(
                f"target {index} ({self.model.labels[index]!r}) is what the network sees in "
                f"{f'image[{same[0]}]' if batched else 'the image'} already: name another class"
            )

    def _one_each(self, pictures: Bytes) -> Bytes:
        if len(pictures) == 1 and len(self.targets) > 1:
            return np.repeat(pictures, len(self.targets), axis=0)
        if len(self.targets) > 1 and len(self.targets) != len(pictures):
            raise ValueError(f"target lists {len(self.targets)} classes for {len(pictures)} images")
        return pictures

    def first_planes(self, rng: np.random.Generator) -> Array:
        if self.pictures is not None:
            return planes_of(self.model, self.pictures)
        size = self.model.preprocessing.size or (0, 0)
        noise = rng.uniform(size=(1, self.model.preprocessing.channels, *size))
        # Every class starts from the same noise, as it would alone.
        return np.repeat(noise, self.count, axis=0)

    def objective(self) -> Objective:
        classes = self.classes.tolist()
        if self.settings["preset"] == "nguyen" and self.model.answer != "classes":
            raise ValueError(
                f"preset 'nguyen' climbs the softmax probability, and {self.model.name} "
                + ("classifies places" if self.model.answer == "map" else "ends in a Sigmoid")
            )
        if self.settings["preset"] == "nguyen":
            return 1.0 - Probability(classes) if self.leave else Probability(classes)
        answer = self.model.head.answer
        if self.settings["preset"] == "cs231n" and not self.leave:
            return answer.everywhere(classes)
        if answer.kind == "map":
            return PlaceLead(classes, leave=self.leave, axis=answer.axis, exclusive=answer.exclusive)
        return -Margin(classes) if self.leave else Margin(classes)

    def decay(self, z: Array, steps: int, gradient: Array) -> Array:
        kept = np.full(z.shape[1], 1.0 - self.settings["decay"], np.float32)
        return affine(z, kept, 0.5 * (1.0 - kept))

    def measure(self, activations: Activations) -> Mapping[str, Numbers]:
        """Measure probability and lead of the target; without a target, those of all other classes."""
        logits = activations[LOGITS]
        rows = self.model.head.answer.rows(logits)
        sure = at_columns(self.model.probabilities(logits), self.classes)
        ahead, _ = lead(rows, self.classes)
        return {
            "probability": 1.0 - sure if self.leave else sure,
            "margin": -ahead if self.leave else ahead,
        }

    def measure_with_value(self, activations: Activations) -> Mapping[str, Numbers]:
        """Measure the same, with the value of the objective that the next stage climbs."""
        value, _ = self.objective().evaluate(activations)
        return {**self.measure(activations), "value": value}

    def reached(self, step: Step) -> NDArray[np.bool_]:
        """Tell which pictures fool the network, before and after they are rounded to 8 bits."""
        likely = self._fools(step.measures)
        return likely & self._fools(self._look(step.planes)) if any(likely.tolist()) else likely

    def finish(self, trace: Trace) -> Finished:
        pictures = _rounded(trace.planes)
        logits = self._logits(pictures)
        fools = self._fools(self.measure({LOGITS: logits}))
        report = {**self._names(logits, fools), **self._sizes(pictures)}
        return Finished(pictures, _rounded(trace.best), bool(fools.all()), report)

    def _fools(self, measures: Mapping[str, Numbers]) -> NDArray[np.bool_]:
        sure, ahead = measures["probability"], measures["margin"]
        margin = self.settings["margin"]
        leads = ahead >= margin if margin > 0 else ahead > 0
        return np.asarray((sure >= self.settings["confidence"]) & leads)

    def _look(self, planes: Array) -> Mapping[str, Numbers]:
        return self.measure({LOGITS: self._logits(_rounded(planes))})

    def _logits(self, pictures: Array) -> Array:
        """Return the logits of pictures, bit for bit those of the same pictures from a file."""
        logits: Array = self.model.forward(self.model.preprocessing.normalise(pictures), [LOGITS])[LOGITS]
        return logits

    def _names(self, logits: Array, fools: NDArray[np.bool_]) -> Dict[str, Any]:
        rows = np.arange(self.count)
        after, predicted = self.model.probabilities(logits), self._highest(logits)
        named: Dict[str, List[Any]] = {
            "fools": fools.tolist(),
            "predicted": predicted.tolist(),
            "predicted_label": [self.model.labels[i] for i in predicted],
            "confidence": after[rows, predicted].tolist(),
        }
        if self.targets:
            named["target"] = self.classes.tolist()
            named["target_label"] = [self.model.labels[i] for i in self.classes]
            named["target_confidence"] = after[rows, self.classes].tolist()
        if self.before is not None:
            named["original"] = self.original.tolist()
            named["original_label"] = [self.model.labels[i] for i in self.original]
            named["original_confidence"] = self.before[rows, self.original].tolist()
            named["original_confidence_after"] = after[rows, self.original].tolist()
        return {name: squeezed(values) for name, values in named.items()}

    def _highest(self, logits: Array) -> NDArray[np.int64]:
        """Return the class with the highest score: probabilities of several may all be 1 to the last bit."""
        return self.model.head.answer.rows(logits).argmax(axis=1)

    def _sizes(self, pictures: NDArray[np.float32]) -> Dict[str, Any]:
        """Measure the change of the pictures, in units of the displayed range."""
        if self.pictures is None:
            return {}
        original = to_pictures(planes_of(self.model, self.pictures))
        change = pictures.astype(np.float64) - original
        l2 = np.sqrt((change**2).sum(axis=(1, 2, 3))).tolist()
        linf = np.abs(change).max(axis=(1, 2, 3)).tolist()
        return {"l2": squeezed(l2), "linf": squeezed(linf)}


def _rounded(planes: Array) -> Array:
    """Turn planes into the pictures that an 8-bit file holds, divided in float32 as reading it does."""
    return as_float(as_bytes(to_pictures(planes)))


def _shortfall(result: Synthesis) -> str:
    report = result.report
    fools = listed(report["fools"])
    failed = [i for i, fooled in enumerate(fools) if not fooled]
    which = f"pictures {failed} do" if len(fools) > 1 else "the picture does"
    steps = len(result.history["value"]) - 1
    return (
        f"after {steps} steps {which} not fool the network once rounded to 8 bits; "
        "go on with result.resume(n), or lower confidence= or margin="
    )
