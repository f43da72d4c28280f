"""Graph -> _core.Plan, for one shape of the inputs.

One builder call per operator, in the graph's order. Values that follow from the shapes alone (the arithmetic
on sizes that exporters write around Reshape) are evaluated here and never reach the plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from numpy.typing import NDArray

from cnnviz._config import _core
from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.fold import can_evaluate, evaluate, shape_value
from cnnviz.graph.graph import Graph, Node
from cnnviz.graph.schema import SCHEMAS, bind
from cnnviz.lowering.attention import ROWS as ATTENTION
from cnnviz.lowering.batch import MixedBatchError
from cnnviz.lowering.batched_plan import BatchedPlan
from cnnviz.lowering.einsum import ROWS as EINSUM
from cnnviz.lowering.elementwise import ROWS as ELEMENTWISE
from cnnviz.lowering.functions import ROWS as FUNCTIONS
from cnnviz.lowering.indexing import ROWS as INDEXING
from cnnviz.lowering.logic import ROWS as LOGIC
from cnnviz.lowering.movement import ROWS as MOVEMENT
from cnnviz.lowering.products import ROWS as PRODUCTS
from cnnviz.lowering.quantized import ROWS as QUANTIZED
from cnnviz.lowering.recurrent import ROWS as RECURRENT
from cnnviz.lowering.sampling import ROWS as SAMPLING
from cnnviz.lowering.state import Lowering
from cnnviz.lowering.weights import Weights
from cnnviz.lowering.windows import ROWS as WINDOWS
from cnnviz.one_line import times

__all__ = ["Lowered", "MixedBatchError", "lower"]

# The limit for one value of a plan: 8 GiB of float32. No known network comes near it; a file that asks for
# more is made to exhaust the memory.
MAX_VALUE_ELEMENTS = 1 << 31

_ROWS = {
    **ATTENTION,
    **EINSUM,
    **ELEMENTWISE,
    **FUNCTIONS,
    **INDEXING,
    **LOGIC,
    **MOVEMENT,
    **PRODUCTS,
    **QUANTIZED,
    **RECURRENT,
    **SAMPLING,
    **WINDOWS,
}


@dataclass(frozen=True)
class Lowered:
    """A plan that is not prepared yet, and the plan's value ids by the graph's names.

    Attributes
    ----------
    plan : _core.Plan
    values : mapping of str to int
        Value name -> value id; values that were evaluated in advance are absent.
    inputs : tuple of str
        The names of the graph's inputs, in the order that `plan.forward` expects.
    axes : mapping of str to int
        The axis of the images in a plan of several, for each value in which they have an axis of their own.
    """

    plan: _core.Plan
    values: Mapping[str, int]
    inputs: Tuple[str, ...]
    axes: Mapping[str, int] = field(default_factory=dict)


def lower(
    graph: Graph, input_shapes: Mapping[str, Sequence[int]], weights: Weights, *, apart: bool = False
) -> Lowered:
    """Build the plan of a graph for inputs of the given shapes.

    The batch may differ from the one that the file declares: the plan then computes for each image what the
    file computes for it in a batch of the declared size, and every step is proved to keep the images apart
    (`cnnviz.lowering.batched_plan`). The spatial size may differ too, where the network allows it.

    Parameters
    ----------
    graph : Graph
    input_shapes : mapping of str to sequence of int
        A shape for each of the graph's inputs.
    weights : Weights
        The constants of the same graph.
    apart : bool
        Whether the proof is asked for even if the file declares this batch or leaves it open. An open batch
        counts as one image.

    Raises
    ------
    ValueError
        A node does not accept its shapes; a ModelFormatError when the file itself declares these shapes.
    UnsupportedModelError
        A node needs an operand in advance (the target of Reshape, say) that depends on the picture.
    MixedBatchError
        The images of the batch cannot be followed through a node.
    """
    given = {tensor.name: _input_shape(graph, tensor.name, input_shapes) for tensor in graph.inputs}
    _refuse_size(graph, given)
    shapes, batched = _for_declared_batch(graph, given, apart)
    node: Optional[Node] = None
    try:
        low = Lowering(graph, shapes, weights, batched or _core.Plan())
        for node in graph.nodes:
            _lower_node(low, node)
        for tensor in graph.outputs:
            low.id(tensor.name)
        node = None
        if batched is not None:
            plan, values = batched.finish(low.values, [tensor.name for tensor in graph.outputs])
            return Lowered(plan, values, tuple(shapes), batched.axes(low.values))
    except MixedBatchError as error:
        raise _mixed(error, node, batched) from None
    except (ModelFormatError, UnsupportedModelError):
        raise
    except (ValueError, IndexError) as error:
        raise _blame(graph, given)(_located(error, node)) from None
    return Lowered(low.plan, low.values, tuple(shapes))


def _for_declared_batch(
    graph: Graph, shapes: Mapping[str, Tuple[int, ...]], apart: bool
) -> Tuple[Mapping[str, Tuple[int, ...]], Optional[BatchedPlan]]:
    """The shapes for the batch that the file declares, and a builder for another batch if there is one."""
    first = graph.inputs[0] if graph.inputs else None
    if first is None or not shapes[first.name]:
        return shapes, None
    size, declared = shapes[first.name][0], (first.shape or (None,))[0]
    shown = declared or 1
    if size == shown == 1 or (not apart and declared in (None, size)):
        return shapes, None
    # an input that has a length of its own in the file is no batch, even where it is as long as this one
    may_be = {tensor.name for tensor in graph.inputs if (tensor.shape or (None,))[:1] in ((None,), (shown,))}
    names = frozenset(name for name in may_be if shapes[name][:1] == (size,))
    declared_shapes = {
        name: (shown, *shape[1:]) if name in names else shape for name, shape in shapes.items()
    }
    return declared_shapes, BatchedPlan(shown, size, names)


def _mixed(error: MixedBatchError, node: Optional[Node], plan: Optional[BatchedPlan]) -> MixedBatchError:
    """The error with its node; without one, it is about an output."""
    where = "the network" if node is None else f"node {node.name!r} ({node.op})"
    message = f"{where} mixes the images of a batch: {error}"
    if plan is not None and plan.declared != 1:
        message += f"; the file declares a batch of {plan.declared}: export it with a batch of one"
    return MixedBatchError(message)


def _lower_node(low: Lowering, node: Node) -> None:
    """Evaluate one node in advance, or append its operators to the plan."""
    node = bind(node, low.known)
    inputs = [name for name in node.inputs if name]
    if SCHEMAS[node.op].traits.reads == "shape" and inputs[0] not in low.known:
        low.known[node.outputs[0]] = shape_value(node, low.shape(inputs[0]), low.budget)
    elif can_evaluate(node) and all(name in low.known for name in inputs):
        results = evaluate(node, [low.known[name] for name in inputs], low.budget)
        low.known.update((name, result) for name, result in zip(node.outputs, results) if name)
    elif inputs and all(name in low.known for name in inputs):
        low.known.update(_computed(low, node, inputs))
    else:
        _append(low, node)


def _computed(low: Lowering, node: Node, inputs: Sequence[str]) -> Dict[str, NDArray[Any]]:
    """The results of a node of constants that NumPy has no row for, by the node's own kernels.

    They have the type of the first input: a Resize of integers makes integers.
    """
    graph = Graph((), (), (node,), {name: low.known[name] for name in inputs})
    alone = Lowering(graph, {}, Weights(graph), _core.Plan())
    _append(alone, node)
    low.spend(sum(math.prod(alone.plan.shape(value)) for value in alone.values.values()), node)
    made = {name: alone.values[name] for name in node.outputs if name in alone.values}
    alone.plan.prepare(keep=list(made.values()))
    alone.plan.forward([])
    dtype = low.known[inputs[0]].dtype
    return {name: alone.plan.read(value).astype(dtype, copy=False) for name, value in made.items()}


def _append(low: Lowering, node: Node) -> None:
    pending = [name for i, name in SCHEMAS[node.op].operands.items() if i < len(node.inputs)]
    if pending:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): {pending[0]} depends on the picture", [node.op]
        )
    if node.op not in _ROWS:
        raise UnsupportedModelError(
            f"node {node.name!r}: {node.op} is only supported on values that are known in advance",
            [node.op],
        )
    made = _ROWS[node.op](low, node)
    ids = made if isinstance(made, tuple) else (made,)
    if any(node.outputs[len(ids) :]):
        raise ValueError(f"{node.op} has {len(node.outputs)} outputs, at most {len(ids)} are possible")
    for name, value in zip(node.outputs, ids):
        size = math.prod(low.plan.shape(value))
        if size > MAX_VALUE_ELEMENTS:
            raise ValueError(
                f"{node.name}: {name!r} would have {size} elements, at most {MAX_VALUE_ELEMENTS} are allowed"
            )
        if name:
            low.values[name] = value


def _input_shape(graph: Graph, name: str, shapes: Mapping[str, Sequence[int]]) -> Tuple[int, ...]:
    if name not in shapes:
        raise ValueError(f"input_shapes has no shape for the input {name!r}")
    shape = tuple(int(n) for n in shapes[name])
    declared = next(tensor.shape for tensor in graph.inputs if tensor.name == name)
    if declared is not None and len(declared) != len(shape):
        raise ValueError(f"input {name!r} has {len(declared)} dimensions, not {len(shape)} as in {shape}")
    return shape


def _refuse_size(graph: Graph, shapes: Mapping[str, Tuple[int, ...]]) -> None:
    """Raise ValueError when a value is fixed to the declared size and the input has another."""
    fixed = next((name for node in graph.nodes for name in node.outputs if name in graph.fixed), None)
    for tensor in graph.inputs if fixed is not None else ():
        declared, given = (tensor.shape or ())[2:], shapes[tensor.name][2:]
        if declared and declared != given:
            known = next((name for name, value in graph.aliases.items() if value == fixed), fixed)
            usual = "x".join(map(str, declared))
            raise ValueError(
                f"input {tensor.name!r} has size {times(given)}, and layer {known!r} is right at {usual} "
                "alone, the size of the example that it was exported with: export it with an example "
                "of the size wanted"
            )


def _located(error: Exception, node: Optional[Node]) -> str:
    """The message, with the node in front unless it is there already."""
    message = str(error)
    if node is None or message.startswith(node.name):
        return message
    return f"{node.name} ({node.op}): {message}"


def _blame(graph: Graph, shapes: Mapping[str, Tuple[int, ...]]) -> Callable[[str], ValueError]:
    """The class of an error about shapes: the file's if it declares these shapes, otherwise the caller's."""
    for tensor in graph.inputs:
        if tensor.shape is None:  # the file says nothing about sizes
            return ValueError
        declared = tensor.shape
        if any(n not in (None, given) for n, given in zip(declared, shapes[tensor.name])):
            return ValueError
        if None in declared[2:]:  # the file leaves the size free, the network does not take it
            return ValueError
    return ModelFormatError
