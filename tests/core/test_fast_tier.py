"""The fast tier inside plans: small networks against the portable tier, for several requests each.

The tier is chosen once per process, so the portable answers come from another process.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import pytest
from numpy.typing import NDArray
from twin import conv2d

from cnnviz import _core

pytestmark = pytest.mark.skipif(_core.config()["kernels"] == "portable", reason="there is no fast tier here")

Answers = Dict[str, NDArray[np.float32]]
RULES = ("plain", "guided", "deconv", "redirected")


class Net:
    """A plan that grows, with weights from a generator."""

    def __init__(self, shape: Sequence[int], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.plan = _core.Plan()
        self.top = self.plan.input(shape, name="x")
        self.named: Dict[str, int] = {"x": self.top}

    def name(self, name: str) -> Net:
        """Give the newest value a name."""
        self.named[name] = self.top
        return self

    def constant(self, *shape: int) -> int:
        values = self.rng.standard_normal(shape).astype(np.float32) * np.float32(
            1 / np.sqrt(np.prod(shape[1:]))
        )
        return self.plan.constant(_core.Constant(values), name="w")

    def conv(self, out: int, kernel: int, *, x: int = -1, bias: bool = True, **geometry: Any) -> Net:
        x = self.top if x < 0 else x
        groups = geometry.get("groups", 1)
        w = self.constant(out, self.plan.shape(x)[1] // groups, kernel, kernel)
        b = self.constant(out) if bias else None
        self.top = self.plan.conv2d(x, w, b, name=f"conv{w}", **geometry)
        return self

    def up(self, out: int, kernel: int, *, bias: bool = True, **geometry: Any) -> Net:
        w = self.constant(self.plan.shape(self.top)[1], out, kernel, kernel)
        b = self.constant(out) if bias else None
        self.top = self.plan.conv_transpose2d(self.top, w, b, name=f"up{w}", **geometry)
        return self

    def op(self, op: str, *inputs: int, **params: Any) -> Net:
        """Append any other operator, on the newest value unless `inputs` are given."""
        self.top = getattr(self.plan, op)(*(inputs or (self.top,)), name=f"{op}{self.top}", **params)
        return self


def same(kernel: int) -> Dict[str, Any]:
    return {"pads": (kernel // 2,) * 4}


def chain(n: int) -> Net:
    """Convolutions of each kernel (direct, F(4x4), F(2x2), 1x1), strides, three poolings, a linear layer."""
    net = Net((n, 3, 59, 57))
    net.conv(20, 3, stride=(2, 2)).op("relu").name("first")
    net.conv(32, 3, **same(3)).name("linear conv").op("relu").name("f4")
    net.op("max_pool", kernel=(5, 5), stride=(4, 4), ceil_mode=True).name("pooled")
    net.conv(40, 3, **same(3)).op("relu").name("f2")
    net.conv(24, 1).op("clip", low=0.0, high=0.4).name("clipped")
    net.conv(48, 5, stride=(2, 2), **same(5)).op("relu")
    net.op("average_pool", kernel=(2, 2), stride=(1, 1)).name("averaged")
    net.op("global_average_pool").op("reshape", shape=(n, 48)).name("mean")
    net.top = net.plan.linear(net.top, net.constant(11, 48), net.constant(11), name="scores")
    return net.name("end")


def residual(n: int) -> Net:
    """Additions that are fused with one convolution or none, of a value with itself, and of a wide value."""
    net = Net((n, 19, 8, 7), seed=1)
    net.conv(32, 3, **same(3)).op("relu").name("start")
    start = net.top
    net.conv(32, 3, **same(3)).op("relu").conv(32, 1, bias=False)
    net.op("add", net.top, start).op("relu").name("block")
    block = net.top
    shortcut = net.conv(64, 1, stride=(2, 2)).top
    net.conv(64, 3, x=block, stride=(2, 2), **same(3))
    net.op("add", net.top, shortcut).name("sum").op("relu")
    net.op("add", net.top, net.top).name("twice")
    net.op("sigmoid").name("squashed")
    return net.conv(33, 1).name("end")


def branches(n: int) -> Net:
    """Concatenations of full and partial blocks, fused and unfused, and an operator without fast kernel."""
    net = Net((n, 4, 20, 22), seed=2)
    root = net.conv(16, 3, **same(3)).op("relu").name("root").top
    left = net.conv(32, 1, x=root).op("relu").top
    right = net.conv(21, 3, x=root, **same(3)).op("relu").name("right").top
    net.op("concat", [left, right], axis=1).name("joined")
    net.op("leaky_relu", slope=0.1).name("leaky")
    net.op("concat", [net.top, root], axis=1).name("ragged")
    net.conv(16, 3, dilation=(2, 2), pads=(2, 2, 2, 2)).op("relu")
    return net.op("max_pool", kernel=(2, 2), stride=(2, 2)).name("end")


def decoder(n: int) -> Net:
    """Transposed convolutions of each kernel (direct, F(4x4), F(2x2), 1x1), with gaps and bare margins."""
    net = Net((n, 20, 5, 6), seed=5)
    net.up(24, 2, stride=(2, 2)).op("relu").name("doubled")
    net.up(32, 3, **same(3)).name("f4")
    skip = net.top
    net.up(33, 4, stride=(2, 2), pads=(1, 1, 1, 1), bias=False).op("relu").conv(
        16, 3, stride=(2, 2), **same(3)
    )
    net.op("concat", [net.top, skip], axis=1).name("joined")
    net.up(18, 2, stride=(3, 4), output_padding=(1, 2)).name("gaps").op(
        "max_pool", kernel=(4, 4), stride=(4, 4)
    )
    net.up(16, 3, pads=(1, 1, 1, 1)).op("relu").name("f2")
    net.up(17, 1).name("pointwise").op("leaky_relu", slope=0.1)
    return net.up(8, 3, dilation=(2, 1), pads=(2, 0, 1, 1), stride=(1, 2)).name("end")


def mobile(n: int) -> Net:
    """Depthwise convolutions with both strides between clipped 1x1 ones."""
    net = Net((n, 3, 32, 30), seed=3)
    net.conv(32, 3, stride=(2, 2), **same(3)).op("clip", low=0.0, high=0.5).name("stem")
    net.conv(32, 3, groups=32, **same(3)).op("clip", low=0.0, high=0.5).name("depthwise")
    shortcut = net.conv(24, 1).name("narrow").top
    net.conv(72, 1).op("clip", low=0.0, high=0.5)
    net.conv(72, 3, groups=72, stride=(1, 1), **same(3)).op("clip", low=0.0, high=0.5).conv(24, 1)
    net.op("add", shortcut, net.top).name("sum")
    net.conv(24, 5, groups=24, stride=(2, 2), **same(5)).op("relu")
    return net.op("global_average_pool").name("end")


def dense(n: int) -> Net:
    """Concatenations of concatenations and of one value twice, read by an operator that works in place."""
    net = Net((n, 3, 14, 13), seed=4)
    stem = net.conv(16, 3, **same(3)).op("relu").name("stem").top
    a = net.conv(16, 3, **same(3)).op("relu").name("a").top
    one = net.op("concat", [stem, a], axis=1).name("one").top
    b = net.conv(32, 1).op("relu").name("b").top
    net.op("concat", [one, b, a, a], axis=1).name("two").op("relu").name("over")
    c = net.conv(16, 3, **same(3)).name("c").top
    late = net.conv(16, 1, x=one).top  # reads what "over" might have overwritten
    net.top = c
    pooled = net.op("max_pool", kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1)).op("relu").top
    net.op("concat", [late, c, pooled, stem], axis=1).name("three")
    net.conv(112, 3, **same(3)).op("relu")  # as large as all that the first concatenations hold
    return net.op("max_pool", kernel=(2, 2), stride=(2, 2)).conv(24, 1).name("end")


NETS = {
    "chain": chain,
    "residual": residual,
    "branches": branches,
    "mobile": mobile,
    "dense": dense,
    "decoder": decoder,
}
# The values that each request differentiates by: the picture, or values in the middle too.
REQUESTS: Dict[str, List[List[str]]] = {
    "chain": [["x"], ["x", "f4", "pooled"], ["linear conv", "mean"], ["clipped"]],
    "residual": [["x"], ["x", "start", "block"], ["sum", "twice"], ["squashed"]],
    "branches": [["x"], ["root", "right"], ["x", "joined", "leaky"]],
    "decoder": [["x"], ["doubled", "f4", "x"], ["gaps", "joined"], ["f2", "pointwise"]],
    "mobile": [["x"], ["stem", "depthwise", "x"], ["sum", "narrow"]],
    "dense": [["x"], ["x", "a", "one"], ["two", "c"], ["stem", "b", "three"]],
}
CASES = [(name, tuple(wrt)) for name, requests in REQUESTS.items() for wrt in requests]


def answers(name: str, wrt: Sequence[str], n: int, rule: str) -> Answers:
    """Return every named value and the requested gradients after two passes of one plan."""
    net = NETS[name](n)
    seeds = ["end", *(["pooled"] if name == "chain" else [])]
    ids = net.named
    net.plan.prepare(keep=list(ids.values()), seeds=[ids[s] for s in seeds], wrt=[ids[w] for w in wrt])
    rng = np.random.default_rng(7)
    x = rng.standard_normal(net.plan.shape(ids["x"])).astype(np.float32)
    cotangents = {ids[s]: rng.standard_normal(net.plan.shape(ids[s])).astype(np.float32) for s in seeds}
    if rule == "redirected":
        x[0] = -40 * np.abs(x[0])  # so negative that some rectifiers of this image are all closed
    for _ in range(2):
        net.plan.forward([x])
        net.plan.backward(cotangents, relu=rule)
    found = {value: net.plan.read(id_) for value, id_ in ids.items()}
    return {**found, **{f"d {value}": net.plan.gradient(ids[value]) for value in wrt}}


def all_answers() -> Dict[Tuple[str, Tuple[str, ...], str], Answers]:
    return {(name, wrt, rule): answers(name, wrt, 2, rule) for name, wrt in CASES for rule in RULES}


@pytest.fixture(scope="module")
def portable() -> Dict[Tuple[str, Tuple[str, ...], str], Answers]:
    """The same answers from a process that uses the portable tier."""
    code = f"import sys, pickle; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
    code += "import test_fast_tier as t; "
    code += "sys.stdout.buffer.write(pickle.dumps(t.all_answers()))"
    path = os.pathsep.join(p for p in sys.path if p)
    environment = {**os.environ, "CNNVIZ_KERNELS": "portable", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True)
    return pickle.loads(done.stdout)  # type: ignore[no-any-return]


def error(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Distance relative to the norm; not a maximum, since a rectifier at zero may flip a few numbers."""
    scale = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / scale if scale > 0 else float(np.abs(a).max())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("name", "wrt"), CASES, ids=str)
