"""Time steps of text recognisers: outputs T,N,K and N,T,K, asked about one character at one step."""

from __future__ import annotations

from typing import Any, Callable, Dict

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz import objectives

RNG = np.random.default_rng(8)
STEPS, CHARACTERS = 6, 5
PICTURES = [RNG.integers(0, 256, (8, 12, 3), dtype=np.uint8) for _ in range(6)]


def recogniser(order: str, end: str = "LogSoftmax") -> cnnviz.Model:
    """A convolution whose columns are time steps, the pictures first ("NTK") or second ("TNK")."""
    rng = np.random.default_rng(4)
    constants = {
        "w": rng.normal(0, 0.4, (6, 3, 3, 3)),
        "b": rng.normal(0, 0.2, 6),
        "v": rng.normal(0, 0.6, (6, CHARACTERS)),
        "axes": np.array([2]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["conv"], pads=[1, 1, 1, 1], strides=[1, 2]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("ReduceMean", ["relu"], ["columns"], axes=[2], keepdims=0),
        helper.make_node(
            "Transpose", ["columns"], ["steps"], perm=[2, 0, 1] if order == "TNK" else [0, 2, 1]
        ),
        helper.make_node("MatMul", ["steps", "v"], ["scores"]),
        helper.make_node(end, ["scores"], ["text"], **({"axis": 2} if "oft" in end else {})),
    ]
    data = onnx_bytes(nodes, constants, input_shape=["N", 3, 8, 12], output="text")
    return cnnviz.load(data, preprocessing="unit")


MODELS: Dict[str, cnnviz.Model] = {order: recogniser(order) for order in ("TNK", "NTK")}
TECHNIQUES: Dict[str, Callable[..., Any]] = {
    "saliency": cnnviz.saliency,
    "smooth": lambda *asked: cnnviz.saliency(*asked, smooth=3),
    "guided_backprop": cnnviz.guided_backprop,
    "grad_cam": lambda *asked: cnnviz.grad_cam(*asked, "relu"),
    "guided_grad_cam": lambda *asked: cnnviz.guided_grad_cam(*asked, "relu"),
}


def scores_by_hand(model: cnnviz.Model, order: str, picture: Any) -> np.ndarray:
    """Scores T,K of one picture."""
    scores = model.activations(picture, "scores")["scores"]
    return scores[:, 0] if order == "TNK" else scores[0]


@pytest.mark.parametrize("order", MODELS)
def test_one_character_is_one_number(order: str) -> None:
    model = MODELS[order]
    assert model.batch_axis("scores") == (1 if order == "TNK" else 0)
    for t, k in ((0, 1), (5, 4)):
        found = cnnviz.saliency(model, PICTURES[0], objectives.Score("scores", (t, k)))
        assert found.score == scores_by_hand(model, order, PICTURES[0])[t, k]
        # A step sees three columns around its own, which is every second one.
        seen = np.nonzero(found.map.any(axis=0))[0]
        assert 2 * t - 1 <= seen.min() <= seen.max() <= 2 * t + 1
    shares = model.activations(PICTURES[0], "text")["text"]
    share = cnnviz.saliency(model, PICTURES[0], objectives.Score("text", (2, 3))).score
    assert share == (shares[2, 0, 3] if order == "TNK" else shares[0, 2, 3])


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_both_orders_have_the_same_answers(technique: str) -> None:
    asked = objectives.Score("logits", (3, 2)) - 0.5 * objectives.Score("logits", (3, 1))
    for picture in PICTURES[:2]:
        one, other = (TECHNIQUES[technique](model, picture, asked) for model in MODELS.values())
        np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-8)
        assert one.score == pytest.approx(other.score, rel=1e-6)
        assert one.values.any()


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("order", MODELS)
def test_a_batch_is_its_pictures(order: str, technique: str) -> None:
    model, explain = MODELS[order], TECHNIQUES[technique]
    asked = objectives.Score("scores", (2, 1))
    for picture, found in zip(PICTURES, explain(model, PICTURES, asked)):
        alone = explain(model, picture, asked)
        np.testing.assert_array_equal(found.values, alone.values)
        assert found.score == alone.score
    x = model.preprocess(PICTURES)
    axis = model.batch_axis("text") or 0
    parts = [model.forward(x[i : i + 1]) for i in range(len(x))]
    np.testing.assert_array_equal(model.forward(x), np.concatenate(parts, axis))
    assert model.forward(x).shape[axis] == len(x)


def test_gradients_and_cotangents_have_the_batch_first() -> None:
    model = MODELS["TNK"]
    x = model.preprocess(PICTURES)
    cotangent = RNG.normal(size=(len(x), STEPS, CHARACTERS)).astype(np.float32)
    found = model.gradient(x, {"scores": cotangent}, wrt=["input", "steps"])
    scores = np.moveaxis(model.forward(x, ["scores"])["scores"], 1, 0)
    np.testing.assert_array_equal(found.activations["scores"], scores)
    np.testing.assert_allclose(found.value, (scores * cotangent).sum(axis=(1, 2)), rtol=1e-5)
    weights = model.graph.constants["v"]
    np.testing.assert_allclose(found.gradients["steps"], cotangent @ weights.T, rtol=1e-4, atol=1e-5)
    other = MODELS["NTK"].gradient(x, {"scores": cotangent})
    np.testing.assert_allclose(found.gradients["input"], other.gradients["input"], rtol=1e-4, atol=1e-6)
    step = 1e-2 * RNG.normal(size=x.shape).astype(np.float32)
    for i in range(len(x)):
        goal = {"scores": cotangent[i : i + 1]}
        ahead, behind = (model.value(x[i : i + 1] + sign * step[i], goal)[0] for sign in (1, -1))
        slope = float((found.gradients["input"][i] * step[i]).sum())
        assert (ahead - behind) / 2 == pytest.approx(slope, rel=0.1, abs=0.01)


@pytest.mark.parametrize("order", MODELS)
def test_the_error_says_how_to_ask(order: str) -> None:
    says = r"'scores', .* has the scores.*Score\('scores', \(i, j\)\) with i from 0 to 5, j from 0 to 4"
    for call in (
        lambda: MODELS[order].predict(PICTURES[0]),
        lambda: cnnviz.grad_cam(MODELS[order], PICTURES[0]),
        lambda: cnnviz.fooling_image(MODELS[order], PICTURES[0], 3),
    ):
        with pytest.raises(ValueError, match=says):
            call()
    with pytest.raises(ValueError, match=r"give 2 integers"):
        cnnviz.saliency(MODELS[order], PICTURES[0], objectives.Score("scores", (0, 0, 3)))


def test_a_picture_of_a_character_is_made() -> None:
    asked = objectives.Score("logits", (3, 2))
    made = cnnviz.class_visualization(MODELS["TNK"], asked, steps=20, preset="simonyan", progress=False)
    assert made.history["value"][-1] > made.history["value"][0]
    assert made.report["label"] == "Score(logits, (3, 2))"


def test_the_example_of_the_docstring_finds_the_third_character() -> None:
    model = MODELS["TNK"]
    scores = model.activations(PICTURES[0], "text")["text"][:, 0]
    best = scores.argmax(axis=1)
    reads = [t for t, k in enumerate(best) if k and (t == 0 or k != best[t - 1])]
    third = reads[min(2, len(reads) - 1)]
    found = cnnviz.grad_cam(model, PICTURES[0], objectives.Score("text", (third, int(best[third]))))
    assert found.layer == "columns"  # the last layer with places: one row of them
    assert found.score == scores[third].max()
