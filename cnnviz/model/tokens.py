"""The tokens of transformers and mixers: which layer of them speaks for the scores."""

from __future__ import annotations

import math
from typing import AbstractSet, List, Optional, Sequence, Set, Tuple

from cnnviz.graph.graph import ancestors
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.model import Model
from cnnviz.model.places import lists_places

__all__ = ["last_token_layer"]


def last_token_layer(model: Model, before: AbstractSet[str], maps: Sequence[str]) -> Optional[str]:
    """Return the last layer of tokens that speaks for the scores, None for a network that ends in maps.

    Tokens are layers whose last axis has the channels: N,T,C, and N,H,W,C. The last maps in another order
    are still these maps.

    Where the scores read the class token alone, the other tokens of the last layers have no influence: the
    layer is the one that the last attention reads, as in ViT's and DeiT's published examples.

    Parameters
    ----------
    model : Model
    before : set of str
        The values that the scores depend on.
    maps : sequence of str
        The layers N,C,H,W among them, first to last.
    """
    order = {name: place for place, name in enumerate(model.layers.places)}
    lists = [name for name in order if name in before and lists_places(model, name)]
    found = [name for name in lists if not maps or order[name] > order[maps[-1]]]
    if not found:
        return None
    width = _width_that_is_read(model, found)
    lists, found = ([name for name in one if model.layers[name][-1] == width] for one in (lists, found))
    if found[-1] in _turned(model, maps[-1:]):
        return None
    if not _one_token_is_read(model, found):
        return found[-1]
    shares, values = _last_attention(model, before)
    for read in (shares & values, shares):
        if read.intersection(lists):
            return next(name for name in reversed(lists) if name in read)
    return found[-1]


def _turned(model: Model, maps: Sequence[str]) -> Set[str]:
    """Maps, and the values that hold the same numbers in another order."""
    found = set(maps)
    for node in model.graph.nodes:
        if SCHEMAS[node.op].traits.axes in ("reshapes", "permutes") and node.inputs[0] in found:
            found.update(node.outputs)
    return found


def _width_that_is_read(model: Model, tokens: List[str]) -> int:
    """The channels of the tokens that the network's end reads; weights of attention have fewer."""
    known = frozenset(tokens)
    for node in reversed(model.graph.nodes):
        read = known.intersection(node.inputs)
        if read and not known.intersection(node.outputs):
            return max(model.layers[name][-1] for name in read)
    return model.layers[tokens[-1]][-1]


def _one_token_is_read(model: Model, tokens: List[str]) -> bool:
    known = ancestors(model.graph, [model.logits_name])
    for node in model.graph.nodes:
        if SCHEMAS[node.op].traits.selects and node.inputs[0] in tokens:
            shapes = [model.layers[name] for name in node.outputs if name in known and name in model.layers]
            if any(math.prod(shape) == model.layers[node.inputs[0]][-1] for shape in shapes):
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
