"""GraphProto -> Graph: names are checked, nodes put in order, unsupported operators listed."""

from __future__ import annotations

from typing import Any, ChainMap, Container, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Graph, Names, Node, Tensor
from cnnviz.graph.schema import (
    MAX_LIST,
    NEWEST_OPSET,
    OLDEST_OPSET,
    SCHEMAS,
    STANDARD_DOMAINS,
    bind,
    complete,
)
from cnnviz.reader.attributes import decode_attributes, decode_constant
from cnnviz.reader.declared import declared, declared_shapes
from cnnviz.reader.element_types import result_types, typed
from cnnviz.reader.former import Ranks, modernise
from cnnviz.reader.known import KnownValues
from cnnviz.reader.opsets import (
    OLDEST_READ,
    is_read,
    name_of,
    normalise,
    refuse_training,
    rewritten,
    schema_of,
)
from cnnviz.reader.order import in_order, node_label
from cnnviz.reader.part import Part
from cnnviz.reader.problems import Problem, refusal
from cnnviz.reader.scope import Function, Scope, functions_of, opset_of, prefix_of
from cnnviz.reader.structures import STRUCTURES
from cnnviz.reader.tensors import TensorDecoder, text

__all__ = ["GraphReader"]

# The limit for what branches and functions put into the graph, in bytes of their nodes and this much more for
# each node; twice the file comes on top. Functions that call functions can ask for 2**50 nodes in a file of a
# few hundred bytes.
MAX_INLINED_NBYTES = 1 << 24
_NODE_NBYTES = 1024
_MOST_CALLS = 64  # the deepest nesting of functions
_FLOAT32 = 1  # TensorProto.FLOAT


