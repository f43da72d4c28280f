"""Attention, rotary positions and normalisation by the mean square: float64 twins, batches, refusals."""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Sequence, Tuple, Type

import numpy as np
import pytest
from attention_twin import Arrays, attention, closed, layer_norm, normalised, rotated
from graphs import differentiated, prepared
from onnx import TensorProto, helper, numpy_helper

from cnnviz.errors import CnnvizError, ModelFormatError, UnsupportedModelError
from cnnviz.graph.simplify import simplify
from cnnviz.reader.onnx_file import read

N, HEADS, TOKENS, KEYS, EXTENT = 1, 4, 3, 5, 6
MICROSOFT = "com.microsoft"


class Case(NamedTuple):
    """An operator, its inputs in order, its attributes, and its first output in float64.

    Arrays of float64 are inputs of the network, the others constants; None is an input that is absent.
    """

    op: str
    arrays: Dict[str, Any]
    attributes: Dict[str, Any]
    twin: Callable[[Arrays], np.ndarray]
    domain: str = ""

    def model(self) -> Any:
        fed = {name: array for name, array in self.arrays.items() if is_fed(array)}
        known = {name: array for name, array in self.arrays.items() if array is not None and name not in fed}
        names = [name if array is not None else "" for name, array in self.arrays.items()]
        graph = helper.make_graph(
            [helper.make_node(self.op, names, ["y"], "node", domain=self.domain, **self.attributes)],
            "g",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, fed[name].shape) for name in fed],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in known.items()],
        )
        opsets = [helper.make_opsetid("", 24), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def is_fed(array: Any) -> bool:
    return array is not None and array.dtype == np.float64


def fed(*shape: int) -> np.ndarray:
    numbers = np.random.default_rng(sum(shape)).normal(size=shape)
    return numbers.astype(np.float32).astype(np.float64)


def known(*shape: int) -> np.ndarray:
    return fed(*shape).astype(np.float32)


def heads(own: int = HEADS, *, values: int = EXTENT) -> Arrays:
    return {
        "q": fed(N, HEADS, TOKENS, EXTENT),
        "k": fed(N, own, KEYS, EXTENT),
        "v": fed(N, own, KEYS, values)[..., ::-1].copy(),
    }


def tokens(own: int = HEADS) -> Arrays:
    """Tokens whose heads lie behind each other."""
    return {
        "q": fed(N, TOKENS, HEADS * EXTENT),
        "k": fed(N, KEYS, own * EXTENT),
        "v": fed(N, KEYS, own * EXTENT)[..., ::-1].copy(),
    }


MASK = np.random.default_rng(4).random((HEADS, TOKENS, KEYS)) < 0.6
MASK[1, 2] = False
CAUSAL = np.tri(TOKENS, KEYS, dtype=bool)
MULTI = {"num_heads": HEADS}


def angles(make: Any, *shape: int) -> Arrays:
    return {"cos": make(*shape), "sin": make(*shape)[..., ::-1].copy()}


PLACES = np.array([[3, 0, 5]])
ROTARY = {"x": fed(N, HEADS, TOKENS, EXTENT)}


CASES: Dict[str, Case] = {
    "heads": Case("Attention", heads(), {}, attention),
    "tokens": Case("Attention", tokens(), {"q_num_heads": HEADS, "kv_num_heads": HEADS}, attention),
    "shared heads of keys": Case("Attention", heads(2), {}, attention),
    "shared heads of tokens": Case(
        "Attention",
        tokens(2),
        {"q_num_heads": HEADS, "kv_num_heads": 2},
        lambda a: attention(a, own=2),
    ),
    "values of another extent": Case(
        "Attention", heads(values=2), {"scale": 0.3}, lambda a: attention(a, scale=0.3)
    ),
    "capped": Case("Attention", heads(), {"softcap": 0.7}, lambda a: attention(a, cap=0.7)),
    "causal": Case("Attention", heads(), {"is_causal": 1}, lambda a: attention(a, bias=closed(CAUSAL))),
    "known mask": Case("Attention", {**heads(), "m": MASK}, {}, lambda a: attention(a, bias=closed(MASK))),
    "known mask that is short": Case(
        "Attention",
        {**heads(), "m": MASK[..., :4]},
        {},
        lambda a: attention(a, bias=closed(MASK & (np.arange(KEYS) < 4))),
    ),
    "known bias, causal": Case(
        "Attention",
        {**heads(), "m": known(TOKENS, KEYS)},
        {"is_causal": 1},
        lambda a: attention(a, bias=a["m"] + closed(CAUSAL)),
    ),
    "computed bias": Case(
        "Attention", {**heads(), "m": fed(TOKENS, KEYS)}, {}, lambda a: attention(a, bias=a["m"])
    ),
    "computed bias that is short": Case(
        "Attention",
        {**heads(2), "m": fed(1, TOKENS, 4)},
        {"is_causal": 1},
        lambda a: attention(
            a, bias=np.pad(a["m"], ((0, 0), (0, 0), (0, 1))) + closed(CAUSAL & (np.arange(KEYS) < 4))
        ),
    ),
    "a window": Case(
        "Attention",
        heads(),
        {"left_window_size": 1, "right_window_size": 0},
        lambda a: attention(a, bias=closed(CAUSAL & ~np.tri(TOKENS, KEYS, -2, dtype=bool))),
    ),
    "padding": Case(
        "Attention",
        {**heads(), "m": None, "p": None, "w": None, "lengths": np.array([2])},
        {},
        lambda a: attention(a, bias=closed(np.arange(KEYS) < 2)),
    ),
    "cache": Case(
        "Attention",
        {**heads(2), "m": None, "p": known(N, 2, 2, EXTENT), "w": -fed(N, 2, 2, EXTENT)},
        {"is_causal": 1},
        lambda a: attention(
            {
                "q": a["q"],
                "k": np.concatenate([a["p"], a["k"]], 2),
                "v": np.concatenate([a["w"], a["v"]], 2),
            },
            bias=closed(np.tri(TOKENS, KEYS + 2, 2, dtype=bool)),
        ),
    ),
    "of ONNX Runtime": Case("MultiHeadAttention", tokens(), MULTI, attention, MICROSOFT),
    "of ONNX Runtime, with biases": Case(
        "MultiHeadAttention",
        {**tokens(), "b": known(3 * HEADS * EXTENT), "m": None, "s": known(1, HEADS, TOKENS, KEYS)},
        {**MULTI, "scale": 0.4},
        lambda a: attention(
            {name: a[name] + part for name, part in zip("qkv", np.split(a["b"], 3))}, bias=a["s"], scale=0.4
        ),
        MICROSOFT,
    ),
    "of ONNX Runtime, causal": Case(
        "MultiHeadAttention",
        tokens(),
        {**MULTI, "unidirectional": 1},
        lambda a: attention(a, bias=closed(CAUSAL)),
        MICROSOFT,
    ),
    "rotary": Case("RotaryEmbedding", {**ROTARY, **angles(known, N, TOKENS, EXTENT // 2)}, {}, rotated),
    "rotary, neighbours": Case(
        "RotaryEmbedding",
        {**ROTARY, **angles(fed, N, TOKENS, EXTENT // 2)},
        {"interleaved": 1},
        lambda a: rotated(a, interleaved=True),
    ),
    "rotary, of places": Case(
        "RotaryEmbedding", {**ROTARY, **angles(known, 6, EXTENT // 2), "at": PLACES}, {}, rotated
    ),
    "rotary, of computed places, in part": Case(
        "RotaryEmbedding",
        {**ROTARY, **angles(fed, 6, 2), "at": PLACES},
        {"rotary_embedding_dim": 4},
        lambda a: rotated(a, turned=4),
    ),
    "rotary, tokens": Case(
        "RotaryEmbedding",
        {"x": fed(N, TOKENS, HEADS * EXTENT), **angles(known, N, TOKENS, EXTENT // 2)},
        {"num_heads": HEADS},
        lambda a: rotated(a, heads=HEADS),
    ),
    "mean square": Case(
        "RMSNormalization",
        {"x": fed(2, 3, 4, 5), "s": fed(4, 5)},
        {"axis": -2, "epsilon": 0.1},
        lambda a: normalised(a["x"], (2, 3), 0.1) * a["s"],
    ),
    "mean square of ONNX Runtime": Case(
        "SimplifiedLayerNormalization",
        {"x": fed(2, 3, 5), "s": known(5)},
        {},
        lambda a: normalised(a["x"], -1, 1e-5) * a["s"],
    ),
    "sum and layer normalisation": Case(
        "SkipLayerNormalization",
        {"x": fed(2, 3, 5), "skip": fed(2, 3, 5), "s": known(5), "b": known(5), "c": fed(5)},
        {},
        lambda a: layer_norm(a["x"] + a["skip"] + a["c"]) * a["s"] + a["b"],
        MICROSOFT,
    ),
    "sum and layer normalisation, without biases": Case(
        "SkipLayerNormalization",
        {"x": fed(2, 3, 5), "skip": fed(3, 5), "s": known(5)},
        {},
        lambda a: layer_norm(a["x"] + a["skip"]) * a["s"],
        MICROSOFT,
    ),
}


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
