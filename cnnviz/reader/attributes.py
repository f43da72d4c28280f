"""AttributeProto -> plain Python values, checked against the operator's schema."""

from __future__ import annotations

import math
from typing import Any, Dict

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.schema import MAX_LIST, SCHEMAS
from cnnviz.reader.opsets import RENAMED
from cnnviz.reader.tensors import TensorDecoder, text

__all__ = ["decode_attributes", "decode_constant"]

# Codes of AttributeProto.AttributeType.
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS = 1, 2, 3, 4, 6, 7
_KIND_OF = {_FLOAT: "float", _INT: "int", _STRING: "str", _TENSOR: "tensor", _FLOATS: "floats", _INTS: "ints"}
_GRAPHS = (5, 10)  # GRAPH and GRAPHS

# Attributes of older opsets or of training only, which `cnnviz.reader.opsets` reads and drops.
_FORMER = {
    "BatchNormalization": {"spatial": "int", "momentum": "float", "training_mode": "int"},
    "Dropout": {"seed": "int"},
    "MaxPool": {"storage_order": "int"},
}
# Attributes of Constant that hold its value: their type, their field of AttributeProto, the array's type.
_CONSTANTS = {
    "value_float": (_FLOAT, "f", np.float32),
    "value_floats": (_FLOATS, "floats", np.float32),
    "value_int": (_INT, "i", np.int64),
    "value_ints": (_INTS, "ints", np.int64),
}


def decode_attributes(proto: Any, decoder: TensorDecoder, what: str) -> Dict[str, Any]:
    """The attributes of a NodeProto that its operator knows; any other is an error."""
    op = RENAMED.get(proto.op_type, proto.op_type)
    kinds = {name: attribute.kind for name, attribute in SCHEMAS[op].attributes.items()}
    kinds.update(_FORMER.get(op, {}))
    attributes: Dict[str, Any] = {}
    for attribute in proto.attribute:
        name = text(attribute.name, f"{what}: attribute name")
        if name in attributes:
            raise ModelFormatError(f"{what}: attribute {name!r} is given twice")
        if attribute.type in _GRAPHS:
            raise UnsupportedModelError(f"{what}: has a subgraph, which is not supported", [op])
        if name not in kinds:
            raise ModelFormatError(f"{what}: unknown attribute {name!r}")
        kind = _KIND_OF.get(attribute.type)
        if kind != kinds[name]:
            raise ModelFormatError(f"{what}: attribute {name!r} must be {kinds[name]}, not {kind}")
        attributes[name] = _value(attribute, kind, decoder, f"{what}: {name}")
    return attributes


def _value(attribute: Any, kind: str, decoder: TensorDecoder, what: str) -> Any:
    if max(len(attribute.floats), len(attribute.ints)) > MAX_LIST:
        raise ModelFormatError(f"{what} lists more than {MAX_LIST} numbers")
    if kind == "tensor":
        return decoder.decode(attribute.t, what)
    if kind == "str":
        return _string(attribute.s, what)
    if kind == "int":
        return int(attribute.i)
    if kind == "ints":
        return tuple(int(v) for v in attribute.ints)
    floats = (attribute.f,) if kind == "float" else tuple(attribute.floats)
    if any(math.isnan(v) for v in floats):
        raise ModelFormatError(f"{what} is not a number")
    return floats[0] if kind == "float" else floats


def _string(value: bytes, what: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelFormatError(f"{what} is not valid UTF-8: {value[:40]!r}") from None


def decode_constant(proto: Any, decoder: TensorDecoder, what: str) -> NDArray[Any]:
    """The value of a Constant node."""
    if len(proto.attribute) != 1:
        raise ModelFormatError(f"{what}: has {len(proto.attribute)} attributes, expected one")
    attribute = proto.attribute[0]
    name = text(attribute.name, f"{what}: attribute name")
    if name == "value" and attribute.type == _TENSOR:
        return decoder.decode(attribute.t, what)
    if name in ("sparse_value", "value_string", "value_strings"):
        raise UnsupportedModelError(f"{what}: {name} is not supported", ["Constant"])
    if name not in _CONSTANTS or _CONSTANTS[name][0] != attribute.type:
        raise ModelFormatError(f"{what}: attribute {name!r} of type {attribute.type} cannot hold its value")
    _, member, dtype = _CONSTANTS[name]
    array = np.array(getattr(attribute, member), dtype)
    array.flags.writeable = False
    return array
