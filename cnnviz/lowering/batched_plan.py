"""A builder that takes the calls for the batch that a file declares, and builds the plan of another batch.

The rows of the lowering tables see the shapes and sizes of the declared batch, so the numbers that an
exporter wrote for it (targets of Reshape, constants with a leading 1) always fit. A call becomes one of the
real plan by the rule of its operator, which also proves that the images stay apart; an operator without a
rule, or a rule that cannot follow the images, raises MixedBatchError.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, FrozenSet, Iterable, Mapping, Sequence, Tuple

from cnnviz._config import _core
from cnnviz.lowering.batch import Batch, Call, MixedBatchError, Place
from cnnviz.lowering.batch_rules import RULES

__all__ = ["BatchedPlan"]

Shape = Tuple[int, ...]


class BatchedPlan:
    """The builder; it has the building methods of `_core.Plan`, with the value ids of the shown plan.

    Parameters
    ----------
    declared, size : int
        The batch that the file declares, and that of the plan to build.
    inputs : frozenset of str
        The inputs whose first axis is the batch; the others are the same for all images.
    """

    def __init__(self, declared: int, size: int, inputs: FrozenSet[str]) -> None:
        self.declared = declared
        self._batch = Batch(declared, size)
        self._inputs = inputs

    def input(self, shape: Sequence[int], *, name: str) -> int:
        """Add an input; `shape` is that for the declared batch."""
        batch, shown = self._batch, tuple(shape)
        value = batch.shown.input(shown, name=name)
        if name in self._inputs:
            batch.places[value] = Place(0)
            shown = batch.scaled(shown, Place(0))
        batch.ids[value] = batch.real.input(shown, name=name)
        return value

    def constant(self, constant: _core.Constant, *, name: str) -> int:
        """Add a constant to both plans."""
        value = self._batch.shown.constant(constant, name=name)
        self._batch.ids[value] = self._batch.real.constant(constant, name=name)
        self._batch.constants[value] = constant.array
        return value

    def shape(self, value: int) -> Shape:
        """Return the shape of a value for the declared batch."""
        return self._batch.shown.shape(value)

    def __getattr__(self, op: str) -> Callable[..., int]:
        if not hasattr(_core.Plan, op):
            raise AttributeError(op)

        def build(*operands: Any, name: str, **parameters: Any) -> int:
            return self._append(op, operands, name, parameters)

        return build

    def _append(self, op: str, operands: Tuple[Any, ...], name: str, parameters: Dict[str, Any]) -> int:
        batch = self._batch
        value: int = getattr(batch.shown, op)(*operands, name=name, **parameters)
        if value in batch.ids:  # an operator without effect returns its operand
            return value
        values = tuple(operands[0]) if op == "concat" else operands
        call = Call(op, name, values, parameters, batch.shown.shape(value))
        if all(batch.place(each) is None for each in values):
            batch.ids[value] = batch.direct(call)
            return value
        if op not in RULES:
            raise MixedBatchError(f"there is no rule for {op}")
        try:
            made, place = RULES[op](batch, call)
        except ValueError as error:
            if isinstance(error, MixedBatchError):
                raise
            raise MixedBatchError(str(error)) from None
        if batch.real.shape(made) != batch.scaled(call.shape, place):
            raise MixedBatchError(f"{batch.real.shape(made)} is no batch of {call.shape}")
        batch.ids[value], batch.places[value] = made, place
        return value

    def finish(self, values: Dict[str, int], outputs: Iterable[str]) -> Tuple[_core.Plan, Dict[str, int]]:
        """Return the real plan and its value ids by name.

        Raises
        ------
        MixedBatchError
            When the images of one of the outputs do not follow each other along the first axis, nor have an
            axis of their own.
        """
        batch = self._batch
        for name in outputs:
            place = batch.place(values[name])
            if place is None:
                raise MixedBatchError(f"{name!r} does not depend on the image")
            if not place.whole and (place.axis != 0 or place.outer != 1):
                raise MixedBatchError(f"no axis of {name!r}, {self.shape(values[name])}, is the batch")
        return batch.real, {name: batch.ids[value] for name, value in values.items()}

    def axes(self, values: Mapping[str, int]) -> Dict[str, int]:
        """Return the axis of the images, by name, for the values in which they have an axis of their own."""
        places = {name: self._batch.place(value) for name, value in values.items()}
        return {name: place.axis for name, place in places.items() if place is not None and place.whole}
