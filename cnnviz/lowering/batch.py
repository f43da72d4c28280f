"""Where the images of a batch lie in a value, and the plan of that batch while it is built.

A file describes its network for the batch that it declares, usually one image. The *shown* plan is built for
that batch, the *real* plan for another one. A value of both plans holds the images independently if its
real array is the shown array of each image, laid along one axis: its `Place` says how.
"""

from __future__ import annotations

import math
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz._config import _core
from cnnviz.errors import UnsupportedModelError
from cnnviz.lowering.weights import as_constant

__all__ = ["Batch", "Call", "MixedBatchError", "Place"]

Shape = Tuple[int, ...]


class MixedBatchError(UnsupportedModelError):
    """The images of a batch cannot be followed through a node: no plan takes several of them."""


class Place(NamedTuple):
    """The position of the batch in a value, whose axis `axis` has `outer` x batch x `inner` elements.

    The number of the image is the middle index: windows cut out of images lie in batch x windows rows, so
    `outer` is 1 and `inner` the number of windows.
    """

    axis: int
    outer: int = 1
    inner: int = 1

    @property
    def whole(self) -> bool:
        """Whether the axis has one element for each image."""
        return self.outer == self.inner == 1


class Call(NamedTuple):
    """One call of a builder method: its operands and the result are values of the shown plan."""

    op: str
    name: str
    operands: Tuple[Optional[int], ...]
    parameters: Dict[str, Any]
    shape: Shape


class Batch:
    """The two plans under construction.

    Attributes
    ----------
    shown, real : _core.Plan
    declared, size : int
        The number of images of each.
    ids : dict of int to int
        The value of the real plan for each value of the shown plan.
    places : dict of int to Place
        The places of the values of the shown plan that depend on the images; the others are the same in both.
    constants : dict of int to ndarray
        The arrays of the constants among the latter.
    """

    def __init__(self, declared: int, size: int) -> None:
        self.shown, self.real = _core.Plan(), _core.Plan()
        self.declared, self.size = declared, size
        self.ids: Dict[int, int] = {}
        self.places: Dict[int, Place] = {}
        self.constants: Dict[int, NDArray[np.float32]] = {}

    def place(self, value: Optional[int]) -> Optional[Place]:
        """Return the place of a value of the shown plan, None for one that is the same for all images."""
        return None if value is None else self.places.get(value)

    def the_place(self, call: Call) -> Place:
        """Return the place of the first operand, which must be the only one that depends on the images."""
        first, *others = call.operands
        place = self.place(first)
        if place is None or any(self.place(value) for value in others):
            raise MixedBatchError("weights depend on the image")
        return place

    def scaled(self, shape: Shape, place: Place) -> Shape:
        """Return the real shape of a value that is shown with `shape`."""
        if shape[place.axis] != place.outer * self.declared * place.inner:
            raise MixedBatchError(f"axis {place.axis} of {shape} is no batch of {self.declared}")
        real = list(shape)
        real[place.axis] = place.outer * self.size * place.inner
        return tuple(real)

    def make(self, call: Call, operands: Sequence[Optional[int]], **changes: Any) -> int:
        """Append the operator of a call to the real plan, with real operands and some parameters changed."""
        parameters = {**call.parameters, **changes}
        given: Sequence[Any] = [list(operands)] if call.op == "concat" else operands
        value: int = getattr(self.real, call.op)(*given, name=call.name, **parameters)
        return value

    def direct(self, call: Call, **changes: Any) -> int:
        """Append the operator of a call as it is, some parameters changed."""
        operands = [None if value is None else self.ids[value] for value in call.operands]
        return self.make(call, operands, **changes)

    def reshaped(self, value: int, shape: Sequence[int], name: str) -> int:
        """Reshape a value of the real plan."""
        return self.real.reshape(value, shape=shape, name=name)

    def alike(self, value: int, axis: int, place: Place, name: str) -> int:
        """Return a constant that is equal for all images of the declared batch, for the real batch."""
        array = self.constants.get(value)
        if array is None:
            raise MixedBatchError(f"the batch meets {self.declared} computed parts")
        before, after = array.shape[:axis], array.shape[axis + 1 :]
        parts = array.reshape(*before, place.outer, self.declared, place.inner, *after)
        first = parts.take([0], axis + 1)
        if not np.array_equal(np.broadcast_to(first, parts.shape), parts):
            raise MixedBatchError(f"a constant differs between the {self.declared} images of the batch")
        real = np.repeat(first, self.size, axis + 1).reshape(*before, -1, *after)
        return self.real.constant(as_constant(real), name=f"{name}/images")

    def need_one(self) -> None:
        """Raise unless the file declares a batch of one: only then has each image an array of its own."""
        if self.declared != 1:
            raise MixedBatchError(f"the {self.declared} images of the file's batch are treated differently")

    def split(self, value: int, axis: int, place: Optional[Place], inner: bool, name: str) -> int:
        """Return a real value in which the images have an axis of their own.

        The shown axis `axis` becomes (images, own) with `inner`, else (own, images): `own` are the elements
        of the shown axis. Without a place, the value has one image, for a product that broadcasts.
        """
        self.need_one()
        shown = self.shown.shape(value)
        if place is not None and (place.outer if inner else place.inner) != 1:
            raise MixedBatchError("the images lie in the middle of an axis")
        images = 1 if place is None else self.size
        own = shown[axis]
        parts = (images, own) if inner else (own, images)
        return self.reshaped(self.ids[value], (*shown[:axis], *parts, *shown[axis + 1 :]), name)

    def repeated(self, value: int, axis: int, inner: bool, name: str) -> int:
        """Return a value without a place, split as by `split` and repeated for each image."""
        x = self.split(value, axis, None, inner, name)
        ones = [1] * len(self.real.shape(x))
        ones[axis + (0 if inner else 1)] = self.size
        repeats = self.real.constant(as_constant(np.ones(ones, np.float32)), name=f"{name}/images")
        return self.real.mul(x, repeats, name=name)

    def merged(self, value: int, axis: int, inner: bool, name: str) -> Tuple[int, Place]:
        """Join the axis of the images with its neighbour again: the inverse of `split`."""
        shape = self.real.shape(value)
        both = math.prod(shape[axis : axis + 2])
        own = both // self.size
        y = self.reshaped(value, (*shape[:axis], both, *shape[axis + 2 :]), name)
        return y, Place(axis, 1, own) if inner else Place(axis, own, 1)
