"""Recipes, of which every synthesis technique makes one: a recipe runs, and its trace becomes a `Synthesis`.

A recipe follows from settings (numbers and names that fit into JSON) and sources (pictures in 8 bits, and the
numbers that the model's inputs beside the picture are bound to) alone: from both and the model,
`cnnviz.replay` makes the same picture again.
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
from cnnviz.pictures.arrays import plain_targets
from cnnviz.pictures.batch import squeezed
from cnnviz.pictures.feed import to_pictures
from cnnviz.pictures.image import ImagesLike, as_float
from cnnviz.results.files import beside
from cnnviz.results.results import Run, Synthesis

Bytes = NDArray[np.uint8]
Callback = Callable[[Step], Optional[bool]]
Classes = Union[ClassLike, ClassesLike]

#: The names in a result's settings that are not settings of its recipe.
ADDED = ("method", "model", "version", "position")


@dataclass(frozen=True)
class Finished:
    """The pictures N,H,W,3 of a trace, and the report on them."""

    image: Array
    best: Array
    converged: bool
    report: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return one_line(self)


@dataclass(frozen=True)
class Recipe:
    """The decisions of a technique before the first step.

    Attributes
    ----------
    settings : dict
        Numbers and names that fit into JSON: with `sources`, they make the picture again.
    stages : sequence of Stage
    finish : callable (Trace) -> Finished, optional
        Makes the pictures and the report; by default the last and the best planes are the pictures.
    storable : bool
        Whether settings and sources describe the whole run; an objective is code, which no file holds.
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
        """Return the number of steps of the first `stages` stages together, by default of all stages."""
        return sum(stage.steps for stage in self.stages[:stages])


def synthesize(recipe: Recipe, watch: Watch) -> Synthesis:
    """Run a recipe from its seed."""
    return _go_on(recipe, watch, begin(recipe.stages, recipe.settings["seed"]), recipe.steps())


def repeat(recipe: Recipe, watch: Watch, stage: int, done: int) -> Synthesis:
    """Run a recipe from its seed to an earlier end: after `done` steps of the stage numbered `stage`."""
    start = begin(recipe.stages, recipe.settings["seed"])
    return _go_on(recipe, watch, start, recipe.steps(stage) + done, stages=stage + 1)


def take_up(recipe: Recipe, memory: Mapping[str, NDArray[Any]], steps: int) -> Synthesis:
    """Continue a run whose checkpoint was saved."""
    watch = Watch(keep_every=int(memory["keep_every"]))
    return _go_on(recipe, watch, unpack(memory), steps)


def _go_on(
    recipe: Recipe, watch: Watch, trace: Trace, steps: int, *, stages: Optional[int] = None
) -> Synthesis:
    count = checked_count("the number of steps", steps)
    try:
        return _synthesis(recipe, watch, advance(recipe.stages[:stages], trace, count, watch))
    except NonFiniteError as error:
        error.result = _synthesis(recipe, watch, error.result)
        raise


def _continue(recipe: Recipe, watch: Watch, trace: Trace, steps: int, _: Any) -> Synthesis:
    """Continue a run in memory, whose recipe has the model: its `Run.continuation`."""
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
            sources={**recipe.sources, **beside(recipe.model.bound)},
            memory={**pack(trace), "keep_every": np.array(watch.keep_every)},
            continuation=partial(_continue, recipe, watch, trace),
        ),
    )


def _stored(recipe: Recipe, trace: Trace) -> Dict[str, Any]:
    """Return the settings for a file; none where they could not make the picture again."""
    if not recipe.storable:
        return {}
    made_by = {"method": recipe.method, "model": recipe.model.name, "version": __version__}
    return {**made_by, "position": [trace.stage, trace.done], **recipe.settings}


def as_they_are(trace: Trace) -> Finished:
    """Return the last and the best pictures, unprocessed."""
    return Finished(to_pictures(trace.planes), to_pictures(trace.best), trace.converged)


def need_pictures(model: Model) -> None:
    """Raise ValueError for a network of signals or volumes: pictures are made for networks of pictures."""
    kind = {1: "signals", 3: "volumes"}.get(model.preprocessing.axes)
    if kind is not None:
        raise ValueError(f"pictures are made for networks of pictures, and {model.name} takes {kind}")


def classes_of(model: Model, target: Classes) -> Tuple[Tuple[int, ...], bool]:
    """Return class indices, and whether a list of them was given.

    Raises
    ------
    TypeError, ValueError
        For a class that does not exist, and for a network without classes.
    """
    need_pictures(model)
    model.need_classes()
    target = plain_targets(target)
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
    need_pictures(model)
    fed = model.preprocessing.feed_of(image, name)
    size = model.preprocessing.size
    if fed.pictures.shape[1:3] != size:  # an input that is preprocessed already may have any
        raise ValueError(
            f"{name} is an input of size {fed.pictures.shape[1:3]}, the model's pictures have {size}"
        )
    return as_bytes(fed.pictures), fed.many


def planes_of(model: Model, pictures: Bytes) -> Array:
    """Turn pictures in 8 bits into planes."""
    return model.preprocessing.planes(as_float(pictures))


def measure_probability(
    model: Model, classes: Sequence[int]
) -> Callable[[Activations], Mapping[str, Numbers]]:
    """Return a measure for the history: the probability of each picture's class."""
    columns = np.asarray(classes)

    def measure(activations: Activations) -> Dict[str, Numbers]:
        return {"probability": at_columns(model.probabilities(activations[LOGITS]), columns)}

    return measure


def chosen(given: Mapping[str, Any], preset: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the numbers that the caller gave, the preset's in place of None."""
    return {name: preset[name] if value is None else value for name, value in given.items()}
