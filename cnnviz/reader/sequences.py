"""Sequences of tensors, which the graph has not: the reader keeps the names of their elements."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.schema import MAX_LIST
from cnnviz.reader.loops import Reader
from cnnviz.reader.scope import Scope

__all__ = ["SEQUENCES"]

_INT = 2  # AttributeProto.INT
_INT64 = 7  # TensorProto.INT64

Given = Dict[str, Any]


def _where(node: Node) -> str:
    return f"node {node.name!r} ({node.op})"


def _input(node: Node, position: int) -> str:
    return node.inputs[position] if position < len(node.inputs) else ""


def _integer(node: Node, given: Given, name: str, default: int) -> int:
    if name not in given:
        return default
    if given[name].type != _INT:
        raise ModelFormatError(f"{_where(node)}: {name} is not an integer")
    return int(given[name].i)


def _elements(reader: Reader, node: Node) -> Tuple[str, ...]:
    found = reader.sequences.get(_input(node, 0))
    if found is None:
        reader.raise_problems()  # the sequence of a node that is not supported
        raise ModelFormatError(f"{_where(node)}: {_input(node, 0)!r} is no sequence of tensors")
    return found


def _place(reader: Reader, node: Node, position: int, count: int, *, end: int = 0) -> Optional[int]:
    """The place among `count` elements that an input names, None for one that is not known, which is refused.

    With an `end` of 1, the place behind the last element is one too.
    """
    name = node.inputs[position]
    value = reader.known(name)
    if value is None:
        reader.refuse(node, f"{node.op} (its position {reader.unknown(name)})", (node.op,))
        return None
    place = int(value.item()) if value.size == 1 else count + end
    if not -count <= place < count + end:
        raise ModelFormatError(f"{_where(node)}: position {value.tolist()} is not among {count} tensors")
    return place + count if place < 0 else place


def _keep(reader: Reader, node: Node, elements: Tuple[str, ...]) -> None:
    if len(elements) > MAX_LIST:
        raise UnsupportedModelError(
            f"{_where(node)}: a sequence of {len(elements)} tensors, at most {MAX_LIST} are supported",
            [node.op],
        )
    reader.define_sequence(node, elements)


def _add(reader: Reader, node: Node, op: str, inputs: Tuple[str, ...], output: str, **attributes: Any) -> str:
    reader.add(Node(op, f"{node.name}/{output}", inputs, (output,), attributes))
    return output


def _construct(reader: Reader, node: Node, given: Given, scope: Scope) -> None:
    if not all(node.inputs) or any(name in reader.sequences for name in node.inputs):
        raise ModelFormatError(f"{_where(node)}: its inputs must be tensors")
    _keep(reader, node, node.inputs)


def _insert(reader: Reader, node: Node, given: Given, scope: Scope) -> None:
    found, tensor = _elements(reader, node), _input(node, 1)
    if not tensor or tensor in reader.sequences:
        raise ModelFormatError(f"{_where(node)}: {tensor!r} is no tensor")
    place: Optional[int] = len(found)
    if _input(node, 2):
        place = _place(reader, node, 2, len(found), end=1)
    if place is not None:
        _keep(reader, node, (*found[:place], tensor, *found[place:]))


def _erase(reader: Reader, node: Node, given: Given, scope: Scope) -> None:
    found = _elements(reader, node)
    place: Optional[int] = len(found) - 1
    if _input(node, 1) or not found:
        place = _place(reader, node, 1, len(found))
    if place is not None:
        _keep(reader, node, (*found[:place], *found[place + 1 :]))


def _at(reader: Reader, node: Node, given: Given, scope: Scope) -> None:
    found = _elements(reader, node)
    if not _input(node, 1):
        raise ModelFormatError(f"{_where(node)}: has no position")
    place = _place(reader, node, 1, len(found))
    if place is not None:
        reader.hand_out(node, found[place], node.outputs[0])


def _length(reader: Reader, node: Node, given: Given, scope: Scope) -> None:
    count = np.array(len(_elements(reader, node)), np.int64)
    reader.hand_out(node, reader.constant(f"{node.name}/length", count, _INT64), node.outputs[0])


def _concatenate(reader: Reader, node: Node, given: Given, scope: Scope) -> None:
    found, axis = _elements(reader, node), _integer(node, given, "axis", 0)
    if not found:
        reader.refuse(node, "ConcatFromSequence (of no tensors)", (node.op,))
        return
    if _integer(node, given, "new_axis", 0):
        output = node.outputs[0]
        rows = [reader.fresh(f"{output}/{i}") for i in range(len(found))]
        found = tuple(
            _add(reader, node, "Unsqueeze", (name,), row, axes=(axis,)) for name, row in zip(found, rows)
        )
    _add(reader, node, "Concat", found, node.outputs[0], axis=axis)


def _sizes(reader: Reader, node: Node, axis: int) -> Optional[List[int]]:
    """The extents of the parts; None when they are not known, which is refused."""
    name = _input(node, 1)
    split = reader.known(name) if name else np.array(1)
    if split is None:
        reader.refuse(node, f"SplitToSequence (its split {reader.unknown(name)})", (node.op,))
        return None
    if split.ndim > 1 or split.size < 1 or split.min() < 1:
        raise ModelFormatError(f"{_where(node)}: cannot split into parts of {split.tolist()}")
    if split.ndim == 1:
        return [int(size) for size in split[: MAX_LIST + 1]]
    extent, size = reader.extent(node.inputs[0], axis), int(split.item())
    if extent is None:
        reader.refuse(node, "SplitToSequence (the length of its input is not declared)", (node.op,))
        return None
    rest = [extent % size] if extent % size else []
    return [size] * min(extent // size, MAX_LIST + 1) + rest


def _split(reader: Reader, node: Node, given: Given, scope: Scope) -> None:
    axis, keeps = _integer(node, given, "axis", 0), _integer(node, given, "keepdims", 1)
    if not _input(node, 0):
        raise ModelFormatError(f"{_where(node)}: has no input")
    sizes = _sizes(reader, node, axis)
    if sizes is None:
        return
    rows = tuple(reader.fresh(f"{node.outputs[0]}/{i}") for i in range(len(sizes)))
    if len(rows) <= MAX_LIST:
        reader.add(
            Node("Split", f"{node.name}/split", node.inputs[:1], rows, {"axis": axis, "split": tuple(sizes)})
        )
        if not keeps and not _input(node, 1):
            fresh = [reader.fresh(f"{node.outputs[0]}/{i}") for i in range(len(rows))]
            rows = tuple(_add(reader, node, "Squeeze", (a,), b, axes=(axis,)) for a, b in zip(rows, fresh))
    _keep(reader, node, rows)


def _empty(reader: Reader, node: Node, given: Given, scope: Scope) -> None:
    _keep(reader, node, ())


SEQUENCES: Dict[str, Callable[[Reader, Node, Given, Scope], None]] = {
    "ConcatFromSequence": _concatenate,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split,
}
