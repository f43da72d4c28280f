"""Operators that move numbers to another place."""

from __future__ import annotations

from typing import Dict

from cnnviz.graph.operators.row import (
    MAX_LIST,
    MAYBE_FLOATS,
    MAYBE_INT,
    MAYBE_INTS,
    NEEDED_INT,
    NEEDED_INTS,
    Attribute,
    Schema,
    a_float,
    an_int,
)
from cnnviz.graph.traits import KEEPS, MIXES, NEW_SHAPE, PICTURE

__all__ = ["ROWS"]

ROWS: Dict[str, Schema] = {
    "Concat": Schema((1, MAX_LIST), MIXES.but(axes="joins"), {"axis": NEEDED_INT}),
    "CenterCropPad": Schema((2, 2), KEEPS, {"shape": NEEDED_INTS, "axes": MAYBE_INTS}, {1: "shape"}),
    "DepthToSpace": Schema((1, 1), PICTURE, {"blocksize": NEEDED_INT, "mode": Attribute("str", "DCR")}),
    "SpaceToDepth": Schema((1, 1), PICTURE, {"blocksize": NEEDED_INT, "mode": Attribute("str", "DCR")}),
    "Expand": Schema((2, 2), MIXES.but(axes="spreads"), {"shape": NEEDED_INTS}, {1: "shape"}),
    "Flatten": Schema((1, 1), NEW_SHAPE, {"axis": an_int(1)}),
    "Gather": Schema((2, 2), MIXES.but(axes="picks", selects=True), {"axis": an_int(0)}),
    "GatherElements": Schema((2, 2), MIXES.but(selects=True), {"axis": an_int(0)}),
    "GatherND": Schema((2, 2), MIXES, {"batch_dims": an_int(0)}),
    "Pad": Schema(
        (1, 4),
        KEEPS,
        {
            "pads": NEEDED_INTS,
            "value": a_float(0.0),
            "axes": MAYBE_INTS,
            "mode": Attribute("str", "constant"),
        },
        {1: "pads", 2: "value", 3: "axes"},
    ),
    "Reshape": Schema((2, 2), NEW_SHAPE, {"shape": NEEDED_INTS, "allowzero": an_int(0)}, {1: "shape"}),
    "Resize": Schema(
        (1, 4),
        KEEPS,
        {
            "scales": MAYBE_FLOATS,
            "sizes": MAYBE_INTS,
            "axes": MAYBE_INTS,
            "antialias": an_int(0),
            "coordinate_transformation_mode": Attribute("str", "half_pixel"),
            "cubic_coeff_a": a_float(-0.75),
            "exclude_outside": an_int(0),
            "extrapolation_value": a_float(0.0),
            "keep_aspect_ratio_policy": Attribute("str", "stretch"),
            "mode": Attribute("str", "nearest"),
            "nearest_mode": Attribute("str", "round_prefer_floor"),
            "roi": MAYBE_FLOATS,
        },
        {1: "roi", 2: "scales", 3: "sizes"},
    ),
    "ReverseSequence": Schema(
        (2, 2),
        KEEPS,
        {"sequence_lens": NEEDED_INTS, "batch_axis": an_int(1), "time_axis": an_int(0)},
        {1: "sequence_lens"},
    ),
    "ScatterElements": Schema((3, 3), KEEPS, {"axis": an_int(0), "reduction": Attribute("str", "none")}),
    "ScatterND": Schema((3, 3), KEEPS, {"reduction": Attribute("str", "none")}),
    "Slice": Schema(
        (1, 5),
        KEEPS.but(selects=True),
        {"starts": NEEDED_INTS, "ends": NEEDED_INTS, "axes": MAYBE_INTS, "steps": MAYBE_INTS},
        {1: "starts", 2: "ends", 3: "axes", 4: "steps"},
    ),
    "Split": Schema(
        (1, 2),
        KEEPS.but(selects=True),
        {"axis": an_int(0), "split": MAYBE_INTS, "num_outputs": MAYBE_INT},
        {1: "split"},
        many_outputs=True,
    ),
    "Squeeze": Schema((1, 2), NEW_SHAPE, {"axes": MAYBE_INTS}, {1: "axes"}),
    "Tile": Schema((2, 2), MIXES.but(axes="spreads"), {"repeats": NEEDED_INTS}, {1: "repeats"}),
    "Transpose": Schema((1, 1), MIXES.but(axes="permutes"), {"perm": MAYBE_INTS}),
    "Trilu": Schema((1, 2), KEEPS, {"upper": an_int(1)}),
    "Unsqueeze": Schema((1, 2), NEW_SHAPE, {"axes": MAYBE_INTS}, {1: "axes"}),
}
