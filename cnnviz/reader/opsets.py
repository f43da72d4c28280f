"""Nodes of older opsets in the newest opset's terms, one function per operator whose meaning has changed.

The other operators need no function: Clip, Pad, Reshape, Slice, Split, Squeeze, Unsqueeze, Reduce* and
Upsample's scales only moved attributes to inputs (see `cnnviz.graph.schema.bind`); MaxPool, AveragePool and
Conv gained attributes whose defaults keep the old meaning.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.schema import SCHEMAS

__all__ = ["OLDEST_READ", "RENAMED", "normalise", "refuse_training", "result_type", "typed"]

#: The oldest opset whose nodes `normalise` takes; `cnnviz.reader.former` has those of older ones.
OLDEST_READ = 7

RENAMED = {"CastLike": "Cast", "Scatter": "ScatterElements", "Upsample": "Resize"}

_INT64 = 7  # of TensorProto.DataType
_BOOL = 9  # TensorProto.BOOL
_TYPE_OF_KIND = {"f": 1, "i": _INT64, "b": _BOOL}  # the type of arrays, by the kind of their dtype

Fresh = Callable[[str], str]


def normalise(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """The nodes of the newest opset that compute what `node` computes in `opset`.

    Parameters
    ----------
    node : Node
        A node of the file, its attributes without defaults.
    opset : int
        The file's opset.
    fresh : callable
        Makes a value name that the graph does not have yet, from a hint.

    Raises
    ------
    UnsupportedModelError
        When the node asks for a mode that cnnviz does not have at inference.
    """
    rule = _RULES.get(node.op)
    return rule(node, opset, fresh) if rule else [node]


def refuse_training(node: Node) -> None:
    """Raise for a Dropout in training mode (training_mode is an input since opset 12)."""
    if node.op == "Dropout" and (node.attributes.get("training_mode") or len(node.inputs) > 2):
        raise _refuse(node, "training_mode is not the constant False")


def typed(node: Node, types: Mapping[str, int]) -> Node:
    """QuantizeLinear and CastLike with the element type of an input, which the arrays of a graph do not keep.

    Parameters
    ----------
    node : Node
    types : mapping of str to int
        The element types of values, as far as they are known.
    """
    position = {"CastLike": 1, "QuantizeLinear": 2}.get(node.op)
    if node.op == "CastLike" and len(node.inputs) != 2:
        raise ModelFormatError(f"node {node.name!r} (CastLike): has {len(node.inputs)} inputs, expected 2")
    if position is None or position >= len(node.inputs) or not node.inputs[position]:
        return node
    if node.inputs[position] not in types:
        raise _refuse(node, f"the element type of {node.inputs[position]!r} is not known")
    found = types[node.inputs[position]]
    if node.op == "CastLike":
        return Node("Cast", node.name, node.inputs[:1], node.outputs, {**node.attributes, "to": found})
    return node.replace(attributes={**node.attributes, "output_dtype": found})


def result_type(node: Node, types: Mapping[str, int]) -> Optional[int]:
    """The element type of a node's results, None when it does not follow from the node alone."""
    if node.op == "Cast":
        to: int = node.attributes["to"]
        return to
    if node.op == "ConstantOfShape":
        value = node.attributes.get("value")
        return _TYPE_OF_KIND.get("f" if value is None else value.dtype.kind)
    traits = SCHEMAS[node.op].traits
    if traits.reads == "shape":
        return _INT64
    if traits.truth:
        return _BOOL
    keeps = traits.axes in ("keeps", "reshapes", "permutes", "joins")
    source = 1 if node.op == "Where" else 0  # the condition of Where says nothing about its result
    return types.get(node.inputs[source]) if keeps and len(node.inputs) > source else None


def _without(node: Node, *names: str) -> Node:
    return node.replace(attributes={k: v for k, v in node.attributes.items() if k not in names})


def _refuse(node: Node, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"{node.op} ({why})", [node.op])


def _batch_normalization(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Refuse spatial=0 (up to opset 8: statistics per pixel) and training_mode=1 (the batch's statistics)."""
    if node.attributes.get("spatial", 1) != 1:
        raise _refuse(node, "spatial=0")
    if node.attributes.get("training_mode", 0) != 0:
        raise _refuse(node, "training_mode=1")
    return [_without(node, "spatial", "training_mode", "momentum")]


def _dropout(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Drop the seed, unused at inference; `refuse_training` checks training_mode once it is known."""
    return [_without(node, "seed")]


def _max_pool(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Drop storage_order, which concerns only the second output, the indices."""
    return [_without(node, "storage_order")]


def _scatter(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Scatter, which opset 11 deprecated, is ScatterElements."""
    return [node.replace(op="ScatterElements")]


def _softmax(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Softmax before opset 13 is over all axes from `axis` (1) on; since then over `axis` (-1) alone."""
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
    """Upsample, which opset 10 deprecated, is Resize in its asymmetric mode."""
    inputs = node.inputs[:1] if len(node.inputs) < 2 else (node.inputs[0], "", node.inputs[1])
    return [node.replace(op="Resize", inputs=inputs, attributes={**node.attributes, **_OLD_RESIZE})]


def _resize(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Resize of opset 10 has one coordinate transformation and no region of interest, like Upsample."""
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
    "Scatter": _scatter,
    "Softmax": _softmax,
    "Upsample": _upsample,
}
