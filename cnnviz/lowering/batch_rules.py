"""The rules of batches: for each operator of the core, the position of the images in its result.

A rule appends the call to the real plan and returns the real value with its place, or raises MixedBatchError.
Each image's part of the result has the bits of a plan for that image alone. The usual case, a batch along an
axis that the operator does not touch, appends one operator; the images get an axis of their own otherwise.
"""

from __future__ import annotations

import math
from typing import AbstractSet, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cnnviz._config import _core
from cnnviz.lowering.batch import Batch, Call, MixedBatchError, Place, Shape
from cnnviz.lowering.weights import as_constant

__all__ = ["RULES", "Rule"]

Made = Tuple[int, Place]
Rule = Callable[[Batch, Call], Made]


def _each(batch: Batch, call: Call) -> Made:
    """A function of each number."""
    return batch.direct(call), batch.the_place(call)


def _rows(batch: Batch, call: Call) -> Made:
    """An operator that works on the rows of the first axis one by one."""
    place = batch.the_place(call)
    if place.axis != 0:
        raise MixedBatchError(f"the batch lies along axis {place.axis}")
    return batch.direct(call), place


def _transpose(batch: Batch, call: Call) -> Made:
    place = batch.the_place(call)
    return batch.direct(call), place._replace(axis=list(call.parameters["perm"]).index(place.axis))


def _reshape(batch: Batch, call: Call) -> Made:
    (x,) = _given(call)
    place = _followed(batch, batch.shown.shape(x), batch.the_place(call), call.shape)
    return batch.direct(call, shape=batch.scaled(call.shape, place)), place


