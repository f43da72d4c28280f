"""Layers that PyTorch's older exporter has no form of: written in operators of ONNX, right at every size."""

from __future__ import annotations

from typing import Any, Callable, Dict

import numpy as np
import pytest

import cnnviz
from cnnviz.loading import torch_export

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]


class ChannelsLast(nn.Module):
    """A convolution, a layer over N,H,W,C, and the mean of every channel."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.conv, self.layer = nn.Conv2d(3, 8, 3, 2, 1), layer

    def forward(self, x: Any) -> Any:
        return self.layer(self.conv(x).permute(0, 2, 3, 1)).mean((1, 2))


LAYERS: Dict[str, Callable[[], Any]] = {
    "RMSNorm": lambda: nn.RMSNorm(8),
    "RMSNorm with its own eps": lambda: nn.RMSNorm(8, eps=0.1),
    "RMSNorm without weights": lambda: nn.RMSNorm(8, elementwise_affine=False),
    "RMSNorm over two axes": lambda: nn.RMSNorm((8, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_older_exporter_writes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*arguments: Any) -> Any:
        raise RuntimeError("the newer exporter is not to be needed")

    monkeypatch.setattr(torch_export, "_exported", absent)
    torch.manual_seed(0)
    layer = LAYERS[name]()
    for weight in layer.parameters():
        nn.init.uniform_(weight)
    module = ChannelsLast(layer).eval()
    model = cnnviz.from_torch(module, (1, 3, 16, 16))
    one_size = "two axes" in name
    assert bool(model.graph.fixed) == one_size
    size = (16, 16) if one_size else (32, 24)
    x = torch.randn(3, 3, *size, requires_grad=True)
    expected = module(x)
    np.testing.assert_allclose(
        model.forward(x.detach().numpy()), expected.detach().numpy(), rtol=1e-5, atol=1e-6
    )
    expected[:, 1].sum().backward()
    found = model.gradient(x.detach().numpy(), 1).gradients["input"]
    np.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-4, atol=1e-6)
