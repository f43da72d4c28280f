"""Lowering of convolution, transposed too, of pooling and local response normalisation."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import transposed_pads, window_pads
from cnnviz.lowering.spatial import Window, convolved, filters, pooled, transposed
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS"]

Shape = Tuple[int, ...]
_MAX_PARAMETER = 1 << 31  # the limit of kernels, strides, dilations and pads: the core's sums cannot overflow
_MAX_SPATIAL = 3


def _spatial(low: Lowering, node: Node) -> Tuple[int, Shape]:
    """The first input, N,C,..., and its spatial extents."""
    x = low.id(node.inputs[0])
    shape = low.plan.shape(x)
    if not 1 <= len(shape) - 2 <= _MAX_SPATIAL:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): input has shape {shape}; N,C and one to {_MAX_SPATIAL} spatial "
            "axes are supported",
            [node.op],
        )
    return x, shape[2:]


def _sizes(node: Node, kernel: Sequence[int], ndim: int) -> Tuple[Shape, Shape, Shape]:
    """The kernel, the strides and the dilations of a node, checked."""
    a = node.attributes
    kernel = tuple(a["kernel_shape"] or kernel)
    stride, dilation = tuple(a["strides"] or (1,) * ndim), tuple(a["dilations"] or (1,) * ndim)
    for name, numbers in (("kernel_shape", kernel), ("strides", stride), ("dilations", dilation)):
        if len(numbers) != ndim or any(not 1 <= n < _MAX_PARAMETER for n in numbers):
            raise ValueError(f"{name} {numbers} must be {ndim} numbers from 1 to {_MAX_PARAMETER - 1}")
    return kernel, stride, dilation


def _window(node: Node, spatial: Shape, kernel: Sequence[int]) -> Window:
    """The window of a convolution or a pool over these spatial extents."""
    sizes = _sizes(node, kernel, len(spatial))
    before, after = window_pads(node.attributes["auto_pad"], node.attributes["pads"], spatial, *sizes)
    return _checked(Window(*sizes, tuple(before), tuple(after)))


def _checked(window: Window) -> Window:
    pads = (*window.before, *window.after)
    if any(not 0 <= n < _MAX_PARAMETER for n in pads):
        raise ValueError(f"pads {pads} must be numbers from 0 to {_MAX_PARAMETER - 1}")
    return window


def _kernel(low: Lowering, node: Node, spatial: Shape) -> Shape:
    """The kernel of a convolution, which its weights have."""
    shape = low.shape(node.inputs[1])
    if len(shape) != 2 + len(spatial):
        raise ValueError(f"weights of shape {shape} do not fit an input of shape {low.shape(node.inputs[0])}")
    if tuple(node.attributes["kernel_shape"] or shape[2:]) != shape[2:]:
        raise ValueError(
            f"kernel_shape {node.attributes['kernel_shape']} contradicts weights of shape {shape}"
        )
    return shape[2:]


def _bias(low: Lowering, node: Node) -> Optional[int]:
    return low.id(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None


def _conv(low: Lowering, node: Node) -> int:
    x, spatial = _spatial(low, node)
    window = _window(node, spatial, _kernel(low, node, spatial))
    w, groups = filters(low, node.inputs[1]), node.attributes["group"]
    return convolved(low.plan, x, w, _bias(low, node), window, groups, node.name)


def _conv_transpose(low: Lowering, node: Node) -> int:
    x, spatial = _spatial(low, node)
    a, sizes = node.attributes, _sizes(node, _kernel(low, node, spatial), len(spatial))
    before, after, more = transposed_pads(
        a["auto_pad"], a["pads"], a["output_shape"], a["output_padding"], spatial, *sizes
    )
    window = _checked(Window(*sizes, tuple(before), tuple(after)))
    w = filters(low, node.inputs[1], transposed=True)
    return transposed(low.plan, x, w, _bias(low, node), window, tuple(more), a["group"], node.name)


def _max_pool(low: Lowering, node: Node) -> int:
    return _pool(low, node, low.plan.max_pool)


def _average_pool(low: Lowering, node: Node) -> int:
    return _pool(
        low, node, low.plan.average_pool, count_include_pad=bool(node.attributes["count_include_pad"])
    )


def _pool(low: Lowering, node: Node, build: Callable[..., int], **extra: Any) -> int:
    x, spatial = _spatial(low, node)
    window = _window(node, spatial, ())
    for reach, pads in zip(window.reach, zip(window.before, window.after)):
        if max(pads) >= reach:  # a window would hold padding only
            raise ValueError(f"pads {node.attributes['pads']} reach beyond a window of {reach}")
    ceil_mode = bool(node.attributes["ceil_mode"])
    return pooled(low.plan, build, x, window, node.name, ceil_mode=ceil_mode, **extra)


def _global_average_pool(low: Lowering, node: Node) -> int:
    return low.plan.global_average_pool(low.id(node.inputs[0]), name=node.name)


def _global_max_pool(low: Lowering, node: Node) -> int:
    return low.plan.global_max_pool(low.id(node.inputs[0]), name=node.name)


def _lrn(low: Lowering, node: Node) -> int:
    a = node.attributes
    return low.plan.lrn(
        low.id(node.inputs[0]),
        size=a["size"],
        alpha=a["alpha"],
        beta=a["beta"],
        bias=a["bias"],
        name=node.name,
    )


ROWS: Dict[str, Callable[[Lowering, Node], int]] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "LRN": _lrn,
    "MaxPool": _max_pool,
}
