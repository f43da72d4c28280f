"""Nodes of opsets 1 to 6 in the terms of opset 7, where arrays broadcast as in NumPy.

The converter of the onnx package is not used: it aligns a bias of the channels with the batch, needs sizes
that a file leaves free, and has no rule for Pad and Cast. `docs/decisions/reading-onnx.md` has the cases.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional

import numpy as np

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.schema import SCHEMAS

__all__ = ["FORMER_ATTRIBUTES", "Ranks", "modernise"]

Fresh = Callable[[str], str]

_ALIGNED = {"axis": "int", "broadcast": "int"}
_TESTED = {"is_test": "int"}
#: The attributes that opset 7 took away, by operator, besides `consumed_inputs`, which all could have.
FORMER_ATTRIBUTES: Dict[str, Mapping[str, str]] = {
    "Add": _ALIGNED,
    "And": _ALIGNED,
    "Div": _ALIGNED,
    "Equal": _ALIGNED,
    "Greater": _ALIGNED,
    "Less": _ALIGNED,
    "Mul": _ALIGNED,
    "Or": _ALIGNED,
    "Pow": _ALIGNED,
    "Sub": _ALIGNED,
    "Xor": _ALIGNED,
    "BatchNormalization": _TESTED,
    "Cast": {"to": "str"},
    "Dropout": _TESTED,
    "GRU": {"output_sequence": "int"},
    "Gemm": {"broadcast": "int"},
    "LSTM": {"output_sequence": "int"},
    "Pad": {"paddings": "ints"},
    "RNN": {"output_sequence": "int"},
    "Resize": {"height_scale": "float", "width_scale": "float"},
}
_DROPPED = ("broadcast", "consumed_inputs", "is_test", "output_sequence")
#: The element types of Cast before opset 6, as TensorProto numbers them.
_TYPES = {"FLOAT": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "BOOL": 9}
_TYPES.update(FLOAT16=10, DOUBLE=11, UINT32=12, UINT64=13)
_ONE = np.ones(1, np.int64)
_ONE.flags.writeable = False


class Ranks:
    """The numbers of dimensions of values, as far as they follow from the operators alone."""

    def __init__(self) -> None:
        self._ranks: Dict[str, int] = {}

    def get(self, name: str) -> Optional[int]:
        """The rank of a value, None when it is not known."""
        return self._ranks.get(name)

    def set(self, name: str, rank: int) -> None:
        """Note the rank of an input or a constant."""
        self._ranks[name] = rank

    def add(self, node: Node) -> None:
        """Note the ranks of a node's results: operators that keep the axes keep their number."""
        if SCHEMAS[node.op].traits.axes not in ("keeps", "picture", "permutes", "joins"):
            return
        keeps = node.inputs if SCHEMAS[node.op].traits.axes == "keeps" else node.inputs[:1]
        known = [self._ranks.get(name) for name in keeps if name]
        if known and None not in known:
            self._ranks.update(dict.fromkeys(node.outputs, max(rank for rank in known if rank is not None)))


def modernise(node: Node, opset: int, ranks: Ranks, fresh: Fresh) -> List[Node]:
    """The nodes of opset 7 that compute what `node` computes in an older `opset`.

    Dropout and BatchNormalization are taken as they are at inference, whatever `is_test` says: its default is
    that of training, and exporters left it out.
    """
    rule = _RULES.get(node.op)
    if node.op == "PRelu" or FORMER_ATTRIBUTES.get(node.op) is _ALIGNED:
        return _aligned(node, ranks, fresh)
    return [_plain(rule(node, opset) if rule is not None else node)]


def _plain(node: Node, *names: str) -> Node:
    """The node without attributes that say nothing today."""
    gone = {*_DROPPED, *names}
    return node.replace(attributes={k: v for k, v in node.attributes.items() if k not in gone})


