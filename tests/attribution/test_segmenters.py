"""Classes of segmenters: scores of classes at each place, with the channels first or last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz import objectives
from cnnviz.results.results import NOWHERE
from cnnviz.testing import assert_gradient_agrees, assert_prediction

RNG = np.random.default_rng(3)
PICTURES = [RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
LABELS = ["background", "road", "sky", "tree"]


def segmenter(
    classes: int = 4,
    *,
    last: bool = False,
    end: Optional[str] = "Softmax",
    enlarged: bool = False,
    dull: Tuple[int, ...] = (),
    **options: Any,
) -> cnnviz.Model:
    """Two convolutions and a 1x1 head; the scores of the classes `dull` are far below the others."""
    rng = np.random.default_rng(2)
    bias = np.zeros(classes)
    bias[list(dull)] = -100
    constants = {
        "w1": rng.normal(0, 0.4, (6, 3, 3, 3)),
        "b1": rng.normal(0, 0.2, 6),
        "w2": rng.normal(0, 0.4, (8, 6, 3, 3)),
        "w3": rng.normal(0, 0.7, (classes, 8, 1, 1)),
        "b3": bias,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["conv1"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["conv1"], ["relu1"]),
        helper.make_node("Conv", ["relu1", "w2"], ["conv2"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv2"], ["relu2"]),
        helper.make_node("Conv", ["relu2", "w3", "b3"], ["head"]),
    ]
    output = "head"
    if enlarged:
        constants["sizes"] = np.array([1.0, 1.0, 2.0, 2.0])
        nodes.append(helper.make_node("Resize", [output, "", "sizes"], ["large"], mode="linear"))
        output = "large"
    if last:
        nodes.append(helper.make_node("Transpose", [output], ["moved"], perm=[0, 2, 3, 1]))
        output = "moved"
    if end is not None:
        axis = {"axis": 3 if last else 1} if end == "Softmax" else {}
        nodes.append(helper.make_node(end, [output], ["y"], **axis))
        output = "y"
    data = onnx_bytes(nodes, constants, input_shape=["N", 3, 16, 16], output=output)
    return cnnviz.load(data, preprocessing="unit", **options)


NETWORKS: Dict[str, cnnviz.Model] = {
    "channels first": segmenter(labels=LABELS),
    "channels last": segmenter(last=True, labels=LABELS),
    "enlarged, no softmax": segmenter(end=None, enlarged=True),
    "several classes a place": segmenter(end="Sigmoid"),
    "one map and a sigmoid": segmenter(1, end="Sigmoid"),
}


def won_by_hand(model: cnnviz.Model, picture: Any, cls: int) -> np.ndarray:
    """The places that a class wins, from the probabilities of the file's output."""
    shares = model.forward(model.preprocess(picture))[0]
    if model.head.answer.axis == 3:
        shares = np.moveaxis(shares, -1, 0)
    if len(shares) == 1:
        return np.asarray((shares[0] > 0.5) == bool(cls))
    if model.graph.nodes[-1].op == "Sigmoid":
        return np.asarray(shares[cls] > 0.5)
    return np.asarray(shares.argmax(axis=0) == cls)


def cotangent_by_hand(model: cnnviz.Model, picture: Any, cls: int) -> Tuple[np.ndarray, bool]:
    won = won_by_hand(model, picture, cls)
    places = won if won.any() else np.ones_like(won)
    cotangent = np.zeros((model.classes, *places.shape), np.float32)
    cotangent[cls] = places / places.sum()
    return (np.moveaxis(cotangent, 0, -1) if model.head.answer.axis == 3 else cotangent)[None], won.any()


TECHNIQUES: Dict[str, Callable[..., Any]] = {
    "saliency": cnnviz.saliency,
    "guided_backprop": cnnviz.guided_backprop,
    "grad_cam": cnnviz.grad_cam,
    "guided_grad_cam": cnnviz.guided_grad_cam,
}


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_class_is_asked_about_where_it_wins(network: str, technique: str) -> None:
    model, explain = NETWORKS[network], TECHNIQUES[technique]
    for cls in range(model.classes):
        cotangent, wins = cotangent_by_hand(model, PICTURES[0], cls)
        expected = explain(model, PICTURES[0], {"logits": cotangent})
        found = explain(model, PICTURES[0], model.labels[cls])
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-7)
        assert found.score == pytest.approx(expected.score, rel=1e-6)
        assert (found.target, found.label) == (cls, model.labels[cls])
        assert (NOWHERE in found.flags) is not wins


