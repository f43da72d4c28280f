"""Lowering of convolution, transposed too, of pooling and local response normalisation.

The core works on N,C,H,W. A signal N,C,L becomes a picture of one row before the operator and a signal again
after it; pictures with more dimensions are not supported.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import transposed_pads, window_pads
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS"]

Pair = Tuple[int, int]
_MAX_PARAMETER = 1 << 31  # the limit of kernels, strides, dilations and pads: the core's sums cannot overflow


class _Window(NamedTuple):
    """The parameters of one window, for two spatial axes."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    pads: Tuple[int, int, int, int]


def _picture(low: Lowering, node: Node) -> Tuple[int, bool]:
    """The first input as N,C,H,W, and whether it was N,C,L."""
    x = low.id(node.inputs[0])
    shape = low.plan.shape(x)
    if len(shape) == 3:
        wide = (shape[0], shape[1], 1, shape[2])
        return low.plan.reshape(x, shape=wide, name=f"{node.name}/2d"), True
    if len(shape) != 4:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): input has shape {shape}; only N,C,H,W and N,C,L are supported",
            [node.op],
        )
    return x, False


def _back(low: Lowering, node: Node, y: int, was_signal: bool) -> int:
    """The result as N,C,L if the input was a signal."""
    if not was_signal:
        return y
    n, c, _, length = low.plan.shape(y)
    return low.plan.reshape(y, shape=(n, c, length), name=f"{node.name}/1d")


def _window(node: Node, spatial: Sequence[int], kernel: Sequence[int], was_signal: bool) -> _Window:
    """The window of a node; for a signal, the first spatial axis is the row that `_picture` added."""
    a = node.attributes
    if was_signal:
        spatial = spatial[1:]
    kernel, stride, dilation = _sizes(node, kernel, len(spatial))
    before, after = window_pads(a["auto_pad"], a["pads"], tuple(spatial), kernel, stride, dilation)
    return _checked_window(kernel, stride, dilation, before, after, was_signal)


def _sizes(
    node: Node, kernel: Sequence[int], ndim: int
) -> Tuple[Tuple[int, ...], Tuple[int, ...], Tuple[int, ...]]:
    """The kernel, the strides and the dilations of a node, checked."""
    a = node.attributes
    kernel = tuple(a["kernel_shape"] or kernel)
    stride, dilation = tuple(a["strides"] or (1,) * ndim), tuple(a["dilations"] or (1,) * ndim)
    for name, numbers in (("kernel_shape", kernel), ("strides", stride), ("dilations", dilation)):
        if len(numbers) != ndim or any(not 1 <= n < _MAX_PARAMETER for n in numbers):
            raise ValueError(f"{name} {numbers} must be {ndim} numbers from 1 to {_MAX_PARAMETER - 1}")
    return kernel, stride, dilation


def _checked_window(
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    after: Sequence[int],
    was_signal: bool,
) -> _Window:
    """The window with its padding before and after each axis; that of a signal gets a row."""
    pads = (*before, *after)
    if any(not 0 <= n < _MAX_PARAMETER for n in pads):
        raise ValueError(f"pads {pads} must be numbers from 0 to {_MAX_PARAMETER - 1}")
    if was_signal:
        kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
        before, after = (0, *before), (0, *after)
    return _Window(_pair(kernel), _pair(stride), _pair(dilation), (before[0], before[1], after[0], after[1]))


def _pair(numbers: Sequence[int]) -> Pair:
    rows, columns = numbers
    return rows, columns


def _filters(low: Lowering, node: Node, was_signal: bool) -> Tuple[int, Tuple[int, ...]]:
    """The weights of a convolution as a value of four dimensions, and the kernel."""
    w = low.id(node.inputs[1])
    shape = low.plan.shape(w)
    if was_signal and len(shape) == 3:
        w = low.plan.reshape(w, shape=(shape[0], shape[1], 1, shape[2]), name=f"{node.name}/w2d")
    if len(shape) != (3 if was_signal else 4):
        raise ValueError(f"weights of shape {shape} do not fit an input of shape {low.shape(node.inputs[0])}")
    if tuple(node.attributes["kernel_shape"] or shape[2:]) != shape[2:]:
        raise ValueError(
            f"kernel_shape {node.attributes['kernel_shape']} contradicts weights of shape {shape}"
        )
    return w, shape[2:]


