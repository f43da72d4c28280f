"""The input of a graph as a picture: the value, the number of its channels, the order of its axes."""

from __future__ import annotations

from typing import Tuple

from cnnviz.graph.graph import Graph, Names, Node, Tensor

#: The height and width that are assumed where the file leaves them open: those of ImageNet's networks.
USUAL_SIZE = 224


def channels_first(graph: Graph) -> Graph:
    """Give a network that wants N,H,W,C an input N,C,H,W, by a Transpose in front."""
    shape = graph.inputs[0].shape if len(graph.inputs) == 1 else None
    if shape is None or len(shape) != 4 or shape[1] in (1, 3) or shape[3] not in (1, 3):
        return graph
    inner = graph.inputs[0].name
    taken = {name for node in graph.nodes for name in (node.name, *node.outputs)} | {inner}
    outer = Names(taken).fresh(f"{inner}_channels_first")
    transpose = Node("Transpose", outer, (outer,), (inner,), {"perm": (0, 2, 3, 1)})
    image = Tensor(outer, (shape[0], shape[3], shape[1], shape[2]))
    return graph.replace(inputs=(image,), nodes=(transpose, *graph.nodes))


def image_input(graph: Graph, name: str) -> Tuple[str, int, Tuple[int, int]]:
    """Return the input's name, its channels, and its height and width, USUAL_SIZE where they are free."""
    if len(graph.inputs) != 1:
        names = ", ".join(tensor.name for tensor in graph.inputs)
        raise ValueError(
            f"{name} has {len(graph.inputs)} inputs ({names}): cnnviz explains networks of one image"
        )
    tensor = graph.inputs[0]
    shape = tensor.shape if tensor.shape is not None else (None, 3, None, None)
    if len(shape) != 4:
        raise ValueError(f"{name}: input {tensor.name!r} has shape {shape}, an image batch is N,C,H,W")
    channels = shape[1] or 3
    if channels not in (1, 3):
        raise ValueError(f"{name}: input {tensor.name!r} has {channels} channels, pictures have 1 or 3")
    return tensor.name, channels, (shape[2] or USUAL_SIZE, shape[3] or USUAL_SIZE)