def _followed(batch: Batch, shape: Shape, place: Place, target: Shape) -> Place:
    """The place after a reshape from `shape` to `target`, both as shown.

    The numbers keep their order, so the product of the extents before the images stays. Several axes may do
    where extents are 1; the first axis that begins with the images is best, unless it is the last of several,
    which holds the features of a row.
    """
    before = math.prod(shape[: place.axis]) * place.outer
    found = []
    for axis, extent in enumerate(target):
        lead = math.prod(target[:axis])
        outer = before // max(lead, 1)
        if lead and before == outer * lead and extent % (outer * batch.declared) == 0:
            found.append(Place(axis, outer, extent // (outer * batch.declared)))
    if not found:
        raise MixedBatchError(f"the batch is part of no axis of {target}")

    def rank(at: Place) -> Tuple[bool, bool]:
        ends = 0 < at.axis == len(target) - 1 and at.inner != 1
        return at.outer != 1 or ends, at.inner != 1

    return min(found, key=rank)


def _concat(batch: Batch, call: Call) -> Made:
    places = [place for place in map(batch.place, call.operands) if place is not None]
    axis, name = call.parameters["axis"], call.name
    place = places[0]
    inner = all(one.outer == 1 for one in places)
    if any(one.axis != place.axis for one in places):
        raise MixedBatchError("the batch lies along different axes")
    if axis == place.axis:
        parts = [_own_axis(batch, x, place.axis, inner, name) for x in _given(call)]
        return batch.merged(batch.make(call, parts, axis=axis + inner), axis, inner, name)
    if any(one != place for one in places):
        raise MixedBatchError("the batches are laid out differently")
    parts = [batch.ids[x] if batch.place(x) else _for_each(batch, x, place, name) for x in _given(call)]
    return batch.make(call, parts), place


def _for_each(batch: Batch, value: int, place: Place, name: str) -> int:
    """A value that is the same for all images, once for each of them."""
    if batch.declared != 1:
        return batch.alike(value, place.axis, place, name)
    inner = place.outer == 1
    if place.inner != 1 and not inner:
        raise MixedBatchError("the images lie in the middle of an axis")
    return batch.merged(batch.repeated(value, place.axis, inner, name), place.axis, inner, name)[0]


def _own_axis(batch: Batch, value: int, axis: int, inner: bool, name: str) -> int:
    """A value whose images have an axis of their own, also if it is the same for each of them."""
    place = batch.place(value)
    if place is None:
        return batch.repeated(value, axis, inner, name)
    return batch.split(value, axis, place, inner, name)


def _given(call: Call) -> List[int]:
    return [value for value in call.operands if value is not None]


def _slice(batch: Batch, call: Call) -> Made:
    (x,), at = _given(call), batch.the_place(call)
    start, shape, step = (list(call.parameters[name]) for name in ("start", "shape", "step"))
    extent = batch.shown.shape(x)[at.axis]
    if (start[at.axis], shape[at.axis], step[at.axis]) == (0, extent, 1):
        return batch.direct(call, shape=batch.scaled(tuple(shape), at)), at
    inner = at.outer == 1
    y = batch.make(
        call,
        [batch.split(x, at.axis, at, inner, call.name)],
        start=_with(start, at.axis, inner, 0),
        shape=_with(shape, at.axis, inner, batch.size),
        step=_with(step, at.axis, inner, 1),
    )
    return batch.merged(y, at.axis, inner, call.name)


def _pad(batch: Batch, call: Call) -> Made:
    (x,), at = _given(call), batch.the_place(call)
    before, after = list(call.parameters["before"]), list(call.parameters["after"])
    if (before[at.axis], after[at.axis]) == (0, 0):
        return batch.direct(call), at
    inner = at.outer == 1
    y = batch.make(
        call,
        [batch.split(x, at.axis, at, inner, call.name)],
        before=_with(before, at.axis, inner, 0),
        after=_with(after, at.axis, inner, 0),
    )
    return batch.merged(y, at.axis, inner, call.name)


def _with(numbers: Sequence[int], axis: int, inner: bool, images: int) -> List[int]:
    """One number for each axis of a split value, from one for each shown axis and one for the images."""
    at = axis if inner else axis + 1
    return [*numbers[:at], images, *numbers[at:]]


def _softmax(batch: Batch, call: Call) -> Made:
    (x,), at = _given(call), batch.the_place(call)
    if call.parameters["axis"] != at.axis:
        return batch.direct(call), at
    inner = at.outer == 1
    parts = batch.split(x, at.axis, at, inner, call.name)
    return batch.merged(batch.make(call, [parts], axis=at.axis + inner), at.axis, inner, call.name)


def _reduce(batch: Batch, call: Call) -> Made:
    (x,), at = _given(call), batch.the_place(call)
    axes, keepdims = sorted(call.parameters["axes"]), call.parameters["keepdims"]
    if at.axis not in axes:
        gone = 0 if keepdims else sum(axis < at.axis for axis in axes)
        return batch.direct(call), at._replace(axis=at.axis - gone)
    inner = at.outer == 1
    split = [axis + (axis > at.axis or (axis == at.axis and inner)) for axis in axes]
    parts = batch.split(x, at.axis, at, inner, call.name)
    y, place = batch.merged(batch.make(call, [parts], axes=split, keepdims=True), at.axis, inner, call.name)
    if keepdims:
        return y, place
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(batch.shown.shape(x)))
    place = _followed(batch, kept, place, call.shape)
    return batch.reshaped(y, batch.scaled(call.shape, place), call.name), place


class _Operand(NamedTuple):
    """A value of the real plan, with the shown shape and the place brought to the rank of the result."""

    value: int
    source: int
    shape: Shape
    place: Optional[Place]


def _broadcast(batch: Batch, call: Call) -> Made:
    """An operator with NumPy's broadcasting along the axis of the batch."""
    operands = _aligned(batch, call)
    places = {one.place for one in operands if one.place is not None}
    place = next(iter(places))
    if len({one.axis for one in places}) > 1:
        raise MixedBatchError("the batch lies along different axes")
    longer = [one.place is None and one.shape[place.axis] != 1 for one in operands]
    if len(places) == 1 and batch.declared != 1:
        values = [
            _for_each(batch, one.source, _lower(batch, one, place), call.name) if long else one.value
            for one, long in zip(operands, longer)
        ]
        return batch.make(call, values), place
    if len(places) == 1 and not any(longer):
        return batch.make(call, [one.value for one in operands]), place
    return _broadcast_apart(batch, call, operands, places)


def _lower(batch: Batch, operand: _Operand, place: Place) -> Place:
    """The place in an operand of lower rank than the result."""
    return place._replace(axis=place.axis - len(operand.shape) + len(batch.shown.shape(operand.source)))


def _broadcast_apart(
    batch: Batch, call: Call, operands: Sequence[_Operand], places: AbstractSet[Place]
) -> Made:
    """The same with an axis for the images alone: (outer, images, inner) instead of the axis of the batch."""
    batch.need_one()
    axis = next(iter(places)).axis
    outer, inner = max(one.outer for one in places), max(one.inner for one in places)
    if outer == inner == 1:
        inner = call.shape[axis]
    if any(not one.whole and (one.outer, one.inner) != (outer, inner) for one in places):
        raise MixedBatchError("the batches are laid out differently")
    parts = []
    for one in operands:
        if one.place is not None:
            axes = (one.place.outer, batch.size, one.place.inner)
        else:
            axes = (1, 1, 1) if one.shape[axis] == 1 else (outer, 1, inner)
        parts.append(batch.reshaped(one.value, (*one.shape[:axis], *axes, *one.shape[axis + 1 :]), call.name))
    place = Place(axis, outer, inner)
    return batch.reshaped(batch.make(call, parts), batch.scaled(call.shape, place), call.name), place


def _aligned(batch: Batch, call: Call) -> List[_Operand]:
    """The operands, of equal rank.

    A batch along another axis than that of the first place moves there where only extents of 1 lie between.
    """
    ndim = len(call.shape)
    found: List[_Operand] = []
    for value in _given(call):
        shape, place = batch.shown.shape(value), batch.place(value)
        more = ndim - len(shape)
        at = None if place is None else place._replace(axis=place.axis + more)
        found.append(_Operand(batch.ids[value], value, (1,) * more + shape, at))
    axis = next(one.place.axis for one in found if one.place is not None)
    return [_moved(batch, one, axis, call.name) for one in found]


def _moved(batch: Batch, operand: _Operand, axis: int, name: str) -> _Operand:
    at, shape = operand.place, operand.shape
    if at is None or at.axis == axis or not at.whole or batch.declared != 1:
        return operand
    first, last = sorted((at.axis, axis))
    if any(n != 1 for n in shape[first : last + 1]):
        return operand
    value = batch.reshaped(operand.value, batch.scaled(shape, Place(axis)), name)
    return operand._replace(value=value, place=Place(axis))


def _matmul(batch: Batch, call: Call) -> Made:
    """A product of matrices; rows that images lie in stay matrices of their own, for the sake of the bits."""
    a, b = _given(call)
    left = batch.place(a)
    row = len(batch.shown.shape(a)) - 2
    if left is not None and left.axis == row and batch.place(b) is None:
        x = batch.split(a, row, left, True, call.name)
        w, shape = batch.ids[b], batch.shown.shape(b)
        if len(shape) > 2:
            w = batch.reshaped(w, (*shape[:-2], 1, *shape[-2:]), call.name)
        return batch.merged(batch.make(call, [x, w]), len(call.shape) - 2, True, call.name)
    for value in (a, b):
        place = batch.place(value)
        if place is not None and place.axis >= len(batch.shown.shape(value)) - 2:
            raise MixedBatchError("the batch lies along an axis of the matrices")
    return _broadcast(batch, call)


def _grid_sample(batch: Batch, call: Call) -> Made:
    """A picture and a grid for each image; of either, one may serve them all."""
    places = [place for place in map(batch.place, call.operands) if place is not None]
    place = places[0]
    if any(one.axis != 0 or one != place for one in places):
        raise MixedBatchError("the batches of pictures and of grids are laid out differently")
    return batch.make(call, [_serving(batch, value, place, call.name) for value in _given(call)]), place


def _serving(batch: Batch, value: int, place: Place, name: str) -> int:
    """The real value of an operand that has a place, or serves all images, or is repeated for them."""
    if batch.place(value) is not None or batch.shown.shape(value)[0] == 1:
        return batch.ids[value]
    return _for_each(batch, value, place, name)


def _max_unpool(batch: Batch, call: Call) -> Made:
    """Planes of x, each with the positions of its own numbers."""
    place, *others = [batch.place(value) for value in call.operands]
    if place is None or place.axis != 0 or any(other != place for other in others):
        raise MixedBatchError("numbers and positions are laid out differently")
    return batch.direct(call, shape=batch.scaled(call.shape, place)), place


def _roi_align(batch: Batch, call: Call) -> Made:
    """Regions of one image: the regions of all images in their order, each with the number of its image."""
    x, regions, index = _given(call)
    place = Place(0, 1, call.shape[0])
    if batch.declared != 1 or batch.place(x) != Place(0) or batch.place(index) is not None:
        raise MixedBatchError("regions name the images that they are taken from")
    if batch.place(regions) not in (None, place):
        raise MixedBatchError("the regions of an image do not follow each other")
    boxes = batch.ids[regions]
    if batch.place(regions) is None:
        boxes = _for_each(batch, regions, place, call.name)
    numbers = as_constant(np.repeat(np.arange(batch.size, dtype=np.float32), call.shape[0]))
    images = batch.real.constant(numbers, name=f"{call.name}/images")
    return batch.make(call, [batch.ids[x], boxes, images]), place


def _elementwise(batch: Batch, call: Call) -> Made:
    return _each(batch, call) if len(call.operands) == 1 else _broadcast(batch, call)


# The functions of each number that rectify ask, under the rule "redirected", whether the gradient of an
# element of the first axis is blocked as a whole: such an element may not hold parts of several images.
_RECTIFIERS = ("relu", "clip")
_REDUCTIONS = ("reduce_l2", "reduce_log_sum_exp", "reduce_max", "reduce_mean", "reduce_prod", "reduce_sum")
_ROWS = (
    *(
        "conv2d",
        "conv_transpose2d",
        "linear",
        "batch_norm",
        "lrn",
        "max_pool",
        "max_pool_position",
        "average_pool",
    ),
    *("global_average_pool", "global_max_pool"),
)

#: The rule of each operator of the core.
RULES: Dict[str, Rule] = {
    **{op: _elementwise for op in dir(_core.Plan) if getattr(getattr(_core.Plan, op), "elementwise", False)},
    **dict.fromkeys(_RECTIFIERS, _rows),
    **dict.fromkeys(_ROWS, _rows),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    "concat": _concat,
    "grid_sample": _grid_sample,
    "roi_align": _roi_align,
    "log_softmax": _softmax,
    "matmul": _matmul,
    "max_unpool": _max_unpool,
    "pad": _pad,
    "reshape": _reshape,
    "slice": _slice,
    "softmax": _softmax,
    "transpose": _transpose,
}
