"""Saliency maps, smoothed or not.

Simonyan, Vedaldi & Zisserman 2013, *Deep Inside Convolutional Networks*, section 3; Smilkov et al. 2017,
*SmoothGrad: removing noise by adding noise*.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple, overload

import numpy as np
from numpy.typing import NDArray

from cnnviz.attribution.question import Answer, Question, Target, Targets, ask, ask_and_differentiate
from cnnviz.checks import checked_count, checked_number
from cnnviz.model.model import Model
from cnnviz.objectives.base import ClassesLike
from cnnviz.objectives.copies import Copies
from cnnviz.pictures.image import ImageLike, ImagesLike, Listed
from cnnviz.results.results import Attribution

Array = NDArray[np.float32]

#: Functions that reduce a gradient N,C,H,W to maps N,H,W, by name.
REDUCTIONS: Dict[str, Callable[[Array], Array]] = {
    "max_abs": lambda dx: np.abs(dx).max(axis=1),
    "sum_abs": lambda dx: np.abs(dx).sum(axis=1),
    "mean_abs": lambda dx: np.abs(dx).mean(axis=1),
    "l2": lambda dx: np.sqrt(np.square(dx).sum(axis=1)),
    "sum": lambda dx: dx.sum(axis=1),
}


#: The number of noisy copies in a batch, which the model cuts into pieces of its own.
BATCH = 16


@overload
def saliency(
    model: Model,
    image: ImageLike,
    target: Target = None,
    *,
    reduce: str = ...,
    times_input: bool = ...,
    smooth: int = ...,
    noise: float = ...,
    seed: int = ...,
) -> Attribution: ...
@overload
def saliency(
    model: Model,
    image: ImageLike,
    target: ClassesLike,
    *,
    reduce: str = ...,
    times_input: bool = ...,
    smooth: int = ...,
    noise: float = ...,
    seed: int = ...,
) -> List[Attribution]: ...
@overload
def saliency(
    model: Model,
    image: Listed[ImageLike],
    target: Targets = None,
    *,
    reduce: str = ...,
    times_input: bool = ...,
    smooth: int = ...,
    noise: float = ...,
    seed: int = ...,
) -> List[Attribution]: ...
def saliency(
    model: Model,
    image: ImagesLike,
    target: Targets = None,
    *,
    reduce: str = "max_abs",
    times_input: bool = False,
    smooth: int = 0,
    noise: float = 0.15,
    seed: int = 0,
) -> Answer:
    """Show which pixels the score of a class is most sensitive to.

    The map is ``M_ij = max over channels of |dS_c/dx_ij|`` (Simonyan et al. 2013, section 3.1), with S_c the
    score before the softmax and x the preprocessed image. Tools differ in how channels are joined: Captum's
    plot and PAIR's saliency sum the absolute values (``"sum_abs"``), xplique averages them (``"mean_abs"``).

    With `smooth` it is SmoothGrad: the mean of dS_c/dx over noisy copies of the picture (Smilkov et
    al. 2017, section 3). The signed gradients are averaged and then reduced, as the paper writes; PAIR's
    saliency averages their squares and tf-keras-vis their absolute values by default.

    Parameters
    ----------
    model : Model
    image : path, PIL image, array H,W,3, or a batch of them
        A list, a tuple or an array N,H,W,3 is a batch. Type checkers take every array for one picture: pass
        ``list(array)``. A network of other channels takes arrays H,W,C, and one whose preprocessing states a
        range takes numbers in it (see `Preprocessing`).
    target : None, int, str, list, {output: class}, Objective, or mapping of str to array
        None explains the predicted class, that of the picture without noise. ``{"colour": "red"}`` is a class
        of another output, None its predicted one. A list gives one class per
        image, or asks several of one image. A mapping has cotangents by layer, for a loss of your own: the
        sum of their products with the layers is explained. A class of a segmenter is asked about where it
        wins: its score is the mean over these places, over all places where it wins none (``flags`` say so);
        None is the class that covers most places, a "background" left out where others win. A part of the
        map is asked about by ``objectives.Region("logits", class, mask)``, with ``axis=3`` for scores
        N,H,W,C.
    reduce : {"max_abs", "sum_abs", "mean_abs", "l2", "sum"}
        How channels are joined; ``"sum"`` keeps the sign.
    times_input : bool
        Multiply the gradient by x, in the network's own units (input times gradient; on a network of
        convolutions, ReLUs and max pools without biases these products sum to the score).
    smooth : int
        The number of noisy copies; 0 takes the picture without noise. The paper uses about 50.
    noise : float
        Standard deviation of the noise in displayed pixels, 0 to 1; the paper uses 0.1 to 0.2. For a signal
        or a volume without a stated range, as a share of its own span.
    seed : int
        Random seed of the noise, which is the same for every picture of a batch.

    Returns
    -------
    Attribution, or a list of them for a batch or a list of targets
        ``values`` is dS/dx (its mean, or times x), C,H,W, signed; ``score`` is that of the picture without
        noise.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        For an image, a target or a reduction that does not exist or cannot be read.

    Notes
    -----
    In areas of one colour max pools have ties, and the gradient goes to one of the tied places: the first, or
    where rounding differs at an area's edge, another. Each choice is a valid gradient, so on pictures with
    white or black areas maps differ between frameworks; ``smooth`` averages over the choices.
    """
    check_reduction(reduce)
    checked_count("smooth", smooth)
    checked_number("noise", noise, 0)
    checked_count("seed", seed)
    if smooth:
        question = ask(model, image, target)
        dx, scores = _smoothed(question, smooth, noise, seed)
    else:
        question, found = ask_and_differentiate(model, image, target)
        dx, scores = found.gradients["input"], found.value
    values = dx * question.x if times_input else dx
    arguments = {"reduce": reduce, "times_input": times_input}
    if smooth:
        arguments.update(smooth=int(smooth), noise=float(noise), seed=int(seed))
    return question.answer("saliency", values, reduced(values, reduce), scores, arguments=arguments)


def check_reduction(reduce: str) -> None:
    """Raise ValueError unless `reduce` is one of `REDUCTIONS`."""
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be one of {', '.join(REDUCTIONS)}, not {reduce!r}")


def reduced(values: Array, reduce: str) -> Array:
    """Join the channels of N,C,H,W into maps N,H,W."""
    return np.ascontiguousarray(REDUCTIONS[reduce](values), dtype=np.float32)


def _smoothed(question: Question, copies: int, noise: float, seed: int) -> Tuple[Array, NDArray[np.float64]]:
    model, x, objective = question.model, question.x, question.objective
    # Rows that ask about one image share its noisy copies: one forward pass for all of them.
    images = x[:1] if question.one_image else x
    goals = [objective.take(row, row + 1) for row in range(len(x))] if question.one_image else [objective]
    low, high = model.preprocessing.bounds()
    scale = np.float32(noise) * np.abs(high - low).reshape(-1, *(1,) * (x.ndim - 2))
    if not model.preprocessing.displayed:  # of a signal it is a share of its span
        span = np.ptp(question.pictures[: len(images)].reshape(len(images), -1), axis=1)
        scale = scale * span.reshape(-1, *(1,) * (x.ndim - 1))
    rng = np.random.default_rng(seed)
    total = np.zeros((len(goals), *images.shape), np.float64)
    for start in range(0, copies, BATCH):
        count = min(BATCH, copies - start)
        drawn = scale * rng.standard_normal((count, 1, *x.shape[1:]), dtype=np.float32)
        batch = (images + drawn).reshape(-1, *x.shape[1:])
        asked = [Copies(goal, len(images), count) for goal in goals]
        for sums, found in zip(total, model.repeated(count).gradients(batch, asked)):
            for dx in found.gradients["input"].reshape(count, *images.shape):
                sums += dx
    scores = model.value(x, objective)
    return (total.reshape(x.shape) / copies).astype(np.float32), scores