def _bias(low: Lowering, node: Node) -> Optional[int]:
    return low.id(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None


def _conv(low: Lowering, node: Node) -> int:
    x, was_signal = _picture(low, node)
    w, kernel = _filters(low, node, was_signal)
    window = _window(node, low.plan.shape(x)[2:], kernel, was_signal)
    y = low.plan.conv2d(
        x,
        w,
        _bias(low, node),
        stride=window.stride,
        pads=window.pads,
        dilation=window.dilation,
        groups=node.attributes["group"],
        name=node.name,
    )
    return _back(low, node, y, was_signal)


def _conv_transpose(low: Lowering, node: Node) -> int:
    x, was_signal = _picture(low, node)
    w, kernel = _filters(low, node, was_signal)
    a, spatial = node.attributes, low.plan.shape(x)[3 if was_signal else 2 :]
    sizes = _sizes(node, kernel, len(spatial))
    before, after, more = transposed_pads(
        a["auto_pad"], a["pads"], a["output_shape"], a["output_padding"], spatial, *sizes
    )
    window = _checked_window(*sizes, before, after, was_signal)
    y = low.plan.conv_transpose2d(
        x,
        w,
        _bias(low, node),
        stride=window.stride,
        pads=window.pads,
        dilation=window.dilation,
        output_padding=_pair((0, *more) if was_signal else more),
        groups=a["group"],
        name=node.name,
    )
    return _back(low, node, y, was_signal)


def _max_pool(low: Lowering, node: Node) -> int:
    return _pool(low, node, low.plan.max_pool)


def _average_pool(low: Lowering, node: Node) -> int:
    return _pool(
        low, node, low.plan.average_pool, count_include_pad=bool(node.attributes["count_include_pad"])
    )


def _pool(low: Lowering, node: Node, build: Callable[..., int], **extra: Any) -> int:
    x, was_signal = _picture(low, node)
    window = _window(node, low.plan.shape(x)[2:], (), was_signal)
    for axis, pad in enumerate(window.pads):
        extent = (window.kernel[axis % 2] - 1) * window.dilation[axis % 2] + 1
        if pad >= extent:  # a window would hold padding only
            raise ValueError(f"pads {node.attributes['pads']} reach beyond a window of {extent}")
    y = build(
        x,
        kernel=window.kernel,
        stride=window.stride,
        pads=window.pads,
        dilation=window.dilation,
        ceil_mode=bool(node.attributes["ceil_mode"]),
        name=node.name,
        **extra,
    )
    return _back(low, node, y, was_signal)


def _global_average_pool(low: Lowering, node: Node) -> int:
    x = low.id(node.inputs[0])
    ndim = len(low.plan.shape(x))
    if ndim == 4:
        return low.plan.global_average_pool(x, name=node.name)
    axes: List[int] = list(range(2, ndim))
    return low.plan.reduce_mean(x, axes=axes, keepdims=True, name=node.name)


def _global_max_pool(low: Lowering, node: Node) -> int:
    x, was_signal = _picture(low, node)
    return _back(low, node, low.plan.global_max_pool(x, name=node.name), was_signal)


def _lrn(low: Lowering, node: Node) -> int:
    x, was_signal = _picture(low, node)
    a = node.attributes
    y = low.plan.lrn(x, size=a["size"], alpha=a["alpha"], beta=a["beta"], bias=a["bias"], name=node.name)
    return _back(low, node, y, was_signal)


ROWS: Dict[str, Callable[[Lowering, Node], int]] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "LRN": _lrn,
    "MaxPool": _max_pool,
}