def test_fast_and_portable_agree(portable: Any, name: str, wrt: Tuple[str, ...], rule: str) -> None:
    fast = answers(name, wrt, 2, rule)
    errors = {value: error(fast[value], expected) for value, expected in portable[name, wrt, rule].items()}
    assert {value: e for value, e in errors.items() if not e < 2e-5} == {}


@pytest.mark.parametrize("kept", ["all", "some", "none"])
@pytest.mark.parametrize(("name", "wrt"), CASES, ids=str)
def test_an_image_alone_has_the_same_bits(name: str, wrt: Tuple[str, ...], kept: str) -> None:
    """Bits are equal although a batch of one computes the parts of a concatenation in place."""
    batch, alone = NETS[name](3), NETS[name](1)
    names = list(batch.named)
    keep = {"all": names, "some": [*names[1::3], "end"], "none": ["end"]}[kept]
    for net in (batch, alone):
        ids = net.named
        net.plan.prepare(
            keep=[ids[name] for name in keep], seeds=[ids["end"]], wrt=[ids[name] for name in wrt]
        )
    rng = np.random.default_rng(5)
    x = rng.standard_normal(batch.plan.shape(batch.named["x"])).astype(np.float32)
    dy = rng.standard_normal(batch.plan.shape(batch.named["end"])).astype(np.float32)
    expected = passes(batch, x, dy, keep, wrt)
    for i in range(3):
        found = passes(alone, x[i : i + 1], dy[i : i + 1], keep, wrt)
        differ = [key for key, value in found.items() if not np.array_equal(value, expected[key][i : i + 1])]
        assert differ == []


