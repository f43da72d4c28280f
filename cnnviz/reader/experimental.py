"""Operators that ONNX had on trial before opset 10, which WinML's converters and old exporters wrote."""

from __future__ import annotations

from typing import Dict, List, Tuple

import numpy as np

from cnnviz.errors import ModelFormatError
from cnnviz.graph.graph import Node
from cnnviz.graph.schema import STANDARD_DOMAINS
from cnnviz.reader.parts import Parts, Rewriting

__all__ = ["ROWS"]

_END = np.iinfo(np.int32).max  # beyond each axis, as exporters write it


def _image_scaler(parts: Parts) -> List[Node]:
    """The picture times a scale, plus a bias of each channel."""
    a = parts.node.attributes
    bias = np.array(a.get("bias", (0.0,)), np.float32).reshape(-1, 1, 1)
    scaled = parts.add("Mul", "scaled", (parts.input(0), parts.number(a.get("scale", 1.0), "scale")))
    return parts.finish("Add", (scaled, parts.constant(bias, "bias")))


def _affine(parts: Parts) -> List[Node]:
    a = parts.node.attributes
    scaled = parts.add("Mul", "scaled", (parts.input(0), parts.number(a.get("alpha", 1.0), "alpha")))
    return parts.finish("Add", (scaled, parts.number(a.get("beta", 0.0), "beta")))


def _scale(parts: Parts) -> List[Node]:
    factor = parts.number(parts.node.attributes.get("scale", 1.0), "scale")
    return parts.finish("Mul", (parts.input(0), factor))


def _outer(op: str) -> Rewriting:
    """The row of alpha f(beta x), f an operator of the standard."""

    def rule(parts: Parts) -> List[Node]:
        a = parts.node.attributes
        inner = parts.add("Mul", "inner", (parts.input(0), parts.number(a.get("beta", 1.0), "beta")))
        value = parts.add(op, "value", (inner,))
        return parts.finish("Mul", (value, parts.number(a.get("alpha", 1.0), "alpha")))

    return Rewriting("Identity", (1, 1), rule, _ALPHA_BETA, STANDARD_DOMAINS)


def _crop(parts: Parts) -> List[Node]:
    """The picture without its border (left, top, right, bottom), or `scale` rows and columns of it."""
    a = parts.node.attributes
    border, size = a.get("border", ()), a.get("scale", ())
    if len(border) != 4 or min(border) < 0 or len(size) not in (0, 2):
        given = f"border {tuple(border)} and scale {tuple(size)} must be four and two numbers of at least 0"
        raise ModelFormatError(f"node {parts.node.name!r} (Crop): {given}")
    left, top, right, bottom = border
    ends: Tuple[int, ...] = (-bottom or _END, -right or _END)
    if size:
        ends = (top + size[0], left + size[1])
    return parts.finish("Slice", parts.node.inputs, starts=(top, left), ends=ends, axes=(2, 3))


_ALPHA_BETA = {"alpha": "float", "beta": "float"}

ROWS: Dict[str, Rewriting] = {
    "Affine": Rewriting("Identity", (1, 1), _affine, _ALPHA_BETA, STANDARD_DOMAINS),
    "Crop": Rewriting("Identity", (1, 1), _crop, {"border": "ints", "scale": "ints"}, STANDARD_DOMAINS),
    "ImageScaler": Rewriting(
        "Identity", (1, 1), _image_scaler, {"scale": "float", "bias": "floats"}, STANDARD_DOMAINS
    ),
    "ParametricSoftplus": _outer("Softplus"),
    "Scale": Rewriting("Identity", (1, 1), _scale, {"scale": "float"}, STANDARD_DOMAINS),
    "ScaledTanh": _outer("Tanh"),
}
