"""Lowering of LSTM, GRU and RNN to one product for all time steps, and a few operators for each step."""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import UnsupportedModelError
from cnnviz.graph.graph import Node
from cnnviz.lowering.cells import CELLS, Cell, State
from cnnviz.lowering.indexing import part
from cnnviz.lowering.state import Lowering

__all__ = ["ROWS"]

Running = NDArray[np.bool_]  # whether each sequence has each time step: steps,batch

# The most time steps of all layers of a plan, each direction counted: a step becomes some fifteen operators,
# and the time that a plan takes to prepare grows with their square (docs/decisions/recurrent.md).
MAX_STEPS = 4096
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_LENGTHS, _STATE = 4, 5  # the positions of the sequences' lengths and of their first state among the inputs


class _Sizes(NamedTuple):
    """The extents of a layer: time steps, sequences, directions and the state."""

    steps: int
    batch: int
    directions: int
    hidden: int


def _sizes(low: Lowering, node: Node) -> _Sizes:
    """The extents, all inputs checked against each other."""
    a, gates = node.attributes, CELLS[node.op].gates
    if a["direction"] not in _DIRECTIONS or a["layout"] not in (0, 1):
        raise ValueError(
            f"direction is {a['direction']!r} and layout {a['layout']}, expected "
            f"{', '.join(_DIRECTIONS)} and 0 or 1"
        )
    x, r = low.shape(node.inputs[0]), low.shape(node.inputs[2])
    if len(x) != 3 or len(r) != 3:
        raise ValueError(f"X has shape {x} and R {r}, expected three dimensions")
    steps, batch = (x[1], x[0]) if a["layout"] else (x[0], x[1])
    found = _Sizes(steps, batch, len(_DIRECTIONS[a["direction"]]), r[2])
    if a["hidden_size"] not in (None, found.hidden):
        raise ValueError(f"hidden_size is {a['hidden_size']}, but R has shape {r}")
    rows, state = gates * found.hidden, (found.directions, batch, found.hidden)
    expected = {
        1: (found.directions, rows, x[2]),
        2: (found.directions, rows, found.hidden),
        3: (found.directions, 2 * rows),
        _LENGTHS: (batch,),
        **dict.fromkeys((5, 6), (batch, *state[::2]) if a["layout"] else state),
        7: (found.directions, 3 * found.hidden),
    }
    for position, shape in expected.items():
        name = node.inputs[position] if position < len(node.inputs) else ""
        if name and low.shape(name) != shape:
            raise ValueError(f"input {position}, {name!r}, has shape {low.shape(name)}, expected {shape}")
    low.steps += steps * found.directions
    if low.steps > MAX_STEPS:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): the recurrent layers up to here make {low.steps} time steps, "
            f"at most {MAX_STEPS} are supported",
            [node.op],
        )
    return found


def _running(low: Lowering, node: Node, sizes: _Sizes) -> Running:
    """Follow the lengths of the sequences, which must be known."""
    name = node.inputs[_LENGTHS] if len(node.inputs) > _LENGTHS else ""
    if not name:
        return np.ones((sizes.steps, sizes.batch), np.bool_)
    if name not in low.known:
        raise UnsupportedModelError(
            f"node {node.name!r} ({node.op}): its sequence lengths depend on the picture", [node.op]
        )
    lengths = low.known[name]
    if lengths.min() < 0 or lengths.max() > sizes.steps:
        raise ValueError(f"sequence_lens has {lengths.tolist()} for {sizes.steps} time steps")
    found: Running = np.arange(sizes.steps)[:, None] < lengths
    return found


def _first_state(low: Lowering, node: Node, cell: Cell) -> State:
    """The initial values of a state; those that are known to be zero are None."""
    names = [node.inputs[i] if i < len(node.inputs) else "" for i in range(_STATE, _STATE + cell.states)]
    return tuple(_one_state(low, node, name, cell.direction) if name else None for name in names)


