"""Operators on quantised operands compute what they are on real numbers, and so do their gradients.

Each row is run on integers that depend on the input, against its function of real numbers in NumPy, and
against ONNX Runtime where that is installed.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import ModelProto, TensorProto, helper, numpy_helper

from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(3)
Array = np.ndarray


class Grid(NamedTuple):
    """The scale and the zero point of a value in 8 bits."""

    scale: Any
    zero: Any

    def real(self, numbers: Array) -> Array:
        return (numbers - np.asarray(self.zero, float)) * np.asarray(self.scale, float)

    def clamped(self, real: Array) -> Array:
        """The numbers before they are rounded."""
        limits, zero = np.iinfo(np.asarray(self.zero).dtype), float(self.zero)
        return np.clip(real / float(self.scale), limits.min - zero, limits.max - zero) + zero


X, Y = Grid(np.float32(0.0193), np.uint8(120)), Grid(np.float32(0.0311), np.uint8(131))
FINE, WIDE = Grid(np.float32(1 / 256), np.uint8(0)), Grid(np.float32(0.25), np.uint8(117))
SCALES, ZEROS = np.linspace(0.01, 0.03, 5, dtype=np.float32), np.int8([-3, 0, 2, 5, 1])
KERNEL = RNG.integers(-60, 60, (5, 4, 3, 3)).astype(np.int8)  # sums of two fit 16 bits, as ONNX Runtime needs
FILTERS = (KERNEL - ZEROS[:, None, None, None].astype(float)) * SCALES[:, None, None, None].astype(float)
BIAS = RNG.integers(-900, 900, 5).astype(np.int32)
MATRIX = RNG.integers(0, 255, (6, 7)).astype(np.uint8)
BY_COLUMN = np.linspace(0.001, 0.01, 7, dtype=np.float32), np.arange(7, dtype=np.uint8)
COLUMNS = (MATRIX - np.arange(7.0)) * BY_COLUMN[0].astype(float)
OTHER = RNG.integers(0, 255, (1, 4, 6, 6)).astype(np.uint8)
PICTURE = RNG.integers(0, 255, (1, 4, 6, 6)).astype(np.float32)
PICTURE[X.zero == PICTURE] += 1  # no number lies at the kink of a rectifier


def convolved(x: Array, w: Array) -> Array:
    """A convolution with pads of 1."""
    x = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    views = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    found: Array = np.einsum("nchwij,ocij->nohw", views, w)
    return found


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    found: Array = e / e.sum(-1, keepdims=True)
    return found


class Row(NamedTuple):
    """An operator, its inputs ("x" is the picture, on the grid X), and its function of integers."""

    op: str
    inputs: Sequence[Any]
    function: Callable[[Array], Array]
    attributes: Mapping[str, Any] = {}
    out: int = TensorProto.UINT8


def unary(op: str, function: Callable[[Array], Array], y: Grid = Y, **attributes: Any) -> Row:
    return Row(op, ["x", *X, *y], lambda x: y.clamped(function(X.real(x))), attributes)


def flat(x: Array) -> Array:
    return x.reshape(24, 6)


ROWS: Dict[str, Row] = {
    "sum": Row("QLinearAdd", ["x", *X, OTHER, *FINE, *Y], lambda x: Y.clamped(X.real(x) + FINE.real(OTHER))),
    "product": Row("QLinearMul", ["x", *X, OTHER, *Y, *Y], lambda x: Y.clamped(X.real(x) * Y.real(OTHER))),
    "square": Row("QLinearMul", ["x", *X, "x", *X, *Y], lambda x: Y.clamped(X.real(x) ** 2)),
    "sigmoid": unary("QLinearSigmoid", lambda x: 1 / (1 + np.exp(-x)), FINE),
    "leaky": unary("QLinearLeakyRelu", lambda x: np.where(x < 0, 0.25 * x, x), alpha=0.25),
    "without zero points": Row(
        "QLinearSigmoid",
        ["x", FINE.scale, "", FINE.scale],
        lambda x: FINE.clamped(1 / (1 + np.exp(-FINE.real(x)))),
    ),
    "softmax": unary("QLinearSoftmax", softmax, FINE, axis=-1, opset=13),
    "average": unary(
        "QLinearAveragePool",
        lambda x: x.reshape(1, 4, 3, 2, 3, 2).mean(axis=(3, 5)),
        kernel_shape=[2, 2],
        strides=[2, 2],
    ),
    "global average": unary("QLinearGlobalAveragePool", lambda x: x.mean(axis=(2, 3), keepdims=True)),
    "concat": Row(
        "QLinearConcat",
        [*Y, "x", *X, OTHER, *FINE],
        lambda x: np.concatenate([Y.clamped(X.real(x)), Y.clamped(FINE.real(OTHER))], 1),
        {"axis": 1},
    ),
    "convolution": Row(
        "QLinearConv",
        ["x", *X, KERNEL, SCALES, ZEROS, *WIDE, BIAS],
        lambda x: WIDE.clamped(
            convolved(X.real(x), FILTERS) + (BIAS * X.scale.astype(float) * SCALES)[:, None, None]
        ),
        {"pads": [1] * 4},
    ),
    "convolution without bias": Row(
        "QLinearConv",
        ["x", *X, KERNEL, SCALES[0], np.int8(0), *WIDE],
        lambda x: WIDE.clamped(convolved(X.real(x), KERNEL * float(SCALES[0]))),
        {"pads": [1] * 4},
    ),
    "matrix": Row(
        "QLinearMatMul", ["x", *X, MATRIX, *FINE, *Y], lambda x: Y.clamped(X.real(x) @ FINE.real(MATRIX))
    ),
    "matrix by column": Row(
        "QLinearMatMul", ["x", *X, MATRIX, *BY_COLUMN, *Y], lambda x: Y.clamped(X.real(x) @ COLUMNS)
    ),
    "gemm": Row(
        "QGemm",
        ["x2", *X, MATRIX, *FINE, BIAS[[0, 1, 2, 3, 4, 0, 1]], *Y],
        lambda x: Y.clamped(
            0.5 * (flat(X.real(x)) @ FINE.real(MATRIX))
            + 0.5 * float(X.scale * FINE.scale) * BIAS[[0, 1, 2, 3, 4, 0, 1]]
        ),
        {"alpha": 0.5},
    ),
    "gemm to real numbers": Row(
        "QGemm",
        ["x2", *X, MATRIX.T, *BY_COLUMN],
        lambda x: flat(X.real(x)) @ COLUMNS,
        {"transB": 1},
        TensorProto.FLOAT,
    ),
    "integers": Row(
        "MatMulInteger",
        ["x", MATRIX, np.uint8(120), BY_COLUMN[1]],
        lambda x: (x - 120) @ (MATRIX - np.arange(7.0)),
        out=TensorProto.INT32,
    ),
    "integers without zero points": Row(
        "MatMulInteger", ["x", MATRIX], lambda x: x @ MATRIX.astype(float), out=TensorProto.INT32
    ),
    "integers by row": Row(
        "MatMulInteger",
        ["x2", MATRIX, np.arange(24, dtype=np.uint8)],
        lambda x: (flat(x) - np.arange(24.0)[:, None]) @ MATRIX.astype(float),
        out=TensorProto.INT32,
    ),
    "integer filters": Row(
        "ConvInteger",
        ["x", KERNEL.view(np.uint8), np.uint8(120)],
        lambda x: convolved(x - 120, KERNEL.view(np.uint8).astype(float)),
        {"pads": [1] * 4},
        TensorProto.INT32,
    ),
}


#: ONNX Runtime has no kernel for the first one, and ends the process at the second.
NOT_ASKED = ("integers by row", "without zero points")


def is_flat(row: Row) -> bool:
    """Whether the operator reads the picture as a matrix."""
    return isinstance(row.inputs[0], str) and row.inputs[0] == "x2"


def model_of(row: Row) -> ModelProto:
    """A model from the picture in float, cast to the integers that it holds, to y."""
    constants = [numpy_helper.from_array(np.asarray(a), f"c{i}") for i, a in enumerate(row.inputs)]
    names = [one if isinstance(one, str) else f"c{i}" for i, one in enumerate(row.inputs)]
    domain = (
        "" if row.op in ("MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul") else "com.microsoft"
    )
    nodes = [
        helper.make_node("Cast", ["p"], ["x"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["x", "shape"], ["x2"]),
        helper.make_node(row.op, names, ["y"], name="the node", domain=domain, **row.attributes),
        helper.make_node("Cast", ["y"], ["real"], to=TensorProto.FLOAT),
    ]
    used = [one for one, given in zip(constants, row.inputs) if not isinstance(given, str)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, PICTURE.shape)],
        [helper.make_tensor_value_info("real", TensorProto.FLOAT, None)],
        [*used, numpy_helper.from_array(np.array([-1, 6]), "shape")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def rounded(row: Row, numbers: Array) -> Tuple[Array, Array]:
    """The integers, and where float32 may round to another one."""
    if row.out == TensorProto.FLOAT:
        return numbers, np.zeros(numbers.shape, bool)
    return np.rint(numbers), np.abs(np.abs(numbers % 1) - 0.5) < 1e-3


@pytest.mark.parametrize("name", ROWS)
def test_quantised_operators_compute_the_real_ones(name: str) -> None:
    row = ROWS[name]
    expected, unsure = rounded(row, row.function(PICTURE.astype(float)))
    assert unsure.mean() < 0.02
    for graph in (read(model_of(row)), simplify(read(model_of(row)))):
        (found,) = run(graph, PICTURE)
        np.testing.assert_allclose(np.where(unsure, expected, found), expected, rtol=1e-5)
        assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("name", [name for name in ROWS if name not in NOT_ASKED])
def test_they_agree_with_onnxruntime(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = model_of(ROWS[name])
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"p": PICTURE})
    (found,) = run(simplify(read(model)), PICTURE)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= (1e-4 if ROWS[name].out == TensorProto.FLOAT else 1)


@pytest.mark.parametrize("name", ROWS)
def test_gradients_pass_straight_through_the_rounding(name: str) -> None:
    """They are those of the function before it rounds, which clamps to the range."""
    row, graph = ROWS[name], simplify(read(model_of(ROWS[name])))
    lowered = lower(graph, {"p": PICTURE.shape}, Weights(graph))
    start = next(value for node in graph.nodes if node.op == "Cast" for value in node.outputs)
    x, y = lowered.values[start], lowered.values["real"]
    g = RNG.normal(size=lowered.plan.shape(y)).astype(np.float32)
    lowered.plan.prepare(keep=[y], seeds=[y], wrt=[x])
    lowered.plan.forward([PICTURE])
    lowered.plan.backward({y: g})
    direction = RNG.uniform(-1, 1, PICTURE.shape)
    step = 1e-6
    ahead, behind = (row.function(PICTURE + way * step * direction) for way in (1, -1))
    expected = ((ahead - behind) / (2 * step) * g).sum()
    size = np.abs(lowered.plan.gradient(x) * direction).sum()
    assert size > 0
    assert abs((lowered.plan.gradient(x) * direction).sum() - expected) <= 1e-4 * size


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not is_flat(row)])
def test_a_batch_is_its_pictures_one_by_one(name: str) -> None:
    graph = simplify(read(model_of(ROWS[name])))
    pictures = RNG.integers(0, 255, (3, *PICTURE.shape[1:])).astype(np.float32)
    (together,) = run(graph, pictures)
    for i in range(3):
        np.testing.assert_array_equal(together[i], run(graph, pictures[i : i + 1])[0][0])
