"""Grad-CAM: Selvaraju et al. 2017, *Grad-CAM: Visual Explanations from Deep Networks*."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Set, Tuple, Union, overload

import numpy as np
from numpy.typing import NDArray

from cnnviz.attribution.question import Answer, Question, Target, Targets, ask_and_differentiate
from cnnviz.graph.graph import ancestors
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.gradients import Gradient
from cnnviz.model.model import Model
from cnnviz.model.places import layers_with_places
from cnnviz.model.tokens import as_maps, last_token_layer, token_grid
from cnnviz.objectives.base import ClassesLike
from cnnviz.pictures.image import ImageLike, ImagesLike, Listed
from cnnviz.results.results import Attribution

Array = NDArray[np.float32]


@overload
def grad_cam(
    model: Model, image: ImageLike, target: Target = None, layer: Optional[str] = None
) -> Attribution: ...
@overload
def grad_cam(
    model: Model, image: ImageLike, target: ClassesLike, layer: Optional[str] = None
) -> List[Attribution]: ...
@overload
def grad_cam(
    model: Model, image: Listed[ImageLike], target: Targets = None, layer: Optional[str] = None
) -> List[Attribution]: ...
@overload
def grad_cam(
    model: Model, image: ImageLike, target: Target, layer: Listed[str]
) -> Dict[str, Attribution]: ...
@overload
def grad_cam(
    model: Model, image: ImageLike, target: Target = None, *, layer: Listed[str]
) -> Dict[str, Attribution]: ...
@overload
def grad_cam(
    model: Model, image: ImageLike, target: ClassesLike, layer: Listed[str]
) -> Dict[str, List[Attribution]]: ...
@overload
def grad_cam(
    model: Model, image: Listed[ImageLike], target: Targets, layer: Listed[str]
) -> Dict[str, List[Attribution]]: ...
@overload
def grad_cam(
    model: Model, image: Listed[ImageLike], target: Targets = None, *, layer: Listed[str]
) -> Dict[str, List[Attribution]]: ...
def grad_cam(
    model: Model,
    image: ImagesLike,
    target: Targets = None,
    layer: Union[str, Listed[str], None] = None,
) -> Union[Answer, Mapping[str, Answer]]:
    """Show which places of a layer speak for a class.

    With A the activations of the layer, ``alpha_k`` the mean over all places of dS_c/dA_k (equation 1), the
    map is ``ReLU(sum over k of alpha_k A_k)`` (equation 2), enlarged to the input bilinearly. S_c is the
    score before the softmax. The ReLU comes before the enlargement; the enlargement takes pixels as areas
    (half-pixel centres, "align_corners=False"), as OpenCV and pytorch-grad-cam do; Captum enlarges to the
    nearest and leaves the ReLU out unless asked. The map is not normalised.

    Parameters
    ----------
    model : Model
    image : path, PIL image, array H,W,3, or a batch of them, as for `saliency`
    target : None, int, str, list, Objective, or mapping of str to array
        None explains the predicted class. A list gives one class per image, or asks several of one image,
        all after one forward pass. A mapping has cotangents by layer, and a segmenter's class is its region,
        as for `saliency`.
    layer : str or sequence of str, optional
        A layer N,C,H,W, a layer N,T,C of tokens (the class token is left out), or a list of layers, which
        share one pass. The default is `last_spatial_layer`. A layer before its ReLU and the one after it have
        different maps.

    Returns
    -------
    Attribution, or a list of them for a batch or a list of targets
        ``values`` is the weighted sum before the ReLU, H,W of the layer, signed. Where nothing in it is
        positive, ``map`` is zero and ``flags`` says so. A list of layers gives a dictionary of such results
        by layer.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        For an image, a target or a layer that does not exist, or a layer that has no maps.
    """
    if layer is None or isinstance(layer, str):
        names = [layer_with_maps(model, layer)]
    else:
        names = [layer_with_maps(model, name) for name in layer]
    question, found = ask_and_differentiate(model, image, target, wrt=names)
    answers = {name: _answer(question, found, name) for name in names}
    return answers[names[0]] if layer is None or isinstance(layer, str) else answers


def _answer(question: Question, found: Gradient, name: str) -> Answer:
    values, maps = maps_of(question, found, name)
    return question.answer("grad_cam", values, maps, found.value, arguments={"layer": name}, layer=name)


def maps_of(question: Question, found: Gradient, name: str) -> Tuple[Array, Array]:
    """Return Grad-CAM of a layer before its ReLU, N,h,w, and after it in the size of the input, N,H,W."""
    grid = token_grid(question.model, name)
    values = weighted_sum(as_maps(found.activations[name], grid), as_maps(found.gradients[name], grid))
    return values, upsample(np.maximum(values, 0), question.x.shape[2:])


def layer_with_maps(model: Model, layer: Optional[str]) -> str:
    """Return `layer`, by default `last_spatial_layer`, or raise ValueError when it has no places."""
    name = last_spatial_layer(model) if layer is None else layer
    shape = model.layers.get(model.layers.resolve(name), ())
    if len(shape) != 4 and token_grid(model, name) is None:
        raise ValueError(
            f"layer {name!r} has shape {shape}: Grad-CAM needs the maps of a layer N,C,H,W, or the tokens of "
            "a layer N,T,C that lie on a grid"
        )
    return name


def weighted_sum(activation: Array, gradient: Array) -> Array:
    """Return Grad-CAM before its ReLU, N,H,W, from a layer and its gradient, both N,C,H,W."""
    alpha = gradient.mean(axis=(2, 3), dtype=np.float64)
    return np.einsum("nc,nchw->nhw", alpha, activation).astype(np.float32)


def last_spatial_layer(model: Model) -> str:
    """Return the last layer before the scores that still has more than one place.

    A layer has places while its axes are those of the picture (`layers_with_places`), or while its tokens
    lie on a grid (`last_token_layer`). Of a segmenter, maps of scores, one for each class, are left out: the
    layer is the one that the last weights before the scores read.

    Raises
    ------
    ValueError
        When the network has none.
    """
    before = ancestors(model.graph, [model.logits_name]) - {model.logits_name}
    for values in (_before_maps(model, before), before):
        tokens = last_token_layer(model, values)
        if tokens is not None:
            return tokens
        for name in reversed(layers_with_places(model)):
            rows, columns = model.layers[name][2:]
            if name in values and rows * columns > 1:
                return name
    raise ValueError(f"{model.name} has no layer with maps before {model.logits_name!r}")


def _before_maps(model: Model, before: Set[str]) -> Set[str]:
    """The values `before` the scores; of a segmenter those before the first map of scores."""
    answer = model.head.answer
    maps = {1, answer.count} if answer.paired else {answer.count}
    for node in reversed(model.graph.nodes) if answer.places else ():
        weights = SCHEMAS[node.op].traits.weights
        if weights is None or not before.union([model.logits_name]).intersection(node.outputs):
            continue
        read = next(name for i, name in enumerate(node.inputs) if i != weights)
        if model.layers.get(read, (1, 0))[1] not in maps:
            return ancestors(model.graph, [read])
    return before


def upsample(maps: Array, size: Tuple[int, ...]) -> Array:
    """Enlarge maps N,h,w bilinearly to N,H,W; the centre of cell i of n comes to (i + 1/2) * N/n - 1/2."""
    rows = _interpolation(maps.shape[1], size[0])
    columns = _interpolation(maps.shape[2], size[1])
    return np.ascontiguousarray(rows @ maps @ columns.T, dtype=np.float32)


def _interpolation(cells: int, pixels: int) -> NDArray[np.float64]:
    """Return the matrix, pixels by cells, that interpolates linearly between the centres of cells."""
    position = ((np.arange(pixels) + 0.5) * cells / pixels - 0.5).clip(0, cells - 1)
    below = np.minimum(position.astype(int), max(cells - 2, 0))
    matrix = np.zeros((pixels, cells))
    matrix[np.arange(pixels), below] = 1 - (position - below)
    if cells > 1:
        matrix[np.arange(pixels), below + 1] += position - below
    return matrix
