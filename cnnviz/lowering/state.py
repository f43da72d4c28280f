"""The state of one walk over a graph: the plan so far, and the values that are known without running it."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Tuple, Union, cast

import numpy as np
from numpy.typing import NDArray

from cnnviz._config import _core
from cnnviz.graph.fold import Budget
from cnnviz.graph.graph import Graph, Node
from cnnviz.lowering.batched_plan import BatchedPlan
from cnnviz.lowering.weights import Weights, as_constant

__all__ = ["Lowering"]


class Lowering:
    """A plan under construction, which the rows of the lowering tables read and append to.

    Attributes
    ----------
    plan : _core.Plan or BatchedPlan
        The builder; the second one has the methods of the first.
    known : mapping of str to ndarray
        The arrays of the values that do not depend on the inputs' numbers.
    values : mapping of str to int
        The plan's value id for each value of the graph that is in the plan.
    budget : Budget
        The number of elements that evaluation in advance may still make.
    steps : int
        The time steps that recurrent layers have put into the plan so far.
    """

    def __init__(
        self,
        graph: Graph,
        input_shapes: Mapping[str, Tuple[int, ...]],
        weights: Weights,
        plan: Union[_core.Plan, BatchedPlan],
    ) -> None:
        self.plan = cast(_core.Plan, plan)
        self.known: Dict[str, NDArray[Any]] = dict(graph.constants)
        self.values: Dict[str, int] = {}
        self._weights = weights
        self.budget = Budget()
        self.steps = 0
        for tensor in graph.inputs:
            self.values[tensor.name] = self.plan.input(input_shapes[tensor.name], name=tensor.name)

    def id(self, name: str) -> int:
        """The plan's value id for a value of the graph."""
        if name not in self.values:
            constant = self._weights.get(name) if name in self._weights else as_constant(self.known[name])
            self.values[name] = self.plan.constant(constant, name=name)
        return self.values[name]

    def shape(self, name: str) -> Tuple[int, ...]:
        """The shape of a value of the graph."""
        return self.known[name].shape if name in self.known else self.plan.shape(self.values[name])

    def derived(self, name: str, form: str, make: Callable[[NDArray[Any]], NDArray[Any]]) -> int:
        """A known value in another form; plans of one model share the forms of the graph's constants."""
        if name in self._weights:
            constant = self._weights.get(name, form, make)
        else:
            constant = as_constant(self.known[name], make)
        return self.plan.constant(constant, name=f"{name} {form}")

    def number(self, value: float) -> int:
        """A scalar as a constant of the plan."""
        return self.array(np.full((), value, np.float32), f"{value:g}")

    def array(self, array: NDArray[Any], name: str) -> int:
        """An array that lowering made, as a constant of the plan."""
        return self.plan.constant(as_constant(array), name=name)

    def spend(self, elements: int, node: Node) -> None:
        """Take elements that lowering is about to make from the budget, or raise."""
        self.budget.spend(elements, node)
