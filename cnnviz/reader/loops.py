"""Loop and Scan, whose bodies are read once for each iteration: the graph has none of them."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Protocol, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.schema import MAX_LIST
from cnnviz.reader.scope import Scope
from cnnviz.reader.tensors import text

__all__ = ["LOOPS", "Reader"]

_GRAPH, _INTS = 5, 7  # AttributeProto
_INT64, _BOOL = 7, 9  # TensorProto


class Reader(Protocol):
    """What unrolling needs of the reader of the file's graph."""

    sequences: Dict[str, Tuple[str, ...]]

    def known(self, name: str) -> Optional[NDArray[Any]]:
        """Return the array of a value that does not depend on the picture, None for other values."""

    def unknown(self, name: str) -> str:
        """Say why a value is not known."""

    def extent(self, name: str, axis: int) -> Optional[int]:
        """Return the extent of a value along an axis, None when the file does not declare it."""

    def has_room(self, body: Any) -> bool:
        """Take the nodes of a body from what bodies may put into the graph; False when they do not fit."""

    def read_initializers(self, protos: Sequence[Any], scope: Scope) -> None:
        """Take initializers of a body in, under fresh names."""

    def read_body(self, node: Node, protos: Sequence[Any], scope: Scope) -> None:
        """Read the nodes of a body, under fresh names."""

    def constant(self, hint: str, value: NDArray[Any], element_type: int) -> str:
        """Add a constant under a fresh name, which is returned."""

    def inline(
        self,
        node: Node,
        protos: Sequence[Any],
        initializers: Sequence[Any],
        results: Sequence[Any],
        scope: Scope,
    ) -> None:
        """Read nodes in the place of `node`, whose outputs are their `results`."""

    def raise_problems(self) -> None:
        """Raise an error when a node before is not supported."""

    def define_sequence(self, node: Node, elements: Tuple[str, ...]) -> None:
        """Let the output of a node stand for a sequence of values."""

    def hand_out(self, node: Node, name: str, output: str) -> None:
        """Let an output of a node stand for a value or a sequence of its body."""

    def fresh(self, hint: str) -> str:
        """Return a name that no value has yet."""

    def add(self, node: Node) -> None:
        """Append a node that stands for a part of another one, under a name like its own."""

    def refuse(self, node: Node, label: str, operators: Tuple[str, ...]) -> None:
        """Note that a node is not supported."""


class _Body(NamedTuple):
    """The body of a node, its initializers read: its nodes, and the names of its inputs and outputs."""

    graph: Any
    inputs: List[str]
    outputs: List[str]
    scope: Scope


def _body(reader: Reader, node: Node, given: Dict[str, Any], scope: Scope) -> _Body:
    if "body" not in given or given["body"].type != _GRAPH:
        raise ModelFormatError(f"node {node.name!r} ({node.op}): body is not a graph")
    graph, inner = given["body"].g, scope.branch(node.name)
    if max(len(graph.input), len(graph.output)) > MAX_LIST:
        raise ModelFormatError(f"node {node.name!r} ({node.op}): its body has more than {MAX_LIST} inputs")
    names = [[text(one.name, "name of a value") for one in ends] for ends in (graph.input, graph.output)]
    if len(set(names[0])) < len(names[0]):
        raise ModelFormatError(f"node {node.name!r} ({node.op}): two inputs of its body have one name")
    reader.read_initializers(graph.initializer, inner)
    return _Body(graph, names[0], names[1], inner)


def _iterate(reader: Reader, node: Node, body: _Body, i: int, inputs: Sequence[str]) -> List[str]:
    """Read the body with these values for its inputs; return the values of its outputs."""
    if not reader.has_room(body.graph):
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): with iteration {i} of its {len(body.graph.node)} nodes, "
            "bodies put more into the graph than a file of this size may",
            [node.op],
        )
    scope = body.scope.branch(f"{node.name}/{i}")
    scope.names.update(zip(body.inputs, inputs))
    reader.read_body(node, body.graph.node, scope)
    return [scope.value(name) for name in body.outputs]


def _check(node: Node, body: _Body, inputs: int, outputs: int, states: int) -> None:
    """Compare the ends of a body with those that the node's inputs ask for."""
    if len(body.inputs) != inputs or len(body.outputs) < outputs:
        raise ModelFormatError(
            f"node {node.name!r} ({node.op}): its body has {len(body.inputs)} inputs and {len(body.outputs)} "
            f"outputs, expected {inputs} and at least {outputs}"
        )
    most = len(body.outputs) - outputs + states
    if len(node.outputs) > most:
        raise ModelFormatError(
            f"node {node.name!r} ({node.op}): has {len(node.outputs)} outputs, its body gives {most}"
        )


def _finish(
    reader: Reader,
    node: Node,
    states: Sequence[str],
    stacks: Sequence[Sequence[str]],
    axes: Sequence[int],
) -> None:
    """Give the node's outputs their values: the last states, and what iterations made, stacked."""
    for name, output in zip(states, node.outputs):
        if output:
            reader.hand_out(node, name, output)
    for parts, axis, output in zip(stacks, axes, node.outputs[len(states) :]):
        if not output:
            continue
        if not 1 <= len(parts) <= MAX_LIST:
            reader.refuse(node, f"{node.op} (whose output stacks {len(parts)} iterations)", (node.op,))
            return
        rows = tuple(reader.fresh(f"{output}/{i}") for i in range(len(parts)))
        for part, row in zip(parts, rows):
            _add(reader, node, "Unsqueeze", (part,), (row,), axes=(axis,))
        _add(reader, node, "Concat", rows, (output,), axis=axis)


