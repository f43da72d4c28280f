"""The parts of a node that a file has and the graph has not: it becomes several nodes of other operators."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Node
from cnnviz.graph.schema import CONTRIB_DOMAIN

__all__ = ["Parts", "Rewriting"]


class Parts:
    """The nodes that a node becomes, under construction."""

    def __init__(self, node: Node, rank: Callable[[str], Optional[int]], fresh: Callable[[str], str]) -> None:
        self.node = node
        self.nodes: List[Node] = []
        self.rank = rank
        self._fresh = fresh

    def input(self, position: int) -> str:
        """Return the name of an input, "" for one that is absent."""
        return self.node.inputs[position] if position < len(self.node.inputs) else ""

    def add(self, op: str, label: str, inputs: Tuple[str, ...], **attributes: Any) -> str:
        """Append a node and return its result, a fresh value."""
        value = self._fresh(f"{self.node.outputs[0]}/{label}")
        self.nodes.append(Node(op, f"{self.node.name}/{label}", inputs, (value,), attributes))
        return value

    def split(self, x: str, sizes: Optional[Sequence[int]], count: int, axis: int) -> Tuple[str, ...]:
        """Cut a value into `count` parts, equal ones without sizes."""
        cut = {"num_outputs": count} if sizes is None else {"split": tuple(sizes)}
        found = tuple(self._fresh(f"{x}/{i}") for i in range(count))
        self.nodes.append(Node("Split", f"{self.node.name}/split", (x,), found, {"axis": axis, **cut}))
        return found

    def real(self, position: int, label: str, **along: int) -> str:
        """Dequantise the input at `position`, which its scale and zero point follow."""
        inputs = tuple(self.input(i) for i in range(position, position + 3))
        return self.add("DequantizeLinear", label, inputs, **along)

    def number(self, value: float, label: str) -> str:
        """Append a constant number."""
        return self.constant(np.full((), value, np.float32), label)

    def constant(self, array: NDArray[np.float32], label: str) -> str:
        """Append a constant."""
        return self.add("Constant", label, (), value=array)

    def finish(self, op: str, inputs: Tuple[str, ...], **attributes: Any) -> List[Node]:
        """Return all nodes: the last one has the name and the outputs of the node."""
        node = self.node
        return [*self.nodes, Node(op, node.name, inputs, node.outputs, attributes)]

    def quantized(self, y: str, position: int, like: int = 0, **along: int) -> List[Node]:
        """Return all nodes: the last one quantises y by the scale at `position` and the zero point after it.

        Without a zero point the result has the type of the input `like`.
        """
        inputs = (y, self.input(position), self.input(position + 1))
        if not inputs[2]:
            kind = self.add("CastLike", "zero", (self.number(0.0, "0"), self.input(like)))
            inputs = (*inputs[:2], kind)
        return self.finish("QuantizeLinear", inputs, **along)


class Rewriting(NamedTuple):
    """One operator of a file.

    Attributes
    ----------
    op : str
        The operator that it stands for, whose attributes it has.
    inputs : (int, int)
        The least and the largest number of its inputs.
    rule : callable
        Makes the nodes.
    more : mapping of str to str
        The attributes that it has besides, and their kinds.
    domains : tuple of str
    """

    op: str
    inputs: Tuple[int, int]
    rule: Callable[[Parts], List[Node]]
    more: Mapping[str, str] = {}
    domains: Tuple[str, ...] = (CONTRIB_DOMAIN,)
