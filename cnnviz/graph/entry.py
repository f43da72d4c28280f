"""The inputs of a graph: which of them are pictures, the order of their axes, the shapes of the others."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from cnnviz.graph.graph import Graph, Names, Node, Tensor, consumers
from cnnviz.graph.schema import SCHEMAS

Dims = Tuple[Optional[int], ...]
# The axes of signals, pictures and volumes, batch and channels included.
_RANKS = (3, 4, 5)
#: The kinds of inputs that a caller can name.
KINDS = ("picture", "array")


class ImageInput(NamedTuple):
    """The input of a network of pictures: its name, channels, and height and width, None where open.

    The size of a signal is its length, that of a volume depth, height and width.
    """

    name: str
    channels: int
    size: Dims


def with_pictures_first(graph: Graph, kinds: Mapping[str, str], name: str) -> Tuple[Graph, Dict[str, str]]:
    """Return a graph whose first input is the picture, and the kind of each input, in this order.

    All pictures are N,C,H,W: one that the file wants as N,H,W,C gets a Transpose.

    Parameters
    ----------
    graph : Graph
    kinds : mapping of str to str
        "picture" or "array" for inputs by name, as far as the caller says it. The first one that is named a
        picture is explained; without any, the first of four axes. Others of four axes and as many channels
        are pictures too.
    name : str
        The network's name in messages.

    Raises
    ------
    ValueError
        When an input or a kind does not exist, or no input can be the picture.
    """
    tensors = {tensor.name: tensor for tensor in graph.inputs}
    _check_kinds(kinds, list(tensors), name)
    likely = [one for one, tensor in tensors.items() if len(tensor.shape or ()) == 4]
    likely = likely or [one for one, tensor in tensors.items() if len(tensor.shape or ()) in _RANKS]
    likely = [one for one in likely if kinds.get(one) != "array"]
    marked = [one for one in kinds if kinds[one] == "picture"]
    first = next(iter((*marked, *(tensors if len(tensors) == 1 else likely))), None)
    if first is None:
        listed = ", ".join(f"{one} {shown(tensor.shape)}" for one, tensor in tensors.items())
        raise ValueError(f"{name} has the inputs {listed}, none of which is a picture N,C,H,W")
    for one in dict.fromkeys((first, *likely, *marked)):
        graph = _channels_first(graph, one)
    shapes = {tensor.name: tensor.shape or () for tensor in graph.inputs}
    alike = [one for one in likely if one not in kinds and _alike(shapes[one], shapes[first])]
    pictures = dict.fromkeys((first, *marked, *alike))
    ordered = sorted(graph.inputs, key=lambda tensor: tensor.name != first)
    found = {one.name: "picture" if one.name in pictures else "array" for one in ordered}
    return graph.replace(inputs=tuple(ordered)), found


def _alike(shape: Dims, picture: Dims) -> bool:
    return len(shape) == len(picture) and shape[1:2] == picture[1:2]


def _check_kinds(kinds: Mapping[str, str], inputs: List[str], name: str) -> None:
    for one, kind in kinds.items():
        if one not in inputs:
            known = ", ".join(map(repr, inputs))
            raise ValueError(f"inputs: {name} has no input {one!r}, only {known}")
        if kind not in KINDS:
            raise ValueError(f"inputs: {one!r} must be 'picture', 'array', or its numbers, not {kind!r}")


def _channels_first(graph: Graph, name: str) -> Graph:
    """Give a picture N,H,W,C or N,H,W the axes N,C,H,W, by a node behind it; signals and volumes alike."""
    tensor = next(tensor for tensor in graph.inputs if tensor.name == name)
    shape = tensor.shape
    if shape is None or len(shape) not in _RANKS:
        return graph
    if _has_no_channels(graph, name, shape):
        shape, op, attributes = (shape[0], 1, *shape[1:]), "Squeeze", {"axes": (1,)}
    elif _channels_last(graph, name, shape):
        op, attributes = "Transpose", {"perm": (0, *range(2, len(shape)), 1)}
        shape = (shape[0], shape[-1], *shape[1:-1])
    else:
        return graph
    taken = {name for node in graph.nodes for name in (node.name, *node.outputs)}
    inner = Names(taken | {one.name for one in graph.inputs}).fresh(f"{name}_as_in_the_file")
    before = Node(op, inner, (name,), (inner,), attributes)
    readers = tuple(
        node.replace(inputs=tuple(inner if one == name else one for one in node.inputs))
        for node in graph.nodes
    )
    image = Tensor(name, shape)
    inputs = tuple(image if one.name == name else one for one in graph.inputs)
    return graph.replace(inputs=inputs, nodes=(before, *readers))


def _channels_last(graph: Graph, name: str, shape: Dims) -> bool:
    """Whether an input of four axes has its channels last: one or three, or those that a convolution reads.

    Exporters of networks with the channels last write a Transpose before the first convolution.
    """
    if len(shape) == 4 and (shape[1] in (1, 3) or shape[3] is None):
        return False
    if len(shape) == 4 and shape[3] in (1, 3):
        return True
    found = _first_weights(graph, name)
    return found is not None and found.moved and found.channels == shape[-1] != shape[1]


def _has_no_channels(graph: Graph, name: str, shape: Dims) -> bool:
    """Whether an input is a grey picture N,H,W, which the network itself gives an axis of one channel."""
    readers = consumers(graph).get(name, [])
    if len(shape) != 3 or not readers or any(node.op != "Unsqueeze" for node in readers):
        return False
    found = _first_weights(graph, readers[0].outputs[0])
    return readers[0].attributes.get("axes") in ((1,), (-3,)) and found is not None and found == (1, False, 2)


def image_input(graph: Graph, name: str) -> ImageInput:
    """Return the first input of a graph as that of pictures.

    Channels that the file leaves open are those that the first convolution reads.

    Raises
    ------
    ValueError
        When it is neither a picture N,C,H,W nor a signal N,C,L nor a volume N,C,D,H,W; `name` is the
        network's in the message.
    """
    tensor = graph.inputs[0]
    shape = tensor.shape if tensor.shape is not None else (None, None, None, None)
    if len(shape) not in _RANKS:
        raise ValueError(
            f"{name}: input {tensor.name!r} has shape {shown(shape)}: pictures are N,C,H,W, signals N,C,L, "
            "volumes N,C,D,H,W"
        )
    found = None if shape[1] else _first_weights(graph, tensor.name)
    channels = shape[1] or (found.channels if found else 3 if len(shape) == 4 else 1)
    return ImageInput(tensor.name, channels, shape[2:])


def input_shapes(graph: Graph, shape: Tuple[int, ...]) -> Dict[str, Tuple[int, ...]]:
    """Return the shape of each input where the first one, the picture, has the shape given.

    Another input has a row for each image where `has_batch` says so; axes that the file leaves open are
    those of the picture, for an input of as many axes.

    Raises
    ------
    ValueError
        When the file leaves axes open which the picture does not settle.
    """
    found = {graph.inputs[0].name: shape}
    for tensor in graph.inputs[1:]:
        dims = list(tensor.shape or ())
        if has_batch(graph, tensor):
            dims[0] = shape[0]
        if len(dims) == len(shape):
            dims = [given if n is None else n for n, given in zip(dims, shape)]
        if tensor.shape is None or None in dims:
            raise ValueError(
                f"input {tensor.name!r} has shape {shown(tensor.shape)}: fix it to numbers of the shape "
                f"wanted, inputs={{{tensor.name!r}: array}}"
            )
        found[tensor.name] = tuple(n for n in dims if n is not None)
    return found


def has_batch(graph: Graph, tensor: Tensor) -> bool:
    """Whether an input has a row for each image: its first axis is open, or declared as the picture's is."""
    declared = (graph.inputs[0].shape or (None,))[0] or 1
    return (tensor.shape or (0,))[0] in (None, declared)


def shown(shape: Optional[Dims]) -> str:
    """Return a declared shape for messages, with "any" for open axes."""
    if shape is None:
        return "of any shape"
    return f"({', '.join('any' if n is None else str(n) for n in shape)})"


class _Reader(NamedTuple):
    """The first convolution of a picture: its channels, the axes permuted before it, its axes of places."""

    channels: int
    moved: bool
    axes: int


def _first_weights(graph: Graph, name: str) -> Optional[_Reader]:
    """The first convolution that reads the picture, None where no weights are found."""
    readers = consumers(graph)
    left, seen = [(name, False)], {name}
    while left:
        value, moved = left.pop(0)
        for node in readers.get(value, ()):
            weights = graph.constants.get(node.inputs[1]) if node.op == "Conv" else None
            if weights is not None and weights.ndim in _RANKS:
                channels = int(weights.shape[1]) * int(node.attributes["group"])
                return _Reader(channels, moved, weights.ndim - 2)
            axes = SCHEMAS[node.op].traits.axes
            if axes in ("keeps", "permutes"):
                left += [(out, moved or axes == "permutes") for out in node.outputs if out not in seen]
                seen.update(node.outputs)
    return None
