"""Whole techniques, picture in and map out: cnnviz's, and the loops that a PyTorch user writes.

The loops are as short as they can be and do no more than the recipe asks for, so that the comparison is with
PyTorch itself and not with some library on top of it.
"""

from __future__ import annotations

from typing import Any, Callable, Dict

import numpy as np
import torch
from contenders import TARGET, Torch
from networks import IMAGE_SIZE, NETWORKS
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

import cnnviz

Run = Callable[[], object]
Picture = NDArray[np.float32]  # H,W,3 from 0 to 1

NETWORK = "squeezenet"
LAYER = "concat_60"  # the last fire module's output

MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)


def pairs(job: Dict[str, Any]) -> Dict[str, Dict[str, Run]]:
    """Every technique, as what cnnviz and both layouts of PyTorch run."""
    network = NETWORKS[NETWORK]()
    model = cnnviz.load(network.proto, preprocessing="imagenet")
    picture = np.random.default_rng(0).random((IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.float32)
    layouts = {
        "torch": Torch(network, channels_last=False),
        "torch channels_last": Torch(network, channels_last=True),
    }
    ours: Dict[str, Run] = {
        "saliency": lambda: cnnviz.saliency(model, picture, TARGET),
        "grad_cam": lambda: cnnviz.grad_cam(model, picture, TARGET, LAYER),
    }
    theirs: Dict[str, Callable[[Torch, Picture], object]] = {"saliency": saliency, "grad_cam": grad_cam}
    return {
        name: {
            "cnnviz": run,
            **{peer: _bound(theirs[name], rival, picture) for peer, rival in layouts.items()},
        }
        for name, run in ours.items()
    }


def _bound(loop: Callable[[Torch, Picture], object], rival: Torch, picture: Picture) -> Run:
    return lambda: loop(rival, picture)


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
