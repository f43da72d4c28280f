"""The operators of a file that no node of the graph has, besides Constant: branches, loops, and sequences."""

from __future__ import annotations

from typing import Any, Callable, Dict

from cnnviz.graph.graph import Node
from cnnviz.reader.branches import read_if
from cnnviz.reader.loops import LOOPS, Reader
from cnnviz.reader.scope import Scope
from cnnviz.reader.sequences import SEQUENCES

__all__ = ["STRUCTURES"]

STRUCTURES: Dict[str, Callable[[Reader, Node, Dict[str, Any], Scope], None]] = {
    "If": read_if,
    **LOOPS,
    **SEQUENCES,
}
