"""Whole techniques, picture in and map out: cnnviz's, and the loops that a PyTorch user writes.

The loops are as short as they can be and do no more than the recipe asks for, so that the comparison is with
PyTorch itself and not with some library on top of it. Both sides make the same steps from the same start, in
the units of the network's input and within the range of pixels; in addition, cnnviz keeps a history, the best
picture and a checkpoint, and checks for NaN.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Callable, Dict, List, Sequence

import numpy as np
import torch
from contenders import TARGET, Torch
from networks import IMAGE_SIZE, NETWORKS
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

import cnnviz

# The margin is never reached on purpose.
warnings.filterwarnings("ignore", category=UserWarning, module="cnnviz|techniques")

Run = Callable[[], object]
Picture = NDArray[np.float32]  # H,W,3 from 0 to 1

NETWORK = "squeezenet"
LAYER = "concat_60"  # the last fire module's output
CONTENT = "concat_24"
STYLE = ("relu_1", "concat_9", "concat_24", "concat_39")
UNREACHABLE = 1e6  # margin that a fooling image never reaches, so that it makes all its steps

MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
LOW, HIGH = -MEAN / STD, (1 - MEAN) / STD

L2 = 1e-3  # weight of the class model's penalty
STYLE_WEIGHT = 100.0
LEARNING_RATE = 0.02


def pairs(job: Dict[str, Any]) -> Dict[str, Dict[str, Run]]:
    """The functions to time for every technique: cnnviz's, and PyTorch's in both layouts."""
    network = NETWORKS[NETWORK]()
    model = cnnviz.load(network.proto, preprocessing="imagenet")
    levels = np.random.default_rng(0).integers(0, 256, (2, IMAGE_SIZE, IMAGE_SIZE, 3))
    picture, other = levels.astype(np.float32) / np.float32(255)  # in 8 bits, as files hold them
    steps = job["steps"]
    layouts = {
        "torch": Torch(network, channels_last=False),
        "torch channels_last": Torch(network, channels_last=True),
    }
    quiet: Dict[str, Any] = {"steps": steps, "progress": False}

    def style() -> object:
        return cnnviz.style_transfer(
            model,
            picture,
            other,
            preset="johnson",
            content_layers=[CONTENT],
            style_layers=STYLE,
            content_weight=1.0,
            style_weight=STYLE_WEIGHT,
            optimizer="adam",
            learning_rate=LEARNING_RATE,
            size=IMAGE_SIZE,
            style_size=IMAGE_SIZE,
            tv_weight=0.0,
            **quiet,
        )

    ours: Dict[str, Run] = {
        "saliency": lambda: cnnviz.saliency(model, picture, TARGET),
        "Grad-CAM": lambda: cnnviz.grad_cam(model, picture, TARGET, LAYER),
        "guided backpropagation": lambda: cnnviz.guided_backprop(model, picture, TARGET),
        f"fooling image, {steps} steps": lambda: cnnviz.fooling_image(
            model, picture, TARGET, preset="cs231n", margin=UNREACHABLE, **quiet
        ),
        f"class model, {steps} steps": lambda: cnnviz.class_visualization(
            model, TARGET, preset="simonyan", l2=L2, **quiet
        ),
        f"style transfer, {steps} steps": style,
    }
    theirs: Sequence[Callable[[Torch], object]] = (
        lambda rival: saliency(rival, picture),
        lambda rival: grad_cam(rival, picture),
        lambda rival: guided_backprop(rival, picture),
        lambda rival: fooling_image(rival, picture, steps),
        lambda rival: class_model(rival, steps),
        lambda rival: style_transfer(rival, picture, other, steps),
    )
    return {
        name: {"cnnviz": run, **{peer: partial(loop, rival) for peer, rival in layouts.items()}}
        for (name, run), loop in zip(ours.items(), theirs)
    }


def preprocess(rival: Torch, picture: Picture) -> Tensor:
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
    return ((planes - MEAN) / STD).contiguous(memory_format=rival.layout)


def saliency(rival: Torch, picture: Picture) -> Picture:
    """Simonyan et al. 2013, section 3.1."""
    x = preprocess(rival, picture).requires_grad_()
    (dx,) = torch.autograd.grad(rival.module(x)[0, TARGET], x)
    return dx.abs().amax(1)[0].numpy()


def grad_cam(rival: Torch, picture: Picture) -> Picture:
    """Selvaraju et al. 2017, equations 1 and 2."""
    x = preprocess(rival, picture).requires_grad_()
    output = rival.module.output
    values = rival.module(x, (LAYER, output))
    a = values[LAYER]
    (da,) = torch.autograd.grad(values[output][0, TARGET], a)
    maps = (da.mean((2, 3), keepdim=True) * a).sum(1, keepdim=True).relu()
    large = functional.interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False)
    return large[0, 0].detach().numpy()


def guided_backprop(rival: Torch, picture: Picture) -> Picture:
    """Springenberg et al. 2014, section 3.4: hooks let only positive gradients through the ReLUs."""
    handles: List[Any] = [
        layer.register_full_backward_hook(lambda layer, dx, dy: (dx[0].clamp(min=0),))
        for layer in _rectifiers(rival, in_place=False)
    ]
    try:
        return saliency(rival, picture)
    finally:
        for handle in handles:
            handle.remove()
        _rectifiers(rival, in_place=True)


def _rectifiers(rival: Torch, *, in_place: bool) -> List[torch.nn.ReLU]:
    """Switch the ReLUs' in-place mode and return them: backward hooks do not work with in-place layers."""
    found = [layer for layer in rival.module.modules() if isinstance(layer, torch.nn.ReLU)]
    for layer in found:
        layer.inplace = in_place
    return found


