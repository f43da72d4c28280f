"""Lowering of matrix products and of normalisation."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import axis_of
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS"]

Array = NDArray[Any]


def _gemm(low: Lowering, node: Node) -> int:
    """Y = alpha A' B' + beta C; the factors go into the constants, where B and C are constants."""
    a = node.attributes
    x = low.id(node.inputs[0])
    if a["transA"]:
        x = low.plan.transpose(x, perm=(1, 0), name=node.name)
    w = _linear_weights(low, node, a["alpha"], transposed=bool(a["transB"]))
    c = node.inputs[2] if len(node.inputs) > 2 else ""
    if not c:
        return low.plan.linear(x, w, name=node.name)
    bias = _linear_bias(low, c, a["beta"], low.plan.shape(w)[0])
    if bias is not None:
        return low.plan.linear(x, w, bias, name=node.name)
    y = low.plan.linear(x, w, name=node.name)
    scaled = low.plan.mul(low.id(c), low.number(a["beta"]), name=node.name)
    return low.plan.add(y, scaled, name=node.name)


def _linear_weights(low: Lowering, node: Node, alpha: float, *, transposed: bool) -> int:
    """The second input as the weights O,I of `linear`; `transposed` says that it is O,I already."""
    name = node.inputs[1]
    shape = low.shape(name)
    if len(shape) != 2:
        raise ValueError(f"weights have shape {shape}, expected two dimensions")
    if name not in low.known:
        w = low.id(name) if transposed else low.plan.transpose(low.id(name), perm=(1, 0), name=node.name)
        return w if alpha == 1 else low.plan.mul(w, low.number(alpha), name=node.name)
    if transposed and alpha == 1:
        return low.id(name)
    form = f"O,I times {alpha!r}" + ("" if transposed else ", transposed")
    return low.derived(name, form, lambda w: np.float32(alpha) * (w if transposed else w.T))


def _linear_bias(low: Lowering, name: str, beta: float, outputs: int) -> Optional[int]:
    """The third input as a bias of O if it is known and the same for each row, else None."""
    if name not in low.known:
        return None
    c = low.known[name]
    if c.shape == (outputs,) and beta == 1:
        return low.id(name)
    if c.size not in (1, outputs) or c.ndim > 2 or (c.ndim == 2 and c.shape[0] != 1):
        return None

    def as_bias(c: Array) -> Array:
        return np.full(outputs, np.float32(beta), np.float32) * c.reshape(-1).astype(np.float32)

    return low.derived(name, f"bias of {outputs} times {beta!r}", as_bias)


def _matmul(low: Lowering, node: Node) -> int:
    """NumPy's matmul: a vector is a row on the left and a column on the right."""
    left, right = (low.shape(name) for name in node.inputs)
    if not left or not right:
        raise ValueError(f"cannot multiply matrices of shapes {left} and {right}")
    if len(left) == 2 and len(right) == 2:
        w = _linear_weights(low, node, 1.0, transposed=False)
        return low.plan.linear(low.id(node.inputs[0]), w, name=node.name)
    a, b = (low.id(name) for name in node.inputs)
    if len(left) == 1:
        a = low.plan.reshape(a, shape=(1, *left), name=node.name)
    if len(right) == 1:
        b = low.plan.reshape(b, shape=(*right, 1), name=node.name)
    y = low.plan.matmul(a, b, name=node.name)
    shape = list(low.plan.shape(y))
    if len(right) == 1:
        del shape[-1]
    if len(left) == 1:
        del shape[-1 if len(right) == 1 else -2]
    return y if len(shape) == len(low.plan.shape(y)) else low.plan.reshape(y, shape=shape, name=node.name)


def _batch_normalization(low: Lowering, node: Node) -> int:
    x, scale, bias, mean, var = (low.id(name) for name in node.inputs)
    epsilon = node.attributes["epsilon"]
    return low.plan.batch_norm(x, scale, bias, mean, var, epsilon=epsilon, name=node.name)


def _instance_normalization(low: Lowering, node: Node) -> int:
    """Ulyanov et al. 2016, eq. 4: statistics of each channel of each picture."""
    x = low.id(node.inputs[0])
    ndim = len(low.plan.shape(x))
    y, _, _ = _standardized(low, node, x, range(2, ndim))
    return _scaled_per_channel(low, node, y, ndim - 2)


