"""ONNX graphs as PyTorch modules, written as a PyTorch user would write them.

The interpreters in the tests are plain references; this one competes, so it must be as fast as PyTorch can
be: real layers with their attributes read once, padding left to the convolution, ReLUs in place.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import torch
from onnx import ModelProto, helper, numpy_helper
from torch import Tensor, nn

Attributes = Mapping[str, Any]
Weights = Sequence[Tensor]


def _conv(a: Attributes, w: Weights) -> nn.Module:
    out, per_group = w[0].shape[:2]
    groups = a.get("group", 1)
    layer = nn.Conv2d(
        per_group * groups,
        out,
        a["kernel_shape"],
        a.get("strides", 1),
        _symmetric(a.get("pads", [0, 0, 0, 0])),
        groups=groups,
        bias=len(w) > 1,
    )
    return _filled(layer, weight=w[0], **({"bias": w[1]} if len(w) > 1 else {}))


def _batch_norm(a: Attributes, w: Weights) -> nn.Module:
    layer = nn.BatchNorm2d(len(w[0]), eps=a["epsilon"])
    return _filled(layer, weight=w[0], bias=w[1], running_mean=w[2], running_var=w[3])


def _linear(a: Attributes, w: Weights) -> nn.Module:
    out, features = w[0].shape
    return _filled(nn.Linear(features, out), weight=w[0], bias=w[1])


def _max_pool(a: Attributes, w: Weights) -> nn.Module:
    return nn.MaxPool2d(
        a["kernel_shape"], a["strides"], _symmetric(a["pads"]), ceil_mode=bool(a["ceil_mode"])
    )


def _relu6(a: Attributes, w: Weights) -> nn.Module:
    if (float(w[0]), float(w[1])) != (0.0, 6.0):
        raise ValueError(f"only ReLU6 is known among Clips, not {w}")
    return nn.ReLU6(inplace=True)


class _Concat(nn.Module):
    def forward(self, *xs: Tensor) -> Tensor:
        return torch.cat(xs, 1)


class _Add(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


LAYERS: Dict[str, Callable[[Attributes, Weights], nn.Module]] = {
    "Add": lambda a, w: _Add(),
    "BatchNormalization": _batch_norm,
    "Clip": _relu6,
    "Concat": lambda a, w: _Concat(),
    "Conv": _conv,
    "Flatten": lambda a, w: nn.Flatten(),
    "Gemm": _linear,
    "GlobalAveragePool": lambda a, w: nn.AdaptiveAvgPool2d(1),
    "MaxPool": _max_pool,
    "Relu": lambda a, w: nn.ReLU(inplace=True),
}


class OnnxModule(nn.Module):
    """The nodes of a graph, run in order; values are freed after their last use.

    Parameters are frozen and the module is in evaluation mode.
    """

    def __init__(self, proto: ModelProto) -> None:
        super().__init__()
        graph = proto.graph
        # Copies, so that the file can be freed: PyTorch must not share its weights with it.
        weights = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
        self.steps: List[Tuple[str, Tuple[str, ...], str, Tuple[str, ...]]] = []
        last_use = {name: i for i, node in enumerate(graph.node) for name in node.input}
        for i, node in enumerate(graph.node):
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            layer = LAYERS[node.op_type](attributes, [weights[n] for n in node.input if n in weights])
            self.add_module(node.name, layer)
            inputs = tuple(name for name in node.input if name not in weights)
            dead = tuple(name for name in inputs if last_use[name] == i)
            self.steps.append((node.name, inputs, node.output[0], dead))
        self.input = graph.input[0].name
        self.output = graph.output[0].name
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Any:
        """Return the output; with `layers`, their values by name instead."""
        values = {self.input: x}
        for name, inputs, output, dead in self.steps:
            values[output] = self._modules[name](*(values[value] for value in inputs))  # type: ignore[misc]
            for value in dead:
                if value not in layers:
                    del values[value]
            if layers and all(layer in values for layer in layers):
                break
        return {layer: values[layer] for layer in layers} if layers else values[self.output]


def _symmetric(pads: Sequence[int]) -> Tuple[int, int]:
    top, left, bottom, right = pads
    if (top, left) != (bottom, right):
        raise ValueError(f"uneven padding {list(pads)}")
    return top, left


def _filled(layer: nn.Module, **tensors: Tensor) -> nn.Module:
    """The layer, with its parameters and buffers set to the tensors."""
    for name, tensor in tensors.items():
        getattr(layer, name).data = tensor
    return layer
