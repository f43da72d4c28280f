"""Graph -> _core.Plan, for one shape of the inputs.

One builder call per operator, in the graph's order. Values that follow from the shapes alone (what exporters
compute around Reshape) are evaluated here and never reach the plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz._config import _core
from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.fork_lock import ForkLock
from cnnviz.graph.fold import Budget, can_evaluate, evaluate, shape_value
from cnnviz.graph.graph import Graph, Node
from cnnviz.graph.schema import SCHEMAS, bind
from cnnviz.lower_arithmetic import ROWS as ARITHMETIC
from cnnviz.lower_linear import ROWS as LINEAR
from cnnviz.lower_shapes import ROWS as SHAPES
from cnnviz.lower_shapes import rebatched
from cnnviz.lower_windows import ROWS as WINDOWS

__all__ = ["Lowered", "Lowering", "Weights", "lower", "supported_ops"]

# 8 GiB of float32. No network comes near it, and files that ask for more do so to exhaust the memory.
MAX_VALUE_ELEMENTS = 1 << 31

_ROWS = {**ARITHMETIC, **LINEAR, **SHAPES, **WINDOWS}


def supported_ops() -> FrozenSet[str]:
    """The ONNX operators that a model may hold, in the newest opset's words."""
    return frozenset(SCHEMAS) | {"Constant", "Upsample"}


@dataclass(frozen=True)
class Lowered:
    """A plan that is not prepared yet, and where the graph's values are in it.

    Attributes
    ----------
    plan : _core.Plan
    values : mapping of str to int
        Value name -> value id. Values that were evaluated in advance are not in it.
    inputs : tuple of str
        The order in which `plan.forward` wants them.
    """

    plan: _core.Plan
    values: Mapping[str, int]
    inputs: Tuple[str, ...]


class Weights:
    """The constants of one graph in the form that plans read, made when first asked for.

    All plans of a model share one: the numbers exist once, and so do the forms that kernels pack from them.
    Safe to use from several threads.

    Parameters
    ----------
    graph : Graph
    """

    def __init__(self, graph: Graph) -> None:
        self._arrays = graph.constants
        self._made: Dict[Tuple[str, str], _core.Constant] = {}
        self._lock = ForkLock()

    def get(
        self, name: str, form: str = "", make: Optional[Callable[[NDArray[Any]], NDArray[Any]]] = None
    ) -> _core.Constant:
        """The constant `name`, or what `make` turns it into; `form` identifies what `make` does."""
        with self._lock:
            if (name, form) not in self._made:
                self._made[name, form] = as_constant(self._arrays[name], make)
            return self._made[name, form]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def packed_nbytes(self) -> Dict[str, int]:
        """Return the bytes of the forms that kernels have packed so far, by constant."""
        with self._lock:
            nbytes = dict.fromkeys((name for name, _ in self._made), 0)
            for (name, _), constant in self._made.items():
                nbytes[name] += constant.packed_nbytes
        return nbytes


def as_constant(
    array: NDArray[Any], make: Optional[Callable[[NDArray[Any]], NDArray[Any]]] = None
) -> _core.Constant:
    """A constant of the core with these numbers, or with what `make` turns them into."""
    if make is not None:
        with np.errstate(all="ignore"):  # a file may well hold infinite weights
            array = make(array)
    return _core.Constant(np.ascontiguousarray(array, np.float32).reshape(array.shape))


