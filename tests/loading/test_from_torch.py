"""Live modules of every kind become models: wrappers, float types, outputs, sizes, names of layers."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from typing import Any, Callable, Dict, NamedTuple, Tuple

import numpy as np
import pytest

import cnnviz

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]


class Net(nn.Module):
    """A small network that takes any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.bn(self.conv(x))).mean((2, 3)))


class Returns(nn.Module):
    """A network with another container around its output."""

    def __init__(self, contain: Callable[[Any], Any]) -> None:
        super().__init__()
        self.net, self.contain = Net(), contain

    def forward(self, x: Any) -> Any:
        return self.contain(self.net(x))


@dataclasses.dataclass
class Answer:
    logits: Any
    hidden: Any = None


class Pair(NamedTuple):
    first: Any
    second: Any


def settled(module: Any) -> Any:
    """The module with BatchNorm statistics and weights that are not those of a new one."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.running_var, part.weight.data, part.running_mean, part.bias.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module


X = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(3))

OUTPUTS: Dict[str, Tuple[Callable[[Any], Any], Any, float]] = {
    # what the module returns, output=, the factor of the scores
    "tuple": (lambda y: (y, 2 * y), None, 1),
    "second of a tuple": (lambda y: (y, 2 * y), 1, 2),
    "dictionary": (lambda y: {"aux": 2 * y, "out": y}, None, 1),
    "name in a dictionary": (lambda y: {"aux": 2 * y, "out": y}, "aux", 2),
    "dataclass": (lambda y: Answer(y), None, 1),
    "named tuple": (lambda y: Pair(y, 2 * y), "second", 2),
    "nested": (lambda y: [{"boxes": y}], "0.boxes", 1),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_one_tensor_is_taken_of_an_output_that_has_several(name: str) -> None:
    contain, output, factor = OUTPUTS[name]
    module = settled(Returns(contain))
    model = cnnviz.from_torch(module, X, output=output)
    expected = factor * module.net.eval()(X).detach().numpy()
    np.testing.assert_allclose(model.forward(X.numpy()), expected, rtol=1e-4, atol=1e-5)
    assert model.layers.resolve("net.relu") in model.layers


WRAPPERS: Dict[str, Callable[[Any], Any]] = {
    "half": lambda net: net.half(),
    "bfloat16": lambda net: net.bfloat16(),
    "double": lambda net: net.double(),
    "DataParallel": lambda net: nn.DataParallel(net),
    "scripted": lambda net: torch.jit.script(net.eval()),
    "traced": lambda net: torch.jit.trace(net.eval(), X),
    "compiled": lambda net: torch.compile(net),
    "averaged": lambda net: torch.optim.swa_utils.AveragedModel(net),
    "weight norm": lambda net: nn.utils.parametrizations.weight_norm(net.conv, "weight") and net,
    "spectral norm": lambda net: nn.utils.parametrizations.spectral_norm(net.head, "weight") and net,
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrapped_modules_work_and_stay_as_they_are(name: str) -> None:
    net = settled(Net())
    module = WRAPPERS[name](net)
    if name not in ("scripted", "traced"):
        net.relu.register_forward_hook(lambda *given: None)
    before = {key: (value.dtype, value.clone()) for key, value in module.state_dict().items()}
    training = [part.training for part in module.modules()]
    hooks = [len(part._forward_hooks) for part in net.modules()]
    model = cnnviz.from_torch(module, X)
    assert [part.training for part in module.modules()] == training
    assert [len(part._forward_hooks) for part in net.modules()] == hooks
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(after[k].dtype == dtype and torch.equal(after[k], v) for k, (dtype, v) in before.items())
    expected = net.float().eval()(X).detach().numpy()
    np.testing.assert_allclose(model.forward(X.numpy()), expected, rtol=1e-3, atol=1e-4)


class TwoInputs(Net):
    def forward(self, x: Any, scale: Any) -> Any:
        return super().forward(x) * scale


REFUSED: Dict[str, Tuple[Callable[[], Any], Any, type, str]] = {
    "two inputs": (TwoInputs, X, ValueError, r"argument: 'scale': pass all its inputs as example=\(image, "),
    "no picture": (TwoInputs, (X[0], X[0]), ValueError, r"no picture N,C,H,W .*: x \(3, 32, 32\), scale"),
    "no batch axis": (Net, X[0], ValueError, r"shape \(3, 32, 32\): it must be N,C,H,W: add the batch axis"),
    "weights alone": (lambda: Net().state_dict(), X, TypeError, "not OrderedDict: build the network"),
    "no tensor": (lambda: Returns(lambda y: "text"), X, ValueError, "returns no tensor but str"),
    "grey example": (Net, X[:, :1], ValueError, "does not take the example: RuntimeError"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_what_to_do(name: str) -> None:
    make, example, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        cnnviz.from_torch(make(), example)


def test_an_output_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        ValueError, match="output 'x' does not exist: the module returns the tensors aux, out"
    ):
        cnnviz.from_torch(Returns(lambda y: {"aux": y, "out": y}), X, output="x")


def test_a_shape_is_example_enough() -> None:
    assert cnnviz.from_torch(Net(), (3, 24, 40)).preprocessing.size == (24, 40)


class SizeInTheScores(Net):
    """A sum over the picture, divided by its size: traced carelessly, the size is that of the example."""

    def forward(self, x: Any) -> Any:
        y = self.relu(self.bn(self.conv(x)))
        return self.head(y.sum((2, 3)) / (y.shape[2] * y.shape[3]))


class Enlarges(Net):
    def forward(self, x: Any) -> Any:
        y = functional.interpolate(self.conv(x), size=x.shape[2:], mode="bilinear", align_corners=False)
        return self.head((y * x.mean(1, keepdim=True)).mean((2, 3)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.block, self.head = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        return self.head(self.block(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize("make", [Net, SizeInTheScores, Enlarges, Attention])
def test_sizes_and_batches_are_free_where_the_module_leaves_them_free(make: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    module = settled(make())
    model = cnnviz.from_torch(module, X)
    assert not model.graph.fixed
    module.eval()
    for shape in ((1, 3, 32, 32), (3, 3, 32, 32), (2, 3, 48, 80)):
        x = torch.rand(shape)
        np.testing.assert_allclose(model.forward(x.numpy()), module(x).detach().numpy(), rtol=1e-3, atol=1e-4)


class FixedHead(nn.Module):
    """A head that takes one size of the feature maps alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Linear(8 * 16 * 16, 5)

    def forward(self, x: Any) -> Any:
        return self.head(self.relu(self.conv(x)).flatten(1))


