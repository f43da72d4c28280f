"""Results made again, or gone on with, from what a file keeps: settings, sources and the state of a run."""

from __future__ import annotations

import importlib
import warnings
from typing import Any, Dict, Mapping, Optional

from cnnviz import files
from cnnviz.methods import recipe as recipes
from cnnviz.model.model import Model
from cnnviz.results import Attribution, PathLike, Result, Synthesis
from cnnviz.run import Watch

#: Where each technique that makes pictures keeps its `recipe`.
_RECIPES = {
    "class_visualization": "cnnviz.methods.class_visualization",
    "fooling_image": "cnnviz.methods.fooling",
    "style_transfer": "cnnviz.methods.style",
}
_ATTRIBUTIONS = {
    "grad_cam": "cnnviz.methods.grad_cam",
    "guided_backprop": "cnnviz.methods.guided_backprop",
    "guided_grad_cam": "cnnviz.methods.guided_backprop",
    "saliency": "cnnviz.methods.saliency",
}


def replay(path: PathLike, model: Model, *, progress: Optional[bool] = None) -> Result:
    """Make a picture again from the settings in its PNG.

    With the same network and the same release on the same kind of processor it is the same picture, bit for
    bit: the settings hold the seed, and the sources are kept as they were used.

    Parameters
    ----------
    path : path
        A PNG that ``result.save`` wrote.
    model : Model
        The network that made it. One of another name is taken with a warning.
    progress : bool, optional
        Whether to show a progress bar; by default once it lasts.

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
    settings, sources = files.read_settings(path)
    name = settings.get("model")
    if name != model.name:
        warnings.warn(f"{name!r} made this picture, and {model.name!r} makes it again", stacklevel=2)
    method = settings.get("method")
    if method in _ATTRIBUTIONS:
        return _attribution(str(method), model, settings, sources)
    try:
        recipe = _recipe(model, settings, sources)
        stage, done = settings["position"]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"path {path!r} has settings that make no picture ({error!r})") from error
    return recipes.repeat(recipe, Watch(progress), stage, done)


def take_up(result: Synthesis, model: Model, steps: int) -> Synthesis:
    """Go on with a result that was loaded from a file."""
    if not result.memory:
        raise ValueError("this result cannot be resumed: it holds no state of a run")
    if not result.settings:
        raise ValueError(
            "this result cannot be resumed from a file: its target was an objective, which is code and is "
            "not stored; call resume(n) on the result itself"
        )
    return recipes.take_up(_recipe(model, result.settings, result.sources), result.memory, steps)


def _recipe(model: Model, settings: Mapping[str, Any], sources: Mapping[str, Any]) -> recipes.Recipe:
    method = settings.get("method")
    if method not in _RECIPES:
        raise ValueError(f"{method!r} is no technique that can be taken up; known: {', '.join(_RECIPES)}")
    own = {name: value for name, value in settings.items() if name not in recipes.ADDED}
    made: recipes.Recipe = importlib.import_module(_RECIPES[method]).recipe(model, own, sources)
    return made


def _attribution(
    method: str, model: Model, settings: Mapping[str, Any], sources: Mapping[str, Any]
) -> Attribution:
    options: Dict[str, Any] = {k: v for k, v in settings.items() if k not in recipes.ADDED}
    function = getattr(importlib.import_module(_ATTRIBUTIONS[method]), method)
    try:
        made: Attribution = function(model, sources["image"], **options)
    except (KeyError, TypeError) as error:
        raise ValueError(f"these settings make no {method} ({error})") from error
    return made