class Lowering:
    """The state of one walk over a graph; what the rows of the lowering tables work on.

    Attributes
    ----------
    plan : _core.Plan
    known : mapping of str to ndarray
        Values whose numbers do not depend on what is fed.
    batch, declared_batch : int or None
        The leading dimension of the first input, as it is and as the file declares it.
    """

    def __init__(self, graph: Graph, input_shapes: Mapping[str, Tuple[int, ...]], weights: Weights) -> None:
        self.plan = _core.Plan()
        self.known: Dict[str, NDArray[Any]] = dict(graph.constants)
        self.values: Dict[str, int] = {}
        self._weights = weights
        self._budget = Budget()
        for tensor in graph.inputs:
            self.values[tensor.name] = self.plan.input(input_shapes[tensor.name], name=tensor.name)
        self.batch: Optional[int] = None
        self.declared_batch: Optional[int] = None
        if graph.inputs and input_shapes[graph.inputs[0].name]:
            self.batch = input_shapes[graph.inputs[0].name][0]
            self.declared_batch = (graph.inputs[0].shape or (None,))[0]

    def id(self, name: str) -> int:
        """The plan's value for a value of the graph."""
        if name not in self.values:
            constant = self._weights.get(name) if name in self._weights else as_constant(self.known[name])
            self.values[name] = self.plan.constant(constant, name=name)
        return self.values[name]

    def shape(self, name: str) -> Tuple[int, ...]:
        """The shape of a value of the graph."""
        return self.known[name].shape if name in self.known else self.plan.shape(self.values[name])

    def derived(self, name: str, form: str, make: Callable[[NDArray[Any]], NDArray[Any]]) -> int:
        """A known value in another form, which all plans of the model share if they can."""
        if name in self._weights:
            constant = self._weights.get(name, form, make)
        else:
            constant = as_constant(self.known[name], make)
        return self.plan.constant(constant, name=f"{name} {form}")

    def number(self, value: float) -> int:
        """A scalar as a value of the plan."""
        return self.array(np.full((), value, np.float32), f"{value:g}")

    def array(self, array: NDArray[Any], name: str) -> int:
        """Numbers that lowering makes up, as a value of the plan."""
        return self.plan.constant(as_constant(array), name=name)

    def spend(self, elements: int, node: Node) -> None:
        """Raise before lowering makes up more numbers than a graph may have."""
        self._budget.spend(elements, node)

    def node(self, node: Node) -> None:
        """Evaluate one node, or append what computes it to the plan."""
        if node.op == "Reshape" and "shape" in node.attributes and node.inputs[0] not in self.known:
            node = rebatched(node, self.shape(node.inputs[0]), self.declared_batch, self.batch)
        node = bind(node, self.known)
        inputs = [name for name in node.inputs if name]
        if node.op in ("Shape", "Size"):
            self.known[node.outputs[0]] = shape_value(node, self.shape(inputs[0]))
        elif can_evaluate(node) and all(name in self.known for name in inputs):
            results = evaluate(node, [self.known[name] for name in inputs], self._budget)
            self.known.update(zip(node.outputs, results))
        else:
            self._append(node)

    def _append(self, node: Node) -> None:
        pending = [name for i, name in SCHEMAS[node.op].operands.items() if i < len(node.inputs)]
        if pending:
            raise UnsupportedModelError(
                f"node {node.name!r} ({node.op}): {pending[0]} depends on the numbers that are fed", [node.op]
            )
        if node.op not in _ROWS:
            raise UnsupportedModelError(
                f"node {node.name!r}: {node.op} is only supported on values that are known in advance",
                [node.op],
            )
        ids = _ROWS[node.op](self, node)
        for name, value in zip(node.outputs, ids if isinstance(ids, tuple) else (ids,)):
            size = math.prod(self.plan.shape(value))
            if size > MAX_VALUE_ELEMENTS:
                raise ValueError(f"{node.name}: {name!r} would have {size} elements")
            if name:
                self.values[name] = value


def lower(graph: Graph, input_shapes: Mapping[str, Sequence[int]], weights: Weights) -> Lowered:
    """Build the plan of a graph for inputs of the given shapes.

    The batch may differ from the one that the file declares: a Reshape whose hard-coded leading dimension
    stands for the file's batch follows the real one. So may the spatial size, where the network allows it.

    Parameters
    ----------
    graph : Graph
    input_shapes : mapping of str to sequence of int
        A shape for each of the graph's inputs.
    weights : Weights
        Of the same graph.

    Raises
    ------
    ValueError
        Some node does not accept its shapes; a ModelFormatError when the file itself declares these shapes.
    UnsupportedModelError
        Some node needs numbers in advance that depend on what is fed.
    """
    shapes = {tensor.name: _input_shape(graph, tensor.name, input_shapes) for tensor in graph.inputs}
    node: Optional[Node] = None
    try:
        lowering = Lowering(graph, shapes, weights)
        for node in graph.nodes:
            lowering.node(node)
        for tensor in graph.outputs:
            lowering.id(tensor.name)
    except (ModelFormatError, UnsupportedModelError):
        raise
    except (ValueError, IndexError) as error:
        raise _blame(graph, shapes)(_located(error, node)) from None
    return Lowered(lowering.plan, lowering.values, tuple(shapes))


def _input_shape(graph: Graph, name: str, shapes: Mapping[str, Sequence[int]]) -> Tuple[int, ...]:
    if name not in shapes:
        raise ValueError(f"input_shapes has no shape for the input {name!r}")
    shape = tuple(int(n) for n in shapes[name])
    declared = next(tensor.shape for tensor in graph.inputs if tensor.name == name)
    if declared is not None and len(declared) != len(shape):
        raise ValueError(f"input {name!r} has {len(declared)} dimensions, not {len(shape)} as in {shape}")
    return shape


def _located(error: Exception, node: Optional[Node]) -> str:
    """The message, with the node in front unless it is there already."""
    message = str(error)
    if node is None or message.startswith(node.name):
        return message
    return f"{node.name} ({node.op}): {message}"


def _blame(graph: Graph, shapes: Mapping[str, Tuple[int, ...]]) -> Callable[[str], ValueError]:
    """The file, when it says itself that it takes these shapes; otherwise the caller."""
    for tensor in graph.inputs:
        declared = tensor.shape or (None,)
        if any(n not in (None, given) for n, given in zip(declared, shapes[tensor.name])):
            return ValueError
        if None in declared[2:]:  # other spatial sizes than the network takes
            return ValueError
    return ModelFormatError
