"""The attribution techniques by name."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Mapping

from cnnviz.attribution.grad_cam import grad_cam
from cnnviz.attribution.guided_backprop import guided_backprop, guided_grad_cam
from cnnviz.attribution.saliency import saliency

TECHNIQUES: Mapping[str, Callable[..., Any]] = {
    "saliency": saliency,
    "smooth_grad": partial(saliency, smooth=25),
    "grad_cam": grad_cam,
    "guided_backprop": guided_backprop,
    "guided_grad_cam": guided_grad_cam,
}