def _add(
    reader: Reader, node: Node, op: str, inputs: Tuple[str, ...], outputs: Tuple[str, ...], **attributes: Any
) -> None:
    reader.add(Node(op, f"{node.name}/{outputs[0]}", inputs, outputs, attributes))


def _read_loop(reader: Reader, node: Node, given: Dict[str, Any], scope: Scope) -> None:
    """Read the iterations of a Loop, whose count and conditions must be known."""
    count, condition, *states = (*node.inputs, "", "")[: max(2, len(node.inputs))]
    limits = [reader.known(name) if name else None for name in (count, condition)]
    for name, value, what in zip((count, condition), limits, ("number of iterations", "condition")):
        if name and value is None:
            reader.refuse(node, f"Loop (its {what} {reader.unknown(name)})", ("Loop",))
            return
        if value is not None and value.size != 1:
            raise ModelFormatError(f"node {node.name!r} (Loop): its {what} has {value.size} elements, not 1")
        if value is not None and value.dtype.kind not in "iub":
            raise ModelFormatError(f"node {node.name!r} (Loop): its {what} is {value.dtype}, no integer")
    most = None if limits[0] is None else int(limits[0].item())
    goes_on = limits[1] is None or bool(limits[1].item())
    body = _body(reader, node, given, scope)
    _check(node, body, 2 + len(states), 1 + len(states), len(states))
    stacks: List[List[str]] = [[] for _ in body.outputs[1 + len(states) :]]
    i = 0
    while goes_on and (most is None or i < most):
        index = reader.constant(f"{node.name}/{i}", np.array(i, np.int64), _INT64)
        again = reader.constant(f"{node.name}/{i}/condition", np.array(1, np.int64), _BOOL)
        condition, *results = _iterate(reader, node, body, i, [index, again, *states])
        states = results[: len(states)]
        for stack, made in zip(stacks, results[len(states) :]):
            stack.append(made)
        found = reader.known(condition)
        if found is None or found.size != 1:
            why = "is not one number" if found is not None else reader.unknown(condition)
            reader.refuse(node, f"Loop (its condition {why})", ("Loop",))
            return
        goes_on, i = bool(found.item()), i + 1
    _finish(reader, node, states, stacks, [0] * len(stacks))


def _flags(node: Node, given: Dict[str, Any], name: str, count: int) -> List[int]:
    """A list of one number for each of `count` values, zeros by default."""
    if name not in given:
        return [0] * count
    if given[name].type != _INTS or len(given[name].ints) != count:
        raise ModelFormatError(f"node {node.name!r} (Scan): {name} is not a list of {count} integers")
    return [int(number) for number in given[name].ints]


def _length(reader: Reader, node: Node, scanned: Sequence[str], axes: Sequence[int]) -> Optional[int]:
    """The common extent of the sequences, None where the file declares none."""
    found = [reader.extent(name, axis) for name, axis in zip(scanned, axes)]
    extents = sorted({extent for extent in found if extent is not None})
    if len(extents) > 1:
        lengths = " and ".join(map(str, extents))
        raise ModelFormatError(f"node {node.name!r} (Scan): its sequences have {lengths} elements")
    return extents[0] if extents else None


def _steps(reader: Reader, node: Node, name: str, axis: int, back: int, length: int) -> List[str]:
    """The elements of a sequence in the order of the iterations.

    Split refuses another length than that which the file declares, should the input have one.
    """
    rows = tuple(reader.fresh(f"{name}/{i}") for i in range(length))
    _add(reader, node, "Split", (name,), rows, axis=axis, split=(1,) * length)
    found = [reader.fresh(f"{name}/{i}") for i in range(length)]
    for row, element in zip(rows, found):
        _add(reader, node, "Squeeze", (row,), (element,), axes=(axis,))
    return found[::-1] if back else found


def _read_scan(reader: Reader, node: Node, given: Dict[str, Any], scope: Scope) -> None:
    """Read the iterations of a Scan, the length of whose sequences the file must declare."""
    if scope.opset < 9:
        reader.refuse(node, "Scan (of opset 8)", ("Scan",))
        return
    count = given["num_scan_inputs"].i if "num_scan_inputs" in given else 0
    if not 1 <= count <= len(node.inputs) or not all(node.inputs):
        raise ModelFormatError(
            f"node {node.name!r} (Scan): {count} of {len(node.inputs)} inputs are sequences"
        )
    states, scanned = list(node.inputs[:-count]), node.inputs[-count:]
    axes = _flags(node, given, "scan_input_axes", count)
    backward = _flags(node, given, "scan_input_directions", count)
    length = _length(reader, node, scanned, axes)
    if length is None or not 1 <= length <= MAX_LIST:
        why = "is not declared" if length is None else f"is {length}, not 1 to {MAX_LIST}"
        reader.refuse(node, f"Scan (the length of its sequences {why})", ("Scan",))
        return
    body = _body(reader, node, given, scope)
    _check(node, body, len(node.inputs), len(states), len(states))
    stacks: List[List[str]] = [[] for _ in body.outputs[len(states) :]]
    steps = [_steps(reader, node, *sequence, length) for sequence in zip(scanned, axes, backward)]
    for i, elements in enumerate(zip(*steps)):
        results = _iterate(reader, node, body, i, [*states, *elements])
        states = results[: len(states)]
        for stack, made in zip(stacks, results[len(states) :]):
            stack.append(made)
    prepended = _flags(node, given, "scan_output_directions", len(stacks))
    ordered = [stack[::-1] if back else stack for stack, back in zip(stacks, prepended)]
    _finish(reader, node, states, ordered, _flags(node, given, "scan_output_axes", len(stacks)))


LOOPS: Dict[str, Callable[[Reader, Node, Dict[str, Any], Scope], None]] = {
    "Loop": _read_loop,
    "Scan": _read_scan,
}
