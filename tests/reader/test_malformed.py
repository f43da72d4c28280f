"""Broken and hostile files: each ends in a documented error, in bounded time and memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from malformed_models import ROWS as MODELS
from malformed_models import conv, net, node, tensor
from malformed_operators import QUANTIZED, RARE
from onnx import helper

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

ROWS = {
    **MODELS,
    **{f"quantised: {name}": row for name, row in QUANTIZED.items()},
    **{f"rare: {name}": row for name, row in RARE.items()},
}
SECONDS = 30.0  # the limit for one file; the slowest takes four seconds on a busy machine


def load(source: Any) -> None:
    """Read, simplify and lower a file, up to a plan that could be prepared."""
    graph = simplify(read(source))
    shapes = {t.name: tuple(n or 8 for n in t.shape or (1, 3, 8, 8)) for t in graph.inputs}
    lower(graph, shapes, Weights(graph))


@pytest.mark.parametrize("name", ROWS)
def test_malformed_model_is_refused(name: str) -> None:
    make, error, message = ROWS[name]
    source = make()
    start = time.perf_counter()
    with pytest.raises(error) as caught:
        load(source if isinstance(source, bytes) else source.SerializeToString())
    assert message in str(caught.value)
    assert time.perf_counter() - start < SECONDS


def test_unsupported_operators_are_listed_at_once() -> None:
    names = ["Frobnicate", "Unique", "Frobnicate", "StringSplit"]
    nodes = [helper.make_node(op, ["x"], [f"v{i}"], name=f"n{i}") for i, op in enumerate(names)]
    with pytest.raises(UnsupportedModelError) as caught:
        read(net(*nodes, node("Relu", "x")))
    assert caught.value.operators == ("Frobnicate", "StringSplit", "Unique")
    assert "Frobnicate: n0, n2" in str(caught.value)


def is_refused(data: bytes) -> bool:
    """Whether a file ends in a documented error; any other error fails the test."""
    try:
        load(data)
    except (ModelFormatError, UnsupportedModelError):
        return True
    return False


def test_truncated_file_is_refused() -> None:
    """A cut at any byte is refused or leaves a valid shorter message, and never raises another error."""
    data = conv(strides=[2, 2], pads=[1, 1, 1, 1]).SerializeToString()
    refused = sum(is_refused(data[:length]) for length in range(len(data)))
    assert refused >= len(data) - 5  # all but cuts between the last top-level fields


@pytest.mark.parametrize("seed", range(4))
def test_file_with_flipped_bits_is_refused_or_loads(seed: int) -> None:
    """Random damage never raises an undocumented error."""
    random = np.random.default_rng(seed)
    nodes = [node("Conv", "x", "w", output="a", pads=[1, 1, 1, 1]), node("Relu", "a", output="b")]
    nodes += [node("Flatten", "b", output="c"), node("Gemm", "c", "v")]
    weights = [tensor("w", (2, 3, 3, 3)), tensor("v", (128, 4))]
    data = np.frombuffer(net(*nodes, initializers=weights).SerializeToString(), np.uint8)
    interesting = np.flatnonzero(np.arange(data.size) < 400)  # names, shapes, attributes and some weights
    refused = []
    for _ in range(300):
        damaged = data.copy()
        where = random.choice(interesting, size=random.integers(1, 4))
        damaged[where] ^= np.left_shift(1, random.integers(0, 8, size=where.size)).astype(np.uint8)
        refused.append(is_refused(damaged.tobytes()))
    assert 0 < sum(refused) < len(refused)


@pytest.mark.parametrize("name", ["", "all alike"])
def test_a_long_graph_takes_linear_time(name: str) -> None:
    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"], name=name) for i in range(20_000)]
    model = net(helper.make_node("Relu", ["x"], ["v0"]), *nodes, helper.make_node("Relu", ["v20000"], ["y"]))
    start = time.perf_counter()
    load(model.SerializeToString())
    assert time.perf_counter() - start < SECONDS
