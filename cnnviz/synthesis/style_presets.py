"""The presets of style transfer: published recipes to the letter, and cnnviz's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from cnnviz.checks import checked_count, checked_number
from cnnviz.model.model import Model
from cnnviz.pictures.arithmetic import Array
from cnnviz.synthesis.style_layers import automatic, torchvision_squeezenet, vgg

Layers = Union[None, Sequence[str], Mapping[str, float]]
Chosen = Tuple[Dict[str, float], Dict[str, float]]


@dataclass(frozen=True)
class Clamp:
    """Limits on the network's input during the first steps, as cs231n has them."""

    most: float
    steps: int

    def limit(self, z: Array) -> Array:
        """Return z within the limits."""
        return np.asarray(np.clip(z, -self.most, self.most))

    def after(self, z: Array, steps: int, gradient: Array) -> Array:
        """Limit z before each of the first `steps` evaluations."""
        return self.limit(z) if steps + 1 < self.steps else z


@dataclass(frozen=True)
class Preset:
    """A recipe of style transfer: the defaults of the options, and the constants that have none.

    Attributes
    ----------
    layers : callable (Model) -> (content layers with weights, style layers with weights)
    units : {"pixels", "input"}
        The units of the variable, and of the total variation.
    content_factor, tv_factor : float
        Constants of the published formulas, 1/2 in places.
    relative : bool
        Whether each layer's loss is taken relative to the mean square of its target.
    listed_weight : float
        The weight of each layer that a caller lists without weights; with 0 they share a weight of 1.
    size, style_size : int
        Pixels of the shorter side of the result and of the styles; a `style_size` of 0 is the result's.
    """

    layers: Callable[[Model], Chosen]
    content_weight: float
    style_weight: float
    tv_weight: float
    steps: int
    size: int
    style_size: int = 0
    optimizer: str = "lbfgs"
    learning_rate: float = 0.02
    restarts: Tuple[Tuple[int, float], ...] = ()
    clamp: Optional[Clamp] = None
    units: str = "input"
    gram: str = "elements"
    style_reduction: str = "mean"
    content_reduction: str = "mean"
    content_factor: float = 1.0
    tv_factor: float = 1.0
    relative: bool = False
    listed_weight: float = 0.0


def _automatic(model: Model) -> Chosen:
    content, style = automatic(model)
    return {content: 1.0}, dict.fromkeys(style, 1.0 / len(style))


def _vgg(weight: float) -> Callable[[Model], Chosen]:
    def layers(model: Model) -> Chosen:
        style = vgg(model, [f"relu{block}_1" for block in range(1, 6)])
        return dict.fromkeys(vgg(model, ["relu4_2"]), 1.0), dict.fromkeys(style, weight)

    return layers


def _cs231n(content_weight: float, weights: Sequence[float], tv_weight: float, style_size: int) -> Preset:
    def layers(model: Model) -> Chosen:
        style = torchvision_squeezenet(model, (1, 4, 6, 7))
        return dict.fromkeys(torchvision_squeezenet(model, (3,)), 1.0), dict(zip(style, weights))

    return Preset(
        layers,
        content_weight,
        1.0,
        tv_weight,
        steps=200,
        size=192,
        style_size=style_size,
        optimizer="adam",
        learning_rate=3.0,
        restarts=((180, 0.1),),
        clamp=Clamp(1.5, 190),
        style_reduction="sum",
        content_reduction="sum",
    )


PRESETS: Mapping[str, Preset] = {
    "default": Preset(
        _automatic,
        content_weight=1.0,
        style_weight=20.0,
        tv_weight=1.0,
        steps=200,
        size=512,
        units="pixels",
        relative=True,
    ),
    # Equations 1, 4, 5 and 7: halves of sums, w_l = 1/5, alpha / beta = 1e-3; there is no total variation.
    "gatys": Preset(
        _vgg(0.2),
        content_weight=1.0,
        style_weight=1e3,
        tv_weight=0.0,
        steps=1000,
        size=512,
        gram="none",
        style_reduction="gatys",
        content_reduction="sum",
        content_factor=0.5,
    ),
    # neural-style of J. Johnson; its total variation is half the sum of squares of the network's input. Its
    # reported loss leaves that out, and its gradient skips the differences along the last row and column.
    "johnson": Preset(
        _vgg(1.0),
        content_weight=5.0,
        style_weight=100.0,
        tv_weight=1e-3,
        steps=1000,
        size=512,
        learning_rate=10.0,
        tv_factor=0.5,
        listed_weight=1.0,
    ),
    "cs231n-composition-vii": _cs231n(5e-2, (20000, 500, 12, 1), 5e-2, 512),
    "cs231n-the-scream": _cs231n(3e-2, (200000, 800, 12, 1), 2e-2, 224),
    "cs231n-starry-night": _cs231n(6e-2, (300000, 1000, 15, 3), 2e-2, 192),
}


def settled(
    model: Model, preset: Preset, *, content_layers: Layers, style_layers: Layers, **given: Any
) -> Dict[str, Any]:
    """Return the caller's numbers, the preset's in place of None, checked; and the layers."""
    if content_layers is None or style_layers is None:
        content, style = preset.layers(model)
    else:
        content, style = {}, {}
    numbers = {name: getattr(preset, name) if value is None else value for name, value in given.items()}
    if numbers["optimizer"] not in ("lbfgs", "adam"):
        raise ValueError(f"optimizer must be 'lbfgs' or 'adam', not {numbers['optimizer']!r}")
    return {
        "content_layers": content
        if content_layers is None
        else _named(model, "content_layers", content_layers, preset.listed_weight),
        "style_layers": style
        if style_layers is None
        else _named(model, "style_layers", style_layers, preset.listed_weight),
        "content_weight": checked_number("content_weight", numbers["content_weight"], 0),
        "style_weight": checked_number("style_weight", numbers["style_weight"], 0),
        "tv_weight": checked_number("tv_weight", numbers["tv_weight"], 0),
        "optimizer": numbers["optimizer"],
        "learning_rate": checked_number("learning_rate", numbers["learning_rate"], 0),
        "steps": checked_count("steps", numbers["steps"]),
    }


def _named(
    model: Model, argument: str, layers: Union[Sequence[str], Mapping[str, float]], weight: float
) -> Dict[str, float]:
    """Return layers with weights, by the model's names for them; `weight` is that of listed layers."""
    if isinstance(layers, str):
        raise TypeError(f"{argument} must be a list of layers: pass [{layers!r}]")
    if not len(layers):
        raise ValueError(f"{argument} is empty")
    if isinstance(layers, Mapping):
        return {
            model.layers.resolve(name): checked_number(argument, given, 0) for name, given in layers.items()
        }
    return {model.layers.resolve(name): weight or 1.0 / len(layers) for name in layers}
