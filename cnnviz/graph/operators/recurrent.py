"""Recurrent layers: they walk along the first axis of a sequence, or along the second with layout 1."""

from __future__ import annotations

from typing import Dict

from cnnviz.graph.operators.row import MAYBE_FLOATS, MAYBE_INT, MAYBE_STRS, Attribute, Schema, a_float, an_int
from cnnviz.graph.traits import MIXES

__all__ = ["ROWS"]

_LAYER = {
    "activation_alpha": MAYBE_FLOATS,
    "activation_beta": MAYBE_FLOATS,
    "activations": MAYBE_STRS,
    "clip": a_float(0.0),
    "direction": Attribute("str", "forward"),
    "hidden_size": MAYBE_INT,
    "layout": an_int(0),
}
_WEIGHTS = MIXES.but(weights=1)

ROWS: Dict[str, Schema] = {
    "GRU": Schema((3, 6), _WEIGHTS, {**_LAYER, "linear_before_reset": an_int(0)}, many_outputs=True),
    "LSTM": Schema((3, 8), _WEIGHTS, {**_LAYER, "input_forget": an_int(0)}, many_outputs=True),
    "RNN": Schema((3, 6), _WEIGHTS, _LAYER, many_outputs=True),
}
