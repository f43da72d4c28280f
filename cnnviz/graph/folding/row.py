"""The row of an operator that is evaluated in advance, and the parts that rows are made of."""

from __future__ import annotations

import math
from typing import Any, Callable, NamedTuple, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import expanded

__all__ = ["Array", "Row", "Shape", "as_inputs", "broadcast", "nary", "plain"]

Array = NDArray[Any]
Shape = Tuple[int, ...]


class Row(NamedTuple):
    """One operator: its function of a node and the node's inputs, and the size of its result.

    `size` bounds the number of elements of all outputs from the inputs alone; in Python integers, which
    cannot overflow. Operators that work longer on an element than a few instructions count it more than once.
    """

    function: Callable[..., Union[Array, Tuple[Array, ...]]]
    size: Callable[..., int]


def as_inputs(node: Node, *inputs: Array) -> int:
    """The elements of all inputs together."""
    return sum(math.prod(array.shape) for array in inputs)


def broadcast(node: Node, *inputs: Array) -> int:
    """The elements of all inputs broadcast to one shape."""
    shape: Shape = ()
    for array in inputs:
        shape = expanded(shape, array.shape)
    return math.prod(shape)


def plain(function: Callable[..., Any]) -> Callable[..., Array]:
    """A NumPy function of the inputs alone."""
    return lambda node, *inputs: np.asarray(function(*inputs))


def nary(function: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    """A NumPy function of two arrays, applied from left to right to any number of inputs."""

    def folded(node: Node, *inputs: Array) -> Array:
        result = inputs[0]
        for array in inputs[1:]:
            result = np.asarray(function(result, array))
        return result

    return folded
