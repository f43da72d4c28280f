"""The network as plain data: the reader makes it, rewriting simplifies it, lowering turns it into a plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Set, Tuple

from numpy.typing import NDArray

from cnnviz.one_line import shortened

__all__ = [
    "FLOAT",
    "FLOAT_TYPES",
    "Graph",
    "Names",
    "Node",
    "Tensor",
    "ancestors",
    "consumers",
    "descendants",
    "producers",
    "prune",
]

FLOAT = 1  #: TensorProto.FLOAT
#: The element types that become float32: TensorProto FLOAT, FLOAT16, DOUBLE and BFLOAT16.
FLOAT_TYPES = frozenset({1, 10, 11, 16})


@dataclass(frozen=True)
class Tensor:
    """An input or output of the network.

    Attributes
    ----------
    name : str
    shape : tuple of (int or None), or None
        None stands for a free dimension; a shape of None says that the file declares none.
    """

    name: str
    shape: Optional[Tuple[Optional[int], ...]]


@dataclass(frozen=True)
class Node:
    """One operator of a graph.

    Attributes
    ----------
    op : str
        The ONNX operator, with the meaning that the newest opset gives it.
    name : str
        Never empty, unique in its graph.
    inputs : tuple of str
        Names of values; "" for an optional input that is absent.
    outputs : tuple of str
    attributes : mapping
        Plain Python values, defaults filled in. Inputs that newer opsets have in place of attributes (the
        shape of Reshape, the axes of Squeeze) are here too, whenever their numbers are known in advance.
    """

    op: str
    name: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def result(self) -> str:
        """The first output that is read: recurrent layers may leave out those before it."""
        return next(filter(None, self.outputs), "")

    def replace(self, **changes: Any) -> Node:
        """The same node with some members changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Graph:
    """A network.

    Attributes
    ----------
    inputs, outputs : tuple of Tensor
        The network's inputs (initializers are not among them) and outputs.
    nodes : tuple of Node
        In topological order.
    constants : mapping of str to ndarray
        float32 or int64, C-contiguous, read-only.
    aliases : mapping of str to str
        Names that rewriting removed, each with the surviving value that has the same numbers.
    vanished : mapping of str to str
        Names whose numbers no longer exist, each with the reason in words.
    metadata : mapping of str to str
        The file's metadata_props.
    fixed : frozenset of str
        The values that are right at the height and width of the declared input alone: numbers that follow
        from it stand in the graph as constants. Other sizes are refused where such a value is needed.
    """

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    nodes: Tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    vanished: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    fixed: FrozenSet[str] = frozenset()

    def __repr__(self) -> str:
        ends = " -> ".join(", ".join(one.name for one in ends) for ends in (self.inputs, self.outputs))
        return f"<Graph: {len(self.nodes)} nodes, {len(self.constants)} constants, {shortened(ends, 100)}>"

    def replace(self, **changes: Any) -> Graph:
        """The same graph with some members changed."""
        return replace(self, **changes)


def plain_mappings(graph: Graph) -> Graph:
    """Return the same graph with dictionaries for its read-only mappings, which cannot be pickled."""
    return graph.replace(
        constants=dict(graph.constants),
        aliases=dict(graph.aliases),
        vanished=dict(graph.vanished),
        metadata=dict(graph.metadata),
    )


def producers(graph: Graph) -> Dict[str, Node]:
    """The node that makes each value."""
    return {name: node for node in graph.nodes for name in node.outputs if name}


def consumers(graph: Graph) -> Dict[str, List[Node]]:
    """The nodes that read each value, once per time that they read it."""
    readers: Dict[str, List[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            if name:
                readers.setdefault(name, []).append(node)
    return readers


def ancestors(graph: Graph, values: Iterable[str]) -> Set[str]:
    """The values that given ones depend on, and these themselves."""
    wanted = set(values)
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(filter(None, node.inputs))  # "" is an input that is absent
    return wanted


def descendants(graph: Graph, values: Iterable[str], *, past: str = "") -> Set[str]:
    """The values that depend on given ones, and these themselves; no way leads past the value `past`."""
    found = set(values)
    for node in graph.nodes:
        if found.intersection(node.inputs):
            found.update(name for name in node.outputs if name and name != past)
    return found


def prune(graph: Graph) -> Graph:
    """The graph without the nodes and constants that no output depends on."""
    wanted = ancestors(graph, (tensor.name for tensor in graph.outputs))
    nodes = tuple(node for node in graph.nodes if wanted.intersection(node.outputs))
    constants = {name: value for name, value in graph.constants.items() if name in wanted}
    return graph.replace(nodes=nodes, constants=constants)


class Names:
    """A set of names that grows by fresh ones.

    A fresh name takes constant time even if all are asked for with the same hint: a file may give all its
    nodes one name.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._numbers: Dict[str, int] = {}

    def fresh(self, name: str) -> str:
        """`name`, or if it is taken, `name` with the lowest free number."""
        number = self._numbers.get(name, 1)
        candidate = name if number == 1 else f"{name}_{number}"
        while candidate in self._taken:
            number += 1
            candidate = f"{name}_{number}"
        self._numbers[name] = number
        self._taken.add(candidate)
        return candidate
