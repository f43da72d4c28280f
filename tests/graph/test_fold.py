"""Nodes evaluated in advance have the numbers and the type that ONNX's reference gives."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx
import pytest
from graphs import run
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cnnviz.errors import ModelFormatError
from cnnviz.graph.fold import Budget
from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

INTEGERS = np.array([[-7, 7, 5], [3, -2, 9]])
OTHERS = np.array([2, -2, 3])
FLOATS, QUARTERS = INTEGERS + np.float32(0.25), OTHERS + np.float32(0.5)
FLOATS, QUARTERS = FLOATS.astype(np.float32), QUARTERS.astype(np.float32)
TRUTHS = np.array([[True, False, True], [False, False, True]])
HALF, ZERO, ONE, TWO = np.float32(0.5), np.array(0), np.array(1), np.array(2)

PAIRS = ((FLOATS, QUARTERS), (INTEGERS, OTHERS))
CUBE = np.arange(24, dtype=np.float32).reshape(2, 4, 3) - 7
BLOCKS = np.arange(64, dtype=np.float32).reshape(1, 4, 4, 4)
AWKWARD = np.float32([np.nan, np.inf, -np.inf, 1])
FEW = np.int8([[-128, 0, 127], [4, -5, 6]])
REAL = (
    *(
        "Asinh",
        "Atan",
        "Cos",
        "Cosh",
        "Erf",
        "Exp",
        "HardSwish",
        "Mish",
        "Relu",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
    ),
    *("Sinh", "Softplus", "Swish", "Tanh"),
)
REDUCED = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMin"),
    *("ReduceSumSquare",),
)
SCATTERS = ("none", "add", "mul", "max", "min")

# Rows of operator, inputs and attributes. Arrays of bool are integers in cnnviz.
Row = Tuple[str, List[Any], Dict[str, Any]]
ROWS: List[Row] = [
    *((op, [a], {}) for op in ("Abs", "Neg", "Identity") for a in (INTEGERS, FLOATS)),
    *((op, [FLOATS], {}) for op in ("Ceil", "Floor")),
    ("Sqrt", [np.abs(FLOATS)], {}),
    ("Not", [TRUTHS], {}),
    *((op, [TRUTHS, TRUTHS[0]], {}) for op in ("And", "Or")),
    *(
        (op, list(pair), {})
        for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Equal", "Greater", "Less")
        for pair in ((FLOATS, QUARTERS), (INTEGERS, OTHERS))
        if (op, pair[0] is INTEGERS) != ("Div", True)  # ONNX divides towards zero, its reference rounds down
    ),
    ("Div", [np.abs(INTEGERS), np.abs(OTHERS)], {}),
    ("Sum", [FLOATS, QUARTERS, HALF], {}),
    ("Mod", [INTEGERS, OTHERS], {}),
    ("Mod", [INTEGERS, OTHERS], {"fmod": 1}),
    ("Mod", [FLOATS, QUARTERS], {"fmod": 1}),
    ("Pow", [INTEGERS, TWO], {}),
    ("Pow", [np.abs(INTEGERS), HALF], {}),  # the result has the base's type
    ("Pow", [np.abs(FLOATS), HALF], {}),
    ("Pow", [FLOATS, TWO], {}),
    *(("Cast", [a], {"to": to}) for a in (INTEGERS, FLOATS, TRUTHS) for to in (1, 7, 9, 11)),
    *(
        (op, [a, np.array([1])], {"keepdims": keep})
        for op in ("ReduceMean", "ReduceSum", "ReduceProd")
        for a in (INTEGERS, FLOATS)
        for keep in (0, 1)
    ),
    ("Range", [ZERO, np.array(7), TWO], {}),
    ("Range", [HALF, np.float32(3), HALF], {}),
    *(("Where", [TRUTHS, *pair], {}) for pair in ((INTEGERS, OTHERS), (FLOATS, QUARTERS))),
    *(("Concat", [a, a], {"axis": 1}) for a in (INTEGERS, FLOATS)),
    *(("Gather", [a, ONE], {"axis": 1}) for a in (INTEGERS, FLOATS)),
    *(("Expand", [a, np.array([2, 3])], {}) for a in (OTHERS, QUARTERS)),
    *(("Tile", [a, np.array([2, 1])], {}) for a in (INTEGERS, FLOATS)),
    *(("Slice", [a, ONE[None], np.array([9])], {}) for a in (OTHERS, QUARTERS)),
    ("ConstantOfShape", [OTHERS[::2]], {"value": numpy_helper.from_array(OTHERS[:1])}),
    ("ConstantOfShape", [OTHERS[::2]], {"value": numpy_helper.from_array(QUARTERS[:1])}),
    ("ConstantOfShape", [OTHERS[::2]], {}),
    # scalar functions
    *((op, [FLOATS], {}) for op in REAL),
    *((op, [np.abs(FLOATS)], {}) for op in ("Log", "Reciprocal")),
    *((op, [FLOATS / 10], {}) for op in ("Asin", "Acos", "Atanh", "Tan")),
    ("Acosh", [np.abs(FLOATS)], {}),
    *((op, [INTEGERS, OTHERS], {}) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    *(("CastLike", [a, b], {}) for a in (INTEGERS, FLOATS) for b in (TRUTHS, HALF, np.int8(0))),
    *(
        ("BitShift", [np.uint8([1, 200, 255]), np.uint8([1, 2, 7])], {"direction": d})
        for d in ("LEFT", "RIGHT")
    ),
    ("BitwiseNot", [INTEGERS], {}),
    ("Round", [np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.51])], {}),
    ("Relu", [INTEGERS], {}),
    *(("Clip", [FLOATS, *limits], {}) for limits in ([], [-HALF], [-HALF, np.float32(4)])),
    ("Clip", [INTEGERS, np.array(-2), np.array(6)], {}),
    ("Celu", [FLOATS], {"alpha": 2.0}),
    ("Elu", [FLOATS], {"alpha": 2.0}),
    ("LeakyRelu", [FLOATS], {"alpha": 0.5}),
    ("HardSigmoid", [FLOATS], {"alpha": 0.5, "beta": 0.25}),
    ("Gelu", [FLOATS], {}),
    ("Gelu", [FLOATS], {"approximate": "tanh"}),
    ("PRelu", [FLOATS, QUARTERS], {}),
    ("IsNaN", [AWKWARD], {}),
    *(("IsInf", [AWKWARD], {"detect_positive": p}) for p in (0, 1)),
    # comparisons and means
    *((op, list(p), {}) for op in ("GreaterOrEqual", "LessOrEqual") for p in PAIRS),
    ("Xor", [TRUTHS, TRUTHS[0]], {}),
    ("Mean", [FLOATS, QUARTERS, HALF], {}),
    # sums
    *(
        (op, [a, np.array([1])], {"keepdims": k})
        for op in REDUCED
        for a in (INTEGERS, FLOATS)
        for k in (0, 1)
        if a is FLOATS or "Log" not in op  # ONNX's reference has no logarithm of integers
    ),
    *((op, [FLOATS], {}) for op in REDUCED),
    *(("CumSum", [a, ONE], {}) for a in (INTEGERS, FLOATS)),
    *(("CumSum", [FLOATS, ZERO], {"exclusive": e, "reverse": r}) for e in (0, 1) for r in (0, 1)),
    *((op, [FLOATS], {"axis": axis}) for op in ("Softmax", "LogSoftmax") for axis in (0, -1)),
    *(("MatMul", [a, a.T], {}) for a in (INTEGERS, FLOATS)),
    ("MatMul", [CUBE, CUBE[0].T], {}),
    ("MatMul", [QUARTERS, CUBE[:, :3, :3]], {}),
    ("Gemm", [FLOATS, FLOATS, HALF[None]], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", [FLOATS, FLOATS], {"transA": 1}),
    ("Einsum", [QUARTERS, FLOATS[0]], {"equation": "i,j->ij"}),
    ("Einsum", [CUBE, CUBE], {"equation": "...ij, ...kj -> ...ik"}),
    ("BatchNormalization", [CUBE, *[np.float32([1, 2, 3, 4])] * 4], {"epsilon": 0.5}),
    # indices
    ("GatherElements", [FLOATS, np.array([[0, 1, -1]])], {"axis": 0}),
    ("GatherND", [CUBE, np.array([[0, 1], [1, -1]])], {}),
    ("GatherND", [CUBE, np.array([[[0], [1]], [[2], [3]]])], {"batch_dims": 1}),
    *(("ScatterElements", [FLOATS, np.array([[1, 0]]), FLOATS[:1, :2]], {"reduction": r}) for r in SCATTERS),
    *(("ScatterND", [FLOATS, np.array([[1], [0]]), FLOATS], {"reduction": r}) for r in SCATTERS),
    *(("OneHot", [OTHERS, np.array(4), np.float32([0.5, 2])], {"axis": axis}) for axis in (0, -1)),
    *((op, [a], {"axis": 1, "keepdims": 0}) for op in ("ArgMax", "ArgMin") for a in (INTEGERS, FLOATS)),
    *((op, [INTEGERS * 0], {"axis": 1, "select_last_index": 1}) for op in ("ArgMax", "ArgMin")),
    *(("TopK", [a, TWO[None]], {"axis": 1, "largest": n}) for a in (INTEGERS, FLOATS) for n in (0, 1)),
    ("Compress", [FLOATS, TRUTHS[0]], {"axis": 1}),
    ("Compress", [FLOATS, TRUTHS[0]], {}),
    *(("NonZero", [a], {}) for a in (TRUTHS.astype(np.int64), FLOATS)),
    # movement
    *(("Trilu", [INTEGERS, ONE], {"upper": upper}) for upper in (0, 1)),
    ("Trilu", [FLOATS], {}),
    *(("EyeLike", [a], {"k": 1}) for a in (INTEGERS, FLOATS)),
    ("EyeLike", [FLOATS], {"dtype": 7}),
    *(
        ("Pad", [FLOATS, np.array([0, 1, 1, 2])], {"mode": m})
        for m in ("constant", "edge", "reflect", "wrap")
    ),
    *((op, [BLOCKS], {"blocksize": 2}) for op in ("DepthToSpace", "SpaceToDepth")),
    ("DepthToSpace", [BLOCKS], {"blocksize": 2, "mode": "CRD"}),
    # quantisation
    ("DequantizeLinear", [FEW, HALF, np.int8(3)], {}),
    ("DequantizeLinear", [FEW, QUARTERS, np.int8([1, 2, 3])], {"axis": 1}),
    ("DequantizeLinear", [FEW, QUARTERS[:2]], {"axis": 0}),
    ("DequantizeLinear", [FEW, np.float32([[1, 2], [3, 4]])], {"axis": 1, "block_size": 2}),
    ("QuantizeLinear", [100 * FLOATS, QUARTERS, np.uint8([1, 2, 3])], {"axis": 1}),
    ("QuantizeLinear", [100 * FLOATS, HALF, np.int8(3)], {}),
    ("QuantizeLinear", [100 * FLOATS, HALF], {}),
    ("QuantizeLinear", [1e5 * FLOATS, HALF], {"output_dtype": 5}),
]


def model(nodes: List[Any], constants: Dict[str, Any], shape: Optional[Tuple[Any, ...]] = None) -> ModelProto:
    """A network of constants, with an input x if a shape is given."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)] if shape else [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10)


