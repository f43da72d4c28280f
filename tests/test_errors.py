"""Each mistake is answered by the error that the documentation names, in words that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Tuple

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes, small_classifier

import cnnviz
from cnnviz.objectives import Logit, TotalVariation

X = np.zeros((2, 3, 32, 32), np.float32)
PICTURE = np.zeros((8, 8, 3), np.uint8)
Call = Callable[[cnnviz.Model], Any]


def filled(value: float) -> Any:
    x = X.copy()
    x[1, 2, 3, 4] = value
    return x


ERRORS: Tuple[Tuple[str, Call, type, str], ...] = (
    ("uint8 x", lambda m: m.forward(X.astype(np.uint8)), TypeError, "x has dtype uint8: it must be float32"),
    ("complex x", lambda m: m.forward(X.astype(complex)), TypeError, "x has dtype complex128"),
    ("x of strings", lambda m: m.forward([["a"]]), TypeError, "x has dtype <U1"),
    ("no x", lambda m: m.forward(None), TypeError, "x has dtype object"),
    (
        "x without batch",
        lambda m: m.forward(X[0]),
        ValueError,
        r"x has shape \(3, 32, 32\): it must be N,3,H,W",
    ),
    ("channels last", lambda m: m.forward(X.transpose(0, 2, 3, 1)), ValueError, r"\(2, 32, 32, 3\)"),
    ("empty batch", lambda m: m.forward(X[:0]), ValueError, r"\(0, 3, 32, 32\)"),
    ("no rows", lambda m: m.forward(X[:, :, :0]), ValueError, r"\(2, 3, 0, 32\)"),
    ("too small", lambda m: m.forward(X[:, :, :1, :1]), ValueError, "pool|1x1|max_pool"),
    ("NaN", lambda m: m.forward(filled(np.nan)), ValueError, "x holds NaN or infinity: 1 of 6144 values"),
    ("infinity", lambda m: m.gradient(filled(np.inf), 0), ValueError, "x holds NaN or infinity"),
    ("float64 too large", lambda m: m.forward(X.astype(np.float64) + 1e300), ValueError, "x holds NaN"),
    (
        "layer",
        lambda m: m.forward(X, ["relu3"]),
        ValueError,
        r"layer 'relu3' is not in .* did you mean .*'relu2'",
    ),
    ("strange layer", lambda m: m.forward(X, ["?"]), ValueError, r"print\(model.layers\)"),
    ("layer 3", lambda m: m.forward(X, [3]), TypeError, "a layer is given by its name, not by 3"),
    ("layers as text", lambda m: m.forward(X, "relu2"), TypeError, r"pass \['relu2'\]"),
    ("wrt", lambda m: m.gradient(X, 0, wrt="relu3"), ValueError, "did you mean"),
    ("no wrt", lambda m: m.gradient(X, 0, wrt=[]), ValueError, "wrt is empty"),
    (
        "rule",
        lambda m: m.gradient(X, 0, relu="leaky"),
        ValueError,
        "relu must be one of plain, guided, .*'leaky'",
    ),
    ("class 10", lambda m: m.gradient(X, 10), ValueError, "target 10 is not a class index: .* 10 classes"),
    ("class -1", lambda m: m.gradient(X, -1), ValueError, "target -1"),
    (
        "class 1.5",
        lambda m: m.gradient(X, 1.5),
        TypeError,
        "target must be a class index or a label, not 1.5",
    ),
    ("class True", lambda m: m.gradient(X, True), TypeError, "not True"),
    ("label", lambda m: m.gradient(X, "clas 3"), ValueError, "'clas 3' is not the label.*'class 3'"),
    ("ambiguous label", lambda m: m.gradient(X, "class"), ValueError, "matches 10 classes"),
    ("3 for 2", lambda m: m.gradient(X, [1, 2, 3]), ValueError, "3 classes for a batch of 2"),
    ("no cotangent", lambda m: m.gradient(X, {}), ValueError, "empty"),
    (
        "cotangent's shape",
        lambda m: m.gradient(X, {"relu2": np.ones((1, 2, 3, 4), np.float32)}),
        ValueError,
        r"target\['relu2'\] has shape \(1, 2, 3, 4\), the layer \(2, 12, 16, 16\)",
    ),
    (
        "cotangent's layer",
        lambda m: m.gradient(X, {"relu3": np.ones((1, 2, 3, 4), np.float32)}),
        ValueError,
        "did you mean",
    ),
    (
        "cotangent's NaN",
        lambda m: m.gradient(X, {"logits": np.full((2, 10), np.nan, np.float32)}),
        ValueError,
        r"target\['logits'\] holds NaN",
    ),
    (
        "cotangent's dtype",
        lambda m: m.gradient(X, {"logits": np.ones((2, 10), np.int64)}),
        TypeError,
        r"target\['logits'\] must be a float array",
    ),
    (
        "picture's own units",
        lambda m: m.gradient(X, Logit(1) - TotalVariation()),
        ValueError,
        r"TotalVariation\(image\) reads 'image', .* take layer='input'",
    ),
    (
        "picture's own units where the input is called image",
        lambda m: cnnviz.load().gradient(X, TotalVariation()),
        ValueError,
        "reads 'image'",
    ),
    ("top's kind", lambda m: m.predict(PICTURE, top=2.5), TypeError, r"top must be an integer, not 2\.5"),
    (
        "target of no axes",
        lambda m: cnnviz.saliency(m, PICTURE, np.array(3)),
        TypeError,
        r"target must be a class index or a label, not array\(3\)",
    ),
    (
        "class picture's target of no axes",
        lambda m: cnnviz.class_visualization(m, np.array(3)),
        TypeError,
        r"target must be a class index or a label, not array\(3\)",
    ),
    (
        "no seed",
        lambda m: cnnviz.saliency(m, PICTURE, smooth=2, seed=None),
        ValueError,
        "seed must be an integer of at least 0, not None",
    ),
    (
        "negative seed",
        lambda m: cnnviz.saliency(m, PICTURE, smooth=2, seed=-1),
        ValueError,
        "seed must be an integer of at least 0, not -1",
    ),
    (
        "check's seed",
        lambda m: cnnviz.sanity_check(m, PICTURE, "saliency", seed=-1),
        ValueError,
        "seed must be an integer of at least 0, not -1",
    ),
    (
        "check's method",
        lambda m: cnnviz.sanity_check(m, PICTURE, "lime"),
        ValueError,
        "method must be one of saliency, smooth_grad, .* not 'lime'",
    ),
    ("top", lambda m: m.predict(PICTURE, top=0), ValueError, "top must be at least 1, not 0"),
    ("zero-sized picture", lambda m: m.predict(PICTURE[:0]), ValueError, r"image is empty.*\(0, 8, 3\)"),
    (
        "picture's range",
        lambda m: cnnviz.saliency(m, PICTURE + 7.0),
        ValueError,
        "image is float and spans 7 to 7",
    ),
    ("picture's NaN", lambda m: cnnviz.grad_cam(m, PICTURE * np.nan), ValueError, "image holds NaN"),
    ("picture's file", lambda m: cnnviz.saliency(m, "nowhere.jpg"), FileNotFoundError, r"nowhere\.jpg"),
    ("Grad-CAM's layer", lambda m: cnnviz.grad_cam(m, PICTURE, 0, "relu3"), ValueError, "did you mean"),
    ("file", lambda m: cnnviz.load("nowhere.onnx"), FileNotFoundError, "no file 'nowhere.onnx'"),
    ("zoo name", lambda m: cnnviz.load("squeezenet-1.1"), FileNotFoundError, "did you mean 'squeezenet1.1'"),
    ("source", lambda m: cnnviz.load(3), TypeError, "int"),
    ("empty bytes", lambda m: cnnviz.load(b""), cnnviz.ModelFormatError, "empty|no model|not"),
    ("other bytes", lambda m: cnnviz.load(b"no model"), cnnviz.ModelFormatError, "not"),
    (
        "3 cotangents for 2",
        lambda m: m.gradient(X, {"logits": np.ones((3, 10), np.float32)}),
        ValueError,
        r"target\['logits'\] has shape \(3, 10\) for a batch of 2 images",
    ),
    (
        "preset",
        lambda m: cnnviz.load(small_classifier(), preprocessing="vgg"),
        ValueError,
        "imagenet, caffe, tf",
    ),
    ("labels", lambda m: cnnviz.load(small_classifier(), labels=["a"]), ValueError, "labels has 1 names"),
)


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(), preprocessing="unit")


@pytest.mark.parametrize(
    ("call", "error", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_mistakes_are_answered(model: cnnviz.Model, call: Call, error: type, message: str) -> None:
    expected = model.forward(X)
    with pytest.raises(error, match=message):
        call(model)
    np.testing.assert_array_equal(model.forward(X), expected)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    data = small_classifier()
    file = tmp_path / "cut.onnx"
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(cnnviz.ModelFormatError):
        cnnviz.load(file)


def test_the_networks_own_size_is_named_when_another_does_not_fit() -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    data = onnx_bytes(nodes, {"w": np.ones((48, 5))}, input_shape=["N", 3, 4, 4], output="scores")
    with pytest.raises(ValueError, match="48"):
        cnnviz.load(data).forward(np.zeros((1, 3, 8, 8), np.float32))


SHAPES = ((["N", 3], r"shape \(any, 3\): pictures are N,C,H,W, signals N,C,L"),)


@pytest.mark.parametrize(("shape", "message"), SHAPES, ids=["two axes"])
def test_networks_of_something_else_than_pictures(shape: Any, message: str) -> None:
    data = onnx_bytes([helper.make_node("Relu", ["x"], ["y"])], {}, input_shape=shape, output="y")
    with pytest.raises(ValueError, match=message):
        cnnviz.load(data)


def test_the_zoo_says_how_to_do_without_a_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CNNVIZ_OFFLINE", "1")
    monkeypatch.setenv("CNNVIZ_CACHE", str(tmp_path))
    with pytest.raises(cnnviz.CnnvizError, match=r"squeezenet1\.1 is not in the cache.*https://.*\.onnx"):
        cnnviz.load("squeezenet1.1")
