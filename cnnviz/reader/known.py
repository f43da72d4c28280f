"""Values that are known while a file is read: its constants, and what nodes compute from them alone."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Set

from numpy.typing import NDArray

from cnnviz.graph.fold import Budget, can_evaluate, evaluate
from cnnviz.graph.graph import Node
from cnnviz.graph.schema import bind

__all__ = ["KnownValues"]


class KnownValues:
    """The values of a graph under construction that do not depend on its inputs, computed when asked for.

    Parameters
    ----------
    constants : mapping of str to ndarray
        The reader's constants, which grow while it reads.
    """

    def __init__(self, constants: Mapping[str, NDArray[Any]]) -> None:
        self._constants = constants
        self._makers: Dict[str, Node] = {}
        self._found: Dict[str, NDArray[Any]] = {}
        self._unknown: Set[str] = set()
        self._budget = Budget()

    def add(self, node: Node) -> None:
        """Take a node of the graph in, behind the nodes whose results it reads."""
        self._makers.update((name, node) for name in node.outputs if name)

    def get(self, name: str) -> Optional[NDArray[Any]]:
        """The array of a value, or None when it depends on an input or on the shape of one."""
        waiting: List[str] = [name]
        while waiting:
            node = self._makers.get(waiting[-1])
            if self._value(waiting[-1]) is not None or waiting[-1] in self._unknown:
                waiting.pop()
                continue
            inputs = [value for value in node.inputs if value] if node is not None else []
            missing = [value for value in inputs if self._value(value) is None]
            if node is None or not can_evaluate(node) or not self._unknown.isdisjoint(missing):
                self._unknown.add(waiting.pop())
            elif missing:
                waiting.extend(missing)
            else:
                self._compute(node)
        return self._value(name)

    def _value(self, name: str) -> Optional[NDArray[Any]]:
        return self._constants[name] if name in self._constants else self._found.get(name)

    def _compute(self, node: Node) -> None:
        known = {name: value for name in node.inputs for value in [self._value(name)] if value is not None}
        node = bind(node, known)
        results = evaluate(node, [known[name] for name in node.inputs if name], self._budget)
        self._found.update((name, array) for name, array in zip(node.outputs, results) if name)
        self._unknown.update(name for name in node.outputs if name and name not in self._found)
