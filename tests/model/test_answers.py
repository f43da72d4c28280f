"""Answers: classes where the output is one row of scores a picture, a value where it is one number."""

from __future__ import annotations

import pickle
from types import MappingProxyType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import onnx
import pytest
from onnx import helper
from toy_networks import onnx_bytes, small_classifier

import cnnviz
from cnnviz import objectives
from cnnviz.attribution.question import ask

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
OTHER = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)


class Tail(NamedTuple):
    """A network: a convolution, a global pool where `pool`, and further nodes from "f" to "y"."""

    channels: int
    nodes: Sequence[Tuple[str, Sequence[str], str, Dict[str, Any]]]
    constants: Mapping[str, Any] = MappingProxyType({})
    pool: bool = True
    opset: int = 13


def loaded(tail: Tail, **options: Any) -> cnnviz.Model:
    rng = np.random.default_rng(1)
    weights = {"w": rng.normal(0, 0.5, (tail.channels, 3, 3, 3)), "b": rng.normal(0, 0.5, tail.channels)}
    conv = helper.make_node("Conv", ["x", "w", "b"], ["conv" if tail.pool else "f"], pads=[1, 1, 1, 1])
    nodes = [conv, *([helper.make_node("GlobalAveragePool", ["conv"], ["f"])] if tail.pool else [])]
    nodes += [helper.make_node(op, inputs, [output], **more) for op, inputs, output, more in tail.nodes]
    constants = {**weights, **{name: np.asarray(value) for name, value in tail.constants.items()}}
    output = tail.nodes[-1][2] if tail.nodes else "f"
    data = onnx_bytes(nodes, constants, input_shape=[1, 3, 8, 8], output=output, opset=tail.opset)
    return cnnviz.load(data, preprocessing="unit", **options)


FLAT = ("Flatten", ["f"], "flat", {})
ROWS: Dict[str, Tuple[Tail, str, int]] = {
    "scores": (Tail(5, [FLAT]), "classes", 5),
    "maps of one place": (Tail(5, []), "classes", 5),
    "softmax": (Tail(5, [FLAT, ("Softmax", ["flat"], "y", {"axis": 1})]), "classes", 5),
    "channels last, one place": (Tail(5, [("Transpose", ["f"], "y", {"perm": [0, 2, 3, 1]})]), "classes", 5),
    "batch of one squeezed away": (Tail(5, [("Squeeze", ["f"], "y", {})]), "classes", 5),
    "softmax along N,K,1": (
        Tail(5, [("Reshape", ["f", "s"], "r", {}), ("Softmax", ["r"], "y", {"axis": 1})], {"s": [1, 5, 1]}),
        "classes",
        5,
    ),
    "labels": (Tail(5, [FLAT, ("Sigmoid", ["flat"], "y", {})]), "labels", 5),
    "one score and a sigmoid": (Tail(1, [FLAT, ("Sigmoid", ["flat"], "y", {})]), "binary", 2),
    "one map and a sigmoid": (Tail(1, [("Sigmoid", ["f"], "y", {})]), "binary", 2),
    "one score without its axis": (
        Tail(1, [("Reshape", ["f", "s"], "r", {}), ("Sigmoid", ["r"], "y", {})], {"s": [-1]}),
        "binary",
        2,
    ),
    "one number": (Tail(1, [FLAT]), "value", 0),
    "one number without its axis": (Tail(1, [("Reshape", ["f", "s"], "y", {})], {"s": [-1]}), "value", 0),
    "one number behind a softmax": (Tail(1, [FLAT, ("Softmax", ["flat"], "y", {"axis": 1})]), "value", 0),
    "maps of scores": (Tail(4, [], pool=False), "map", 4),
    "maps of scores, channels last": (
        Tail(4, [("Transpose", ["f"], "y", {"perm": [0, 2, 3, 1]})], pool=False),
        "map",
        4,
    ),
    "places of several classes": (Tail(4, [("Sigmoid", ["f"], "y", {})], pool=False), "map", 4),
    "pixels behind a sigmoid": (Tail(1, [("Sigmoid", ["f"], "y", {})], pool=False), "map", 2),
    "pixels behind a sigmoid, channels last": (
        Tail(1, [("Transpose", ["f"], "t", {"perm": [0, 2, 3, 1]}), ("Sigmoid", ["t"], "y", {})], pool=False),
        "map",
        2,
    ),
    "a number at each place": (Tail(1, [], pool=False), "values", 0),
    "maps that are not the picture's": (
        Tail(4, [("Reshape", ["f", "s"], "y", {})], {"s": [1, 4, 16, 4]}, False),
        "dense",
        0,
    ),
    "anchors with one score each": (
        Tail(1, [("Reshape", ["f", "s"], "r", {}), ("Sigmoid", ["r"], "y", {})], {"s": [1, 64, 1]}, False),
        "dense",
        0,
    ),
    "every place in one long row": (
        Tail(2, [("Reshape", ["f", "s"], "y", {})], {"s": [-1]}, False),
        "dense",
        0,
    ),
    "points of a face": (Tail(10, [("Reshape", ["f", "s"], "y", {})], {"s": [-1, 2]}), "dense", 0),
}
for opset in (11, 13):
    boxes = [("Transpose", ["f"], "t", {"perm": [0, 2, 3, 1]}), ("Reshape", ["t", "s"], "a", {})]
    for op in ("Softmax", "LogSoftmax"):
        for at_a_place, kind, classes in ((2, "dense", 0), (1, "map", 2)):
            ROWS[f"{at_a_place} anchors a place behind a {op} of opset {opset}"] = (
                Tail(
                    2 * at_a_place, [*boxes, (op, ["a"], "y", {"axis": 2})], {"s": [1, -1, 2]}, False, opset
                ),
                kind,
                classes,
            )
    ROWS[f"no batch axis in opset {opset}"] = (Tail(2, boxes, {"s": [-1, 2]}, False, opset), "dense", 0)


