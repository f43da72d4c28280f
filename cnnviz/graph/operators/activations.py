"""Nonlinearities that end a layer, and those that end a network."""

from __future__ import annotations

from typing import Dict

import numpy as np

from cnnviz.graph.operators.row import CONTRIB_DOMAIN, STANDARD_DOMAINS, Attribute, Schema, a_float, an_int
from cnnviz.graph.traits import ACTIVATION, KEEPS

__all__ = ["ROWS"]

ROWS: Dict[str, Schema] = {
    "Relu": Schema((1, 1), ACTIVATION),
    "LeakyRelu": Schema((1, 1), ACTIVATION, {"alpha": a_float(0.01)}),
    "PRelu": Schema((2, 2), ACTIVATION),
    "Clip": Schema(
        (1, 3), ACTIVATION, {"min": a_float(-np.inf), "max": a_float(np.inf)}, {1: "min", 2: "max"}
    ),
    "Sigmoid": Schema((1, 1), ACTIVATION.but(gate=True, probability="multilabel")),
    "HardSigmoid": Schema((1, 1), KEEPS.but(gate=True), {"alpha": a_float(0.2), "beta": a_float(0.5)}),
    "HardSwish": Schema((1, 1), ACTIVATION),
    "Elu": Schema((1, 1), ACTIVATION, {"alpha": a_float(1.0)}),
    "Celu": Schema((1, 1), ACTIVATION, {"alpha": a_float(1.0)}),
    "Gelu": Schema(
        (1, 1),
        ACTIVATION,
        {"approximate": Attribute("str", "none")},
        domains=(*STANDARD_DOMAINS, CONTRIB_DOMAIN),
    ),
    "BiasGelu": Schema((2, 2), ACTIVATION, domains=(CONTRIB_DOMAIN,)),
    "FastGelu": Schema((1, 2), ACTIVATION, domains=(CONTRIB_DOMAIN,)),
    "QuickGelu": Schema((1, 1), ACTIVATION, {"alpha": a_float(1.702)}, domains=(CONTRIB_DOMAIN,)),
    "Mish": Schema((1, 1), ACTIVATION),
    "Selu": Schema(
        (1, 1), ACTIVATION, {"alpha": a_float(1.6732631921768188), "gamma": a_float(1.0507010221481323)}
    ),
    "Shrink": Schema((1, 1), ACTIVATION, {"bias": a_float(0.0), "lambd": a_float(0.5)}),
    "Softplus": Schema((1, 1), ACTIVATION),
    "Softsign": Schema((1, 1), ACTIVATION),
    "Swish": Schema((1, 1), ACTIVATION, {"alpha": a_float(1.0)}),
    "Tanh": Schema((1, 1), ACTIVATION),
    "ThresholdedRelu": Schema((1, 1), ACTIVATION, {"alpha": a_float(1.0)}),
    "Hardmax": Schema((1, 1), KEEPS, {"axis": an_int(-1)}),
    "Softmax": Schema((1, 1), KEEPS.but(probability="multiclass"), {"axis": an_int(-1)}),
    "LogSoftmax": Schema((1, 1), KEEPS.but(probability="multiclass"), {"axis": an_int(-1)}),
}
