"""A pass takes no memory after the first one, and little in the first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz import _core

PEAK_MB = 60

MEASURE = """
import sys
import numpy as np
import cnnviz

def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024

x = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
model = cnnviz.load(sys.argv[1])
loaded = status("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts anew from here
model.forward(x)
model.gradient(x, 281)
sys.stdout.write(str(status("VmHWM") - loaded))
"""


def test_nothing_is_allocated_after_the_first_pass() -> None:
    model = cnnviz.load(small_classifier(), preprocessing="unit")
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    model.forward(x)
    model.gradient(x, 3, wrt=["input", "relu1"])
    before = _core.alloc_calls()
    for _ in range(10):
        model.forward(x)
        model.gradient(x, 3, wrt=["input", "relu1"])
        model.gradient(x, 4, wrt=["input", "relu1"], relu="guided")
    assert _core.alloc_calls() == before


def test_idle_plans_are_given_up() -> None:
    model = cnnviz.load(small_classifier(), preprocessing="unit")
    model._pool._idle_limit = 0
    for size in (32, 40, 48):
        model.forward(np.zeros((1, 3, size, size), np.float32))
    assert len(model._pool._idle) == 1


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_a_gradient_of_squeezenet_takes_little_memory(assets: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", MEASURE, str(assets / "models" / "squeezenet1.1.onnx")],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert float(finished.stdout) < PEAK_MB
