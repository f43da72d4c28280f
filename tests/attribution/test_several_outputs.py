"""Networks with several outputs: each has its own classes and labels, and any of them can be asked."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import onnx
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz import objectives
from cnnviz.attribution.sanity import sanity_check

RNG = np.random.default_rng(6)
PICTURES = [RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8) for _ in range(3)]
SPECIES, COLOURS = ["robin", "wren", "jay"], ["red", "brown", "blue", "green"]
LABELS = {"species": SPECIES, "colour": COLOURS, "young": ["young"], "parts": ["none", "head", "wing"]}


def birds(**options: Any) -> cnnviz.Model:
    """Classes, labels behind a softmax, a yes or no, an age, a map of parts, and boxes."""
    rng = np.random.default_rng(1)
    constants = {
        "w": rng.normal(0, 0.4, (8, 3, 3, 3)),
        "b": rng.normal(0, 0.2, 8),
        "w2": rng.normal(0, 0.3, (8, 8, 3, 3)),
        **{name: rng.normal(0, 0.7, (n, 8)) for name, n in (("ws", 3), ("wc", 4), ("wy", 1), ("wa", 1))},
        "wp": rng.normal(0, 0.7, (3, 8, 1, 1)),
        "rows": np.array([0, 8, -1]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Conv", ["relu", "w2"], ["deep"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["deep"], ["last"]),
        helper.make_node("GlobalAveragePool", ["last"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "ws"], ["species"], transB=1),
        helper.make_node("Gemm", ["flat", "wc"], ["colour_scores"], transB=1),
        helper.make_node("Softmax", ["colour_scores"], ["colour"], axis=1),
        helper.make_node("Gemm", ["flat", "wy"], ["young_score"], transB=1),
        helper.make_node("Sigmoid", ["young_score"], ["young"]),
        helper.make_node("Gemm", ["flat", "wa"], ["age"], transB=1),
        helper.make_node("Conv", ["relu", "wp"], ["parts"]),
        helper.make_node("Reshape", ["relu", "rows"], ["boxes"]),
    ]
    data = onnx_bytes(nodes, constants, input_shape=["N", 3, 12, 12], output="species")
    file = onnx.load_from_string(data)
    for name in ("colour", "young", "age", "parts", "boxes"):
        file.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return cnnviz.load(file, preprocessing="unit", **{"labels": LABELS, **options})


MODEL = birds()
SCORES = {"species": "species", "colour": "colour_scores", "young": "young_score"}
TECHNIQUES: Dict[str, Callable[..., Any]] = {
    "saliency": cnnviz.saliency,
    "smooth": lambda *asked: cnnviz.saliency(*asked, smooth=3),
    "guided_backprop": cnnviz.guided_backprop,
    "grad_cam": cnnviz.grad_cam,
    "guided_grad_cam": cnnviz.guided_grad_cam,
}


def test_each_output_has_its_own_answer() -> None:
    assert MODEL.outputs == ("species", "colour", "young", "age", "parts", "boxes")
    kinds = [MODEL.output(name).answer for name in MODEL.outputs]
    assert kinds == ["classes", "classes", "binary", "value", "map", "dense"]
    assert [list(MODEL.output(name).labels) for name in ("species", "young", "age", "parts", "boxes")] == [
        SPECIES,
        ["not young", "young"],
        ["value"],
        ["none", "head", "wing"],
        [],
    ]
    plain = birds(labels=SPECIES)
    assert list(plain.labels) == SPECIES
    assert list(plain.output("colour").labels) == [f"class {i}" for i in range(4)]


def test_predictions_are_those_of_the_output() -> None:
    shares = MODEL.forward(MODEL.preprocess(PICTURES), ["colour"])["colour"]
    for picture, row in zip(PICTURES, shares):
        best = MODEL.predict(picture, output="colour")
        assert [one.label for one in best] == [COLOURS[i] for i in np.argsort(-row)]
        assert [one.probability for one in best] == pytest.approx(sorted(row, reverse=True), rel=1e-5)
        assert MODEL.output("colour").predict(picture) == best
        assert {one.label for one in MODEL.predict(picture)} == set(SPECIES)
    both = MODEL.predict(PICTURES, 1, output="young")
    score = MODEL.forward(MODEL.preprocess(PICTURES), ["young_score"])["young_score"][:, 0]
    assert [one[0].label for one in both] == ["young" if s > 0 else "not young" for s in score]
    assert MODEL.output("colour").output("species").predict(PICTURES[0]) == MODEL.predict(PICTURES[0])
    np.testing.assert_array_equal(MODEL.output("colour").forward(MODEL.preprocess(PICTURES)), shares)


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize(("output", "label"), [("colour", "blue"), ("young", "young"), ("species", "jay")])
def test_a_class_of_an_output_is_its_score(output: str, label: str, technique: str) -> None:
    explain = TECHNIQUES[technique]
    layer = SCORES[output]
    index = MODEL.output(output).class_index(label)
    column = 0 if output == "young" else index
    layers = ("last",) if "cam" in technique else ()
    expected = explain(MODEL, PICTURES[0], objectives.Score(layer, column), *layers)
    found = explain(MODEL, PICTURES[0], {output: label})
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.score == expected.score
    assert (found.target, found.label) == (index, label)
    assert found.output == (None if output == "species" else output)
    batch = explain(MODEL, PICTURES, {output: label})
    np.testing.assert_array_equal(batch[0].values, found.values)
    each = explain(MODEL, PICTURES[0], [{output: label}, {output: 0}])
    np.testing.assert_array_equal(each[0].values, found.values)


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_none_is_the_class_that_the_output_predicts(technique: str) -> None:
    for picture in PICTURES:
        best = MODEL.predict(picture, output="colour")[0]
        found = TECHNIQUES[technique](MODEL, picture, {"colour": None})
        assert (found.label, found.output) == (best.label, "colour")
        assert found.score == pytest.approx(best.score, rel=1e-6)


def test_a_map_among_the_outputs_is_asked_about_where_a_class_wins() -> None:
    scores = MODEL.activations(PICTURES[0], "parts")["parts"]
    region = objectives.Region("parts", 2, scores[0].argmax(axis=0) == 2)
    expected = cnnviz.saliency(MODEL, PICTURES[0], region)
    found = cnnviz.saliency(MODEL, PICTURES[0], {"parts": "wing"})
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-8)
    assert found.score == pytest.approx(expected.score)
    assert cnnviz.grad_cam(MODEL, PICTURES[0], {"parts": "wing"}).layer == "relu"
    assert cnnviz.grad_cam(MODEL, PICTURES[0], {"colour": 1}).layer == "last"


def test_gradients_take_classes_of_several_outputs_at_once() -> None:
    x = MODEL.preprocess(PICTURES)
    found = MODEL.gradients(x, [{"colour": "red"}, {"young": 1}, "wren", {"age": 0}])
    layers = [("colour_scores", 0), ("young_score", 0), ("species", 1), ("age", 0)]
    for one, (layer, column) in zip(found, layers):
        expected = MODEL.gradient(x, objectives.Score(layer, column))
        np.testing.assert_array_equal(one.gradients["input"], expected.gradients["input"])
        np.testing.assert_array_equal(one.value, expected.value)
    both = objectives.Logit(0, layer="colour_scores") - objectives.Margin(1, layer="species")
    assert MODEL.value(x, both) == pytest.approx(
        found[0].value - MODEL.value(x, objectives.Margin(1)), rel=1e-6
    )


def test_pictures_are_made_for_an_output() -> None:
    best = [one.label for one in MODEL.predict(PICTURES[0], output="colour")]
    made = cnnviz.fooling_image(MODEL, PICTURES[0], {"colour": best[1]}, progress=False)
    assert MODEL.predict(made.image, output="colour")[0].label == best[1]
    assert made.report["original_label"] == best[0]
    drawn = cnnviz.class_visualization(MODEL, {"colour": "blue"}, steps=10, preset="simonyan", progress=False)
    alone = cnnviz.class_visualization(
        MODEL.output("colour"), "blue", steps=10, preset="simonyan", progress=False
    )
    np.testing.assert_array_equal(drawn.image, alone.image)
    assert drawn.report["label"] == "blue"


def test_results_are_kept_and_made_again(tmp_path: Path) -> None:
    found = cnnviz.grad_cam(MODEL, PICTURES[0], {"colour": "green"})
    assert "'green' (3) of 'colour'" in repr(found)
    found.save(tmp_path / "a.png")
    np.testing.assert_array_equal(cnnviz.replay(tmp_path / "a.png", MODEL).values, found.values)
    found.save(tmp_path / "a.npz")
    kept = cnnviz.load_result(tmp_path / "a.npz")
    assert (kept.output, kept.label) == ("colour", "green")
    drawn = cnnviz.class_visualization(MODEL, {"colour": "blue"}, steps=4, progress=False)
    drawn.save(tmp_path / "b.png")
    np.testing.assert_array_equal(cnnviz.replay(tmp_path / "b.png", MODEL).image, drawn.image)
    drawn.save(tmp_path / "b.npz")
    resumed = cnnviz.resume(cnnviz.load_result(tmp_path / "b.npz"), MODEL, 2)
    np.testing.assert_array_equal(resumed.image, drawn.resume(2).image)


def test_results_of_the_first_output_are_made_again_on_another(tmp_path: Path) -> None:
    found = cnnviz.saliency(MODEL, PICTURES[0], 1)
    drawn = cnnviz.class_visualization(MODEL, 1, steps=2, progress=False)
    found.save(tmp_path / "a.png")
    drawn.save(tmp_path / "b.png")
    other = MODEL.output("colour")
    again = cnnviz.replay(tmp_path / "a.png", other)
    assert isinstance(again, cnnviz.Attribution)
    assert (again.label, again.score, again.output) == ("wren", found.score, None)
    np.testing.assert_array_equal(again.values, found.values)
    np.testing.assert_array_equal(cnnviz.replay(tmp_path / "b.png", other).image, drawn.image)
    np.testing.assert_array_equal(cnnviz.resume(drawn, other, 2).image, drawn.resume(2).image)


def test_models_that_ask_an_output_are_pickled_and_checked() -> None:
    asked = MODEL.output("young")
    again = pickle.loads(pickle.dumps(asked))
    assert (again.asked_output, list(again.labels)) == ("young", ["not young", "young"])
    assert again.predict(PICTURES[0]) == asked.predict(PICTURES[0])
    assert again.labels_by_output == MODEL.labels_by_output
    check = sanity_check(MODEL, PICTURES[0], "saliency", target={"colour": "red"})
    whole = sanity_check(MODEL.output("colour"), PICTURES[0], "saliency", target="red")
    np.testing.assert_array_equal(check.similarity, whole.similarity)


REFUSED: Dict[str, Any] = {
    "no such output": (
        lambda: MODEL.output("shape"),
        "output 'shape' is not one of network, they are 'species', 'colour'",
    ),
    "no such target": (
        lambda: MODEL.objective({"shape": 3}),
        "output 'shape' is not one",
    ),
    "no such class": (
        lambda: cnnviz.saliency(MODEL, PICTURES[0], {"colour": "pink"}),
        "'pink' is not the label of a class",
    ),
    "no such labels": (lambda: birds(labels={"shape": ["a"]}), "labels: 'shape' is not an output"),
    "too few labels": (
        lambda: birds(labels={"colour": ["a"]}),
        "labels has 1 names, .* has 4 classes",
    ),
    "two outputs": (
        lambda: cnnviz.saliency(MODEL, PICTURES[0], [{"colour": 1}, {"species": 1}]),
        "target asks about 2 outputs, 'colour', 'species', in one call",
    ),
    "boxes": (
        lambda: cnnviz.saliency(MODEL, PICTURES[0], {"boxes": 3}),
        r"output\('species'\) of the model asks another output; .*Score\('boxes', \(i, j\)\)",
    ),
    "predictions of boxes": (lambda: MODEL.predict(PICTURES[0], output="boxes"), "does not classify"),
    "fooling a value": (lambda: cnnviz.fooling_image(MODEL, PICTURES[0], {"age": 0}), "one value|a value"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_mistakes_are_named(row: str) -> None:
    call, message = REFUSED[row]
    with pytest.raises(ValueError, match=message):
        call()
