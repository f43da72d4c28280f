"""A Model predicts, differentiates and describes itself, changes no argument, and repeats its results."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import helper
from toy_networks import onnx_bytes, small_classifier

import cnnviz
from cnnviz.model import passes
from cnnviz.objectives import Logit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(softmax=True), preprocessing="unit")


def test_every_kind_of_source_loads(tmp_path: Path, model: cnnviz.Model) -> None:
    data = small_classifier(softmax=True)
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    expected = model.forward(X)
    for source in (path, str(path), data, onnx.load_from_string(data)):
        loaded = cnnviz.load(source, preprocessing="unit")
        np.testing.assert_array_equal(loaded.forward(X), expected)
    assert cnnviz.load(path).name == "net"


def test_the_built_in_network_needs_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNVIZ_OFFLINE", "1")
    built_in = cnnviz.load()
    answer = built_in.predict(np.zeros((50, 60, 3), np.uint8), top=1)[0]
    assert answer.label in list(built_in.labels)
    assert 0 < answer.probability <= 1


def test_scores_are_those_before_the_softmax(model: cnnviz.Model) -> None:
    scores = model.forward(X, ["logits", "scores", "probabilities"])
    np.testing.assert_array_equal(scores["logits"], scores["scores"])
    shares = np.exp(scores["logits"].astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores["probabilities"], shares, atol=1e-6)
    np.testing.assert_array_equal(model.forward(X), scores["probabilities"])
    assert model.logits_name == "scores"


def test_predictions_are_ranked_softmax(model: cnnviz.Model) -> None:
    picture = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    answers = model.predict(picture, top=10)
    scores = model.forward(model.preprocess(picture), ["logits"])["logits"][0].astype(np.float64)
    shares = np.exp(scores) / np.exp(scores).sum()
    assert [answer.index for answer in answers] == list(np.argsort(-scores))
    for answer in answers:
        assert answer.score == scores[answer.index]
        assert answer.probability == pytest.approx(shares[answer.index], rel=1e-12)
        assert answer.label == f"class {answer.index}"
    assert len(model.predict(picture)) == 5
    assert len(model.predict(picture, top=50)) == 10
    batch = model.predict([picture, picture[::-1]], top=2)
    assert batch[0] == answers[:2]
    assert len(batch) == 2


@pytest.mark.parametrize("classes", [2, 10])
def test_each_class_behind_a_sigmoid_has_its_own_probability(classes: int) -> None:
    model = cnnviz.load(small_classifier(classes=classes, sigmoid=True), preprocessing="unit")
    assert (model.logits_name, model.classes, model.multi_label) == ("scores", classes, True)
    picture = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    x = model.preprocess(picture)
    scores, shares = model.forward(x, ["logits"])["logits"][0], model.forward(x)[0]
    answers = model.predict(picture, top=10)
    assert [answer.index for answer in answers] == list(np.argsort(-scores))
    for answer in answers:
        assert answer.score == scores[answer.index]
        assert answer.probability == pytest.approx(shares[answer.index], abs=1e-6)
    assert cnnviz.saliency(model, picture).score == pytest.approx(answers[0].score, abs=1e-6)
    assert pickle.loads(pickle.dumps(model)).predict(picture, top=10) == answers


def test_probabilities_of_extreme_scores_are_exact(model: cnnviz.Model) -> None:
    scores = np.array([[-1e4, 0, 1e4]], np.float32)
    labelled = cnnviz.load(small_classifier(classes=3, sigmoid=True), preprocessing="unit")
    assert model.probabilities(scores).tolist() == [[0, 0, 1]]
    assert labelled.probabilities(scores).tolist() == [[0, 0.5, 1]]


def test_layers_are_listed_in_order_with_their_shapes(model: cnnviz.Model) -> None:
    expected = {
        "conv1": (1, 8, 32, 32),
        "relu1": (1, 8, 32, 32),
        "pool1": (1, 8, 16, 16),
        "conv2": (1, 12, 16, 16),
        "relu2": (1, 12, 16, 16),
        "pooled": (1, 12, 1, 1),
    }
    assert list(model.layers)[:6] == list(expected)
    assert {name: model.layers[name] for name in expected} == expected
    assert "conv1" in repr(model.layers)
    summary = model.summary()
    for word in ("relu2", "1x12x16x16", "Conv", "MaxPool", "10 classes", "unit"):
        assert word in summary, summary


def test_layers_are_found_by_value_node_and_common_names(model: cnnviz.Model) -> None:
    for name, value in (("conv2", "conv2"), ("second", "conv2"), ("relu_one", "relu1"), ("logits", "scores")):
        found = model.forward(X, [name])
        assert list(found) == [name]
        np.testing.assert_array_equal(found[name], model.forward(X, [value])[value])
    np.testing.assert_array_equal(model.forward(X, ["input"])["input"], X)


def test_activations_are_of_the_picture(model: cnnviz.Model) -> None:
    picture = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = model.activations(picture, ["relu1", "pooled"])
    assert {name: value.shape for name, value in found.items()} == {
        "relu1": (1, 8, 32, 32),
        "pooled": (1, 12, 1, 1),
    }
    assert found["relu1"].min() == 0 < found["relu1"].max()
    np.testing.assert_array_equal(model.activations(picture, "relu1")["relu1"], found["relu1"])


def test_other_sizes_work_where_the_network_allows_them(model: cnnviz.Model) -> None:
    assert model.forward(RNG.normal(size=(2, 3, 20, 48)).astype(np.float32)).shape == (2, 10)


def test_objectives_may_be_classes_labels_lists_and_cotangents(model: cnnviz.Model) -> None:
    logits = model.forward(X, ["logits"])["logits"]
    for objective in (3, np.int64(3), "class 3", Logit(3), [3] * 5, ["class 3"] * 5, np.full(5, 3)):
        found = model.gradient(X, objective)
        np.testing.assert_array_equal(found.value, logits[:, 3])
    each = model.gradient(X, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(each.value, logits[np.arange(5), np.arange(5)])
    one_hot = np.zeros((1, 10), np.float32)
    one_hot[0, 3] = 1
    product = model.gradient(X, {"logits": one_hot})
    np.testing.assert_array_equal(product.gradients["input"], model.gradient(X, 3).gradients["input"])
    np.testing.assert_allclose(product.value, logits[:, 3], rtol=1e-6)


def test_gradients_of_several_values_come_from_one_pass(model: cnnviz.Model) -> None:
    found = model.gradient(X, 3, wrt=["input", "relu1", "second"])
    assert list(found.gradients) == ["input", "relu1", "second"]
    for name, gradient in found.gradients.items():
        np.testing.assert_array_equal(gradient, model.gradient(X, 3, wrt=name).gradients[name])
    assert set(found.activations) == {"logits", "relu1", "second"}
    np.testing.assert_array_equal(found.activations["second"], model.forward(X, ["second"])["second"])


def test_a_gradient_with_respect_to_a_layer_of_the_objective(model: cnnviz.Model) -> None:
    d_relu2 = RNG.normal(size=(5, 12, 16, 16)).astype(np.float32)
    found = model.gradient(X, {"relu2": d_relu2}, wrt=["relu2", "conv2"])
    np.testing.assert_array_equal(found.gradients["relu2"], d_relu2)
    mask = found.activations["relu2"] > 0
    np.testing.assert_array_equal(found.gradients["conv2"], d_relu2 * mask)
    d_input = RNG.normal(size=X.shape).astype(np.float32)
    np.testing.assert_array_equal(model.gradient(X, {"input": d_input}).gradients["input"], d_input)


def test_layers_behind_the_objective_have_gradient_zero(model: cnnviz.Model) -> None:
    found = model.gradient(X, {"relu1": np.ones((1, 8, 32, 32), np.float32)}, wrt=["relu2", "input"])
    assert not found.gradients["relu2"].any()
    assert found.gradients["input"].any()


def test_gradients_agree_with_finite_differences(model: cnnviz.Model) -> None:
    """Central differences of the float32 forward pass, in directions that cross no kink."""
    x = X[:1]
    found = model.gradient(x, 3)
    rng = np.random.default_rng(1)
    checked = 0
    for _ in range(20):
        direction = rng.normal(size=x.shape).astype(np.float32)
        step = np.float32(2e-3)
        signs = [
            np.concatenate(
                [np.sign(a).ravel() for a in model.forward(x + s * direction, ["conv1", "conv2"]).values()]
            )
            for s in (-step, step)
        ]
        values = [
            float(model.forward(x + s * direction, ["logits"])["logits"][0, 3]) for s in (-step, 0, step)
        ]
        slope = (values[2] - values[0]) / (2 * float(step))
        expected = float((found.gradients["input"].astype(np.float64) * direction).sum())
        flips = float((signs[0] != signs[1]).mean())
        assert slope == pytest.approx(expected, abs=0.02 + 20 * flips), (slope, expected, flips)
        checked += 1
    assert checked == 20


def test_a_batch_is_its_images_bit_for_bit(model: cnnviz.Model) -> None:
    whole = model.gradient(X, [0, 1, 2, 3, 4], wrt=["input", "relu1"])
    logits = model.forward(X)
    for i in range(5):
        single = model.gradient(X[i : i + 1], i, wrt=["input", "relu1"])
        np.testing.assert_array_equal(single.value, whole.value[i : i + 1])
        np.testing.assert_array_equal(model.forward(X[i : i + 1]), logits[i : i + 1])
        for name in ("input", "relu1"):
            np.testing.assert_array_equal(single.gradients[name][0], whole.gradients[name][i])
    order = [3, 0, 4, 1, 2]
    permuted = model.gradient(X[order], order, wrt="input")
    np.testing.assert_array_equal(permuted.gradients["input"], whole.gradients["input"][order])


def test_results_do_not_depend_on_threads(model: cnnviz.Model) -> None:
    before = cnnviz.get_num_threads()
    expected = model.gradient(X, 3)
    try:
        for threads in (1, 2, 3):
            cnnviz.set_num_threads(threads)
            found = model.gradient(X, 3)
            np.testing.assert_array_equal(found.gradients["input"], expected.gradients["input"])
            np.testing.assert_array_equal(found.value, expected.value)
    finally:
        cnnviz.set_num_threads(before)


def test_large_batches_run_in_pieces(model: cnnviz.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    cotangent = {"relu2": RNG.normal(size=(5, 12, 16, 16)).astype(np.float32)}
    expected = [model.gradient(X, goal, wrt=["input", "relu1"]) for goal in ([4, 3, 2, 1, 0], cotangent)]
    logits = model.forward(X)
    shapes: List[Any] = []
    lend = model._pool.lend
    monkeypatch.setattr(model._pool, "lend", lambda request: shapes.append(request.shape) or lend(request))
    monkeypatch.setattr(passes, "BUDGET_NBYTES", 1)
    for goal, whole in zip(([4, 3, 2, 1, 0], cotangent), expected):
        pieces = model.gradient(X, goal, wrt=["input", "relu1"])
        np.testing.assert_array_equal(pieces.value, whole.value)
        for name in ("input", "relu1"):
            np.testing.assert_array_equal(pieces.gradients[name], whole.gradients[name])
            assert set(pieces.activations) == set(whole.activations)
    np.testing.assert_array_equal(model.forward(X), logits)
    assert set(shapes) == {(1, 3, 32, 32)}


def test_batches_run_in_pieces_that_caches_hold(model: cnnviz.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    x = RNG.normal(size=(18, 3, 32, 32)).astype(np.float32)
    targets = (np.arange(18) % 10).tolist()
    found, sizes = model.gradient(x, targets), []
    lend = model._pool.lend
    monkeypatch.setattr(model._pool, "lend", lambda request: sizes.append(request.shape[0]) or lend(request))
    again = model.gradient(x, targets)
    assert sizes == [4, 4, 4, 4, 2]
    monkeypatch.setattr(passes, "MOST_IMAGES", 18)
    whole = model.gradient(x, targets)
    assert sizes[5:] == [18]
    for other in (again, whole):
        np.testing.assert_array_equal(other.value, found.value)
        np.testing.assert_array_equal(other.gradients["input"], found.gradients["input"])


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.astype(np.float64),
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=3)[:, :, :, ::2],
        lambda x: x[:, ::-1].copy()[:, ::-1],
        lambda x: x.tolist(),
    ],
    ids=["float64", "fortran", "strided", "negative stride", "list"],
)
def test_any_memory_layout_of_the_input_gives_the_same_output(
    model: cnnviz.Model, make: Callable[[Any], Any]
) -> None:
    given = make(X)
    np.testing.assert_array_equal(model.forward(given), model.forward(X))


def test_arguments_and_weights_are_not_changed(model: cnnviz.Model) -> None:
    x = X.copy()
    cotangent = RNG.normal(size=(5, 12, 16, 16)).astype(np.float32)
    kept = cotangent.copy()
    for array in (x, cotangent):
        array.flags.writeable = False
    weights = {name: array.copy() for name, array in model.graph.constants.items()}
    first = model.gradient(x, {"relu2": cotangent}, wrt=["input", "relu1"], relu="guided")
    with pytest.raises(ValueError, match="nowhere"):
        model.gradient(x, 3, wrt="nowhere")
    for rule in ("plain", "guided", "deconv", "redirected"):
        model.gradient(x, 3, relu=rule)
    second = model.gradient(x, {"relu2": cotangent}, wrt=["input", "relu1"], relu="guided")
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(cotangent, kept)
    for name, array in weights.items():
        np.testing.assert_array_equal(model.graph.constants[name], array)
    for name in ("input", "relu1"):
        np.testing.assert_array_equal(first.gradients[name], second.gradients[name])


def test_returned_arrays_belong_to_the_caller(model: cnnviz.Model) -> None:
    first = model.gradient(X, 3, wrt=["input", "relu1"])
    kept = {name: array.copy() for name, array in first.gradients.items()}
    logits = first.activations["logits"].copy()
    model.gradient(-X, 4, wrt=["input", "relu1"])
    for name, array in kept.items():
        np.testing.assert_array_equal(first.gradients[name], array)
    np.testing.assert_array_equal(first.activations["logits"], logits)
    first.activations["logits"][:] = 0
    np.testing.assert_array_equal(model.gradient(X, 3).activations["logits"], logits)


def test_several_threads_share_one_model(model: cnnviz.Model) -> None:
    expected = [model.gradient(X[i : i + 1], i).gradients["input"] for i in range(5)]
    failures: List[str] = []

    def work(i: int) -> None:
        for _ in range(20):
            found = model.gradient(X[i : i + 1], i).gradients["input"]
            if not np.array_equal(found, expected[i]):
                failures.append(f"image {i}")

    workers = [threading.Thread(target=work, args=(i,)) for i in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


def test_models_are_pickled(model: cnnviz.Model) -> None:
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.forward(X), model.forward(X))
    assert (again.name, again.labels, again.preprocessing) == (model.name, model.labels, model.preprocessing)
    assert list(again.layers) == list(model.layers)


def test_networks_with_channels_last_inputs() -> None:
    weights: Dict[str, Any] = {"w": RNG.normal(size=(4, 3, 3, 3)), "d": RNG.normal(size=(4, 5))}
    common = [
        helper.make_node("Conv", ["first", "w"], ["conv"]),
        helper.make_node("GlobalAveragePool", ["conv"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "d"], ["scores"]),
    ]
    turn = helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2])
    same = helper.make_node("Identity", ["x"], ["first"])
    last = cnnviz.load(onnx_bytes([turn, *common], weights, input_shape=["N", 8, 9, 3], output="scores"))
    first = cnnviz.load(onnx_bytes([same, *common], weights, input_shape=["N", 3, 8, 9], output="scores"))
    x = RNG.normal(size=(2, 3, 8, 9)).astype(np.float32)
    assert last.preprocessing.size == first.preprocessing.size == (8, 9)
    np.testing.assert_array_equal(last.forward(x), first.forward(x))
    np.testing.assert_array_equal(
        last.gradient(x, 1).gradients["input"], first.gradient(x, 1).gradients["input"]
    )


def test_a_network_of_maps_explains_layers_but_predicts_nothing() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["features"])
    weights = {"w": RNG.normal(size=(4, 3, 3, 3))}
    encoder = cnnviz.load(onnx_bytes([node], weights, input_shape=[1, 3, "h", "w"], output="features"))
    assert (encoder.answer, encoder.classes) == ("map", 4)
    assert encoder.forward(X).shape == (5, 4, 30, 30)
    assert encoder.gradient(X, {"features": np.ones((1, 4, 30, 30), np.float32)}).gradients["input"].any()
    with pytest.raises(ValueError, match=r"does not classify: it ends in 'features'"):
        encoder.predict(np.zeros((8, 8, 3), np.uint8))


# Rows are network, picture, size of the picture before preprocessing, label, probability (None: unpublished).
EXPECTED = (
    ("squeezenet", "winml_kitten_224.png", 256, "tabby", None),
    ("squeezenet", "pytorchhub_dog_samoyed.jpg", None, "Samoyed", None),
    ("squeezenet-fp16", "winml_kitten_224.png", 256, "tabby", 0.90),
    ("darknet", "winml_kitten_224.png", None, "tabby", 0.65),
    ("mobilenetv1", "winml_kitten_224.png", 256, "tabby", 0.76),
    ("mobilenetv1", "pytorchhub_dog_samoyed.jpg", None, "Samoyed", 0.56),
    ("mobilenetv2", "winml_kitten_224.png", 256, "tabby", 0.90),
    ("mobilenetv2", "gradcam_both.png", 256, "bull mastiff", 0.67),
    ("resnet20", "caffe_cat.jpg", None, "cat", None),
    ("resnet20", "darknet_eagle.jpg", None, "bird", None),
)


@pytest.mark.parametrize(
    ("name", "file", "size", "label", "probability"), EXPECTED, ids=[f"{row[0]}-{row[3]}" for row in EXPECTED]
)
def test_trained_networks_know_their_pictures(
    network: Callable[[str], Any],
    assets: Path,
    name: str,
    file: str,
    size: Optional[int],
    label: str,
    probability: Optional[float],
) -> None:
    """Published probabilities are for the middle 224 of a picture resized to 256, where a size is given."""
    picture = PIL.Image.open(assets / "images" / file).convert("RGB")
    if size is not None:
        picture = picture.resize((size, size), PIL.Image.Resampling.BILINEAR)
    answer = network(name).predict(picture, top=1)[0]
    assert answer.label == label
    if probability is None:
        assert answer.probability > 0.5
    else:
        assert answer.probability == pytest.approx(probability, abs=0.035)


@pytest.mark.parametrize("vector", range(3))
def test_squeezenet_reproduces_the_zoos_vectors(
    network: Callable[[str], Any], assets: Path, vector: int
) -> None:
    folder = assets / "models" / "squeezenet1.1-vectors" / str(vector)
    arrays = [
        onnx.numpy_helper.to_array(onnx.TensorProto.FromString(next(folder.glob(pattern)).read_bytes()))
        for pattern in ("input*.pb", "output*.pb")
    ]
    found = network("squeezenet").forward(arrays[0])
    np.testing.assert_allclose(found, arrays[1].reshape(found.shape), atol=5e-4, rtol=0)


@pytest.mark.parametrize("batch", [1, 3])
def test_several_objectives_after_one_forward_are_each_alone(model: cnnviz.Model, batch: int) -> None:
    x = X[:batch]
    cotangents = {"conv1": np.ones((1, *model.layers["conv1"][1:]), np.float32)}
    asked: List[Any] = [3, [0] * batch, cotangents, Logit(5) - Logit(3)]
    together = model.gradients(x, asked, wrt=["input", "conv1"])
    for objective, found in zip(asked, together):
        alone = model.gradient(x, objective, wrt=["input", "conv1"])
        np.testing.assert_array_equal(found.value, alone.value)
        for name in ("input", "conv1"):
            np.testing.assert_array_equal(found.gradients[name], alone.gradients[name])
        assert set(found.activations) == set(alone.activations)


@pytest.mark.parametrize("name", ["squeezenet", "mobilenetv2", "resnet20"])
def test_a_backward_pass_keeps_the_activations_for_the_next_one(
    network: Callable[[str], Any], name: str
) -> None:
    deep = network(name)
    x = np.random.default_rng(0).normal(size=(1, 3, *deep.preprocessing.size)).astype(np.float32)
    alone = [deep.gradient(x, target).gradients["input"] for target in (3, 5, 1)]
    together = [found.gradients["input"] for found in deep.gradients(x, [3, 5, 1])]
    np.testing.assert_array_equal(together, alone)
