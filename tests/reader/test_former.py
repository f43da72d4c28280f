"""Files of opsets before 7, in which nodes name the axis to broadcast along, compute what they say."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(1, 3, 6, 6)).astype(np.float32)
KERNEL = RANDOM.normal(size=(3, 3, 1, 1)).astype(np.float32)
MANY = RANDOM.normal(size=(108, 16)).astype(np.float32)
THREE = np.float32([1, -2, 3])
FIXED, FREE = (1, 3, 6, 6), ("N", 3, "H", "W")


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def model(
    nodes: Sequence[NodeProto],
    constants: Dict[str, Any],
    opset: int = 6,
    shape: Tuple[Any, ...] = FIXED,
    listed: bool = True,
) -> ModelProto:
    """A model whose initializers are inputs too, as IR 3 demands, unless they are not `listed`."""
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors if listed]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)


def convolved(kernel: np.ndarray) -> np.ndarray:
    return np.einsum("oi,nihw->nohw", kernel[:, :, 0, 0], X)


PER_CHANNEL = [node("Conv", "x k", "c", kernel_shape=[1, 1]), node("Add", "c b", broadcast=1, axis=1)]
ROWS: Dict[str, Tuple[ModelProto, Any]] = {
    "channels": (
        model(PER_CHANNEL, {"k": KERNEL, "b": THREE}),
        convolved(KERNEL) + THREE[:, None, None],
    ),
    "axis without broadcasting": (model([node("Add", "x x", axis=1)], {}), 2 * X),
    "suffix": (model([node("Add", "x b", broadcast=1)], {"b": X[0, 0]}), X + X[0, 0]),
    "scalar": (model([node("Mul", "x b", broadcast=1)], {"b": np.float32([2])}), 2 * X),
    "batch norm": (
        model([node("BatchNormalization", "x b b b o", is_test=1, epsilon=0.0)], {"b": THREE, "o": THREE**2}),
        np.sign(THREE)[:, None, None] * (X - THREE[:, None, None]) + THREE[:, None, None],
    ),
    "dropout": (model([node("Dropout", "x", is_test=1)], {}), X),
    "linear layer": (
        model(
            [node("Reshape", "x s", "r"), node("Gemm", "r m b", broadcast=1)],
            {"s": np.array([1, -1]), "m": MANY, "b": MANY[0]},
        ),
        X.reshape(1, -1) @ MANY + MANY[0],
    ),
    "slopes": (
        model([node("PRelu", "x b", consumed_inputs=[0])], {"b": THREE}, 5),
        np.where(X < 0, THREE[:, None, None] * X, X),
    ),
    "one slope": (model([node("PRelu", "x b")], {"b": np.float32([0.5])}), np.where(X < 0, 0.5 * X, X)),
    "axis from the end": (
        model([node("Sub", "x b", broadcast=1, axis=-3)], {"b": THREE}),
        X - THREE[:, None, None],
    ),
    "two axes": (
        model([node("Mul", "x b", broadcast=1, axis=1)], {"b": X[0, :, :, 0]}),
        X * X[:, :, :, :1],
    ),
    "gate of unknown rank": (
        model(
            [
                node("GlobalMaxPool", "x", "p"),
                node("Reshape", "p s", "r"),
                node("Mul", "x r", broadcast=1, axis=0),
            ],
            {"s": np.array([1, 3])},
        ),
        X * X.max(axis=(2, 3), keepdims=True),
    ),
    "casts": (model([node("Cast", "x", to="FLOAT", consumed_inputs=[0])], {}, 5), X),
    "padding": (
        model([node("Pad", "x", paddings=[0, 0, 1, 0, 0, 0, 0, 2])], {}, 1),
        np.pad(X, [(0, 0), (0, 0), (1, 0), (0, 2)]),
    ),
    "concat of channels": (model([node("Concat", "x x")], {}, 3), np.concatenate([X, X], 1)),
    "opset 4": (model([node("Reshape", "x", shape=[1, -1])], {}, 4), X.reshape(1, -1)),
    "opset 1": (
        model([node("Upsample", "x", height_scale=2.0, width_scale=1.0, mode="nearest")], {}, 1),
        np.repeat(X, 2, axis=2),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_old_files_compute_what_they_say(name: str) -> None:
    proto, expected = ROWS[name]
    before = proto.SerializeToString()
    for graph in (read(proto), simplify(read(proto))):
        np.testing.assert_allclose(run(graph, X)[0], expected, rtol=1e-5, atol=1e-5)
    assert proto.SerializeToString() == before


def both(**changes: Any) -> List[np.ndarray]:
    proto = model(PER_CHANNEL, {"k": KERNEL, "b": THREE}, **changes)
    graph = read(proto)
    assert graph.inputs[0].shape == tuple(
        n if isinstance(n, int) else None for n in changes.get("shape", FIXED)
    )
    return [run(graph, X)[0], run(simplify(graph), X)[0]]


@pytest.mark.parametrize("changes", [{"shape": FREE}, {"listed": False}], ids=["free", "unlisted"])
def test_free_sizes_and_unlisted_weights_do_not_matter(changes: Dict[str, Any]) -> None:
    for found in both(**changes):
        np.testing.assert_allclose(found, both()[0], rtol=1e-6)


def test_nodes_of_an_old_file_may_come_in_any_order() -> None:
    shuffled = model(PER_CHANNEL[::-1], {"k": KERNEL, "b": THREE})
    np.testing.assert_allclose(run(read(shuffled), X)[0], both()[0], rtol=1e-6)


def test_a_bias_along_the_channels_becomes_the_convolution_s() -> None:
    graph = simplify(read(model(PER_CHANNEL, {"k": KERNEL, "b": THREE}, shape=FREE)))
    assert [one.op for one in graph.nodes] == ["Conv"]