class Uneven(nn.Module):
    """Adaptive windows of two sizes, which the exporter writes for one size of the picture alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.AdaptiveAvgPool2d(3), nn.Linear(72, 5)

    def forward(self, x: Any) -> Any:
        return self.head(self.pool(self.conv(x)).flatten(1))


@pytest.mark.parametrize(("make", "last"), [(FixedHead, "relu"), (Uneven, "conv")])
def test_a_size_that_is_fixed_is_refused_by_name(make: Callable[[], Any], last: str) -> None:
    torch.manual_seed(0)
    module = make()
    model = cnnviz.from_torch(module, X)
    expected = module(X).detach().numpy()
    np.testing.assert_allclose(model.forward(X.numpy()), expected, rtol=1e-4, atol=1e-5)
    other = np.zeros((1, 3, 64, 48), np.float32)
    with pytest.raises(
        ValueError, match=r"input 'input' has size 64x48, and layer .* is right at 32x32 alone"
    ):
        model.forward(other)
    assert model.forward(other, [last])[last].shape == (1, 8, 32, 24)


class Shifts(Net):
    """Rolls large maps alone, as Swin shifts windows where a map is larger than one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return self.head((x.roll(1, 2).square() if x.shape[2] > 8 else x).mean((2, 3)))


def test_sizes_that_take_another_course_are_not_tried_with_the_slow_exporter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cnnviz.loading import torch_export

    asked = []
    exported = torch_export._exported

    def counted(torch: Any, module: Any, x: Any, axes: Tuple[int, ...]) -> Any:
        asked.append(axes)
        return exported(torch, module, x, axes)

    monkeypatch.setattr(torch_export, "_exported", counted)
    model = cnnviz.from_torch(Shifts().eval(), (1, 3, 16, 16))
    assert asked == []
    with pytest.raises(ValueError, match="right at 16x16 alone"):
        model.forward(np.zeros((1, 3, 48, 48), np.float32))


def test_a_module_runs_once_at_the_example() -> None:
    calls = []
    module = Net().eval()
    module.conv.register_forward_hook(lambda part, given, found: calls.append(tuple(given[0].shape)))
    cnnviz.from_torch(module, (1, 3, 16, 16))
    # The watched run, the one that looks for branches, and the trace.
    assert calls.count((1, 3, 16, 16)) == 3


class Branches(Net):
    def forward(self, x: Any) -> Any:
        if x.mean() > 0.1:
            x = -x
        return super().forward(x) if x.shape[2] > 4 else x


def test_a_branch_on_the_picture_is_said_to_be_frozen() -> None:
    with pytest.warns(UserWarning, match=r"numbers at test_from_torch\.py:\d+ \(if x.mean\(\) > 0\.1:\)"):
        cnnviz.from_torch(Branches(), X)


def test_torch_prints_logs_and_warns_of_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        cnnviz.from_torch(Uneven(), X)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_layers_answer_to_the_names_of_the_parts() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn, self.relu = nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.bn(self.conv(self.relu(x))) + x)

    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Sequential(Block(), Block()), nn.Flatten(), nn.LazyLinear(5)
    )
    module(X)
    module = settled(module).eval()
    kept: Dict[str, Any] = {}
    for name, part in module.named_modules():
        part.register_forward_hook(lambda part, x, y, name=name: kept.__setitem__(name, y.detach().numpy()))
    module(X)
    model = cnnviz.from_torch(module, X)
    for name in ("0", "1", "1.0", "1.1", "1.1.bn", "1.0.relu", "2", "3"):
        np.testing.assert_allclose(model.forward(X.numpy(), [name])[name], kept[name], rtol=1e-3, atol=1e-4)
    assert model.layers.resolve("1.1.conv") == model.layers.resolve("1.1.bn")
    assert cnnviz.grad_cam(model, np.zeros((32, 32, 3), np.uint8), layer="1.1").layer == "1.1"


def test_float64_judges_networks_whose_scores_are_mostly_rounding() -> None:
    class Cancels(Net):
        """Scores that are differences of numbers a million times as large."""

        def forward(self, x: Any) -> Any:
            y = self.conv(x).mean((2, 3))
            return self.head(y + 3e5) - self.head.weight.sum(1) * 3e5

    module = Cancels()
    model = cnnviz.from_torch(module, X)
    exact = module.double().eval()(X.double()).detach().numpy()
    assert np.abs(model.forward(X.numpy()) - exact).max() > 1e-3 * np.abs(exact).max()
