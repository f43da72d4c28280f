"""Files of PyTorch's two exporters, traced with a batch of one and run with three pictures."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from graphs import run

from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


class SqueezeExcite(nn.Module):
    """The block of MobileNetV3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.squeeze, self.excite, self.head = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1), nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        x = functional.hardswish(self.norm(self.conv(x)))
        gate = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        x = x * functional.hardsigmoid(self.excite(gate))
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class Views(nn.Module):
    """Shapes taken from the tensors themselves, as in ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.depthwise = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.head = nn.Linear(12 * 16, 5)

    def forward(self, x: Any) -> Any:
        a, b = functional.silu(self.conv(x)).chunk(2, 1)
        x = torch.cat([a, functional.leaky_relu(self.depthwise(b))], 1)
        n, c, h, w = x.size()
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
        x = functional.avg_pool2d(functional.max_pool2d(x, 2), 2, ceil_mode=True)
        return functional.log_softmax(self.head(x.view(x.size(0), -1)), 1)


class Style(nn.Module):
    """Fast style transfer: reflection, instance normalisation, resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.last = (
            nn.Conv2d(3, 8, 3),
            nn.InstanceNorm2d(8, affine=True),
            nn.Conv2d(8, 3, 3),
        )

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.norm(self.conv(functional.pad(x, (1, 1, 1, 1), mode="reflect"))))
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = functional.interpolate(x, scale_factor=0.75, mode="bilinear", align_corners=False)
        return torch.tanh(self.last(functional.pad(x, (1, 1, 1, 1), mode="replicate")))


class ConvNeXt(nn.Module):
    """Channels last in the middle, layer normalisation and GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16), nn.Linear(16, 5)
        self.wide, self.narrow, self.scale = (
            nn.Linear(16, 32),
            nn.Linear(32, 16),
            nn.Parameter(torch.ones(16) / 8),
        )

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        y = self.narrow(functional.gelu(self.wide(self.norm(x.permute(0, 2, 3, 1))))) * self.scale
        return self.head((x + y.permute(0, 3, 1, 2)).mean((2, 3)))


class Mixed(nn.Module):
    """PReLU, group normalisation, pixel shuffle, slices."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.slope, self.norm = (
            nn.Conv2d(3, 16, 3, padding=2, dilation=2),
            nn.PReLU(16),
            nn.GroupNorm(4, 16),
        )

    def forward(self, x: Any) -> Any:
        x = functional.pixel_shuffle(self.norm(self.slope(self.conv(x))), 2)
        x = torch.clamp(x, -1, 1)[:, :, 1:, ::2]
        return torch.sum(functional.elu(x) * torch.sigmoid(x), (2, 3)) / x.shape[3]


def exported(module: Any, example: Any, exporter: str, batch: str) -> bytes:
    if exporter == "dynamo":
        free = ({0: torch.export.Dim("N", min=1, max=64)},) if batch == "free" else None
        program = torch.onnx.export(module, (example,), dynamo=True, dynamic_shapes=free, verbose=False)
        data: bytes = program.model_proto.SerializeToString()
        return data
    stream = io.BytesIO()
    axes = {"x": {0: "N"}} if batch == "free" else None
    torch.onnx.export(
        module, (example,), stream, dynamo=False, opset_version=17, input_names=["x"], dynamic_axes=axes
    )
    return stream.getvalue()


@pytest.mark.parametrize("batch", ["fixed", "free"])
@pytest.mark.parametrize("exporter", ["script", "dynamo"])
@pytest.mark.parametrize("architecture", [SqueezeExcite, Views, Style, ConvNeXt, Mixed])
def test_exports_agree_with_the_module(architecture: Any, exporter: str, batch: str) -> None:
    if exporter == "dynamo" and find_spec("onnxscript") is None:
        pytest.skip("onnxscript is not installed")
    torch.manual_seed(0)
    module = architecture().eval()
    graph = simplify(read(exported(module, torch.randn(1, 3, 16, 16), exporter, batch)))
    x = torch.randn(3, 3, 16, 16)
    expected = module(x).detach().numpy()
    (found,) = run(graph, x.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
