"""If on a known condition: the branch that it takes is read in its place."""

from __future__ import annotations

from typing import Any, Dict

from cnnviz.errors import ModelFormatError
from cnnviz.graph.graph import Node
from cnnviz.reader.loops import Reader
from cnnviz.reader.scope import Scope

__all__ = ["read_if"]

_BRANCHES = {"then_branch", "else_branch"}
_GRAPH = 5  # AttributeProto.GRAPH


def read_if(reader: Reader, node: Node, given: Dict[str, Any], scope: Scope) -> None:
    """Read the branch that an If takes, when its condition is known."""
    if set(given) != _BRANCHES or any(one.type != _GRAPH for one in given.values()):
        raise ModelFormatError(f"node {node.name!r} (If): has attributes {sorted(given)}, not two branches")
    if len(node.inputs) != 1 or not node.inputs[0]:
        raise ModelFormatError(f"node {node.name!r} (If): has {len(node.inputs)} inputs, expected 1")
    condition = reader.known(node.inputs[0])
    if condition is None:
        reader.refuse(node, f"If (its condition {reader.unknown(node.inputs[0])})", ("If",))
        return
    if condition.size != 1:
        raise ModelFormatError(f"node {node.name!r} (If): the condition has {condition.size} elements, not 1")
    branch = given["then_branch" if condition.item() else "else_branch"].g
    if len(branch.input):
        raise ModelFormatError(f"node {node.name!r} (If): a branch has inputs")
    results = [one.name for one in branch.output]
    reader.inline(node, branch.node, branch.initializer, results, scope.branch(node.name))
