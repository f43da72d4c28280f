"""Lowering: real networks give the numbers that other runtimes give."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from cnnviz.graph import Graph
from cnnviz.lower import Weights, lower
from cnnviz.onnx_reader import read
from cnnviz.rewrite import simplify

NETWORKS = [
    "darknet-tiny",
    "mobilenetv1-0.25",
    "mobilenetv2-1.0",
    "resnet20-cifar10",
    "squeezenet1.1",
    "squeezenet1.1-caffe2-fp16",
    "vgg19-normalised-to-relu3_1",
]


def run(graph: Graph, *feeds: np.ndarray) -> Tuple[np.ndarray, ...]:
    """The graph's outputs for its inputs, in order."""
    shapes = {tensor.name: feed.shape for tensor, feed in zip(graph.inputs, feeds)}
    lowered = lower(graph, shapes, Weights(graph))
    ids = [lowered.values[tensor.name] for tensor in graph.outputs]
    lowered.plan.prepare(keep=ids)
    lowered.plan.forward([np.ascontiguousarray(feed, np.float32) for feed in feeds])
    return tuple(lowered.plan.read(value) for value in ids)


def tensor_file(path: Path) -> np.ndarray:
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


@pytest.mark.parametrize("case", ["0", "1", "2"])
def test_squeezenet_reproduces_the_zoo_vectors(assets: Path, case: str) -> None:
    folder = assets / "models" / "squeezenet1.1-vectors" / case
    graph = simplify(read(assets / "models" / "squeezenet1.1.onnx"))
    (logits,) = run(graph, tensor_file(folder / "input_0.pb"))
    expected = tensor_file(folder / "output_0.pb")
    assert np.abs(logits - expected.reshape(logits.shape)).max() <= 5e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_agree_with_onnxruntime(assets: Path, name: str) -> None:
    """Also in the second row of a batch, and whether simplified or not."""
    runtime = pytest.importorskip("onnxruntime")
    path = assets / "models" / f"{name}.onnx"
    session = runtime.InferenceSession(str(path))
    dtype = np.float16 if "float16" in session.get_inputs()[0].type else np.float32
    graph = read(path)
    shape = tuple(n or 64 for n in graph.inputs[0].shape or ())
    x = np.random.default_rng(0).normal(size=shape).astype(dtype).astype(np.float32)
    (expected,) = session.run(None, {graph.inputs[0].name: x.astype(dtype)})
    batch = np.concatenate([x[:, :, ::-1], x])
    for found in (run(graph, x)[0], run(simplify(graph), batch)[0][1:]):
        assert found.shape == expected.shape
        limit = 1e-3 if dtype == np.float16 else 1e-5  # half precision is what the reference computes in
        assert np.abs(found - expected).max() <= limit * max(1, np.abs(expected).max())
