"""Quantisation: numbers in integers of few bits, and back."""

from __future__ import annotations

from typing import Dict

from cnnviz.graph.operators.row import CONTRIB_DOMAIN, STANDARD_DOMAINS, Schema, an_int
from cnnviz.graph.traits import KEEPS

__all__ = ["ROWS"]

_GRID = KEEPS.but(quantizes=True)
_ANY_DOMAIN = (*STANDARD_DOMAINS, CONTRIB_DOMAIN)
_ALONG = {"axis": an_int(1), "block_size": an_int(0), "output_dtype": an_int(0)}

ROWS: Dict[str, Schema] = {
    "DequantizeLinear": Schema((2, 3), _GRID, _ALONG, domains=_ANY_DOMAIN),
    "DynamicQuantizeLinear": Schema((1, 1), _GRID, many_outputs=True),
    "QuantizeLinear": Schema(
        (2, 3), _GRID, {**_ALONG, "precision": an_int(0), "saturate": an_int(1)}, domains=_ANY_DOMAIN
    ),
}
