"""AttributeProto -> plain Python values, checked against the operator's schema."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterable, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.schema import MAX_LIST
from cnnviz.reader.former import FORMER_ATTRIBUTES
from cnnviz.reader.opsets import OLDEST_READ, RENAMED, REWRITTEN, schema_of
from cnnviz.reader.tensors import TensorDecoder

__all__ = ["decode_attributes", "decode_constant"]

# Codes of AttributeProto.AttributeType.
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS, _STRINGS = 1, 2, 3, 4, 6, 7, 8
_KIND_OF = {_FLOAT: "float", _INT: "int", _STRING: "str", _TENSOR: "tensor"}
_KIND_OF.update({_FLOATS: "floats", _INTS: "ints", _STRINGS: "strs"})
_FLOAT32, _INT64 = 1, 7  # of TensorProto.DataType
_GRAPHS = (5, 10)  # GRAPH and GRAPHS

# Attributes of older opsets or of training only, which `cnnviz.reader.opsets` reads and drops.
_FORMER = {
    "BatchNormalization": {"spatial": "int", "momentum": "float", "training_mode": "int"},
    "Dropout": {"seed": "int"},
}
# Attributes of Constant that hold its value: their type, their field of AttributeProto, the array's type.
_CONSTANTS = {
    "value_float": (_FLOAT, "f", np.float32),
    "value_floats": (_FLOATS, "floats", np.float32),
    "value_int": (_INT, "i", np.int64),
    "value_ints": (_INTS, "ints", np.int64),
}


def decode_attributes(
    op_type: str, opset: int, protos: Iterable[Tuple[str, Any]], decoder: TensorDecoder, what: str
) -> Dict[str, Any]:
    """The AttributeProtos of a node, by name, as plain values; an unknown attribute is an error."""
    op = RENAMED.get(op_type, op_type)
    kinds = {name: attribute.kind for name, attribute in schema_of(op).attributes.items()}
    kinds.update(REWRITTEN[op].more if op in REWRITTEN else _FORMER.get(op, {}))
    if opset < OLDEST_READ:
        kinds.update(FORMER_ATTRIBUTES.get(op, {}) if op != "Cast" or opset < 6 else {})
        kinds["consumed_inputs"] = "ints"
    attributes: Dict[str, Any] = {}
    for name, attribute in protos:
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
        if kind == "tensor":  # arrays keep two element types
            attributes[f"{name}_type"] = int(attribute.t.data_type)
    return attributes


def _value(attribute: Any, kind: str, decoder: TensorDecoder, what: str) -> Any:
    if max(len(attribute.floats), len(attribute.ints), len(attribute.strings)) > MAX_LIST:
        raise ModelFormatError(f"{what} lists more than {MAX_LIST} values")
    if kind == "tensor":
        return decoder.decode(attribute.t, what)
    if kind == "str":
        return _string(attribute.s, what)
    if kind == "strs":
        return tuple(_string(one, what) for one in attribute.strings)
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


def decode_constant(
    protos: Iterable[Tuple[str, Any]], decoder: TensorDecoder, what: str
) -> Tuple[NDArray[Any], int]:
    """The value of a Constant node, and its element type."""
    given = list(protos)
    if len(given) != 1:
        raise ModelFormatError(f"{what}: has {len(given)} attributes, expected one")
    ((name, attribute),) = given
    if name == "value" and attribute.type == _TENSOR:
        return decoder.decode(attribute.t, what), int(attribute.t.data_type)
    if name in ("sparse_value", "value_string", "value_strings"):
        raise UnsupportedModelError(f"{what}: {name} is not supported", ["Constant"])
    if name not in _CONSTANTS or _CONSTANTS[name][0] != attribute.type:
        raise ModelFormatError(f"{what}: attribute {name!r} of type {attribute.type} cannot hold its value")
    _, member, dtype = _CONSTANTS[name]
    array = np.array(getattr(attribute, member), dtype)
    array.flags.writeable = False
    return array, _FLOAT32 if dtype is np.float32 else _INT64