OF_PLACES = ("map", "values", "dense")


@pytest.mark.parametrize("name", ROWS)
def test_a_network_has_the_answer_of_its_output(name: str) -> None:
    tail, kind, classes = ROWS[name]
    model = loaded(tail)
    assert (model.answer, model.classes, len(model.labels)) == (
        kind,
        classes,
        1 if kind in ("value", "values") else classes,
    )
    again = pickle.loads(pickle.dumps(model))
    assert (again.answer, again.labels, list(again.layers)) == (
        model.answer,
        model.labels,
        list(model.layers),
    )


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[1] not in OF_PLACES])
def test_two_pictures_have_two_answers(name: str) -> None:
    model = loaded(ROWS[name][0])
    assert model.predict([PICTURE, OTHER]) == [model.predict(PICTURE), model.predict(OTHER)]
    both, one = cnnviz.saliency(model, [PICTURE, OTHER]), cnnviz.saliency(model, OTHER)
    np.testing.assert_array_equal(both[1].map, one.map)
    assert (
        (both[1].score, both[1].label)
        == (one.score, one.label)
        == (
            model.predict(OTHER)[0].score,
            model.predict(OTHER)[0].label,
        )
    )


QUESTIONS: Dict[str, Callable[[cnnviz.Model], Any]] = {
    "predict": lambda model: model.predict(PICTURE),
    "predicted": lambda model: model.predicted(model.preprocess(PICTURE)),
    "class 0": lambda model: model.gradient(model.preprocess(PICTURE), 0),
    "saliency": lambda model: cnnviz.saliency(model, PICTURE),
    "saliency of class 0": lambda model: cnnviz.saliency(model, PICTURE, 0),
    "fooling": lambda model: cnnviz.fooling_image(model, PICTURE),
    "class visualization": lambda model: cnnviz.class_visualization(model, 0),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[1] == "dense"])
def test_dense_outputs_say_what_to_ask(name: str, question: str) -> None:
    model = loaded(ROWS[name][0])
    output = model.graph.outputs[0].name
    with pytest.raises(
        ValueError, match=rf"does not classify: it ends in '{output}', .* for one picture.*target"
    ):
        QUESTIONS[question](model)
    scores = model.activations([PICTURE, OTHER], "logits")["logits"]
    assert len(scores) == 2
    cotangent = {model.logits_name: np.ones((1, *scores.shape[1:]), np.float32)}
    assert cnnviz.saliency(model, [PICTURE, OTHER], cotangent)[1].map.any()


@pytest.mark.parametrize("ask_for", [{"y": np.ones((64, 2), np.float32)}, objectives.Channel("y", 1)])
def test_a_target_cannot_read_a_layer_without_a_batch_axis(ask_for: Any) -> None:
    turn = ("Transpose", ["f"], "t", {"perm": [0, 2, 3, 1]})
    model = loaded(Tail(2, [turn, ("Reshape", ["t", "s"], "y", {})], {"s": [-1, 2]}, pool=False))
    with pytest.raises(ValueError, match=r"'y' is 64x2 for one picture.*take 't', 1x8x8x2, the same numbers"):
        model.gradient(model.preprocess(PICTURE), ask_for)


