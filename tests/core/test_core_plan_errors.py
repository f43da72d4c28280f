"""The errors of a plan: wrong calls, wrong order of calls, wrong requests, and plans that are too large."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest
from test_core_plan import Array, Chain, picture

from cnnviz import _core


def mistakes() -> Dict[str, Tuple[Callable[[Chain], Any], type, str]]:
    x = picture(1, 4, 8, 8)
    c = picture(1, 4)
    return {
        "forward: not a sequence": (lambda n: n.plan.forward(3), TypeError, "inputs must be a sequence"),
        "forward: bare array": (lambda n: n.plan.forward(x), TypeError, "inputs must be a sequence"),
        "forward: none": (lambda n: n.plan.forward([]), ValueError, "inputs has 0 arrays, the plan has 1"),
        "forward: list": (lambda n: n.plan.forward([x.tolist()]), TypeError, r"input 0 \(x\).*list"),
        "forward: float64": (
            lambda n: n.plan.forward([x.astype("f8")]),
            TypeError,
            r"input 0 \(x\).*float64",
        ),
        "forward: big endian": (
            lambda n: n.plan.forward([x.astype(">f4")]),
            TypeError,
            r"input 0 \(x\).*>f4",
        ),
        "forward: int": (lambda n: n.plan.forward([x.astype("i4")]), TypeError, r"input 0 \(x\).*int32"),
        "forward: strided": (
            lambda n: n.plan.forward([x[..., ::-1]]),
            ValueError,
            r"input 0 \(x\).*contiguous",
        ),
        "forward: fortran": (lambda n: n.plan.forward([np.asfortranarray(x)]), ValueError, "contiguous"),
        "forward: shape": (
            lambda n: n.plan.forward([x[:, :3]]),
            ValueError,
            r"\(1, 3, 8, 8\), not \(1, 4, 8, 8\)",
        ),
        "forward: ndim": (lambda n: n.plan.forward([x[0]]), ValueError, r"\(4, 8, 8\), not \(1, 4, 8, 8\)"),
        "forward: unaligned": (lambda n: n.plan.forward([unaligned(x)]), ValueError, "aligned"),
        "backward: list": (lambda n: n.plan.backward([c]), TypeError, "cotangents must be a dict, not list"),
        "backward: key": (lambda n: n.plan.backward({"scores": c}), TypeError, "key of cotangents"),
        "backward: no seed": (lambda n: n.plan.backward({n.x: x}), ValueError, "not given as a seed"),
        "backward: no value": (lambda n: n.plan.backward({99: x}), ValueError, "not given as a seed"),
        "backward: shape": (
            lambda n: n.plan.backward({n.scores: x}),
            ValueError,
            r"cotangent of value.*scores.*shape",
        ),
        "backward: dtype": (
            lambda n: n.plan.backward({n.scores: c.astype("f2")}),
            TypeError,
            "scores.*float16",
        ),
        "backward: rule": (lambda n: n.plan.backward({n.scores: c}, relu="gided"), ValueError, "gided"),
        "backward: rule type": (
            lambda n: n.plan.backward({n.scores: c}, relu=1),
            TypeError,
            "relu must be a str",
        ),
        "backward: keyword": (lambda n: n.plan.backward({n.scores: c}, "plain"), TypeError, "positional"),
        "read: not kept": (lambda n: n.plan.read(n.relus[0]), ValueError, "relu1 can not be read"),
        "read: no value": (lambda n: n.plan.read(99), ValueError, "99"),
        "read: negative": (lambda n: n.plan.read(-1), ValueError, "-1"),
        "read: huge": (lambda n: n.plan.read(1 << 70), ValueError, "64 bits"),
        "read: type": (lambda n: n.plan.read("x"), TypeError, "value must be an integer, not str"),
        "gradient: not asked for": (
            lambda n: n.plan.gradient(n.relus[0]),
            ValueError,
            "relu1 has no gradient",
        ),
        "shape: no value": (lambda n: n.plan.shape(99), ValueError, "99"),
        "prepare: twice": (lambda n: n.plan.prepare(), ValueError, "already prepared"),
        "add: too late": (lambda n: n.plan.relu(n.x, name="late"), ValueError, "late: the plan is prepared"),
        "input: too late": (
            lambda n: n.plan.input((1,), name="late"),
            ValueError,
            "late: the plan is prepared",
        ),
    }


def unaligned(x: Array) -> Array:
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:]
    return raw.view(np.float32).reshape(x.shape)


@pytest.mark.parametrize("name", list(mistakes()))
def test_wrong_call_is_named(name: str) -> None:
    """The call raises, names the wrong argument, and leaves the plan usable."""
    call, error, message = mistakes()[name]
    net = Chain(2)
    net.plan.prepare(keep=[net.scores], seeds=[net.scores], wrt=[net.x])
    net.plan.forward([picture(*net.shape)])
    scores = net.plan.read(net.scores)
    with pytest.raises(error, match=message):
        call(net)
    assert np.array_equal(net.plan.read(net.scores), scores)
    net.plan.forward([picture(*net.shape)])
    net.plan.backward({net.scores: picture(1, 4)})
    assert net.plan.gradient(net.x).any()


def test_wrong_order_of_calls_is_refused() -> None:
    net = Chain(1)
    x = picture(*net.shape)
    with pytest.raises(ValueError, match="forward needs a prepared plan"):
        net.plan.forward([x])
    net.plan.prepare(keep=[net.scores])
    with pytest.raises(ValueError, match="backward needs a finished forward"):
        net.plan.backward({})
    with pytest.raises(ValueError, match="scores can not be read: forward has not run"):
        net.plan.read(net.scores)
    net.plan.forward([x])
    with pytest.raises(ValueError, match="prepared without wrt"):
        net.plan.backward({})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"keep": [99]}, "keep names value 99"),
        ({"seeds": [99]}, "seeds names value 99"),
        ({"seeds": [0], "wrt": [99]}, "wrt names value 99"),
        ({"seeds": [0, 0]}, "seeds names x twice"),
        ({"wrt": [0]}, "seeds is empty"),
        ({"keep": [-1]}, "-1"),
    ],
)
def test_a_refused_request_can_be_corrected(request_: Dict[str, List[int]], message: str) -> None:
    net = Chain(1)
    with pytest.raises(ValueError, match=message):
        net.plan.prepare(**request_)
    net.plan.prepare(keep=[net.scores])
    net.plan.forward([picture(*net.shape)])
    assert net.plan.read(net.scores).shape == (1, 4)


def test_a_plan_too_large_for_the_machine_is_refused() -> None:
    plan = _core.Plan()
    x = plan.input((1 << 20, 1 << 20, 1, 1), name="x")
    y = plan.relu(plan.relu(x, name="r"), name="s")
    with pytest.raises(MemoryError, match="bytes"):
        plan.prepare(keep=[y])
    with pytest.raises(ValueError, match="too large to be addressed"):
        plan.input((1 << 40, 1 << 40), name="huge")


@pytest.mark.parametrize(("other", "error"), [(_core.Plan(), ValueError), ("a plan", TypeError)])
def test_only_a_prepared_plan_can_share_its_memory(other: object, error: type) -> None:
    plan = _core.Plan()
    value = plan.relu(plan.input((2, 2), name="x"), name="y")
    with pytest.raises(error, match="shares"):
        plan.prepare(keep=[value], shares=other)
    plan.prepare(keep=[value])
