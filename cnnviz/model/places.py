"""The layers that are still maps of the picture: N,C,H,W, whose last two axes are rows and columns."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Optional, Tuple

from cnnviz.graph.graph import Node
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.model import Model

Shape = Tuple[int, ...]


class _Axes(NamedTuple):
    """The axes of a value: `order` says which of N,C,H,W each axis is.

    After a change of shape, the axes are unknown until the shape is `folded` again, the one before it.
    """

    order: Tuple[int, ...] = (0, 1, 2, 3)
    folded: Shape = ()


def layers_with_places(model: Model) -> List[str]:
    """Return the layers N,C,H,W whose last two axes are rows and columns of the picture, first to last.

    A shape of four axes is not enough: behind a Transpose the axes may be N,H,W,C, and in attention they are
    pairs of places. So the axes are followed from the input; behind an operator that mixes them, no layer is
    a map until the next convolution or pool.
    """
    known = {model.input_name: _Axes()}
    for node in model.graph.nodes:
        axes = _axes(node, known, model.layers)
        if axes is not None:
            known.update((name, axes) for name in node.outputs if name)
    return [name for name in model.layers if known.get(name) == _Axes()]


def _axes(node: Node, known: Mapping[str, _Axes], shapes: Mapping[str, Shape]) -> Optional[_Axes]:
    """The axes of a node's output, None where they are no longer the picture's."""
    rule = SCHEMAS[node.op].traits.axes
    shape = shapes.get(next(filter(None, node.outputs)), ())
    if rule == "picture":
        return _Axes() if len(shape) == 4 else None
    found = [known[name] for name in node.inputs if name in known]
    if not found:
        return None
    axes = next((one for one in found if not one.folded), found[0])
    if rule == "reshapes":
        folded = axes.folded or shapes.get(node.inputs[0], ())
        return axes._replace(folded=() if shape == folded else folded) if folded else None
    if rule == "keeps":
        return axes if axes.folded or len(shape) == 4 else None
    if axes.folded:
        return None
    if rule == "permutes":
        return _Axes(tuple(axes.order[axis] for axis in node.attributes["perm"] or (3, 2, 1, 0)))
    if rule == "joins":
        return axes if axes.order[node.attributes["axis"]] == 1 else None
    return None
