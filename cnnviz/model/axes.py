"""The axes of values: which of the picture's batch, channels, rows and columns each axis is."""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from cnnviz.graph.graph import Graph, Node
from cnnviz.graph.schema import SCHEMAS

Shape = Tuple[int, ...]


class Axes(NamedTuple):
    """The axes of a value: `order` says which of N,C,H,W each axis is.

    After a change of shape, the axes are unknown until the shape is `folded` again, the one before it.
    """

    order: Tuple[int, ...] = (0, 1, 2, 3)
    folded: Shape = ()


#: The axes of a picture, and of a layer that is a map of it.
PICTURE = Axes()


def axes_of(graph: Graph, image: str, shapes: Mapping[str, Shape]) -> Dict[str, Axes]:
    """Return the axes of the values whose axes are the picture's, followed from the input `image`.

    Behind an operator that mixes them, no value has such axes until the next convolution or pool.
    """
    known = {image: PICTURE}
    for node in graph.nodes:
        axes = _axes(node, known, shapes)
        if axes is not None:
            known.update((name, axes) for name in node.outputs if name)
    return known


def _axes(node: Node, known: Mapping[str, Axes], shapes: Mapping[str, Shape]) -> Optional[Axes]:
    """The axes of a node's output, None where they are no longer the picture's."""
    rule = SCHEMAS[node.op].traits.axes
    shape = shapes.get(next(filter(None, node.outputs)), ())
    if rule == "picture":
        return Axes() if len(shape) == 4 else None
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
        return Axes(tuple(axes.order[axis] for axis in node.attributes["perm"] or (3, 2, 1, 0)))
    if rule == "joins":
        return axes if axes.order[node.attributes["axis"]] == 1 else None
    return None
