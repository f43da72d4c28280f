"""cnnviz as a backend of ONNX's own test suite."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Set, Tuple

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.backend.base import Backend, BackendRep

from cnnviz.graph.schema import OLDEST_OPSET, SCHEMAS
from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read
from cnnviz.reader.opsets import RENAMED, supported_ops

DOMAINS = ("", "ai.onnx")


def supports(model: ModelProto) -> bool:
    """Whether cnnviz claims to run every operator of the model, in its opset."""
    claimed = supported_ops()
    if any(entry.domain in DOMAINS and entry.version < OLDEST_OPSET for entry in model.opset_import):
        return False
    return bool(model.graph.node) and all(
        node.domain in DOMAINS and node.op_type in claimed for node in model.graph.node
    )


class Rep(BackendRep):
    """One model; networks take float inputs, so integers and operands become constants before it is read."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model

    def run(self, inputs: Sequence[Any], **kwargs: Any) -> Tuple[np.ndarray, ...]:
        constants = {tensor.name for tensor in self.model.graph.initializer}
        names = [value.name for value in self.model.graph.input if value.name not in constants]
        feeds = dict(zip(names, (np.asarray(array) for array in inputs)))
        known = operands(self.model)
        baked = {
            name
            for name, array in feeds.items()
            if name in known or array.size == 0 or array.dtype.kind not in "fV"  # V: bfloat16
        }
        found = self._outputs(bake(self.model, {name: feeds[name] for name in baked}), feeds)
        dtypes = [value.type.tensor_type.elem_type for value in self.model.graph.output]
        return tuple(
            array.astype(helper.tensor_dtype_to_np_dtype(dtype)) for array, dtype in zip(found, dtypes)
        )

    def _outputs(self, model: ModelProto, feeds: Dict[str, np.ndarray]) -> List[np.ndarray]:
        graph = simplify(read(model))
        names = [tensor.name for tensor in graph.outputs]
        if all(name in graph.constants for name in names):
            return [graph.constants[name] for name in names]
        arrays = [np.ascontiguousarray(feeds[tensor.name], np.float32) for tensor in graph.inputs]
        arrays = [array.reshape(feeds[tensor.name].shape) for tensor, array in zip(graph.inputs, arrays)]
        shapes = {tensor.name: array.shape for tensor, array in zip(graph.inputs, arrays)}
        lowered = lower(graph, shapes, Weights(graph))
        ids = {name: lowered.values[name] for name in names}
        lowered.plan.prepare(keep=list(ids.values()))
        lowered.plan.forward(arrays)
        return [lowered.plan.read(ids[name]) for name in names]


def operands(model: ModelProto) -> Set[str]:
    """Values that must be known in advance: operands, and all inputs of known-only operators."""
    names: Set[str] = set()
    for node in model.graph.node:
        op = RENAMED.get(node.op_type, node.op_type)
        if node.op_type == "Upsample":  # its scales are at another place than those of Resize
            names.update(node.input[1:])
        elif op in SCHEMAS:
            schema = SCHEMAS[op]
            known_only = schema.traits.reads == "constants"
            names.update(n for i, n in enumerate(node.input) if known_only or i in schema.operands)
    return names


def bake(model: ModelProto, feeds: Dict[str, np.ndarray]) -> ModelProto:
    """The model with some inputs turned into initializers."""
    baked = ModelProto()
    baked.CopyFrom(model)
    del baked.graph.input[:]
    baked.graph.input.extend(value for value in model.graph.input if value.name not in feeds)
    baked.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in feeds.items())
    return baked


class CnnvizBackend(Backend):
    """The interface that onnx.backend.test calls."""

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Rep:
        return Rep(model)

    @classmethod
    def run_node(cls, node: NodeProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"
