"""Saliency is the largest absolute gradient over the channels, for every way to name a target."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz.objectives import Cotangents, Logit

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(softmax=True), preprocessing="imagenet")


REDUCTIONS = (
    ("max_abs", lambda dx: np.abs(dx).max(axis=0)),
    ("sum_abs", lambda dx: np.abs(dx).sum(axis=0)),
    ("mean_abs", lambda dx: np.abs(dx).mean(axis=0)),
    ("l2", lambda dx: np.sqrt((dx**2).sum(axis=0))),
    ("sum", lambda dx: dx.sum(axis=0)),
)


@pytest.mark.parametrize(("reduce", "formula"), REDUCTIONS, ids=[row[0] for row in REDUCTIONS])
def test_the_map_is_its_formula(model: cnnviz.Model, reduce: str, formula: Callable[[Any], Any]) -> None:
    result = cnnviz.saliency(model, PICTURE, 3, reduce=reduce)
    dx = model.gradient(model.preprocess(PICTURE), 3).gradients["input"][0]
    np.testing.assert_array_equal(result.values, dx)
    np.testing.assert_allclose(result.map, formula(dx), rtol=1e-6)


def test_the_result_carries_its_facts(model: cnnviz.Model) -> None:
    result = cnnviz.saliency(model, PICTURE, "class 3")
    assert result.map.shape == (32, 32)
    assert result.map.dtype == result.values.dtype == result.image.dtype == np.float32
    assert result.values.shape == (3, 32, 32)
    np.testing.assert_array_equal(result.image, PICTURE.astype(np.float32) / np.float32(255))
    assert (result.method, result.target, result.label) == ("saliency", 3, "class 3")
    assert result.layer is None
    assert result.flags == ()
    assert result.score == model.forward(model.preprocess(PICTURE), ["logits"])["logits"][0, 3]


def test_the_predicted_class_is_the_default(model: cnnviz.Model) -> None:
    best = model.predict(PICTURE, top=1)[0]
    result = cnnviz.saliency(model, PICTURE)
    assert (result.target, result.score) == (best.index, best.score)


@pytest.mark.parametrize("target", [3, np.int32(3), "class 3", "CLASS_3", Logit(3)])
def test_ways_to_name_a_target(model: cnnviz.Model, target: Any) -> None:
    expected = cnnviz.saliency(model, PICTURE, 3)
    found = cnnviz.saliency(model, PICTURE, target)
    np.testing.assert_array_equal(found.map, expected.map)
    assert found.score == expected.score


def test_an_objective_has_no_class(model: cnnviz.Model) -> None:
    assert cnnviz.saliency(model, PICTURE, Logit(3)).target is None


EXPLAIN = {
    "saliency": cnnviz.saliency,
    "smooth": lambda *question: cnnviz.saliency(*question, smooth=2),
    "grad_cam": cnnviz.grad_cam,
    "guided_backprop": cnnviz.guided_backprop,
    "guided_grad_cam": cnnviz.guided_grad_cam,
}


@pytest.mark.parametrize("name", EXPLAIN)
def test_cotangents_by_layer_are_a_target(model: cnnviz.Model, name: str) -> None:
    """A one-hot cotangent of the logits is that class; a first axis of 1 serves every picture."""
    found = EXPLAIN[name](model, [PICTURE, PICTURE[::-1]], {"logits": np.eye(10, dtype=np.float32)[3:4]})
    expected = EXPLAIN[name](model, [PICTURE, PICTURE[::-1]], 3)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one.map, other.map)
        assert one.score == pytest.approx(other.score)
        assert (one.target, one.label, one.settings) == (None, "Cotangents(logits)", {})


def test_lists_of_pictures_and_of_targets(model: cnnviz.Model) -> None:
    other = RNG.integers(0, 256, (50, 40, 3), dtype=np.uint8)
    single = cnnviz.saliency(model, other, 5)
    pairs = cnnviz.saliency(model, [PICTURE, other], [3, 5])
    assert [result.target for result in pairs] == [3, 5]
    np.testing.assert_array_equal(pairs[1].map, single.map)
    np.testing.assert_array_equal(pairs[1].image, single.image)
    several = cnnviz.saliency(model, other, ["class 1", 5])
    assert [result.target for result in several] == [1, 5]
    np.testing.assert_array_equal(several[1].map, single.map)
    one_target = cnnviz.saliency(model, [PICTURE, other], 5)
    np.testing.assert_array_equal(one_target[1].map, single.map)
    predicted = cnnviz.saliency(model, [PICTURE, other])
    assert [r.target for r in predicted] == [model.predict(p, top=1)[0].index for p in (PICTURE, other)]


def test_mistakes_are_named(model: cnnviz.Model) -> None:
    with pytest.raises(ValueError, match=r"reduce must be one of max_abs, .*not 'median'"):
        cnnviz.saliency(model, PICTURE, reduce="median")
    with pytest.raises(ValueError, match="target lists 3 classes for 2 images"):
        cnnviz.saliency(model, [PICTURE, PICTURE], [1, 2, 3])
    with pytest.raises(ValueError, match="target is an empty list"):
        cnnviz.saliency(model, PICTURE, [])


def test_input_times_gradient(model: cnnviz.Model) -> None:
    result = cnnviz.saliency(model, PICTURE, 3, times_input=True)
    x = model.preprocess(PICTURE)
    np.testing.assert_array_equal(result.values, (x * model.gradient(x, 3).gradients["input"])[0])


def test_smooth_grad_is_the_mean_over_noisy_copies(model: cnnviz.Model) -> None:
    result = cnnviz.saliency(model, PICTURE, 3, smooth=4, noise=0.1, seed=7)
    rng, x = np.random.default_rng(7), model.preprocess(PICTURE)
    std = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)
    copies = [x + 0.1 / std * rng.standard_normal(x.shape, dtype=np.float32) for _ in range(4)]
    mean = np.mean([model.gradient(copy, 3).gradients["input"][0] for copy in copies], axis=0)
    np.testing.assert_allclose(result.values, mean, rtol=1e-3, atol=1e-6)
    assert result.score == cnnviz.saliency(model, PICTURE, 3).score


SWEEPS = {
    "one picture": (PICTURE, 3),
    "several classes of one picture": (PICTURE, [1, 3]),
    "a class for each picture": ([PICTURE, PICTURE[::-1]], [1, 3]),
    "cotangents for each picture": (
        [PICTURE, PICTURE[::-1]],
        Cotangents({"logits": RNG.normal(size=(2, 10)).astype(np.float32)}),
    ),
}


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize(("batch", "budget"), [(1, 2**30), (3, 2**30), (7, 1)])
def test_smooth_grad_does_not_depend_on_the_batch_size(
    model: cnnviz.Model, monkeypatch: pytest.MonkeyPatch, name: str, batch: int, budget: int
) -> None:
    def maps() -> list:
        found = cnnviz.saliency(model, *SWEEPS[name], smooth=7, seed=2)
        return [one.values for one in (found if isinstance(found, list) else [found])]

    whole = maps()
    monkeypatch.setattr("cnnviz.attribution.saliency.BATCH", batch)
    monkeypatch.setattr("cnnviz.model.passes.BUDGET_NBYTES", budget)
    np.testing.assert_array_equal(maps(), whole)


def test_smooth_grad_runs_in_batches(model: cnnviz.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    forward = model.gradients

    def watched(x: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(x))
        return forward(x, *arguments, **options)

    monkeypatch.setattr(model, "gradients", watched)
    cnnviz.saliency(model, PICTURE, [1, 3], smooth=20)
    assert sizes == [16, 4]  # both classes from one pass


def test_smooth_grad_repeats_and_without_noise_is_the_gradient(model: cnnviz.Model) -> None:
    options = {"smooth": 3, "noise": 0.2}
    first, again = (cnnviz.saliency(model, PICTURE, 3, seed=1, **options) for _ in range(2))
    np.testing.assert_array_equal(first.values, again.values)
    assert not np.array_equal(first.values, cnnviz.saliency(model, PICTURE, 3, seed=2, **options).values)
    pair = cnnviz.saliency(model, [PICTURE, PICTURE], 3, seed=1, **options)
    np.testing.assert_array_equal(pair[1].values, first.values)
    still = cnnviz.saliency(model, PICTURE, 3, smooth=3, noise=0)
    np.testing.assert_allclose(still.values, cnnviz.saliency(model, PICTURE, 3).values, rtol=1e-6)
    for options, message in (
        ({"smooth": -1}, "smooth must be"),
        ({"smooth": 2, "noise": -0.1}, "noise must"),
    ):
        with pytest.raises(ValueError, match=message):
            cnnviz.saliency(model, PICTURE, 3, **options)


@pytest.mark.parametrize(("label", "rows"), [("bull mastiff", slice(20, 130)), ("tabby", slice(110, 224))])
def test_the_dog_and_the_cat_are_found(
    network: Callable[[str], Any], assets: Path, label: str, rows: slice
) -> None:
    """The dog sits above the cat: most of the squared gradient lies in the half of its animal."""
    result = cnnviz.saliency(network("mobilenetv2"), assets / "images" / "gradcam_both.png", label)
    energy = np.square(result.map)
    share = energy[rows].sum() / energy.sum()
    area = (rows.stop - rows.start) / 224
    assert share > area + 0.15, f"{share:.2f} of the energy on {area:.2f} of the picture"