def _group_normalization(low: Lowering, node: Node) -> int:
    """Wu & He 2018; scale and bias are one per channel, before opset 21 one per group."""
    x, groups = low.id(node.inputs[0]), node.attributes["num_groups"]
    shape = low.plan.shape(x)
    if len(shape) < 3 or groups < 1 or shape[1] % groups:
        raise ValueError(
            f"num_groups {groups} must divide the channels C of an input N,C,... of shape {shape}"
        )
    split = (shape[0], groups, shape[1] // groups, *shape[2:])
    y = low.plan.reshape(x, shape=split, name=node.name)
    y, _, _ = _standardized(low, node, y, range(2, len(split)))
    if low.shape(node.inputs[1]) == (groups,):
        y = _scaled_per_channel(low, node, y, len(split) - 2)
        return low.plan.reshape(y, shape=shape, name=node.name)
    y = low.plan.reshape(y, shape=shape, name=node.name)
    return _scaled_per_channel(low, node, y, len(shape) - 2)


def _layer_normalization(low: Lowering, node: Node) -> Union[int, Tuple[int, ...]]:
    """Ba et al. 2016, eq. 3: statistics over the axes from `axis` on, which are optional outputs."""
    x = low.id(node.inputs[0])
    ndim = len(low.plan.shape(x))
    axes = range(axis_of(node.attributes["axis"], ndim), ndim)
    y, mean, deviation = _standardized(low, node, x, axes)
    y = low.plan.mul(y, low.id(node.inputs[1]), name=node.name)
    if len(node.inputs) > 2:
        y = low.plan.add(y, low.id(node.inputs[2]), name=node.name)
    if len(node.outputs) == 1:
        return y
    return y, mean, low.plan.div(low.number(1.0), deviation, name=node.name)


def _rms_normalization(low: Lowering, node: Node) -> int:
    """Zhang & Sennrich 2019, eq. 4: divided by the root of the mean square over the axes from `axis` on."""
    plan, name, x = low.plan, node.name, low.id(node.inputs[0])
    ndim = len(plan.shape(x))
    axes = list(range(axis_of(node.attributes["axis"], ndim), ndim))
    square = plan.reduce_mean(plan.mul(x, x, name=name), axes=axes, keepdims=True, name=name)
    safe = plan.add(square, low.number(node.attributes["epsilon"]), name=name)
    y = plan.div(x, plan.sqrt(safe, name=name), name=name)
    return plan.mul(y, low.id(node.inputs[1]), name=name)


def _skip_layer_normalization(low: Lowering, node: Node) -> Union[int, Tuple[int, ...]]:
    """ONNX Runtime's layer normalisation of a sum, which is the fourth output."""
    plan, name = low.plan, node.name
    total = plan.add(low.id(node.inputs[0]), low.id(node.inputs[1]), name=name)
    if len(node.inputs) > 4:
        total = plan.add(total, low.id(node.inputs[4]), name=name)
    y, mean, deviation = _standardized(low, node, total, [len(plan.shape(total)) - 1])
    y = plan.mul(y, low.id(node.inputs[2]), name=name)
    if len(node.inputs) > 3 and node.inputs[3]:
        y = plan.add(y, low.id(node.inputs[3]), name=name)
    if len(node.outputs) == 1:
        return y
    return y, mean, plan.div(low.number(1.0), deviation, name=name), total


def _standardized(low: Lowering, node: Node, x: int, axes: Sequence[int]) -> Tuple[int, int, int]:
    """(x - mean) / deviation over `axes`, the mean, and the deviation sqrt(variance + epsilon)."""
    plan, name = low.plan, node.name
    mean = plan.reduce_mean(x, axes=list(axes), keepdims=True, name=name)
    centred = plan.sub(x, mean, name=name)
    square = plan.mul(centred, centred, name=name)
    variance = plan.reduce_mean(square, axes=list(axes), keepdims=True, name=name)
    safe = plan.add(variance, low.number(node.attributes["epsilon"]), name=name)
    deviation = plan.sqrt(safe, name=name)
    return plan.div(centred, deviation, name=name), mean, deviation


def _scaled_per_channel(low: Lowering, node: Node, y: int, trailing: int) -> int:
    """Y times the second input plus the third, both vectors along the second axis."""
    ones = (1,) * trailing
    scale, bias = (
        low.plan.reshape(low.id(name), shape=(*low.shape(name), *ones), name=node.name)
        for name in node.inputs[1:3]
    )
    return low.plan.add(low.plan.mul(y, scale, name=node.name), bias, name=node.name)


ROWS: Dict[str, Callable[[Lowering, Node], Union[int, Tuple[int, ...]]]] = {
    "BatchNormalization": _batch_normalization,
    "Gemm": _gemm,
    "GroupNormalization": _group_normalization,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "MatMul": _matmul,
    "RMSNormalization": _rms_normalization,
    "SimplifiedLayerNormalization": _rms_normalization,
    "SkipLayerNormalization": _skip_layer_normalization,
}
