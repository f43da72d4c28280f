"""Operators with weights or windows, normalisation and pooling."""

from __future__ import annotations

from typing import Dict

from cnnviz.graph.operators.row import (
    CONTRIB_DOMAIN,
    INTS,
    MAX_LIST,
    NEEDED_INT,
    NEEDED_INTS,
    Attribute,
    Schema,
    a_float,
    an_int,
)
from cnnviz.graph.traits import KEEPS, MIXES, PICTURE, POOL

__all__ = ["ROWS"]

_WINDOW = {
    "auto_pad": Attribute("str", "NOTSET"),
    "dilations": INTS,
    "kernel_shape": INTS,
    "pads": INTS,
    "strides": INTS,
}
_POOL = {**_WINDOW, "kernel_shape": NEEDED_INTS, "ceil_mode": an_int(0)}

_LAST_AXES = {"axis": an_int(-1), "epsilon": a_float(1e-5), "stash_type": an_int(1)}

ROWS: Dict[str, Schema] = {
    # convolution and matrix products
    "Conv": Schema((2, 3), PICTURE.but(weights=1), {**_WINDOW, "group": an_int(1)}),
    "ConvTranspose": Schema(
        (2, 3),
        PICTURE.but(weights=1),
        {**_WINDOW, "group": an_int(1), "output_padding": INTS, "output_shape": INTS},
    ),
    "Col2Im": Schema(
        (3, 3),
        MIXES,
        {
            "image_shape": NEEDED_INTS,
            "block_shape": NEEDED_INTS,
            "dilations": INTS,
            "pads": INTS,
            "strides": INTS,
        },
        {1: "image_shape", 2: "block_shape"},
    ),
    "DeformConv": Schema(
        (3, 5),
        PICTURE.but(weights=1),
        {
            "dilations": INTS,
            "group": an_int(1),
            "kernel_shape": INTS,
            "offset_group": an_int(1),
            "pads": INTS,
            "strides": INTS,
        },
    ),
    "Gemm": Schema(
        (2, 3),
        MIXES.but(axes="multiplies", weights=1),
        {"alpha": a_float(1.0), "beta": a_float(1.0), "transA": an_int(0), "transB": an_int(0)},
    ),
    "Einsum": Schema((1, MAX_LIST), MIXES.but(axes="sums"), {"equation": Attribute("str", required=True)}),
    "MatMul": Schema((2, 2), MIXES.but(axes="multiplies", weights=1)),
    # normalisation
    "BatchNormalization": Schema((5, 5), KEEPS.but(weights=1), {"epsilon": a_float(1e-5)}),
    "GroupNormalization": Schema(
        (3, 3), KEEPS, {"epsilon": a_float(1e-5), "num_groups": NEEDED_INT, "stash_type": an_int(1)}
    ),
    "InstanceNormalization": Schema((3, 3), KEEPS, {"epsilon": a_float(1e-5)}),
    "LayerNormalization": Schema((2, 3), KEEPS, _LAST_AXES, many_outputs=True),
    "LRN": Schema(
        (1, 1),
        KEEPS,
        {"alpha": a_float(1e-4), "beta": a_float(0.75), "bias": a_float(1.0), "size": NEEDED_INT},
    ),
    "LpNormalization": Schema((1, 1), KEEPS, {"axis": an_int(-1), "p": an_int(2)}),
    "MeanVarianceNormalization": Schema((1, 1), KEEPS, {"axes": Attribute("ints", (0, 2, 3))}),
    "RMSNormalization": Schema((2, 2), KEEPS, _LAST_AXES),
    "SimplifiedLayerNormalization": Schema((2, 2), KEEPS, _LAST_AXES),
    "SkipLayerNormalization": Schema(
        (3, 5), KEEPS, {"epsilon": a_float(1e-12)}, many_outputs=True, domains=(CONTRIB_DOMAIN,)
    ),
    # pooling
    "MaxPool": Schema((1, 1), POOL, {**_POOL, "storage_order": an_int(0)}, many_outputs=True),
    "MaxUnpool": Schema(
        (2, 3),
        PICTURE,
        {"kernel_shape": NEEDED_INTS, "output_shape": INTS, "pads": INTS, "strides": INTS},
        {2: "output_shape"},
    ),
    "AveragePool": Schema((1, 1), POOL, {**_POOL, "count_include_pad": an_int(0)}),
    "LpPool": Schema((1, 1), POOL, {**_POOL, "p": an_int(2)}),
    "GlobalAveragePool": Schema((1, 1), PICTURE),
    "GlobalLpPool": Schema((1, 1), PICTURE, {"p": an_int(2)}),
    "GlobalMaxPool": Schema((1, 1), PICTURE),
}
