"""The trained networks differentiate as PyTorch differentiates them, and live modules become models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
import torch_twin
from conftest import NETWORKS

import cnnviz

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

# PyTorch's thread pool would compete with cnnviz's for the cores.
torch.set_num_threads(1)

NAMES = ["squeezenet", "darknet", "mobilenetv1", "mobilenetv2", "resnet20"]
PHOTOGRAPHS = ["gradcam_both.png", "pytorchhub_dog_samoyed.jpg", "caffe_cat.jpg"]
# Half of FLAT is exactly white: every max pool there has ties, which are broken alike only by kernels that
# give equal pixels equal results: PyTorch's, and the portable ones with the built-in product. OpenBLAS's
# results depend on a pixel's position in a strip on some CPUs (on a Zen 3, and not on a Xeon with AVX-512).
FLAT = "winml_kitten_224.png"

PORTABLE = """
import sys
import numpy as np
import cnnviz
path, x, target, to = sys.argv[1:]
np.save(to, cnnviz.load(path).gradient(np.load(x), int(target)).gradients["input"])
"""


def autograd(path: Path, x: Any, target: int) -> Any:
    """Return PyTorch's gradient of one score with respect to the image, and its scores."""
    tensor = torch.tensor(x, requires_grad=True)
    scores = torch_twin.run(torch, path, tensor)
    scores[0, target].backward()
    return tensor.grad.numpy().astype(np.float64), scores.detach().numpy().ravel()


def check(found: Any, expected: Any) -> None:
    """Compare with tolerances: two float32 programs decide a few ReLUs and pools near a tie differently."""
    found, expected = np.stack(found).astype(np.float64), np.stack(expected)
    cosine = (found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected)
    distance = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert cosine >= 0.9999, (cosine, distance)
    assert distance <= 0.02, (cosine, distance)


@pytest.mark.parametrize("name", NAMES)
def test_input_gradients_agree_with_autograd(network: Callable[[str], Any], assets: Path, name: str) -> None:
    model = network(name)
    found, expected = [], []
    for picture in PHOTOGRAPHS:
        x = model.preprocess(assets / "images" / picture)
        target = model.predicted(x)[0]
        ours = model.gradient(x, target)
        gradient, scores = autograd(assets / "models" / NETWORKS[name][0], x, target)
        np.testing.assert_allclose(ours.activations["logits"].ravel(), scores, atol=1e-3)
        found.append(ours.gradients["input"])
        expected.append(gradient)
    check(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_ties_in_flat_areas_are_broken_as_autograd_breaks_them(
    network: Callable[[str], Any], assets: Path, tmp_path: Path, name: str
) -> None:
    model, path = network(name), assets / "models" / NETWORKS[name][0]
    x = model.preprocess(assets / "images" / FLAT)
    target = model.predicted(x)[0]
    np.save(tmp_path / "x.npy", x)
    arguments = [str(path), str(tmp_path / "x.npy"), str(target), str(tmp_path / "gradient.npy")]
    subprocess.run(
        [sys.executable, "-c", PORTABLE, *arguments],
        env={**os.environ, "CNNVIZ_KERNELS": "portable", "CNNVIZ_BLAS": "builtin"},
        check=True,
    )
    check([np.load(tmp_path / "gradient.npy")], [autograd(path, x, target)[0]])


RECTIFIED = ["squeezenet", "mobilenetv2", "resnet20"]


@pytest.mark.parametrize("rule", ["guided", "deconv"])
@pytest.mark.parametrize("name", RECTIFIED)
def test_guided_backprop_agrees_with_autograd(
    network: Callable[[str], Any], assets: Path, name: str, rule: str
) -> None:
    model = network(name)
    for picture in PHOTOGRAPHS:
        result = cnnviz.guided_backprop(model, assets / "images" / picture, relu=rule)
        x = torch.tensor(model.preprocess(assets / "images" / picture), requires_grad=True)
        scores = torch_twin.run(
            torch, assets / "models" / NETWORKS[name][0], x, torch_twin.ruled(torch, rule)
        )
        scores[0, result.target].backward()
        assert cosine(result.values, x.grad[0]) >= 0.999


@pytest.mark.parametrize("name", RECTIFIED)
def test_grad_cam_agrees_with_autograd(network: Callable[[str], Any], assets: Path, name: str) -> None:
    model, path = network(name), assets / "models" / NETWORKS[name][0]
    layer = cnnviz.grad_cam(model, assets / "images" / PHOTOGRAPHS[0]).layer
    for picture in PHOTOGRAPHS:
        result = cnnviz.grad_cam(model, assets / "images" / picture, layer=layer)
        values: Any = {}
        x = torch.tensor(model.preprocess(assets / "images" / picture))
        x = x.requires_grad_()
        scores = torch_twin.run(torch, path, x, values=values)
        activation = values[layer]
        (gradient,) = torch.autograd.grad(scores[0, result.target], activation)
        cam = (gradient.mean(dim=(2, 3), keepdim=True) * activation).sum(dim=1)
        assert cosine(result.values, cam[0].detach()) >= 0.999
        enlarged = torch.nn.functional.interpolate(
            torch.relu(cam)[None], x.shape[2:], mode="bilinear", align_corners=False
        )
        assert cosine(result.map, enlarged[0, 0].detach()) >= 0.999


def cosine(found: Any, expected: Any) -> float:
    a, b = found.astype(np.float64).ravel(), expected.numpy().astype(np.float64).ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


class Residual(torch.nn.Module):
    """A small network of layers that exporters spread over several nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.second = torch.nn.Conv2d(8, 8, 3, padding=1)
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.nn.functional.max_pool2d(x, 2)
        x = torch.relu(x + self.second(x))
        return self.head(self.drop(x.mean(dim=(2, 3))))


def test_a_live_module_becomes_a_model() -> None:
    torch.manual_seed(0)
    module = Residual().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    example = torch.randn(1, 3, 16, 16)
    model = cnnviz.from_torch(module, example, preprocessing="unit", labels=list("abcde"))
    assert module.training
    assert module.drop.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert list(model.labels) == list("abcde")
    module.eval()
    tensor = example.clone().requires_grad_()
    module(tensor)[0, 2].backward()
    gradient = model.gradient(example.numpy(), "c").gradients["input"]
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-3, atol=1e-6)
    cnnviz.grad_cam(model, np.zeros((16, 16, 3), np.uint8))


def test_a_module_whose_answers_differ_is_refused() -> None:
    class Moody(torch.nn.Module):
        """A module with other outputs at each call."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return self.conv(x).mean(dim=(2, 3)) * float(self.calls)

    with pytest.raises(
        cnnviz.CnnvizError, match=r"differ from the original's by up to [\d.e-]+, on values up to"
    ):
        cnnviz.from_torch(Moody(), torch.randn(1, 3, 8, 8))
