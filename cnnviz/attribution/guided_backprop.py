"""Guided backpropagation, DeconvNet and Guided Grad-CAM: gradients with another rule at the rectifiers.

Springenberg et al. 2014, *Striving for Simplicity*, section 3.4; Zeiler & Fergus 2013, *Visualizing and
Understanding Convolutional Networks*, section 2.1; Selvaraju et al. 2017, *Grad-CAM*, section 3.2.
"""

from __future__ import annotations

from typing import List, Optional, overload

from cnnviz.attribution.grad_cam import ask_about_last_layer, checked_layer, maps_of
from cnnviz.attribution.question import Answer, Target, Targets, ask_and_differentiate
from cnnviz.attribution.saliency import check_reduction, reduced
from cnnviz.checks import renamed
from cnnviz.model.model import Model
from cnnviz.objectives.base import ClassesLike
from cnnviz.pictures.image import ImageLike, ImagesLike, Listed
from cnnviz.results.results import Attribution

RULES = ("guided", "deconv")


@overload
def guided_backprop(
    model: Model, image: ImageLike, target: Target = None, *, relu: str = ..., reduce: str = ...
) -> Attribution: ...
@overload
def guided_backprop(
    model: Model, image: ImageLike, target: ClassesLike, *, relu: str = ..., reduce: str = ...
) -> List[Attribution]: ...
@overload
def guided_backprop(
    model: Model, image: Listed[ImageLike], target: Targets = None, *, relu: str = ..., reduce: str = ...
) -> List[Attribution]: ...
@renamed(rule="relu")
def guided_backprop(
    model: Model, image: ImagesLike, target: Targets = None, *, relu: str = "guided", reduce: str = "max_abs"
) -> Answer:
    """Show the patterns in a picture that excite the neurons a score depends on.

    The gradient dS_c/dx, except that every rectifier passes back positive gradients only: with z its input
    and R the gradient of its output, ``R 1[R > 0] 1[z > 0]`` (``relu="guided"``), or ``R 1[R > 0]`` for any z
    (``relu="deconv"``, the DeconvNet). S_c is the score before the softmax. Every ReLU follows the rule, also
    those of the classifier, and so do clipped and leaky ones; smooth activations keep their derivative.

    These pictures are sharp, and that is no proof that they explain. Adebayo et al. 2018 (*Sanity Checks for
    Saliency Maps*) found that guided backpropagation and Guided Grad-CAM hardly change when the weights of
    the upper layers are replaced by noise, and Nie et al. 2018 that they come close to recovering the image,
    for any class. They show the patterns that lower layers detect; to ask why the network chose a class, use
    `saliency` or `grad_cam`, and `sanity_check` to see the difference on a network of your own.

    Parameters
    ----------
    model : Model
    image : path, PIL image, array H,W,3, or a batch of them, as for `saliency`
    target : None, int, str, list, {output: class}, Objective, or mapping of str to array
        None explains the predicted class. A list gives one class per image, or asks several of one image.
        A mapping has cotangents by layer, and a segmenter's class is its region, as for `saliency`.
    relu : {"guided", "deconv"}
        The backward rule of the rectifiers.
    reduce : {"max_abs", "sum_abs", "mean_abs", "l2", "sum"}
        How channels are joined, as for `saliency`.

    Returns
    -------
    Attribution, or a list of them for a batch or a list of targets
        ``values`` is the guided gradient, C,H,W, signed.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        For an image, a target or an option that does not exist or cannot be read.
    """
    _check(relu, reduce)
    question, found = ask_and_differentiate(model, image, target, relu=relu)
    dx = found.gradients["input"]
    arguments = {"relu": relu, "reduce": reduce}
    return question.answer("guided_backprop", dx, reduced(dx, reduce), found.value, arguments=arguments)


@overload
def guided_grad_cam(
    model: Model,
    image: ImageLike,
    target: Target = None,
    layer: Optional[str] = None,
    *,
    relu: str = ...,
    reduce: str = ...,
) -> Attribution: ...
@overload
def guided_grad_cam(
    model: Model,
    image: ImageLike,
    target: ClassesLike,
    layer: Optional[str] = None,
    *,
    relu: str = ...,
    reduce: str = ...,
) -> List[Attribution]: ...
@overload
def guided_grad_cam(
    model: Model,
    image: Listed[ImageLike],
    target: Targets = None,
    layer: Optional[str] = None,
    *,
    relu: str = ...,
    reduce: str = ...,
) -> List[Attribution]: ...
@renamed(rule="relu")
def guided_grad_cam(
    model: Model,
    image: ImagesLike,
    target: Targets = None,
    layer: Optional[str] = None,
    *,
    relu: str = "guided",
    reduce: str = "max_abs",
) -> Answer:
    """Show the patterns of guided backpropagation where Grad-CAM says that they matter.

    The product of `guided_backprop` and `grad_cam`, pixel by pixel (Selvaraju et al. 2017, section 3.2). The
    map of the layer is enlarged bilinearly, as by `grad_cam`; Captum takes the nearest cell. What
    `guided_backprop` says about sanity checks holds here too.

    Parameters
    ----------
    model : Model
    image : path, PIL image, array H,W,3, or a batch of them, as for `saliency`
    target : None, int, str, list, {output: class}, Objective, or mapping of str to array
        As for `grad_cam`.
    layer : str, optional
        As for `grad_cam`.
    relu, reduce : str
        As for `guided_backprop`.

    Returns
    -------
    Attribution, or a list of them for a batch or a list of targets
        ``values`` is the product, C,H,W, signed.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        For an image, a target, a layer or an option that does not exist or cannot be read.
    """
    _check(relu, reduce)
    model, target = model.asked(target)
    if layer is None:
        name, question, found = ask_about_last_layer(model, image, target)
    else:
        name = checked_layer(model, layer)
        question, found = ask_and_differentiate(model, image, target, wrt=name)
    guided = question.gradient(relu=relu).gradients["input"]
    values = guided * maps_of(question, found, name)[1][:, None]
    arguments = {"layer": name, "relu": relu, "reduce": reduce}
    return question.answer(
        "guided_grad_cam", values, reduced(values, reduce), found.value, arguments=arguments, layer=name
    )


def _check(relu: str, reduce: str) -> None:
    if relu not in RULES:
        raise ValueError(f"relu must be one of {', '.join(RULES)}, not {relu!r}")
    check_reduction(reduce)
