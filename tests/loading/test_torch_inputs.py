"""Modules of several inputs, and of other channels than RGB, become models whose gradients are autograd's."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np
import pytest

import cnnviz

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = pytest.mark.torch

UNIT = cnnviz.Preprocessing()
RNG = np.random.default_rng(0)


def backbone(channels: int = 3) -> Any:
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.Tanh()
    )


class WithTable(nn.Module):
    """A picture and a table; `gain` is a number of Python's."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.mixed, self.head = backbone(), nn.Linear(12, 8), nn.Linear(8, 5)

    def forward(self, image: Any, table: Any, gain: float = 1.0) -> Any:
        both = torch.cat([self.net(image).mean((2, 3)), table], 1)
        return self.head(torch.tanh(self.mixed(both))) * gain


class TableFirst(WithTable):
    def forward(self, table: Any, image: Any) -> Any:  # type: ignore[override]
        return super().forward(image, table)


class TwoPictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.head = backbone(), nn.Linear(8, 5)

    def forward(self, left: Any, right: Any) -> Any:
        return {"scores": self.head(torch.tanh(self.net(left) * self.net(right)).mean((2, 3)))}


class NamedAlike(nn.Module):
    """Parts with the names of the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.table, self.head = backbone(), nn.Linear(4, 8), nn.Linear(8, 5)

    def forward(self, image: Any, table: Any) -> Any:
        return self.head(torch.tanh(self.image(image).mean((2, 3)) * self.table(table)))


IMAGE, TABLE = torch.rand(1, 3, 32, 40), torch.rand(1, 4)
Case = Tuple[Any, Any, Dict[str, str], Dict[str, Any]]
#: A module, its example, the inputs of the model, and further options.
CASES: Dict[str, Case] = {
    "a tuple": (WithTable, (IMAGE, TABLE), {"image": "picture", "table": "array"}, {}),
    "a dictionary": (WithTable, {"table": TABLE, "image": IMAGE}, {"image": "picture", "table": "array"}, {}),
    "a number of Python's": (WithTable, (IMAGE, TABLE, 0.5), {"image": "picture", "table": "array"}, {}),
    "parts and inputs of one name": (
        NamedAlike,
        (IMAGE, TABLE),
        {"image": "picture", "table": "array"},
        {},
    ),
    "the table first": (TableFirst, (TABLE, IMAGE), {"image": "picture", "table": "array"}, {}),
    "two pictures": (TwoPictures, (IMAGE, IMAGE.flip(3)), {"left": "picture", "right": "picture"}, {}),
    "the second of two": (
        TwoPictures,
        (IMAGE, IMAGE.flip(3)),
        {"right": "picture", "left": "picture"},
        {"inputs": {"right": "picture"}},
    ),
}


def made(case: Case) -> Tuple[Any, cnnviz.Model]:
    torch.manual_seed(0)
    module = case[0]().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_var.copy_(torch.rand(8) + 0.5)
    return module, cnnviz.from_torch(module, case[1], preprocessing=UNIT, **case[3])


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_are_the_modules(name: str) -> None:
    module, model = made(CASES[name])
    assert model.inputs == CASES[name][2]
    assert next(iter(model.inputs)) == next(iter(CASES[name][2]))
    fixed = {"gain": 0.5} if name.startswith("a number") else {}
    for count, size in ((1, (32, 40)), (3, (32, 40)), (2, (48, 36))):
        given = {
            one: torch.rand((count, 3, *size) if kind == "picture" else (count, 4), requires_grad=True)
            for one, kind in model.inputs.items()
        }
        y = module(**given, **fixed)
        y = y["scores"] if isinstance(y, dict) else y
        y[:, 2].sum().backward()
        arrays = {one: tensor.detach().numpy() for one, tensor in given.items()}
        np.testing.assert_allclose(model.forward(arrays), y.detach().numpy(), rtol=1e-4, atol=1e-5)
        found = model.gradient(arrays, 2, wrt=list(given)).gradients
        for one, tensor in given.items():
            np.testing.assert_allclose(found[one], tensor.grad.numpy(), rtol=1e-3, atol=1e-6, err_msg=one)
    if isinstance(module, WithTable):  # the parts of two pictures are called twice
        assert model.layers.resolve("net.2") in model.layers


def test_techniques_ask_with_both() -> None:
    module, model = made(CASES["a tuple"])
    pictures = RNG.random((3, 32, 40, 3)).astype(np.float32)
    tables = RNG.random((3, 4)).astype(np.float32)
    x = torch.tensor(model.preprocess(pictures), requires_grad=True)
    module(x, torch.tensor(tables))[:, 1].sum().backward()
    rows = cnnviz.saliency(model, {"image": pictures, "table": tables}, 1)
    for row, gradient in zip(rows, x.grad.numpy()):
        np.testing.assert_allclose(row.values, gradient, rtol=1e-3, atol=1e-6)
    assert cnnviz.grad_cam(model, {"image": pictures[0], "table": tables[0]}, 1).map.shape == (32, 40)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_wrapper_that_holds_the_other_input_takes_any_batch(rows: int) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = WithTable()
            self.register_buffer("table", TABLE)

        def forward(self, x: Any) -> Any:
            return self.inner(x, self.table.expand(len(x), -1))

    module = Fixed().eval()
    model = cnnviz.from_torch(module, torch.rand(rows, 3, 32, 40), preprocessing=UNIT)
    for count in (1, 3, 5):
        x = torch.rand((count, 3, 32, 40), requires_grad=True)
        module(x)[:, 1].sum().backward()
        found = model.gradient(x.detach().numpy(), 1).gradients["input"]
        np.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 5, 12])
def test_modules_of_any_channels(channels: int) -> None:
    module = nn.Sequential(backbone(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    given = cnnviz.Preprocessing(
        channel_order=channels if channels > 1 else "L", range=(0, 4095), mean=900.0, std=400.0
    )
    model = cnnviz.from_torch(module, torch.rand(1, channels, 32, 40), preprocessing=given)
    picture = RNG.integers(0, 4096, (32, 40, channels))
    x = torch.tensor((picture.transpose(2, 0, 1)[None] - 900) / 400, dtype=torch.float32, requires_grad=True)
    module(x)[0, 3].backward()
    found = cnnviz.saliency(model, picture, 3)
    np.testing.assert_allclose(found.values, x.grad.numpy()[0], rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 3])
def test_modules_of_signals_and_volumes(rank: int) -> None:
    convolution, pool = (nn.Conv1d, nn.AdaptiveAvgPool1d) if rank == 1 else (nn.Conv3d, nn.AdaptiveAvgPool3d)
    torch.manual_seed(0)
    module = nn.Sequential(
        convolution(2, 6, 3, 1, 1),
        nn.Tanh(),
        convolution(6, 8, 3, 2, 1),
        nn.ReLU(),
        pool(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).eval()
    size = (48,) if rank == 1 else (8, 10, 12)
    model = cnnviz.from_torch(module, torch.rand(1, 2, *size))
    assert model.preprocessing.size == size
    for count, other in ((1, size), (3, size), (2, tuple(n + 4 for n in size))):
        x = torch.rand((count, 2, *other), requires_grad=True)
        module(x)[:, 3].sum().backward()
        found = model.gradient(x.detach().numpy(), 3).gradients["input"]
        np.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-3, atol=1e-6)
    given = RNG.normal(size=(*size, 2))
    assert cnnviz.grad_cam(model, given, 3).map.shape == size
    assert model.layers.resolve("3") in model.layers
    with pytest.raises(ValueError, match=r"it must be N,C,.*: add the batch axis"):
        cnnviz.from_torch(module, torch.rand(2, *size))


REFUSED = (
    ((IMAGE, TABLE), {"inputs": {"age": "picture"}}, "no input 'age', only 'image', 'table'"),
    ((IMAGE, TABLE), {"inputs": {"table": "table"}}, "'table' must be 'picture', 'array'"),
    ((IMAGE, TABLE[:, :2]), {}, "the module does not take the example"),
    ({"image": IMAGE}, {}, r"argument: 'table': pass all its inputs as example=\(image, "),
)


@pytest.mark.parametrize(("example", "options", "message"), REFUSED)
def test_other_examples_are_refused(example: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cnnviz.from_torch(WithTable(), example, **options)
