"""The cells of recurrent layers: from the projected input of one time step and the state to the next state.

A state is a tuple of values N,H, None for one that is zero: the first step of most networks then needs no
product. A cell is made for one direction of a layer; the numbers of its rows stand in ONNX's order.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Node
from cnnviz.lowering.indexing import part
from cnnviz.lowering.state import Lowering

__all__ = ["CELLS", "Cell", "State", "piece"]

State = Tuple[Optional[int], ...]
Function = Callable[[int], int]


def piece(low: Lowering, node: Node, position: int, direction: int, start: int, count: int) -> int:
    """Rows of one direction of an input whose first two axes are directions and rows."""
    name = node.inputs[position]
    stop = start + count
    if name in low.known:
        form = f"direction {direction}, rows {start} to {stop}"
        return low.derived(name, form, lambda array: array[direction, start:stop])
    shape = low.shape(name)
    rows = low.plan.slice(
        low.id(name),
        start=(direction, start, *(0 for _ in shape[2:])),
        shape=(1, count, *shape[2:]),
        step=[1] * len(shape),
        name=node.name,
    )
    return low.plan.reshape(rows, shape=(count, *shape[2:]), name=node.name)


def _relu(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    return low.plan.relu(x, name=name)


def _tanh(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    return low.plan.tanh(x, name=name)


def _sigmoid(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    return low.plan.sigmoid(x, name=name)


def _affine(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    slope, shift = (low.number(number) for number in numbers)
    return low.plan.add(low.plan.mul(x, slope, name=name), shift, name=name)


def _leaky_relu(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    return low.plan.leaky_relu(x, slope=numbers[0], name=name)


def _thresholded_relu(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    passes = low.plan.greater(x, low.number(numbers[0]), name=name)
    return low.plan.masked(x, passes, name=name)


def _scaled_tanh(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    outer, inner = (low.number(number) for number in numbers)
    return low.plan.mul(low.plan.tanh(low.plan.mul(x, inner, name=name), name=name), outer, name=name)


def _hard_sigmoid(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    return low.plan.hard_sigmoid(x, alpha=numbers[0], beta=numbers[1], name=name)


def _elu(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    return low.plan.elu(x, alpha=numbers[0], name=name)


def _softsign(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    return low.plan.div(x, low.plan.add(low.plan.abs(x, name=name), low.number(1.0), name=name), name=name)


def _softplus(low: Lowering, x: int, numbers: Sequence[float], name: str) -> int:
    return low.plan.softplus(x, name=name)


class _Activation(NamedTuple):
    """A function, and the default values of its alpha and beta, as far as it has them."""

    build: Callable[[Lowering, int, Sequence[float], str], int]
    defaults: Tuple[float, ...] = ()


#: The activations that ONNX names, in lower case: some exporters write them so.
_ACTIVATIONS: Dict[str, _Activation] = {
    "affine": _Activation(_affine, (1.0, 0.0)),
    "elu": _Activation(_elu, (1.0,)),
    "hardsigmoid": _Activation(_hard_sigmoid, (0.2, 0.5)),
    "leakyrelu": _Activation(_leaky_relu, (0.01,)),
    "relu": _Activation(_relu),
    "scaledtanh": _Activation(_scaled_tanh, (1.0, 1.0)),
    "sigmoid": _Activation(_sigmoid),
    "softplus": _Activation(_softplus),
    "softsign": _Activation(_softsign),
    "tanh": _Activation(_tanh),
    "thresholdedrelu": _Activation(_thresholded_relu, (1.0,)),
}


_GATE_FUNCTIONS = 2  # the activations of a direction that gates have; a third one is that of the cell


def _activations(low: Lowering, node: Node, direction: int, usual: Sequence[str]) -> List[Function]:
    """The activations of one direction; alphas and betas go to those that have them.

    The clip bounds the sums of the gates, not the cell before the last function of LSTM, as in ONNX Runtime.
    """
    a = node.attributes
    all_usual = [*usual, *(usual if a["direction"] == "bidirectional" else ())]
    names = [name.lower() for name in a["activations"] or all_usual]
    if len(names) != len(all_usual):
        raise ValueError(f"activations lists {len(names)} names, expected {len(all_usual)}")
    unknown = [name for name in names if name not in _ACTIVATIONS]
    if unknown:
        raise ValueError(
            f"activations has {unknown[0]!r}, which is none of {', '.join(sorted(_ACTIVATIONS))}"
        )
    left = [list(a["activation_alpha"] or ()), list(a["activation_beta"] or ())]
    found = []
    for i, name in enumerate(names):
        defaults = _ACTIVATIONS[name].defaults
        numbers = [given.pop(0) if given else default for given, default in zip(left, defaults)]
        limit = a["clip"] if i % len(usual) < _GATE_FUNCTIONS else 0.0
        found.append(_function(low, _ACTIVATIONS[name], numbers, limit, node.name))
    return found[direction * len(usual) :][: len(usual)]


def _function(
    low: Lowering, activation: _Activation, numbers: Sequence[float], limit: float, name: str
) -> Function:
    def apply(x: int) -> int:
        if limit > 0:  # not by Plan.clip, to which the rules of rectifiers apply
            x = low.plan.max(x, low.number(-limit), name=name)
            x = low.plan.min(x, low.number(limit), name=name)
        return activation.build(low, x, numbers, name)

    return apply


class Cell:
    """One direction of a recurrent layer.

    Parameters
    ----------
    low : Lowering
    node : Node
    direction : int
        The index along the first axis of the weights.
    hidden : int
        The extent of the state.

    Attributes
    ----------
    gates : int
        The number of blocks of H rows that the weights have.
    states : int
        The number of values in a state; the first one is the output.
    """

    gates: int
    states = 1
    usual: Tuple[str, ...]  # the activations by default

    def __init__(self, low: Lowering, node: Node, direction: int, hidden: int) -> None:
        self.low, self.node, self.plan, self.name = low, node, low.plan, node.name
        self.direction, self.hidden = direction, hidden
        self.functions = _activations(low, node, direction, self.usual)
        self.weights = self._recurrent_weights()
        self.peepholes = self._peepholes()

    def projected(self, x: int) -> int:
        """The rows of all time steps times the input's weights, plus the biases."""
        w = piece(self.low, self.node, 1, self.direction, 0, self.gates * self.hidden)
        return self.plan.linear(x, w, self._bias(self.gates), name=self.name)

    def step(self, x: int, state: State) -> Tuple[int, ...]:
        """The next state, from a projected row of each sequence."""
        raise NotImplementedError

    def _recurrent_weights(self) -> List[int]:
        """The weights of the state, a block for each product of a step."""
        return [self._rows(2, 0, self.gates)]

    def _peepholes(self) -> List[int]:
        return []

    def _rows(self, position: int, start: int, blocks: int) -> int:
        """Blocks of H rows of a weight."""
        hidden = self.hidden
        return piece(self.low, self.node, position, self.direction, start * hidden, blocks * hidden)

    def _bias(self, both: int) -> Optional[int]:
        """The sum of the two biases, the second one only in its first `both` blocks."""
        rows, split = self.gates * self.hidden, both * self.hidden
        if len(self.node.inputs) < 4 or not self.node.inputs[3]:
            return None
        name = self.node.inputs[3]
        if name in self.low.known:

            def summed(array: NDArray[np.float32]) -> NDArray[np.float32]:
                one, other = array[self.direction, :rows], array[self.direction, rows:].copy()
                other[split:] = 0
                return one + other

            return self.low.derived(name, f"direction {self.direction}, {both} blocks summed", summed)
        one = piece(self.low, self.node, 3, self.direction, 0, rows)
        other = piece(self.low, self.node, 3, self.direction, rows, split)
        if split < rows:
            other = self.plan.pad(other, before=[0], after=[rows - split], name=self.name)
        return self.plan.add(one, other, name=self.name)

    def _gate(self, rows: int, start: int, blocks: int = 1) -> int:
        """Blocks of H columns of N,gates*H."""
        return part(self.low, rows, 1, start * self.hidden, blocks * self.hidden, self.name)

    def _plus_product(self, x: int, h: Optional[int], weights: int) -> int:
        if h is None:
            return x
        return self.plan.add(x, self.plan.linear(h, weights, name=self.name), name=self.name)

    def _mul(self, a: int, b: int) -> int:
        return self.plan.mul(a, b, name=self.name)

    def _mixture(self, gate: int, old: Optional[int], new: int) -> int:
        """The sum gate old + (1 - gate) new, as new + gate (old - new)."""
        if old is None:
            return self.plan.sub(new, self._mul(gate, new), name=self.name)
        change = self._mul(gate, self.plan.sub(old, new, name=self.name))
        return self.plan.add(new, change, name=self.name)


