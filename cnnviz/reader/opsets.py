"""Nodes of older opsets in the newest opset's terms, one function per operator whose meaning has changed.

The other operators need no function: Clip, Pad, Reshape, Slice, Split, Squeeze, Unsqueeze, Reduce* and
Upsample's scales only moved attributes to inputs (see `cnnviz.graph.schema.bind`); MaxPool, AveragePool and
Conv gained attributes whose defaults keep the old meaning.
"""

from __future__ import annotations

from typing import Callable, Dict, FrozenSet, List, Optional

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.schema import CONTRIB_DOMAIN, SCHEMAS, STANDARD_DOMAINS, Schema, has_schema
from cnnviz.reader.experimental import ROWS as EXPERIMENTAL
from cnnviz.reader.fused import ROWS as FUSED
from cnnviz.reader.parts import Parts, Rewriting
from cnnviz.reader.quantized import ROWS as QUANTIZED
from cnnviz.reader.structures import STRUCTURES

__all__ = [
    "OLDEST_READ",
    "RENAMED",
    "REWRITTEN",
    "is_read",
    "name_of",
    "normalise",
    "refuse_training",
    "rewritten",
    "schema_of",
    "supported_ops",
]

#: The oldest opset whose nodes `normalise` takes; `cnnviz.reader.former` has those of older ones.
OLDEST_READ = 7

RENAMED = {"CastLike": "Cast", "Scatter": "ScatterElements", "Upsample": "Resize"}
REWRITTEN: Dict[str, Rewriting] = {**EXPERIMENTAL, **FUSED, **QUANTIZED}
#: Operators that have the name of another one of ONNX, and their domains; their names in REWRITTEN.
_NAMESAKES = {("Attention", CONTRIB_DOMAIN): "FusedAttention"}
STRUCTURAL = frozenset({"Constant", *STRUCTURES})  #: operators of the file that no node of the graph has

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


def supported_ops() -> FrozenSet[str]:
    """Return the operators that a model may hold, in any supported opset and domain."""
    return frozenset({*SCHEMAS, *RENAMED, *REWRITTEN, *STRUCTURAL})


def name_of(op: str, domain: str) -> str:
    """Return the reader's name for an operator of a domain: that of ONNX's own operator is taken."""
    return _NAMESAKES.get((op, domain), op)


def is_read(op: str, domain: str) -> bool:
    """Whether the reader knows an operator of this domain, by its own name or as another one."""
    if (op, domain) in _NAMESAKES:
        return True
    if has_schema(op, domain) or (op in REWRITTEN and domain in REWRITTEN[op].domains):
        return True
    return domain in STANDARD_DOMAINS and (op in RENAMED or op in STRUCTURAL)


def schema_of(op: str) -> Schema:
    """Return the row of the operator that `op` stands for, which has its attributes."""
    return SCHEMAS[REWRITTEN[op].op if op in REWRITTEN else RENAMED.get(op, op)]


def rewritten(node: Node, rank: Callable[[str], Optional[int]], fresh: Fresh) -> List[Node]:
    """Return the nodes that an operator of `REWRITTEN` stands for, the node itself for any other one.

    Parameters
    ----------
    node : Node
        A node of the file, its attributes without defaults.
    rank : callable
        The number of dimensions of a value, None where it is not known.
    fresh : callable
        Makes a value name that the graph does not have yet, from a hint.
    """
    row = REWRITTEN.get(node.op)
    if row is None:
        return [node]
    least, most = row.inputs
    if not least <= len(node.inputs) <= most:
        expected = str(least) if least == most else f"{least} to {most}"
        given = f"has {len(node.inputs)} inputs, expected {expected}"
        raise ModelFormatError(f"node {node.name!r} ({node.op}): {given}")
    return row.rule(Parts(node, rank, fresh))


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


def _roi_align(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Before opset 16, regions had no half pixel."""
    if opset >= 16:
        return [node]
    return [
        node.replace(attributes={**node.attributes, "coordinate_transformation_mode": "output_half_pixel"})
    ]


def _scatter(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Scatter, which opset 11 deprecated, is ScatterElements."""
    return [node.replace(op="ScatterElements")]


def _softmax(node: Node, opset: int, fresh: Fresh) -> List[Node]:
    """Softmax and Hardmax before opset 13 are over all axes from `axis` (1) on; since then over one (-1)."""
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
    "Hardmax": _softmax,
    "LogSoftmax": _softmax,
    "Resize": _resize,
    "RoiAlign": _roi_align,
    "Scatter": _scatter,
    "Softmax": _softmax,
    "Upsample": _upsample,
}
