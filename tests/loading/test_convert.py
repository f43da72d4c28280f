"""Conversion compares the export with the original, and names the package to install if it is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Dict

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

    inputs = (SimpleNamespace(shape=(None, 3, 32, 32), name="x"),)
    layers = (SimpleNamespace(data_format="channels_first"),)
    trainable_variables = non_trainable_variables = ()
    name = "exported"

    def __init__(self, original: bytes, export: bytes) -> None:
        self.original = cnnviz.load(original, preprocessing="unit")
        self.bytes = export

    def __call__(self, x: Any, training: bool = False) -> Any:
        assert not training
        return self.original.forward(x)

    def stateless_call(self, trainable: Any, others: Any, x: Any, training: bool) -> Any:
        return self(x, training), ()

    def export(self, path: str, **options: Any) -> None:
        Path(path).write_bytes(self.bytes)


def keras_of_numpy() -> ModuleType:
    """The parts of Keras that from_keras uses, on a backend that it does not know."""
    ops = SimpleNamespace(
        cast=lambda x, dtype: x.astype(dtype),
        convert_to_numpy=np.asarray,
        convert_to_tensor=np.asarray,
        is_tensor=lambda x: isinstance(x, np.ndarray),
    )
    keras = ModuleType("keras")
    keras.__dict__.update(
        Model=Exported,
        ops=ops,
        backend=SimpleNamespace(backend=lambda: "numpy"),
        layers=SimpleNamespace(InputSpec=lambda **options: options),
    )
    return keras


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
    monkeypatch.setitem(sys.modules, "keras", keras_of_numpy())
    right, wrong = (untrained(classes, last, seed) for seed in range(2))
    converted = cnnviz.from_keras(Exported(right, right), preprocessing="unit")
    x = np.ones((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(converted.forward(x), Exported(right, right)(x))
    with pytest.raises(cnnviz.CnnvizError, match="differ from the original's by up to"):
        cnnviz.from_keras(Exported(right, wrong), preprocessing="unit")


@pytest.mark.parametrize(
    ("file", "missing", "hint"),
    [
        ("net.keras", "keras", "is a file of Keras, which loads it: pip install keras"),
        ("net.h5", "keras", "is a file of Keras, which loads it: pip install keras"),
        ("net.tflite", "tf2onnx", "is a TFLite file, which TensorFlow and tf2onnx read: pip install"),
        ("saved_model.pb", "tensorflow", "is a SavedModel, which TensorFlow and tf2onnx read: pip install"),
    ],
)
def test_files_of_other_frameworks_name_the_package_that_reads_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, missing: str, hint: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, f"{missing}.convert", None)
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(ImportError, match=hint):
        cnnviz.load(tmp_path if file == "saved_model.pb" else tmp_path / file)


@pytest.mark.parametrize("option", [{"outputs": ["y"]}, {"inputs": {"age": 1.0}}], ids=str)
def test_options_of_onnx_files_are_refused_for_others(tmp_path: Path, option: Dict[str, Any]) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"outputs= and inputs= are for ONNX files, and .*net\.h5 is none"):
        cnnviz.load(path, **option)
