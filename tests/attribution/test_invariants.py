"""Properties of attributions that hold for any network, and need no golden file."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from toy_networks import small_classifier

import cnnviz
from cnnviz import Preprocessing
from cnnviz.attribution.grad_cam import weighted_sum
from cnnviz.objectives import L2, Logit
from cnnviz.optimize.loop import Problem, evaluate
from cnnviz.optimize.parametrize import Pixels
from cnnviz.optimize.steps import GradientAscent

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
# The preprocessing centres pictures, so that filters get inputs of both signs.
PREPROCESSING = Preprocessing(mean=0.5, std=0.25)


def load(data: bytes) -> cnnviz.Model:
    return cnnviz.load(data, preprocessing=PREPROCESSING)


def weights_of(data: bytes) -> Dict[str, Any]:
    graph = onnx.load_from_string(data).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def with_weights(data: bytes, **changed: Any) -> bytes:
    model = onnx.load_from_string(data)
    for tensor in model.graph.initializer:
        if tensor.name in changed:
            array = np.ascontiguousarray(changed[tensor.name], dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return model.SerializeToString()


DATA = small_classifier()


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return load(DATA)


def test_with_average_pooling_and_a_linear_head_grad_cam_is_cam(model: cnnviz.Model) -> None:
    activation = model.activations(PICTURES, ["relu2"])["relu2"]
    weights = weights_of(DATA)["w3"]
    for target in (0, 7):
        cam = np.einsum("k,nkhw->nhw", weights[target], activation) / activation[0, 0].size
        found = [result.values for result in cnnviz.grad_cam(model, PICTURES, [target] * 4, "relu2")]
        np.testing.assert_allclose(found, cam, rtol=1e-4, atol=1e-6)


def test_without_biases_input_times_gradient_sums_to_the_score() -> None:
    model = load(small_classifier(bias=False))
    x = model.preprocess(PICTURES)
    found = model.gradient(x, 3)
    total = (x.astype(np.float64) * found.gradients["input"]).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(total, found.value, rtol=1e-4)


def test_rescaling_a_channel_and_undoing_it_leaves_grad_cam_alone(model: cnnviz.Model) -> None:
    weights = weights_of(DATA)
    scale = np.exp(RNG.normal(size=12)).astype(np.float32)
    same = load(
        with_weights(
            DATA,
            w2=weights["w2"] * scale[:, None, None, None],
            b2=weights["b2"] * scale,
            w3=weights["w3"] / scale,
        )
    )
    for one, other in zip(
        cnnviz.grad_cam(model, PICTURES, [3] * 4, "relu2"), cnnviz.grad_cam(same, PICTURES, [3] * 4, "relu2")
    ):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-3, atol=1e-6)


def test_a_constant_on_all_scores_changes_no_map(model: cnnviz.Model) -> None:
    shifted = load(with_weights(DATA, b3=weights_of(DATA)["b3"] + 5))
    for method in (cnnviz.saliency, cnnviz.grad_cam):
        one, other = method(model, PICTURES[0], 3), method(shifted, PICTURES[0], 3)
        np.testing.assert_array_equal(one.map, other.map)
        assert other.score == pytest.approx(one.score + 5, abs=1e-5)


def test_maps_scale_with_the_score(model: cnnviz.Model) -> None:
    weights = weights_of(DATA)
    doubled = load(with_weights(DATA, w3=weights["w3"] * 2, b3=weights["b3"] * 2))
    for method in (cnnviz.saliency, cnnviz.grad_cam):
        one, other = method(model, PICTURES[0], 3), method(doubled, PICTURES[0], 3)
        np.testing.assert_array_equal(other.map, 2 * one.map)
        assert other.score == 2 * one.score


def test_a_softmax_at_the_end_changes_no_map(model: cnnviz.Model) -> None:
    probabilistic = load(small_classifier(softmax=True))
    for method in (cnnviz.saliency, cnnviz.grad_cam):
        one, other = method(model, PICTURES[0]), method(probabilistic, PICTURES[0])
        assert one.target == other.target
        np.testing.assert_array_equal(one.map, other.map)


@pytest.mark.parametrize("method", [cnnviz.saliency, cnnviz.grad_cam], ids=["saliency", "grad_cam"])
def test_a_batch_is_its_pictures_bit_for_bit(model: cnnviz.Model, method: Any) -> None:
    targets = [3, 1, 4, 1]
    together = method(model, PICTURES, targets)
    for i, target in enumerate(targets):
        alone = method(model, PICTURES[i], target)
        np.testing.assert_array_equal(together[i].map, alone.map)
        np.testing.assert_array_equal(together[i].values, alone.values)
        assert together[i].score == alone.score
    backwards = method(model, list(PICTURES[::-1]), targets[::-1])
    for one, other in zip(together, backwards[::-1]):
        np.testing.assert_array_equal(one.map, other.map)


def test_transposed_weights_and_pictures_give_transposed_maps(model: cnnviz.Model) -> None:
    weights = weights_of(DATA)
    turned = load(
        with_weights(DATA, w1=weights["w1"].transpose(0, 1, 3, 2), w2=weights["w2"].transpose(0, 1, 3, 2))
    )
    x = RNG.normal(size=(1, 3, 24, 40)).astype(np.float32)
    one = model.gradient(x, 3, wrt=["input", "relu2"])
    other = turned.gradient(x.transpose(0, 1, 3, 2), 3, wrt=["input", "relu2"])
    for name in ("input", "relu2"):
        expected = one.gradients[name].transpose(0, 1, 3, 2)
        np.testing.assert_allclose(other.gradients[name], expected, rtol=1e-4, atol=1e-6)


def test_shifting_by_the_stride_shifts_the_maps_interior(model: cnnviz.Model) -> None:
    x = RNG.normal(size=(1, 3, 32, 40)).astype(np.float32)
    one = model.gradient(x[:, :, :, :-8], 3, wrt="relu2")
    other = model.gradient(x[:, :, :, 8:], 3, wrt="relu2")
    before = weighted_sum(one.activations["relu2"], np.ones_like(one.gradients["relu2"]))
    after = weighted_sum(other.activations["relu2"], np.ones_like(other.gradients["relu2"]))
    np.testing.assert_allclose(before[:, 3:-3, 7:-3], after[:, 3:-3, 3:-7], rtol=1e-4, atol=1e-6)


def test_guided_backpropagation_of_a_negative_cotangent_is_zero(model: cnnviz.Model) -> None:
    x = model.preprocess(PICTURES)
    negative = {"relu2": -np.ones((1, 12, 16, 16), np.float32)}
    for rule in ("guided", "deconv"):
        assert not model.gradient(x, negative, relu=rule).gradients["input"].any()
    assert model.gradient(x, negative).gradients["input"].any()


def test_the_rules_differ_only_at_rectifiers(model: cnnviz.Model) -> None:
    x = model.preprocess(PICTURES)
    plain = model.gradient(x, 3, wrt="relu2").gradients["relu2"]
    for rule in ("guided", "deconv", "redirected"):
        np.testing.assert_array_equal(model.gradient(x, 3, wrt="relu2", relu=rule).gradients["relu2"], plain)


def test_a_dead_score_gives_a_map_of_zeros_with_a_flag() -> None:
    dead = load(with_weights(DATA, b2=np.full(12, -1e3)))
    for method in (cnnviz.saliency, cnnviz.grad_cam):
        result = method(dead, PICTURES[0], 3)
        assert not result.map.any()
        assert result.flags == ("all-zero",)
        assert np.isfinite(result.map).all()


def test_a_denormal_gradient_counts_as_zero() -> None:
    """The gradient of L2 is denormal at one pixel, and kernels leave it out of their sum."""
    dead = cnnviz.load(with_weights(DATA, b2=np.full(12, -1e3)), preprocessing=Preprocessing())
    z = np.zeros((1, 3, 32, 32))
    z[0, 0, 16, 4] = 1e-37
    problem = Problem(dead, Logit(3) - 0.01 * L2(), Pixels(), GradientAscent(0.1), revive=True)
    assert np.abs(evaluate(problem, z, RNG).gradient).max() > 1e-6
