"""Operators that are evaluated in advance, on constants and sizes."""

from __future__ import annotations

from typing import Dict

from cnnviz.graph.operators.row import MAYBE_INT, NEEDED_INT, Attribute, Schema, an_int
from cnnviz.graph.traits import CHOICE, FROM_SHAPE, KNOWN_ONLY

__all__ = ["ROWS"]

_EXTREME = {"axis": an_int(0), "keepdims": an_int(1), "select_last_index": an_int(0)}

ROWS: Dict[str, Schema] = {
    "Acos": Schema((1, 1), KNOWN_ONLY),
    "Acosh": Schema((1, 1), KNOWN_ONLY),
    "ArgMax": Schema((1, 1), CHOICE, _EXTREME),
    "ArgMin": Schema((1, 1), CHOICE, _EXTREME),
    "Asin": Schema((1, 1), KNOWN_ONLY),
    "Asinh": Schema((1, 1), KNOWN_ONLY),
    "Atanh": Schema((1, 1), KNOWN_ONLY),
    "BitwiseAnd": Schema((2, 2), KNOWN_ONLY),
    "BitwiseOr": Schema((2, 2), KNOWN_ONLY),
    "BitwiseXor": Schema((2, 2), KNOWN_ONLY),
    "Compress": Schema((2, 2), CHOICE, {"axis": MAYBE_INT}),
    "ConstantOfShape": Schema((1, 1), KNOWN_ONLY, {"value": Attribute("tensor")}),
    "Cosh": Schema((1, 1), KNOWN_ONLY),
    "EyeLike": Schema((1, 1), FROM_SHAPE, {"dtype": MAYBE_INT, "k": an_int(0)}),
    "GatherElements": Schema((2, 2), KNOWN_ONLY, {"axis": an_int(0)}),
    "NonZero": Schema((1, 1), CHOICE),
    "OneHot": Schema((3, 3), KNOWN_ONLY, {"axis": an_int(-1)}),
    "Range": Schema((3, 3), KNOWN_ONLY, {"stash_type": an_int(1)}),
    "ScatterElements": Schema((3, 3), KNOWN_ONLY, {"axis": an_int(0), "reduction": Attribute("str", "none")}),
    "Shape": Schema((1, 1), FROM_SHAPE, {"start": an_int(0), "end": MAYBE_INT}),
    "Sinh": Schema((1, 1), KNOWN_ONLY),
    "Size": Schema((1, 1), FROM_SHAPE),
    "TopK": Schema(
        (1, 2),
        CHOICE,
        {"axis": an_int(-1), "k": NEEDED_INT, "largest": an_int(1), "sorted": an_int(1)},
        {1: "k"},
        many_outputs=True,
    ),
}