class GraphReader:
    """A reader of a part of one GraphProto, whose nodes it takes in topological order.

    The chosen branch of an If, the bodies of the file's functions, and that of a loop for each iteration, are
    read in the node's place.
    """

    def __init__(self, model: Any, opset: int, decoder: TensorDecoder, part: Part) -> None:
        self._part = part
        self._opset = opset
        self._functions = functions_of(model)
        self._decoder = decoder
        self._constants: Dict[str, NDArray[Any]] = {}
        self._known = KnownValues(self._constants)
        self._ranks = Ranks()
        self._types: Dict[str, int] = {}  # the element types of values
        self._nodes: List[Node] = []
        self._node_names = Names()
        self._defined: Set[str] = set()
        self._value_names = Names()  # every value of the main graph, once `_reserve` has run
        self._inlinable = MAX_INLINED_NBYTES + 2 * model.ByteSize()  # what branches and functions may take
        self._data: Set[str] = set()  # names of the values that depend on the picture
        self._left_out: Dict[str, Node] = {}  # dropped second output -> its node
        self._problems: List[Problem] = []
        self.sequences: Dict[str, Tuple[str, ...]] = {}  # the elements of sequences of values
        self._shapes = declared_shapes((*model.graph.value_info, *model.graph.input))

    def read(self) -> Graph:
        """The part of the file's graph, in the newest opset's terms."""
        scope = Scope(self._opset, ChainMap())
        self._refuse_operators(self._part.nodes)
        self._read_initializers(self._part.initializers, scope)
        inputs = self._inputs()
        self._reserve()
        self._read_nodes(self._part.nodes, scope, frozenset(self._defined))
        outputs = self._outputs()
        self.raise_problems()
        return Graph(inputs, outputs, tuple(self._nodes), self._constants)

    def _refuse_operators(self, protos: Sequence[Any]) -> None:
        """Raise one error for all unsupported operators, before any node is read in detail."""
        for index, proto in enumerate(protos):
            op, domain = text(proto.op_type, "op_type"), text(proto.domain, "node domain")
            label = op if domain in STANDARD_DOMAINS else f"{domain}.{op}"
            if not op:
                raise ModelFormatError(f"node {index} has no op_type")
            if self._function_of(proto) is not None:
                continue
            if not is_read(op, domain):
                custom = "" if domain in STANDARD_DOMAINS else " (custom domain)"
                self._refuse_operator(index, proto, label, label + custom)
        self.raise_problems()

    def _function_of(self, proto: Any) -> Optional[Function]:
        """The function of the file that a node calls; none of them stands for a standard operator."""
        key = (proto.domain, proto.op_type, getattr(proto, "overload", ""))
        return key if proto.domain not in STANDARD_DOMAINS and key in self._functions else None

    def _refuse_operator(self, index: int, proto: Any, op: str, label: str) -> None:
        self._problems.append(Problem(label, node_label(index, proto), (op,)))

    def raise_problems(self) -> None:
        """Raise one error for all problems: each label once, with the first nodes that have it."""
        if self._problems:
            raise refusal(self._problems)

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
                inputs.append(declared(proto, name, "input"))
                if inputs[-1].shape is not None:
                    self._ranks.set(name, len(inputs[-1].shape))
                self._data.add(name)
                self._types[name] = proto.type.tensor_type.elem_type or _FLOAT32
        return tuple(inputs)

    def _outputs(self) -> Tuple[Tensor, ...]:
        outputs = []
        for proto in self._part.outputs:
            name = text(proto.name, "output name")
            self._require(name, f"output {name!r}")
            if name in self.sequences:
                raise UnsupportedModelError(f"the output {name!r} is a sequence of tensors")
            outputs.append(declared(proto, name, "output"))
        if not outputs:
            raise ModelFormatError("the graph has no output")
        if len({tensor.name for tensor in outputs}) < len(outputs):
            raise ModelFormatError("an output is listed twice")
        return tuple(outputs)

    def _reserve(self) -> None:
        made = (text(name, "output name") for proto in self._part.nodes for name in proto.output)
        self._value_names = Names((*self._defined, *made))

    def _read_initializers(self, protos: Sequence[Any], scope: Scope) -> None:
        for proto in protos:
            name = self._define(scope.value(proto.name), "an initializer")
            self._constants[name] = self._decoder.decode(proto, f"initializer {name!r}")
            self._types[name] = proto.data_type
            self._ranks.set(name, self._constants[name].ndim)

    def _read_nodes(self, protos: Sequence[Any], scope: Scope, given: Container[str]) -> None:
        """Read the nodes of a graph, branch or function in which the values `given` are defined already."""
        for index, proto in in_order(protos, given):
            if scope.prefix:
                self._inlinable -= proto.ByteSize() + _NODE_NBYTES
            if self._inlinable < 0:
                raise ModelFormatError(f"{scope.prefix!r}: branches and functions make too many nodes")
            self._read_node(index, proto, scope)

    def _read_node(self, index: int, proto: Any, scope: Scope) -> None:
        node, function = self._node(index, proto, scope), self._function_of(proto)
        for name in filter(None, node.inputs):
            self._require(name, f"node {node.name!r} ({node.op})")
        if function is not None:
            self._call(node, function, proto, scope)
        elif node.op in STRUCTURES:
            STRUCTURES[node.op](self, node, dict(scope.attributes_of(proto, f"node {node.name!r}")), scope)
        elif node.op == "Constant":
            self._read_constant(node, proto, scope)
        elif node.op == "Identity" and node.inputs[:1] and node.inputs[0] in self.sequences:
            self.hand_out(node, node.inputs[0], node.outputs[0])
        else:
            self._read_operator(node, proto, scope)

    def _node(self, index: int, proto: Any, scope: Scope) -> Node:
        """The node as the file has it, without attributes, named, its lists bounded."""
        op = name_of(text(proto.op_type, "op_type"), text(proto.domain, "node domain"))
        if max(len(proto.input), len(proto.output)) > MAX_LIST:
            label = node_label(index, proto)
            raise ModelFormatError(f"node {label!r} ({op}) has more than {MAX_LIST} inputs or outputs")
        outputs = tuple(scope.value(name) for name in proto.output)
        if not any(outputs):
            raise ModelFormatError(f"node {index} ({op}) has no output")
        own = text(proto.name, "node name")
        name = self._node_names.fresh(scope.inner(own) if own else next(filter(None, outputs)))
        return Node(op, name, tuple(scope.value(value) for value in proto.input), outputs)

    def _read_constant(self, node: Node, proto: Any, scope: Scope) -> None:
        what = f"node {node.name!r} (Constant)"
        value, element_type = decode_constant(scope.attributes_of(proto, what), self._decoder, what)
        self._hold(node, value, element_type)

    def _hold(self, node: Node, value: NDArray[Any], element_type: int) -> None:
        """Take the result of a node in as a constant."""
        name = self._define(node.outputs[0], f"node {node.name!r}")
        self._constants[name], self._types[name] = value, element_type
        self._ranks.set(name, value.ndim)

    def _read_operator(self, node: Node, proto: Any, scope: Scope) -> None:
        what = f"node {node.name!r} ({node.op})"
        given = scope.attributes_of(proto, what)
        node = node.replace(attributes=decode_attributes(node.op, scope.opset, given, self._decoder, what))
        node = self._drop_training_outputs(node)
        try:
            for part in self._modern(node, scope.opset):
                if part.op == "Constant":
                    self._hold(part, part.attributes["value"], _FLOAT32)
                else:
                    self._append(part)
        except UnsupportedModelError as error:
            self.refuse(node, str(error), error.operators)

    def _modern(self, node: Node, opset: int) -> Iterator[Node]:
        """The nodes of the newest opset that compute what a node of the file does."""
        fresh = self._value_names.fresh
        older = modernise(node, opset, self._ranks, fresh) if opset < OLDEST_READ else [node]
        for part in (part for one in older for part in rewritten(one, self._ranks.get, fresh)):
            for modern in normalise(part, opset, fresh):
                moving = not self._data.isdisjoint(modern.inputs)
                yield from typed(modern, self._types, moving, fresh)

    def known(self, name: str) -> Optional[NDArray[Any]]:
        """Return the array of a value that does not depend on the picture, None for other values."""
        return self._known.get(name)

    def unknown(self, name: str) -> str:
        """Say why a value is not known."""
        return "depends on the picture" if name in self._data else "is not a constant"

    def extent(self, name: str, axis: int) -> Optional[int]:
        """Return the extent of a value along an axis, None when the file does not declare it."""
        found = self._constants.get(name)
        shape = self._shapes.get(name, ()) if found is None else found.shape
        return shape[axis] if -len(shape) <= axis < len(shape) else None

    def has_room(self, body: Any) -> bool:
        """Take an iteration from what bodies may put into the graph; False when its nodes do not fit."""
        self._inlinable -= _NODE_NBYTES
        return self._inlinable >= sum(proto.ByteSize() + _NODE_NBYTES for proto in body.node)

    def constant(self, hint: str, value: NDArray[Any], element_type: int) -> str:
        """Add a constant under a fresh name, which is returned."""
        name = self._value_names.fresh(hint)
        self._hold(Node("Constant", hint, (), (name,)), value, element_type)
        return name

    def fresh(self, hint: str) -> str:
        """Return a name that no value has yet."""
        return self._value_names.fresh(hint)

    def define_sequence(self, node: Node, elements: Tuple[str, ...]) -> None:
        """Let the output of a node stand for a sequence of values."""
        self.sequences[self._define(node.outputs[0], f"node {node.name!r}")] = elements

    def hand_out(self, node: Node, name: str, output: str) -> None:
        """Let an output of a node stand for a value or a sequence of its body."""
        if name in self.sequences:
            self.define_sequence(node.replace(outputs=(output,)), self.sequences[name])
        else:
            self.add(Node("Identity", f"{node.name}/{output}", (name,), (output,)))

    def add(self, node: Node) -> None:
        """Append a node that stands for a part of another one; its inputs must be defined."""
        for name in filter(None, node.inputs):
            self._require(name, f"node {node.name!r} ({node.op})")
        self._append(node.replace(name=self._node_names.fresh(node.name)))

    def refuse(self, node: Node, label: str, operators: Tuple[str, ...]) -> None:
        """Note a node that is not supported; its outputs are defined, so that their readers are checked."""
        self._problems.append(Problem(label, node.name, operators))
        self._defined.update(node.outputs)

    def _call(self, node: Node, key: Function, proto: Any, scope: Scope) -> None:
        """Read the body of a function of the file."""
        label, function = f"function {'.'.join(key[:2])!r}", self._functions[key]
        if key in scope.calls or len(scope.calls) >= _MOST_CALLS:
            raise ModelFormatError(
                f"node {node.name!r}: {label} calls itself, or lies in {_MOST_CALLS} other functions"
            )
        if len(node.inputs) > len(function.input) or len(node.outputs) > len(function.output):
            raise ModelFormatError(f"node {node.name!r}: {label} has fewer inputs or outputs than the node")
        absent = [""] * (len(function.input) - len(node.inputs))
        formal = [text(name, f"{label}: input name") for name in function.input]
        names = ChainMap(dict(zip(formal, [*node.inputs, *absent])))
        attributes = {text(one.name, f"{label}: attribute name"): one for one in function.attribute_proto}
        attributes.update(scope.attributes_of(proto, f"node {node.name!r}"))
        opset = opset_of(function, scope.opset)
        if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
            raise UnsupportedModelError(f"{label} has opset {opset}, not {OLDEST_OPSET} to {NEWEST_OPSET}")
        inner = Scope(opset, names, prefix_of(node.name), attributes, (*scope.calls, key))
        self.inline(node, function.node, (), function.output[: len(node.outputs)], inner)

    def inline(
        self,
        node: Node,
        protos: Sequence[Any],
        initializers: Sequence[Any],
        results: Sequence[Any],
        scope: Scope,
    ) -> None:
        """Read nodes in the place of `node`, whose outputs are their `results`."""
        if len(results) != len(node.outputs):
            raise ModelFormatError(
                f"node {node.name!r} ({node.op}): has {len(node.outputs)} outputs, its body {len(results)}"
            )
        self.read_initializers(initializers, scope)
        self.read_body(node, protos, scope)
        for name, output in zip(results, node.outputs):
            if output:
                self.hand_out(node, scope.value(name), output)

    def read_initializers(self, protos: Sequence[Any], scope: Scope) -> None:
        """Take initializers of a body in, under fresh names."""
        for proto in protos:
            scope.names[proto.name] = self._value_names.fresh(scope.inner(text(proto.name, "initializer")))
        self._read_initializers(protos, scope)

    def read_body(self, node: Node, protos: Sequence[Any], scope: Scope) -> None:
        """Read the nodes of a body, under fresh names; the names of its scope are its inputs."""
        given = set(scope.names.maps[0])
        for name in dict.fromkeys(name for proto in protos for name in proto.output if name):
            if name in given:
                raise ModelFormatError(
                    f"node {node.name!r} ({node.op}): its body makes its own input {name!r}"
                )
            scope.names[name] = self._value_names.fresh(scope.inner(text(name, "name of a value")))
        self._refuse_operators(protos)
        self._read_nodes(protos, scope, given)

    def _require(self, name: str, reader: str) -> None:
        if name in self._left_out:
            node = self._left_out[name]
            label = f"{node.op} (only its first output is supported)"
            self._problems.append(Problem(label, node.name, (node.op,)))
        elif name not in self._defined:
            raise ModelFormatError(f"{reader} reads {name!r}, which no node makes")

    def _drop_training_outputs(self, node: Node) -> Node:
        """Drop the outputs after the first, which only training reads; `_require` reports their readers."""
        if schema_of(node.op).many_outputs:
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
        listed = [name for name in node.inputs if name in self.sequences]
        if listed:
            raise UnsupportedModelError(f"{node.op} (of {listed[0]!r}, a sequence)", [node.op])
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
        self._known.add(node)
        self._ranks.add(node)
        self._types.update(zip(node.outputs, result_types(node, self._types)))