class _Rnn(Cell):
    """The plain cell of Elman 1990: h' = f(W x + R h + b)."""

    gates = 1
    usual = ("tanh",)

    def step(self, x: int, state: State) -> Tuple[int, ...]:
        (f,) = self.functions
        return (f(self._plus_product(x, state[0], self.weights[0])),)


class _Gru(Cell):
    """Cho et al. 2014, eq. 5 to 8, rows z, r, h; the reset gate may come before or behind the product."""

    gates = 3
    usual = ("sigmoid", "tanh")

    def __init__(self, low: Lowering, node: Node, direction: int, hidden: int) -> None:
        self.behind = bool(node.attributes["linear_before_reset"])
        super().__init__(low, node, direction, hidden)
        has_bias = len(node.inputs) > 3 and bool(node.inputs[3])
        self.inner_bias = self._rows(3, 5, 1) if self.behind and has_bias else None

    def projected(self, x: int) -> int:
        w = self._rows(1, 0, self.gates)
        return self.plan.linear(x, w, self._bias(2 if self.behind else 3), name=self.name)

    def _recurrent_weights(self) -> List[int]:
        return [self._rows(2, 0, 2), self._rows(2, 2, 1)]

    def step(self, x: int, state: State) -> Tuple[int, ...]:
        (h,) = state
        f, g = self.functions
        both = f(self._plus_product(self._gate(x, 0, 2), h, self.weights[0]))
        update, reset = self._gate(both, 0), self._gate(both, 1)
        new = g(self._plus_reset(self._gate(x, 2), h, reset))
        return (self._mixture(update, h, new),)

    def _plus_reset(self, x: int, h: Optional[int], reset: int) -> int:
        """The input of the new state: x plus the part of the old state that the reset gate lets through."""
        if not self.behind:
            return self._plus_product(x, h if h is None else self._mul(reset, h), self.weights[1])
        if h is None:
            inner = self.inner_bias
        else:
            inner = self.plan.linear(h, self.weights[1], self.inner_bias, name=self.name)
        return x if inner is None else self.plan.add(x, self._mul(reset, inner), name=self.name)


