"""Lowering of attention to two products with a softmax between them, and of rotary positions.

Vaswani et al. 2017, eq. 1; Su et al. 2021 (RoFormer), eq. 34. Queries, keys and values are N,heads,tokens,
extent. A token to which every key is closed has an attention, and an output, of zero.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.lowering.indexing import ROWS as INDEXING
from cnnviz.lowering.indexing import part
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS"]

Array = NDArray[Any]

_MASK, _PAST, _LENGTHS = 3, 4, 6  # positions of inputs of Attention


class _Bias(NamedTuple):
    """Numbers to add to the scores, -inf for keys that are closed.

    Attributes
    ----------
    added : int or None
        All of them.
    safe : int or None
        The same with zeros for tokens to which all keys are closed: their softmax would be NaN.
    open : int or None
        1 for the tokens to which a key is open, else 0; None where that is each of them.
    """

    added: Optional[int]
    safe: Optional[int]
    open: Optional[int]


class _Options(NamedTuple):
    """The scale of the scores, the limit of a soft cap (0 for none), and the numbers added to them."""

    scale: Optional[float]
    softcap: float
    bias: _Bias


class _Stages(NamedTuple):
    """The scores, the same behind the cap, the shares of the keys, and the output N,heads,tokens,extent."""

    scores: int
    capped: int
    shares: int
    output: int


def _input(node: Node, position: int) -> str:
    return node.inputs[position] if position < len(node.inputs) else ""


def _heads(low: Lowering, node: Node, x: int, what: str, heads: Optional[int]) -> int:
    """Queries, keys or values as N,heads,tokens,extent, from this or from N,tokens,heads*extent."""
    shape = low.plan.shape(x)
    if len(shape) == 4:
        return x
    if len(shape) != 3 or not heads or shape[2] % heads:
        raise ValueError(f"{what} has shape {shape}, which does not fit {heads} heads")
    x = low.plan.reshape(x, shape=(*shape[:2], heads, shape[2] // heads), name=node.name)
    return low.plan.transpose(x, perm=(0, 2, 1, 3), name=node.name)


def _flat(low: Lowering, node: Node, y: int) -> int:
    """The output as N,tokens,heads*extent."""
    n, heads, tokens, extent = low.plan.shape(y)
    y = low.plan.transpose(y, perm=(0, 2, 1, 3), name=node.name)
    return low.plan.reshape(y, shape=(n, tokens, heads * extent), name=node.name)


def _allowed(low: Lowering, node: Node, queries: int, keys: int, past: int) -> Optional[Array]:
    """The keys that a token may read by their places alone, ...,queries,keys; None for all."""
    a, name = node.attributes, _input(node, _LENGTHS)
    lengths = None
    if name:
        if name not in low.known:
            raise UnsupportedModelError(
                f"node {node.name!r} ({node.op}): nonpad_kv_seqlen depends on the picture", [node.op]
            )
        lengths = low.known[name].reshape(-1, 1, 1, 1)
    low.spend(queries * keys * (1 if lengths is None else lengths.size), node)
    offset = past if lengths is None else lengths - queries
    behind = np.arange(queries)[:, None] + offset - np.arange(keys)  # the number of tokens from key to query
    found: Array = np.ones(behind.shape, np.bool_)
    if a["is_causal"]:
        found &= behind >= 0
    if a["left_window_size"] >= 0:
        found &= behind <= a["left_window_size"]
    if a["right_window_size"] >= 0:
        found &= -behind <= a["right_window_size"]
    if lengths is not None:
        found = found & (np.arange(keys) < lengths)
    return None if found.all() else found


def _bias_of(low: Lowering, node: Node, mask: str, allowed: Optional[Array], keys: int) -> _Bias:
    """The numbers added to the scores: those of a mask, and -inf for keys that are not allowed.

    The reader has turned masks of truth values into numbers.
    """
    closed = None if allowed is None else np.where(allowed, np.float32(0), np.float32(-np.inf))
    if mask and mask not in low.known:
        return _moving_bias(low, node, mask, closed, keys)
    if mask:
        numbers = low.known[mask].astype(np.float32, copy=False)
        missing = keys - (numbers.shape[-1] if numbers.ndim else keys)
        if missing > 0:
            numbers = np.pad(numbers, [(0, 0)] * (numbers.ndim - 1) + [(0, missing)], constant_values=-np.inf)
        closed = numbers if closed is None else closed + numbers
    if closed is None:
        return _Bias(None, None, None)
    added = low.array(closed, f"{node.name}/bias")
    shut = np.isneginf(closed.max(axis=-1, keepdims=True)) if closed.ndim else np.isneginf(closed)
    if not shut.any():
        return _Bias(added, added, None)
    safe = low.array(np.where(shut, np.float32(0), closed), f"{node.name}/bias of open tokens")
    return _Bias(added, safe, low.array(~shut, f"{node.name}/open"))


def _moving_bias(low: Lowering, node: Node, mask: str, closed: Optional[Array], keys: int) -> _Bias:
    """The same for a mask that depends on the picture."""
    plan, name = low.plan, node.name
    added = low.id(mask)
    shape = plan.shape(added)
    if not shape:
        raise ValueError("the mask is one number")
    if shape[-1] < keys:
        zeros = [0] * len(shape)
        after = [*zeros[1:], keys - shape[-1]]
        added = plan.pad(added, before=zeros, after=after, value=-math.inf, name=name)
    if closed is not None:
        added = plan.add(added, low.array(closed, f"{name}/bias"), name=name)
    last = len(plan.shape(added)) - 1
    top = plan.reduce_max(added, axes=(last,), keepdims=True, name=name)
    opened = plan.greater(top, low.number(-math.inf), name=name)
    return _Bias(added, plan.masked(added, opened, name=name), opened)


def _attend(low: Lowering, node: Node, q: int, k: int, v: int, options: _Options) -> _Stages:
    """Each token's mixture of values, by the softmax of its scores; a head of keys may serve several."""
    plan, name = low.plan, node.name
    (n, heads, queries, extent), (_, own, keys, _) = plan.shape(q), plan.shape(k)
    if heads % own:
        raise ValueError(f"{heads} heads of queries do not share {own} heads of keys")
    scale = 1 / math.sqrt(extent) if options.scale is None else options.scale
    q = plan.mul(q, low.number(scale), name=name)
    k = plan.transpose(k, perm=(0, 1, 3, 2), name=name)
    scores = _product(low, node, q, k, own)
    capped = scores
    if options.softcap > 0:
        inner = plan.tanh(plan.mul(scores, low.number(1 / options.softcap), name=name), name=name)
        capped = plan.mul(inner, low.number(options.softcap), name=name)
    biased = capped if options.bias.safe is None else plan.add(capped, options.bias.safe, name=name)
    if plan.shape(biased) != (n, heads, queries, keys):
        raise ValueError(
            f"the mask makes scores of shape {plan.shape(biased)}, expected {(n, heads, queries, keys)}"
        )
    shares = plan.softmax(biased, axis=3, name=name)
    if options.bias.open is not None:
        shares = plan.masked(shares, options.bias.open, name=name)
    return _Stages(scores, capped, shares, _product(low, node, shares, v, own))


