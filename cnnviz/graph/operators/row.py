"""The row of an operator in the schema table, and the kinds of attributes that rows are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Tuple

from cnnviz.graph.traits import Traits

__all__ = [
    "CONTRIB_DOMAIN",
    "INTS",
    "MAX_LIST",
    "MAYBE_FLOATS",
    "MAYBE_INT",
    "MAYBE_INTS",
    "MAYBE_STRS",
    "NEEDED_INT",
    "NEEDED_INTS",
    "STANDARD_DOMAINS",
    "Attribute",
    "Schema",
    "a_float",
    "an_int",
]

#: The longest list in an attribute and the largest number of inputs, CNV_MANY of csrc/cnnviz.h.
MAX_LIST = 4096

#: The two names of ONNX's own domain, and the domain of ONNX Runtime's operators.
STANDARD_DOMAINS = ("", "ai.onnx")
CONTRIB_DOMAIN = "com.microsoft"


class Attribute(NamedTuple):
    """`kind` is int, float, str, ints, floats, strs or tensor; a default of None: absence has a meaning."""

    kind: str
    default: Any = None
    required: bool = False


def an_int(default: int) -> Attribute:
    """An integer that may be left out."""
    return Attribute("int", default)


def a_float(default: float) -> Attribute:
    """A number that may be left out."""
    return Attribute("float", default)


INTS = Attribute("ints", ())
NEEDED_INT = Attribute("int", required=True)
NEEDED_INTS = Attribute("ints", required=True)
MAYBE_INT = Attribute("int")
MAYBE_INTS = Attribute("ints")
MAYBE_FLOATS = Attribute("floats")
MAYBE_STRS = Attribute("strs")


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
