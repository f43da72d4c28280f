"""Saliency maps: Simonyan, Vedaldi & Zisserman 2013, *Deep Inside Convolutional Networks*, section 3."""

from __future__ import annotations

from typing import Any, Callable, Dict

import numpy as np
from numpy.typing import NDArray

from cnnviz.image import ImagesLike
from cnnviz.methods.common import Targets, ask
from cnnviz.model import Model

Array = NDArray[np.float32]

#: How the channels of a gradient N,C,H,W become one map N,H,W.
REDUCTIONS: Dict[str, Callable[[Array], Array]] = {
    "max_abs": lambda dx: np.abs(dx).max(axis=1),
    "sum_abs": lambda dx: np.abs(dx).sum(axis=1),
    "mean_abs": lambda dx: np.abs(dx).mean(axis=1),
    "l2": lambda dx: np.sqrt(np.square(dx).sum(axis=1)),
    "sum": lambda dx: dx.sum(axis=1),
}


def saliency(model: Model, image: ImagesLike, target: Targets = None, *, reduce: str = "max_abs") -> Any:
    """Show which pixels the score of a class is most sensitive to.

    The map is ``M_ij = max over channels of |dS_c/dx_ij|`` (Simonyan et al. 2013, section 3.1), with S_c the
    score before the softmax and x the preprocessed image. Tools differ in how channels are joined: Captum's
    plot and PAIR's saliency sum the absolute values (``"sum_abs"``), xplique averages them (``"mean_abs"``).

    Parameters
    ----------
    model : Model
    image : path, PIL image, array H,W,3, or a batch of them
    target : None, int, str, list or Objective
        None explains the predicted class. A list gives one class per image, or asks several of one image.
    reduce : {"max_abs", "sum_abs", "mean_abs", "l2", "sum"}
        How channels are joined; ``"sum"`` keeps the sign.

    Returns
    -------
    Attribution, or a list of them for a batch or a list of targets
        ``values`` is dS/dx, C,H,W, signed.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        For an image, a target or a reduction that does not exist or cannot be read.
    """
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be one of {', '.join(REDUCTIONS)}, not {reduce!r}")
    question = ask(model, image, target)
    found = model.gradient(question.x, question.objective)
    dx = found.gradients["input"]
    maps = np.ascontiguousarray(REDUCTIONS[reduce](dx), dtype=np.float32)
    return question.answer("saliency", dx, maps, found.value)