# The onnx that Python 3.8 and 3.9 get; newer Pythons get 1.22 or later.
OLD_REFERENCE = tuple(map(int, onnx.__version__.split(".")[:2])) < (1, 22)


def label(row: Row) -> str:
    op, inputs, attributes = row
    kinds = "".join(np.asarray(array).dtype.kind for array in inputs)
    return "-".join([op, kinds, *(f"{k}{v}" for k, v in attributes.items() if isinstance(v, (int, str)))])


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_functions_agree_with_the_reference(row: Row) -> None:
    op, inputs, attributes = row
    if OLD_REFERENCE and (op in ("Gelu", "Swish") or attributes.get("reduction") == "mul"):
        pytest.skip("the reference of onnx 1.17 has no such function, or a wrong one")
    constants = {f"c{i}": array for i, array in enumerate(inputs)}
    outputs = ["y", "z"] if op == "TopK" else ["y"]
    proto = model([helper.make_node(op, list(constants), outputs, **attributes)], constants)
    (expected,) = ReferenceEvaluator(proto).run(None, {})
    found = simplify(read(proto)).constants["y"]
    assert found.dtype == (np.float32 if expected.dtype.kind == "f" else np.int64)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


# Results with more elements than all inputs together, besides those of ROWS.
LARGER: List[Row] = [
    *((op, [OTHERS[:, None], OTHERS], {}) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mod", "Pow")),
    *((op, [OTHERS[:, None], OTHERS], {}) for op in ("Equal", "Greater", "Less", "Sum")),
    *((op, [TRUTHS[0][:, None], TRUTHS[0]], {}) for op in ("And", "Or")),
    ("Where", [TRUTHS[0][:, None, None], OTHERS[:, None], OTHERS], {}),
    ("Gather", [INTEGERS, np.zeros((3, 3), np.int64)], {"axis": 0}),
]


@pytest.mark.parametrize("row", [*ROWS, *LARGER], ids=label)
def test_no_result_is_larger_than_its_row_says(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    op, inputs, attributes = row
    constants = {f"c{i}": array for i, array in enumerate(inputs)}
    outputs = ["y", "z"] if op == "TopK" else ["y"]
    graph = read(model([helper.make_node(op, list(constants), outputs, **attributes)], constants))
    size = simplify(graph).constants["y"].size
    monkeypatch.setattr("cnnviz.graph.simplify.Budget", lambda: Budget(size - 1))
    with pytest.raises(ModelFormatError, match="elements"):
        simplify(graph)


def test_integers_divide_towards_zero() -> None:
    """The quotient is that of C, as the standard says since opset 7."""
    proto = model([node("Div", "a b")], {"a": INTEGERS, "b": OTHERS})
    assert simplify(read(proto)).constants["y"].tolist() == [[-3, -3, 1], [1, 1, 3]]


def test_negative_padding_crops() -> None:
    """ONNX's reference cannot: the padding of NumPy is never negative."""
    proto = model([node("Pad", "a p v")], {"a": INTEGERS, "p": np.array([0, -1, 1, 0]), "v": np.array(7)})
    assert simplify(read(proto)).constants["y"].tolist() == [[7, 5], [-2, 9], [7, 7]]


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


# Height and width of x, as integers and as floats; each row computes y with them.
SIZES = [
    node("Shape", "x", "s"),
    node("Gather", "s two", "h"),
    node("Gather", "s three", "w"),
    node("Cast", "h", "hf", to=TensorProto.FLOAT),
    node("Cast", "w", "wf", to=TensorProto.DOUBLE),
    node("Cast", "wf", "wg", to=TensorProto.FLOAT),
]
NUMBERS = {"zero": 0, "one": 1, "two": 2, "three": 3, "axis": [0], "start": [0], "rest": [2], "end": [4]}
CONSTANTS = {
    **{name: np.array(value) for name, value in NUMBERS.items()},
    "half": HALF,
    "pair": np.float32(2),
}
SIZE_ROWS: Dict[str, Sequence[NodeProto]] = {
    "half the height": [node("Div", "hf pair", "d"), node("Mul", "x d")],
    "through an Identity": [node("Identity", "hf", "i"), node("Div", "i pair", "d"), node("Mul", "x d")],
    "ratio": [node("Div", "wg hf", "d"), node("Mul", "x d")],
    "root": [node("Sqrt", "hf", "d"), node("Mul", "x d")],
    "inverse root": [node("Neg", "half", "e"), node("Pow", "hf e", "d"), node("Mul", "x d")],
    "number of elements": [
        node("Size", "x", "n"),
        node("Cast", "n", "nf", to=TensorProto.FLOAT),
        node("Div", "pair nf", "d"),
        node("Mul", "x d"),
    ],
    "positions": [
        node("Range", "zero w one", "r"),
        node("Cast", "r", "rf", to=TensorProto.FLOAT),
        node("Div", "rf wg", "d"),
        node("Add", "x d"),
    ],
    "mean": [
        node("Slice", "s rest end", "hw"),
        node("Cast", "hw", "hwf", to=TensorProto.FLOAT),
        node("ReduceMean", "hwf axis", "d", keepdims=0),
        node("Mul", "x d"),
    ],
    "rounded up": [
        node("Slice", "s start rest", "nc"),
        node("Slice", "s rest end", "hw"),
        node("Cast", "hw", "hwf", to=TensorProto.FLOAT),
        node("Div", "hwf pair", "d"),
        node("Ceil", "d", "c"),
        node("Cast", "c", "ci", to=TensorProto.INT64),
        node("Concat", "nc ci", "sizes", axis=0),
        helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear"),
    ],
    "as integers": [
        node("Div", "h two", "d"),
        node("Cast", "d", "e", to=TensorProto.FLOAT),
        node("Mul", "x e"),
    ],
    "activations": [
        node("Cast", "x", "k", to=TensorProto.FLOAT16),
        node("Cast", "k", "l", to=TensorProto.FLOAT),
        node("Mul", "l half"),
    ],
}


@pytest.mark.parametrize("shape", [(1, 3, 7, 5), ("N", 3, "H", "W")], ids=["fixed", "free"])
@pytest.mark.parametrize("name", SIZE_ROWS)
def test_sizes_are_floats_once_they_are_cast(name: str, shape: Tuple[Any, ...]) -> None:
    proto = model([*SIZES, *SIZE_ROWS[name]], CONSTANTS, shape)
    x = np.random.default_rng(0).integers(-9, 9, (1, 3, 7, 5)).astype(np.float32)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    graph = read(proto)
    for found in (run(graph, x)[0], run(simplify(graph), x)[0]):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_casts_of_activations_are_gone_and_their_names_stay() -> None:
    graph = simplify(read(model([*SIZES, *SIZE_ROWS["activations"]], CONSTANTS, (1, 3, 7, 5))))
    assert [one.op for one in graph.nodes] == ["Mul"]
    assert {name: graph.aliases[name] for name in "kl"} == {"k": "x", "l": "x"}
