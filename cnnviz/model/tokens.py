"""Tokens as places: the layers N,T,C of vision transformers and mixers, whose tokens lie on a grid."""

from __future__ import annotations

import math
from typing import AbstractSet, List, NamedTuple, Optional, Set, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import ancestors
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.model import Model
from cnnviz.model.places import layers_with_places

# The most tokens before those of the grid: a class token, a distillation token, registers.
_MOST_EXTRA = 8


class Grid(NamedTuple):
    """The rows and columns of a layer's tokens, and the number of `extra` tokens before them."""

    rows: int
    columns: int
    extra: int


def token_grid(model: Model, layer: str) -> Optional[Grid]:
    """Return the grid of a layer N,T,C, None for a layer of another kind.

    The grid is that of the nearest feature map before the layer, if its places are as many as the tokens;
    else, for a square picture, a square.
    """
    name = model.layers.resolve(layer)
    shape = model.layers.get(name, ())
    if len(shape) != 3 or shape[0] != 1:
        return None
    order = {value: index for index, value in enumerate(model.layers)}
    maps = [value for value in layers_with_places(model) if order[value] < order[name]]
    return _grid(model, shape[1], maps)


def _grid(model: Model, tokens: int, maps: List[str]) -> Optional[Grid]:
    sizes = [model.layers[value][2:] for value in reversed(maps)]
    for rows, columns in dict.fromkeys(sizes):
        if rows > 1 and 0 <= tokens - rows * columns <= _MOST_EXTRA:
            return Grid(rows, columns, tokens - rows * columns)
    height, width = model.preprocessing.size or (0, 1)
    for extra in range(_MOST_EXTRA + 1 if height == width else 0):
        side = math.isqrt(max(tokens - extra, 0))
        if side > 1 and side * side == tokens - extra:
            return Grid(side, side, extra)
    return None


def as_maps(array: NDArray[np.float32], grid: Optional[Grid]) -> NDArray[np.float32]:
    """Return a layer N,T,C as maps N,C,rows,columns without its extra tokens; N,C,H,W as it is."""
    if grid is None:
        return array
    places = array[:, grid.extra :].reshape(len(array), grid.rows, grid.columns, -1)
    return np.ascontiguousarray(places.transpose(0, 3, 1, 2))


def last_token_layer(model: Model, before: AbstractSet[str]) -> Optional[str]:
    """Return the last layer of tokens that speaks for the scores, None for a network without one.

    Where the scores read the class token alone, the other tokens of the last layers have no influence: the
    layer is the one that the last attention reads, as in ViT's and DeiT's published examples.

    Parameters
    ----------
    model : Model
    before : set of str
        The values that the scores depend on.
    """
    names = list(model.layers)
    maps = [name for name in layers_with_places(model) if name in before]
    start = names.index(maps[-1]) + 1 if maps else 0
    found = [
        name
        for name in names[start:]
        if name in before and len(model.layers[name]) == 3 and model.layers[name][0] == 1
        if _grid(model, model.layers[name][1], maps) is not None
    ]
    if not found:
        return None
    width = _width_that_is_read(model, found)
    found = [name for name in found if model.layers[name][2] == width]
    if not _one_token_is_read(model, before, found):
        return found[-1]
    shares, values = _last_attention(model, before)
    for read in (shares & values, shares):
        if read.intersection(found):
            return next(name for name in reversed(found) if name in read)
    return found[-1]


def _width_that_is_read(model: Model, tokens: List[str]) -> int:
    """The channels of the tokens that the network's end reads; weights of attention have fewer."""
    known = frozenset(tokens)
    for node in reversed(model.graph.nodes):
        read = known.intersection(node.inputs)
        if read and not known.intersection(node.outputs):
            return max(model.layers[name][2] for name in read)
    return model.layers[tokens[-1]][2]


def _one_token_is_read(model: Model, before: AbstractSet[str], tokens: List[str]) -> bool:
    for node in model.graph.nodes:
        if SCHEMAS[node.op].traits.selects and node.inputs[0] in tokens:
            shapes = [model.layers[name] for name in node.outputs if name in before and name in model.layers]
            if any(math.prod(shape) == model.layers[node.inputs[0]][2] for shape in shapes):
                return True
    return False


def _shares(op: str) -> bool:
    """Whether an operator makes shares that sum to one, as attention does of its products."""
    return SCHEMAS[op].traits.probability == "multiclass"


def _last_attention(model: Model, before: AbstractSet[str]) -> Tuple[Set[str], Set[str]]:
    """The values that the shares of the last attention depend on, and those that its values depend on.

    Queries and keys are among the former alone: with them, half of the layer's influence is left out.
    """
    nodes = [node for node in model.graph.nodes if node.outputs[0] in before and _shares(node.op)]
    if not nodes:
        return set(), set()
    shares = nodes[-1].outputs[0]
    readers = [node for node in model.graph.nodes if shares in node.inputs]
    others = {name for node in readers for name in node.inputs if name != shares}
    return ancestors(model.graph, {shares}), ancestors(model.graph, others)
