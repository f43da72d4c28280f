"""The rules of axes: how the axes of an operator's result follow from those of its inputs."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Graph, Node
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.axes import CHANNELS, LOST, PLACES, Axis, Part, fresh, picture_axes, reshaped, stretched

__all__ = ["RULES", "Axes", "axes_of"]

Axes = Tuple[Axis, ...]
Shape = Tuple[int, ...]


class _Call(NamedTuple):
    """A node: the axes of each input (None for a constant or an absent one), and the shape of an output.

    `start` is the first entry of an output of several, and `picked` the constant indices of a Gather.
    """

    node: Node
    inputs: List[Optional[Axes]]
    shape: Shape
    start: int
    picked: Optional[NDArray[Any]]

    @property
    def first(self) -> Axes:
        return next(axes for axes in self.inputs if axes is not None)


def axes_of(graph: Graph, inputs: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> Dict[str, Axes]:
    """Return the axes of each value that depends on the network's inputs.

    Parameters
    ----------
    graph : Graph
    inputs, shapes : mapping of str to tuple of int
        The shapes of inputs and of layers for one picture.
    """
    known = {name: picture_axes(shape) for name, shape in inputs.items()}
    for node in graph.nodes:
        given = [known.get(name) for name in node.inputs]
        if not any(axes is not None for axes in given):
            continue
        index = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        start, along = 0, node.attributes.get("axis") if len(node.outputs) > 1 else None
        for name in node.outputs:
            if name in shapes:
                shape = tuple(shapes[name])
                known[name] = _result(_Call(node, given, shape, start, index))
                start += 0 if along is None else shape[along]
    return known


def _result(call: _Call) -> Axes:
    axes = tuple(RULES[SCHEMAS[call.node.op].traits.axes](call))
    if tuple(axis.extent for axis in axes) != call.shape:
        return _lost(call)
    return axes


def _lost(call: _Call) -> Axes:
    return tuple(fresh(LOST, extent) for extent in call.shape)


def _rank(axis: Axis) -> int:
    """Of axes that broadcast against each other, the first in this order says what the result's axis is."""
    return 0 if axis.has_places else 2 if axis.is_lost else 1


def _broadcast(call: _Call) -> Axes:
    """An operator on each element: an axis of the result is the inputs' axis of its extent."""
    found = []
    for back, extent in enumerate(reversed(call.shape), start=1):
        here = [axes[-back] for axes in call.inputs if axes is not None and len(axes) >= back]
        alike = [axis for axis in here if axis.extent == extent]
        found.append(min(alike, key=_rank) if alike else fresh(LOST, extent))
    return tuple(reversed(found))


def _keeps(call: _Call) -> Axes:
    """An operator on each element, or one that cuts or stretches axes."""
    alone = [axes for axes in call.inputs if axes is not None]
    if len(alone) > 1 or len(alone[0]) != len(call.shape):
        return _broadcast(call)
    starts = _starts(call, len(call.shape))
    return tuple(_cut(axis, start, extent) for axis, start, extent in zip(alone[0], starts, call.shape))


def _starts(call: _Call, rank: int) -> List[Optional[int]]:
    """The first entry that a cut takes of each axis, None where it is not known."""
    attributes = call.node.attributes
    if len(call.node.outputs) > 1 and "axis" in attributes:
        return [call.start if i == attributes["axis"] % rank else 0 for i in range(rank)]
    starts = attributes.get("starts")
    if starts is None:
        return [None] * rank
    chosen = attributes.get("axes")
    at = {axis % rank: start for axis, start in zip(range(rank) if chosen is None else chosen, starts)}
    return [at.get(i, 0) for i in range(rank)]


def _cut(axis: Axis, start: Optional[int], extent: int) -> Axis:
    """An axis from an entry on; the entries before and after the places may be left out."""
    inside = axis.extent - axis.before - axis.after
    if extent == inside and start is not None and start % axis.extent == axis.before:
        return Axis(axis.parts)
    return stretched(axis, extent)


def _picture(call: _Call) -> Axes:
    """A window over the picture: its places stay places. In N,C,H,W, all other axes become such."""
    given = call.inputs[0]
    if given is None or len(given) != len(call.shape):
        return _lost(call)
    usual = picture_axes(call.shape)
    return (*usual[:2], *(_windowed(call, *both) for both in zip(given[2:], usual[2:])))


def _windowed(call: _Call, before: Axis, usual: Axis) -> Axis:
    if before.parts and all(part.of in PLACES for part in before.parts):
        return stretched(before, usual.extent)
    return usual if len(call.shape) == 4 else fresh(LOST if before.is_lost else CHANNELS, usual.extent)


def _permuted(call: _Call) -> Axes:
    order = call.node.attributes["perm"] or range(len(call.shape))[::-1]
    return tuple(call.first[axis] for axis in order)


