"""Exact values on a network small enough to compute by hand: Captum's toy, in rational arithmetic."""

from __future__ import annotations

from typing import Any, List

import numpy as np
import pytest
from toy_networks import captum_toy

import cnnviz
from cnnviz import Preprocessing
from cnnviz.attribution import grad_cam
from cnnviz.attribution.grad_cam import upsample

IMAGE = (np.arange(16, dtype=np.float32) / 15).reshape(4, 4)
X = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


@pytest.fixture(scope="module")
def toy() -> cnnviz.Model:
    return cnnviz.load(captum_toy(), preprocessing=Preprocessing(channel_order="L", scale=15.0))


def test_activations_and_score(toy: cnnviz.Model) -> None:
    np.testing.assert_allclose(toy.preprocess(IMAGE), X, atol=1e-5)
    found = toy.forward(X, ["conv1", "logits"])
    np.testing.assert_array_equal(found["conv1"][0], [[[-5, 4], [31, 40]], [[-30, -21], [6, 15]]])
    np.testing.assert_array_equal(found["logits"], [[54, 54, 54, 54]])


GRADIENTS = (
    ("plain", [[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]),
    ("guided", [[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]]),
    ("deconv", [[2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1]]),
)


@pytest.mark.parametrize(("rule", "expected"), GRADIENTS, ids=[row[0] for row in GRADIENTS])
def test_gradient_by_relu_rule(toy: cnnviz.Model, rule: str, expected: List[List[int]]) -> None:
    found = toy.gradient(X, 0, relu=rule)
    np.testing.assert_array_equal(found.gradients["input"][0, 0], expected)
    np.testing.assert_array_equal(found.value, [54])


def test_input_times_gradient_is_complete(toy: cnnviz.Model) -> None:
    product = cnnviz.saliency(toy, IMAGE, 0, times_input=True).values[0]
    np.testing.assert_allclose(product, [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]], atol=1e-5)
    assert product.sum() == pytest.approx(54, rel=1e-6)


def test_saliency(toy: cnnviz.Model) -> None:
    result = cnnviz.saliency(toy, IMAGE, 0)
    np.testing.assert_array_equal(result.map, GRADIENTS[0][1])
    np.testing.assert_array_equal(result.values[0], GRADIENTS[0][1])
    assert result.score == pytest.approx(54, rel=1e-6)


GRAD_CAM = (
    ("relu1", [[0, 4], [28, 32.5]]),
    ("conv1", [[11.25, 13.5], [20.25, 22.5]]),
)


@pytest.mark.parametrize(("layer", "expected"), GRAD_CAM, ids=[row[0] for row in GRAD_CAM])
def test_grad_cam(toy: cnnviz.Model, layer: str, expected: Any) -> None:
    result = cnnviz.grad_cam(toy, IMAGE, 0, layer)
    np.testing.assert_allclose(result.values, expected, atol=1e-4)
    np.testing.assert_allclose(result.map, upsample(np.array([expected], np.float32), (4, 4))[0], atol=1e-4)
    assert result.layer == layer


@pytest.mark.parametrize(("rule", "expected"), GRADIENTS[1:], ids=["guided", "deconv"])
def test_guided_backprop(toy: cnnviz.Model, rule: str, expected: List[List[int]]) -> None:
    result = cnnviz.guided_backprop(toy, IMAGE, 0, relu=rule)
    np.testing.assert_array_equal(result.values[0], expected)
    np.testing.assert_array_equal(result.map, expected)


def test_guided_grad_cam_with_nearest_upsampling(toy: cnnviz.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grad_cam, "upsample", lambda maps, size: np.kron(maps, np.ones((1, 2, 2))))
    result = cnnviz.guided_grad_cam(toy, IMAGE, 0, "relu1")
    expected = [[0, 0, 4, 4], [0, 0, 12, 8], [28, 84, 97.5, 65], [28, 56, 65, 32.5]]
    np.testing.assert_allclose(result.values[0], expected, atol=1e-4)


def test_the_default_layer_is_the_last_one_with_places(toy: cnnviz.Model) -> None:
    assert cnnviz.grad_cam(toy, IMAGE, 0).layer == "relu1"


# 7 cells on 224 pixels, each of 32: the centre of cell i lies between pixels 32i+15 and 32i+16.
@pytest.mark.parametrize("cell", [0, 1, 3, 6])
def test_upsampling_has_half_pixel_centres(cell: int) -> None:
    cells = np.zeros((1, 7, 7), np.float32)
    cells[0, cell, cell] = 1
    large = upsample(cells, (224, 224))[0]
    rows, columns = np.nonzero(large == large.max())
    centre = 32 * cell + 15.5
    if cell in (0, 6):
        # Beyond the outermost centres the map stays level.
        assert (centre - 0.5 in rows) or (centre + 0.5 in rows)
        assert (0 if cell == 0 else 223) in rows
    else:
        assert rows.mean() == columns.mean() == centre
    assert large.max() == pytest.approx(1, abs=0.04)


def test_upsampling_keeps_constants_ramps_and_odd_sizes() -> None:
    np.testing.assert_allclose(upsample(np.full((2, 3, 5), 7, np.float32), (20, 33)), 7, rtol=1e-6)
    ramp = np.arange(4, dtype=np.float32)[None, None, :].repeat(3, axis=1)
    np.testing.assert_allclose(
        upsample(ramp, (3, 16))[0, 0, 2:-2], (np.arange(2, 14) + 0.5) / 4 - 0.5, atol=1e-6
    )
    np.testing.assert_allclose(upsample(np.full((1, 1, 1), 5, np.float32), (8, 9)), 5)
    assert upsample(ramp, (3, 4)).tolist() == ramp.tolist()
