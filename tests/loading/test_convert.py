"""Conversion compares the export with the original, and names the package to install if it is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz


def test_from_torch_without_pytorch_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="from_torch needs PyTorch: pip install torch"):
        cnnviz.from_torch(None, None)


def test_from_keras_without_keras_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match="from_keras needs Keras 3: pip install keras"):
        cnnviz.from_keras(None)


class Exported:
    """The parts of a Keras model that from_keras uses: it computes one network and exports another."""

    input_shape = (None, 3, 32, 32)

    def __init__(self, original: bytes, export: bytes) -> None:
        self.original = cnnviz.load(original, preprocessing="unit")
        self.bytes = export

    def __call__(self, x: Any) -> Any:
        return self.original.forward(x)

    def export(self, path: str, **options: Any) -> None:
        Path(path).write_bytes(self.bytes)


def untrained(classes: int, last: str, seed: int) -> bytes:
    """A linear layer with small weights, so that all classes have about the same probability."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["scores"]),
        helper.make_node(last, ["scores"], ["answers"]),
    ]
    weights = {"w": np.random.default_rng(seed).normal(0, 0.1, (3, classes))}
    return onnx_bytes(nodes, weights, input_shape=["N", 3, 32, 32], output="answers")


@pytest.mark.parametrize("last", ["Identity", "Softmax", "Sigmoid"])
@pytest.mark.parametrize("classes", [10, 1000, 10_000])
def test_a_wrong_export_is_refused(monkeypatch: pytest.MonkeyPatch, classes: int, last: str) -> None:
    """The check also works where all outputs are small: probabilities of thousands of classes."""
    monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))
    right, wrong = (untrained(classes, last, seed) for seed in range(2))
    converted = cnnviz.from_keras(Exported(right, right), preprocessing="unit")
    x = np.ones((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(converted.forward(x), Exported(right, right)(x))
    with pytest.raises(cnnviz.CnnvizError, match="differ from the original's by up to"):
        cnnviz.from_keras(Exported(right, wrong), preprocessing="unit")
