"""Operators that read pictures at positions, and those that make such positions."""

from __future__ import annotations

from typing import Dict

from cnnviz.graph.operators.row import (
    CONTRIB_DOMAIN,
    NEEDED_INTS,
    STANDARD_DOMAINS,
    Attribute,
    Schema,
    a_float,
    an_int,
)
from cnnviz.graph.traits import MIXES

__all__ = ["ROWS"]

ROWS: Dict[str, Schema] = {
    "AffineGrid": Schema((2, 2), MIXES, {"align_corners": an_int(0), "size": NEEDED_INTS}, {1: "size"}),
    "GridSample": Schema(
        (2, 2),
        MIXES,
        {
            "align_corners": an_int(0),
            "mode": Attribute("str", "linear"),
            "padding_mode": Attribute("str", "zeros"),
        },
        domains=(*STANDARD_DOMAINS, CONTRIB_DOMAIN),
    ),
    "RoiAlign": Schema(
        (3, 3),
        MIXES,
        {
            "coordinate_transformation_mode": Attribute("str", "half_pixel"),
            "mode": Attribute("str", "avg"),
            "output_height": an_int(1),
            "output_width": an_int(1),
            "sampling_ratio": an_int(0),
            "spatial_scale": a_float(1.0),
        },
    ),
}
