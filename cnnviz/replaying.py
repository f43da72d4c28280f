"""Results made again, or continued, from what a file keeps: settings, sources and the checkpoint of a run."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Mapping, Optional, Tuple

from cnnviz.attribution.techniques import TECHNIQUES
from cnnviz.model.model import Model
from cnnviz.optimize.run import Watch
from cnnviz.pictures.kind import Displayed
from cnnviz.results import files, results
from cnnviz.results.files import PathLike
from cnnviz.results.results import Attribution, Result, Synthesis
from cnnviz.synthesis import class_visualization, fooling, style
from cnnviz.synthesis.recipe import ADDED, Recipe, repeat, take_up

#: The function that makes the recipe of each technique that synthesises pictures.
_RECIPES: Mapping[str, Callable[..., Recipe]] = {
    "class_visualization": class_visualization.recipe,
    "fooling_image": fooling.recipe,
    "style_transfer": style.recipe,
}

#: Names of arguments in files of earlier releases, each with the present one.
_RENAMED = {"rule": "relu"}


def replay(path: PathLike, model: Model, *, progress: Optional[bool] = None) -> Result:
    """Make a picture again from the settings in its PNG.

    With the same network and the same release on the same kind of processor it is the same picture, bit for
    bit: the settings hold the seed, and the sources are kept as they were used, with what was given or bound
    to inputs beside the picture.

    Parameters
    ----------
    path : path
        A PNG that ``result.save`` wrote.
    model : Model
        The network that made it; what its inputs beside the picture are bound to gives way to what the file
        keeps of them. One of another name is taken with a warning.
    progress : bool, optional
        Whether to show a progress bar; by default after a second.

    Returns
    -------
    Attribution or Synthesis

    Raises
    ------
    FileNotFoundError
    ValueError
        When the file carries no settings, or they do not suit this network.

    Warns
    -----
    UserWarning
        When the network has another name than the one that made the picture.
    """
    settings, stored = files.read_settings(path)
    model, sources = _as_it_was(model, stored)
    name = settings.get("model")
    if name != model.name:
        warnings.warn(f"{name!r} made this picture, and {model.name!r} makes it again", stacklevel=2)
    method = settings.get("method")
    if method in TECHNIQUES:
        return _attribution(str(method), model, settings, sources)
    try:
        recipe = _recipe(model, settings, sources)
        stage, done = settings["position"]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"path {path!r} has settings that make no picture ({error!r})") from error
    return repeat(recipe, Watch(progress), stage, done)


def load_result(path: PathLike) -> Result:
    """Read back what ``result.save("x.npz")`` wrote.

    A `Synthesis` of a file can be continued with `resume`.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is not one that `save` wrote.
    """
    result = results.load_result(path)
    if isinstance(result, Attribution):
        return result
    return replace(result, run=replace(result.run, continuation=partial(_continued, result)))


def resume(result: Synthesis, model: Model, n: int) -> Synthesis:
    """Continue a run from its result, exactly as if it had never stopped.

    Parameters
    ----------
    result : Synthesis
        In memory, or read by `load_result`: a file does not hold the network.
    model : Model
        The network that made it, bound as for `replay`.
    n : int
        The number of further steps.

    Returns
    -------
    Synthesis

    Raises
    ------
    ValueError
        When the number is negative, or the result holds no checkpoint or no settings.
    """
    run = result.run
    if not run.memory:
        raise ValueError("this result cannot be resumed: it holds no state of a run")
    if not run.settings:
        raise ValueError(
            "this result cannot be resumed from a file: its target was an objective, which is code and is "
            "not stored; call resume(n) on the result itself"
        )
    model, pictures = _as_it_was(model, run.sources)
    return take_up(_recipe(model, run.settings, pictures), run.memory, n)


def _continued(result: Synthesis, n: int, model: Optional[Model]) -> Synthesis:
    """Continue a result from a file: its `Run.continuation`."""
    if model is None:
        raise ValueError(
            "a result from a file does not hold its network: call cnnviz.resume(result, model, n)"
        )
    warnings.warn(
        "resume(n, model) is deprecated: call cnnviz.resume(result, model, n)",
        DeprecationWarning,
        stacklevel=3,
    )
    return resume(result, model, n)


def _as_it_was(model: Model, sources: Mapping[str, Any]) -> Tuple[Model, Mapping[str, Any]]:
    """Return the model bound to what a file keeps of other inputs, and the pictures alone.

    The model is asked about its first output, which settings that name no output are about.
    """
    pictures, inputs = files.parted(sources)
    others = [name for name in model.inputs if name != model.input_name]
    for name in inputs:
        if name not in others:
            raise ValueError(
                f"the result was made with numbers for the input {name!r}, and {model.name} has "
                f"{', '.join(map(repr, others)) or 'none'} beside the picture"
            )
    return model.output(model.outputs[0]).with_bound({**model.bound, **inputs}), pictures


def _recipe(model: Model, settings: Mapping[str, Any], sources: Mapping[str, Any]) -> Recipe:
    method = str(settings.get("method"))
    if method not in _RECIPES:
        raise ValueError(f"{method!r} is no technique that can be taken up; known: {', '.join(_RECIPES)}")
    own = {name: value for name, value in settings.items() if name not in ADDED}
    return _RECIPES[method](model, own, sources)


def _attribution(
    method: str, model: Model, settings: Mapping[str, Any], sources: Mapping[str, Any]
) -> Attribution:
    options = {_RENAMED.get(name, name): value for name, value in settings.items() if name not in ADDED}
    try:
        made: Attribution = TECHNIQUES[method](model, Displayed(sources["image"]), **options)
    except (KeyError, TypeError) as error:
        raise ValueError(f"these settings make no {method} ({error})") from error
    return made
