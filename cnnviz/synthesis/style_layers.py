"""The layers that style transfer reads: chosen automatically, or by the names that papers give them."""

from __future__ import annotations

import math
from typing import Dict, FrozenSet, List, Mapping, Sequence, Set, Tuple

from cnnviz.graph.graph import Node, consumers, producers
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.model import Model
from cnnviz.model.places import layers_with_places

#: The largest stride of a style layer, in pixels: that of relu5_1, the last one of Gatys et al. 2016.
COARSEST = 16
#: The smallest number of positions, rows times columns, whose Gram matrix describes a texture.
FEWEST_POSITIONS = 16
# The most nodes of an activation that a file writes out, such as GELU by a polynomial and Tanh.
_LONGEST = 8


def automatic(model: Model) -> Tuple[str, Tuple[str, ...]]:
    """Choose one content layer and the style layers, finest first.

    Gatys et al. 2016 take the first layer behind each change of resolution for style, and one layer for
    content, in the last resolution but one. On any network, the style layers are the first layer of each
    resolution, and the content layer is the last layer of the last resolution but one. Where Concat joins
    branches, the Concat is the layer, not the branches: the bottleneck of a fire module has few channels.
    A network without activations over the picture, as those that activate in N,H,W,C, gives the sums of its
    residual blocks instead, and a network without these its convolutions, such as a patch embedding.

    Raises
    ------
    ValueError
        When the network has no layer with a height and a width.
    """
    moving = model.layers.of_picture
    stages = (
        _stages(model, _activations(model))
        or _stages(model, [node for node in model.graph.nodes if _joins_alike(model, node, moving)])
        or _stages(model, [node for node in model.graph.nodes if _has_weights(node)], coarsest=math.inf)
    )
    if not stages:
        raise ValueError(
            f"{model.name} has no layer to take style from: name style_layers and content_layers"
        )
    content = stages[-2] if len(stages) > 1 else stages[-1]
    return content[-1], tuple(stage[0] for stage in stages)


def _stages(model: Model, nodes: Sequence[Node], coarsest: float = COARSEST) -> List[List[str]]:
    """Return the layers of each resolution among candidates, finest first.

    Of a resolution that has joints of branches, the joints alone; of one that has layers before the picture
    is enlarged again, as the second half of a U-Net does, these alone.
    """
    enlarged = _enlarged(model)
    places = frozenset(layers_with_places(model))
    height = (model.preprocessing.size or (0, 0))[0]
    stages: Dict[Tuple[int, ...], List[Node]] = {}
    for node in nodes:
        shape = model.layers.get(node.outputs[0], ())
        if node.outputs[0] not in places:
            continue
        if shape[2] * shape[3] >= FEWEST_POSITIONS and shape[2] * coarsest * 1.25 >= height:
            stages.setdefault(shape[2:], []).append(node)
    for size, found in stages.items():
        stages[size] = [node for node in found if node.outputs[0] not in enlarged] or found
    ordered = sorted(stages, key=math.prod, reverse=True)
    joints = {size: [node for node in nodes if _joins(node)] for size, nodes in stages.items()}
    return [[node.outputs[0] for node in joints[size] or stages[size]] for size in ordered]


def _enlarged(model: Model) -> Set[str]:
    """The values behind an operator that at least doubles the number of places, as padding does not."""
    places = model.layers.places
    found: Set[str] = set()
    for node in model.graph.nodes:
        before = [places[name].number for name in node.inputs if name in places]
        after = [places[name].number for name in node.outputs if name in places]
        if found.intersection(node.inputs) or (before and after and max(after) >= 2 * max(before)):
            found.update(node.outputs)
    return found


def _activations(model: Model) -> List[Node]:
    """The activations and joints of branches, in their order.

    A value between 0 and 1 that multiplies another is a gate: the product with anything but its own input is
    no activation. The product of a value with a function of it is one: x * sigmoid(x) is SiLU, and
    x * (1 + erf(x / sqrt(2))) is twice GELU, as files write it in several nodes.
    """
    made_by, read_by = producers(model.graph), consumers(model.graph)
    moving = model.layers.of_picture
    found: List[Node] = []
    for node in model.graph.nodes:
        if node.op == "Mul" and any(
            _is_function_of(name, set(node.inputs), made_by, moving) for name in node.inputs
        ):
            found.append(node)
        elif _gates(node) and any(reader.op == "Mul" for reader in read_by.get(node.outputs[0], ())):
            continue
        elif SCHEMAS[node.op].traits.ends_layer or _joins(node):
            found.append(node)
    return found


def _is_function_of(
    value: str, others: Set[str], made_by: Mapping[str, Node], moving: FrozenSet[str]
) -> bool:
    """Whether a value follows element by element, through a nonlinearity, from another one of `others`."""
    curved = False
    for _ in range(_LONGEST):
        node = made_by.get(value)
        inputs = [name for name in node.inputs if name in moving] if node is not None else []
        if node is None or len(inputs) != 1 or SCHEMAS[node.op].traits.axes != "keeps":
            return False
        curved |= len(list(filter(None, node.inputs))) == 1
        value = inputs[0]
        if value in others:
            return curved
    return False


def _joins_alike(model: Model, node: Node, moving: FrozenSet[str]) -> bool:
    """Whether a node is the sum of branches of one shape, as in a residual block."""
    shape = model.layers.get(node.outputs[0])
    alike = [name for name in node.inputs if name in moving and model.layers.get(name) == shape]
    return node.op == "Add" and len(alike) > 1


def _has_weights(node: Node) -> bool:
    return SCHEMAS[node.op].traits.weights is not None


def _gates(node: Node) -> bool:
    return SCHEMAS[node.op].traits.gate


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
