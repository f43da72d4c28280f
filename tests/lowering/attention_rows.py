"""Cases of attention, rotary positions and normalisation, each with its numbers in float64."""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple

import numpy as np
from attention_twin import Arrays, attention, closed, layer_norm, normalised, rotated
from onnx import TensorProto, helper, numpy_helper

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
        {"q": fed(N, TOKENS, 24), "k": known(N, TOKENS, 24), "v": fed(N, TOKENS, 24)[..., ::-1].copy()},
        {**MULTI, "unidirectional": 1},
        lambda a: attention(a, bias=closed(np.tri(TOKENS, dtype=bool))),
        MICROSOFT,
    ),
    "of ONNX Runtime, of one weight": Case(
        "Attention",
        {"x": fed(N, TOKENS, 10), "w": known(10, 3 * HEADS * EXTENT) / 3, "b": known(3 * HEADS * EXTENT)},
        MULTI,
        lambda a: attention(dict(zip("qkv", np.split(a["x"] @ a["w"] + a["b"], 3, -1)))),
        MICROSOFT,
    ),
    "of ONNX Runtime, of one weight, values of another extent, causal": Case(
        "Attention",
        {
            "x": fed(N, TOKENS, 10),
            "w": known(10, 2 * 24 + 8) / 3,
            "b": None,
            "m": None,
            "p": None,
            "s": known(1, HEADS, TOKENS, TOKENS),
        },
        {**MULTI, "qkv_hidden_sizes": [24, 24, 8], "unidirectional": 1},
        lambda a: attention(
            dict(zip("qkv", np.split(a["x"] @ a["w"], (24, 48), -1))),
            bias=a["s"] + closed(np.tri(TOKENS, dtype=bool)),
        ),
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
