"""GraphProto -> Graph: names and order are checked, unsupported operators listed."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Graph, Names, Node, Tensor
from cnnviz.graph.schema import MAX_LIST, SCHEMAS, STANDARD_DOMAINS, bind, complete, has_schema
from cnnviz.reader.attributes import decode_attributes, decode_constant
from cnnviz.reader.opsets import RENAMED, normalise, refuse_training
from cnnviz.reader.part import Part
from cnnviz.reader.tensors import MAX_NDIM, TensorDecoder, data_type_name, text

__all__ = ["GraphReader"]


class _Problem(NamedTuple):
    """A node that needs something that cnnviz does not support."""

    label: str
    node: str
    operators: Tuple[str, ...]


class GraphReader:
    """A reader of a part of one GraphProto, which it walks once, in the file's order."""

    def __init__(self, model: Any, opset: int, decoder: TensorDecoder, part: Part) -> None:
        self._part = part
        self._opset = opset
        self._functions = {(text(f.domain, "function"), text(f.name, "function")) for f in model.functions}
        self._decoder = decoder
        self._constants: Dict[str, NDArray[Any]] = {}
        self._nodes: List[Node] = []
        self._node_names = Names()
        self._defined: Set[str] = set()
        self._value_names = Names()  # every value of the file, once `_reserve` has run
        self._data: Set[str] = set()  # names of the values that depend on the picture
        self._left_out: Dict[str, Node] = {}  # dropped second output -> its node
        self._problems: List[_Problem] = []

    def read(self) -> Graph:
        """The part of the file's graph, in the newest opset's terms."""
        self._refuse_operators()
        for proto in self._part.initializers:
            name = self._define(text(proto.name, "initializer name"), "an initializer")
            self._constants[name] = self._decoder.decode(proto, f"initializer {name!r}")
        inputs = self._inputs()
        self._reserve()
        for index, proto in enumerate(self._part.nodes):
            self._read_node(index, proto)
        outputs = self._outputs()
        self._raise_problems()
        return Graph(inputs, outputs, tuple(self._nodes), self._constants)

    def _refuse_operators(self) -> None:
        """Raise one error for all unsupported operators, before any node is read in detail."""
        for index, proto in enumerate(self._part.nodes):
            op, domain = text(proto.op_type, "op_type"), text(proto.domain, "node domain")
            label = op if domain in STANDARD_DOMAINS else f"{domain}.{op}"
            if domain not in STANDARD_DOMAINS and (domain, op) in self._functions:
                self._refuse_operator(index, proto, label, f"{label} (a function of the file)")
            elif domain not in STANDARD_DOMAINS and not has_schema(op, domain):
                self._refuse_operator(index, proto, label, f"{label} (custom domain)")
            elif not op:
                raise ModelFormatError(f"node {index} has no op_type")
            elif not has_schema(op, domain) and op not in RENAMED and op != "Constant":
                self._refuse_operator(index, proto, label, label)
        self._raise_problems()

    def _refuse_operator(self, index: int, proto: Any, op: str, label: str) -> None:
        name = text(proto.name, "node name") or f"node {index}"
        self._problems.append(_Problem(label, name, (op,)))

    def _raise_problems(self) -> None:
        """Raise one error for all problems: each label once, with the first nodes that have it."""
        if not self._problems:
            return
        nodes: Dict[str, List[str]] = {}
        for problem in self._problems:
            nodes.setdefault(problem.label, []).append(problem.node)
        lines = [f"  {label}: {_some(list(dict.fromkeys(names)))}" for label, names in sorted(nodes.items())]
        operators = [op for problem in self._problems for op in problem.operators]
        message = "the model needs operators or modes that cnnviz does not support:\n" + "\n".join(lines)
        raise UnsupportedModelError(message, operators)

    def _define(self, name: str, what: str) -> str:
        if not name:
            raise ModelFormatError(f"{what} has no name")
        if name in self._defined:
            raise ModelFormatError(f"the value {name!r} is defined twice, the second time by {what}")
        self._defined.add(name)
        return name

    def _inputs(self) -> Tuple[Tensor, ...]:
        inputs: List[Tensor] = []
        seen: Set[str] = set()
        for proto in self._part.inputs:
            name = text(proto.name, "input name")
            if name in seen:
                raise ModelFormatError(f"the input {name!r} is listed twice")
            seen.add(name)
            if name not in self._constants:  # up to IR 3 initializers are listed as inputs too
                self._define(name, "an input")
                inputs.append(_tensor(proto, name, "input"))
                self._data.add(name)
        return tuple(inputs)

    def _outputs(self) -> Tuple[Tensor, ...]:
        outputs = []
        for proto in self._part.outputs:
            name = text(proto.name, "output name")
            self._require(name, f"output {name!r}", len(self._part.nodes))
            outputs.append(_tensor(proto, name, "output"))
        if not outputs:
            raise ModelFormatError("the graph has no output")
        if len({tensor.name for tensor in outputs}) < len(outputs):
            raise ModelFormatError("an output is listed twice")
        return tuple(outputs)

    def _reserve(self) -> None:
        made = (text(name, "output name") for proto in self._part.nodes for name in proto.output)
        self._value_names = Names((*self._defined, *made))

    def _read_node(self, index: int, proto: Any) -> None:
        node = self._node(index, proto)
        for name in node.inputs:
            if name:
                self._require(name, f"node {node.name!r} ({node.op})", index)
        if node.op == "Constant":
            name = self._define(node.outputs[0], f"node {node.name!r}")
            self._constants[name] = decode_constant(proto, self._decoder, f"node {node.name!r} (Constant)")
            return
        try:
            for part in normalise(self._drop_training_outputs(node), self._opset, self._value_names.fresh):
                self._append(part)
        except UnsupportedModelError as error:
            self._problems.append(_Problem(str(error), node.name, error.operators))
            self._defined.update(node.outputs)  # so that the nodes that read them are checked too

    def _node(self, index: int, proto: Any) -> Node:
        """The node as the file has it, named, its lists bounded."""
        op = text(proto.op_type, "op_type")
        outputs = tuple(text(name, "output name") for name in proto.output)
        if not any(outputs):
            raise ModelFormatError(f"node {index} ({op}) has no output")
        hint = text(proto.name, "node name") or next(filter(None, outputs))
        name = self._node_names.fresh(hint)
        if max(len(proto.input), len(outputs)) > MAX_LIST:
            raise ModelFormatError(f"node {name!r} ({op}) has more than {MAX_LIST} inputs or outputs")
        inputs = tuple(text(value, "input name") for value in proto.input)
        if op == "Constant":
            return Node(op, name, inputs, outputs)
        attributes = decode_attributes(proto, self._decoder, f"node {name!r} ({op})")
        return Node(op, name, inputs, outputs, attributes)

    def _require(self, name: str, reader: str, index: int) -> None:
        if name in self._left_out:
            node = self._left_out[name]
            label = f"{node.op} (only its first output is supported)"
            self._problems.append(_Problem(label, node.name, (node.op,)))
            return
        if name in self._defined:
            return
        later = any(name in other.output for other in self._part.nodes[index:])
        reason = (
            "which only a later node makes (a cycle, or out of order)" if later else "which no node makes"
        )
        raise ModelFormatError(f"{reader} reads {name!r}, {reason}")

    def _drop_training_outputs(self, node: Node) -> Node:
        """Drop the outputs after the first, which only training reads; `_require` reports their readers."""
        if SCHEMAS[RENAMED.get(node.op, node.op)].many_outputs:
            return node
        for name in filter(None, node.outputs[1:]):
            self._define(name, f"node {node.name!r}")
            self._left_out[name] = node
        if not node.outputs[0]:
            raise ModelFormatError(f"node {node.name!r} ({node.op}) has no name for its first output")
        return node.replace(outputs=node.outputs[:1])

    def _append(self, node: Node) -> None:
        """Bind, complete and check one node of the newest opset, and add it to the graph."""
        node = complete(bind(node, self._constants))
        refuse_training(node)
        schema = SCHEMAS[node.op]
        data = [name for name in node.inputs if name in self._data]
        if data and schema.traits.reads == "constants":
            raise UnsupportedModelError(f"{node.op} (of a value that depends on the picture)", [node.op])
        for position, operand in schema.operands.items():
            if position < len(node.inputs) and node.inputs[position] in self._data:
                raise UnsupportedModelError(f"{node.op} ({operand} depends on the picture)", [node.op])
        for name in filter(None, node.outputs):
            self._define(name, f"node {node.name!r}")
            if data and schema.traits.reads != "shape":
                self._data.add(name)
        self._nodes.append(node)


