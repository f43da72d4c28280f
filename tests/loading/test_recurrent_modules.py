"""Recurrent modules of PyTorch: exported, loaded, and right in numbers and gradients."""

from __future__ import annotations

import io
import warnings
from typing import Any, Dict, Tuple

import numpy as np
import pytest

import cnnviz
from cnnviz.objectives import Score

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

STEPS, INPUTS, HIDDEN = 6, 5, 4
ROWS: Dict[str, Tuple[str, Dict[str, Any]]] = {
    "LSTM": ("LSTM", {}),
    "LSTM, two layers both ways": ("LSTM", {"num_layers": 2, "bidirectional": True}),
    "LSTM, batch first": ("LSTM", {"batch_first": True, "bidirectional": True}),
    "LSTM, without biases": ("LSTM", {"bias": False}),
    "GRU": ("GRU", {}),
    "GRU, two layers both ways": ("GRU", {"num_layers": 2, "bidirectional": True}),
    "GRU, without biases": ("GRU", {"bias": False, "bidirectional": True}),
    "RNN": ("RNN", {"bidirectional": True}),
    "RNN, ReLU": ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
}


def reader(name: str) -> Any:
    """A module that reads the columns of pictures N,1,5,6 and gives N,T,K."""

    class Reader(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            kind, options = ROWS[name]
            self.batch_first = options.get("batch_first", False)
            self.layer = getattr(torch.nn, kind)(INPUTS, HIDDEN, **options)
            self.scores = torch.nn.Linear(HIDDEN * (2 if options.get("bidirectional") else 1), 3)

        def forward(self, x: Any) -> Any:
            x = x.squeeze(1)
            x = x.permute(0, 2, 1) if self.batch_first else x.permute(2, 0, 1)
            y = self.scores(self.layer(x)[0])
            return y if self.batch_first else y.permute(1, 0, 2)

    torch.manual_seed(3)
    return Reader().eval()


def exported(module: Any) -> bytes:
    """The module as the exporter by tracing writes it, with an open batch."""
    file = io.BytesIO()
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is deprecated
        torch.onnx.export(module, torch.zeros(1, 1, INPUTS, STEPS), file, dynamo=False, **names)
    return file.getvalue()


@pytest.mark.parametrize("name", ROWS)
def test_numbers_and_gradients_are_those_of_autograd(name: str) -> None:
    module = reader(name)
    model = cnnviz.load(exported(module), preprocessing="unit")
    kinds = {node.op for node in model.graph.nodes}
    assert ROWS[name][0] in kinds
    x = np.random.default_rng(0).normal(size=(3, 1, INPUTS, STEPS)).astype(np.float32)
    tensor = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    y = module.double()(tensor)
    np.testing.assert_allclose(model.forward(x), y.detach().numpy(), rtol=1e-5, atol=1e-6)
    for step, score in ((0, 1), (STEPS - 1, 2)):
        (expected,) = torch.autograd.grad(y[:, step, score].sum(), tensor, retain_graph=True)
        found = model.gradient(x, Score("y", (step, score))).gradients["input"]
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)
