"""The layer that Grad-CAM takes unless one is named: the last with places through which a score passes."""

from __future__ import annotations

from typing import List, Sequence, Set, Tuple

from cnnviz.graph.graph import ancestors, descendants
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.model import Model
from cnnviz.model.places import layers_with_places
from cnnviz.model.tokens import last_token_layer

__all__ = ["common_layer", "last_layers", "last_spatial_layer"]


def last_spatial_layer(model: Model) -> str:
    """Return the last layer before the scores that still has more than one place.

    A layer has places while some of its axes, or its tokens, are those of the picture (`places_of`). Values
    from which the scores follow number by number, such as a map of scores that is only enlarged, are scores
    themselves. Where branches end in different layers, as the heads of a detector do, it is the last layer
    that all of them pass.

    Raises
    ------
    ValueError
        When the network has none.
    """
    return common_layer(model, last_layers(model))


def last_layers(model: Model) -> Tuple[str, ...]:
    """Return the layers with places behind which no other such layer lies: one, or one for each branch.

    Raises
    ------
    ValueError
        When the network has none.
    """
    scores = _scores(model)
    before = ancestors(model.graph, [model.logits_name]) - (scores & {model.logits_name})
    for values in (_before_score_maps(model, before) - scores, before):
        maps = [name for name in _maps(model) if name in values]
        tokens = last_token_layer(model, values, maps)
        if tokens is not None:
            return (tokens,)
        if maps:
            return _ends(model, maps, before)
    raise ValueError(f"{model.name} has no layer with maps before {model.logits_name!r}")


def common_layer(model: Model, layers: Sequence[str]) -> str:
    """Return the last layer with places that lies on every way from the picture to given layers.

    It is the layer itself if only one is given, and the last of them if they have no layer in common.
    """
    if len(layers) == 1:
        return layers[0]
    before = ancestors(model.graph, layers)
    found = [name for name in _maps(model) if name in before and name not in layers]
    return next((name for name in reversed(found) if not _avoid(model, layers, name)), layers[-1])


def _maps(model: Model) -> List[str]:
    """The layers N,C,H,W with places, and those of signals, N,C,L."""
    four = frozenset(layers_with_places(model))
    return [
        name
        for name, places in model.layers.places.items()
        if name in four or (len(model.layers[name]) == 3 and places.axis == 2 and places.rows == 1)
    ]


def _scores(model: Model) -> Set[str]:
    """The values from which the scores follow element by element, or in another order.

    The sum of a residual block is no score but a layer, also where nothing or only its ReLU follows it.
    """
    moving = model.layers.axes
    found = {model.logits_name}
    for node in reversed(model.graph.nodes):
        if not found.intersection(node.outputs):
            continue
        inputs = [name for name in node.inputs if name in moving]
        axes = SCHEMAS[node.op].traits.axes
        if axes in ("reshapes", "permutes", "joins") or (axes == "keeps" and len(inputs) == 1):
            found.update(inputs)
        elif axes == "keeps" and any(name in model.layers.places for name in node.outputs):
            return {model.logits_name} - set(node.outputs)
    return found


def _before_score_maps(model: Model, before: Set[str]) -> Set[str]:
    """The values `before` the scores; of a segmenter those before the first map with one score a class."""
    answer = model.head.answer
    maps = {1, answer.count} if answer.paired else {answer.count}
    for node in reversed(model.graph.nodes) if answer.places else ():
        weights = SCHEMAS[node.op].traits.weights
        if weights is None or not before.union([model.logits_name]).intersection(node.outputs):
            continue
        read = next(name for i, name in enumerate(node.inputs) if i != weights)
        if model.layers.get(read, (1, 0))[1] not in maps:
            return ancestors(model.graph, [read])
    return before


def _ends(model: Model, layers: Sequence[str], before: Set[str]) -> Tuple[str, ...]:
    """The layers of which none leads to another."""
    known = frozenset(layers)
    leading: Set[str] = set()
    for node in reversed(model.graph.nodes):
        if any(name in before and (name in known or name in leading) for name in node.outputs):
            leading.update(node.inputs)
    return tuple(name for name in layers if name not in leading)


def _avoid(model: Model, layers: Sequence[str], passed: str) -> bool:
    """Whether a way from the picture to one of the layers avoids the layer `passed`."""
    reached = descendants(model.graph, [model.input_name], past=passed)
    return bool(reached.intersection(layers))
