"""Graph -> a simpler Graph that computes the same numbers, up to rounding.

One walk in topological order; the rules are applied to each node once, after its inputs. Names that a rule
removes are recorded: as an alias of the value that has the same numbers, or as vanished, with the reason.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.affine import Affine, affine_of, linear_of, scaled_weights
from cnnviz.graph.fold import Budget, can_evaluate, evaluate
from cnnviz.graph.folding.quantize import limits_of
from cnnviz.graph.graph import FLOAT_TYPES, Graph, Names, Node, consumers, prune
from cnnviz.graph.ranks import ranks
from cnnviz.graph.schema import SCHEMAS, bind

__all__ = ["simplify"]


def simplify(graph: Graph) -> Graph:
    """Drop operators without effect at inference, fold constants, fold affine operators into Conv.

    - Identity, Dropout and casts of activations between float types disappear.
    - Nodes of constants alone are evaluated.
    - Batch normalisation, and addition or multiplication of constants per channel, are folded into the Conv,
      Gemm or BatchNormalization before them, if no other node reads its result.
    - Padding with zeros becomes padding of the convolution that follows.
    - Two Transposes in a row become one, or none.
    - MatMul and Add of constants become Gemm.
    - A quantisation behind a weighted sum gets its Relu back, if its range begins at 0.

    Parameters
    ----------
    graph : Graph
        The graph that `cnnviz.reader.onnx_file.read` returns.

    Returns
    -------
    Graph
        The simpler graph, with `aliases` and `vanished` for removed names; inputs and outputs keep theirs.
    """
    return _Rewriter(graph).run()


class _Rewriter:
    """The graph as far as it has been rewritten."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._outputs = {tensor.name for tensor in graph.outputs}
        self._activations = _activations(graph)
        self._constants: Dict[str, NDArray[Any]] = dict(graph.constants)
        self._nodes: Dict[str, Node] = {}  # by name, in order
        self._maker: Dict[str, str] = {}  # value -> name of its node
        self._reads = {name: len(nodes) for name, nodes in consumers(graph).items()}
        self._aliases: Dict[str, str] = dict(graph.aliases)
        self._node_aliases: Dict[str, str] = {}  # kept apart: a node may have the name of another's value
        self._vanished: Dict[str, str] = dict(graph.vanished)
        made = (name for node in graph.nodes for name in node.outputs)
        self._names = Names((*graph.constants, *(tensor.name for tensor in graph.inputs), *made))
        self._ranks = ranks(graph)
        self._budget = Budget()

    def run(self) -> Graph:
        for node in self._graph.nodes:
            node = bind(self._renamed(node), self._constants)
            if not self._evaluated(node) and not any(rule(self, node) for rule in _RULES):
                self._append(node)
        nodes = tuple(self._renamed(node) for node in self._nodes.values())
        graph = _without_indices(prune(self._graph.replace(nodes=nodes, constants=self._constants)))
        return self._with_names(graph)

    def _resolve(self, name: str) -> str:
        while name in self._aliases:
            name = self._aliases[name]
        return name

    def _renamed(self, node: Node) -> Node:
        return node.replace(inputs=tuple(self._resolve(name) for name in node.inputs))

    def _append(self, node: Node) -> None:
        self._nodes[node.name] = node
        for name in node.outputs:
            self._maker[name] = node.name

    def _producer(self, name: str) -> Optional[Node]:
        return self._nodes.get(self._maker.get(name, ""))

    def _only_reader(self, name: str) -> bool:
        """Whether exactly one node reads this value, and it is no output of the network."""
        return self._reads.get(name, 0) == 1 and name not in self._outputs

    def _add_constant(self, hint: str, value: NDArray[Any]) -> str:
        name = self._names.fresh(hint)
        array = np.ascontiguousarray(value, np.float32).reshape(value.shape)
        array.flags.writeable = False
        self._constants[name] = array
        return name

    def _evaluated(self, node: Node) -> bool:
        inputs = [name for name in node.inputs if name]
        if not can_evaluate(node) or not all(name in self._constants for name in inputs):
            return False
        results = evaluate(node, [self._constants[name] for name in inputs], self._budget)
        self._constants.update((name, array) for name, array in zip(node.outputs, results) if name)
        return True

    def _replace(self, old: Node, new: Node) -> None:
        """Put `new` in the place of `old` and of the node folded into it; the result of `old` vanishes."""
        del self._nodes[old.name]
        for name in (old.outputs[0], old.name):
            self._vanished.setdefault(name, f"it was folded into {new.outputs[0]!r}")
        self._append(new)

    # The rules: each takes a node whose inputs have been rewritten, and returns whether it replaced the node.

    def _drop(self, node: Node) -> bool:
        """Drop Identity, Dropout and casts of activations to float: their input has the same numbers.

        Casts of sizes stay, because arithmetic on integers differs from arithmetic on floats.
        """
        traits = SCHEMAS[node.op].traits
        if not traits.same_numbers or traits.axes != "keeps":
            return False
        if node.op == "Cast" and (
            node.attributes["to"] not in FLOAT_TYPES or node.inputs[0] not in self._activations
        ):
            return False
        return self._bypass(node, node.inputs[0])

    def _bypass(self, node: Node, source: str) -> bool:
        """Let `source` stand for the result of `node`, which has the same numbers."""
        result = node.outputs[0]
        if result in self._outputs:
            producer = self._producer(source)
            if producer is None or source in self._outputs:
                return False  # the name of an input, a constant or another output cannot change
            outputs = tuple(result if name == source else name for name in producer.outputs)
            self._append(producer.replace(outputs=outputs))
            self._aliases[source] = result
            source, result = result, source
        else:
            self._aliases[result] = source
        self._reads[source] = self._reads.get(source, 0) + self._reads.get(result, 0) - 1
        self._node_aliases[node.name] = source
        return True

    def _fold_affine(self, node: Node) -> bool:
        """Fold a scale and shift per channel into the operator before."""
        for index, name in enumerate(node.inputs[:2]):
            producer = self._producer(name)
            if producer is None or not self._only_reader(name):
                continue
            linear = linear_of(producer, self._constants, self._ranks.get(name))
            affine = affine_of(node, index, self._constants, linear) if linear else None
            if linear is not None and affine is not None:
                self._fold(producer, node, affine)
                return True
        return False

    def _fold(self, producer: Node, node: Node, affine: Affine) -> None:
        inputs = list(producer.inputs)
        for position, value in scaled_weights(producer, self._constants, affine).items():
            inputs.extend([""] * (position + 1 - len(inputs)))
            hint = f"{inputs[position] or producer.name + '/bias'} with {node.name}"
            inputs[position] = self._add_constant(hint, value)
        folded = producer.replace(name=node.name, inputs=tuple(inputs), outputs=node.outputs)
        self._replace(producer, folded)

    def _merge_pad(self, node: Node) -> bool:
        """Merge a Pad with zeros around the picture into the convolution that reads it."""
        pad = self._producer(node.inputs[0]) if node.op == "Conv" else None
        if pad is None or pad.op != "Pad" or not self._only_reader(pad.outputs[0]):
            return False
        a = pad.attributes
        if "pads" not in a or len(pad.inputs) > 1 or a["mode"] != "constant" or a["value"] != 0:
            return False
        extra = _spatial_pads(a["pads"], a["axes"])
        own = node.attributes["pads"] or (0,) * len(extra or ())
        if (
            extra is None
            or len(own) != len(extra)
            or node.attributes["auto_pad"] not in ("NOTSET", "", "VALID")
        ):
            return False
        pads = tuple(m + n for m, n in zip(own, extra))
        attributes = {**node.attributes, "pads": pads, "auto_pad": "NOTSET"}
        inputs = (pad.inputs[0], *node.inputs[1:])
        self._replace(pad, node.replace(inputs=inputs, attributes=attributes))
        return True

    def _merge_transposes(self, node: Node) -> bool:
        first = self._producer(node.inputs[0]) if node.op == "Transpose" else None
        if first is None or first.op != "Transpose":
            return False
        inner, outer = first.attributes["perm"], node.attributes["perm"]
        if inner is None or outer is None or sorted(inner) != sorted(outer):
            return False
        perm = tuple(inner[axis] for axis in outer)
        source = first.inputs[0]
        if self._only_reader(first.outputs[0]):
            del self._nodes[first.name]
        else:
            self._reads[first.outputs[0]] -= 1
            self._reads[source] += 1
        node = node.replace(inputs=(source,), attributes={"perm": perm})
        if perm != tuple(range(len(perm))) or not self._bypass(node, source):
            self._append(node)
        return True

    def _rectify(self, node: Node) -> bool:
        """Give a quantisation behind a weighted sum its Relu back, if its range begins at 0.

        Such a range cuts negative numbers off, so that quantised files have no Relu before it. The ReLU rules
        and the choice of layers need one.
        """
        zero = (
            self._constants.get(node.inputs[2]) if node.op == "QuantizeLinear" and node.inputs[2:] else None
        )
        producer = self._producer(node.inputs[0])
        if zero is None or producer is None or (zero != limits_of(node)[0]).any():
            return False
        if producer.op != "Add" and SCHEMAS[producer.op].traits.weights is None:
            return False
        y = self._names.fresh(f"{node.outputs[0]}/relu")
        self._append(Node("Relu", f"{node.name}/relu", node.inputs[:1], (y,)))
        self._reads[y] = 1
        self._append(node.replace(inputs=(y, *node.inputs[1:])))
        return True

    def _matmul_to_gemm(self, node: Node) -> bool:
        """Make a matrix product with known weights a Gemm, so that a following Add can become its bias."""
        if node.op != "MatMul" or node.inputs[1] not in self._constants:
            return False
        producer = self._producer(node.inputs[0])
        if producer is None or not _has_two_dimensions(producer):
            return False
        if self._constants[node.inputs[1]].ndim != 2:
            return False
        attributes = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
        self._append(node.replace(op="Gemm", attributes=attributes))
        return True

    def _with_names(self, graph: Graph) -> Graph:
        """The graph with its aliases and vanished names."""
        alive = {tensor.name for tensor in graph.inputs} | set(graph.constants)
        alive.update(name for node in graph.nodes for name in node.outputs)
        old = {name for node in self._graph.nodes for name in node.outputs if name}
        moved = {name: self._resolve(name) for name in self._aliases}
        for name, value in self._node_aliases.items():
            if name not in old:
                moved.setdefault(name, self._resolve(value))
        aliases = {name: value for name, value in moved.items() if value in alive and name not in alive}
        gone = dict.fromkeys(old, "it is constant, or no output depends on it")
        gone.update(self._vanished)
        taken = alive | set(aliases)
        vanished = {name: why for name, why in gone.items() if name not in taken}
        return graph.replace(aliases=aliases, vanished=vanished)


