"""The table of ONNX operators: inputs, attributes and defaults in the newest opset, and traits.

Newer opsets keep turning attributes into inputs (the shape of Reshape, the limits of Clip). Here they are
*operands*: inputs that lowering needs as plain numbers. `bind` moves operands into the attributes as soon as
their numbers are known, so that everything behind the reader sees one form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, NamedTuple, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError
from cnnviz.graph.graph import Node
from cnnviz.graph.traits import (
    ACTIVATION,
    FROM_SHAPE,
    KEEPS,
    KNOWN_ONLY,
    MIXES,
    NEW_SHAPE,
    PICTURE,
    POOL,
    TRUTH,
    Traits,
)

__all__ = [
    "CONTRIB_DOMAIN",
    "MAX_LIST",
    "NEWEST_OPSET",
    "OLDEST_OPSET",
    "SCHEMAS",
    "STANDARD_DOMAINS",
    "Schema",
    "bind",
    "complete",
    "has_schema",
]

OLDEST_OPSET = 1
NEWEST_OPSET = 28
#: The longest list in an attribute and the largest number of inputs, CNV_MANY of csrc/cnnviz.h.
MAX_LIST = 4096


#: The two names of ONNX's own domain, and the domain of ONNX Runtime's operators.
STANDARD_DOMAINS = ("", "ai.onnx")
CONTRIB_DOMAIN = "com.microsoft"


class Attribute(NamedTuple):
    """`kind` is int, float, str, ints, floats or tensor; a default of None: absence has a meaning."""

    kind: str
    default: Any = None
    required: bool = False


@dataclass(frozen=True)
class Schema:
    """One operator.

    Attributes
    ----------
    inputs : (int, int)
        The least and the largest number of inputs.
    traits : Traits
        The answers to the questions of other modules; they keep no lists of operators.
    attributes : mapping
        The attributes of the newest opset, and those of older opsets that became operands.
    operands : mapping of int to str
        Position of an input -> the attribute that holds its numbers once they are known.
    many_outputs : bool
        False: the reader drops outputs after the first, and refuses a file in which a node reads one.
    domains : tuple of str
        The domains in which a file may name the operator.
    """

    inputs: Tuple[int, int]
    traits: Traits
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    operands: Mapping[int, str] = field(default_factory=dict)
    many_outputs: bool = False
    domains: Tuple[str, ...] = STANDARD_DOMAINS


def _int(default: int) -> Attribute:
    return Attribute("int", default)


def _float(default: float) -> Attribute:
    return Attribute("float", default)


_NEEDED_INT = Attribute("int", required=True)
_NEEDED_INTS = Attribute("ints", required=True)
_INTS = Attribute("ints", ())
_MAYBE_INT = Attribute("int")
_MAYBE_INTS = Attribute("ints")
_MAYBE_FLOATS = Attribute("floats")

_WINDOW = {
    "auto_pad": Attribute("str", "NOTSET"),
    "dilations": _INTS,
    "kernel_shape": _INTS,
    "pads": _INTS,
    "strides": _INTS,
}
_POOL = {**_WINDOW, "kernel_shape": _NEEDED_INTS, "ceil_mode": _int(0)}
_REDUCE = {"axes": _MAYBE_INTS, "keepdims": _int(1), "noop_with_empty_axes": _int(0)}
_EXTREME = {"axis": _int(0), "keepdims": _int(1), "select_last_index": _int(0)}

SCHEMAS: Dict[str, Schema] = {
    # convolution and matrix products
    "Conv": Schema((2, 3), PICTURE.but(weights=1), {**_WINDOW, "group": _int(1)}),
    "ConvTranspose": Schema(
        (2, 3),
        PICTURE.but(weights=1),
        {**_WINDOW, "group": _int(1), "output_padding": _INTS, "output_shape": _INTS},
    ),
    "Gemm": Schema(
        (2, 3),
        MIXES.but(weights=1),
        {"alpha": _float(1.0), "beta": _float(1.0), "transA": _int(0), "transB": _int(0)},
    ),
    "Einsum": Schema((1, MAX_LIST), MIXES, {"equation": Attribute("str", required=True)}),
    "MatMul": Schema((2, 2), MIXES.but(weights=1)),
    # normalisation
    "BatchNormalization": Schema((5, 5), KEEPS.but(weights=1), {"epsilon": _float(1e-5)}),
    "GroupNormalization": Schema(
        (3, 3), KEEPS, {"epsilon": _float(1e-5), "num_groups": _NEEDED_INT, "stash_type": _int(1)}
    ),
    "InstanceNormalization": Schema((3, 3), KEEPS, {"epsilon": _float(1e-5)}),
    "LayerNormalization": Schema(
        (2, 3), KEEPS, {"axis": _int(-1), "epsilon": _float(1e-5), "stash_type": _int(1)}, many_outputs=True
    ),
    "LRN": Schema(
        (1, 1), KEEPS, {"alpha": _float(1e-4), "beta": _float(0.75), "bias": _float(1.0), "size": _NEEDED_INT}
    ),
    # activations
    "Relu": Schema((1, 1), ACTIVATION),
    "LeakyRelu": Schema((1, 1), ACTIVATION, {"alpha": _float(0.01)}),
    "PRelu": Schema((2, 2), ACTIVATION),
    "Clip": Schema((1, 3), ACTIVATION, {"min": _float(-np.inf), "max": _float(np.inf)}, {1: "min", 2: "max"}),
    "Sigmoid": Schema((1, 1), ACTIVATION.but(gate=True, probability="multilabel")),
    "HardSigmoid": Schema((1, 1), KEEPS.but(gate=True), {"alpha": _float(0.2), "beta": _float(0.5)}),
    "HardSwish": Schema((1, 1), ACTIVATION),
    "Elu": Schema((1, 1), ACTIVATION, {"alpha": _float(1.0)}),
    "Celu": Schema((1, 1), ACTIVATION, {"alpha": _float(1.0)}),
    "Gelu": Schema(
        (1, 1),
        ACTIVATION,
        {"approximate": Attribute("str", "none")},
        domains=(*STANDARD_DOMAINS, CONTRIB_DOMAIN),
    ),
    "BiasGelu": Schema((2, 2), ACTIVATION, domains=(CONTRIB_DOMAIN,)),
    "FastGelu": Schema((1, 2), ACTIVATION, domains=(CONTRIB_DOMAIN,)),
    "QuickGelu": Schema((1, 1), ACTIVATION, {"alpha": _float(1.702)}, domains=(CONTRIB_DOMAIN,)),
    "Mish": Schema((1, 1), ACTIVATION),
    "Selu": Schema(
        (1, 1), ACTIVATION, {"alpha": _float(1.6732631921768188), "gamma": _float(1.0507010221481323)}
    ),
    "Shrink": Schema((1, 1), ACTIVATION, {"bias": _float(0.0), "lambd": _float(0.5)}),
    "Softplus": Schema((1, 1), ACTIVATION),
    "Softsign": Schema((1, 1), ACTIVATION),
    "Swish": Schema((1, 1), ACTIVATION, {"alpha": _float(1.0)}),
    "Tanh": Schema((1, 1), ACTIVATION),
    "ThresholdedRelu": Schema((1, 1), ACTIVATION, {"alpha": _float(1.0)}),
    "Softmax": Schema((1, 1), KEEPS.but(probability="multiclass"), {"axis": _int(-1)}),
    "LogSoftmax": Schema((1, 1), KEEPS.but(probability="multiclass"), {"axis": _int(-1)}),
    # pooling
    "MaxPool": Schema((1, 1), POOL, _POOL),
    "AveragePool": Schema((1, 1), POOL, {**_POOL, "count_include_pad": _int(0)}),
    "GlobalAveragePool": Schema((1, 1), PICTURE),
    "GlobalMaxPool": Schema((1, 1), PICTURE),
    # arithmetic
    "Abs": Schema((1, 1), KEEPS),
    "Add": Schema((2, 2), KEEPS),
    "Sub": Schema((2, 2), KEEPS),
    "Mul": Schema((2, 2), KEEPS),
    "Div": Schema((2, 2), KEEPS),
    "CumSum": Schema((2, 2), KEEPS, {"exclusive": _int(0), "reverse": _int(0)}),
    "Erf": Schema((1, 1), KEEPS),
    "Exp": Schema((1, 1), KEEPS),
    "Log": Schema((1, 1), KEEPS),
    "Neg": Schema((1, 1), KEEPS),
    "Pow": Schema((2, 2), KEEPS),
    "Reciprocal": Schema((1, 1), KEEPS),
    "Atan": Schema((1, 1), KEEPS),
    "Ceil": Schema((1, 1), KEEPS),
    "Cos": Schema((1, 1), KEEPS),
    "Floor": Schema((1, 1), KEEPS),
    "Round": Schema((1, 1), KEEPS),
    "Sign": Schema((1, 1), KEEPS),
    "Sin": Schema((1, 1), KEEPS),
    "Tan": Schema((1, 1), KEEPS),
    "Sqrt": Schema((1, 1), KEEPS),
    "Sum": Schema((1, MAX_LIST), KEEPS),
    "Mean": Schema((1, MAX_LIST), KEEPS),
    "Min": Schema((1, MAX_LIST), KEEPS),
    "Max": Schema((1, MAX_LIST), KEEPS),
    **{
        f"Reduce{kind}": Schema((1, 2), MIXES, _REDUCE, {1: "axes"})
        for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
    },
    # comparisons and choices
    "And": Schema((2, 2), TRUTH),
    "Equal": Schema((2, 2), TRUTH),
    "Greater": Schema((2, 2), TRUTH),
    "GreaterOrEqual": Schema((2, 2), TRUTH),
    "Less": Schema((2, 2), TRUTH),
    "LessOrEqual": Schema((2, 2), TRUTH),
    "Not": Schema((1, 1), TRUTH),
    "Or": Schema((2, 2), TRUTH),
    "Where": Schema((3, 3), KEEPS),
    "Xor": Schema((2, 2), TRUTH),
    # shape
    "Concat": Schema((1, MAX_LIST), MIXES.but(axes="joins"), {"axis": _NEEDED_INT}),
    "DepthToSpace": Schema((1, 1), PICTURE, {"blocksize": _NEEDED_INT, "mode": Attribute("str", "DCR")}),
    "SpaceToDepth": Schema((1, 1), PICTURE, {"blocksize": _NEEDED_INT, "mode": Attribute("str", "DCR")}),
    "Expand": Schema((2, 2), MIXES, {"shape": _NEEDED_INTS}, {1: "shape"}),
    "Flatten": Schema((1, 1), NEW_SHAPE, {"axis": _int(1)}),
    "Gather": Schema((2, 2), MIXES.but(selects=True), {"axis": _int(0)}),
    "GatherND": Schema((2, 2), MIXES, {"batch_dims": _int(0)}),
    "Pad": Schema(
        (1, 4),
        KEEPS,
        {
            "pads": _NEEDED_INTS,
            "value": _float(0.0),
            "axes": _MAYBE_INTS,
            "mode": Attribute("str", "constant"),
        },
        {1: "pads", 2: "value", 3: "axes"},
    ),
    "Reshape": Schema((2, 2), NEW_SHAPE, {"shape": _NEEDED_INTS, "allowzero": _int(0)}, {1: "shape"}),
    "Resize": Schema(
        (1, 4),
        KEEPS,
        {
            "scales": _MAYBE_FLOATS,
            "sizes": _MAYBE_INTS,
            "axes": _MAYBE_INTS,
            "antialias": _int(0),
            "coordinate_transformation_mode": Attribute("str", "half_pixel"),
            "cubic_coeff_a": _float(-0.75),
            "exclude_outside": _int(0),
            "extrapolation_value": _float(0.0),
            "keep_aspect_ratio_policy": Attribute("str", "stretch"),
            "mode": Attribute("str", "nearest"),
            "nearest_mode": Attribute("str", "round_prefer_floor"),
            "roi": _MAYBE_FLOATS,
        },
        {1: "roi", 2: "scales", 3: "sizes"},
    ),
    "ScatterND": Schema((3, 3), KEEPS, {"reduction": Attribute("str", "none")}),
    "Slice": Schema(
        (1, 5),
        KEEPS.but(selects=True),
        {"starts": _NEEDED_INTS, "ends": _NEEDED_INTS, "axes": _MAYBE_INTS, "steps": _MAYBE_INTS},
        {1: "starts", 2: "ends", 3: "axes", 4: "steps"},
    ),
    "Split": Schema(
        (1, 2),
        KEEPS.but(selects=True),
        {"axis": _int(0), "split": _MAYBE_INTS, "num_outputs": _MAYBE_INT},
        {1: "split"},
        many_outputs=True,
    ),
    "Squeeze": Schema((1, 2), NEW_SHAPE, {"axes": _MAYBE_INTS}, {1: "axes"}),
    "Tile": Schema((2, 2), MIXES, {"repeats": _NEEDED_INTS}, {1: "repeats"}),
    "Transpose": Schema((1, 1), MIXES.but(axes="permutes"), {"perm": _MAYBE_INTS}),
    "Trilu": Schema((1, 2), KEEPS, {"upper": _int(1)}),
    "Unsqueeze": Schema((1, 2), NEW_SHAPE, {"axes": _MAYBE_INTS}, {1: "axes"}),
    # no computation at inference
    "Cast": Schema(
        (1, 1),
        KEEPS.but(same_numbers=True),
        {"to": _NEEDED_INT, "saturate": _int(1), "round_mode": Attribute("str", "up")},
    ),
    "Dropout": Schema(
        (1, 3),
        KEEPS.but(same_numbers=True),
        {"ratio": _float(0.5), "training_mode": _int(0)},
        {1: "ratio", 2: "training_mode"},
    ),
    "Identity": Schema((1, 1), KEEPS.but(same_numbers=True)),
    # sizes and constants
    "Acos": Schema((1, 1), KNOWN_ONLY),
    "Acosh": Schema((1, 1), KNOWN_ONLY),
    "ArgMax": Schema((1, 1), KNOWN_ONLY, _EXTREME),
    "ArgMin": Schema((1, 1), KNOWN_ONLY, _EXTREME),
    "Asin": Schema((1, 1), KNOWN_ONLY),
    "Asinh": Schema((1, 1), KNOWN_ONLY),
    "Atanh": Schema((1, 1), KNOWN_ONLY),
    "BitwiseAnd": Schema((2, 2), KNOWN_ONLY),
    "BitwiseOr": Schema((2, 2), KNOWN_ONLY),
    "BitwiseXor": Schema((2, 2), KNOWN_ONLY),
    "Compress": Schema((2, 2), KNOWN_ONLY, {"axis": _MAYBE_INT}),
    "ConstantOfShape": Schema((1, 1), KNOWN_ONLY, {"value": Attribute("tensor")}),
    "Cosh": Schema((1, 1), KNOWN_ONLY),
    "DequantizeLinear": Schema(
        (2, 3), KNOWN_ONLY, {"axis": _int(1), "block_size": _int(0), "output_dtype": _int(0)}
    ),
    "EyeLike": Schema((1, 1), FROM_SHAPE, {"dtype": _MAYBE_INT, "k": _int(0)}),
    "GatherElements": Schema((2, 2), KNOWN_ONLY, {"axis": _int(0)}),
    "IsInf": Schema((1, 1), KNOWN_ONLY, {"detect_negative": _int(1), "detect_positive": _int(1)}),
    "IsNaN": Schema((1, 1), KNOWN_ONLY),
    "Mod": Schema((2, 2), KNOWN_ONLY, {"fmod": _int(0)}),
    "NonZero": Schema((1, 1), KNOWN_ONLY),
    "OneHot": Schema((3, 3), KNOWN_ONLY, {"axis": _int(-1)}),
    "QuantizeLinear": Schema(
        (2, 3),
        KNOWN_ONLY,
        {
            "axis": _int(1),
            "block_size": _int(0),
            "output_dtype": _int(0),
            "precision": _int(0),
            "saturate": _int(1),
        },
    ),
    "Range": Schema((3, 3), KNOWN_ONLY, {"stash_type": _int(1)}),
    "ScatterElements": Schema((3, 3), KNOWN_ONLY, {"axis": _int(0), "reduction": Attribute("str", "none")}),
    "Shape": Schema((1, 1), FROM_SHAPE, {"start": _int(0), "end": _MAYBE_INT}),
    "Sinh": Schema((1, 1), KNOWN_ONLY),
    "Size": Schema((1, 1), FROM_SHAPE),
    "TopK": Schema(
        (1, 2),
        KNOWN_ONLY,
        {"axis": _int(-1), "k": _NEEDED_INT, "largest": _int(1), "sorted": _int(1)},
        {1: "k"},
        many_outputs=True,
    ),
}


def has_schema(op: str, domain: str) -> bool:
    """Whether the table has an operator of this domain."""
    return op in SCHEMAS and domain in SCHEMAS[op].domains


def bind(node: Node, known: Mapping[str, NDArray[Any]]) -> Node:
    """Move the operands of a node whose numbers are known from its inputs into its attributes."""
    schema = SCHEMAS[node.op]
    inputs = list(node.inputs)
    attributes = dict(node.attributes)
    for index, name in schema.operands.items():
        if index >= len(inputs) or inputs[index] not in known:
            continue
        what = f"node {node.name!r} ({node.op}): {name}"
        if attributes.get(name) is not None:
            raise ModelFormatError(f"{what} is both an attribute and an input")
        attributes[name] = _plain(known[inputs[index]], schema.attributes[name].kind, what)
        inputs[index] = ""
    while inputs and not inputs[-1]:
        inputs.pop()
    return node.replace(inputs=tuple(inputs), attributes=attributes)


def _plain(value: NDArray[Any], kind: str, what: str) -> Any:
    """Return a constant as the plain number or the tuple of numbers that an attribute holds."""
    if value.size > MAX_LIST or value.ndim > 1:
        raise ModelFormatError(f"{what} has shape {value.shape}, expected a short list of numbers")
    if kind in ("ints", "int") and value.dtype.kind == "f":
        raise ModelFormatError(f"{what} is float, expected integers")
    if kind in ("ints", "floats"):
        return tuple(value.ravel().tolist())
    if value.size != 1:
        raise ModelFormatError(f"{what} has {value.size} elements, expected one")
    return value.item()


def complete(node: Node) -> Node:
    """Return the node with its defaults filled in; raise when a required attribute or input is absent."""
    schema = SCHEMAS[node.op]
    least, most = schema.inputs
    attributes = dict(node.attributes)
    pending = {name for i, name in schema.operands.items() if i < len(node.inputs) and node.inputs[i]}
    for name, attribute in schema.attributes.items():
        if name in attributes or name in pending:
            continue
        if attribute.required:
            raise ModelFormatError(f"node {node.name!r} ({node.op}): {name} is missing")
        attributes[name] = attribute.default
    needed = [i for i in range(least) if i not in schema.operands]
    missing = [i for i in needed if i >= len(node.inputs) or not node.inputs[i]]
    if missing or len(node.inputs) > most:
        given = sum(1 for name in node.inputs if name)
        expected = str(least) if least == most else f"{least} to {most}"
        raise ModelFormatError(f"node {node.name!r} ({node.op}): has {given} inputs, expected {expected}")
    return node.replace(attributes=attributes)