def _product(low: Lowering, node: Node, a: int, b: int, own: int) -> int:
    """The matrix product of N,heads,..., and N,own,..., each head of b with heads / own of a."""
    plan, name = low.plan, node.name
    (n, heads, rows, _), (_, _, inner, columns) = plan.shape(a), plan.shape(b)
    if heads == own:
        return plan.matmul(a, b, name=name)
    a = plan.reshape(a, shape=(n, own, heads // own, *plan.shape(a)[2:]), name=name)
    b = plan.reshape(b, shape=(n, own, 1, inner, columns), name=name)
    y = plan.matmul(a, b, name=name)
    return plan.reshape(y, shape=(n, heads, rows, columns), name=name)


def _attention(low: Lowering, node: Node) -> Tuple[int, ...]:
    a, plan = node.attributes, low.plan
    heads = (a["q_num_heads"], a["kv_num_heads"], a["kv_num_heads"])
    values = [low.id(name) for name in node.inputs[:3]]
    flat = len(plan.shape(values[0])) == 3
    q, k, v = (_heads(low, node, x, what, n) for x, what, n in zip(values, ("Q", "K", "V"), heads))
    past = 0
    if _input(node, _PAST):
        if not _input(node, _PAST + 1) or _input(node, _LENGTHS):
            raise ValueError("past_key needs past_value, and excludes nonpad_kv_seqlen")
        past = low.shape(_input(node, _PAST))[2]
        k, v = (
            plan.concat([low.id(_input(node, _PAST + i)), new], axis=2, name=node.name)
            for i, new in enumerate((k, v))
        )
    queries, keys = plan.shape(q)[2], plan.shape(k)[2]
    allowed = _allowed(low, node, queries, keys, past)
    bias = _bias_of(low, node, _input(node, _MASK), allowed, keys)
    stages = _attend(low, node, q, k, v, _Options(a["scale"], a["softcap"], bias))
    y = _flat(low, node, stages.output) if flat else stages.output
    if len(node.outputs) < 4:
        return y, k, v
    return y, k, v, _shown(low, node, stages, bias)


def _shown(low: Lowering, node: Node, stages: _Stages, bias: _Bias) -> int:
    """The fourth output, which shows one stage of the scores."""
    mode = node.attributes["qk_matmul_output_mode"]
    if mode not in (0, 1, 2, 3):
        raise ValueError(f"qk_matmul_output_mode is {mode}, not 0 to 3")
    if mode == 2 and bias.added is not None:
        return low.plan.add(stages.capped, bias.added, name=node.name)
    return (stages.scores, stages.capped, stages.capped, stages.shares)[mode]


def _multi_head_attention(low: Lowering, node: Node) -> int:
    """ONNX Runtime's operator, without a cache: one bias for queries, keys and values joined."""
    a, plan = node.attributes, low.plan
    given = [i for i, name in enumerate(node.inputs) if name and i not in (0, 1, 2, 3, 5)]
    if given:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): input {given[0]}, {node.inputs[given[0]]!r}, a padding or a "
            "cache, is not supported",
            [node.op],
        )
    values: List[int] = [low.id(name) for name in node.inputs[:3]]
    if _input(node, 3):
        start = 0
        for i, x in enumerate(values):
            extent = plan.shape(x)[-1]
            own = part(low, low.id(node.inputs[3]), 0, start, extent, node.name)
            values[i], start = plan.add(x, own, name=node.name), start + extent
    q, k, v = (
        _heads(low, node, x, what, a["num_heads"]) for x, what in zip(values, ("query", "key", "value"))
    )
    queries, keys = plan.shape(q)[2], plan.shape(k)[2]
    if a["unidirectional"] and queries != keys:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): unidirectional, with {queries} queries and {keys} keys",
            [node.op],
        )
    allowed = np.tri(queries, dtype=np.bool_) if a["unidirectional"] else None
    bias = _bias_of(low, node, _input(node, 5), allowed, keys)
    return _flat(low, node, _attend(low, node, q, k, v, _Options(a["scale"] or None, 0.0, bias)).output)