def _without_indices(graph: Graph) -> Graph:
    """The graph without those indices of pools that nothing reads: some pools cannot give them."""
    read = {tensor.name for tensor in graph.outputs}.union(*(node.inputs for node in graph.nodes))

    def rest(node: Node) -> Node:
        kept = tuple(name if name in read else "" for name in node.outputs[1:])
        return node.replace(outputs=(node.outputs[0], *kept)) if SCHEMAS[node.op].traits.pool else node

    return graph.replace(nodes=tuple(map(rest, graph.nodes)))


def _activations(graph: Graph) -> Set[str]:
    """The values that depend on the inputs' numbers, all of them float; shapes and sizes do not."""
    found = {tensor.name for tensor in graph.inputs}
    for node in graph.nodes:
        if SCHEMAS[node.op].traits.reads != "shape" and found.intersection(node.inputs):
            found.update(filter(None, node.outputs))
    return found


def _spatial_pads(pads: Tuple[int, ...], axes: Optional[Tuple[int, ...]]) -> Optional[Tuple[int, ...]]:
    """The pads of the spatial axes, before and after; None for pads of other axes and for negative ones."""
    if axes is not None or len(pads) % 2 or len(pads) < 6 or min(pads) < 0:
        return None
    ndim = len(pads) // 2
    if any(pads[:2]) or any(pads[ndim : ndim + 2]):
        return None
    return pads[2:ndim] + pads[ndim + 2 :]


def _has_two_dimensions(node: Node) -> bool:
    """Whether the result of a node has two dimensions for every input."""
    if node.op == "Reshape":
        return len(node.attributes.get("shape", ())) == 2
    return node.op in ("Flatten", "Gemm")


_RULES: List[Callable[[_Rewriter, Node], bool]] = [
    _Rewriter._drop,
    _Rewriter._merge_transposes,
    _Rewriter._rectify,
    _Rewriter._matmul_to_gemm,
    _Rewriter._merge_pad,
    _Rewriter._fold_affine,
]
