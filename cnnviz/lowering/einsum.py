"""Lowering of Einsum to sums, transposes, reshapes and matrix products, two operands at a time."""

from __future__ import annotations

import math
import string
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS"]


class _Operand(NamedTuple):
    """A value of the plan, and a label for each of its axes."""

    value: int
    labels: str


def _terms(equation: str, ndims: Sequence[int]) -> Tuple[List[str], str]:
    """The labels of each operand and of the output; an ellipsis becomes the labels 0, 1, ... of its axes."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"equation {equation!r} has {len(terms)} terms for {len(ndims)} inputs")
    letters = [term.replace("...", "") for term in terms]
    rests = [ndim - len(own) if "..." in term else 0 for term, own, ndim in zip(terms, letters, ndims)]
    most = max(rests)
    found = []
    for term, own, rest, ndim in zip(terms, letters, rests, ndims):
        if rest < 0 or len(own) + rest != ndim:
            raise ValueError(f"term {term!r} of equation {equation!r} does not fit {ndim} dimensions")
        found.append(term.replace("...", string.digits[most - rest : most]))
    if arrow:
        output = right.replace("...", string.digits[:most])
    else:
        output = string.digits[:most] + "".join(
            sorted(c for c in set("".join(letters)) if left.count(c) == 1)
        )
    _check(equation, [*letters, right.replace("...", "")], found, output)
    return found, output


def _check(equation: str, letters: Sequence[str], terms: Sequence[str], output: str) -> None:
    if any(c not in string.ascii_letters for c in "".join(letters)):
        raise ValueError(f"equation {equation!r} has labels that are no letters")
    if any(c not in "".join(terms) for c in output) or len(set(output)) < len(output):
        raise ValueError(f"output {output!r} of equation {equation!r} repeats or invents a label")


def _summed(low: Lowering, name: str, x: _Operand, kept: str) -> _Operand:
    """The operand summed over the labels that are not kept."""
    axes = [axis for axis, label in enumerate(x.labels) if label not in kept]
    if not axes:
        return x
    labels = "".join(label for label in x.labels if label in kept)
    return _Operand(low.plan.reduce_sum(x.value, axes=axes, keepdims=False, name=name), labels)


def _extents(low: Lowering, x: _Operand) -> Dict[str, int]:
    return dict(zip(x.labels, low.plan.shape(x.value)))


def _narrowed(low: Lowering, name: str, x: _Operand, other: _Operand) -> _Operand:
    """The operand without those axes of its ellipsis that broadcast to the other's."""
    mine, theirs = _extents(low, x), _extents(low, other)
    wide = [c for c in x.labels if not (c.isdigit() and mine[c] == 1 and theirs.get(c, 1) > 1)]
    return _summed(low, name, x, "".join(wide))


def _ordered(low: Lowering, name: str, x: _Operand, labels: str) -> int:
    """The operand's value with its axes in another order."""
    perm = [x.labels.index(label) for label in labels]
    if perm == list(range(len(perm))):
        return x.value
    return low.plan.transpose(x.value, perm=perm, name=name)


def _product(low: Lowering, name: str, a: _Operand, b: _Operand, kept: str) -> _Operand:
    """The sum of products over the labels that both have and that are not kept, as a matrix product."""
    a, b = _narrowed(low, name, a, b), _narrowed(low, name, b, a)
    a, b = _summed(low, name, a, kept + b.labels), _summed(low, name, b, kept + a.labels)
    extents = _extents(low, a)
    for label, n in _extents(low, b).items():
        if extents.setdefault(label, n) != n:
            raise ValueError(f"label {label!r} stands for {extents[label]} and for {n} elements")
    both = "".join(label for label in a.labels if label in b.labels)
    batch = "".join(label for label in both if label in kept)
    inner = "".join(label for label in both if label not in kept)
    rows = "".join(label for label in a.labels if label not in both)
    columns = "".join(label for label in b.labels if label not in both)

    # Three axes even for one matrix: every batch of images then runs the same kernel and has the same bits.
    def matrix(x: _Operand, *groups: str) -> int:
        shape = [math.prod(extents[label] for label in group) for group in groups]
        value = _ordered(low, name, x, "".join(groups))
        return low.plan.reshape(value, shape=shape, name=name)

    y = low.plan.matmul(matrix(a, batch, rows, inner), matrix(b, batch, inner, columns), name=name)
    labels = batch + rows + columns
    return _Operand(low.plan.reshape(y, shape=[extents[c] for c in labels], name=name), labels)


def _einsum(low: Lowering, node: Node) -> int:
    values = [low.id(name) for name in node.inputs]
    terms, output = _terms(node.attributes["equation"], [len(low.plan.shape(value)) for value in values])
    if any(len(set(term)) < len(term) for term in terms):
        raise UnsupportedModelError(
            f"node {node.name!r} (Einsum): equation {node.attributes['equation']!r} takes a diagonal",
            ["Einsum"],
        )
    y = _Operand(values[0], terms[0])
    for i, value in enumerate(values[1:], 1):
        y = _product(low, node.name, y, _Operand(value, terms[i]), "".join([output, *terms[i + 1 :]]))
    return _ordered(low, node.name, _summed(low, node.name, y, output), output)


ROWS: Dict[str, Callable[[Lowering, Node], int]] = {"Einsum": _einsum}
