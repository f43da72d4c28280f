"""The topological order of a file's nodes, which some exporters do not keep."""

from __future__ import annotations

import heapq
from typing import Any, Container, Dict, Iterable, List, Sequence, Set, Tuple

from cnnviz.errors import ModelFormatError
from cnnviz.reader.tensors import text

__all__ = ["in_order", "node_label"]

_SHOWN = 5  # the most nodes of a cycle that an error names


def node_label(index: int, proto: Any) -> str:
    """The name of a node for errors, or its position."""
    return text(proto.name, "node name") or f"node {index}"


def in_order(protos: Sequence[Any], given: Container[str] = ()) -> List[Tuple[int, Any]]:
    """The NodeProtos of one graph with their positions, each behind those whose results it reads.

    Of the nodes that could come next, the first of the file does, so a sorted file stays as it is. Values
    that are `given` are no reason to wait, even if a node makes them again.

    Raises
    ------
    ModelFormatError
        Nodes read each other's results in a cycle.
    """
    maker: Dict[str, int] = {}
    for index, proto in enumerate(protos):
        for name in proto.output:
            if name and name not in given:
                maker.setdefault(text(name, "output name"), index)
    waits = [{maker[name] for name in reads(proto) if name in maker} for proto in protos]
    readers: List[List[int]] = [[] for _ in protos]
    for index, others in enumerate(waits):
        for other in others:
            readers[other].append(index)
    ready = [index for index, others in enumerate(waits) if not others]
    found: List[Tuple[int, Any]] = []
    while ready:
        index = heapq.heappop(ready)
        found.append((index, protos[index]))
        for reader in readers[index]:
            waits[reader].discard(index)
            if not waits[reader]:
                heapq.heappush(ready, reader)
    if len(found) < len(protos):
        raise ModelFormatError(_cycle(protos, waits))
    return found


def reads(proto: Any) -> Iterable[str]:
    """The values that a node reads, those of the outer graph that its subgraphs read included."""
    yield from (text(name, "input name") for name in proto.input)
    for attribute in proto.attribute:
        graphs = [attribute.g] if attribute.HasField("g") else []
        for graph in (*graphs, *attribute.graphs):
            yield from _outer_reads(graph)


def _outer_reads(graph: Any) -> Iterable[str]:
    own: Set[str] = {text(one.name, "name") for one in (*graph.input, *graph.initializer)}
    own.update(text(name, "output name") for proto in graph.node for name in proto.output)
    for proto in graph.node:
        yield from (name for name in reads(proto) if name not in own)
    yield from (name for name in (text(one.name, "output name") for one in graph.output) if name not in own)


def _cycle(protos: Sequence[Any], waits: Sequence[Set[int]]) -> str:
    """An error about nodes that wait for each other: it follows one that never came to its turn."""
    index = next(i for i, others in enumerate(waits) if others)
    path: List[int] = []
    place: Dict[int, int] = {}
    while index not in place:
        place[index] = len(path)
        path.append(index)
        index = min(waits[index])
    cycle = [node_label(i, protos[i]) for i in path[place[index] :]]
    shown = ", ".join(repr(name) for name in cycle[:_SHOWN])
    more = f" and {len(cycle) - _SHOWN} more" if len(cycle) > _SHOWN else ""
    return f"the graph has a cycle: each of the nodes {shown}{more} needs the result of another one of them"
