"""Nodes whose inputs are known, evaluated with NumPy.

Exporters surround Reshape and Resize with small integer arithmetic on shapes, and spell constants in several
nodes. No such node reaches a plan: rewriting evaluates nodes of constants, lowering nodes of shapes.
"""

from __future__ import annotations

import math
from typing import Dict, Sequence, Tuple

import numpy as np

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.folding.elementwise import BOOL, INT_TYPES
from cnnviz.graph.folding.elementwise import ROWS as ELEMENTWISE
from cnnviz.graph.folding.indexing import ROWS as INDEXING
from cnnviz.graph.folding.movement import RESHAPES, eye_like, shape_of
from cnnviz.graph.folding.movement import ROWS as MOVEMENT
from cnnviz.graph.folding.quantize import ROWS as QUANTIZE
from cnnviz.graph.folding.row import Array, Row, Shape
from cnnviz.graph.folding.sums import ROWS as SUMS
from cnnviz.graph.graph import Node

__all__ = ["BOOL", "INT_TYPES", "RESHAPES", "Budget", "can_evaluate", "evaluate", "shape_value"]

_ROWS: Dict[str, Row] = {**ELEMENTWISE, **INDEXING, **MOVEMENT, **QUANTIZE, **SUMS}

# The limit for the elements evaluated for one graph: 1 GiB at four bytes each. The largest constant of a
# known network is VGG's first linear layer, two fifths of that.
MAX_ELEMENTS = 1 << 28


class Budget:
    """A bound on the elements that all evaluations of one graph make together."""

    def __init__(self, elements: int = MAX_ELEMENTS) -> None:
        self._left = elements

    def spend(self, elements: int, node: Node) -> None:
        """Take elements that a node is about to make, or raise."""
        if elements > self._left:
            raise ModelFormatError(
                f"node {node.name!r} ({node.op}) makes {elements} elements; "
                f"at most {MAX_ELEMENTS} are computed in advance"
            )
        self._left -= elements


def can_evaluate(node: Node) -> bool:
    """Whether `evaluate` knows the node's operator."""
    return node.op in _ROWS


def evaluate(node: Node, inputs: Sequence[Array], budget: Budget) -> Tuple[Array, ...]:
    """The outputs of a node, float32 or int64, read-only.

    Raises
    ------
    ModelFormatError
        The node cannot be computed from these inputs, or its result is larger than the budget.
    """
    try:
        row = _ROWS[node.op]
        budget.spend(row.size(node, *inputs), node)
        with np.errstate(all="ignore"):
            result = row.function(node, *inputs)
    except (ModelFormatError, UnsupportedModelError):
        raise
    except (ValueError, IndexError, OverflowError, TypeError, ZeroDivisionError) as error:
        raise ModelFormatError(f"node {node.name!r} ({node.op}): {error}") from None
    return tuple(_constant(array) for array in (result if isinstance(result, tuple) else (result,)))


def shape_value(node: Node, shape: Shape, budget: Budget) -> Array:
    """The result of a node that reads only the shape of its input, for an activation of this shape."""
    if node.op == "EyeLike":
        budget.spend(math.prod(shape), node)
        return _constant(eye_like(node, shape))
    return _constant(shape_of(node, shape))


def _constant(array: Array) -> Array:
    """The array as a graph holds it: float32 or int64, C-contiguous, read-only."""
    kind = np.float32 if array.dtype.kind == "f" else np.int64
    plain: Array = np.ascontiguousarray(array, kind).reshape(array.shape)  # undoes 0-d -> 1-d
    if plain.flags.writeable:
        plain = plain.view()
        plain.flags.writeable = False
    return plain
