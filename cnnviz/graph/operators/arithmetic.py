"""Arithmetic on each element, reductions, comparisons and choices."""

from __future__ import annotations

from typing import Dict

from cnnviz.graph.operators.row import MAX_LIST, MAYBE_INTS, NEEDED_INT, Attribute, Schema, a_float, an_int
from cnnviz.graph.traits import KEEPS, MIXES, TRUTH

__all__ = ["ROWS"]

_WHOLE = ("L1", "Max", "Min", "Prod", "Sum", "SumSquare")  # reductions that give integers of integers
_FRACTIONAL = ("L2", "LogSum", "LogSumExp", "Mean")
_REDUCE = {"axes": MAYBE_INTS, "keepdims": an_int(1), "noop_with_empty_axes": an_int(0)}

ROWS: Dict[str, Schema] = {
    # arithmetic
    "Abs": Schema((1, 1), KEEPS),
    "Add": Schema((2, 2), KEEPS),
    "Sub": Schema((2, 2), KEEPS),
    "Mul": Schema((2, 2), KEEPS),
    "Div": Schema((2, 2), KEEPS.but(fractions=True)),
    "CumSum": Schema((2, 2), KEEPS, {"exclusive": an_int(0), "reverse": an_int(0)}),
    "Erf": Schema((1, 1), KEEPS),
    "Exp": Schema((1, 1), KEEPS),
    "Log": Schema((1, 1), KEEPS),
    "Mod": Schema((2, 2), KEEPS, {"fmod": an_int(0)}),
    "Neg": Schema((1, 1), KEEPS),
    "Pow": Schema((2, 2), KEEPS.but(fractions=True)),
    "Reciprocal": Schema((1, 1), KEEPS),
    "Acos": Schema((1, 1), KEEPS),
    "Acosh": Schema((1, 1), KEEPS),
    "Asin": Schema((1, 1), KEEPS),
    "Asinh": Schema((1, 1), KEEPS),
    "Atan": Schema((1, 1), KEEPS),
    "Atanh": Schema((1, 1), KEEPS),
    "Ceil": Schema((1, 1), KEEPS),
    "Cos": Schema((1, 1), KEEPS),
    "Cosh": Schema((1, 1), KEEPS),
    "Floor": Schema((1, 1), KEEPS),
    "Round": Schema((1, 1), KEEPS),
    "Sign": Schema((1, 1), KEEPS),
    "Sin": Schema((1, 1), KEEPS),
    "Sinh": Schema((1, 1), KEEPS),
    "Tan": Schema((1, 1), KEEPS),
    "Sqrt": Schema((1, 1), KEEPS),
    "Sum": Schema((1, MAX_LIST), KEEPS),
    "Mean": Schema((1, MAX_LIST), KEEPS.but(fractions=True)),
    "Min": Schema((1, MAX_LIST), KEEPS),
    "Max": Schema((1, MAX_LIST), KEEPS),
    **{
        f"Reduce{kind}": Schema((1, 2), MIXES.but(axes="reduces", fractions=fractions), _REDUCE, {1: "axes"})
        for fractions, kinds in ((False, _WHOLE), (True, _FRACTIONAL))
        for kind in kinds
    },
    # comparisons and choices
    "And": Schema((2, 2), TRUTH),
    "Equal": Schema((2, 2), TRUTH),
    "Greater": Schema((2, 2), TRUTH),
    "GreaterOrEqual": Schema((2, 2), TRUTH),
    "IsInf": Schema((1, 1), TRUTH, {"detect_negative": an_int(1), "detect_positive": an_int(1)}),
    "IsNaN": Schema((1, 1), TRUTH),
    "Less": Schema((2, 2), TRUTH),
    "LessOrEqual": Schema((2, 2), TRUTH),
    "Not": Schema((1, 1), TRUTH),
    "Or": Schema((2, 2), TRUTH),
    "Where": Schema((3, 3), KEEPS),
    "Xor": Schema((2, 2), TRUTH),
    # no computation at inference
    "Cast": Schema(
        (1, 1),
        KEEPS.but(same_numbers=True),
        {"to": NEEDED_INT, "saturate": an_int(1), "round_mode": Attribute("str", "up")},
    ),
    "Dropout": Schema(
        (1, 3),
        KEEPS.but(same_numbers=True),
        {"ratio": a_float(0.5), "training_mode": an_int(0)},
        {1: "ratio", 2: "training_mode"},
    ),
    "Identity": Schema((1, 1), KEEPS.but(same_numbers=True)),
}
