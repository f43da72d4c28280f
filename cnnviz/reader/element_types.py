"""The element types of values, which decide about rounding and wrapping: the arrays of a graph keep two."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Tuple, Union

from cnnviz.errors import ModelFormatError
from cnnviz.graph.graph import FLOAT_TYPES, Node
from cnnviz.graph.schema import SCHEMAS

__all__ = ["result_types", "typed"]

Types = Mapping[str, int]

# Of TensorProto.DataType.
_FLOAT, _UINT8, _INT64, _BOOL = 1, 2, 7, 9
#: The integers that are narrower than the int64 in which constants are computed.
_NARROW = frozenset({2, 3, 4, 5, 6, 12})
#: The axes of operators that only move numbers.
_MOVES = frozenset({"joins", "permutes", "picks", "reshapes", "spreads"})


def typed(node: Node, types: Types, moving: bool, fresh: Callable[[str], str]) -> List[Node]:
    """Return the nodes that compute what `node` does in the element types that its inputs have in the file.

    QuantizeLinear and CastLike get the type of an input as an attribute. Casts of values that depend on the
    picture get the type that they come from as `source`, which no file has: integers pass them as they are,
    and with their gradient. Integers divide towards zero, and constants of narrow types wrap around. A mask
    of truth values becomes one of numbers.

    Parameters
    ----------
    node : Node
    types : mapping of str to int
        The element types of the values that nodes before it make.
    moving : bool
        Whether the node reads a value that depends on the picture.
    fresh : callable
        Makes a value name that the graph does not have yet, from a hint.
    """
    if node.op not in SCHEMAS and node.op not in _READ_FOR_ITS_TYPE:
        return [node]  # a constant
    if node.op == "Attention" and types.get("".join(node.inputs[3:4])) == _BOOL:
        return _with_added_mask(node, fresh)
    node = _with_type(node, types)
    source = types.get(node.inputs[0], _FLOAT) if node.inputs else _FLOAT
    if node.op == "Cast":
        return [node.replace(attributes={**node.attributes, "source": source}) if moving else node]
    result, traits = result_types(node, types)[0], SCHEMAS[node.op].traits
    if moving:
        cut = traits.fractions and result not in FLOAT_TYPES
    else:
        computes = traits.axes not in _MOVES and not (traits.same_numbers or traits.quantizes)
        cut = computes and not traits.selects and len(node.outputs) == 1 and result in _NARROW
    return _recast(node, result, fresh) if cut else [node]


def _recast(node: Node, to: int, fresh: Callable[[str], str]) -> List[Node]:
    """The node with a cast of its result, which cuts off fractions and wraps around."""
    wide = fresh(f"{node.outputs[0]}/wide")
    cast = Node("Cast", f"{node.name}/cast", (wide,), node.outputs, {"to": to, "source": _FLOAT})
    return [node.replace(outputs=(wide,)), cast]


def _with_added_mask(node: Node, fresh: Callable[[str], str]) -> List[Node]:
    """Make a mask of truth values one that is added to the scores: log 1 is 0 and log 0 is -inf."""
    mask = node.inputs[3]
    number, added = fresh(f"{mask}/number"), fresh(f"{mask}/added")
    return [
        Node("Cast", f"{node.name}/number", (mask,), (number,), {"to": _FLOAT, "source": _BOOL}),
        Node("Log", f"{node.name}/added", (number,), (added,), {}),
        node.replace(inputs=(*node.inputs[:3], added, *node.inputs[4:])),
    ]


def _with_type(node: Node, types: Types) -> Node:
    """The node with the element type of an input as an attribute, where one decides about the result."""
    if node.op == "CastLike" and (len(node.inputs) != 2 or not all(node.inputs)):
        given = sum(1 for name in node.inputs if name)
        raise ModelFormatError(f"node {node.name!r} (CastLike): has {given} inputs, expected 2")
    position = _READ_FOR_ITS_TYPE.get(node.op)
    if position is None or position >= len(node.inputs) or not node.inputs[position]:
        return node
    found = types.get(node.inputs[position], _FLOAT)
    if node.op == "EyeLike":
        return node.replace(attributes={"dtype": found, **node.attributes})
    if node.op == "CastLike":
        return Node("Cast", node.name, node.inputs[:1], node.outputs, {**node.attributes, "to": found})
    return node.replace(attributes={**node.attributes, "output_dtype": found})


def result_types(node: Node, types: Types) -> Tuple[int, ...]:
    """Return the element type of each result of a node.

    Most operators make what they read: their results have the type of the first input.
    """
    rule = _RESULTS.get(node.op)
    traits = SCHEMAS[node.op].traits
    if rule is not None:
        found: Union[int, Tuple[int, ...]] = rule(node, types)
    elif traits.reads == "shape":
        found = _INT64
    elif traits.truth:
        found = _BOOL
    else:
        found = _of_input(0)(node, types)
    return found if isinstance(found, tuple) else (found,) * len(node.outputs)


def _always(*found: int) -> Callable[[Node, Types], Union[int, Tuple[int, ...]]]:
    return lambda node, types: found[0] if len(found) == 1 else found


def _of_input(position: int) -> Callable[[Node, Types], int]:
    def found(node: Node, types: Types) -> int:
        return types.get(node.inputs[position], _FLOAT) if position < len(node.inputs) else _FLOAT

    return found


def _of_attribute(name: str, default: int) -> Callable[[Node, Types], int]:
    return lambda node, types: node.attributes.get(name) or default


def _top_k(node: Node, types: Types) -> Tuple[int, ...]:
    return _of_input(0)(node, types), _INT64


#: Operators that read an input for the sake of its element type, and its position.
_READ_FOR_ITS_TYPE = {"CastLike": 1, "EyeLike": 0, "QuantizeLinear": 2}

#: Operators whose results have another type than their first input.
_RESULTS: Dict[str, Callable[[Node, Types], Union[int, Tuple[int, ...]]]] = {
    "ArgMax": _always(_INT64),
    "ArgMin": _always(_INT64),
    "Cast": _of_attribute("to", _FLOAT),
    "ConstantOfShape": _of_attribute("value_type", _FLOAT),
    "DequantizeLinear": _of_input(1),
    "DynamicQuantizeLinear": _always(_UINT8, _FLOAT, _UINT8),
    "EyeLike": _of_attribute("dtype", _FLOAT),
    "NonZero": _always(_INT64),
    "OneHot": _of_input(2),
    "QuantizeLinear": _of_attribute("output_dtype", _UINT8),
    "TopK": _top_k,
    "Where": _of_input(1),
}
