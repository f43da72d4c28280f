"""Older opsets in the newest opset's words, one function per operator whose meaning has changed.

What did not need one: Clip, Pad, Reshape, Slice, Split, Squeeze, Unsqueeze, Reduce* and Upsample's scales
only moved attributes to inputs (see `onnx_schema.bind`); MaxPool, AveragePool and Conv gained attributes
whose defaults keep the old meaning.
"""

from __future__ import annotations

from typing import Callable, Dict, List

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.graph import Node

__all__ = ["RENAMED", "normalise", "refuse_training"]

RENAMED = {"Upsample": "Resize"}

Fresh = Callable[[str], str]


def normalise(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """The nodes of the newest opset that do what `node` does in `opset`.

    Parameters
    ----------
    node : Node
        As the file has it: attributes without defaults.
    opset : int
    fresh : callable
        Makes a value name that the graph does not have yet, from a hint.

    Raises
    ------
    UnsupportedModelError
        For a mode that inference in cnnviz does not have.
    """
    rule = _RULES.get(node.op)
    return rule(node, opset, fresh) if rule else [node]


def refuse_training(node: Node) -> None:
    """Raise for a Dropout that is told to drop (training_mode is an input since opset 12)."""
    if node.op == "Dropout" and (node.attributes.get("training_mode") or len(node.inputs) > 2):
        raise _refuse(node, "training_mode is not the constant False")


def _without(node: Node, *names: str) -> Node:
    return node.replace(attributes={k: v for k, v in node.attributes.items() if k not in names})


def _refuse(node: Node, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"{node.op} ({why})", [node.op])


def _batch_normalization(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Up to opset 8 spatial=0 kept statistics per pixel; since 14 training_mode=1 takes the batch's."""
    if node.attributes.get("spatial", 1) != 1:
        raise _refuse(node, "spatial=0")
    if node.attributes.get("training_mode", 0) != 0:
        raise _refuse(node, "training_mode=1")
    return [_without(node, "spatial", "training_mode", "momentum")]


def _dropout(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """The seed has no say at inference; `refuse_training` looks at training_mode once it is known."""
    return [_without(node, "seed")]


def _max_pool(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """storage_order only orders the indices, which are not supported."""
    return [_without(node, "storage_order")]


def _softmax(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Before opset 13: over all axes from `axis` (1) on, flattened; since then: over `axis` (-1) alone."""
    if opset >= 13:
        return [node]
    axis = node.attributes.get("axis", 1)
    if axis == -1:
        return [node]
    x, (y,) = node.inputs[0], node.outputs
    shape, rows, flat = fresh(f"{y}/shape"), fresh(f"{y}/rows"), fresh(f"{y}/flat")
    return [
        Node("Shape", f"{node.name}/shape", (x,), (shape,), {}),
        Node("Flatten", f"{node.name}/rows", (x,), (rows,), {"axis": axis}),
        node.replace(inputs=(rows,), outputs=(flat,), attributes={"axis": 1}),
        Node("Reshape", f"{node.name}/flat", (flat, shape), (y,), {}),
    ]


def _upsample(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Deprecated since opset 10 in favour of Resize, with whose asymmetric mode it agrees."""
    inputs = node.inputs[:1] if len(node.inputs) < 2 else (node.inputs[0], "", node.inputs[1])
    return [node.replace(op="Resize", inputs=inputs, attributes={**node.attributes, **_OLD_RESIZE})]


def _resize(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Opset 10 has one coordinate transformation and no region of interest."""
    if opset > 10:
        return [node]
    return _upsample(node, opset, fresh)


_OLD_RESIZE = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


_RULES: Dict[str, Callable[[Node, int, Fresh], List[Node]]] = {
    "BatchNormalization": _batch_normalization,
    "Dropout": _dropout,
    "LogSoftmax": _softmax,
    "MaxPool": _max_pool,
    "Resize": _resize,
    "Softmax": _softmax,
    "Upsample": _upsample,
}
