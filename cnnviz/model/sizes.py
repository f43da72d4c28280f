"""The size of a network's pictures: the caller's, the file's, or one that fits where it is open."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Callable, Iterator, List, Optional, Tuple, Union

import numpy as np

from cnnviz.errors import CnnvizError
from cnnviz.graph.entry import ImageInput
from cnnviz.graph.graph import Graph, Node, consumers
from cnnviz.graph.schema import SCHEMAS
from cnnviz.lowering.lower import Lowered
from cnnviz.model.metadata import preprocessing_in
from cnnviz.one_line import times
from cnnviz.pictures.preprocessing import Preprocessing, PreprocessingLike, as_preprocessing

Size = Tuple[int, ...]
#: A function from a size, and values to prune the graph to, to a plan that is not prepared.
Lower = Callable[..., Lowered]

#: The heights and widths that are tried, in this order, where the file leaves both open or one of them: first
#: that of ImageNet's networks.
USUAL = (224, 32, 28, 64, 96, 112, 128, 160, 192, 256, 299, 320, 384, 416, 448, 512, 640, 1024)
# The number and the names of the extents of signals, pictures and volumes.
_EXTENTS = {
    1: ("one positive integer in a tuple", ("length",)),
    2: ("two positive integers", ("height", "width")),
    3: ("three positive integers", ("depth", "height", "width")),
}
#: The largest number of sizes that are tried because a product behind a flattened map asks for them.
MOST_DERIVED = 8


def fed(
    graph: Graph,
    image: ImageInput,
    preprocessing: PreprocessingLike,
    size: Optional[Size],
    lower: Lower,
    name: str,
) -> Tuple[Preprocessing, Lowered]:
    """Return the preprocessing of a network, its size filled in, and a plan for one picture of that size.

    Parameters
    ----------
    graph : Graph
    image : ImageInput
    preprocessing, size
        The arguments of `cnnviz.load`.
    lower : callable (size, values=None) -> Lowered
    name : str
        The network's name in messages.

    Raises
    ------
    TypeError, ValueError
        When preprocessing or size do not fit the network or each other; when the file leaves the size open,
        and none that is tried fits.

    Warns
    -----
    UserWarning
        When the file leaves the size open, 224 does not fit, and another size is taken.
    """
    carried = preprocessing_in(graph.metadata) if preprocessing is None else preprocessing
    asked = _checked(size, image, name)
    if isinstance(carried, Preprocessing):
        if preprocessing is not None and asked and carried.size and asked != carried.size:
            raise ValueError(f"size is {asked}, but preprocessing.size is {carried.size}: give one of them")
        if carried.size and len(carried.size) != len(image.size):
            extents = ", ".join(_EXTENTS[len(image.size)][1])
            raise ValueError(f"preprocessing.size is {carried.size}, but {name} takes sizes ({extents},)")
        asked = asked or carried.size
        carried = replace(carried, size=asked)
    found, lowered = _fitting(graph, image, asked, lower, name)
    return as_preprocessing(carried, image.channels, found), lowered


def _checked(size: Optional[Size], image: ImageInput, name: str) -> Optional[Size]:
    """Return the caller's size as two integers, or raise when it is none or contradicts the file."""
    if size is None:
        return None
    numbers = tuple(size) if isinstance(size, (tuple, list)) else ()
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in numbers)
    if len(numbers) != len(image.size) or not whole or min(numbers) < 1:
        count, extents = _EXTENTS[len(image.size)]
        listed = " and ".join(extents)
        raise ValueError(f"size must be {count}, {listed}, not {size!r:.80}")
    asked = tuple(int(n) for n in numbers)
    if any(fixed not in (None, n) for n, fixed in zip(asked, image.size)):
        named = zip(_EXTENTS[len(image.size)][1], image.size)
        listed = " and ".join(f"{extent} {'any' if n is None else n}" for extent, n in named)
        raise ValueError(f"size is {asked}, but the file of {name} has {listed}")
    return asked


