"""A network of two matrices with the interface of `cnnviz.Model`, to test the loop without the core."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Dict, Optional, Sequence

import numpy as np

from cnnviz.pictures.preprocessing import as_preprocessing


class NumpyModel:
    """input -> hidden = relu(A x + a) -> logits = B hidden + b; layers "hidden" (N,C,1,1) and "logits"."""

    def __init__(
        self, size=(6, 8), hidden: int = 12, classes: int = 5, bias: float = 0.0, preset: str = "imagenet"
    ) -> None:
        rng = np.random.default_rng(11)
        pixels = 3 * size[0] * size[1]
        self.first = (rng.normal(size=(hidden, pixels)) / np.sqrt(pixels)).astype(np.float32)
        self.bias = np.float32(bias)
        self.second = (rng.normal(size=(classes, hidden)) / np.sqrt(hidden)).astype(np.float32)
        self.preprocessing = as_preprocessing(preset, 3, size)
        self.layers = {"hidden": (1, hidden, 1, 1), "logits": (1, classes)}
        self.calls = 0

    def forward(self, x: np.ndarray, layers: Optional[Sequence[str]] = None):
        hidden = np.maximum(x.reshape(len(x), -1) @ self.first.T + self.bias, 0)
        found = {"hidden": hidden[:, :, None, None], "logits": hidden @ self.second.T, "input": x}
        return found["logits"] if layers is None else {name: found[name] for name in layers}

    def gradient(self, x: np.ndarray, objective, wrt: str = "input", relu: str = "plain"):
        self.calls += 1
        if not np.isfinite(x).all():
            raise ValueError("x holds NaN or infinity")
        activations = self.forward(x, objective.layers)
        value, cotangents = objective.evaluate(activations)
        hidden = self.forward(x, ["hidden"])["hidden"][:, :, 0, 0]
        dhidden = np.zeros_like(hidden)
        if "logits" in cotangents:
            dhidden += cotangents["logits"] @ self.second
        if "hidden" in cotangents:
            dhidden += cotangents["hidden"][:, :, 0, 0]
        active = hidden > 0
        if relu == "redirected":
            blocked = ~(active & (dhidden != 0)).any(axis=1, keepdims=True)
            active = active | (blocked & (dhidden > 0))
        dx = ((dhidden * active) @ self.first).reshape(x.shape)
        gradients: Dict[str, np.ndarray] = {"input": dx + cotangents.get("input", np.float32(0))}
        return SimpleNamespace(value=value, gradients=gradients, activations=activations)
