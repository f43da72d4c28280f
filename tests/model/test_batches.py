"""A batch of images gives each image the numbers that it has alone, bit for bit, whatever the network is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import pytest
from graphs import run
from onnx import NodeProto, helper
from toy_networks import captum_toy, onnx_bytes, small_classifier, small_vgg

import cnnviz
from cnnviz.model.model import RELU_RULES
from cnnviz.model.plan_pool import Request
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(15)
SHAPE = (1, 3, 4, 4)
ASSETS = [
    "darknet-tiny",
    "mobilenetv1-0.25",
    "mobilenetv2-1.0",
    "resnet20-cifar10",
    "squeezenet1.1",
    "squeezenet1.1-caffe2-fp16",
    "vgg19-normalised-to-relu3_1",
]


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


class Net(NamedTuple):
    """Operators one after the other from x, 1,3,4,4, and whether a plan takes several images at once.

    An operand of a step is a constant, or the name of an earlier result: "x", or "v" and the step's number.
    """

    together: bool
    steps: Tuple[Tuple[str, Sequence[Any], Dict[str, Any]], ...]

    def to_bytes(self, batch: Any = 1) -> bytes:
        nodes: List[NodeProto] = []
        constants: Dict[str, np.ndarray] = {}
        last = "x"
        for i, (op, operands, attributes) in enumerate(self.steps):
            inputs = [last]
            for j, operand in enumerate(operands):
                if isinstance(operand, np.ndarray):
                    constants[f"c{i}_{j}"] = operand
                    operand = f"c{i}_{j}"
                inputs.append(operand)
            swap = attributes.get("swap", False)
            rest = {name: value for name, value in attributes.items() if name != "swap"}
            last = "y" if i == len(self.steps) - 1 else f"v{i}"
            nodes.append(helper.make_node(op, inputs[::-1] if swap else inputs, [last], f"n{i}", **rest))
        return onnx_bytes(nodes, constants, input_shape=[batch, *SHAPE[1:]], output="y")


def net(together: bool, *steps: Any) -> Net:
    """A step is (operator, operands..., attributes in a dictionary)."""
    parts = []
    for op, *rest in steps:
        attributes = rest.pop() if rest and isinstance(rest[-1], dict) else {}
        parts.append((op, tuple(rest), attributes))
    return Net(together, tuple(parts))


def reshape(*target: int) -> Tuple[Any, ...]:
    return ("Reshape", ints(*target))


def transpose(*perm: int) -> Tuple[Any, ...]:
    return ("Transpose", {"perm": list(perm)})


WINDOWS = (reshape(1, 3, 2, 2, 2, 2), transpose(0, 2, 4, 3, 5, 1), reshape(4, 4, 3))  # 4 windows of 4 pixels
TOKENS = (reshape(1, 3, 16), transpose(0, 2, 1))

NETS: Dict[str, Net] = {
    "rows of a window as windows": net(
        True,
        ("Relu",),
        reshape(12, 4),
        reshape(12, 2, -1),
        ("Slice", ints(0), ints(1), ints(2)),
        reshape(1, 3, 4, 2),
    ),
    "windows and back": net(
        True,
        *WINDOWS,
        ("MatMul", floats(3, 5)),
        ("Softmax", {"axis": 1}),
        reshape(1, 2, 2, 2, 2, 5),
        transpose(0, 5, 1, 3, 2, 4),
        reshape(1, 5, 4, 4),
    ),
    "a mask for each window": net(True, *WINDOWS, ("Add", floats(4, 4, 1)), ("Relu",), reshape(1, 16, 3)),
    "an average over the windows": net(True, *WINDOWS, ("ReduceMean", {"axes": [0], "keepdims": 0})),
    "a sum over windows and channels": net(True, *WINDOWS, ("ReduceSum", ints(0, 2), {"keepdims": 1})),
    "a softmax over the windows": net(True, *WINDOWS, ("Softmax", {"axis": 0}), reshape(1, 48)),
    "some of the windows": net(
        True, *WINDOWS, ("Slice", ints(1), ints(4), ints(0)), ("Sigmoid",), reshape(1, 36)
    ),
    "windows by their numbers": net(
        True, *WINDOWS, ("Gather", ints(2, 0, 3), {"axis": 0}), ("Relu",), reshape(1, 36)
    ),
    "windows beside a constant window": net(
        True, *WINDOWS, ("Concat", floats(2, 4, 3), {"axis": 0}), reshape(1, 72)
    ),
    "windows beside windows": net(True, *WINDOWS, ("Concat", "v2", {"axis": 0}), ("Relu",), reshape(1, 96)),
    "windows with padding around": net(True, *WINDOWS, ("Pad", ints(1, 0, 0, 0, 0, 0)), reshape(1, 60)),
    "groups of channels as images": net(
        True, reshape(3, 1, 4, 4), ("Conv", floats(2, 1, 3, 3)), ("Relu",), reshape(1, 6, 2, 2)
    ),
    "class token": net(
        True,
        *TOKENS,
        ("Concat", floats(1, 1, 3), {"axis": 1, "swap": True}),
        ("Add", floats(1, 17, 3)),
        ("LayerNormalization", floats(3), floats(3), {"axis": -1}),
        ("Gather", ints(0), {"axis": 1}),
        ("Squeeze", ints(1)),
        ("Gemm", floats(3, 7)),
    ),
    "coordinates as channels": net(
        True, ("Concat", floats(1, 2, 4, 4), {"axis": 1}), ("Conv", floats(4, 5, 3, 3)), ("Relu",)
    ),
    "one constant for each batch": net(True, ("Mul", floats(1, 3, 4, 4)), ("Sub", floats(1, 1, 1, 4))),
    "Resize to sizes": net(True, ("Resize", "", "", ints(1, 3, 8, 6), {"mode": "linear"}), ("Relu",)),
    "Expand": net(True, ("ReduceMean", {"axes": [2, 3]}), ("Expand", ints(1, 3, 5, 4)), ("Sigmoid",)),
    "Expand along the batch": net(
        True, ("ReduceMean", {"axes": [2, 3]}), ("Expand", ints(6, 3, 1, 1)), ("Sigmoid",)
    ),
    "Tile": net(True, ("Tile", ints(1, 2, 1, 2)), ("Relu",)),
    "Tile along the batch": net(True, ("Tile", ints(2, 1, 1, 1)), ("Conv", floats(4, 3, 3, 3))),
    "constants that broadcast over one image": net(
        True, ("ReduceMean", {"axes": [2, 3], "keepdims": 0}), ("Add", floats(5, 3)), ("Sigmoid",)
    ),
    "batch folded into channels": net(
        False, transpose(1, 0, 2, 3), ("Conv", floats(2, 1, 3, 3)), ("Relu",), reshape(1, 24)
    ),
    "sequence first": net(
        True,
        *TOKENS,
        transpose(1, 0, 2),
        ("MatMul", floats(3, 6)),
        ("Softmax", {"axis": 2}),
    ),
    "attention with the sequence first": net(
        True,
        *TOKENS,
        transpose(1, 0, 2),
        ("MatMul", floats(3, 4)),
        reshape(16, 2, 2),
        transpose(1, 0, 2),
        transpose(0, 2, 1),
        ("MatMul", "v5", {"swap": True}),
        ("Softmax", {"axis": -1}),
        ("MatMul", "v5"),
        transpose(1, 0, 2),
        reshape(16, 4),
        ("Gemm", floats(4, 5)),
        reshape(16, 1, 5),
        transpose(1, 0, 2),
        ("Flatten",),
    ),
    "rectifier behind a batch that moved": net(
        False, transpose(1, 0, 2, 3), ("Relu",), transpose(1, 0, 2, 3), ("Flatten",)
    ),
    "sums with the sequence first": net(
        True, *TOKENS, transpose(1, 0, 2), ("Sigmoid",), ("ReduceSum", ints(0), {"keepdims": 0})
    ),
    "Gather of rows": net(
        True, ("Flatten", {"axis": 2}), ("Gather", ints(2, 0), {"axis": 0}), reshape(1, 32)
    ),
    "Flatten at axis 2": net(True, ("Flatten", {"axis": 2}), ("Softmax", {"axis": 1}), reshape(1, 3, 16)),
    "softmax over all numbers": net(True, ("Flatten", {"axis": 0}), ("Softmax", {"axis": 1})),
    "softmax over the batch": net(True, ("Conv", floats(2, 3, 3, 3)), ("Softmax", {"axis": 0})),
    "no axis left": net(False, ("ReduceSum", {"keepdims": 0}), ("Exp",), reshape(1, 1)),
    "no batch axis": net(True, ("Squeeze", ints(0)), ("Sigmoid",)),
    "weights from the image": net(False, ("Flatten", {"axis": 2}), transpose(1, 0), ("MatMul", "v0")),
    "products of the image's channels": net(
        True, reshape(1, 3, 16), transpose(0, 2, 1), ("MatMul", "v0", {"swap": True}), ("Softmax",)
    ),
    "squeeze and excitation": net(
        True,
        ("Conv", floats(4, 3, 1, 1)),
        ("GlobalAveragePool",),
        reshape(1, 4),
        ("Gemm", floats(4, 4)),
        ("Sigmoid",),
        reshape(1, 4, 1, 1),
        ("Mul", "v0"),
    ),
    "Einsum of tokens and weights": net(
        True, reshape(1, 3, 16), ("Einsum", floats(16, 37), {"equation": "bij,jk->bik"})
    ),
    "Einsum of rows and weights": net(
        True, ("Flatten",), ("Einsum", floats(48, 37), {"equation": "bj,jk->bk"})
    ),
    "running sums of rows": net(True, ("Flatten",), ("CumSum", ints(1))),
    "running sums of one row": net(True, reshape(-1), ("CumSum", ints(0)), reshape(1, 48)),
    "numbers of one image against windows": net(
        True, *WINDOWS, ("ReduceMean", {"axes": [0, 1]}), ("Mul", "v2"), ("Flatten",), reshape(1, 48)
    ),
}


def together(model: cnnviz.Model, layer: str = "y") -> bool:
    """Whether a plan takes several images."""
    height, width = model.preprocessing.size or (0, 0)
    shape = (2, model.preprocessing.channels, height, width)
    value = model.layers.resolve(layer)
    return model._pool.mixing(Request(shape, (value,), (value,), (model.input_name,))) is None


def check(model: cnnviz.Model, layer: str, rules: Sequence[str] = ("plain",)) -> None:
    """A batch of three against its images one by one: activations, and gradients under each rule.

    A layer with several rows for each picture has activations only: no target can read it.
    """
    height, width = model.preprocessing.size or (0, 0)
    x = np.random.default_rng(0).normal(size=(3, model.preprocessing.channels, height, width))
    x = x.astype(np.float32)
    alone = [model.forward(x[i : i + 1], [layer])[layer] for i in range(3)]
    axis = model.batch_axis(layer)
    np.testing.assert_array_equal(model.forward(x, [layer])[layer], np.concatenate(alone, axis or 0))
    rows = np.random.default_rng(1).normal(size=np.moveaxis(alone[0], axis or 0, 0).shape).astype(np.float32)
    if axis is None:
        with pytest.raises(ValueError, match="no axis is the batch: it can be read, but no target"):
            model.gradient(x, {layer: rows[:1]})
        return
    for rule in rules:
        found = model.gradient(x, {layer: rows}, relu=rule).gradients["input"]
        parts = [model.gradient(x[i : i + 1], {layer: rows}, relu=rule).gradients["input"] for i in range(3)]
        np.testing.assert_array_equal(found, np.concatenate(parts), err_msg=rule)


@pytest.mark.parametrize("batch", [1, "N"])
@pytest.mark.parametrize("name", NETS)
def test_small_networks(name: str, batch: Any) -> None:
    model = cnnviz.load(NETS[name].to_bytes(batch), preprocessing="unit")
    assert together(model) == NETS[name].together
    check(model, "y", RELU_RULES)


# The same for files that declare a batch of two, x: 2,3,4,4.
PAIRS: Dict[str, Net] = {
    "batch written into the target": net(True, ("Conv", floats(4, 3, 3, 3)), ("Relu",), reshape(2, 16)),
    "windows": net(
        True,
        reshape(2, 3, 2, 2, 2, 2),
        transpose(0, 2, 4, 3, 5, 1),
        reshape(8, 4, 3),
        ("MatMul", floats(3, 5)),
        ("Softmax", {"axis": 2}),
        ("Add", np.tile(floats(4, 4, 1), (2, 1, 1))),
        reshape(2, 80),
    ),
    "class token for each image": net(
        True,
        reshape(2, 3, 16),
        transpose(0, 2, 1),
        ("Concat", np.repeat(floats(1, 1, 3), 2, 0), {"axis": 1}),
        ("Flatten",),
    ),
    "sequence first": net(
        True, reshape(2, 3, 16), transpose(2, 0, 1), ("Tanh",), ("ReduceMean", {"axes": [0], "keepdims": 0})
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_files_that_declare_a_batch_of_two(name: str) -> None:
    model = cnnviz.load(PAIRS[name].to_bytes(2), preprocessing="unit")
    assert together(model)
    check(model, "y", RELU_RULES)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    (whole,) = run(read(PAIRS[name].to_bytes(2)), x)
    np.testing.assert_allclose(model.forward(x), whole, rtol=1e-5, atol=1e-6)


MIXED: Dict[str, Tuple[Net, str]] = {
    "softmax over the batch": (net(False, ("Softmax", {"axis": 0})), "'n0'.*Softmax"),
    "difference of the images": (
        net(False, ("Relu",), ("Slice", ints(0), ints(1), ints(0))),
        "'n1'.*Slice.*batch of 2",
    ),
    "another constant for each image": (net(False, ("Add", floats(2, 1, 1, 1))), "'n0'.*Add.*a constant"),
    "the sum of a batch": (net(False, ("ReduceSum", ints(0), {"keepdims": 1})), "'n0'.*ReduceSum"),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_file_whose_images_mix_is_refused(name: str) -> None:
    """One image has no numbers of its own in a batch of two that mixes."""
    network, message = MIXED[name]
    with pytest.raises(cnnviz.UnsupportedModelError, match=message):
        cnnviz.load(network.to_bytes(2), preprocessing="unit")


def test_layers_are_judged_one_by_one() -> None:
    """Attention with the sequence first: where no axis of a layer is the batch, pictures run one by one."""
    model = cnnviz.load(NETS["attention with the sequence first"].to_bytes(), preprocessing="unit")
    assert together(model, "y")
    assert together(model, "v3")
    assert not together(model, "v4")
    assert [model.batch_axis(layer) for layer in ("v0", "v3", "v4", "v13")] == [0, 1, None, 1]
    for layer in model.layers:
        check(model, layer)
    assert "one picture at a time" not in model.summary()


def test_the_summary_names_the_node_that_mixes() -> None:
    model = cnnviz.load(NETS["batch folded into channels"].to_bytes(), preprocessing="unit")
    assert "one picture at a time: node 'n1' (Conv) mixes the images" in model.summary()


@pytest.mark.parametrize(
    "name", ["windows and back", "coordinates as channels", "batch folded into channels"]
)
def test_smoothed_saliency_of_networks_for_one_image(name: str) -> None:
    """Noisy copies of a picture run as a batch."""
    model = cnnviz.load(NETS[name].to_bytes(), preprocessing="unit")
    picture = np.random.default_rng(0).random((4, 4, 3)).astype(np.float32)
    target = {"y": np.ones((1, *model.layers["y"][1:]), np.float32)}
    found = cnnviz.saliency(model, picture, target, smooth=4)
    assert np.isfinite(found.values).all()
    assert found.values.any()


TOYS: Dict[str, Callable[[], bytes]] = {
    "captum's": captum_toy,
    "small": small_classifier,
    "small, softmax": lambda: small_classifier(softmax=True),
    "small, sigmoid": lambda: small_classifier(sigmoid=True, channels=1),
    "vgg": small_vgg,
}


@pytest.mark.parametrize("name", [*TOYS, "bundled"])
def test_toy_networks(name: str) -> None:
    model = cnnviz.load(TOYS[name](), preprocessing="unit") if name in TOYS else cnnviz.load()
    assert together(model, "logits")
    for layer in model.layers:
        check(model, layer)


@pytest.mark.parametrize("name", ASSETS)
def test_trained_networks(assets: Path, name: str) -> None:
    model = cnnviz.load(assets / "models" / f"{name}.onnx", preprocessing="unit")
    layers = list(model.layers)
    assert all(together(model, layer) for layer in layers)
    for layer in (layers[len(layers) // 2], "logits"):
        check(model, layer, ["guided"])
