"""Outputs that follow from choices, which have no gradient: the index of a maximum, boxes that are kept."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Set

from cnnviz.graph.schema import SCHEMAS, STANDARD_DOMAINS
from cnnviz.reader.order import in_order, node_label, reads
from cnnviz.reader.tensors import text

__all__ = ["Trimmed", "trimmed"]

#: Choices that no graph holds; those of the schema have the trait.
_OTHERS = frozenset(
    {
        *("NonMaxSuppression", "Unique", "Multinomial"),
        *("BatchedNMS_TRT", "BatchedNMSDynamic_TRT", "EfficientNMS_TRT", "NMS_TRT"),
    }
)


class Trimmed(NamedTuple):
    """A file's outputs, where some of them follow from choices.

    Attributes
    ----------
    outputs : list of str, or None
        The outputs to read; None when all follow from choices that read several values.
    message : str
        What is left out and why, and what to ask for.
    """

    outputs: Optional[List[str]]
    message: str


def trimmed(graph: Any) -> Optional[Trimmed]:
    """Return the outputs of a GraphProto that can be explained, None when no output follows from a choice.

    Where all outputs follow from choices that read one value (the scores before a final ArgMax), that value
    is the output.
    """
    if not any(_chooses(proto) for proto in graph.node):
        return None
    walk = _Walk(graph)
    outputs = [text(output.name, "output name") for output in graph.output]
    lost = [name for name in outputs if name in walk.chosen]
    if not lost:
        return None
    kept = [name for name in outputs if name not in walk.chosen]
    nodes = ", ".join(dict.fromkeys(walk.chosen[name] for name in lost))
    what = f"outputs {lost} follow from choices, which have no gradient ({nodes})"
    before = walk.before()
    if kept:
        return Trimmed(kept, f"{what} and are left out; outputs={before} of cnnviz.load takes what they read")
    if len(before) == 1:
        return Trimmed(before, f"{what}: the network ends in {before[0]!r}, which they read, instead")
    return Trimmed(None, f"{what}: outputs={before} of cnnviz.load takes the values that they read")


def _chooses(proto: Any) -> bool:
    if proto.op_type in _OTHERS:
        return True
    return (
        proto.domain in STANDARD_DOMAINS
        and proto.op_type in SCHEMAS
        and SCHEMAS[proto.op_type].traits.chooses
    )


class _Walk:
    """The values of a graph that depend on the picture, and on choices of it.

    Attributes
    ----------
    chosen : dict of str to str
        The values that depend on a choice, each with the first choice.
    """

    def __init__(self, graph: Any) -> None:
        fixed = {tensor.name for tensor in graph.initializer}
        self._moving: Set[str] = {one.name for one in graph.input} - fixed
        self._makers: Dict[str, Any] = {}
        self._choices: List[Any] = []
        self.chosen: Dict[str, str] = {}
        for index, proto in in_order(graph.node, {*self._moving, *fixed}):
            self._add(index, proto)

    def _add(self, index: int, proto: Any) -> None:
        made = [name for name in proto.output if name]
        self._makers.update(dict.fromkeys(made, proto))
        schema = SCHEMAS.get(proto.op_type)
        if schema is not None and schema.traits.reads == "shape":
            return
        read = list(reads(proto))
        if self._moving.isdisjoint(read):
            return
        self._moving.update(made)
        first = next((self.chosen[name] for name in read if name in self.chosen), "")
        if not first and _chooses(proto):
            self._choices.append(proto)
            first = f"{proto.op_type}: {node_label(index, proto)}"
        if first:
            self.chosen.update(dict.fromkeys(made, first))

    def before(self) -> List[str]:
        """Return the numbers that the choices read, in the file's order; masks lead to what they compare."""
        found: Dict[str, None] = {}
        left = [name for proto in reversed(self._choices) for name in reversed(proto.input)]
        while left:
            name = left.pop()
            if name not in self._moving or name not in self._makers:
                continue
            maker = self._makers[name]
            schema = SCHEMAS.get(maker.op_type)
            if schema is not None and (schema.traits.truth or maker.op_type == "Cast"):
                left.extend(reversed(maker.input))
            else:
                found[name] = None
        return list(found)