def passes(net: Net, x: Any, dy: Any, keep: Sequence[str], wrt: Sequence[str]) -> Answers:
    """Return the kept values and the gradients after two passes."""
    plan, ids = net.plan, net.named
    for _ in range(2):
        plan.forward([np.ascontiguousarray(x)])
        plan.backward({ids["end"]: np.ascontiguousarray(dy)})
    found = {value: plan.read(ids[value]) for value in keep}
    return {**found, **{f"d {value}": plan.gradient(ids[value]) for value in wrt}}


@pytest.mark.parametrize("name", NETS)
def test_threads_do_not_change_bits(name: str) -> None:
    before = _core.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            _core.set_num_threads(threads)
            found.append(answers(name, ("x",), 2, "plain"))
    finally:
        _core.set_num_threads(before)
    for value in found[0]:
        np.testing.assert_array_equal(found[0][value], found[1][value], err_msg=value)


def test_describe_names_kernels_and_what_is_fused() -> None:
    net = residual(1)
    net.plan.prepare(keep=[net.named["end"]], seeds=[net.named["end"]], wrt=[net.named["x"]])
    net.plan.forward([np.zeros((1, 19, 8, 7), np.float32)])
    nodes = net.plan.describe()["nodes"]
    kernels = [node["kernel"].split(maxsplit=1)[-1] for node in nodes]
    winograd = ["winograd 2x2 + relu", "fused"]
    assert kernels[:7] == [*winograd, *winograd, "direct + add + relu", "fused", "fused"]
    assert all(node["forward_seconds"] > 0 for node in nodes if "direct" in node["kernel"])
    assert nodes[0]["saved_nbytes"] >= 2 * 8 * 7 * 2  # one bit for each of 32 channels
    assert nodes[1]["saved_nbytes"] == 0