@pytest.mark.parametrize("technique", [*TECHNIQUES, "smooth"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("target", [None, 1])
def test_a_batch_is_its_pictures(target: Optional[int], network: str, technique: str) -> None:
    model = NETWORKS[network]

    def explain(*asked: Any) -> Any:
        if technique == "smooth":
            return cnnviz.saliency(*asked, smooth=3)
        return TECHNIQUES[technique](*asked)

    alone = [explain(model, picture, target) for picture in PICTURES]
    for one, found in zip(alone, explain(model, PICTURES, target)):
        np.testing.assert_array_equal(found.values, one.values)
        assert (found.score, found.label, found.flags) == (one.score, one.label, one.flags)
    classes = [one.target for one in alone]
    for one, found in zip(alone, explain(model, PICTURES, classes)):
        np.testing.assert_array_equal(found.values, one.values)
    for cls, found in enumerate(explain(model, PICTURES[0], list(range(model.classes)))):
        np.testing.assert_array_equal(found.values, explain(model, PICTURES[0], cls).values)


@pytest.mark.parametrize("network", NETWORKS)
def test_none_is_the_class_of_most_places(network: str) -> None:
    model = NETWORKS[network]
    background = 0 if "background" in model.labels or "negative" in model.labels else None
    seen = set()
    for picture in PICTURES:
        won = [int(won_by_hand(model, picture, cls).sum()) for cls in range(model.classes)]
        if background is not None and sum(won) > won[background]:
            won[background] = -1
        found = cnnviz.saliency(model, picture).target
        assert found == int(np.argmax(won))
        assert model.predicted(model.preprocess(picture)) == [found]
        seen.add(found)
    assert background not in seen


def test_the_background_is_explained_where_nothing_else_wins() -> None:
    model = segmenter(dull=(1, 2, 3), labels=LABELS)
    found = cnnviz.grad_cam(model, PICTURES[0])
    assert (found.label, found.flags) == ("background", ())
    plain = segmenter(dull=(2, 3))
    shares = [won_by_hand(plain, PICTURES[0], cls).mean() for cls in range(2)]
    assert cnnviz.saliency(plain, PICTURES[0]).target == int(np.argmax(shares))


def test_a_class_that_wins_nowhere_is_asked_about_everywhere() -> None:
    model = segmenter(dull=(2,), labels=LABELS)
    found = cnnviz.saliency(model, PICTURES, "sky")
    whole = cnnviz.saliency(model, PICTURES, objectives.Channel("logits", 2))
    for one, other in zip(found, whole):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-8)
        assert one.score == pytest.approx(other.score)
        assert one.flags == (NOWHERE,)


def test_noise_does_not_move_the_region() -> None:
    model = NETWORKS["channels first"]
    region = objectives.Region("logits", 2, won_by_hand(model, PICTURES[0], 2))
    found = cnnviz.saliency(model, PICTURES[0], 2, smooth=5, noise=0.5)
    expected = cnnviz.saliency(model, PICTURES[0], region, smooth=5, noise=0.5)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-8)


def test_a_number_at_each_place_is_asked_about_everywhere() -> None:
    model = segmenter(1, end=None, labels=["depth"])
    assert (model.answer, model.classes, list(model.labels)) == ("values", 0, ["depth"])
    expected = cnnviz.saliency(model, PICTURES[0], objectives.Channel("logits", 0))
    for target in (None, 0, "depth"):
        found = cnnviz.saliency(model, PICTURES[0], target)
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-8)
        assert (found.target, found.label, found.flags) == (0, "depth", ())
    with pytest.raises(ValueError, match="one value at each place; take for the target 0"):
        cnnviz.fooling_image(model, PICTURES[0], 0)


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_slopes(network: str) -> None:
    model = NETWORKS[network]
    for cls in range(model.classes):
        assert_gradient_agrees(model, PICTURES[0], cls)
        found = model.gradient(model.preprocess(PICTURES), cls)
        alone = [cnnviz.saliency(model, picture, cls) for picture in PICTURES]
        np.testing.assert_array_equal(found.gradients["input"], np.stack([one.values for one in alone]))


