"""Functions that few networks have, of activations: numbers against NumPy, gradients, batches."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, NamedTuple

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnnviz.graph.graph import Graph
from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(2)
X = RNG.normal(size=(1, 3, 5, 6)).astype(np.float32)
SMALL, LARGE = np.tanh(X) * np.float32(0.9), np.abs(X) + np.float32(1.5)
B = np.float32([0.7, -1.3, 2.1])[:, None, None]
PLACES = RNG.integers(-5, 5, (1, 3, 4, 6))
SAME = np.broadcast_to(np.array([3, 1, -1, 1])[:, None], (1, 3, 4, 6))
SPOTS = np.stack([RNG.permutation(6)[:2] for _ in range(15)]).reshape(1, 3, 5, 2)
TWICE = np.where(SPOTS % 2, SPOTS, SPOTS[..., :1])  # some places twice
UPDATES = RNG.normal(size=(1, 3, 5, 2)).astype(np.float32)
Array = np.ndarray


class Row(NamedTuple):
    """An operator, its function in NumPy, its inputs after x, its attributes; the opset, and x."""

    op: str
    function: Callable[[Array], Array]
    constants: Any = ()
    attributes: Mapping[str, Any] = {}
    opset: int = 22
    x: Array = X


def norm(x: Array, p: int, axes: Any) -> Array:
    found: Array = (np.abs(x) ** p).sum(axis=axes, keepdims=True) ** (1 / p)
    return found


def lp_pooled(x: Array, p: int, pads: Any, ceil: bool = False) -> Array:
    """The norm of windows of 2 x 3 with strides of 2; beyond the padding there are zeros."""
    more = [1 if ceil and (x.shape[2] + pads[0] + pads[2]) % 2 else 0, 1 if ceil else 0]
    x = np.pad(x, [(0, 0), (0, 0), (pads[0], pads[2] + more[0]), (pads[1], pads[3] + more[1])])
    views = np.lib.stride_tricks.sliding_window_view(x, (2, 3), axis=(2, 3))[:, :, ::2, ::2]
    return norm(views, p, (4, 5))[..., 0, 0]


def placed(x: Array) -> Array:
    y = x.copy()
    np.put_along_axis(y, SPOTS, UPDATES.astype(x.dtype), 3)
    return y


def added(x: Array) -> Array:
    y = x.copy()
    np.add.at(y, (*np.indices(TWICE.shape)[:3], TWICE), UPDATES)
    return y


def standardised(x: Array, axes: Any) -> Array:
    found: Array = (x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-9)
    return found


PADS = [1, 1, 0, 2]
WINDOW = {"kernel_shape": [2, 3], "strides": [2, 2]}
FACTORS = {"alpha": 2.0, "beta": 0.5}
BIAS, TRIO = [0.5, -0.25, 1.0], np.float32([0.5, -0.25, 1.0])[:, None, None]
ROWS: Dict[str, Row] = {
    "sinh": Row("Sinh", np.sinh),
    "cosh": Row("Cosh", np.cosh),
    "asin": Row("Asin", np.arcsin, x=SMALL),
    "acos": Row("Acos", np.arccos, x=SMALL),
    "asinh": Row("Asinh", np.arcsinh, x=X * 100),
    "acosh": Row("Acosh", np.arccosh, x=LARGE),
    "atanh": Row("Atanh", np.arctanh, x=SMALL),
    "remainder": Row("Mod", lambda x: np.mod(x, B), (B,)),
    "remainder of C": Row("Mod", lambda x: np.fmod(x, B), (B,), {"fmod": 1}),
    "remainder of a number": Row("Mod", lambda x: np.mod(x, np.float32(0.4)), (np.float32(0.4),)),
    "unit length": Row("LpNormalization", lambda x: x / norm(x, 2, 1), (), {"axis": 1}),
    "unit sum": Row("LpNormalization", lambda x: x / norm(x, 1, -1), (), {"p": 1}),
    "length": Row("GlobalLpPool", lambda x: norm(x, 2, (2, 3))),
    "amount": Row("GlobalLpPool", lambda x: norm(x, 1, (2, 3)), (), {"p": 1}),
    "cubes": Row("GlobalLpPool", lambda x: norm(x, 3, (2, 3)), (), {"p": 3}),
    "lengths": Row("LpPool", lambda x: lp_pooled(x, 2, [0] * 4), (), WINDOW),
    "padded": Row("LpPool", lambda x: lp_pooled(x, 1, PADS), (), {**WINDOW, "p": 1, "pads": PADS}),
    "ceil": Row("LpPool", lambda x: lp_pooled(x, 3, [0] * 4, True), (), {**WINDOW, "p": 3, "ceil_mode": 1}),
    "standardised": Row("MeanVarianceNormalization", lambda x: standardised(x, (0, 2, 3))),
    "of each row": Row("MeanVarianceNormalization", lambda x: standardised(x, (3,)), (), {"axes": [3]}),
    "gathered": Row("GatherElements", lambda x: np.take_along_axis(x, PLACES % 5, 2), (PLACES,), {"axis": 2}),
    "rows": Row("GatherElements", lambda x: x[:, :, [3, 1, 4, 1]], (SAME,), {"axis": 2}),
    "scattered": Row("ScatterElements", placed, (SPOTS, UPDATES), {"axis": 3}),
    "added": Row("ScatterElements", added, (TWICE, UPDATES), {"axis": 3, "reduction": "add"}),
    "scaler": Row("ImageScaler", lambda x: 2 * x + TRIO, (), {"scale": 2.0, "bias": BIAS}, 7),
    "no bias": Row("ImageScaler", lambda x: 0.5 * x, (), {"scale": 0.5}, 7),
    "border": Row("Crop", lambda x: x[:, :, 2:, 1:-3], (), {"border": [1, 2, 3, 0]}, 7),
    "part": Row("Crop", lambda x: x[:, :, 2:4, 1:4], (), {"border": [1, 2, 0, 0], "scale": [2, 3]}, 7),
    "affine": Row("Affine", lambda x: 3 * x - 0.5, (), {"alpha": 3.0, "beta": -0.5}, 7),
    "scale": Row("Scale", lambda x: 1.5 * x, (), {"scale": 1.5}, 7),
    "scaled tanh": Row("ScaledTanh", lambda x: 2 * np.tanh(0.5 * x), (), FACTORS, 6),
    "softplus": Row("ParametricSoftplus", lambda x: 2 * np.log1p(np.exp(0.5 * x)), (), FACTORS, 6),
}  # fmt: skip


def graph_of(row: Row) -> Graph:
    names = [f"c{i}" for i in range(len(row.constants))]
    graph = helper.make_graph(
        [helper.make_node(row.op, ["x", *names], ["y"], name="the node", **row.attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, row.x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ascontiguousarray(a), n) for a, n in zip(row.constants, names)],
    )
    opsets = [helper.make_opsetid("", row.opset)]
    return read(helper.make_model(graph, opset_imports=opsets, ir_version=10))


def passed(graph: Graph, x: Array, cotangent: Callable[[Any], Array]) -> Any:
    """The output and the gradient of the input."""
    lowered = lower(graph, {"x": x.shape}, Weights(graph))
    start, y = lowered.values["x"], lowered.values["y"]
    lowered.plan.prepare(keep=[y], seeds=[y], wrt=[start])
    lowered.plan.forward([np.ascontiguousarray(x)])
    lowered.plan.backward({y: cotangent(lowered.plan.shape(y))})
    return lowered.plan.read(y), lowered.plan.gradient(start)


def fixed(shape: Any) -> Array:
    return np.random.default_rng(4).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", ROWS)
def test_numbers_and_gradients(name: str) -> None:
    row = ROWS[name]
    for graph in (graph_of(row), simplify(graph_of(row))):
        y, gradient = passed(graph, row.x, fixed)
        expected = row.function(row.x.astype(float))
        np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-6)
        direction, step = RNG.normal(size=row.x.shape), 1e-6
        ahead, behind = (row.function(row.x + way * step * direction) for way in (1, -1))
        along = ((ahead - behind) * fixed(y.shape)).sum() / (2 * step)
        assert abs((gradient * direction).sum() - along) <= 1e-4 * np.abs(gradient * direction).sum()


@pytest.mark.parametrize("name", ROWS)
def test_a_batch_is_its_pictures_one_by_one(name: str) -> None:
    row, graph = ROWS[name], graph_of(ROWS[name])
    x = np.concatenate([row.x, row.x[:, :, ::-1], row.x[:, ::-1]])
    y, gradient = passed(graph, x, lambda shape: np.repeat(fixed((1, *shape[1:])), 3, 0))
    for i in range(3):
        one, alone = passed(graph, x[i : i + 1], fixed)
        np.testing.assert_array_equal(y[i], one[0])
        np.testing.assert_array_equal(gradient[i], alone[0])


@pytest.mark.parametrize("name", ["unit length", "unit sum", "length", "cubes", "lengths", "asinh"])
def test_zeros_give_numbers(name: str) -> None:
    row = ROWS[name]
    y, gradient = passed(graph_of(row), np.zeros_like(row.x), fixed)
    np.testing.assert_array_equal(y, 0)
    assert np.isfinite(gradient).all()


def test_hardmax_marks_the_first_of_the_largest() -> None:
    x = np.float32([[[1, 3, 3, 2], [0, 0, 0, 0], [-1, -5, -2, -1]]])
    y, gradient = passed(graph_of(Row("Hardmax", np.copy, x=x)), x, fixed)
    np.testing.assert_array_equal(y, np.eye(4)[[1, 0, 0]][None])
    assert not gradient.any()
    y, _ = passed(graph_of(Row("Hardmax", np.copy, (), {"axis": 1}, x=x)), x, fixed)
    np.testing.assert_array_equal(y[0], np.eye(3)[x[0].argmax(0)].T)
