"""ONNX files run by PyTorch, for the operators of the trained networks: an independent reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import onnx
from onnx import numpy_helper

Values = Dict[str, Any]
Operator = Callable[[Any, List[Any], Dict[str, Any]], Any]


def run(
    torch: Any,
    path: Path,
    x: Any,
    operators: Optional[Dict[str, Operator]] = None,
    values: Optional[Values] = None,
) -> Any:
    """Return the file's first output for a tensor, differentiable by autograd; `values` gets every value."""
    graph = onnx.load(str(path)).graph
    constants = {t.name: torch.tensor(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    values = {} if values is None else values
    values.update({name: c.to(x.dtype) if c.is_floating_point() else c for name, c in constants.items()})
    fed = [tensor.name for tensor in graph.input if tensor.name not in values]
    values[fed[0]] = x
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        inputs = [values[name] if name else None for name in node.input]
        values[node.output[0]] = {**OPERATORS, **(operators or {})}[node.op_type](torch, inputs, attributes)
    return values[graph.output[0].name]


def _symmetric(pads: List[int]) -> List[int]:
    assert pads[:2] == pads[2:], pads
    return pads[:2]


def _conv(torch: Any, inputs: List[Any], attributes: Dict[str, Any]) -> Any:
    pads = attributes.get("pads", [0, 0, 0, 0])
    x = torch.nn.functional.pad(inputs[0], (pads[1], pads[3], pads[0], pads[2]))
    return torch.nn.functional.conv2d(
        x,
        *inputs[1:],
        stride=attributes.get("strides", [1, 1]),
        dilation=attributes.get("dilations", [1, 1]),
        groups=attributes.get("group", 1),
    )


def _max_pool(torch: Any, inputs: List[Any], attributes: Dict[str, Any]) -> Any:
    return torch.nn.functional.max_pool2d(
        inputs[0],
        attributes["kernel_shape"],
        attributes.get("strides", [1, 1]),
        _symmetric(attributes.get("pads", [0, 0, 0, 0])),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )


def _batch_norm(torch: Any, inputs: List[Any], attributes: Dict[str, Any]) -> Any:
    x, scale, bias, mean, variance = inputs
    return torch.nn.functional.batch_norm(x, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _gemm(torch: Any, inputs: List[Any], attributes: Dict[str, Any]) -> Any:
    a, b = inputs[:2]
    product = (a.T if attributes.get("transA") else a) @ (b.T if attributes.get("transB") else b)
    product = attributes.get("alpha", 1.0) * product
    return product + attributes.get("beta", 1.0) * inputs[2] if len(inputs) > 2 else product


def _clip(torch: Any, inputs: List[Any], attributes: Dict[str, Any]) -> Any:
    low = attributes.get("min", inputs[1] if len(inputs) > 1 else None)
    high = attributes.get("max", inputs[2] if len(inputs) > 2 else None)
    return torch.clamp(inputs[0], low, high)


OPERATORS: Dict[str, Callable[[Any, List[Any], Dict[str, Any]], Any]] = {
    "Add": lambda torch, inputs, attributes: inputs[0] + inputs[1],
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda torch, inputs, attributes: torch.cat(inputs, dim=attributes["axis"]),
    "Conv": _conv,
    "Flatten": lambda torch, inputs, attributes: inputs[0].flatten(1),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda torch, inputs, attributes: inputs[0].mean(dim=(2, 3), keepdim=True),
    "LeakyRelu": lambda torch, inputs, attributes: torch.nn.functional.leaky_relu(
        inputs[0], attributes.get("alpha", 0.01)
    ),
    "MaxPool": _max_pool,
    "Relu": lambda torch, inputs, attributes: torch.relu(inputs[0]),
}


def ruled(torch: Any, rule: str) -> Dict[str, Operator]:
    """ReLU and Clip whose backward passes are those of guided backpropagation, or of the DeconvNet."""

    class Rectifier(torch.autograd.Function):  # type: ignore[misc]
        """clamp(x, low, high) with R 1[R > 0] back, where the input is within the bounds or everywhere."""

        @staticmethod
        def forward(ctx: Any, x: Any, low: float, high: float) -> Any:
            ctx.active = (x > low) & (x < high)
            return x.clamp(low, high)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            positive = dy.clamp(min=0)
            return positive if rule == "deconv" else positive * ctx.active, None, None

    def clip(torch: Any, inputs: List[Any], attributes: Dict[str, Any]) -> Any:
        low = attributes.get("min", inputs[1] if len(inputs) > 1 else None)
        high = attributes.get("max", inputs[2] if len(inputs) > 2 else None)
        return Rectifier.apply(inputs[0], float(low), float(high))

    return {
        "Clip": clip,
        "Relu": lambda torch, inputs, attributes: Rectifier.apply(inputs[0], 0.0, float("inf")),
    }
