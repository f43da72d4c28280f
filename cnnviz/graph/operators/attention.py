"""Attention between tokens, and the rotation of their positions."""

from __future__ import annotations

from typing import Dict

from cnnviz.graph.operators.row import (
    CONTRIB_DOMAIN,
    MAYBE_INT,
    NEEDED_INT,
    Attribute,
    Schema,
    a_float,
    an_int,
)
from cnnviz.graph.traits import KEEPS, MIXES

__all__ = ["ROWS"]

_MAYBE_FLOAT = Attribute("float")

ROWS: Dict[str, Schema] = {
    "Attention": Schema(
        (3, 7),
        MIXES,
        {
            "is_causal": an_int(0),
            "kv_num_heads": MAYBE_INT,
            "left_window_size": an_int(-1),
            "q_num_heads": MAYBE_INT,
            "qk_matmul_output_mode": an_int(0),
            "right_window_size": an_int(-1),
            "scale": _MAYBE_FLOAT,
            "softcap": a_float(0.0),
            "softmax_precision": MAYBE_INT,
        },
        many_outputs=True,
    ),
    "MultiHeadAttention": Schema(
        (3, 10),
        MIXES,
        {
            "mask_filter_value": _MAYBE_FLOAT,
            "num_heads": NEEDED_INT,
            "scale": _MAYBE_FLOAT,
            "unidirectional": an_int(0),
        },
        domains=(CONTRIB_DOMAIN,),
    ),
    "RotaryEmbedding": Schema(
        (3, 4),
        KEEPS,
        {"interleaved": an_int(0), "num_heads": MAYBE_INT, "rotary_embedding_dim": an_int(0)},
    ),
}
