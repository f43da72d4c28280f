"""A pass takes no memory after the first one, and little in the first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes, small_classifier

import cnnviz
from cnnviz import _core
from cnnviz.model.plan_pool import PACKED_NBYTES, Request

# PEAK_MB limits the memory of a forward pass and an image gradient, by packed_nbytes (None: the default).
# PyTorch takes 144 MB for VGG-16's; the limit is a third of that.
PEAK_MB = {"squeezenet1.1": {0: 14, PACKED_NBYTES: 30}, "vgg16 features": {0: 40, None: 48}}

MEASURE = """
import sys
import numpy as np
import cnnviz

def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024

x = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
model = cnnviz.load(sys.argv[1], packed_nbytes=None if sys.argv[2] == "None" else int(sys.argv[2]))
loaded = status("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts anew from here
model.forward(x)
out = model.graph.outputs[0].name
model.gradient(x, {out: np.ones((1, *model.layers[out][1:]), np.float32)})
sys.stdout.write(str(status("VmHWM") - loaded))
"""


def vgg16_features() -> bytes:
    """The convolutions of VGG-16 (Simonyan & Zisserman 2014, table 1, column D), random weights."""
    rng = np.random.default_rng(0)
    nodes, weights, top, channels = [], {}, "x", 3
    for out, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            w = f"w{len(weights)}"
            weights[w] = rng.standard_normal((out, channels, 3, 3), np.float32) / np.float32(channels)
            nodes.append(helper.make_node("Conv", [top, w], [f"y{w}"], pads=[1, 1, 1, 1]))
            nodes.append(helper.make_node("Relu", [f"y{w}"], [f"z{w}"]))
            top, channels = f"z{w}", out
        nodes.append(helper.make_node("MaxPool", [top], [f"p{top}"], kernel_shape=[2, 2], strides=[2, 2]))
        top = f"p{top}"
    return onnx_bytes(nodes, weights, input_shape=[1, 3, 224, 224], output=top)


@pytest.mark.parametrize("packed_nbytes", [0, PACKED_NBYTES])
def test_nothing_is_allocated_after_the_first_pass(packed_nbytes: int) -> None:
    model = cnnviz.load(small_classifier(), preprocessing="unit", packed_nbytes=packed_nbytes)
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    model.forward(x)
    model.gradient(x, 3, wrt=["input", "relu1"])
    before = _core.alloc_calls()
    for _ in range(10):
        model.forward(x)
        model.gradient(x, 3, wrt=["input", "relu1"])
        model.gradient(x, 4, wrt=["input", "relu1"], relu="guided")
    assert _core.alloc_calls() == before


def test_plans_share_their_memory() -> None:
    model = cnnviz.load(small_classifier(), preprocessing="unit")
    pool = model._pool
    requests = [Request((1, 3, size, size), ("scores",)) for size in (32, 48, 40)]
    for request in requests:
        model.forward(np.zeros(request.shape, np.float32))
    (workspace,) = pool._idle
    assert workspace.nbytes == pool.nbytes(requests[1])
    with pool.lend(requests[0]), pool.lend(requests[0]):
        assert pool._idle == []
    assert len(pool._idle) == 2


def test_idle_workspaces_are_given_up() -> None:
    pool = cnnviz.load(small_classifier(), preprocessing="unit")._pool
    small, large = (Request((1, 3, size, size), ("scores",)) for size in (32, 48))
    pool._idle_limit = pool.nbytes(small)
    with pool.lend(small), pool.lend(small):
        pass
    assert len(pool._idle) == 1, "the limit has room for one idle workspace"
    with pool.lend(large):
        pass
    assert pool._idle[0].nbytes == pool.nbytes(large), "the workspace of the last pass is kept"
    with pool.lend(small):
        pass
    assert pool._idle == [], "a workspace above the limit is not kept after a smaller pass"


def test_a_failed_pass_costs_its_plan_and_no_other() -> None:
    pool = cnnviz.load(small_classifier(), preprocessing="unit")._pool
    good, bad = (Request((1, 3, size, size), ("scores",)) for size in (32, 48))
    with pool.lend(good) as kept:
        pass
    with pytest.raises(KeyboardInterrupt), pool.lend(bad):
        raise KeyboardInterrupt
    assert [request for request, _ in pool._idle[0].plans] == [good]
    with pool.lend(good) as again:
        assert again is kept


def peak_mb(network: Path, packed_nbytes: Optional[int]) -> float:
    """Peak memory of the passes, above the loaded model's, in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-c", MEASURE, str(network), str(packed_nbytes)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "CNNVIZ_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return float(finished.stdout)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(("packed_nbytes", "limit"), PEAK_MB["squeezenet1.1"].items())
def test_a_gradient_of_squeezenet_takes_little_memory(assets: Path, packed_nbytes: int, limit: int) -> None:
    assert peak_mb(assets / "models" / "squeezenet1.1.onnx", packed_nbytes) < limit


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_a_gradient_of_vgg16_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "vgg16_features.onnx"
    path.write_bytes(vgg16_features())
    peaks = {nbytes: peak_mb(path, nbytes) for nbytes in PEAK_MB["vgg16 features"]}
    assert {n: mb for n, mb in peaks.items() if mb >= PEAK_MB["vgg16 features"][n]} == {}
