"""PyTorch's side of the survey of architectures: modules with random weights, and what they compute."""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[Any]

SEED = 0


def build(library: str, name: str, options: Dict[str, Any]) -> nn.Module:
    """A network of torchvision or timm in evaluation mode, with random weights that are settled."""
    torch.manual_seed(SEED)
    if library == "timm":
        import timm

        module = timm.create_model(name, **options)
    else:
        from torchvision import models

        # Detectors and segmenters would load a trained backbone otherwise.
        parts = {"weights_backbone": None} if _has_backbone(models, name) else {}
        module = models.get_model(name, weights=None, **parts, **options)
    return settled(module.eval())


def _has_backbone(models: Any, name: str) -> bool:
    import inspect

    return "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters


def settled(module: nn.Module) -> nn.Module:
    """The module after mild random changes to what initialisation leaves constant.

    Fresh layer scales of 1e-6, last normalisations of 0 and running statistics of 0 and 1 would hide what a
    wrong program does in the blocks behind them.
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() and parameter.is_floating_point() and parameter.min() == parameter.max():
                _vary(parameter, generator)
        for part in module.modules():
            mean, variance = getattr(part, "running_mean", None), getattr(part, "running_var", None)
            if torch.is_tensor(mean) and torch.is_tensor(variance):
                mean += 0.1 * torch.randn(mean.shape, generator=generator)
                variance *= 0.7 + 0.6 * torch.rand(variance.shape, generator=generator)
    return module


def _vary(parameter: Tensor, generator: torch.Generator) -> None:
    value = float(parameter.flatten()[0])
    uniform = torch.rand(parameter.shape, generator=generator)
    if value == 0:
        parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    elif abs(value) < 0.01:
        parameter.copy_(0.1 + 0.2 * uniform)
    else:
        parameter *= 0.8 + 0.4 * uniform


def images(shape: Tuple[int, ...], seed: int) -> Tensor:
    """Random inputs with the variance of normalised photographs."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def scores(module: nn.Module, x: Tensor) -> Tensor:
    """The tensor among the module's outputs that `cnnviz.from_torch` takes too."""
    found = module(x)
    while not torch.is_tensor(found):
        found = found.get("out", next(iter(found.values()))) if isinstance(found, dict) else found[0]
    return found


def output(module: nn.Module, x: Tensor) -> Array:
    with torch.no_grad():
        return scores(module, x).numpy()


def input_gradient(module: nn.Module, x: Tensor, cotangent: Array) -> Array:
    """The gradient of the sum of the outputs, weighted by `cotangent`, with respect to x."""
    leaf = x.clone().requires_grad_()
    with contiguous_gradients():
        score = (scores(module, leaf) * torch.from_numpy(cotangent).to(x.dtype)).sum()
        (found,) = torch.autograd.grad(score, leaf)
    return found.numpy()


class Float64:
    """The same module in float64, as the judge of two programs in float32; None where it casts itself."""

    def __init__(self, module: nn.Module) -> None:
        self.module = copy.deepcopy(module).double()

    def output(self, x: Tensor) -> Optional[Array]:
        try:
            return output(self.module, x.double())
        except Exception:  # whatever a module raises that mixes its types
            return None

    def input_gradient(self, x: Tensor, cotangent: Array) -> Optional[Array]:
        try:
            return input_gradient(self.module, x.double(), cotangent)
        except Exception:
            return None


class _Contiguous(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()  # a view could not be changed in place, as ReLUs do

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous()


@contextmanager
def contiguous_gradients() -> Iterator[None]:
    """Hand contiguous gradients to batch normalisation.

    In evaluation mode, PyTorch 2.13's backward of batch_norm on the CPU is wrong for a gradient whose strides
    are those of a transposed view, as where a class of timm flattens a map into tokens behind it.
    """
    original = nn.functional.batch_norm

    def batch_norm(*args: Any, **kwargs: Any) -> Tensor:
        return _Contiguous.apply(original(*args, **kwargs))

    nn.functional.batch_norm = batch_norm
    try:
        yield
    finally:
        nn.functional.batch_norm = original


def cosine(a: Array, b: Array) -> float:
    """The smallest cosine, over the images of a batch, of the angle between two gradients."""
    left, right = (array.reshape(len(array), -1).astype(np.float64) for array in (a, b))
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(1) / np.maximum(norms, 1e-300)).min())


def angle(a: Array, b: Array) -> float:
    """The largest angle between two gradients; like a difference of outputs, it grows with the error."""
    return math.acos(min(cosine(a, b), 1.0))


def relative(found: Array, expected: Array) -> float:
    """The largest difference, over the largest output."""
    scale = float(np.abs(expected).max())
    return float(np.abs(found.astype(np.float64) - expected).max()) / max(scale, 1e-30)
