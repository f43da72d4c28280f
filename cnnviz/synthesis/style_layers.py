"""The layers that style transfer reads: chosen automatically, or by the names that papers give them."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from cnnviz.graph.graph import Node
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.model import Model
from cnnviz.model.places import layers_with_places

#: The largest stride of a style layer, in pixels: that of relu5_1, the last one of Gatys et al. 2016.
COARSEST = 16
#: The smallest number of positions, rows times columns, whose Gram matrix describes a texture.
FEWEST_POSITIONS = 16


def automatic(model: Model) -> Tuple[str, Tuple[str, ...]]:
    """Choose one content layer and the style layers, finest first.

    Gatys et al. 2016 take the first layer behind each change of resolution for style, and one layer for
    content, in the last resolution but one. On any network, the style layers are the first layer of each
    resolution, and the content layer is the last layer of the last resolution but one. Where Concat joins
    branches, the Concat is the layer, not the branches: the bottleneck of a fire module has few channels.

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
    """Return the candidate layers of each resolution, finest first.

    Candidates are activations and joints of branches; of a resolution that has joints, the joints alone.
    """
    places = frozenset(layers_with_places(model))
    height = (model.preprocessing.size or (0, 0))[0]
    stages: Dict[Tuple[int, ...], List[Node]] = {}
    for node in model.graph.nodes:
        shape = model.layers.get(node.outputs[0], ())
        if not (_ends_layer(node) or _joins(node)) or node.outputs[0] not in places:
            continue
        if shape[2] * shape[3] >= FEWEST_POSITIONS and shape[2] * COARSEST * 1.25 >= height:
            stages.setdefault(shape[2:], []).append(node)
    joints = {size: [node for node in nodes if _joins(node)] for size, nodes in stages.items()}
    return [[node.outputs[0] for node in joints[size] or nodes] for size, nodes in stages.items()]


def _ends_layer(node: Node) -> bool:
    return SCHEMAS[node.op].traits.ends_layer


def _joins(node: Node) -> bool:
    return SCHEMAS[node.op].traits.axes == "joins"


def torchvision_squeezenet(model: Model, indices: Sequence[int]) -> Tuple[str, ...]:
    """Return layers by their index in ``torchvision.models.squeezenet1_1().features``, as in cs231n.

    The modules of torchvision are the first convolution, its ReLU, the max pools and the fire modules; in the
    ONNX file they are the first Conv, the first Relu, every MaxPool and every Concat.

    Raises
    ------
    ValueError
        When the network has too few of these modules.
    """
    modules: List[str] = []
    for node in model.graph.nodes:
        first = {0: "Conv", 1: "Relu"}.get(len(modules))
        if node.op == first or (first is None and node.op in ("MaxPool", "Concat")):
            modules.append(node.outputs[0])
    if len(modules) <= max(indices):
        raise ValueError(
            f"{model.name} is not a SqueezeNet 1.1: it has {len(modules)} of its modules, and the recipe "
            f"needs module number {max(indices)}; use preset='default'"
        )
    return tuple(modules[index] for index in indices)


def vgg(model: Model, names: Sequence[str]) -> Tuple[str, ...]:
    """Return layers by their VGG names: ``relu4_2`` is the second ReLU behind the third pool.

    Raises
    ------
    ValueError
        When the network has no such layer.
    """
    blocks: List[List[str]] = [[]]
    for node in model.graph.nodes:
        if SCHEMAS[node.op].traits.pool:
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
