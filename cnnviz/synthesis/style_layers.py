"""Which layers carry style and which carry content, on networks known and unknown."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from cnnviz.graph.graph import Node
from cnnviz.model.model import Model
from cnnviz.model.places import layers_with_places

#: Operators that end a unit of computation: what a person would call "the layer".
ACTIVATIONS = frozenset({"Relu", "LeakyRelu", "PRelu", "Clip", "Elu", "Selu", "HardSwish", "Sigmoid", "Tanh"})
POOLS = frozenset({"MaxPool", "AveragePool"})
#: Gatys et al. 2016 stop at relu5_1, where a unit stands for 16 pixels; beyond it there is no texture left.
COARSEST = 16
#: Fewer positions than this are no statistics.
FEWEST_POSITIONS = 16


def automatic(model: Model) -> Tuple[str, Tuple[str, ...]]:
    """Choose one content layer and the style layers, finest first.

    Gatys et al. 2016 take the first layer behind each change of resolution for style and a later one, two
    resolutions above the coarsest, for content. This does the same on any network: style is the first layer
    of each resolution, content the last layer of the last resolution but one. Where branches are joined by
    Concat, the joint counts and not its parts: in a fire module the bottleneck comes first and says little.

    Raises
    ------
    ValueError
        When the network has no activation with a height and a width.
    """
    stages = _stages(model)
    if not stages:
        raise ValueError(
            f"{model.name} has no layer to take style from: name style_layers and content_layers"
        )
    content = stages[-2] if len(stages) > 1 else stages[-1]
    return content[-1], tuple(stage[0] for stage in stages)


def _stages(model: Model) -> List[List[str]]:
    """The candidate layers of each resolution, in order."""
    places = frozenset(layers_with_places(model))
    height = (model.preprocessing.size or (0, 0))[0]
    stages: Dict[Tuple[int, ...], List[Node]] = {}
    for node in model.graph.nodes:
        shape = model.layers.get(node.outputs[0], ())
        if node.op not in ACTIVATIONS | {"Concat"} or node.outputs[0] not in places:
            continue
        if shape[2] * shape[3] >= FEWEST_POSITIONS and shape[2] * COARSEST * 1.25 >= height:
            stages.setdefault(shape[2:], []).append(node)
    joints = {size: [node for node in nodes if node.op == "Concat"] for size, nodes in stages.items()}
    return [[node.outputs[0] for node in joints[size] or nodes] for size, nodes in stages.items()]


def torchvision_squeezenet(model: Model, indices: Sequence[int]) -> Tuple[str, ...]:
    """Layers by their index in ``torchvision.models.squeezenet1_1().features``, as cs231n gives them.

    The modules there are the first convolution, its ReLU, the max pools and the fire modules; here the first
    Conv, the first Relu, every MaxPool and every Concat.

    Raises
    ------
    ValueError
        When the network is not built like that.
    """
    modules: List[str] = []
    for node in model.graph.nodes:
        first = {0: "Conv", 1: "Relu"}.get(len(modules))
        if node.op == first or (first is None and node.op in ("MaxPool", "Concat")):
            modules.append(node.outputs[0])
    if len(modules) <= max(indices):
        raise ValueError(
            f"{model.name} is not a SqueezeNet 1.1: it has {len(modules)} of its modules, and the recipe "
            f"wants number {max(indices)}; use preset='default'"
        )
    return tuple(modules[index] for index in indices)


def vgg(model: Model, names: Sequence[str]) -> Tuple[str, ...]:
    """Layers by their VGG names: ``relu4_2`` is the second ReLU behind the third pool.

    Raises
    ------
    ValueError
        When the network has no such layer.
    """
    blocks: List[List[str]] = [[]]
    for node in model.graph.nodes:
        if node.op in POOLS:
            blocks.append([])
        elif node.op == "Relu":
            blocks[-1].append(node.outputs[0])
    known = {
        f"relu{b}_{i}": name
        for b, block in enumerate(blocks, start=1)
        for i, name in enumerate(block, start=1)
    }
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(
            f"{model.name} has no {', '.join(missing)}, counting ReLUs between pools: it has "
            f"{', '.join(known) or 'none'}; use preset='default', or name style_layers and content_layers"
        )
    return tuple(known[name] for name in names)
