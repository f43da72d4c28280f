"""The input of a graph as a picture: the value, the number of its channels, the order of its axes."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from cnnviz.graph.graph import Graph, Names, Node, Tensor, consumers
from cnnviz.graph.schema import SCHEMAS


class ImageInput(NamedTuple):
    """The input of a network of pictures: its name, channels, and height and width, None where open."""

    name: str
    channels: int
    size: Tuple[Optional[int], Optional[int]]


def channels_first(graph: Graph) -> Graph:
    """Give a network that wants N,H,W,C an input N,C,H,W, by a Transpose in front."""
    tensor = graph.inputs[0] if len(graph.inputs) == 1 else None
    shape = None if tensor is None else tensor.shape
    if tensor is None or shape is None or len(shape) != 4 or not _channels_last(graph, tensor.name, shape):
        return graph
    inner = tensor.name
    taken = {name for node in graph.nodes for name in (node.name, *node.outputs)} | {inner}
    outer = Names(taken).fresh(f"{inner}_channels_first")
    transpose = Node("Transpose", outer, (outer,), (inner,), {"perm": (0, 2, 3, 1)})
    image = Tensor(outer, (shape[0], shape[3], shape[1], shape[2]))
    return graph.replace(inputs=(image,), nodes=(transpose, *graph.nodes))


def _channels_last(graph: Graph, name: str, shape: Tuple[Optional[int], ...]) -> bool:
    """Whether an input of four axes has its channels last: one or three, or those that a convolution reads.

    Exporters of networks with the channels last write a Transpose before the first convolution.
    """
    if shape[1] in (1, 3) or shape[3] is None:
        return False
    if shape[3] in (1, 3):
        return True
    found = _first_weights(graph, name)
    return found is not None and found.moved and found.channels == shape[3] != shape[1]


def image_input(graph: Graph, name: str) -> ImageInput:
    """Return the input of a graph as that of pictures.

    Channels that the file leaves open are those that the first convolution reads.

    Raises
    ------
    ValueError
        When the graph has several inputs, or one that is no picture; `name` is the network's in the message.
    """
    if len(graph.inputs) != 1:
        names = ", ".join(tensor.name for tensor in graph.inputs)
        raise ValueError(
            f"{name} has {len(graph.inputs)} inputs ({names}): cnnviz explains networks of one image"
        )
    tensor = graph.inputs[0]
    shape = tensor.shape if tensor.shape is not None else (None, None, None, None)
    if len(shape) != 4:
        raise ValueError(f"{name}: input {tensor.name!r} has shape {shape}, an image batch is N,C,H,W")
    found = None if shape[1] else _first_weights(graph, tensor.name)
    channels = shape[1] or (found.channels if found else 3)
    return ImageInput(tensor.name, channels, (shape[2], shape[3]))


class _Reader(NamedTuple):
    """The first convolution of a picture: its input channels, and whether axes are permuted before it."""

    channels: int
    moved: bool


def _first_weights(graph: Graph, name: str) -> Optional[_Reader]:
    """The first convolution that reads the picture, None where no weights are found."""
    readers = consumers(graph)
    left, seen = [(name, False)], {name}
    while left:
        value, moved = left.pop(0)
        for node in readers.get(value, ()):
            weights = graph.constants.get(node.inputs[1]) if node.op == "Conv" else None
            if weights is not None and weights.ndim == 4:
                return _Reader(int(weights.shape[1]) * int(node.attributes["group"]), moved)
            axes = SCHEMAS[node.op].traits.axes
            if axes in ("keeps", "permutes"):
                left += [(out, moved or axes == "permutes") for out in node.outputs if out not in seen]
                seen.update(node.outputs)
    return None
