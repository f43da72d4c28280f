"""The promises of a plan: nodes that run, memory, backward passes, and the arrays that are read."""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple

import numpy as np
import pytest

from cnnviz import _core

Array = np.ndarray


def constant(*shape: int, seed: int = 0) -> _core.Constant:
    return _core.Constant(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def picture(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Chain:
    """A chain conv1 relu1 conv2 relu2 ... on pictures of one size, then gap and scores N,C."""

    def __init__(self, depth: int, channels: int = 4, size: int = 8, n: int = 1) -> None:
        self.plan = _core.Plan()
        self.shape = (n, channels, size, size)
        self.x = self.plan.input(self.shape, name="x")
        self.weights: List[int] = []
        self.convs: List[int] = []
        self.relus: List[int] = []
        value = self.x
        for i in range(1, depth + 1):
            w = self.plan.constant(constant(channels, channels, 3, 3, seed=i), name=f"w{i}")
            value = self.plan.conv2d(value, w, pads=(1, 1, 1, 1), name=f"conv{i}")
            self.weights.append(w)
            self.convs.append(value)
            value = self.plan.relu(value, name=f"relu{i}")
            self.relus.append(value)
        pooled = self.plan.global_average_pool(value, name="gap")
        self.scores = self.plan.reshape(pooled, shape=(n, channels), name="scores")

    def running(self, direction: str) -> List[str]:
        return [node["name"] for node in self.plan.describe()["nodes"] if node[direction]]


def all_names(depth: int) -> List[str]:
    return [f"{kind}{i}" for i in range(1, depth + 1) for kind in ("conv", "relu")] + ["gap", "scores"]


class TestMarks:
    """Nodes run only if a requested value or gradient depends on them."""

    def test_forward_stops_at_the_last_kept_value(self) -> None:
        net = Chain(4)
        net.plan.prepare(keep=[net.relus[1]])
        assert net.running("forward") == all_names(2)[:-2]
        assert net.running("backward") == []

    def test_backward_stops_at_the_first_value_in_wrt(self) -> None:
        net = Chain(4)
        net.plan.prepare(keep=[net.scores], seeds=[net.scores], wrt=[net.relus[2]])
        assert net.running("forward") == all_names(4)
        assert net.running("backward") == ["conv4", "relu4", "gap", "scores"]

    def test_backward_begins_at_the_seed(self) -> None:
        net = Chain(4)
        net.plan.prepare(keep=[net.scores], seeds=[net.relus[1]], wrt=[net.x])
        assert net.running("backward") == all_names(2)[:-2]

    def test_forward_runs_the_nodes_that_backward_reads(self) -> None:
        """Backward reads the masks of all ReLUs, but not the average after the last one."""
        net = Chain(3)
        net.plan.prepare(seeds=[net.scores], wrt=[net.x])
        assert net.running("forward") == all_names(3)[:-2]
        assert net.running("backward") == all_names(3)

    def test_a_node_that_does_not_run_has_no_kernel(self) -> None:
        net = Chain(2)
        net.plan.prepare(keep=[net.relus[0]])
        kernels = {node["name"]: node["kernel"] for node in net.plan.describe()["nodes"]}
        assert kernels == dict(zip(all_names(2), ["portable", "portable", "", "", "", ""]))


class TestMemory:
    """A buffer is reused as soon as no node reads the value in it."""

    SLOT = 1 * 4 * 32 * 32 * 4  # the bytes of a value of the chains below

    def memory(self, depth: int, **request: Callable[[Chain], List[int]]) -> Dict[str, int]:
        net = Chain(depth, size=32)
        net.plan.prepare(**{name: pick(net) for name, pick in request.items()})
        memory: Dict[str, int] = net.plan.describe()["memory"]
        return memory

    def test_forward_needs_two_values_however_deep_the_chain(self) -> None:
        shallow = self.memory(3, keep=lambda net: [net.scores])
        deep = self.memory(40, keep=lambda net: [net.scores])
        assert deep["values"] == shallow["values"] == 2 * self.SLOT  # relu writes over its input
        assert deep["arena"] == shallow["arena"]
        assert deep["saved"] == deep["gradients"] == 0

    def test_gradient_needs_two_buffers_and_one_bit_per_rectifier(self) -> None:
        depth = 40
        memory = self.memory(
            depth, keep=lambda net: [net.scores], seeds=lambda net: [net.scores], wrt=lambda net: [net.x]
        )
        assert memory["gradients"] <= 3 * self.SLOT
        assert memory["saved"] <= depth * (self.SLOT // 32 + 64)
        assert memory["arena"] <= 5 * self.SLOT + memory["saved"] + memory["scratch"]

    def test_purposes_share_the_arena(self) -> None:
        memory = self.memory(
            10, keep=lambda net: [net.scores], seeds=lambda net: [net.scores], wrt=lambda net: [net.x]
        )
        parts = {name: nbytes for name, nbytes in memory.items() if name != "arena"}
        assert max(parts.values()) <= memory["arena"] < sum(parts.values())

    def test_kept_values_have_buffers_of_their_own(self) -> None:
        depth = 10
        memory = self.memory(depth, keep=lambda net: net.convs)
        assert memory["values"] >= depth * self.SLOT

    def test_a_second_pass_allocates_nothing(self) -> None:
        net = Chain(6)
        net.plan.prepare(keep=[net.scores], seeds=[net.scores], wrt=[net.x, *net.weights])
        x, cotangent = picture(*net.shape), picture(1, 4)
        net.plan.forward([x])
        net.plan.backward({net.scores: cotangent})
        before = _core.alloc_calls()
        for _ in range(3):
            net.plan.forward([x])
            net.plan.backward({net.scores: cotangent}, relu="guided")
        assert _core.alloc_calls() == before


def prepared_chain() -> Tuple[Chain, Array]:
    net = Chain(3)
    wanted = [net.x, net.weights[0], net.convs[1], net.relus[1], net.scores]
    net.plan.prepare(keep=wanted, seeds=[net.scores, net.relus[1]], wrt=wanted)
    x = picture(*net.shape)
    net.plan.forward([x])
    return net, x


class TestBackward:
    """Backward passes may follow one forward pass in any number."""

    def test_backward_again_gives_the_same_bits(self) -> None:
        net, _ = prepared_chain()
        cotangents = {net.scores: picture(1, 4), net.relus[1]: picture(*net.shape)}
        results = []
        for _ in range(3):
            net.plan.backward(cotangents)
            results.append([net.plan.gradient(v) for v in (net.x, net.weights[0], net.convs[1])])
            net.plan.backward({}, relu="deconv")
            assert not any(net.plan.gradient(v).any() for v in (net.x, net.weights[0], net.scores))
        for later in results[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(results[0], later))

    def test_gradient_is_linear_in_the_cotangents(self) -> None:
        net, _ = prepared_chain()
        at_scores, at_relu = picture(1, 4, seed=2), picture(*net.shape, seed=3)
        parts = []
        for cotangents in ({net.scores: at_scores}, {net.relus[1]: at_relu}):
            net.plan.backward(cotangents)
            parts.append(net.plan.gradient(net.x))
        net.plan.backward({net.scores: at_scores, net.relus[1]: at_relu})
        np.testing.assert_allclose(net.plan.gradient(net.x), parts[0] + parts[1], rtol=1e-4, atol=1e-5)

    def test_a_value_may_be_kept_and_seed_and_wrt(self) -> None:
        net, _ = prepared_chain()
        at_relu = picture(*net.shape, seed=3)
        net.plan.backward({net.relus[1]: at_relu})
        assert np.array_equal(net.plan.gradient(net.relus[1]), at_relu)
        at_scores = picture(1, 4, seed=2)
        net.plan.backward({net.scores: at_scores})
        through_conv3 = net.plan.gradient(net.relus[1])
        net.plan.backward({net.scores: at_scores, net.relus[1]: at_relu})
        np.testing.assert_allclose(
            net.plan.gradient(net.relus[1]), through_conv3 + at_relu, rtol=1e-5, atol=1e-6
        )
        assert np.array_equal(net.plan.gradient(net.scores), at_scores)

    def test_weights_gradient_predicts_the_change_of_the_score(self) -> None:
        net, x = prepared_chain()
        cotangent = picture(1, 4, seed=2)
        net.plan.backward({net.scores: cotangent})
        gradient = net.plan.gradient(net.weights[0]).astype(np.float64)

        def score(step: float) -> float:
            other = Chain(3)
            plan = _core.Plan()
            value = plan.input(other.shape, name="x")
            for i in range(1, 4):
                array = constant(4, 4, 3, 3, seed=i).array.copy()
                if i == 1:
                    array[1, 2, 0, 1] += step
                weight = plan.constant(_core.Constant(array), name=f"w{i}")
                value = plan.relu(plan.conv2d(value, weight, pads=(1, 1, 1, 1), name="c"), name="r")
            value = plan.reshape(plan.global_average_pool(value, name="g"), shape=(1, 4), name="s")
            plan.prepare(keep=[value])
            plan.forward([x])
            return float((plan.read(value).astype(np.float64) * cotangent).sum())

        difference = (score(1e-2) - score(-1e-2)) / 2e-2
        assert abs(difference - gradient[1, 2, 0, 1]) <= 1e-2 * (1 + abs(difference))

    def test_gradient_of_a_view_excludes_other_consumers(self) -> None:
        """A view and another node read x: the view's gradient holds only the view's share of x's."""
        plan = _core.Plan()
        x = plan.input((2, 3), name="x")
        h = plan.leaky_relu(x, slope=0.5, name="h")
        view = plan.reshape(h, shape=(6,), name="view")
        other = plan.mul(h, h, name="other")
        plan.prepare(seeds=[view, other], wrt=[view, h])
        plan.forward([np.ones((2, 3), np.float32)])
        plan.backward({view: np.full(6, 3, np.float32), other: np.ones((2, 3), np.float32)})
        assert np.array_equal(plan.gradient(view), np.full(6, 3))
        assert np.array_equal(plan.gradient(h), np.full((2, 3), 3 + 2))

    def test_a_value_that_no_seed_reaches_has_gradient_zero(self) -> None:
        plan = _core.Plan()
        x, unused = plan.input((3,), name="x"), plan.input((4,), name="unused")
        y = plan.relu(x, name="y")
        plan.prepare(seeds=[y], wrt=[x, unused])
        plan.forward([np.ones(3, np.float32), np.ones(4, np.float32)])
        plan.backward({y: np.ones(3, np.float32)})
        assert np.array_equal(plan.gradient(unused), np.zeros(4))


class TestReading:
    """Arrays that are read are copies, and can be read only while they are valid."""

    def test_copies_survive_the_next_pass(self) -> None:
        net, x = prepared_chain()
        first = net.plan.read(net.scores)
        copy = first.copy()
        net.plan.forward([x * 2])
        assert np.array_equal(first, copy)
        assert not np.array_equal(net.plan.read(net.scores), copy)

    def test_gradients_are_stale_after_the_next_forward(self) -> None:
        net, x = prepared_chain()
        net.plan.backward({net.scores: picture(1, 4)})
        net.plan.forward([x])
        with pytest.raises(ValueError, match="x has no gradient"):
            net.plan.gradient(net.x)

    def test_inputs_and_constants_can_always_be_read(self) -> None:
        net, x = prepared_chain()
        assert np.array_equal(net.plan.read(net.x), x)
        assert np.array_equal(net.plan.read(net.weights[1]), constant(4, 4, 3, 3, seed=2).array)

    def test_forward_keeps_its_inputs_alive_for_backward(self) -> None:
        net = Chain(1)
        net.plan.prepare(seeds=[net.scores], wrt=net.weights)
        x, cotangent = picture(*net.shape), picture(1, 4)
        net.plan.forward([x.copy()])
        np.full(net.shape, np.nan, np.float32)  # would take the copy's memory if it were free
        net.plan.backward({net.scores: cotangent})
        gradient = net.plan.gradient(net.weights[0])
        net.plan.forward([x])
        net.plan.backward({net.scores: cotangent})
        assert np.array_equal(gradient, net.plan.gradient(net.weights[0]))


def test_plans_that_share_memory_lose_their_values_to_each_other() -> None:
    x = np.full((1, 4, 6, 6), 2.0, np.float32)
    larger = np.ones((1, 4, 60, 60), np.float32)
    plans = []
    for shape in (x.shape, larger.shape):
        plan = _core.Plan()
        first = plan.input(shape, name="x")
        y = plan.mul(plan.relu(first, name="relu"), first, name="y")
        plan.prepare(keep=[y], seeds=[y], wrt=[first], shares=plans[0] if plans else None)
        plans.append(plan)
    small, large = plans
    small.forward([x])
    small.backward({y: x})
    gradient = small.gradient(first)
    large.forward([larger])
    for lost in (lambda: small.read(y), lambda: small.gradient(first), lambda: small.backward({y: x})):
        with pytest.raises(ValueError, match=r"forward|backward"):
            lost()
    np.testing.assert_array_equal(large.read(y), larger)
    small.forward([x])
    np.testing.assert_array_equal(small.read(y), np.full_like(x, 4))
    small.backward({y: x})
    np.testing.assert_array_equal(small.gradient(first), gradient)
    del large, plans
    small.forward([x])
    np.testing.assert_array_equal(small.read(y), np.full_like(x, 4))
