"""Arithmetic on shapes, as ONNX defines it: axes, Reshape, Slice, Split, padding of windows.

The functions are pure. Contradictions raise ValueError with the numbers; callers add the node.
"""

from __future__ import annotations

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

__all__ = [
    "Slices",
    "axes_of",
    "axis_of",
    "expanded",
    "flattened",
    "reshaped",
    "sliced",
    "split_sizes",
    "squeezed",
    "transposed_pads",
    "unsqueezed",
    "window_pads",
]

Shape = Tuple[int, ...]


class Slices(NamedTuple):
    """The first index, the number of elements (length) and the step between them, for each axis."""

    start: Shape
    length: Shape
    step: Shape


def axis_of(axis: int, ndim: int) -> int:
    """An axis counted from the front."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of range for {ndim} dimensions")
    return axis % ndim


def axes_of(axes: Sequence[int], ndim: int) -> Shape:
    """Axes counted from the front, in order, each once."""
    found = tuple(sorted(axis_of(axis, ndim) for axis in axes))
    if len(set(found)) < len(found):
        raise ValueError(f"axes {tuple(axes)} name one axis twice")
    return found


def reshaped(shape: Shape, target: Sequence[int], *, allow_zero: bool = False) -> Shape:
    """The shape that Reshape gives: 0 copies a dimension (unless `allow_zero`), one -1 takes the rest."""
    if any(n < -1 for n in target) or sum(n == -1 for n in target) > 1:
        raise ValueError(f"cannot reshape {shape} to {tuple(target)}")
    if not allow_zero:
        if any(n == 0 and i >= len(shape) for i, n in enumerate(target)):
            raise ValueError(f"cannot copy a dimension of {shape} that it does not have, for {tuple(target)}")
        target = [shape[i] if n == 0 else n for i, n in enumerate(target)]
    size = math.prod(shape)
    rest = math.prod(n for n in target if n != -1)
    if -1 in target:
        if rest == 0 or size % rest:
            raise ValueError(f"cannot reshape {shape} ({size} elements) to {tuple(target)}")
        return tuple(size // rest if n == -1 else n for n in target)
    if rest != size:
        raise ValueError(f"cannot reshape {shape} ({size} elements) to {tuple(target)} ({rest} elements)")
    return tuple(target)


def flattened(shape: Shape, axis: int) -> Shape:
    """The two dimensions that Flatten makes: those before `axis`, and the rest."""
    if not -len(shape) <= axis <= len(shape):
        raise ValueError(f"axis {axis} is out of range for {len(shape)} dimensions")
    axis = axis + len(shape) if axis < 0 else axis
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def squeezed(shape: Shape, axes: Optional[Sequence[int]]) -> Shape:
    """The shape without `axes`, which must be 1; None: without all dimensions of 1."""
    if axes is None:
        return tuple(n for n in shape if n != 1)
    gone = axes_of(axes, len(shape))
    if any(shape[axis] != 1 for axis in gone):
        raise ValueError(f"cannot squeeze axes {gone} of {shape}: they are not all 1")
    return tuple(n for axis, n in enumerate(shape) if axis not in gone)


def unsqueezed(shape: Shape, axes: Sequence[int]) -> Shape:
    """The shape with dimensions of 1 put in, so that the result has them at `axes`."""
    ndim = len(shape) + len(axes)
    new = axes_of(axes, ndim)
    rest = iter(shape)
    return tuple(1 if axis in new else next(rest) for axis in range(ndim))


def expanded(shape: Shape, target: Sequence[int]) -> Shape:
    """The shape that NumPy's broadcasting gives for two shapes."""
    ndim = max(len(shape), len(target))
    a = (1,) * (ndim - len(shape)) + shape
    b = (1,) * (ndim - len(target)) + tuple(target)
    if any(m != n and 1 not in (m, n) for m, n in zip(a, b)) or any(n < 0 for n in b):
        raise ValueError(f"cannot broadcast {shape} with {tuple(target)}")
    return tuple(n if m == 1 else m for m, n in zip(a, b))


