"""Lowering of convolution, transposed too, of pooling and local response normalisation."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Union

import numpy as np

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import transposed_pads, window_pads
from cnnviz.lowering.functions import powers, rooted
from cnnviz.lowering.spatial import Window, convolved, filters, pooled, transposed
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS", "window_of"]

Shape = Tuple[int, ...]
_MAX_PARAMETER = 1 << 31  # the limit of kernels, strides, dilations and pads: the core's sums cannot overflow
_MAX_SPATIAL = 3
_MAX_INDEX = 1 << 24  # float32 counts so far


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
    kernel = tuple(a.get("kernel_shape") or kernel)
    stride, dilation = tuple(a["strides"] or (1,) * ndim), tuple(a.get("dilations") or (1,) * ndim)
    for name, numbers in (("kernel_shape", kernel), ("strides", stride), ("dilations", dilation)):
        if len(numbers) != ndim or any(not 1 <= n < _MAX_PARAMETER for n in numbers):
            raise ValueError(f"{name} {numbers} must be {ndim} numbers from 1 to {_MAX_PARAMETER - 1}")
    return kernel, stride, dilation


def window_of(node: Node, spatial: Shape, kernel: Sequence[int]) -> Window:
    """The window of a convolution or a pool over these spatial extents."""
    sizes = _sizes(node, kernel, len(spatial))
    auto_pad = node.attributes.get("auto_pad", "NOTSET")  # Col2Im and DeformConv have none
    before, after = window_pads(auto_pad, node.attributes["pads"], spatial, *sizes)
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
    window = window_of(node, spatial, _kernel(low, node, spatial))
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


def _col2im(low: Lowering, node: Node) -> int:
    """The sum of blocks that overlap: a transposed convolution in which each number stamps its own tap."""
    plan, a = low.plan, node.attributes
    x, image, block = low.id(node.inputs[0]), tuple(a["image_shape"]), tuple(a["block_shape"])
    shape, taps = plan.shape(x), math.prod(block)
    if len(shape) != 3 or not 1 <= len(image) <= _MAX_SPATIAL or len(block) != len(image):
        raise ValueError(f"an input of shape {shape} does not hold blocks {block} of pictures {image}")
    if min(*image, *block) < 1 or shape[1] % taps:
        raise ValueError(f"{shape[1]} channels are not divisible by the {taps} numbers of blocks {block}")
    window = window_of(node, image, block)
    counts = window.outputs(image)
    if math.prod(counts) != shape[2]:
        raise ValueError(f"there are {shape[2]} blocks, but pictures {image} have {counts}")
    channels = shape[1] // taps
    low.spend(shape[1] * taps, node)
    stamps = np.tile(np.eye(taps, dtype=np.float32), (channels, 1))
    square = (shape[1], math.prod(block[:-2]), *(1, 1, *block)[-2:])
    w = low.array(stamps.reshape(square), f"{node.name}/stamps")
    x = plan.reshape(x, shape=(*shape[:2], *counts), name=node.name)
    return transposed(plan, x, w, None, window, window.rest(image), channels, node.name)


def _max_pool(low: Lowering, node: Node) -> Union[int, Tuple[int, int]]:
    """The maxima and, where the node has a second output, their indices in the whole input."""
    y = _pool(low, node, low.plan.max_pool)
    if len(node.outputs) < 2 or not node.outputs[1]:
        return y
    if node.attributes["storage_order"]:
        raise UnsupportedModelError(f"node {node.name!r} (MaxPool): indices with storage_order=1", [node.op])
    shape = low.shape(node.inputs[0])
    if len(shape) > 4:
        raise UnsupportedModelError(f"node {node.name!r} (MaxPool): indices of volumes", [node.op])
    position = _pool(low, node, low.plan.max_pool_position)
    return y, low.plan.add(position, _planes(low, node, shape), name=f"{node.name}/indices")


def _planes(low: Lowering, node: Node, shape: Shape) -> int:
    """The index of the first element of each plane of N,C,..., as a constant."""
    if math.prod(shape) > _MAX_INDEX:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): indices into {math.prod(shape)} elements, at most {_MAX_INDEX} "
            "are exact",
            [node.op],
        )
    plane = math.prod(shape[2:])
    first = np.arange(shape[0] * shape[1], dtype=np.float32) * plane
    return low.array(first.reshape(*shape[:2], *(1,) * (len(shape) - 2)), f"{node.name}/planes")


def _max_unpool(low: Lowering, node: Node) -> int:
    """Zeiler & Fergus 2013, section 2.1: each maximum back at its place, zeros elsewhere."""
    x, spatial = _spatial(low, node)
    index, shape, ndim = low.id(node.inputs[1]), low.plan.shape(x), len(spatial)
    window = window_of(node, spatial, ())
    inner = tuple(
        (n - 1) * s - p - q + k
        for n, s, p, q, k in zip(spatial, window.stride, window.before, window.after, window.kernel)
    )
    target = (*shape[:2], *inner)
    if min(inner) < 1:
        raise ValueError(f"kernel, strides and pads leave nothing: {target}")
    local = low.plan.sub(index, _planes(low, node, target), name=node.name)
    y = low.plan.max_unpool(x, local, shape=target, name=node.name)
    wanted = tuple(node.attributes["output_shape"] or target)
    if len(wanted) != ndim + 2 or any(n < m for n, m in zip(wanted, target)) or wanted[:2] != shape[:2]:
        raise ValueError(f"output_shape {wanted} is smaller than the {target} of the windows")
    after = [n - m for n, m in zip(wanted, target)]
    return low.plan.pad(y, before=[0] * len(after), after=after, name=node.name) if any(after) else y


def _average_pool(low: Lowering, node: Node) -> int:
    return _pool(
        low, node, low.plan.average_pool, count_include_pad=bool(node.attributes["count_include_pad"])
    )


def _pool(low: Lowering, node: Node, build: Callable[..., int], **extra: Any) -> int:
    x, spatial = _spatial(low, node)
    window = window_of(node, spatial, ())
    for reach, pads in zip(window.reach, zip(window.before, window.after)):
        if max(pads) >= reach:  # a window would hold padding only
            raise ValueError(f"pads {node.attributes['pads']} reach beyond a window of {reach}")
    ceil_mode = bool(node.attributes["ceil_mode"])
    return pooled(low.plan, build, x, window, node.name, ceil_mode=ceil_mode, **extra)


def _lp_pool(low: Lowering, node: Node) -> int:
    """The p-norm of each window: an average of powers, times the taps; padding counts as 0."""
    x, spatial = _spatial(low, node)
    window, p, name = window_of(node, spatial, ()), node.attributes["p"], node.name
    after = list(window.after)
    for i, (n, reach, stride) in enumerate(zip(spatial, window.reach, window.stride)):
        room = n + window.before[i] + after[i] - reach
        starts = -(-room // stride) * stride
        if node.attributes["ceil_mode"] and room >= 0 and starts < n + window.before[i]:
            after[i] += starts - room
    pads = ([0, 0, *window.before], [0, 0, *after])
    x = low.plan.pad(powers(low, x, p, name), before=pads[0], after=pads[1], name=name)
    none = (0,) * len(spatial)
    y = pooled(low.plan, low.plan.average_pool, x, window._replace(before=none, after=none), name)
    taps = low.number(float(math.prod(window.kernel)))
    return rooted(low, low.plan.mul(y, taps, name=name), p, name)


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


ROWS: Dict[str, Callable[[Lowering, Node], Union[int, Tuple[int, int]]]] = {
    "AveragePool": _average_pool,
    "Col2Im": _col2im,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "LRN": _lrn,
    "LpPool": _lp_pool,
    "MaxPool": _max_pool,
    "MaxUnpool": _max_unpool,
}