class _Lstm(Cell):
    """Gers & Schmidhuber 2000, rows i, o, f, c; peepholes i, o, f."""

    gates = 4
    states = 2
    usual = ("sigmoid", "tanh", "tanh")

    def _peepholes(self) -> List[int]:
        if len(self.node.inputs) < 8 or not self.node.inputs[7]:
            return []
        return [self._rows(7, i, 1) for i in range(3)]

    def step(self, x: int, state: State) -> Tuple[int, ...]:
        h, c = state
        f, g, last = self.functions
        rows = self._plus_product(x, h, self.weights[0])
        if self.peepholes:
            i, forget = (f(self._seen(self._gate(rows, at), c, at)) for at in (0, 2))
        else:
            gates = f(self._gate(rows, 0, 3))
            i, forget = self._gate(gates, 0), self._gate(gates, 2)
        new = g(self._gate(rows, 3))
        if self.node.attributes["input_forget"]:
            cell = self._mul(i, new) if c is None else self._mixture(i, new, c)
        elif c is None:
            cell = self._mul(i, new)
        else:
            cell = self.plan.add(self._mul(i, new), self._mul(forget, c), name=self.name)
        o = f(self._seen(self._gate(rows, 1), cell, 1)) if self.peepholes else self._gate(gates, 1)
        return self._mul(o, last(cell)), cell

    def _seen(self, gate: int, c: Optional[int], peephole: int) -> int:
        """A gate that sees the cell through its peephole."""
        if c is None:
            return gate
        return self.plan.add(gate, self._mul(c, self.peepholes[peephole]), name=self.name)


CELLS = {"GRU": _Gru, "LSTM": _Lstm, "RNN": _Rnn}