def sliced(
    shape: Shape,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Optional[Sequence[int]],
    steps: Optional[Sequence[int]],
) -> Slices:
    """The elements that Slice reads; its bounds, as in Python, may be negative or outside the axis."""
    axes = tuple(range(len(starts))) if axes is None else tuple(axes)
    steps = (1,) * len(starts) if steps is None else tuple(steps)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError(f"starts {starts}, ends {ends}, axes {axes}, steps {steps} differ in length")
    axes_of(axes, len(shape))
    start, count, step = [0] * len(shape), list(shape), [1] * len(shape)
    for axis, first, last, stride in zip(axes, starts, ends, steps):
        if stride == 0:
            raise ValueError(f"steps {steps} has a step of 0")
        axis = axis_of(axis, len(shape))
        taken = range(*slice(first, last, stride).indices(shape[axis]))
        start[axis], count[axis], step[axis] = taken.start, len(taken), stride
    return Slices(tuple(start), tuple(count), tuple(step))


def split_sizes(
    length: int, outputs: int, sizes: Optional[Sequence[int]], num_outputs: Optional[int]
) -> Shape:
    """The lengths that Split cuts an axis into; without `sizes`, equal ones, the last one smaller."""
    if sizes is None:
        if num_outputs not in (None, outputs):
            raise ValueError(f"num_outputs is {num_outputs}, but there are {outputs} outputs")
        each = -(-length // outputs)
        sizes = [each] * (outputs - 1) + [length - each * (outputs - 1)]
    if len(sizes) != outputs or sum(sizes) != length or any(n < 0 for n in sizes):
        raise ValueError(f"cannot split {length} into {outputs} parts of {tuple(sizes)}")
    return tuple(sizes)


def window_pads(
    auto_pad: str,
    pads: Sequence[int],
    spatial: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Tuple[List[int], List[int]]:
    """The padding (before, after) of each spatial axis; SAME makes ceil(length / stride) windows."""
    ndim = len(spatial)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID") and any(pads):
        raise ValueError(f"auto_pad {auto_pad} contradicts pads {tuple(pads)}")
    if auto_pad in ("NOTSET", "", "VALID"):
        pads = tuple(pads) or (0,) * (2 * ndim)
        if len(pads) != 2 * ndim:
            raise ValueError(f"pads {pads} has {len(pads)} numbers, expected {2 * ndim}")
        return list(pads[:ndim]), list(pads[ndim:])
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad {auto_pad!r} does not exist")
    before, after = [], []
    for n, k, s, d in zip(spatial, kernel, stride, dilation):
        if min(k, s, d) < 1:
            sizes = f"kernel {tuple(kernel)}, strides {tuple(stride)} and dilations {tuple(dilation)}"
            raise ValueError(f"{sizes} must be positive")
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small = total // 2
        before.append(small if auto_pad == "SAME_UPPER" else total - small)
        after.append(total - before[-1])
    return before, after


def transposed_pads(
    auto_pad: str,
    pads: Sequence[int],
    output_shape: Sequence[int],
    output_padding: Sequence[int],
    spatial: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Tuple[List[int], List[int], List[int]]:
    """The padding (before, after) of each axis of a ConvTranspose, and its output padding.

    `output_shape`, or SAME's length times stride, decides about both; `pads` are then not read. The windows'
    surplus is cut off, and where they fall short, output padding makes up the rest.
    """
    ndim = len(spatial)
    output_padding = tuple(output_padding) or (0,) * ndim
    target = tuple(output_shape)[-ndim:]  # some exporters write the batch and the channels too
    if len(output_padding) != ndim or min(output_padding) < 0:
        raise ValueError(f"output_padding {output_padding} must be {ndim} numbers of at least 0")
    if len(output_shape) not in (0, ndim, ndim + 2) or any(n < 1 for n in target):
        raise ValueError(f"output_shape {tuple(output_shape)} must be {ndim} positive numbers")
    if not target and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        target = tuple(n * s for n, s in zip(spatial, stride))
    if not target:
        return (*window_pads(auto_pad, pads, spatial, kernel, stride, dilation), list(output_padding))
    before, after, more = [], [], []
    for n, k, s, d, length, extra in zip(spatial, kernel, stride, dilation, target, output_padding):
        covered = (n - 1) * s + (k - 1) * d + 1
        total = max(covered + extra - length, 0)
        small = total // 2
        before.append(small if auto_pad == "SAME_UPPER" else total - small)
        after.append(total - before[-1])
        more.append(length - covered + total)
    return before, after, more