def fooling_image(rival: Torch, picture: Picture, steps: int) -> Picture:
    """Steps of length 1 that raise the target's score, as the course cs231n writes them."""
    x = preprocess(rival, picture)
    for _ in range(steps):
        x.requires_grad_()
        (dx,) = torch.autograd.grad(rival.module(x)[0, TARGET], x)
        x = (x.detach() + dx / dx.norm()).clamp(LOW, HIGH)
    return x[0].numpy()


def class_model(rival: Torch, steps: int) -> Picture:
    """Simonyan et al. 2013, equation 1: steps of length 5 from the mean colour."""
    x = torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE).contiguous(memory_format=rival.layout)
    for _ in range(steps):
        x.requires_grad_()
        (dx,) = torch.autograd.grad(rival.module(x)[0, TARGET] - L2 * (x * x).sum(), x)
        x = (x.detach() + 5 * dx / dx.norm()).clamp(LOW, HIGH)
    return x[0].numpy()


def style_transfer(rival: Torch, content: Picture, style: Picture, steps: int) -> Picture:
    """Gatys et al. 2016 with Adam."""
    layers = tuple(dict.fromkeys((CONTENT, *STYLE)))
    with torch.no_grad():
        x = preprocess(rival, content)
        wanted = rival.module(x, layers)[CONTENT]
        painted = rival.module(preprocess(rival, style), layers)
        grams = {name: _gram(painted[name]) for name in STYLE}
    x.requires_grad_()
    optimizer = torch.optim.Adam([x], lr=LEARNING_RATE)
    for _ in range(steps):
        optimizer.zero_grad()
        found = rival.module(x, layers)
        loss = functional.mse_loss(found[CONTENT], wanted)
        for name, gram in grams.items():
            loss = loss + STYLE_WEIGHT / len(STYLE) * functional.mse_loss(_gram(found[name]), gram)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            x.clamp_(LOW, HIGH)
    return x[0].detach().numpy()


def _gram(a: Tensor) -> Tensor:
    flat = a.flatten(2)[0]
    return flat @ flat.T / flat.numel()
