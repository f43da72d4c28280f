"""Lowering: real networks give the numbers that other runtimes give."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import NodeProto, TensorProto, helper, numpy_helper

from cnnviz.errors import ModelFormatError
from cnnviz.graph.graph import Graph, Node, Tensor
from cnnviz.graph.schema import NEWEST_OPSET
from cnnviz.graph.scores import pre_softmax
from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

NETWORKS = [
    "darknet-tiny",
    "mobilenetv1-0.25",
    "mobilenetv2-1.0",
    "resnet20-cifar10",
    "squeezenet1.1",
    "squeezenet1.1-caffe2-fp16",
    "vgg19-normalised-to-relu3_1",
]


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
    """The graph as read, and the simplified one in the second row of a batch."""
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
        limit = 1e-3 if dtype == np.float16 else 1e-5  # the reference computes in half precision
        assert np.abs(found - expected).max() <= limit * max(1, np.abs(expected).max())


def small(nodes: Sequence[NodeProto], *, shape: Sequence[Any], opset: int = 17, **constants: Any) -> Graph:
    """A graph with input x and output y."""
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    arrays = {n: a.astype(np.float32 if a.dtype.kind == "f" else np.int64) for n, a in arrays.items()}
    proto = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return read(helper.make_model(proto, opset_imports=opsets, ir_version=3 if opset < 9 else 8))


def node(op: str, inputs: Sequence[str], output: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, list(inputs), [output], name=f"the {op}", **attributes)


# Reshapes as exporters write them for a traced batch of one, applied to x of shape N,6,4,4.
RESHAPES = {
    "flatten": ([1, 96], lambda n: (n, 96)),
    "flatten, open": ([1, -1], lambda n: (n, 96)),
    "flatten, batch open": ([-1, 96], lambda n: (n, 96)),
    "copied": ([0, -1], lambda n: (n, 96)),
    "channel shuffle": ([1, 2, 3, 4, 4], lambda n: (n, 2, 3, 4, 4)),
    "groups into the batch": ([2, 3, 4, 4], lambda n: (2 * n, 3, 4, 4)),
    "groups into the batch, open": ([2, -1, 4, 4], lambda n: (2 * n, 3, 4, 4)),
}


@pytest.mark.parametrize("name", RESHAPES)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_reshape_follows_the_batch(name: str, batch: int) -> None:
    """Each picture of the batch has the numbers of a batch of one."""
    target, expected = RESHAPES[name]
    graph = small([node("Reshape", ["x", "t"])], shape=(1, 6, 4, 4), t=target)
    x = np.random.default_rng(0).normal(size=(batch, 6, 4, 4)).astype(np.float32)
    (y,) = run(graph, x)
    assert y.shape == expected(batch)
    alone = np.concatenate([run(graph, x[i : i + 1])[0] for i in range(batch)])
    np.testing.assert_array_equal(y, alone.reshape(y.shape))


def test_a_free_batch_is_taken_literally() -> None:
    graph = small([node("Reshape", ["x", "t"])], shape=("N", 6), t=[1, -1])
    assert run(graph, np.zeros((4, 6), np.float32))[0].shape == (1, 24)


def test_shape_arithmetic_follows_batch_and_size() -> None:
    """The nodes are x.view(x.size(0), -1, x.size(2) // 2) as exporters write it."""
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "zero"], "n"),
        node("Gather", ["s", "two"], "h"),
        node("Div", ["h", "two"], "half"),
        node("Unsqueeze", ["n", "axis"], "n1"),
        node("Unsqueeze", ["half", "axis"], "half1"),
        node("Concat", ["n1", "minus", "half1"], "t", axis=0),
        node("Reshape", ["x", "t"]),
    ]
    graph = small(nodes, shape=("N", 3, None, None), zero=0, two=2, axis=[0], minus=[-1])
    for n, h, w in ((1, 8, 8), (3, 6, 10)):
        x = np.random.default_rng(0).normal(size=(n, 3, h, w)).astype(np.float32)
        np.testing.assert_array_equal(run(graph, x)[0], x.reshape(n, -1, h // 2))


OPSETS = [7, 9, 11, 13, 18, NEWEST_OPSET]


@pytest.mark.parametrize("opset", OPSETS)
def test_opsets_give_the_same_numbers(opset: int) -> None:
    """One network in each opset: limits, axes and pads moved from attributes to inputs."""
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=(4, 3, 3, 3)), rng.normal(size=(5, 64))
    norm = {"scale": rng.normal(size=4), "shift": rng.normal(size=4), "mean": rng.normal(size=4)}
    norm["var"] = rng.uniform(1, 2, size=4)

    def either(op: str, x: str, y: str, since: int, **operands: Any) -> NodeProto:
        """An operator whose operands are attributes before opset `since`, and inputs from then on."""
        if opset < since:
            return node(op, [x], y, **{k: np.asarray(v).tolist() for k, v in operands.items()})
        inputs = [f"{op} {name}" for name in operands]
        constants.update(zip(inputs, operands.values()))
        return node(op, [x, *inputs], y)

    constants: Dict[str, Any] = {"w": w, "v": v, **norm}
    nodes = [
        either("Pad", "x", "p", 11, pads=[0, 0, 1, 1, 0, 0, 1, 1]),
        node("Conv", ["p", "w"], "c"),
        node("BatchNormalization", ["c", *norm], "n"),
        either("Clip", "n", "l", 11, min=-1.0, max=1.5),
        node("MaxPool", ["l"], "m", kernel_shape=[2, 2], strides=[2, 2]),
        either("Slice", "m", "s", 10, starts=[0, 0], ends=[4, -1], axes=[2, 3], steps=[1, 1])
        if opset >= 10
        else node("Slice", ["m"], "s", starts=[0, 0], ends=[4, -1], axes=[2, 3]),
        either("ReduceMean", "m", "r", 18, axes=[3]),
        node("Concat", ["s", "r"], "j", axis=3),
        node("Dropout", ["j"], "d"),
        either("Unsqueeze", "d", "u", 13, axes=[0]),
        either("Squeeze", "u", "q", 13, axes=[0]),
        node("Flatten", ["q"], "f"),
        node("Gemm", ["f", "v"], "g", transB=1),
        node("Softmax", ["g"], "y", axis=1),
    ]
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    graph = small(nodes, shape=(2, 3, 8, 8), opset=opset, **constants)
    (found,) = run(simplify(graph), x)
    np.testing.assert_allclose(found, _by_hand(x, w, v, norm), rtol=2e-4, atol=1e-6)
    assert pre_softmax(graph, "y") in ("g", "y/rows")


def _by_hand(x: np.ndarray, w: np.ndarray, v: np.ndarray, norm: Dict[str, np.ndarray]) -> np.ndarray:
    """The network of the test above, in float64."""
    p = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(p, (3, 3), axis=(2, 3))
    c = np.einsum("nchwij,ocij->nohw", windows, w)
    scale, shift, mean, var = (norm[name][:, None, None] for name in ("scale", "shift", "mean", "var"))
    n = np.clip(scale * (c - mean) / np.sqrt(var + 1e-5) + shift, -1, 1.5)
    m = n.reshape(2, 4, 4, 2, 4, 2).max((3, 5))
    j = np.concatenate([m[:, :, :4, :-1], m.mean(3, keepdims=True)], axis=3)
    g = j.reshape(2, -1) @ v.T
    return np.exp(g) / np.exp(g).sum(1, keepdims=True)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_softmax_before_opset_13_flattens(axis: int) -> None:
    """The sum is over all axes from `axis` on together, as caffe2 wrote it."""
    graph = small([node("Softmax", ["x"], axis=axis)], shape=(2, 3, 4), opset=11)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    rows = x.reshape({1: 2, 2: 6, -1: 6}[axis], -1)
    expected = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
    np.testing.assert_allclose(run(graph, x)[0], expected.reshape(x.shape), rtol=1e-5)


BIAS = np.array([0.5, -1.0, 2.0], np.float32)
_erf = np.vectorize(math.erf)


def _by_tanh(x: np.ndarray) -> np.ndarray:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


# ONNX Runtime's activations: inputs, attributes, function
CONTRIB: Dict[str, Tuple[str, List[str], Dict[str, Any], Callable[[np.ndarray], np.ndarray]]] = {
    "exact": ("Gelu", ["x"], {}, lambda x: x / 2 * (1 + _erf(x / math.sqrt(2)))),
    "bias": ("BiasGelu", ["x", "b"], {}, lambda x: (x + BIAS) / 2 * (1 + _erf((x + BIAS) / math.sqrt(2)))),
    "fast": ("FastGelu", ["x"], {}, _by_tanh),
    "fast with a bias": ("FastGelu", ["x", "b"], {}, lambda x: _by_tanh(x + BIAS)),
    "fast without its bias": ("FastGelu", ["x", ""], {}, _by_tanh),
    "quick": ("QuickGelu", ["x"], {}, lambda x: x / (1 + np.exp(-1.702 * x))),
    "quick, alpha": ("QuickGelu", ["x"], {"alpha": 1.0}, lambda x: x / (1 + np.exp(-x))),
}


@pytest.mark.parametrize("name", CONTRIB)
def test_activations_of_onnx_runtime(name: str) -> None:
    op, inputs, attributes, function = CONTRIB[name]
    graph = small([node(op, inputs, domain="com.microsoft", **attributes)], shape=(2, 3), b=BIAS)
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_allclose(run(graph, x)[0], function(x.astype(np.float64)), rtol=1e-5, atol=1e-6)


def test_signals_are_pictures_of_one_row() -> None:
    w = np.random.default_rng(0).normal(size=(4, 3, 5))
    nodes = [
        node("Conv", ["x", "w"], "c", strides=[2], pads=[1, 2], dilations=[2]),
        node("MaxPool", ["c"], "m", kernel_shape=[3], auto_pad="SAME_UPPER"),
        node("GlobalAveragePool", ["m"]),
    ]
    graph = small(nodes, shape=(2, 3, 40), w=w)
    assert run(graph, np.zeros((2, 3, 40), np.float32))[0].shape == (2, 4, 1)


def test_weights_are_shared_by_plans() -> None:
    graph = small([node("Gemm", ["x", "w"])], shape=("N", 3), w=np.ones((3, 4)))
    weights = Weights(graph)
    for batch in (1, 5):
        lower(graph, {"x": (batch, 3)}, weights)
    assert len(weights._made) == 1


def test_errors_of_shape_name_the_node_and_blame_the_file_or_the_caller() -> None:
    """A wrong size that the file declares is the file's fault; any other is the caller's."""
    nodes = [node("Flatten", ["x"], "f"), node("Gemm", ["f", "w"])]
    with pytest.raises(ModelFormatError, match=r"the Gemm.*75"):
        run(small(nodes, shape=(1, 3, 5, 5), w=np.ones((48, 4))), np.zeros((1, 3, 5, 5)))
    graph = small(nodes, shape=(1, 3, 4, 4), w=np.ones((48, 4)))
    with pytest.raises(ValueError, match=r"the Gemm.*75") as caught:
        run(graph, np.zeros((1, 3, 5, 5)))
    assert not isinstance(caught.value, ModelFormatError)
    with pytest.raises(ValueError, match="'x' has 4 dimensions, not 3"):
        lower(graph, {"x": (3, 4, 4)}, Weights(graph))
    with pytest.raises(ValueError, match="no shape for the input 'x'"):
        lower(graph, {}, Weights(graph))


def test_an_exponent_of_more_dimensions_broadcasts() -> None:
    graph = small([node("Pow", ["x", "two"])], shape=(3,), two=np.float32([[2]]))
    (found,) = run(graph, np.array([1, -2, 3]))
    np.testing.assert_array_equal(found, [[1, 4, 9]])


def test_an_output_without_a_name_is_no_operand() -> None:
    """Known halves of a Split, the first unused, and a Clip without a lower limit behind it."""
    split = helper.make_node("Split", ["pair"], ["", "high"], name="the Split", axis=0)
    nodes = [split, node("Squeeze", ["high"], "top"), node("Clip", ["x", "", "top"])]
    (found,) = run(small(nodes, shape=(3,), opset=13, pair=np.float32([5, 2])), np.array([-9, 1, 3]))
    np.testing.assert_array_equal(found, [-9, 1, 2])


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_another_input_as_long_as_the_batch_is_no_batch(rows: int) -> None:
    """The file says how many rows the second input has, so they belong to all images."""
    inputs = (Tensor("x", (1, 4)), Tensor("rows", (rows, 4)))
    nodes = (
        Node("ReduceSum", "the sum", ("rows",), ("total",), {"axes": (0,), "keepdims": 0}),
        Node("Add", "the Add", ("x", "total"), ("y",)),
    )
    x, table = np.arange(12.0).reshape(3, 4), np.arange(4.0 * rows).reshape(rows, 4)
    (found,) = run(Graph(inputs, (Tensor("y", None),), nodes, {}), x, table)
    np.testing.assert_array_equal(found, x + table.sum(axis=0))


@pytest.mark.parametrize("op", ["MaxPool", "DynamicQuantizeLinear"])
def test_outputs_that_an_operator_does_not_have_are_refused(op: str) -> None:
    more = {"kernel_shape": [2, 2]} if op == "MaxPool" else {}
    nodes = [helper.make_node(op, ["x"], ["a", "b", "c", "y"], name="the node", **more)]
    with pytest.raises(ModelFormatError, match=r"the node.* has 4 outputs, at most [23] are possible"):
        run(small(nodes, shape=(1, 3, 4, 4)), np.zeros((1, 3, 4, 4)))
