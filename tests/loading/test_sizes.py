"""Sizes and channels that a file leaves open: asked for, found, or refused with what to do."""

from __future__ import annotations

import pickle
import warnings
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import pytest
from onnx import ModelProto, helper
from toy_networks import onnx_bytes, small_classifier

import cnnviz
from cnnviz.errors import ModelFormatError

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
OPEN = ["N", 3, "h", "w"]


def network(
    nodes: List[Any],
    *,
    shape: Optional[Sequence[Any]] = None,
    channels: int = 3,
    **constants: Any,
) -> bytes:
    """A convolution with stride 2 from "x" to "c", and further nodes to "y"."""
    weights = {
        "w": RNG.normal(0, 0.3, (4, channels, 3, 3)),
        **{k: np.asarray(v) for k, v in constants.items()},
    }
    conv = helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2])
    return onnx_bytes([conv, *nodes], weights, input_shape=OPEN if shape is None else shape, output="y")


def without_shape(data: bytes) -> bytes:
    proto = ModelProto.FromString(data)
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    return proto.SerializeToString()


RESHAPED = [helper.make_node("Reshape", ["c", "s"], ["y"])]
FLATTENED = [helper.make_node("Flatten", ["c"], ["f"]), helper.make_node("Gemm", ["f", "d"], ["y"])]
VIEWED = [helper.make_node("Reshape", ["c", "s"], ["f"]), helper.make_node("MatMul", ["f", "d"], ["y"])]
ANY = [helper.make_node("GlobalAveragePool", ["c"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]


def weights(rows: int) -> Any:
    return RNG.normal(0, 0.1, (rows, 5)).astype(np.float32)


#: Each file, with the size that is found, and whether a warning says so.
FOUND: Dict[str, Tuple[bytes, Tuple[int, int], bool]] = {
    "any size": (network(ANY), (224, 224), False),
    "no shape at all": (network(ANY, shape=[]), (224, 224), False),
    "a Reshape for 32 x 32": (network(RESHAPED, s=[1, 4, 256]), (32, 32), True),
    "a linear layer for 72 x 72": (network(FLATTENED, d=weights(4 * 36 * 36)), (72, 72), True),
    "a linear layer for 20 x 20": (network(FLATTENED, d=weights(4 * 100)), (20, 20), True),
    "rows of 16 x 16, which divide those of 224": (
        network(VIEWED, s=[-1, 4 * 64], d=weights(4 * 64)),
        (16, 16),
        True,
    ),
    "a height that the file has, its width open": (
        network(FLATTENED, shape=["N", 3, 48, "w"], d=weights(4 * 24 * 50)),
        (48, 100),
        True,
    ),
    "a width that the file has, any height": (network(ANY, shape=["N", 3, "h", 48]), (224, 48), False),
    "a size that the file has": (network(ANY, shape=["N", 3, 40, 48]), (40, 48), False),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_size_that_fits_is_found(name: str) -> None:
    data, size, warns = FOUND[name]
    data = without_shape(data) if name.startswith("no shape") else data
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = cnnviz.load(data)
    said = f"224x224 does not fit, {size[0]}x{size[1]} does and is taken; pass size=({size[0]}, {size[1]})"
    expected = [said.replace("224x224", "48x224" if size[0] == 48 else "224x224")] if warns else []
    assert [expected[i] in str(one.message) for i, one in enumerate(caught)] == [True] * len(expected)
    assert all(one.filename == __file__ for one in caught)
    assert model.preprocessing.size == size
    assert len(model.activations(PICTURE, "logits")["logits"]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cnnviz.load(data, size=size).preprocessing == model.preprocessing
        assert pickle.loads(pickle.dumps(model)).preprocessing == model.preprocessing


def test_a_size_may_be_asked_for() -> None:
    data = network(ANY)
    asked = cnnviz.load(data, size=(np.int64(64), 96), preprocessing="imagenet")
    assert asked.preprocessing.size == (64, 96)
    assert asked.layers["c"] == (1, 4, 32, 48)
    own = cnnviz.Preprocessing(mean=0.5)
    assert cnnviz.load(data, size=[64, 96], preprocessing=own).preprocessing.size == (64, 96)
    with_size = cnnviz.Preprocessing(size=(20, 30))
    assert cnnviz.load(data, preprocessing=with_size).preprocessing.size == (20, 30)
    assert cnnviz.load(data, preprocessing=with_size, size=(20, 30)).preprocessing == with_size


LINEAR = network(FLATTENED, d=weights(4 * 17 * 16))
REFUSED = [
    (network(ANY), {"size": 64}, "size must be two positive integers, height and width, not 64"),
    (network(ANY), {"size": (64, 0)}, r"size must be two positive integers.* not \(64, 0\)"),
    (network(ANY), {"size": (64.0, 64)}, "size must be two positive integers"),
    (network(ANY, shape=["N", 3, 40, "w"]), {"size": (64, 64)}, "has height 40 and width any"),
    (
        network(ANY),
        {"size": (64, 64), "preprocessing": cnnviz.Preprocessing(size=(32, 32))},
        r"size is \(64, 64\), but preprocessing.size is \(32, 32\): give one of them",
    ),
    (LINEAR, {}, r"leaves the size of its pictures open, and none .* fits, .*pass size=\(height, width\)"),
    (
        without_shape(LINEAR),
        {},
        "leaves the size of its pictures open, and none of those tried fits, 224x224",
    ),
    (LINEAR, {"size": (64, 64)}, "takes no pictures of 64x64: .*1088"),
]


@pytest.mark.parametrize(("data", "options", "match"), REFUSED, ids=[row[2][:40] for row in REFUSED])
def test_a_size_that_does_not_fit_is_refused(data: bytes, options: Dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        cnnviz.load(data, **options)
    assert not isinstance(caught.value, ModelFormatError)  # the file is right


def test_a_size_that_is_no_square_is_taken_when_it_is_given() -> None:
    assert cnnviz.load(LINEAR, size=(34, 32)).predict(PICTURE)


@pytest.mark.parametrize("shape", [["N", "c", 16, 16], ["N", "c", "h", "w"], None])
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_that_a_file_leaves_open_are_those_of_its_weights(
    channels: int, shape: Optional[List[Any]]
) -> None:
    data = network(ANY, shape=shape, channels=channels)
    model = cnnviz.load(without_shape(data) if shape is None else data)
    assert model.preprocessing.channels == channels
    assert model.preprocessing.name == ("unit" if channels == 1 else "imagenet")
    assert model.predict(PICTURE)
    if channels == 1:
        given = cnnviz.Preprocessing(size=(16, 16), channel_order="L")
        assert cnnviz.load(data if shape else without_shape(data), preprocessing=given).preprocessing == given


def test_weights_behind_a_normalisation_say_the_channels_too() -> None:
    nodes = [
        helper.make_node("Sub", ["x", "m"], ["centred"]),
        helper.make_node("Conv", ["centred", "v"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c2"], ["y"]),
    ]
    constants = {"m": np.array(0.5), "v": RNG.normal(size=(4, 1, 3, 3))}
    model = cnnviz.load(onnx_bytes(nodes, constants, input_shape=["N", "c", 8, 8], output="y"))
    assert model.preprocessing.channels == 1


def test_the_search_leaves_known_networks_as_they_are() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cnnviz.load(small_classifier()).preprocessing.size == (32, 32)
        assert cnnviz.load().preprocessing.size == (96, 96)
