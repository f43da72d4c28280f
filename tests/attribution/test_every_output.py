"""Every technique on every kind of output: the gradient of a cotangent made by hand, or one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import matplotlib.pyplot as plt
import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz import objectives

RNG = np.random.default_rng(11)
PICTURE = RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)
Node = Tuple[str, Sequence[str], str, Dict[str, Any]]
FLAT: List[Node] = [("GlobalAveragePool", ["last"], "pooled", {}), ("Flatten", ["pooled"], "flat", {})]


def network(
    tail: Sequence[Node], *, outputs: Sequence[str], cut: Optional[Sequence[str]] = None
) -> cnnviz.Model:
    """Two convolutions, of which the second makes six maps "last", and a tail."""
    rng = np.random.default_rng(3)
    constants: Dict[str, Any] = {
        "w1": rng.normal(0, 0.4, (8, 3, 3, 3)),
        "b1": rng.normal(0, 0.2, 8),
        "w2": rng.normal(0, 0.4, (6, 8, 3, 3)),
        "one": rng.normal(0, 0.7, (6, 1)),
        "four": rng.normal(0, 0.7, (6, 4)),
        "maps": rng.normal(0, 0.7, (4, 6, 1, 1)),
        "rows": np.array([0, 6, -1]),
        "most": np.array([2]),
    }
    body: List[Node] = [
        ("Conv", ["x", "w1", "b1"], "first", {"pads": [1, 1, 1, 1]}),
        ("Relu", ["first"], "relu", {}),
        ("Conv", ["relu", "w2"], "second", {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("Relu", ["second"], "last", {}),
    ]
    nodes = [helper.make_node(op, read, made.split(), **more) for op, read, made, more in [*body, *tail]]
    file = onnx.load_from_string(
        onnx_bytes(nodes, constants, input_shape=["N", 3, 12, 12], output=outputs[0])
    )
    for name in outputs[1:]:
        file.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return cnnviz.load(file, preprocessing="unit", outputs=cut)


class Case(NamedTuple):
    """A network, a target, and what its score is: `weights` of the numbers in a layer, by hand.

    `made` is the target of pictures to be made, None where a sentence says that there are none: `refused`.
    """

    model: cnnviz.Model
    target: Any
    layer: str
    weights: Callable[[Any], Any]
    made: Any = None
    refused: str = "does not classify"


def one(*index: int, sign: float = 1.0) -> Callable[[Any], Any]:
    def weights(array: Any) -> Any:
        found = np.zeros_like(array)
        found[(0, *index)] = sign
        return found

    return weights


def won(cls: int, axis: int) -> Callable[[Any], Any]:
    def weights(array: Any) -> Any:
        wins = array.argmax(axis=axis) == cls
        assert wins.any()
        found = np.zeros_like(array)
        np.moveaxis(found, axis, 1)[:, cls] = wins / wins.sum()
        return found

    return weights


CLASSES: List[Node] = [*FLAT, ("MatMul", ["flat", "four"], "scores", {})]
SINGLE: List[Node] = [*FLAT, ("MatMul", ["flat", "one"], "score", {})]
PIXELS: List[Node] = [("Conv", ["last", "maps"], "parts", {})]
CASES: Dict[str, Case] = {
    "classifier": Case(
        network([*CLASSES, ("Softmax", ["scores"], "y", {"axis": 1})], outputs=["y"]),
        2,
        "scores",
        one(2),
        made=2,
    ),
    "labels": Case(
        network([*CLASSES, ("Sigmoid", ["scores"], "y", {})], outputs=["y"]), 1, "scores", one(1), made=1
    ),
    "binary": Case(
        network([*SINGLE, ("Sigmoid", ["score"], "y", {})], outputs=["y"]),
        "negative",
        "score",
        one(0, sign=-1.0),
        made="negative",
    ),
    "one number": Case(
        network(SINGLE, outputs=["score"]), 0, "score", one(0), refused="a value; take an objective"
    ),
    "four numbers": Case(
        network(CLASSES, outputs=["scores"]), objectives.Score("scores", 3), "scores", one(3), made=3
    ),
    "segmenter": Case(
        network([*PIXELS, ("Softmax", ["parts"], "y", {"axis": 1})], outputs=["y"]),
        1,
        "parts",
        won(1, 1),
        made=1,
    ),
    "segmenter, channels last": Case(
        network(
            [
                *PIXELS,
                ("Transpose", ["parts"], "turned", {"perm": [0, 2, 3, 1]}),
                ("Softmax", ["turned"], "y", {"axis": 3}),
            ],
            outputs=["y"],
        ),
        1,
        "turned",
        won(1, 3),
        made=1,
    ),
    "detector without its tail": Case(
        network(
            [
                ("Reshape", ["last", "rows"], "boxes", {}),
                ("TopK", ["boxes", "most"], "best places", {}),
            ],
            outputs=["best"],
            cut=["boxes"],
        ),
        objectives.Score("boxes", (4, 14)),
        "boxes",
        one(4, 14),
    ),
    "text": Case(
        network(
            [
                ("ReduceMean", ["last"], "columns", {"axes": [2], "keepdims": 0}),
                ("Transpose", ["columns"], "steps", {"perm": [2, 0, 1]}),
                ("MatMul", ["steps", "four"], "text", {}),
            ],
            outputs=["text"],
        ),
        objectives.Score("text", (2, 3)),
        "text",
        one(2, 3),
    ),
    "another head": Case(
        network(
            [*CLASSES, *PIXELS, ("MatMul", ["flat", "one"], "age", {})], outputs=["age", "parts", "scores"]
        ),
        {"scores": 2},
        "scores",
        one(2),
        made={"scores": 2},
    ),
    "a segmenter's head": Case(
        network([*CLASSES, *PIXELS], outputs=["scores", "parts"]),
        {"parts": 1},
        "parts",
        won(1, 1),
        made={"parts": 1},
    ),
}


def cotangents(case: Case) -> Tuple[Dict[str, Any], float]:
    """The gradient of the score by hand, and the score."""
    read = case.model.activations(PICTURE, case.layer)[case.layer]
    array = np.moveaxis(read, case.model.batch_axis(case.layer) or 0, 0)
    weights = case.weights(array)
    return {case.layer: weights}, float((weights * array).sum())


@pytest.mark.parametrize("relu", ["plain", "guided"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_score(name: str, relu: str) -> None:
    case = CASES[name]
    cotangent, score = cotangents(case)
    explain = cnnviz.saliency if relu == "plain" else cnnviz.guided_backprop
    found = explain(case.model, PICTURE, case.target)
    x = case.model.preprocess(PICTURE)
    expected = case.model.gradient(x, cotangent, relu=relu).gradients["input"][0]
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-7)
    assert found.score == pytest.approx(score, rel=1e-5)
    assert found.values.any()


@pytest.mark.parametrize("name", CASES)
def test_noise_is_averaged_over_the_same_score(name: str) -> None:
    case = CASES[name]
    cotangent, score = cotangents(case)
    found = cnnviz.saliency(case.model, PICTURE, case.target, smooth=4)
    expected = cnnviz.saliency(case.model, PICTURE, cotangent, smooth=4)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=1e-7)
    assert found.score == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_grad_cam_weighs_the_maps_of_the_score(name: str) -> None:
    case = CASES[name]
    cotangent, score = cotangents(case)
    found = cnnviz.grad_cam(case.model, PICTURE, case.target, "last")
    at = case.model.gradient(case.model.preprocess(PICTURE), cotangent, wrt="last")
    weights = at.gradients["last"].mean(axis=(2, 3))[0]
    np.testing.assert_allclose(
        found.values, np.tensordot(weights, at.activations["last"][0], 1), rtol=1e-3, atol=1e-6
    )
    assert found.score == pytest.approx(score, rel=1e-5)
    both = cnnviz.guided_grad_cam(case.model, PICTURE, case.target, "last")
    guided = cnnviz.guided_backprop(case.model, PICTURE, case.target)
    np.testing.assert_allclose(both.values, guided.values * found.map, rtol=1e-5, atol=1e-8)
    assert cnnviz.grad_cam(case.model, PICTURE, case.target).map.shape == (12, 12)


@pytest.mark.parametrize("name", CASES)
def test_pictures_are_made_or_a_sentence_says_why_not(name: str) -> None:
    case = CASES[name]
    if case.made is None:
        for call in (
            lambda: cnnviz.fooling_image(case.model, PICTURE, 0, progress=False),
            lambda: cnnviz.class_visualization(case.model, 0, progress=False),
        ):
            with pytest.raises(ValueError, match=case.refused):
                call()
        goal = objectives.Score(
            case.layer, tuple(np.argwhere(cotangents(case)[0][case.layer][0])[0].tolist())
        )
        made = cnnviz.class_visualization(case.model, goal, steps=15, preset="simonyan", progress=False)
        assert made.history["value"][-1] > made.history["value"][0]
        return
    model, wanted = case.model.asked(case.made)
    index = model.class_index(wanted)
    made = cnnviz.class_visualization(case.model, case.made, steps=15, preset="simonyan", progress=False)
    assert made.history["value"][-1] > made.history["value"][0]
    rows = model.head.answer.rows(model.scores(model.preprocess(PICTURE)))
    other = int(np.argsort(rows[0])[-2])
    target: Any = {model.asked_output: other} if isinstance(case.made, dict) else other
    fooled = cnnviz.fooling_image(case.model, PICTURE, target, steps=400, progress=False)
    after = model.head.answer.rows(model.scores(model.preprocess(fooled.image)))
    assert fooled.report["fools"]
    assert int(after[0].argmax()) == other == fooled.report["predicted"]
    assert made.report["label"] == model.labels[index]


@pytest.mark.parametrize("name", CASES)
def test_results_are_drawn_kept_and_made_again(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = cnnviz.saliency(case.model, PICTURE, case.target)
    ax = found.plot(ax=plt.figure().add_subplot(), colorbar=False)
    assert found.label in ax.get_title().replace("\n", " ")
    plt.close("all")
    found.save(tmp_path / "a.npz")
    kept = cnnviz.load_result(tmp_path / "a.npz")
    np.testing.assert_array_equal(kept.values, found.values)
    found.save(tmp_path / "a.png", colorbar=False)
    assert min(PIL.Image.open(tmp_path / "a.png").size) > 100
    if isinstance(case.target, objectives.Objective):
        with pytest.raises(ValueError, match="settings"):
            cnnviz.replay(tmp_path / "a.png", case.model)
    else:
        again = cnnviz.replay(tmp_path / "a.png", case.model)
        np.testing.assert_array_equal(again.values, found.values)
        assert (again.label, again.score) == (found.label, found.score)
