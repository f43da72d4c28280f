"""Grad-CAM: Selvaraju et al. 2017, *Grad-CAM: Visual Explanations from Deep Networks*."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Tuple, Union, overload

import numpy as np
from numpy.typing import NDArray

from cnnviz.attribution.cam_layer import common_layer, last_layers
from cnnviz.attribution.question import Answer, Question, Target, Targets, ask_and_differentiate
from cnnviz.model.gradients import Gradient
from cnnviz.model.model import Model
from cnnviz.model.places import as_maps, places_of
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
    target : None, int, str, list, {output: class}, Objective, or mapping of str to array
        None explains the predicted class. A list gives one class per image, or asks several of one image,
        all after one forward pass. A mapping has cotangents by layer, and a segmenter's class is its region,
        as for `saliency`.
    layer : str or sequence of str, optional
        A layer N,C,H,W or N,H,W,C, one of tokens (the class token is left out), or a list of layers, which
        share one pass. The default is the last layer with more than one place that the score passes: of
        branches that end apart, the one that it depends on, or the last layer before they part. A layer
        before its ReLU and the one after it have different maps.

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
    model, target = model.asked(target)
    if layer is None:
        name, question, found = ask_about_last_layer(model, image, target)
        return _answer(question, found, name)
    several = isinstance(layer, (list, tuple))
    names = [checked_layer(model, name) for name in (layer if several else [layer])]
    question, found = ask_and_differentiate(model, image, target, wrt=names)
    answers = {name: _answer(question, found, name) for name in names}
    return answers if several else answers[names[0]]


def _answer(question: Question, found: Gradient, name: str) -> Answer:
    values, maps = maps_of(question, found, name)
    return question.answer("grad_cam", values, maps, found.value, arguments={"layer": name}, layer=name)


def maps_of(question: Question, found: Gradient, name: str) -> Tuple[Array, Array]:
    """Return Grad-CAM of a layer before its ReLU, N,h,w, and after it in the size of the input, N,H,W.

    Of a signal they are N,l and N,L, of a volume N,d,h,w and N,D,H,W.
    """
    size = question.x.shape[2:]
    places = places_of(question.model, name)
    values = weighted_sum(as_maps(found.activations[name], places), as_maps(found.gradients[name], places))
    values = values[:, 0] if len(size) == 1 else values
    return values, upsample(np.maximum(values, 0), size)


def ask_about_last_layer(model: Model, image: ImagesLike, target: Targets) -> Tuple[str, Question, Gradient]:
    """Ask by the layer that Grad-CAM takes unless one is named: `last_spatial_layer`.

    Of a network with several branches, the branches on which none of the scores depends are left out.
    """
    ends = last_layers(model)
    question, found = ask_and_differentiate(model, image, target, wrt=ends)
    used = [name for name in ends if found.gradients[name].any()]
    name = common_layer(model, used or ends)
    if name not in ends:
        found = question.gradient(wrt=name)
    return name, question, found


def checked_layer(model: Model, layer: object) -> str:
    """Return `layer`, or raise ValueError when it has no places of the picture."""
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a name, a list of names or None, not {layer!r}")
    value = model.layers.resolve(layer)
    if value not in model.layers.of_picture:
        raise ValueError(
            f"layer {layer!r} does not depend on {model.input_name!r}, the picture that is explained: its "
            "places are not those of that picture"
        )
    if places_of(model, layer) is None:
        shape = model.layers.get(value, ())
        raise ValueError(
            f"layer {layer!r} has shape {shape}, of which no axes are the rows and columns of the picture: "
            "Grad-CAM needs a layer with more than one place, as N,C,H,W or tokens N,T,C"
        )
    return layer


def weighted_sum(activation: Array, gradient: Array) -> Array:
    """Return Grad-CAM before its ReLU, N,H,W, from a layer and its gradient, both N,C,H,W or N,C,D,H,W."""
    alpha = gradient.mean(axis=tuple(range(2, gradient.ndim)), dtype=np.float64)
    return np.einsum("nc,nc...->n...", alpha, activation).astype(np.float32)


def upsample(maps: Array, size: Tuple[int, ...]) -> Array:
    """Enlarge maps N,h,w bilinearly to N,H,W; the centre of cell i of n comes to (i + 1/2) * N/n - 1/2."""
    along = [_interpolation(cells, pixels) for cells, pixels in zip(maps.shape[1:], size)]
    if len(along) == 2:
        return np.ascontiguousarray(along[0] @ maps @ along[1].T, dtype=np.float32)
    for axis, matrix in enumerate(along, 1):
        maps = np.asarray(np.moveaxis(np.tensordot(matrix, maps, (1, axis)), 0, axis), dtype=np.float32)
    return np.ascontiguousarray(maps)


def _interpolation(cells: int, pixels: int) -> NDArray[np.float64]:
    """Return the matrix, pixels by cells, that interpolates linearly between the centres of cells."""
    position = ((np.arange(pixels) + 0.5) * cells / pixels - 0.5).clip(0, cells - 1)
    below = np.minimum(position.astype(int), max(cells - 2, 0))
    matrix = np.zeros((pixels, cells))
    matrix[np.arange(pixels), below] = 1 - (position - below)
    if cells > 1:
        matrix[np.arange(pixels), below + 1] += position - below
    return matrix
