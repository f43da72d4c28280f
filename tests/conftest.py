"""Fixtures that several test files share: trained networks, and a check that no figure stays open."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest

import cnnviz._config  # noqa: F401  chooses the BLAS for tests that use the core directly

# No test opens a window, whatever the machine's matplotlibrc says.
os.environ.setdefault("MPLBACKEND", "Agg")

# A job that a script starts in the background inherits an ignored SIGINT, and Python leaves it ignored: the
# tests of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# NETWORKS are file, preprocessing and labels of the networks in $CNNVIZ_ASSETS, as its README states them.
NETWORKS = {
    "squeezenet": ("squeezenet1.1.onnx", "imagenet", None),
    "squeezenet-fp16": ("squeezenet1.1-caffe2-fp16.onnx", "caffe", None),
    "darknet": ("darknet-tiny.onnx", "unit", "darknet"),
    "mobilenetv1": ("mobilenetv1-0.25.onnx", "tf", None),
    "mobilenetv2": ("mobilenetv2-1.0.onnx", "tf", None),
    "resnet20": ("resnet20-cifar10.onnx", "imagenet", "cifar10"),
}


@pytest.fixture(scope="session")
def assets() -> Path:
    folder = os.environ.get("CNNVIZ_ASSETS")
    if not folder:
        pytest.skip("CNNVIZ_ASSETS is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def network(assets: Path) -> Callable[[str], Any]:
    """Load a trained network by its short name, once."""
    import cnnviz

    loaded: Dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in loaded:
            file, preprocessing, labels = NETWORKS[name]
            if labels == "darknet":
                names = (assets / "labels" / "darknet-imagenet.labels.list").read_text().split()
                labels = names[:1000]
            loaded[name] = cnnviz.load(assets / "models" / file, preprocessing=preprocessing, labels=labels)
        return loaded[name]

    return load


@pytest.fixture
def no_figures_left() -> Iterator[None]:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before