def _rotary_embedding(low: Lowering, node: Node) -> int:
    """Pairs of numbers of each token turned by angles, in the first `rotary_embedding_dim` of each head."""
    a, plan, name = node.attributes, low.plan, node.name
    x = low.id(node.inputs[0])
    whole = plan.shape(x)
    if len(whole) == 3:  # N,tokens,heads,extent
        if not a["num_heads"] or whole[2] % a["num_heads"]:
            raise ValueError(f"X has shape {whole}, which does not fit {a['num_heads']} heads")
        x = plan.reshape(x, shape=(*whole[:2], a["num_heads"], whole[2] // a["num_heads"]), name=name)
    elif len(whole) != 4:
        raise ValueError(f"X has shape {whole}, expected three or four dimensions")
    extent, tokens = plan.shape(x)[3], whole[1 if len(whole) == 3 else 2]
    turned = a["rotary_embedding_dim"] or extent
    if turned % 2 or not 0 < turned <= extent:
        raise ValueError(f"{turned} of {extent} numbers of a head cannot be turned in pairs")
    cos, sin = (_angles(low, node, i, tokens, turned // 2, len(whole) == 3) for i in (1, 2))
    y = _turned(low, node, part(low, x, 3, 0, turned, name), cos, sin)
    if turned < extent:
        y = plan.concat([y, part(low, x, 3, turned, extent - turned, name)], axis=3, name=name)
    return plan.reshape(y, shape=whole, name=name)


def _angles(low: Lowering, node: Node, position: int, tokens: int, half: int, tokens_first: bool) -> int:
    """The cosines or sines of each token, in a shape that broadcasts to X's."""
    table, places = node.inputs[position], _input(node, 3)
    if places and places not in low.known:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): position_ids depends on the picture", [node.op]
        )
    if not places:
        value = low.id(table)
    elif table in low.known:
        low.spend(low.known[places].size * half, node)
        value = low.array(low.known[table][low.known[places]], f"{table} of each token")
    else:
        gather = Node("Gather", node.name, (table, places), node.outputs, {"axis": 0})
        value = INDEXING["Gather"](low, gather)
    shape = low.plan.shape(value)
    if len(shape) != 3 or shape[1:] != (tokens, half):
        raise ValueError(f"input {position}, {table!r}, gives angles {shape}, expected N, {tokens}, {half}")
    at = (shape[0], tokens, 1, half) if tokens_first else (shape[0], 1, tokens, half)
    return low.plan.reshape(value, shape=at, name=node.name)


def _turned(low: Lowering, node: Node, x: int, cos: int, sin: int) -> int:
    """Pairs (a, b) as (cos a - sin b, sin a + cos b); a pair is neighbours, or one number of each half."""
    plan, name, shape = low.plan, node.name, low.plan.shape(x)
    half, interleaved = shape[3] // 2, bool(node.attributes["interleaved"])
    first, second = (
        plan.slice(
            x,
            start=(0, 0, 0, i if interleaved else i * half),
            shape=(*shape[:3], half),
            step=(1, 1, 1, 2 if interleaved else 1),
            name=name,
        )
        for i in (0, 1)
    )

    def mul(a: int, b: int) -> int:
        return plan.mul(a, b, name=name)

    real = plan.sub(mul(cos, first), mul(sin, second), name=name)
    imaginary = plan.add(mul(sin, first), mul(cos, second), name=name)
    if not interleaved:
        return plan.concat([real, imaginary], axis=3, name=name)
    pairs = [plan.reshape(one, shape=(*shape[:3], half, 1), name=name) for one in (real, imaginary)]
    return plan.reshape(plan.concat(pairs, axis=4, name=name), shape=shape, name=name)


ROWS: Dict[str, Callable[[Lowering, Node], Union[int, Tuple[int, ...]]]] = {
    "Attention": _attention,
    "MultiHeadAttention": _multi_head_attention,
    "RotaryEmbedding": _rotary_embedding,
}
