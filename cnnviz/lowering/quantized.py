"""Lowering of quantisation: integers of few bits are carried as float32, which holds them exactly up to 2^24.

A number is put on the grid as Jacob et al. 2018, eq. 12, do: clamped to the range first, then rounded, halves
to the even number. The gradient passes straight through the rounding where the number is not clamped (Bengio
et al. 2013), and a scale that is computed from the picture counts as a constant.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.folding.quantize import limits_of, spread
from cnnviz.graph.graph import Node
from cnnviz.graph.shapes import axis_of
from cnnviz.lowering.indexing import part
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS"]

_LEVELS = 255.0  # the steps of the dynamic range, whose numbers are uint8


def _parameter(low: Lowering, node: Node, position: int, what: str) -> int:
    """The scale or the zero point, in a shape that broadcasts to the numbers; no gradient passes it."""
    name, shape = node.inputs[position], low.shape(node.inputs[0])
    target, block = spread(node, shape, low.shape(name), what)
    if name in low.known:

        def aligned(array: NDArray[Any]) -> NDArray[Any]:
            array = array.reshape(target)
            if block == 1:
                return array
            axis = axis_of(node.attributes["axis"], len(shape))
            return np.repeat(array, block, axis).take(np.arange(shape[axis]), axis)

        return low.derived(name, f"for {shape} along {node.attributes['axis']} by {block}", aligned)
    value = low.plan.reshape(low.id(name), shape=target, name=node.name)
    if block != 1:
        value = _in_blocks(low, node, value, block)
    return low.plan.detach(value, name=node.name)


def _in_blocks(low: Lowering, node: Node, value: int, block: int) -> int:
    """Each element `block` times along the axis of the node, as many as there are numbers."""
    shape, extents = low.plan.shape(value), low.shape(node.inputs[0])
    axis = axis_of(node.attributes["axis"], len(shape))
    apart = (*shape[: axis + 1], 1, *shape[axis + 1 :])
    ones: NDArray[Any] = np.ones([block if i == axis + 1 else 1 for i in range(len(apart))], np.float32)
    value = low.plan.reshape(value, shape=apart, name=node.name)
    value = low.plan.mul(value, low.array(ones, f"{node.name}/ones"), name=node.name)
    joined = (*shape[:axis], shape[axis] * block, *shape[axis + 1 :])
    value = low.plan.reshape(value, shape=joined, name=node.name)
    return part(low, value, axis, 0, extents[axis], node.name)


def _zero_point(low: Lowering, node: Node) -> Optional[NDArray[Any]]:
    """The known zero point; 0 without any, None for one that depends on the picture."""
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    return low.known.get(name) if name else np.zeros((), np.int64)


def _dequantize(low: Lowering, node: Node) -> int:
    """(x - zero point) scale."""
    x, zero = low.id(node.inputs[0]), _zero_point(low, node)
    if zero is None or zero.any():
        x = low.plan.sub(x, _parameter(low, node, 2, "zero point"), name=node.name)
    return low.plan.mul(x, _parameter(low, node, 1, "scale"), name=node.name)


def _quantize(low: Lowering, node: Node) -> int:
    """round(x / scale) + zero point, within the range of the element type."""
    (least, most), zero = limits_of(node), _zero_point(low, node)
    x = low.plan.div(low.id(node.inputs[0]), _parameter(low, node, 1, "scale"), name=node.name)
    if zero is None or np.ptp(zero):
        shift = _parameter(low, node, 2, "zero point")
        return _on_moving_grid(low, x, shift, (least, most), node.name)
    one = int(zero.flat[0])
    y = low.plan.quantize(x, low=float(least - one), high=float(most - one), name=node.name)
    return low.plan.add(y, low.number(float(one)), name=node.name) if one else y


def _on_moving_grid(low: Lowering, x: int, shift: int, limits: Tuple[int, int], name: str) -> int:
    """The same with a range of its own for each zero point, in which numbers are held before."""
    plan = low.plan
    least, most = (plan.sub(low.number(float(limit)), shift, name=name) for limit in limits)
    held = plan.detach(plan.min(plan.max(x, least, name=name), most, name=name), name=name)
    inside = plan.equal(held, x, name=name)
    outside = plan.equal(inside, low.number(0.0), name=name)
    held = plan.add(plan.masked(x, inside, name=name), plan.masked(held, outside, name=name), name=name)
    span = float(limits[1] - limits[0])  # no number that is held lies further from 0
    return plan.add(plan.quantize(held, low=-span, high=span, name=name), shift, name=name)


def _quantize_dynamically(low: Lowering, node: Node) -> Tuple[int, int, int]:
    """Numbers in uint8 by the range that they have, 0 included; its scale and its zero point."""
    plan, x, name = low.plan, low.id(node.inputs[0]), node.name
    axes = list(range(len(plan.shape(x))))
    still = plan.detach(x, name=name)
    zero = low.number(0.0)
    top = plan.max(plan.reduce_max(still, axes=axes, keepdims=False, name=name), zero, name=name)
    negated = plan.reduce_max(plan.neg(still, name=name), axes=axes, keepdims=False, name=name)
    bottom = plan.neg(plan.max(negated, zero, name=name), name=name)
    scale = plan.div(plan.sub(top, bottom, name=name), low.number(_LEVELS), name=name)
    scale = plan.add(scale, plan.equal(scale, zero, name=name), name=name)  # 1 where all numbers are 0
    steps = plan.neg(plan.div(bottom, scale, name=name), name=name)
    shift = plan.quantize(steps, low=0.0, high=_LEVELS, name=name)
    y = _on_moving_grid(low, plan.div(x, scale, name=name), shift, (0, int(_LEVELS)), name)
    return y, scale, shift


ROWS: Dict[str, Callable[[Lowering, Node], Union[int, Tuple[int, ...]]]] = {
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _quantize_dynamically,
    "QuantizeLinear": _quantize,
}