def _tensor(proto: Any, name: str, what: str) -> Tensor:
    """The Tensor of a ValueInfoProto; old exporters wrote 0 or -1 for a free dimension."""
    if not proto.HasField("type"):
        return Tensor(name, None)
    if not proto.type.HasField("tensor_type"):
        raise UnsupportedModelError(f"{what} {name!r} is not a tensor")
    try:
        data_type_name(proto.type.tensor_type.elem_type)
    except (ModelFormatError, UnsupportedModelError) as error:
        raise type(error)(f"{what} {name!r}: {error}") from None
    if not proto.type.tensor_type.HasField("shape"):
        return Tensor(name, None)
    dims: List[Optional[int]] = []
    for dim in proto.type.tensor_type.shape.dim:
        known = dim.HasField("dim_value") and dim.dim_value not in (0, -1)
        if known and dim.dim_value < 0:
            raise ModelFormatError(f"{what} {name!r} has a dimension of {dim.dim_value}")
        dims.append(int(dim.dim_value) if known else None)
    if len(dims) > MAX_NDIM:
        raise UnsupportedModelError(
            f"{what} {name!r} has {len(dims)} dimensions, at most {MAX_NDIM} are supported"
        )
    return Tensor(name, tuple(dims))


def _some(names: List[str]) -> str:
    """The first five names, and the number of the others."""
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
