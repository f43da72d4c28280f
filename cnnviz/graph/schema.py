"""The table of ONNX operators: inputs, attributes and defaults in the newest opset, and traits.

Newer opsets keep turning attributes into inputs (the shape of Reshape, the limits of Clip). Here they are
*operands*: inputs that lowering needs as plain numbers. `bind` moves operands into the attributes as soon as
their numbers are known, so that everything behind the reader sees one form.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping

from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError
from cnnviz.graph.graph import Node
from cnnviz.graph.operators.activations import ROWS as ACTIVATIONS
from cnnviz.graph.operators.arithmetic import ROWS as ARITHMETIC
from cnnviz.graph.operators.attention import ROWS as ATTENTION
from cnnviz.graph.operators.constants import ROWS as CONSTANTS
from cnnviz.graph.operators.layers import ROWS as LAYERS
from cnnviz.graph.operators.movement import ROWS as MOVEMENT
from cnnviz.graph.operators.quantized import ROWS as QUANTIZED
from cnnviz.graph.operators.recurrent import ROWS as RECURRENT
from cnnviz.graph.operators.row import CONTRIB_DOMAIN, MAX_LIST, STANDARD_DOMAINS, Schema
from cnnviz.graph.operators.sampling import ROWS as SAMPLING

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

SCHEMAS: Dict[str, Schema] = {
    **LAYERS,
    **ACTIVATIONS,
    **ARITHMETIC,
    **MOVEMENT,
    **QUANTIZED,
    **ATTENTION,
    **RECURRENT,
    **SAMPLING,
    **CONSTANTS,
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
