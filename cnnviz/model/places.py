"""Which layers of a network are still maps of the picture: N,C,H,W, the last two axes being places."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Optional, Tuple

from cnnviz.graph.graph import Node
from cnnviz.model.model import Model

Shape = Tuple[int, ...]

#: What these make of four axes is N,C,H,W, by their definition.
_PICTURES = frozenset(
    {"AveragePool", "Conv", "DepthToSpace", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "SpaceToDepth"}
)
#: These change numbers or cut and stretch axes, but leave each axis what it was.
_KEEPING = frozenset({
    "Abs", "Add", "BatchNormalization", "Cast", "Clip", "Div", "Dropout", "Elu", "Erf", "Exp", "Gelu",
    "GroupNormalization", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LRN",
    "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "Max", "Mean", "Min", "Mish", "Mul", "Neg",
    "PRelu", "Pad", "Pow", "Reciprocal", "Relu", "Resize", "Selu", "Sigmoid", "Slice", "Softmax", "Softplus",
    "Split", "Sqrt", "Sub", "Sum", "Swish", "Tanh",
})  # fmt: skip
#: The same numbers in the same order: whoever goes back to the old shape has the old axes.
_RESHAPING = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})


class _Axes(NamedTuple):
    """For each axis of a value, which of N,C,H,W it is; `folded` is the shape that a Reshape left."""

    order: Tuple[int, ...] = (0, 1, 2, 3)
    folded: Shape = ()


def layers_with_places(model: Model) -> List[str]:
    """Return the layers N,C,H,W whose last two axes are rows and columns of the picture, first to last.

    Four axes alone do not say so: behind a Transpose they may be N,H,W,C, and in attention they are pairs of
    places. So the axes are followed from the input; where an operator mixes them, nothing is a map until the
    next convolution or pool.
    """
    known = {model.input_name: _Axes()}
    for node in model.graph.nodes:
        axes = _axes(node, known, model.layers)
        if axes is not None:
            known.update((name, axes) for name in node.outputs if name)
    return [name for name in model.layers if known.get(name) == _Axes()]


def _axes(node: Node, known: Mapping[str, _Axes], shapes: Mapping[str, Shape]) -> Optional[_Axes]:
    """The axes of what a node makes, None where they are no longer the picture's."""
    shape = shapes.get(next(filter(None, node.outputs)), ())
    if node.op in _PICTURES:
        return _Axes() if len(shape) == 4 else None
    found = [known[name] for name in node.inputs if name in known]
    if not found:
        return None
    axes = next((one for one in found if not one.folded), found[0])
    if node.op in _RESHAPING:
        folded = axes.folded or shapes.get(node.inputs[0], ())
        return axes._replace(folded=() if shape == folded else folded) if folded else None
    if node.op in _KEEPING:
        return axes if axes.folded or len(shape) == 4 else None
    if axes.folded:
        return None
    if node.op == "Transpose":
        return _Axes(tuple(axes.order[axis] for axis in node.attributes["perm"] or (3, 2, 1, 0)))
    if node.op == "Concat":
        return axes if axes.order[node.attributes["axis"]] == 1 else None
    return None
