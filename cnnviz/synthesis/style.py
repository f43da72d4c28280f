"""Style transfer: a picture with the content of one and the texture of another.

Gatys, Ecker & Bethge 2016, *Image Style Transfer Using Convolutional Neural Networks*: the picture is moved
until its activations resemble those of the content, and their Gram matrices those of the style.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.checks import checked_count, checked_number
from cnnviz.model.model import Model
from cnnviz.objectives import INPUT, Content, Gram, Objective, Sum, TotalVariation, gram_matrix
from cnnviz.objectives.base import Array
from cnnviz.optimize.loop import Problem
from cnnviz.optimize.parametrize import NetworkInput, Parametrization, Pixels
from cnnviz.optimize.run import Stage, Trace, Watch, as_bytes
from cnnviz.optimize.steps import LBFGS, Adam, StepRule
from cnnviz.pictures.arithmetic import single
from cnnviz.pictures.feed import to_pictures
from cnnviz.pictures.image import ImageLike, ImagesLike, as_float
from cnnviz.results.results import Synthesis
from cnnviz.synthesis.recipe import Bytes, Callback, Finished, Recipe, need_pictures, synthesize
from cnnviz.synthesis.style_presets import PRESETS, Preset, settled

Layers = Union[None, Sequence[str], Mapping[str, float]]

#: The weights of R, G and B in luma (Rec. 601).
LUMA = np.array([0.299, 0.587, 0.114])
#: The shortest side of a picture at any scale, in pixels: coarse layers see nothing in smaller ones.
SHORTEST = 32


def style_transfer(
    model: Model,
    content: ImageLike,
    style: ImagesLike,
    *,
    preset: str = "default",
    content_layers: Layers = None,
    style_layers: Layers = None,
    content_weight: Optional[float] = None,
    style_weight: Optional[float] = None,
    tv_weight: Optional[float] = None,
    style_weights: Optional[Sequence[float]] = None,
    size: Optional[int] = None,
    style_size: Optional[int] = None,
    style_scale: float = 1.0,
    scales: int = 1,
    colors: str = "style",
    init: Union[str, ImageLike] = "content",
    optimizer: Optional[str] = None,
    learning_rate: Optional[float] = None,
    steps: Optional[int] = None,
    seed: int = 0,
    progress: Optional[bool] = None,
    callback: Optional[Callback] = None,
    keep_every: int = 0,
) -> Synthesis:
    """Paint the content of one picture in the style of others.

    The loss is content_weight * sum of the layers' content losses + style_weight * sum of their style losses
    + tv_weight * total variation. With ``preset="default"`` each layer's loss is the squared distance to its
    target over the squared norm of that target, and total variation the mean squared difference of
    neighbouring pixels (0 to 1), so that weights mean the same on any network and at any size. The other
    presets are published recipes; what they fix is listed in `cnnviz.synthesis.style_presets`.

    Parameters
    ----------
    model : Model
        Any network; a classifier's last layers are not run.
    content : path, PIL image, or array H,W,3
    style : the same, or a list of them
    preset : {"default", "gatys", "johnson", "cs231n-composition-vii", "cs231n-the-scream", \
"cs231n-starry-night"}
        ``"gatys"``: Gatys et al. 2016, equations 1, 4 and 5 with alpha / beta = 1e-3, on VGG's layer names.
        ``"johnson"``: neural-style (Gram matrices over C*M, mean squared distances, weights 5, 100, 1e-3).
        ``"cs231n-..."``: the three sets of the course, on SqueezeNet 1.1 (sums, Adam 3.0 then 0.1).
    content_layers, style_layers : sequence of str or mapping of str to float, optional
        Layers, or layers with weights; chosen by resolution when not given. Listed ones share a weight of 1;
        under "johnson" each has 1, as in neural-style.
    content_weight, style_weight, tv_weight : float, optional
        Weights in place of the preset's.
    style_weights : sequence of float, optional
        A weight for each style; equal by default. Only their ratios count.
    size : int, optional
        Pixels of the shorter side of the result; by default the preset's, at most the content's own.
    style_size : int, optional
        Pixels of the shorter side at which the style is looked at; by default the result's.
    style_scale : float
        A factor on `style_size`: larger makes larger strokes.
    scales : int
        The number of sizes, from coarse to fine, each twice the one before; each takes `steps` steps.
    colors : {"style", "content"}
        ``"content"`` keeps the colours of the content and takes the brightness (Rec. 601 luma) of the result.
    init : {"content", "noise"}, path, PIL image, or array H,W,3
        The picture that the run starts from.
    optimizer : {"lbfgs", "adam"}, optional
    learning_rate : float, optional
        Adam's, in units of the picture (0 to 1) or, for the published recipes, of the network's input.
    steps : int, optional
        The number of steps at each size.
    seed : int
        Random seed of the noise.
    progress, callback, keep_every
        As in `fooling_image`.

    Returns
    -------
    Synthesis
        ``history`` has every term of the loss with its weight; ``settings`` the layers that were chosen.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        For a picture, a layer or a number that does not exist or is out of range.
    """
    _check_request(model, preset, colors)
    chosen = settled(
        model,
        PRESETS[preset],
        content_layers=content_layers,
        style_layers=style_layers,
        content_weight=content_weight,
        style_weight=style_weight,
        tv_weight=tv_weight,
        optimizer=optimizer,
        learning_rate=learning_rate,
        steps=steps,
    )
    picture = model.preprocessing.read_one(content, "content")
    own_size = _result_size(picture, size, PRESETS[preset].size)
    styles, _ = model.preprocessing.read(style, "style")
    side = _style_side(style_size, PRESETS[preset].style_size or min(own_size), style_scale)
    sources = {"content": _fitted(model, picture, own_size)[None]}
    for i, one in enumerate(styles):
        sources[f"style{i}"] = _fitted(model, one, _sized(one.shape, side))[None]
    if not _is_word(init):
        sources["init"] = _fitted(model, _read_init(model, init), own_size)[None]
    settings = {
        **chosen,
        "preset": preset,
        "style_weights": _shares(style_weights, len(styles)),
        "scales": checked_count("scales", scales, 1),
        "colors": colors,
        "init": "picture" if "init" in sources else init,
        "seed": checked_count("seed", seed),
    }
    run = recipe(model, settings, sources)
    return synthesize(run, Watch(progress, callback, checked_count("keep_every", keep_every)))


def _check_request(model: Model, preset: str, colors: str) -> None:
    """Raise ValueError for a network of other pictures than colour and grey, and for unknown words."""
    need_pictures(model)
    if model.preprocessing.kind.channels:
        raise ValueError(
            f"style transfer needs a network of colour or grey pictures: {model.name} takes "
            f"{model.preprocessing.kind.listed()}"
        )
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {preset!r}")
    if colors not in ("style", "content"):
        raise ValueError(f"colors must be 'style' or 'content', not {colors!r}")


def _result_size(content: NDArray[Any], size: Optional[int], usual: int) -> Tuple[int, int]:
    """Return the result's height and width: a shorter side of `size`, by default `usual` or the content's."""
    if size is None:
        _check_large_enough(content.shape)
        size = min(usual, min(content.shape[:2]))
    return _sized(content.shape, size)


def _is_word(init: Union[str, ImageLike]) -> bool:
    return isinstance(init, str) and init in ("content", "noise")


def _read_init(model: Model, init: Union[str, ImageLike]) -> NDArray[Any]:
    if isinstance(init, str) and not os.path.exists(init):
        raise ValueError(f"init must be 'content', 'noise' or a picture, not {init!r}: there is no such file")
    return model.preprocessing.read_one(init, "init")


def recipe(model: Model, settings: Mapping[str, Any], sources: Mapping[str, Bytes]) -> Recipe:
    """Build the run that settings and sources describe."""
    work = _Transfer(model, settings, sources)
    stages = [
        Stage(settings["steps"], lambda factor=factor: work.problem(factor), work.starter(factor))  # type: ignore[misc]
        for factor in work.factors
    ]
    return Recipe("style_transfer", model, settings, stages, sources, work.finish)


class _Transfer:
    """One style transfer: its targets at each size, its loss, and how it begins and ends."""

    def __init__(self, model: Model, settings: Mapping[str, Any], sources: Mapping[str, Bytes]) -> None:
        self.model = model
        self.feed = model.preprocessing.feed
        self.settings = settings
        self.sources = sources
        self.preset = PRESETS[settings["preset"]]
        self.factors = [0.5**i for i in reversed(range(settings["scales"]))]

    def problem(self, factor: float) -> Problem:
        rule = _rule(self.preset, self.settings)
        clamp = self.preset.clamp
        return Problem(
            self.model,
            self.loss(factor),
            self.coordinates(),
            rule,
            maximize=False,
            after=None if clamp is None else clamp.after,
        )

    def coordinates(self) -> Parametrization:
        if self.preset.units == "pixels":
            return Pixels()
        return NetworkInput(self.model.preprocessing, bounded=self.preset.clamp is None)

    def starter(self, factor: float) -> Any:
        def start(problem: Problem, planes: Optional[Array], rng: np.random.Generator) -> Array:
            if planes is not None:  # those of the coarser scale
                pictures = as_bytes(to_pictures(planes))
                size = self._planes("content", factor).shape[2:]
                planes = self.model.preprocessing.planes(
                    as_float(_fitted(self.model, pictures[0], size))[None]
                )
            elif self.settings["init"] == "noise":
                planes = single(rng.uniform(size=self._planes("content", factor).shape))
            else:
                planes = self._planes("init" if self.settings["init"] == "picture" else "content", factor)
            z = problem.parametrization.encode(planes)
            return z if self.preset.clamp is None else self.preset.clamp.limit(z)

        return start

    def loss(self, factor: float) -> Objective:
        """Return the loss, with targets at this size."""
        s = self.settings
        terms: List[Tuple[float, Objective]] = []
        content = self._activations("content", factor, s["content_layers"])
        for layer, weight in s["content_layers"].items():
            target = content[layer]
            scale = self._relative(np.square(target, dtype=np.float64).mean())
            kind = Content(layer, target, reduction=self.preset.content_reduction)
            terms.append((s["content_weight"] * self.preset.content_factor * weight * scale, kind))
        for i, share in enumerate(s["style_weights"]):
            style = self._activations(f"style{i}", factor, s["style_layers"])
            for layer, weight in s["style_layers"].items():
                gram = gram_matrix(style[layer], self.preset.gram)[0]
                scale = self._relative(np.square(gram).mean())
                look = Gram(
                    layer, gram, normalization=self.preset.gram, reduction=self.preset.style_reduction
                )
                terms.append((s["style_weight"] * share * weight * scale, look))
        if s["tv_weight"]:
            terms.append((s["tv_weight"] * self.preset.tv_factor, self._variation()))
        return Sum(terms)

    def finish(self, trace: Trace) -> Finished:
        pictures, best = to_pictures(trace.planes), to_pictures(trace.best)
        if self.settings["colors"] == "content":
            pictures, best = self._recoloured(pictures), self._recoloured(best)
        return Finished(pictures, best, trace.converged)

    def _recoloured(self, pictures: Array) -> Array:
        """Return the brightness of the result with the colours of the content (neural-style's luma swap)."""
        content = as_float(self.sources["content"])
        if content.shape != pictures.shape:  # interrupted at a coarser scale
            size = pictures.shape[1:3]
            content = as_float(_fitted(self.model, self.sources["content"][0], size))[None]
        brighter = (pictures - content) @ LUMA.astype(np.float32)
        return np.asarray((content + brighter[..., None]).clip(0, 1), dtype=np.float32)

    def _relative(self, size: float) -> float:
        """Return 1 / the mean square of a target for relative losses, else and for a zero target 1."""
        return 1.0 / size if self.preset.relative and size > 0 else 1.0

    def _variation(self) -> TotalVariation:
        if self.preset.units == "pixels":
            return TotalVariation()
        return TotalVariation(layer=INPUT, reduction="sum")

    def _planes(self, source: str, factor: float) -> Array:
        picture = self.sources[source][0]
        size = tuple(max(round(side * factor), min(side, SHORTEST)) for side in picture.shape[:2])
        return self._as_planes(_fitted(self.model, picture, size))

    def _as_planes(self, picture: Bytes) -> Array:
        return self.model.preprocessing.planes(as_float(picture)[None])

    def _activations(self, source: str, factor: float, layers: Mapping[str, float]) -> Dict[str, Array]:
        found: Dict[str, Array] = self.model.forward(
            self.feed.forward(self._planes(source, factor)), list(layers)
        )
        return found


def _rule(preset: Preset, settings: Mapping[str, Any]) -> StepRule:
    if settings["optimizer"] == "lbfgs":
        return LBFGS()
    return Adam(settings["learning_rate"], restarts=preset.restarts)


def _check_large_enough(shape: Sequence[int]) -> None:
    if min(shape[:2]) < SHORTEST:
        raise ValueError(
            f"content is {shape[0]} x {shape[1]} pixels, and no side of a result is shorter than {SHORTEST}: "
            "pass size= to enlarge it"
        )


def _style_side(given: Optional[int], usual: int, scale: float) -> int:
    """Return the pixels of the shorter side at which styles are looked at."""
    size = usual if given is None else checked_count("style_size", given, 1)
    side = round(size * checked_number("style_scale", scale, 0.01, 100))
    if side < SHORTEST:
        raise ValueError(
            f"styles would be looked at with a shorter side of {side} pixels (style_size times "
            f"style_scale={scale:g}): it must be at least {SHORTEST}"
        )
    return side


def _sized(shape: Sequence[int], side: int) -> Tuple[int, int]:
    """Return height and width in proportion, with a shorter side of `side` pixels."""
    side = checked_count("size", side, SHORTEST)
    height, width = shape[:2]
    shorter = min(height, width)
    return max(round(height * side / shorter), side), max(round(width * side / shorter), side)


def _fitted(model: Model, picture: NDArray[Any], size: Sequence[int]) -> Bytes:
    whole = replace(model.preprocessing, size=(int(size[0]), int(size[1])), crop=1.0)
    return as_bytes(whole.fit(picture))


def _shares(weights: Optional[Sequence[float]], count: int) -> List[float]:
    """Return the weights of the styles, scaled to sum to one."""
    given = [1.0] * count if weights is None else [checked_number("style_weights", w, 0) for w in weights]
    if len(given) != count:
        raise ValueError(f"style_weights has {len(given)} numbers for {count} styles")
    total = sum(given)
    if total <= 0:
        raise ValueError("style_weights are all zero")
    return [weight / total for weight in given]
