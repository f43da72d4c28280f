"""The fused operators of ONNX Runtime: a product, with an addition or an activation behind it."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.reader.parts import Parts, Rewriting

__all__ = ["ROWS"]

#: The parameters of a fused activation, in the order in which they stand in a list.
_ACTIVATIONS: Dict[str, Tuple[str, ...]] = {
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
}


def _activated(parts: Parts, y: str, activation: str, numbers: Sequence[Optional[float]]) -> List[Node]:
    """All nodes; the last one is the activation, whose numbers that are None have their defaults."""
    if activation not in _ACTIVATIONS:
        name = parts.node.op
        raise UnsupportedModelError(f"{name} (with the activation {activation!r})", [name])
    given = {name: one for name, one in zip(_ACTIVATIONS[activation], numbers) if one is not None}
    return parts.finish(activation, (y,), **given)


def _fused_conv(parts: Parts) -> List[Node]:
    """A convolution, plus the fourth input if there is one, and an activation if there is one."""
    a = dict(parts.node.attributes)
    activation, numbers = a.pop("activation", ""), a.pop("activation_params", ())
    inputs = tuple(parts.input(i) for i in range(3))
    if parts.input(3):
        y = parts.add("Conv", "conv", inputs, **a)
        if not activation:
            return parts.finish("Add", (y, parts.input(3)))
        return _activated(parts, parts.add("Add", "sum", (y, parts.input(3))), activation, numbers)
    if not activation:
        return parts.finish("Conv", inputs, **a)
    return _activated(parts, parts.add("Conv", "conv", inputs, **a), activation, numbers)


def _fused_gemm(parts: Parts) -> List[Node]:
    a = dict(parts.node.attributes)
    activation = a.pop("activation", "")
    given = [a.pop(f"activation_{name}", None) for name in ("alpha", "beta", "gamma")]
    y = parts.add("Gemm", "gemm", parts.node.inputs, **a)
    return _activated(parts, y, activation, given)


def _fused_matmul(parts: Parts) -> List[Node]:
    """The product alpha A' B', the last two axes of an operand exchanged where its flag says so."""
    a = dict(parts.node.attributes)
    if a.get("transBatchA") or a.get("transBatchB"):
        raise UnsupportedModelError("FusedMatMul (with transposed batches)", ["FusedMatMul"])
    left, right = "ki" if a.get("transA") else "ik", "jk" if a.get("transB") else "kj"
    equation = f"...{left},...{right}->...ij"
    plain = (left, right) == ("ik", "kj")
    op, attributes = ("MatMul", {}) if plain else ("Einsum", {"equation": equation})
    if a.get("alpha", 1.0) == 1:
        return parts.finish(op, parts.node.inputs, **attributes)
    y = parts.add(op, "product", parts.node.inputs, **attributes)
    return parts.finish("Mul", (y, parts.number(a["alpha"], "alpha")))


def _fused_attention(parts: Parts) -> List[Node]:
    """Attention between the tokens of an input; queries, keys and values are its products with one weight."""
    a = dict(parts.node.attributes)
    sizes, rotary = a.pop("qkv_hidden_sizes", None), a.pop("do_rotary", 0)
    a.pop("past_present_share_buffer", None)
    refused = {"a mask": parts.input(3), "a cache": parts.input(4), "rotary positions": rotary}
    for what, given in refused.items():
        if given:
            raise UnsupportedModelError(f"Attention of ONNX Runtime (with {what})", ["Attention"])
    if sizes is not None and len(sizes) != 3:
        name = f"node {parts.node.name!r} (Attention)"
        raise ModelFormatError(f"{name}: qkv_hidden_sizes has {len(sizes)} numbers, expected 3")
    y = parts.add("MatMul", "product", (parts.input(0), parts.input(1)))
    if parts.input(2):
        y = parts.add("Add", "sum", (y, parts.input(2)))
    q, k, v = parts.split(y, sizes, 3, 2)
    return parts.finish("MultiHeadAttention", (q, k, v, "", "", parts.input(5)), **a)


_FUSED = {"activation": "str"}
_GEMM = {f"activation_{name}": "float" for name in ("alpha", "beta", "gamma")}
_BATCHES = {"transBatchA": "int", "transBatchB": "int", "transA": "int", "transB": "int", "alpha": "float"}

ROWS: Dict[str, Rewriting] = {
    "FusedAttention": Rewriting(
        "MultiHeadAttention",
        (2, 7),
        _fused_attention,
        {"do_rotary": "int", "past_present_share_buffer": "int", "qkv_hidden_sizes": "ints"},
        domains=(),  # a file has it under another name
    ),
    "FusedConv": Rewriting("Conv", (2, 4), _fused_conv, {**_FUSED, "activation_params": "floats"}),
    "FusedGemm": Rewriting("Gemm", (2, 3), _fused_gemm, {**_FUSED, **_GEMM}),
    "FusedMatMul": Rewriting("MatMul", (2, 2), _fused_matmul, _BATCHES),
}