def test_transposed_convolutions_have_fast_kernels() -> None:
    net = decoder(1)
    net.plan.prepare(keep=[net.named["end"]], seeds=[net.named["end"]], wrt=[net.named["x"]])
    nodes = net.plan.describe()["nodes"]
    kernels = [node["kernel"].split(maxsplit=1)[-1] for node in nodes if node["name"].startswith("up")]
    assert kernels == ["direct", "winograd 4x4", "direct", "direct", "winograd 2x2", "direct", "direct"]


# Pictures of 1 x 1 and of 5 x 4, kernels of 3 x 3; beyond some dilation a copy with its padding is out of all
# proportion to the picture: channels, extents, stride, dilation, whether the fast tier has a kernel.
DILATIONS = [
    (16, (5, 4), 1, 2, True),
    (16, (1, 1), 1, 20, True),
    (3, (5, 4), 2, 7, True),
    (16, (5, 4), 1, 90, False),
    (3, (5, 4), 2, 200, False),
    (16, (1, 1), 1, 2000, False),
    (3, (1, 1), 2, 5900, False),
    (16, (1, 1), 1, 5900, False),
    (16, (1, 1), 3, 2**31 - 3, False),
]


@pytest.mark.parametrize("row", DILATIONS, ids=str)
def test_a_dilation_beyond_the_picture_is_left_to_the_portable_tier(row: Any) -> None:
    channels, extents, stride, dilation, served = row
    net = Net((1, channels, *extents))
    geometry = {"dilation": (dilation,) * 2, "pads": (dilation,) * 4, "stride": (stride,) * 2}
    y = net.conv(16, 3, **geometry).top
    net.plan.prepare(keep=[y], seeds=[y], wrt=[net.named["x"]])
    x, dy = (net.rng.standard_normal(net.plan.shape(v)).astype(np.float32) for v in (net.named["x"], y))
    net.plan.forward([x])
    net.plan.backward({y: dy})
    described = net.plan.describe()
    assert (described["nodes"][0]["kernel"] != "portable") == served
    assert described["memory"]["arena"] < 3 << 20
    w, b = net.plan.read(1), net.plan.read(2)
    if dilation > max(extents):  # taps beside the middle see nothing but padding
        w, geometry = w[:, :, 1:2, 1:2], {"stride": (stride,) * 2}
    expected, backward = conv2d(*(array.astype(np.float64) for array in (x, w, b)), **geometry)
    assert error(net.plan.read(y), expected) < 1e-6
    assert error(net.plan.gradient(net.named["x"]), backward(dy.astype(np.float64))[0]) < 1e-6


def test_weights_that_change_are_packed_anew() -> None:
    net = Net((1, 16, 9, 9))
    weights = np.ones((16, 16, 1, 1), np.float32)
    constant = _core.Constant(weights)
    y = net.plan.conv2d(net.top, net.plan.constant(constant, name="w"), name="y")
    net.plan.prepare(keep=[y], seeds=[y], wrt=[net.top])
    x = np.ones((1, 16, 9, 9), np.float32)
    net.plan.forward([x])
    assert constant.packed_nbytes > 0
    weights *= 3
    constant.changed()
    net.plan.forward([x])
    np.testing.assert_array_equal(net.plan.read(y), np.full((1, 16, 9, 9), 48, np.float32))
    net.plan.backward({y: x})
    np.testing.assert_array_equal(net.plan.gradient(net.top), np.full((1, 16, 9, 9), 48, np.float32))
