"""Operators that are evaluated in advance, on constants and sizes."""

from __future__ import annotations

from typing import Dict

from cnnviz.graph.operators.row import MAYBE_INT, NEEDED_INT, Attribute, Schema, an_int
from cnnviz.graph.traits import CHOICE, FROM_SHAPE, KNOWN_ONLY

__all__ = ["ROWS"]

_EXTREME = {"axis": an_int(0), "keepdims": an_int(1), "select_last_index": an_int(0)}

ROWS: Dict[str, Schema] = {
    "ArgMax": Schema((1, 1), CHOICE, _EXTREME),
    "ArgMin": Schema((1, 1), CHOICE, _EXTREME),
    "BitShift": Schema((2, 2), KNOWN_ONLY, {"direction": Attribute("str", required=True)}),
    "BitwiseAnd": Schema((2, 2), KNOWN_ONLY),
    "BitwiseNot": Schema((1, 1), KNOWN_ONLY),
    "BitwiseOr": Schema((2, 2), KNOWN_ONLY),
    "BitwiseXor": Schema((2, 2), KNOWN_ONLY),
    "Compress": Schema((2, 2), CHOICE, {"axis": MAYBE_INT}),
    "ConstantOfShape": Schema((1, 1), KNOWN_ONLY, {"value": Attribute("tensor")}),
    "EyeLike": Schema((1, 1), FROM_SHAPE, {"dtype": MAYBE_INT, "k": an_int(0)}),
    "NonZero": Schema((1, 1), CHOICE),
    "OneHot": Schema((3, 3), KNOWN_ONLY, {"axis": an_int(-1)}),
    "Range": Schema((3, 3), KNOWN_ONLY, {"stash_type": an_int(1)}),
    "Shape": Schema((1, 1), FROM_SHAPE, {"start": an_int(0), "end": MAYBE_INT}),
    "Size": Schema((1, 1), FROM_SHAPE),
    "TopK": Schema(
        (1, 2),
        CHOICE,
        {"axis": an_int(-1), "k": NEEDED_INT, "largest": an_int(1), "sorted": an_int(1)},
        {1: "k"},
        many_outputs=True,
    ),
}
