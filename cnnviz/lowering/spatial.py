"""Convolution and pooling over any number of spatial axes, in terms of the core's, which slide over two.

A signal becomes a picture of one row. Of a volume, the first spatial axis (the depth) is taken apart: a
convolution sees a picture for each depth of its output, in which the depths under the taps of the window lie
side by side as channels; a transposed one makes such channels and adds them up; a pool slides over the other
axes first and over the depth afterwards. Each image of a batch stays a row, or rows, of its own.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from cnnviz._config import _core
from cnnviz.lowering.state import Lowering

__all__ = ["Window", "convolved", "filters", "pooled", "transposed"]

Shape = Tuple[int, ...]


class Window(NamedTuple):
    """The parameters of a window, one number for each spatial axis."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape
    after: Shape

    @property
    def reach(self) -> Shape:
        """The elements from the first tap to the last, both included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation))

    def outputs(self, extents: Shape) -> Shape:
        """Return the number of windows along each axis, or raise ValueError where none fits."""
        rooms = self._rooms(extents)
        if min(rooms) < 0:
            raise ValueError(
                f"windows of {self.reach} elements do not fit extents of {extents} with padding "
                f"{self.before} before and {self.after} behind them"
            )
        return tuple(room // stride + 1 for room, stride in zip(rooms, self.stride))

    def rest(self, extents: Shape) -> Shape:
        """Return the number of elements behind the last window of each axis."""
        return tuple(room % stride for room, stride in zip(self._rooms(extents), self.stride))

    def _rooms(self, extents: Shape) -> Shape:
        """The elements behind the first window of each axis, padding included."""
        return tuple(n + p + q - r for n, p, q, r in zip(extents, self.before, self.after, self.reach))

    def part(self, first: int, last: Optional[int] = None) -> Window:
        """Return the window over some of the spatial axes."""
        return Window(*(numbers[first:last] for numbers in self))

    def wide(self, *, row: bool = True) -> Window:
        """Return the window of a signal for a picture of one row, or of one column."""
        one = Window((1,), (1,), (1,), (0,), (0,))
        parts = (one, self) if row else (self, one)
        return Window(*(a + b for a, b in zip(*parts)))

    def settings(self) -> Dict[str, Any]:
        """Return the parameters of a picture's window as the core's methods take them."""
        pads = (*self.before, *self.after)
        return {"stride": self.stride, "dilation": self.dilation, "pads": pads}


def filters(low: Lowering, name: str, *, transposed: bool = False) -> int:
    """The weights of a convolution over any number of axes, as `convolved` or `transposed` takes them."""
    first, channels, *kernel = shape = low.shape(name)
    if len(kernel) == 2:
        return low.id(name)
    if len(kernel) == 1:
        perm, target = tuple(range(3)), (first, channels, 1, *kernel)
    else:
        depths = math.prod(kernel[:-2])
        ndim = len(shape)
        perm = tuple(range(ndim)) if transposed else (0, *range(ndim - 3, 0, -1), ndim - 2, ndim - 1)
        target = (first, depths * channels, *kernel[-2:])
    if name in low.known:  # a constant, so that kernels can pack it
        return low.derived(name, f"filters {perm} {target}", lambda w: w.transpose(perm).reshape(target))
    w = low.plan.transpose(low.id(name), perm=perm, name=f"{name}/2d")
    return low.plan.reshape(w, shape=target, name=f"{name}/2d")


def convolved(
    plan: _core.Plan, x: int, w: int, b: Optional[int], window: Window, groups: int, name: str
) -> int:
    """The convolution of x: N,C,... with the `filters` w and the bias b."""
    if len(window.kernel) == 1:
        y = convolved(plan, _wide(plan, x, name), w, b, window.wide(), groups, name)
        return _narrow(plan, y, name)
    if len(window.kernel) == 2:
        return plan.conv2d(x, w, b, groups=groups, name=name, **window.settings())
    n, c, extent, *rest = plan.shape(x)
    if groups < 1 or c % groups:
        raise ValueError(f"{groups} groups do not divide {c} input channels")
    taps = math.prod(window.kernel[:-2])
    if plan.shape(w)[1] * groups != c * taps:
        own = plan.shape(w)[1] // taps
        raise ValueError(f"w has {own} channels per filter, but x has {c} channels in {groups} groups")
    (depths,) = window.part(0, 1).outputs((extent,))
    x = plan.reshape(x, shape=(n, groups, c // groups, extent, *rest), name=name)
    x = plan.transpose(x, perm=(0, 3, 1, 2, *range(4, 4 + len(rest))), name=name)
    x = _padded(plan, x, 1, window.before[0], window.after[0], name)
    starts = [tap * window.dilation[0] for tap in range(window.kernel[0])]
    parts = [_strided(plan, x, start, depths, window.stride[0], name) for start in starts]
    x = plan.concat(parts, axis=3, name=name) if len(parts) > 1 else parts[0]
    x = plan.reshape(x, shape=(n * depths, c * len(parts), *rest), name=name)
    y = convolved(plan, x, w, b, window.part(1), groups, name)
    return _channels_first(plan, y, n, name)


def _strided(plan: _core.Plan, x: int, start: int, count: int, step: int, name: str) -> int:
    """Every step-th element of the second axis."""
    shape = list(plan.shape(x))
    if (start, count, step) == (0, shape[1], 1):
        return x
    shape[1], rest = count, len(shape) - 2
    first, steps = (0, start, *(0,) * rest), (1, step, *(1,) * rest)
    return plan.slice(x, start=first, shape=shape, step=steps, name=name)


def _padded(plan: _core.Plan, x: int, axis: int, before: int, after: int, name: str) -> int:
    """Zeros before and after one axis; a negative number crops."""
    if before == after == 0:
        return x
    ndim = len(plan.shape(x))
    pads = [[n if i == axis else 0 for i in range(ndim)] for n in (before, after)]
    return plan.pad(x, before=pads[0], after=pads[1], name=name)


def _channels_first(plan: _core.Plan, y: int, n: int, name: str) -> int:
    """N*D,C,... as N,C,D,..."""
    rows, *rest = plan.shape(y)
    y = plan.reshape(y, shape=(n, rows // n, *rest), name=name)
    return plan.transpose(y, perm=(0, 2, 1, *range(3, 2 + len(rest))), name=name)


def _wide(plan: _core.Plan, x: int, name: str) -> int:
    n, c, length = plan.shape(x)
    return plan.reshape(x, shape=(n, c, 1, length), name=f"{name}/2d")


def _narrow(plan: _core.Plan, y: int, name: str) -> int:
    n, c, _, length = plan.shape(y)
    return plan.reshape(y, shape=(n, c, length), name=f"{name}/1d")


def transposed(
    plan: _core.Plan,
    x: int,
    w: int,
    b: Optional[int],
    window: Window,
    more: Shape,
    groups: int,
    name: str,
) -> int:
    """The transposed convolution of x: N,C,... with `filters` w; `more` is the output padding."""
    if len(window.kernel) == 1:
        y = transposed(plan, _wide(plan, x, name), w, b, window.wide(), (0, *more), groups, name)
        return _narrow(plan, y, name)
    if len(window.kernel) == 2:
        return plan.conv_transpose2d(
            x, w, b, output_padding=(more[0], more[1]), groups=groups, name=name, **window.settings()
        )
    n, c, extent, *rest = plan.shape(x)
    length = (extent - 1) * window.stride[0] + window.reach[0] - window.before[0] - window.after[0] + more[0]
    if length < 1:
        raise ValueError(f"the padding ({window.before[0]} + {window.after[0]}) leaves no depth")
    x = plan.transpose(x, perm=(0, 2, 1, *range(3, 3 + len(rest))), name=name)
    x = plan.reshape(x, shape=(n * extent, c, *rest), name=name)
    y = transposed(plan, x, w, None, window.part(1), more[1:], groups, name)
    _, channels, *rest = plan.shape(y)
    taps = window.kernel[0]
    y = plan.reshape(y, shape=(n, extent, channels // taps, taps, *rest), name=name)
    y = _spread(plan, y, window, length, name)
    y = plan.transpose(y, perm=(0, 2, 1, *range(3, 3 + len(rest))), name=name)
    if b is None:
        return y
    b = plan.reshape(b, shape=(channels // taps, *(1,) * (1 + len(rest))), name=name)
    return plan.add(y, b, name=name)


def _spread(plan: _core.Plan, y: int, window: Window, length: int, name: str) -> int:
    """The sum over the taps of y: N,D,C,taps,..., each laid at its depths of N,length,C,..."""
    n, extent, c, taps, *rest = plan.shape(y)
    stride, total = window.stride[0], None
    for tap in range(taps):
        at = tap * window.dilation[0] - window.before[0]
        if not -extent * stride < at < length:
            continue
        start, shape = (0, 0, 0, tap, *(0,) * len(rest)), (n, extent, c, 1, *rest)
        part = plan.slice(y, start=start, shape=shape, step=(1,) * len(shape), name=name)
        part = plan.reshape(part, shape=(n, extent, 1, c, *rest), name=name)
        part = _padded(plan, part, 2, 0, stride - 1, name)
        part = plan.reshape(part, shape=(n, extent * stride, c, *rest), name=name)
        part = _padded(plan, part, 1, at, length - at - extent * stride, name)
        total = part if total is None else plan.add(total, part, name=name)
    if total is None:
        raise ValueError(f"the padding ({window.before[0]} + {window.after[0]}) leaves no tap")
    return total


def pooled(
    plan: _core.Plan, build: Callable[..., int], x: int, window: Window, name: str, **settings: Any
) -> int:
    """The pool of x: N,C,... by a builder method of the core; maxima and means go axis by axis."""
    if len(window.kernel) == 1:
        y = pooled(plan, build, _wide(plan, x, name), window.wide(), name, **settings)
        return _narrow(plan, y, name)
    if len(window.kernel) == 2:
        return build(x, kernel=window.kernel, name=name, **window.settings(), **settings)
    n, c, extent, *rest = plan.shape(x)
    x = plan.reshape(x, shape=(n, c * extent, *rest), name=name)
    y = pooled(plan, build, x, window.part(1), name, **settings)
    _, _, *rest = plan.shape(y)
    y = plan.reshape(y, shape=(n, c, extent, math.prod(rest)), name=name)
    y = pooled(plan, build, y, window.part(0, 1).wide(row=False), name, **settings)
    return plan.reshape(y, shape=(n, c, plan.shape(y)[2], *rest), name=name)
