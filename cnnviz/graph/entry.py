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
    shape = graph.inputs[0].shape if len(graph.inputs) == 1 else None
    if shape is None or len(shape) != 4 or shape[1] in (1, 3) or shape[3] not in (1, 3):
        return graph
    inner = graph.inputs[0].name
    taken = {name for node in graph.nodes for name in (node.name, *node.outputs)} | {inner}
    outer = Names(taken).fresh(f"{inner}_channels_first")
    transpose = Node("Transpose", outer, (outer,), (inner,), {"perm": (0, 2, 3, 1)})
    image = Tensor(outer, (shape[0], shape[3], shape[1], shape[2]))
    return graph.replace(inputs=(image,), nodes=(transpose, *graph.nodes))


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
    channels = shape[1] or _channels_of_weights(graph, tensor.name) or 3
    if channels not in (1, 3):
        raise ValueError(f"{name}: input {tensor.name!r} has {channels} channels, pictures have 1 or 3")
    return ImageInput(tensor.name, channels, (shape[2], shape[3]))


def _channels_of_weights(graph: Graph, name: str) -> Optional[int]:
    """The channels that the first convolution of the picture reads, None where its weights do not say."""
    readers = consumers(graph)
    left, seen = [name], {name}
    while left:
        for node in readers.get(left.pop(0), ()):
            weights = graph.constants.get(node.inputs[1]) if node.op == "Conv" else None
            if weights is not None and weights.ndim == 4:
                return int(weights.shape[1]) * int(node.attributes["group"])
            if SCHEMAS[node.op].traits.axes in ("keeps", "permutes"):
                left += [out for out in node.outputs if out not in seen]
                seen.update(node.outputs)
    return None
