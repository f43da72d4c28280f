"""The part of a file's graph that is read: all of it, or what chosen outputs depend on."""

from __future__ import annotations

import difflib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set

from cnnviz.reader.order import reads
from cnnviz.reader.tensors import text

__all__ = ["Part", "part_of"]


class Part(NamedTuple):
    """A part of a GraphProto, each list in the file's order: NodeProto, TensorProto and ValueInfoProto."""

    nodes: List[Any]
    initializers: List[Any]
    inputs: List[Any]
    outputs: List[Any]


def part_of(graph: Any, outputs: Optional[Sequence[str]]) -> Part:
    """Return what `outputs`, names of values or of nodes, depend on; None reads the whole graph.

    Whatever lies behind the outputs is left out before it is checked: a detector's tail of operators without
    a gradient (NonMaxSuppression, TopK), and inputs that only the tail reads.

    Raises
    ------
    TypeError
        When `outputs` is not a list of names.
    ValueError
        When it is empty, names a value twice, or names one that no node makes.
    """
    if outputs is None:
        return Part(list(graph.node), list(graph.initializer), list(graph.input), list(graph.output))
    if isinstance(outputs, str) or not all(isinstance(name, str) for name in outputs):
        raise TypeError(f"outputs must be a list of names, not {outputs!r:.80}")
    makers = {text(name, "output name"): node for node in graph.node for name in node.output if name}
    wanted = [_resolved(graph, makers, name) for name in outputs]
    if not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"outputs must name at least one value and each once, not {list(outputs)!r:.80}")
    read = _read_by(makers, wanted)
    nodes = [node for node in graph.node if read.intersection(node.output)]
    return Part(
        nodes,
        [tensor for tensor in graph.initializer if tensor.name in read],
        [tensor for tensor in graph.input if tensor.name in read],
        _declared(graph, wanted),
    )


def _resolved(graph: Any, makers: Dict[str, Any], name: str) -> str:
    """The value of a name, which may be that of a node."""
    if name in makers:
        return name
    named = [made for node in graph.node if node.name == name for made in node.output if made]
    if named:
        return text(named[0], "output name")
    close = difflib.get_close_matches(name, [*makers, *(node.name for node in graph.node)], n=5)
    hint = f"; did you mean {', '.join(map(repr, dict.fromkeys(close)))}?" if close else ""
    raise ValueError(f"outputs: no node makes {name!r}{hint}")


def _read_by(makers: Dict[str, Any], wanted: Sequence[str]) -> Set[str]:
    """The values that `wanted` depend on, themselves included."""
    found: Set[str] = set()
    left = list(wanted)
    while left:
        name = left.pop()
        if name and name not in found:
            found.add(name)
            left.extend(reads(makers[name]) if name in makers else ())
    return found


def _declared(graph: Any, names: Sequence[str]) -> List[Any]:
    """The ValueInfoProto of each name: the file's where it is an output already."""
    import onnx

    known = {output.name: output for output in graph.output}
    return [known.get(name) or onnx.ValueInfoProto(name=name) for name in names]
