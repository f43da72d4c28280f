"""Scopes of names: the names of values in a branch or a function's body, and their names in the graph."""

from __future__ import annotations

from typing import Any, ChainMap, Dict, Iterator, Mapping, NamedTuple, Tuple

from cnnviz.errors import ModelFormatError
from cnnviz.graph.schema import STANDARD_DOMAINS
from cnnviz.reader.tensors import text

__all__ = ["Function", "Scope", "functions_of", "opset_of", "prefix_of"]

Function = Tuple[str, str, str]  # domain, name, overload
_LONGEST = 300  # characters of a name in a branch or a function, which may be read many times


class Scope(NamedTuple):
    """The surroundings of the nodes of one graph, branch or function body.

    Attributes
    ----------
    opset : int
        The opset of the standard domain.
    names : ChainMap of str to str
        The file's names of values -> the graph's; names that are absent are the same.
    prefix : str
        Put before the names of nodes and values; empty for the main graph.
    attributes : mapping of str to AttributeProto, or None
        The attributes of the function call, to which nodes of its body refer. None outside functions.
    calls : tuple of Function
        The functions whose bodies these nodes are in.
    """

    opset: int
    names: ChainMap[str, str]
    prefix: str = ""
    attributes: Any = None
    calls: Tuple[Function, ...] = ()

    def value(self, name: Any) -> str:
        """The graph's name for a value that a node reads or makes."""
        name = text(name, "name of a value")
        return self.names.get(name, name) if name else name

    def inner(self, name: str) -> str:
        """A name of the graph for something that is called `name` here."""
        return f"{self.prefix}{name}"[:_LONGEST] if self.prefix else name

    def branch(self, label: str) -> Scope:
        """The scope of a subgraph of the node `label`, which reads the values around it."""
        return self._replace(names=self.names.new_child(), prefix=prefix_of(label))

    def attributes_of(self, proto: Any, what: str) -> Iterator[Tuple[str, Any]]:
        """The attributes of a node by name, with those that the function call gives in their places."""
        for attribute in proto.attribute:
            name = text(attribute.name, f"{what}: attribute name")
            reference = text(attribute.ref_attr_name, f"{what}: attribute name")
            if not reference:
                yield name, attribute
            elif self.attributes is None:
                raise ModelFormatError(f"{what}: attribute {name!r} refers to a function's, outside of one")
            elif reference in self.attributes:
                yield name, self.attributes[reference]


def functions_of(model: Any) -> Mapping[Function, Any]:
    """The functions that the file defines."""
    functions: Dict[Function, Any] = {}
    for proto in model.functions:
        key = (
            text(proto.domain, "function domain"),
            text(proto.name, "function name"),
            text(getattr(proto, "overload", ""), "function overload"),
        )
        if key in functions:
            raise ModelFormatError(f"the function {'.'.join(key[:2])!r} is defined twice")
        functions[key] = proto
    return functions


def opset_of(function: Any, default: int) -> int:
    """The opset of the standard domain that a function asks for."""
    versions = [one.version for one in function.opset_import if one.domain in STANDARD_DOMAINS]
    return int(versions[0]) if versions else default


def prefix_of(label: str) -> str:
    """The start of all names that come from the body of the node `label`."""
    return f"{label[: _LONGEST // 2]}/"