def _joined(call: _Call) -> Axes:
    """Concat: entries before and after an axis of places, pieces of one axis, or channels."""
    at = call.node.attributes["axis"] % len(call.shape)
    moving = [axes for axes in call.inputs if axes is not None]
    others = [min((axes[i] for axes in moving), key=_rank) for i in range(len(call.shape))]
    placed = [axes[at] for axes in moving if axes[at].has_places]
    if len(placed) == 1 < len(call.inputs):
        others[at] = _with_extra(call, at, placed[0])
    elif len(placed) > 1:
        alike = {stretched(axis, 2) for axis in placed if len(axis.parts) == 1}
        whole = len(alike) == 1 and len(placed) == len(call.inputs)
        others[at] = fresh(next(iter(alike)).parts[0].of if whole else LOST, call.shape[at])
    elif len(call.inputs) > 1:
        lost = any(axes[at].is_lost for axes in moving)
        others[at] = fresh(LOST if lost else CHANNELS, call.shape[at])
    return tuple(others)


def _with_extra(call: _Call, at: int, placed: Axis) -> Axis:
    """The axis of places with the entries of the other operands; theirs are as many as are left over."""
    operand = next(i for i, axes in enumerate(call.inputs) if axes is not None and axes[at] == placed)
    more = call.shape[at] - placed.extent
    if operand not in (0, len(call.inputs) - 1):
        return fresh(LOST, call.shape[at])
    return placed._replace(
        before=placed.before + (more if operand else 0), after=placed.after + (0 if operand else more)
    )


def _product(call: _Call) -> Axes:
    """MatMul and Gemm: rows of the first operand, columns of the second."""
    first, second = (_matrix(call, i) for i in (0, 1))
    lead = call._replace(
        inputs=[axes[:-2] if axes is not None else None for axes in (first, second)], shape=call.shape[:-2]
    )
    if min(len(axes) for axes in (first, second) if axes is not None) < 2:
        return _lost(call)
    row = first[-2] if first is not None else fresh(CHANNELS, call.shape[-2])
    column = second[-1] if second is not None else fresh(CHANNELS, call.shape[-1])
    return (*_broadcast(lead), row, column)


def _matrix(call: _Call, operand: int) -> Optional[Axes]:
    axes = call.inputs[operand]
    turned = call.node.op == "Gemm" and call.node.attributes[("transA", "transB")[operand]]
    return axes[::-1] if turned and axes is not None else axes


def _einsum(call: _Call) -> Axes:
    terms, _, result = str(call.node.attributes["equation"]).replace(" ", "").partition("->")
    found: Dict[str, Axis] = {}
    for term, axes in zip(terms.split(","), call.inputs):
        for letter, axis in zip(term, axes or ()):
            if letter not in found or _rank(axis) < _rank(found[letter]):
                found[letter] = axis
    known = "." not in terms and len(result) == len(call.shape)
    if not known:
        return _lost(call)
    return tuple(found.get(one, fresh(CHANNELS, extent)) for one, extent in zip(result, call.shape))


def _reduced(call: _Call) -> Axes:
    axes, chosen = call.first, call.node.attributes.get("axes")
    gone = range(len(axes)) if chosen is None else {axis % len(axes) for axis in chosen}
    if len(axes) == len(call.shape):
        return tuple(Axis() if i in gone else axis for i, axis in enumerate(axes))
    return tuple(axis for i, axis in enumerate(axes) if i not in gone)


def _picked(call: _Call) -> Axes:
    """One entry of an axis, or several: in even steps they are a part of it, in a table of such steps two."""
    axes = call.inputs[0]
    if axes is None:
        return _lost(call)
    at = call.node.attributes["axis"] % len(axes)
    new = call.shape[at : len(call.shape) - (len(axes) - at - 1)]
    of = CHANNELS if axes[at].parts and not axes[at].has_places else LOST
    picked = _steps(axes[at], call.picked, new) or tuple(fresh(of, extent) for extent in new)
    return (*axes[:at], *picked, *axes[at + 1 :])


def _steps(axis: Axis, index: Optional[NDArray[Any]], shape: Shape) -> Optional[Axes]:
    """The axes of the entries `index` of an axis of places: windows side by side, as Unfold cuts them out.

    A table of indices has one step along each of its axes; the larger one goes from window to window, the
    smaller one within a window, whose places are channels where windows overlap.
    """
    if len(axis.parts) != 1 or not axis.parts[0].spans or index is None or index.shape != shape:
        return None
    if not 0 < index.ndim < 3 or min(shape) < 2:
        return None
    steps = [int(index.flat[index.strides[i] // index.itemsize] - index.flat[0]) for i in range(index.ndim)]
    even = index.flat[0] + sum(step * place for step, place in zip(steps, np.indices(shape)))
    if min(steps) < 1 or not np.array_equal(index, even):
        return None
    far = int(np.argmax(steps))
    whole = steps[far] * shape[far]
    exact = math.prod(shape) == whole and min(steps) == 1
    inner = Part(axis.parts[0].of, whole // shape[far], 1, whole) if exact else None
    found = [fresh(CHANNELS, extent) if inner is None else Axis((inner,)) for extent in shape]
    found[far] = Axis((Part(axis.parts[0].of, shape[far], steps[far], whole),))
    return tuple(found)


RULES: Mapping[str, Callable[[_Call], Sequence[Axis]]] = {
    "keeps": _keeps,
    "picture": _picture,
    "reshapes": lambda call: reshaped(call.first, call.shape),
    "permutes": _permuted,
    "joins": _joined,
    "spreads": _broadcast,
    "reduces": _reduced,
    "picks": _picked,
    "multiplies": _product,
    "sums": _einsum,
    "mixes": _lost,
}