def sigmoid(score: float) -> float:
    return 1 / (1 + np.exp(-score))


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[1] == "binary"])
def test_one_score_and_a_sigmoid_are_two_classes(name: str) -> None:
    model = loaded(ROWS[name][0])
    x = model.preprocess([PICTURE, OTHER])
    shares = model.forward(x).reshape(-1)
    scores = model.gradient(x, [1, 1]).value
    for answers, share, score in zip(model.predict([PICTURE, OTHER]), shares, scores):
        found = {answer.index: answer for answer in answers}
        assert answers[0].probability >= 0.5 >= answers[1].probability
        assert (found[0].label, found[1].label) == ("negative", "positive")
        assert (found[0].score, found[1].score) == (-score, score)
        assert found[1].probability == pytest.approx(share, abs=1e-6)
        assert found[0].probability == pytest.approx(sigmoid(-score), abs=1e-12)
    no, yes = (cnnviz.saliency(model, PICTURE, label) for label in ("negative", "positive"))
    np.testing.assert_array_equal(no.values, -yes.values)
    assert yes.values.any()
    assert model.multi_label is False


def test_a_binary_network_is_fooled_and_pictured() -> None:
    model = loaded(ROWS["one score and a sigmoid"][0])
    picture = PICTURE // 2
    before = model.predict(picture)[0]
    made = cnnviz.fooling_image(model, picture, steps=300, progress=False)
    after = model.predict(made.image)[0]
    assert made.report["fools"]
    assert (before.index, after.index) in ((0, 1), (1, 0))
    drawn = cnnviz.class_visualization(model, ["negative", "positive"], steps=5, progress=False)
    assert drawn.report["label"] == ["negative", "positive"]
    assert cnnviz.grad_cam(model, picture, "positive").map.shape == (8, 8)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(None, ["negative", "positive"]), (["ill"], ["not ill", "ill"]), (["well", "ill"], ["well", "ill"])],
)
def test_a_binary_network_takes_one_name_or_two(labels: Optional[List[str]], expected: List[str]) -> None:
    assert list(loaded(ROWS["one score and a sigmoid"][0], labels=labels).labels) == expected
    with pytest.raises(ValueError, match="labels has 3 names, the network has 2 classes"):
        loaded(ROWS["one score and a sigmoid"][0], labels=["a", "b", "c"])


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[1] == "value"])
def test_one_number_is_a_value_without_a_probability(name: str) -> None:
    model = loaded(ROWS[name][0], labels=["age"])
    x = model.preprocess(PICTURE)
    value = float(model.activations(PICTURE, "logits")["logits"].reshape(()))
    assert model.predict(PICTURE) == [cnnviz.model.answers.Prediction(0, "age", None, value)]
    for target in (None, 0, "age", objectives.Logit(0)):
        result = cnnviz.saliency(model, PICTURE, target)
        assert result.score == value
        np.testing.assert_array_equal(result.values, model.gradient(x, 0).gradients["input"][0])
    for call in (
        lambda: model.probabilities(x),
        lambda: cnnviz.fooling_image(model, PICTURE),
        lambda: cnnviz.class_visualization(model, 0),
    ):
        with pytest.raises(ValueError, match=r"a value; take an objective for the target"):
            call()
    with pytest.raises(ValueError, match="target 1 is not a class index: the network has one value"):
        cnnviz.saliency(model, PICTURE, 1)


def test_the_sigmoid_of_another_output_counts() -> None:
    data = small_classifier(classes=1, sigmoid=True)
    graph = onnx.load_from_string(data)
    graph.graph.output.insert(0, helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, None))
    model = cnnviz.load(graph, preprocessing="unit")
    assert (model.answer, model.graph.outputs[0].name) == ("binary", "scores")


def test_pictures_that_a_file_mixes_are_answered_one_by_one() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"]),
        helper.make_node("GlobalAveragePool", ["conv"], ["f"]),
        helper.make_node("Reshape", ["f", "s"], ["y"]),
    ]
    constants = {"w": RNG.normal(size=(4, 3, 3, 3)), "s": np.array([1, -1])}
    data = onnx_bytes(nodes, constants, input_shape=["N", 3, 8, 8], output="y")
    model = cnnviz.load(data, preprocessing="unit")
    assert len(model.predict(PICTURE)) == 4
    pictures = [PICTURE, OTHER]
    assert model.predict(pictures) == [model.predict(one) for one in pictures]
    for call in (
        lambda pictures: cnnviz.saliency(model, pictures),
        lambda pictures: cnnviz.saliency(model, pictures, 2),
        lambda pictures: cnnviz.grad_cam(model, pictures, objectives.Score("y", 1), "conv"),
    ):
        for found, one in zip(call(pictures), pictures):
            np.testing.assert_array_equal(found.values, call([one])[0].values)


def test_the_predicted_class_is_that_of_predict() -> None:
    model = loaded(ROWS["channels last, one place"][0])
    assert ask(model, PICTURE, None).targets == (model.predict(PICTURE)[0].index,)