LAYERS: List[Tuple[cnnviz.Model, str]] = [
    (NETWORKS["channels first"], "relu2"),
    (NETWORKS["channels last"], "relu2"),
    (NETWORKS["enlarged, no softmax"], "relu2"),
    (NETWORKS["one map and a sigmoid"], "relu2"),
]


@pytest.mark.parametrize(("model", "layer"), LAYERS, ids=list(map(str, range(len(LAYERS)))))
def test_grad_cam_takes_the_layer_before_the_maps_of_scores(model: cnnviz.Model, layer: str) -> None:
    assert cnnviz.grad_cam(model, PICTURES[0], 1).layer == layer


@pytest.mark.parametrize("network", NETWORKS)
def test_a_segmenter_is_fooled(network: str) -> None:
    model = NETWORKS[network]
    picture = PICTURES[0]
    shares = [won_by_hand(model, picture, cls).mean() for cls in range(model.classes)]
    target, original = int(np.argmin(shares)), int(np.argmax(shares))
    made = cnnviz.fooling_image(model, picture, target, progress=False)
    after = [won_by_hand(model, made.image, cls).mean() for cls in range(model.classes)]
    assert int(np.argmax(after)) == target
    assert made.report["fools"]
    assert made.report["target_confidence"] == pytest.approx(after[target])
    assert (made.report["original"], made.report["predicted"]) == (original, target)
    assert_prediction(model, made.image, target)
    left = cnnviz.fooling_image(model, picture, progress=False)
    assert left.report["predicted"] != original
    assert left.report["original_label"] == model.labels[original]


def test_all_places_can_be_asked_of_a_fooling_picture() -> None:
    model = NETWORKS["channels first"]
    made = cnnviz.fooling_image(model, PICTURES[0], "sky", confidence=0.7, progress=False)
    assert won_by_hand(model, made.image, 2).mean() >= 0.7
    with pytest.raises(ValueError, match="climbs the softmax probability, and network classifies places"):
        cnnviz.fooling_image(model, PICTURES[0], "sky", preset="nguyen")


@pytest.mark.parametrize("network", NETWORKS)
def test_a_class_is_pictured_at_all_places(network: str) -> None:
    model = NETWORKS[network]
    made = cnnviz.class_visualization(model, [0, 1], steps=40, preset="cs231n", progress=False)
    for cls in (0, 1):
        share = won_by_hand(model, made.image[cls], cls).mean()
        assert made.report["probability"][cls] == pytest.approx(share, abs=0.02)
        assert made.history["value"][-1, cls] > made.history["value"][0, cls]
    assert made.report["label"] == [model.labels[0], model.labels[1]]


def test_predict_says_what_to_ask() -> None:
    with pytest.raises(
        ValueError, match=r"4 classes at each place; take for the target a class, 0 to 3, or .*Region"
    ):
        NETWORKS["channels first"].predict(PICTURES[0])


def test_results_are_kept_and_made_again(tmp_path: Path) -> None:
    model = NETWORKS["channels last"]
    dull = segmenter(dull=(2,), labels=LABELS)
    for network, target in ((model, "road"), (dull, "sky")):
        found = cnnviz.grad_cam(network, PICTURES[0], target)
        found.save(tmp_path / "a.npz")
        kept = cnnviz.load_result(tmp_path / "a.npz")
        np.testing.assert_array_equal(kept.map, found.map)
        assert (kept.label, kept.score, kept.flags) == (target, found.score, found.flags)
        found.save(tmp_path / "a.png")
        again = cnnviz.replay(tmp_path / "a.png", network)
        np.testing.assert_array_equal(again.values, found.values)
        assert again.flags == found.flags
        assert f"{target}, score" in found.plot().get_title().replace("\n", " ")


@pytest.mark.parametrize(
    ("name", "advice"), [("channels first", "mask)"), ("channels last", "mask, axis=3)")]
)
def test_the_advice_for_a_part_of_the_map_has_the_answers_axis(name: str, advice: str) -> None:
    model = NETWORKS[name]
    with pytest.raises(ValueError, match=re.escape(f"Region({model.logits_name!r}, class, {advice}")):
        model.predict(PICTURES[0])
