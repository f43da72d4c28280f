"""Random plans against a slow twin: sharing, reuse, marks and fan-out do not change a result.

The operators are simple on purpose. The tests cover the decisions of `prepare`: which values share a buffer,
when a buffer is free for another value, which nodes run, which activations backward finds.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import pytest

from cnnviz import _core

Array = np.ndarray
SHAPES = [(2, 3, 4), (2, 12), (6, 4)]  # one number of elements, so that every reshape is possible


class Op(NamedTuple):
    """One operator: its builder call, its forward function, and the gradients of its inputs."""

    arity: int
    build: Callable[..., int]
    forward: Callable[..., Array]
    backward: Callable[..., Sequence[Array]]


OPS: Dict[str, Op] = {
    "relu": Op(
        1,
        lambda plan, x, name: plan.relu(x, name=name),
        lambda x: np.maximum(x, 0),
        lambda g, x: [g * (x > 0)],
    ),
    "leaky_relu": Op(
        1,
        lambda plan, x, name: plan.leaky_relu(x, slope=0.5, name=name),
        lambda x: np.where(x > 0, x, 0.5 * x),
        lambda g, x: [np.where(x > 0, g, 0.5 * g)],
    ),
    "tanh": Op(
        1,
        lambda plan, x, name: plan.tanh(x, name=name),
        np.tanh,
        lambda g, x: [g * (1 - np.tanh(x) ** 2)],
    ),
    "add": Op(
        2,
        lambda plan, a, b, name: plan.add(a, b, name=name),
        lambda a, b: a + b,
        lambda g, a, b: [g, g],
    ),
    "sub": Op(
        2,
        lambda plan, a, b, name: plan.sub(a, b, name=name),
        lambda a, b: a - b,
        lambda g, a, b: [g, -g],
    ),
    "mul": Op(
        2,
        lambda plan, a, b, name: plan.mul(a, b, name=name),
        lambda a, b: a * b,
        lambda g, a, b: [g * b, g * a],
    ),
}


class Net:
    """A plan, and the shape and recipe of each of its values for the twin."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.plan = _core.Plan()
        self.constants: List[_core.Constant] = []  # the plan keeps them alive; the twin reads their numbers
        self.shapes: List[Tuple[int, ...]] = []
        self.recipes: List[Tuple[str, Tuple[int, ...]]] = []
        for i in range(2):
            self.note(self.plan.input(SHAPES[i], name=f"x{i}"), SHAPES[i], "input", ())
        array = rng.uniform(-1, 1, SHAPES[0]).astype(np.float32)
        self.constants.append(_core.Constant(array))
        self.note(self.plan.constant(self.constants[0], name="w"), SHAPES[0], "constant", ())
        while len(self.recipes) < size:
            self.add_node()

    def note(self, value: int, shape: Tuple[int, ...], op: str, inputs: Tuple[int, ...]) -> None:
        assert value == len(self.recipes)
        assert self.plan.shape(value) == shape
        self.shapes.append(shape)
        self.recipes.append((op, inputs))

    def pick(self, shape: Tuple[int, ...] = ()) -> int:
        """A value, mostly a recent one, so that chains form; with a shape, one that has it."""
        values = [v for v, own in enumerate(self.shapes) if not shape or own == shape]
        recent = values[-4:] if self.rng.random() < 0.7 else values
        return int(self.rng.choice(recent))

    def add_node(self) -> None:
        kind = str(self.rng.choice([*OPS, "reshape", "reshape"]))
        x = self.pick()
        name = f"{kind}{len(self.recipes)}"
        if kind == "reshape":
            shape = SHAPES[self.rng.integers(len(SHAPES))]
            self.note(self.plan.reshape(x, shape=shape, name=name), shape, kind, (x,))
            return
        op = OPS[kind]
        inputs = (x, *(self.pick(self.shapes[x]) for _ in range(op.arity - 1)))
        self.note(op.build(self.plan, *inputs, name), self.shapes[x], kind, inputs)

    def forward(self, inputs: Sequence[Array]) -> List[Array]:
        """Every value, in float64."""
        values: List[Array] = []
        for v, (kind, sources) in enumerate(self.recipes):
            if kind == "input":
                values.append(inputs[v].astype(np.float64))
            elif kind == "constant":
                values.append(self.constants[0].array.astype(np.float64))
            elif kind == "reshape":
                values.append(values[sources[0]].reshape(self.shapes[v]))
            else:
                values.append(OPS[kind].forward(*(values[s] for s in sources)))
        return values

    def backward(self, values: List[Array], cotangents: Dict[int, Array]) -> List[Array]:
        """The gradient of every value."""
        gradients = [np.zeros(shape) for shape in self.shapes]
        for v in range(len(self.recipes) - 1, -1, -1):
            if v in cotangents:
                gradients[v] = gradients[v] + cotangents[v]
            kind, sources = self.recipes[v]
            if kind == "reshape":
                gradients[sources[0]] = gradients[sources[0]] + gradients[v].reshape(self.shapes[sources[0]])
            elif kind in OPS:
                shares = OPS[kind].backward(gradients[v], *(values[s] for s in sources))
                for source, share in zip(sources, shares):
                    gradients[source] = gradients[source] + share
        return gradients

    def subset(self, most: int) -> List[int]:
        count = int(self.rng.integers(1, most + 1))
        return sorted({int(v) for v in self.rng.integers(0, len(self.recipes), count)})


def close(ours: Array, twin: Array) -> bool:
    scale = 1.0 + np.abs(twin).max()
    return bool(np.abs(ours - twin).max() <= 1e-4 * scale)


@pytest.mark.parametrize("seed", range(150))
def test_plan_agrees_with_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = Net(rng, size=int(rng.integers(6, 40)))
    keep, seeds, wrt = net.subset(4), net.subset(3), net.subset(4)
    net.plan.prepare(keep=keep, seeds=seeds, wrt=wrt)
    for _ in range(2):
        inputs = [rng.uniform(-1, 1, SHAPES[i]).astype(np.float32) for i in range(2)]
        before = [x.copy() for x in inputs]
        twin = net.forward(inputs)
        net.plan.forward(inputs)
        for v in keep:
            assert close(net.plan.read(v), twin[v]), f"seed {seed}: value {v} of {net.recipes}"
        for given in (seeds, seeds[:1], []):
            cotangents = {v: rng.uniform(-1, 1, net.shapes[v]).astype(np.float32) for v in given}
            gradients = net.backward(twin, {v: c.astype(np.float64) for v, c in cotangents.items()})
            net.plan.backward(cotangents)
            for v in wrt:
                assert close(net.plan.gradient(v), gradients[v]), (
                    f"seed {seed}, seeds {given}: gradient of {v} in {net.recipes}, wrt {wrt}, keep {keep}"
                )
            for v in keep:
                assert close(net.plan.read(v), twin[v]), f"seed {seed}: backward spoiled {v}"
        for x, copy in zip(inputs, before):
            assert np.array_equal(x, copy), "forward or backward wrote to an input"
