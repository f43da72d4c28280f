"""What the techniques that make pictures share: a recipe goes in, runs, and comes out as a `Synthesis`.

A recipe is made of settings (numbers and names that fit into JSON) and sources (pictures in 8 bits), and of
nothing else: whoever has both, and the model, can make the same picture again. `cnnviz.replay` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz._version import __version__
from cnnviz.checks import checked_count as checked_count
from cnnviz.checks import checked_number as checked_number
from cnnviz.model.model import Model
from cnnviz.objectives import LOGITS
from cnnviz.objectives.base import Activations, Array, ClassesLike, ClassLike
from cnnviz.objectives.scores import at_columns
from cnnviz.one_line import one_line
from cnnviz.optimize.loop import NonFiniteError, Step
from cnnviz.optimize.run import Stage, Trace, Watch, advance, as_bytes, begin, pack, unpack
from cnnviz.optimize.steps import Numbers
from cnnviz.pictures.batch import squeezed
from cnnviz.pictures.feed import to_pictures
from cnnviz.pictures.image import ImagesLike, as_float, read_images
from cnnviz.results.results import Run, Synthesis

Bytes = NDArray[np.uint8]
Callback = Callable[[Step], Optional[bool]]
Classes = Union[ClassLike, ClassesLike]

#: What a result's settings say beside those of its recipe.
ADDED = ("method", "model", "version", "position")


@dataclass(frozen=True)
class Finished:
    """A trace made presentable: pictures N,H,W,3, and what there is to say about them."""

    image: Array
    best: Array
    converged: bool
    report: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return one_line(self)


@dataclass(frozen=True)
class Recipe:
    """All that a technique decided before the first step.

    Attributes
    ----------
    settings : dict
        What fits into JSON: together with `sources` it makes the picture again.
    stages : sequence of Stage
    finish : callable (Trace) -> Finished, optional
        By default the last planes and the best ones, as they are.
    storable : bool
        Whether settings and sources say all of it; an objective is code, which a file does not hold.
    """

    method: str
    model: Model
    settings: Mapping[str, Any]
    stages: Sequence[Stage]
    sources: Mapping[str, Bytes] = field(default_factory=dict)
    finish: Optional[Callable[[Trace], Finished]] = None
    storable: bool = True

    def __repr__(self) -> str:
        return one_line(self)

    def steps(self, stages: Optional[int] = None) -> int:
        """How many steps the first so many stages have together; all of them when no number is given."""
        return sum(stage.steps for stage in self.stages[:stages])


def synthesize(recipe: Recipe, watch: Watch) -> Synthesis:
    """Run a recipe from its seed."""
    return _go_on(recipe, watch, begin(recipe.stages, recipe.settings["seed"]), recipe.steps())


def repeat(recipe: Recipe, watch: Watch, stage: int, done: int) -> Synthesis:
    """Run a recipe from its seed to a place where it ended before: after so many steps of a stage."""
    start = begin(recipe.stages, recipe.settings["seed"])
    return _go_on(recipe, watch, start, recipe.steps(stage) + done, stages=stage + 1)


def take_up(recipe: Recipe, memory: Mapping[str, NDArray[Any]], steps: int) -> Synthesis:
    """Continue a run whose checkpoint was saved."""
    watch = Watch(keep_every=int(memory["keep_every"]))
    return _go_on(recipe, watch, unpack(memory), steps)


def _go_on(
    recipe: Recipe, watch: Watch, trace: Trace, steps: int, *, stages: Optional[int] = None
) -> Synthesis:
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0:
        raise ValueError(f"the number of steps must be an integer of at least 0, not {steps!r}")
    try:
        return _synthesis(recipe, watch, advance(recipe.stages[:stages], trace, int(steps), watch))
    except NonFiniteError as error:
        error.result = _synthesis(recipe, watch, error.result)
        raise


def _continue(recipe: Recipe, watch: Watch, trace: Trace, steps: int, _: Any) -> Synthesis:
    """`Run.continuation` of a run in memory, which has its model and needs none."""
    return _go_on(recipe, watch, trace, steps)


def _synthesis(recipe: Recipe, watch: Watch, trace: Trace) -> Synthesis:
    finished = as_they_are(trace) if recipe.finish is None else recipe.finish(trace)
    history = {name: squeezed(np.array(series).T).T for name, series in trace.history.items()}
    return Synthesis(
        image=squeezed(finished.image),
        best=squeezed(finished.best),
        history=history,
        method=recipe.method,
        converged=finished.converged,
        interrupted=trace.interrupted,
        report=finished.report,
        run=Run(
            settings=_stored(recipe, trace),
            sources=recipe.sources,
            memory={**pack(trace), "keep_every": np.array(watch.keep_every)},
            continuation=partial(_continue, recipe, watch, trace),
        ),
    )


def _stored(recipe: Recipe, trace: Trace) -> Dict[str, Any]:
    """What a file says of a run; nothing where that could not make it again."""
    if not recipe.storable:
        return {}
    made_by = {"method": recipe.method, "model": recipe.model.name, "version": __version__}
    return {**made_by, "position": [trace.stage, trace.done], **recipe.settings}


def as_they_are(trace: Trace) -> Finished:
    """The last and the best pictures, unprocessed."""
    return Finished(to_pictures(trace.planes), to_pictures(trace.best), trace.converged)


def classes_of(model: Model, target: Classes) -> Tuple[Tuple[int, ...], bool]:
    """Return class indices, and whether a list of them was given."""
    if isinstance(target, (list, tuple, np.ndarray)) and np.ndim(target):
        if len(target) == 0:
            raise ValueError("target is an empty list")
        return tuple(model.class_index(one) for one in target), True
    return (model.class_index(target),), False


def pictures_of(model: Model, image: ImagesLike, name: str = "image") -> Tuple[Bytes, bool]:
    """Fit pictures to the network and round them to 8 bits: N,H,W,3, and whether a batch was given.

    Rounding first means that a run starts from a picture that a file can hold, and that a change to it is a
    change to that file.
    """
    pictures, batched = read_images(image, name)
    return as_bytes(np.stack([model.preprocessing.fit(picture) for picture in pictures])), batched


def planes_of(model: Model, pictures: Bytes) -> Array:
    """Pictures in 8 bits as planes."""
    return model.preprocessing.planes(as_float(pictures))


def measure_probability(
    model: Model, classes: Sequence[int]
) -> Callable[[Activations], Mapping[str, Numbers]]:
    """A measure for the history: the probability of each picture's class."""
    columns = np.asarray(classes)

    def measure(activations: Activations) -> Dict[str, Numbers]:
        return {"probability": at_columns(model.probabilities(activations[LOGITS]), columns)}

    return measure


def chosen(given: Mapping[str, Any], preset: Mapping[str, Any]) -> Dict[str, Any]:
    """A preset with what the caller gave (None: nothing) in its place."""
    return {name: preset[name] if value is None else value for name, value in given.items()}