def _one_state(low: Lowering, node: Node, name: str, direction: int) -> Optional[int]:
    axis = 1 if node.attributes["layout"] else 0
    if name in low.known:
        if not np.any(low.known[name]):
            return None
        return low.derived(
            name, f"direction {direction} of axis {axis}", lambda array: array.take(direction, axis)
        )
    value = part(low, low.id(name), axis, direction, 1, node.name)
    shape = low.plan.shape(value)
    return low.plan.reshape(value, shape=(*shape[:axis], *shape[axis + 1 :]), name=node.name)


def _walk(
    low: Lowering, node: Node, cell: Cell, x: int, reverse: bool, running: Running, zero: int
) -> Tuple[List[int], State]:
    """The output N,H of each time step, in order, and the last state; x: steps,batch,inputs."""
    plan, (steps, batch, inputs) = low.plan, low.plan.shape(x)
    rows = cell.projected(plan.reshape(x, shape=(steps * batch, inputs), name=node.name))
    rows = plan.reshape(rows, shape=(steps, batch, plan.shape(rows)[1]), name=node.name)
    state = _first_state(low, node, cell)
    outputs = [zero] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        if not running[t].any():
            continue
        row = part(low, rows, 0, t, 1, node.name)
        new = cell.step(plan.reshape(row, shape=plan.shape(row)[1:], name=node.name), state)
        if running[t].all():
            state, outputs[t] = new, new[0]
        else:
            mask = low.array(running[t][:, None], f"{node.name}/running")
            rest = low.array(~running[t][:, None], f"{node.name}/ended")
            masked = [plan.masked(value, mask, name=node.name) for value in new]
            state = tuple(_kept(low, node, value, old, rest) for value, old in zip(masked, state))
            outputs[t] = masked[0]
    return outputs, state


def _kept(low: Lowering, node: Node, new: int, old: Optional[int], rest: int) -> int:
    """A masked new value, and the old one of the sequences that have ended."""
    if old is None:
        return new
    return low.plan.add(new, low.plan.masked(old, rest, name=node.name), name=node.name)


def _laid(low: Lowering, node: Node, values: Sequence[int], perm: Sequence[int], shape: Sequence[int]) -> int:
    """Values N,H side by side, N,..., and these axes in the order `perm`.

    The sequences stay the first axis until the transpose: a batch of one can then be followed.
    """
    y = values[0] if len(values) == 1 else low.plan.concat(values, axis=1, name=node.name)
    y = low.plan.reshape(y, shape=shape, name=node.name)
    return low.plan.transpose(y, perm=perm, name=node.name)


def _recurrent(low: Lowering, node: Node) -> Tuple[int, ...]:
    """Y, and the last value of each part of the state, in the node's layout."""
    plan, sizes, batch_first = low.plan, _sizes(low, node), bool(node.attributes["layout"])
    x, running = low.id(node.inputs[0]), _running(low, node, sizes)
    x = plan.transpose(x, perm=(1, 0, 2), name=node.name) if batch_first else x
    steps, batch, directions, hidden = sizes
    zero = low.array(np.zeros((batch, hidden), np.float32), f"{node.name}/zero")
    sequences, states = [], []
    for direction, reverse in enumerate(_DIRECTIONS[node.attributes["direction"]]):
        cell = CELLS[node.op](low, node, direction, sizes.hidden)
        outputs, state = _walk(low, node, cell, x, reverse, running, zero)
        sequences.append(outputs)
        states.append([zero if value is None else value for value in state])
    order, last = ((0, 1, 2, 3), (0, 1, 2)) if batch_first else ((1, 2, 0, 3), (1, 0, 2))
    parts = [value for step in zip(*sequences) for value in step]
    y = _laid(low, node, parts, order, (batch, steps, directions, hidden))
    return y, *(_laid(low, node, values, last, (batch, directions, hidden)) for values in zip(*states))


ROWS: Dict[str, Callable[[Lowering, Node], Tuple[int, ...]]] = dict.fromkeys(CELLS, _recurrent)
