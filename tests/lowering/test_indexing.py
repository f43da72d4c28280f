"""Known indices, running sums, triangles and Einsum, of activations: numbers against NumPy, and gradients."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
W = RNG.normal(size=(4, 5, 6)).astype(np.float32)
UPDATES = RNG.normal(size=(3, 4, 5)).astype(np.float32)


def scattered(x: np.ndarray) -> np.ndarray:
    y = x.copy()
    y[0, 2], y[1, 0], y[0, 1] = UPDATES
    return y


def einsum(equation: str, *others: np.ndarray) -> Tuple[Any, ...]:
    inputs = {f"w{i}": other for i, other in enumerate(others)}
    return "Einsum", inputs, {"equation": equation}, lambda x: np.einsum(equation, x, *others)


# operator, constants in the order of the inputs after x, attributes, the function in NumPy
Numbers = Callable[[np.ndarray], np.ndarray]
ROWS: Dict[str, Tuple[str, Dict[str, np.ndarray], Dict[str, Any], Numbers]] = {
    "cumulative": ("CumSum", {"a": np.array(1)}, {}, lambda x: x.cumsum(1)),
    "cumulative, last axis": ("CumSum", {"a": np.array([-1])}, {}, lambda x: x.cumsum(-1)),
    "cumulative, reverse": (
        "CumSum",
        {"a": np.array(2)},
        {"reverse": 1},
        lambda x: x[:, :, ::-1].cumsum(2)[:, :, ::-1],
    ),
    "cumulative, exclusive": ("CumSum", {"a": np.array(3)}, {"exclusive": 1}, lambda x: x.cumsum(3) - x),
    "gather": (
        "Gather",
        {"i": np.array([[2, 3], [-4, 1]])},
        {"axis": 2},
        lambda x: x[:, :, [[2, 3], [0, 1]]],
    ),
    "gather tuples": (
        "GatherND",
        {"i": np.array([[[1, 0], [1, 1]], [[0, -1], [1, 2]]])},
        {},
        lambda x: x[[[1, 1], [0, 1]], [[0, 1], [2, 2]]],
    ),
    "gather in each of a batch": (
        "GatherND",
        {"i": np.array([[2, 1], [0, 3]])},
        {"batch_dims": 1},
        lambda x: x[[0, 1], [2, 0], [1, 3]],
    ),
    "padding that wraps": (
        "Pad",
        {"p": np.array([0, 0, 1, 7, 0, 2, -2, 9])},
        {"mode": "wrap"},
        lambda x: np.pad(x[:, :, :-2], ((0, 0), (0, 2), (1, 0), (7, 9)), "wrap"),
    ),
    "scatter": ("ScatterND", {"i": np.array([[0, 2], [-1, 0], [0, 1]]), "u": UPDATES}, {}, scattered),
    "upper": ("Trilu", {}, {}, np.triu),
    "lower": ("Trilu", {"k": np.array(-1)}, {"upper": 0}, lambda x: np.tril(x, -1)),
    "beyond": ("Trilu", {"k": np.array(2**40)}, {}, lambda x: np.zeros_like(x)),
    "channels": einsum("nchw,dc->ndhw", RNG.normal(size=(6, 3)).astype(np.float32)),
    "heads": einsum("bhqd,bhkd->bhqk", RNG.normal(size=(2, 3, 7, 5)).astype(np.float32)),
    "heads joined": einsum("bqhd,hde->bqe", W),
    "squeezed": einsum("nchw,nc->nhw", RNG.normal(size=(2, 3)).astype(np.float32)),
    "sums": einsum("abcd->da"),
    "implicit": einsum("dbca"),
    "ellipsis": einsum("...ij,jk->...ik", RNG.normal(size=(5, 6)).astype(np.float32)),
    "ellipsis of one": einsum("...ij,...jk->...ik", RNG.normal(size=(1, 3, 5, 6)).astype(np.float32)),
    "outer": einsum("abcd,e->eabcd", RNG.normal(size=3).astype(np.float32)),
    "three": einsum("abcd,ce,df->abef", W[:, 0], W[0]),
    "a number": einsum("abcd,cd->", W[..., 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_numbers_and_gradients(name: str) -> None:
    """The operators are linear, so the gradient of the sum of g y is that of the same sum in NumPy."""
    op, constants, attributes, function = ROWS[name]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *constants], ["y"], name=name, **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = read(model)
    lowered = lower(found, {"x": X.shape}, Weights(found))
    x, y = lowered.values["x"], lowered.values["y"]
    lowered.plan.prepare(keep=[y], seeds=[y], wrt=[x])
    lowered.plan.forward([X])
    expected = np.asarray(function(X.astype(np.float64)))
    np.testing.assert_allclose(lowered.plan.read(y), expected, rtol=1e-5, atol=1e-5)
    g = RNG.normal(size=expected.shape).astype(np.float32)
    lowered.plan.backward({y: g})
    direction = RNG.normal(size=X.shape)
    along = ((function(X + direction) - function(X - direction)) * g).sum() / 2
    np.testing.assert_allclose((lowered.plan.gradient(x) * direction).sum(), along, rtol=1e-4, atol=1e-4)