def _fitting(
    graph: Graph, image: ImageInput, asked: Optional[Size], lower: Lower, name: str
) -> Tuple[Size, Lowered]:
    declared = tuple(n for n in image.size if n is not None)
    if asked is None and len(declared) == len(image.size):
        return declared, lower(declared)
    if asked is None and len(image.size) != 2:
        extents = ", ".join(_EXTENTS[len(image.size)][1])
        raise ValueError(f"{name} leaves the size of its input open, {extents}: pass size=({extents},)")
    height, width = (None, None) if len(image.size) != 2 else image.size

    def filled(n: int) -> Size:
        return height or n, width or n

    first = asked or filled(USUAL[0])
    tried = _tried(graph, first, lower)
    if isinstance(tried, ValueError) and asked is not None:
        raise ValueError(f"{name} takes no pictures of {times(first)}: {tried}") from tried
    if asked is None and not (isinstance(tried, Lowered) and _keeps_rows(graph, tried)):
        for size in _candidates(graph, image, filled, lower, rows_only=isinstance(tried, Lowered)):
            other = _tried(graph, size, lower)
            if isinstance(other, Lowered) and (_keeps_rows(graph, other) or isinstance(tried, ValueError)):
                warnings.warn(_taken(name, first, size), stacklevel=5)
                return size, other
    if isinstance(tried, ValueError):
        raise ValueError(
            f"{name} leaves the size of its pictures open, and none of those tried fits, {times(first)} to "
            f"{times(filled(USUAL[-1]))}: pass size=(height, width). At {times(first)}: {tried}"
        ) from tried
    return first, tried


def _candidates(
    graph: Graph, image: ImageInput, filled: Callable[[int], Size], lower: Lower, *, rows_only: bool
) -> List[Size]:
    """The sizes to try after the first; `rows_only` where it fits, but makes several rows of a picture."""
    derived = _derived(graph, image, filled, lower)
    return derived if rows_only else [*derived, *map(filled, USUAL[1:])]


def _tried(graph: Graph, size: Size, lower: Lower) -> Union[Lowered, ValueError]:
    """Return a plan for one picture of a size, or the error of the node that does not take it."""
    try:
        return lower(size)
    except CnnvizError:
        raise  # the file is wrong, or needs what cnnviz does not have, whatever the size
    except ValueError as error:
        return error


def _keeps_rows(graph: Graph, lowered: Lowered) -> bool:
    """Whether the first axis of the output is that of the batch.

    A Reshape to (-1, K) takes every size whose map divides by K, and makes several rows of one picture.
    """
    output = lowered.values.get(graph.outputs[0].name)
    return output is None or tuple(lowered.plan.shape(output))[:1] in ((1,), ())


def _taken(name: str, first: Size, size: Size) -> str:
    return (
        f"{name} leaves the size of its pictures open: {times(first)} does not fit, {times(size)} does and "
        f"is taken; pass size={size} to choose it, or another"
    )


def _derived(graph: Graph, image: ImageInput, filled: Callable[[int], Size], lower: Lower) -> List[Size]:
    """The sizes at which the first flattened map has as many numbers as the network reads of it.

    The map's extent is taken for linear in the picture's, from two plans up to the map; strides leave a range
    of sizes, of which those that powers of two divide come first.
    """
    for value, count in _flattened(graph):
        try:
            small, large = (_map_shape(lower, filled(n), value) for n in (USUAL[0], 2 * USUAL[0]))
        except ValueError:
            return []
        axis = 3 if image.size[0] is not None else 2
        if len(small) != 4 or large[axis] <= small[axis] or count % small[1]:
            continue
        cells = count // small[1]
        both = image.size == (None, None)
        extent = math.isqrt(cells) if both else cells // small[5 - axis]
        step = USUAL[0] / (large[axis] - small[axis])
        middle = USUAL[0] + (extent - small[axis]) * step
        near = [n for n in range(math.ceil(middle - step), math.floor(middle + step) + 1) if n > 0]
        ranked = sorted(near, key=lambda n: (-math.gcd(n, 32), abs(n - middle)))
        return [filled(n) for n in ranked[:MOST_DERIVED]]
    return []


def _flattened(graph: Graph) -> Iterator[Tuple[str, int]]:
    """The values that are reshaped, each with the elements that it must have for one picture."""
    readers = consumers(graph)
    for node in graph.nodes:
        if SCHEMAS[node.op].traits.axes != "reshapes":
            continue
        target = node.attributes.get("shape") or ()
        if len(target) > 1 and min(target[1:]) > 0:
            yield node.inputs[0], math.prod(target[1:])
        for reader in readers.get(node.outputs[0], ()):
            rows = _rows_of_weights(graph, reader)
            if rows:
                yield node.inputs[0], rows


def _rows_of_weights(graph: Graph, node: Node) -> int:
    """The length of the rows that a product with constants reads, 0 for other nodes."""
    traits = SCHEMAS[node.op].traits
    weights = None if traits.weights is None else graph.constants.get(node.inputs[traits.weights])
    if traits.axes != "multiplies" or weights is None or weights.ndim != 2:
        return 0
    return int(weights.shape[1 if node.attributes.get("transB") else 0])


def _map_shape(lower: Lower, size: Size, value: str) -> Tuple[int, ...]:
    lowered = lower(size, (value,))
    return tuple(lowered.plan.shape(lowered.values[value]))