def _aligned(node: Node, ranks: Ranks, fresh: Fresh) -> List[Node]:
    """An operator whose second input's axes lie at `axis` of the first: it gets axes of 1 behind its own."""
    axis = 1 if node.op == "PRelu" else node.attributes.get("axis")  # slopes are those of the channels
    modern = _plain(node, "axis")
    if len(node.inputs) != 2 or axis is None or not (node.op == "PRelu" or node.attributes.get("broadcast")):
        return [modern]
    first, second = (ranks.get(name) for name in node.inputs)
    if node.op == "PRelu" and second != 1:
        return [modern]
    y = fresh(f"{node.name}/{node.inputs[1]}")
    behind = modern.replace(inputs=(node.inputs[0], y))
    if first is None or second is None:
        return [*_reshaped(node, axis, y, fresh), behind]
    start = (axis + first if axis < 0 else axis) + second
    if not second <= start <= first:
        raise ModelFormatError(
            f"node {node.name!r} ({node.op}): {second} axes from axis {axis} on do not fit {first} dimensions"
        )
    axes = tuple(range(second, second + first - start))
    return [Node("Unsqueeze", f"{node.name}/axes", node.inputs[1:], (y,), {"axes": axes}), behind]


def _reshaped(node: Node, axis: int, y: str, fresh: Fresh) -> List[Node]:
    """The same by arithmetic on the shapes: as many 1 as the first input has axes left."""
    first, second = node.inputs
    a, b, n, m, left, ones, shape = (
        fresh(f"{y}/{part}") for part in ("a", "b", "n", "m", "left", "ones", "shape")
    )
    return [
        Node("Shape", f"{y}/a", (first,), (a,), {"start": axis}),
        Node("Shape", f"{y}/b", (second,), (b,), {}),
        Node("Shape", f"{y}/n", (a,), (n,), {}),
        Node("Shape", f"{y}/m", (b,), (m,), {}),
        Node("Sub", f"{y}/left", (n, m), (left,), {}),
        Node("ConstantOfShape", f"{y}/ones", (left,), (ones,), {"value": _ONE}),
        Node("Concat", f"{y}/shape", (b, ones), (shape,), {"axis": 0}),
        Node("Reshape", f"{node.name}/axes", (second, shape), (y,), {}),
    ]


def _changed(node: Node, gone: str, **attributes: Any) -> Node:
    plain = _plain(node, gone)
    return plain.replace(attributes={**plain.attributes, **attributes})


def _cast(node: Node, opset: int) -> Node:
    to = node.attributes.get("to")
    if not isinstance(to, str):
        return node
    if to not in _TYPES:
        raise UnsupportedModelError(f"Cast (to {to!r})", ["Cast"])
    return _changed(node, "to", to=_TYPES[to])


def _concat(node: Node, opset: int) -> Node:
    """Concat, whose axis was 1 by default up to opset 3."""
    return node if opset > 3 or "axis" in node.attributes else _changed(node, "axis", axis=1)


def _pad(node: Node, opset: int) -> Node:
    a = node.attributes
    return _changed(node, "paddings", pads=a["paddings"]) if "paddings" in a and "pads" not in a else node


def _selu(node: Node, opset: int) -> Node:
    """Selu, whose defaults had four digits up to opset 5."""
    return (
        node if opset > 5 else node.replace(attributes={"alpha": 1.6732, "gamma": 1.0507, **node.attributes})
    )


def _tile(node: Node, opset: int) -> Node:
    if opset < 6:
        raise UnsupportedModelError("Tile (along one axis, of opsets before 6)", ["Tile"])
    return node


def _upsample(node: Node, opset: int) -> Node:
    a = node.attributes
    if "height_scale" not in a or "width_scale" not in a:
        return node
    scales = (1.0, 1.0, a["height_scale"], a["width_scale"])
    return _plain(_changed(node, "height_scale", scales=scales), "width_scale")


_RULES: Dict[str, Callable[[Node, int], Node]] = {
    "Cast": _cast,
    "Concat": _concat,
    "Pad": _pad,
    "Selu": _selu,
    "Tile": _tile,
    "Upsample": _upsample,
}
