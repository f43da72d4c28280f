"""Attention, rotary positions and normalisation by the mean square: float64 twins, batches, refusals."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple, Type

import numpy as np
import pytest
from attention_rows import (
    CASES,
    EXTENT,
    HEADS,
    KEYS,
    MICROSOFT,
    PLACES,
    TOKENS,
    N,
    angles,
    fed,
    is_fed,
    known,
)
from attention_twin import Arrays, attention, closed
from graphs import differentiated, prepared, run
from onnx import TensorProto, helper, numpy_helper

from cnnviz.errors import CnnvizError, ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Graph, Node, Tensor
from cnnviz.graph.schema import complete
from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read


@pytest.mark.parametrize("name", CASES)
def test_numbers_and_gradients_are_those_of_the_twin(name: str) -> None:
    case = CASES[name]
    moving = [key for key, array in case.arrays.items() if is_fed(array)]
    plan, ins, (out,) = prepared(simplify(read(case.model())))
    plan.forward([np.ascontiguousarray(case.arrays[key], np.float32) for key in moving])
    expected = case.twin(case.arrays)
    np.testing.assert_allclose(plan.read(out), expected, rtol=1e-4, atol=2e-6)
    rng, epsilon = np.random.default_rng(1), 1e-6
    seed = rng.normal(size=expected.shape).astype(np.float32)
    plan.backward({out: seed})
    for value, key in zip(ins, moving):
        way = rng.normal(size=case.arrays[key].shape)
        ends = [case.twin({**case.arrays, key: case.arrays[key] + sign * epsilon * way}) for sign in (1, -1)]
        along = ((ends[0] - ends[1]) * seed).sum() / (2 * epsilon)
        np.testing.assert_allclose(
            (plan.gradient(value) * way).sum(), along, rtol=2e-4, atol=2e-5, err_msg=key
        )


def block(*nodes: Any, constants: Arrays, shape: Sequence[int]) -> Any:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 24), helper.make_opsetid(MICROSOFT, 1)]
    return simplify(read(helper.make_model(graph, opset_imports=opsets, ir_version=10)))


def node(op: str, inputs: str, output: str, domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), [output], f"the {op}", domain=domain, **attributes)


WIDE = HEADS * EXTENT
BLOCKS: Dict[str, Any] = {
    "a block of tokens": lambda: block(
        node("RMSNormalization", "x g", "n"),
        *(node("MatMul", f"n w{one}", one) for one in "qkv"),
        node("RotaryEmbedding", "q cos sin at", "turned", num_heads=HEADS),
        node("Attention", "turned k v m", "y", q_num_heads=HEADS, kv_num_heads=2, is_causal=1),
        constants={
            "g": known(WIDE),
            "wq": known(WIDE, WIDE),
            "wk": known(WIDE, 2 * EXTENT),
            "wv": known(WIDE, 2 * EXTENT) * np.float32(0.5),
            **angles(known, 6, EXTENT // 2),
            "at": PLACES,
            "m": np.random.default_rng(0).random((1, HEADS, TOKENS, TOKENS)) < 0.7,
        },
        shape=(1, TOKENS, WIDE),
    ),
    "a mask of the picture": lambda: block(
        node("ReduceMean", "x axis", "mean", keepdims=0),
        node("Greater", "mean zero", "above"),
        node("Unsqueeze", "above one", "mask"),
        node("Attention", "x x x mask", "y", q_num_heads=HEADS, kv_num_heads=HEADS),
        constants={"axis": np.array([2]), "zero": np.float32(0.0), "one": np.array([1, 2])},
        shape=(1, TOKENS, WIDE),
    ),
    "of ONNX Runtime": lambda: block(
        node("MultiHeadAttention", "x x x b", "a", MICROSOFT, num_heads=HEADS),
        node("SkipLayerNormalization", "a x g b1", "y", MICROSOFT),
        constants={"b": known(3 * WIDE), "g": known(WIDE), "b1": known(WIDE)},
        shape=(1, TOKENS, WIDE),
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_each_picture_of_a_batch_has_the_bits_that_it_has_alone(name: str) -> None:
    graph, rng = BLOCKS[name](), np.random.default_rng(6)
    x = rng.normal(size=(3, TOKENS, WIDE)).astype(np.float32)
    x[1] -= 3  # a mask of this picture closes every key
    seed = rng.normal(size=x.shape).astype(np.float32)
    y, (dx,) = differentiated(graph, [x], seed)
    assert all(np.isfinite(array).all() and array.any() for array in (y, dx))
    for i in range(3):
        one, (done,) = differentiated(graph, [x[i : i + 1]], seed[i : i + 1])
        np.testing.assert_array_equal(one, y[i : i + 1])
        np.testing.assert_array_equal(done, dx[i : i + 1])


def test_a_mask_that_the_picture_makes_closes_keys() -> None:
    graph = BLOCKS["a mask of the picture"]()
    x = np.random.default_rng(6).normal(size=(1, TOKENS, WIDE)).astype(np.float32)
    y, _ = differentiated(graph, [x], np.ones_like(x))
    open_ = x.astype(np.float64).mean(-1)[:, None, None] > 0
    assert 0 < open_.sum() < TOKENS
    expected = attention({"q": x, "k": x, "v": x}, bias=closed(open_))
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=2e-6)


# the case that is changed, changed arrays and attributes, the error and its message
Row = Tuple[str, Arrays, Dict[str, Any], Type[CnnvizError], str]
BROKEN: Dict[str, Row] = {
    "heads": ("tokens", {}, {"q_num_heads": 5}, ModelFormatError, r"Q has shape .1, 3, 24., .* fit 5 heads"),
    "no heads": ("heads", {"q": fed(N, TOKENS, 24)}, {}, ModelFormatError, "does not fit None heads"),
    "shares": (
        "heads",
        {"k": fed(N, 3, KEYS, EXTENT), "v": fed(N, 3, KEYS, EXTENT)},
        {},
        ModelFormatError,
        "4 heads of queries do not share 3",
    ),
    "mask": ("known mask", {"m": np.ones((7, KEYS), bool)}, {}, ModelFormatError, "not broadcast|cannot be"),
    "mask of more pictures": (
        "known mask",
        {"m": np.ones((2, 1, 1, KEYS), bool)},
        {},
        ModelFormatError,
        r"scores of shape \(2, 4, 3, 5\)",
    ),
    "half a cache": ("cache", {"w": None}, {}, ModelFormatError, "past_key needs past_value"),
    "stage": ("heads", {}, {"qk_matmul_output_mode": 4}, ModelFormatError, "qk_matmul_output_mode is 4"),
    "padding": (
        "padding",
        {"lengths": fed(1)},
        {},
        UnsupportedModelError,
        "'node'.*nonpad_kv_seqlen depends on the picture",
    ),
    "padding of ONNX Runtime": (
        "of ONNX Runtime, with biases",
        {"m": np.ones(1, np.int32)},
        {},
        UnsupportedModelError,
        "input 4, 'm'",
    ),
    "causal between different tokens": (
        "of ONNX Runtime",
        {},
        {"unidirectional": 1},
        UnsupportedModelError,
        "'node' .MultiHeadAttention.: unidirectional, with 3 queries and 5 keys",
    ),
    "mask of ONNX Runtime": (
        "of ONNX Runtime, of one weight",
        {"m": np.ones((1, TOKENS), np.int32)},
        {},
        UnsupportedModelError,
        "Attention of ONNX Runtime .with a mask.",
    ),
    "extents": (
        "of ONNX Runtime, of one weight",
        {},
        {"qkv_hidden_sizes": [24, 48]},
        ModelFormatError,
        "'node' .Attention.: qkv_hidden_sizes has 2 numbers",
    ),
    "angles": (
        "rotary",
        angles(known, N, TOKENS, 2),
        {},
        ModelFormatError,
        r"gives angles \(1, 3, 2\), expected N, 3, 3",
    ),
    "odd": ("rotary", {}, {"rotary_embedding_dim": 5}, ModelFormatError, "5 of 6 numbers"),
    "rotary heads": ("rotary, tokens", {}, {"num_heads": 5}, ModelFormatError, "does not fit 5 heads"),
    "rotary rank": ("rotary", {"x": fed(3, 6)}, {}, ModelFormatError, "expected three or four dimensions"),
    "places": (
        "rotary, of places",
        {"at": fed(1, 3)},
        {},
        UnsupportedModelError,
        "position_ids depends on the picture",
    ),
    "place": ("rotary, of places", {"at": np.array([[3, 0, 6]])}, {}, ModelFormatError, "out of"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_fit_is_refused(name: str) -> None:
    which, arrays, attributes, error, message = BROKEN[name]
    case = CASES[which]
    model = case._replace(
        arrays={**case.arrays, **arrays}, attributes={**case.attributes, **attributes}
    ).model()
    if "qk_matmul_output_mode" in attributes:
        model.graph.node[0].output.extend(["k", "v", "stage"])
        model.graph.node[0].output[1:3] = ["", ""]
    with pytest.raises(error, match=message):
        prepared(simplify(read(model)))


LEAST = np.finfo(np.float32).min
MASKS: Dict[str, Tuple[np.ndarray, Dict[str, Any]]] = {
    "the least number closes no row": (np.float32([[LEAST] * KEYS] + [[0] * KEYS] * (TOKENS - 1)), {}),
    "one column under a causal mask": (np.arange(TOKENS, dtype=np.float32)[:, None], {"is_causal": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_the_same_fed_or_known(name: str) -> None:
    mask, attributes = MASKS[name]
    shape = (1, HEADS, TOKENS, EXTENT)
    q, k = fed(*shape), fed(1, HEADS, KEYS, EXTENT)
    attend = Node("Attention", "attend", ("q", "k", "k", "m"), ("y",), {})
    attend = complete(attend.replace(attributes=attributes))
    inputs = (Tensor("q", shape), Tensor("k", k.shape))
    moving = Graph((*inputs, Tensor("m", mask.shape)), (Tensor("y", None),), (attend,), {})
    (found,) = run(moving, q, k, mask)
    (expected,) = run(Graph(inputs, (Tensor("y", None),), (attend,), {"m": mask}), q, k)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
