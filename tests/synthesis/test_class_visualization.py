"""Class pictures reach their class, repeat and resume, and a list of classes equals each class alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz.objectives import Channel, Layer, Logit, Neuron, TotalVariation
from cnnviz.optimize.loop import NonFiniteError
from cnnviz.results.results import Synthesis
from cnnviz.synthesis.class_visualization import PRESETS


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(softmax=True), preprocessing="imagenet")


def make(model: Any, target: Any, **options: Any) -> Synthesis:
    return cnnviz.class_visualization(model, target, progress=False, **options)


@pytest.mark.slow
def test_four_classes_reach_99_percent(network: Callable[[str], Any]) -> None:
    result = make(network("squeezenet"), ["tarantula", "flamingo", "goldfish", "pineapple"], steps=128)
    assert min(result.report["probability"]) >= 0.99


@pytest.mark.parametrize("preset", PRESETS)
def test_the_score_rises(model: cnnviz.Model, preset: str) -> None:
    result = make(model, 3, preset=preset, steps=30)
    assert result.image.shape == (32, 32, 3)
    series = result.history.get("Logit([3])", result.history["value"])
    assert series[-5:].mean() > series[0]
    assert result.report["label"] == "class 3"
    found = model.forward(model.preprocess(result.image), ["logits"])["logits"][0]
    shares = np.exp(found - found.max())
    assert result.report["probability"] == pytest.approx(shares[3] / shares.sum(), rel=1e-2)


def test_a_dead_score_is_revived_under_a_penalty(network: Callable[[str], Any]) -> None:
    """To this network nothing in the mean colour resembles a lorikeet: its score is 0."""
    result = make(network("squeezenet-fp16"), 90, preset="simonyan", l2=1e-4, steps=24)
    score = result.history["Logit([90])"]
    assert (score[0], score[-1] > 0) == (0, True), score


@pytest.mark.parametrize("preset", PRESETS)
def test_resume_replay_and_repetition_are_bit_for_bit(
    model: cnnviz.Model, tmp_path: Path, preset: str
) -> None:
    whole, part, again = (make(model, 3, preset=preset, steps=n, seed=4) for n in (9, 5, 9))
    part.save(tmp_path / "part.npz")
    loaded = cnnviz.load_result(tmp_path / "part.npz")
    assert isinstance(loaded, Synthesis)
    whole.save(tmp_path / "whole.png")
    replayed = cnnviz.replay(tmp_path / "whole.png", model, progress=False)
    for other in (again, part.resume(4), cnnviz.resume(loaded, model, 4), replayed):
        assert isinstance(other, Synthesis)
        np.testing.assert_array_equal(other.image, whole.image)
        np.testing.assert_array_equal(other.history["value"], whole.history["value"])
    assert not np.array_equal(make(model, 3, preset="cs231n", steps=3, seed=5).image, part.image)


def test_a_list_is_each_class_alone(model: cnnviz.Model) -> None:
    both = make(model, [3, "class 5"], steps=4)
    assert both.image.shape == (2, 32, 32, 3)
    assert both.report["label"] == ["class 3", "class 5"]
    for i, target in enumerate((3, 5)):
        np.testing.assert_allclose(both.image[i], make(model, target, steps=4).image, atol=1e-4)


def test_a_list_of_one_class_is_that_class(model: cnnviz.Model) -> None:
    one, listed = make(model, 3, steps=2), make(model, [3], steps=2)
    np.testing.assert_array_equal(one.image, listed.image)
    assert one.report == listed.report
    assert one.settings == listed.settings


def test_cs231n_s_first_step(model: cnnviz.Model) -> None:
    """Noise, rolled, climbed by 25 g / ||g||, rolled back, clipped, blurred: written out by hand."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.Generator(np.random.PCG64(2))
    z = rng.normal(size=(1, 3, 32, 32))
    oy, ox = rng.integers(0, 16, size=2, endpoint=True)
    rolled = np.roll(z, (oy, ox), axis=(2, 3))
    g = model.gradient(rolled.astype(np.float32), 3).gradients["input"] - 2e-3 * rolled
    low, high = model.preprocessing.bounds()
    z = np.roll(rolled + 25 * g / np.sqrt((g**2).sum()), (-oy, -ox), axis=(2, 3))
    z = np.clip(z, low, high)
    expected = gaussian_filter(z, (0, 0, 0.5, 0.5))
    result = make(model, 3, preset="cs231n", steps=1, seed=2)
    planes = model.preprocessing.inverse(expected.astype(np.float32))[0]
    np.testing.assert_allclose(result.image, planes, atol=1e-3)


def test_ctrl_c_returns_the_result_so_far(model: cnnviz.Model) -> None:
    def interrupt(step: Any) -> None:
        if step.steps == 3:
            raise KeyboardInterrupt

    result = make(model, 3, callback=interrupt)
    assert result.interrupted
    assert len(result.history["value"]) == 4
    assert result.best.shape == (32, 32, 3)


def test_a_step_to_infinity_keeps_the_last_finite_picture(model: cnnviz.Model) -> None:
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="try a smaller step") as raised:
        make(model, 3, learning_rate=1e308, l2=1e300, preset="yosinski", steps=5)
    kept = raised.value.result
    assert isinstance(kept, Synthesis)
    assert np.isfinite(kept.image).all()


def test_the_probability_behind_a_sigmoid_is_the_sigmoid_of_the_score() -> None:
    labelled = cnnviz.load(small_classifier(sigmoid=True), preprocessing="unit")
    result = cnnviz.class_visualization(labelled, 3, steps=3, progress=False)
    x = labelled.preprocessing.normalise(result.image[None])
    assert result.report["probability"] == pytest.approx(labelled.forward(x)[0, 3], abs=1e-4)


def test_history_has_every_term_and_the_probability(model: cnnviz.Model) -> None:
    result = make(model, [3, 5], preset="cs231n", steps=4)
    assert {"value", "Logit([3, 5])", "L2(input)", "probability"} == set(result.history)
    assert all(series.shape == (5, 2) for series in result.history.values())
    total = result.history["Logit([3, 5])"] + result.history["L2(input)"]
    np.testing.assert_allclose(result.history["value"], total)


OBJECTIVES = {
    "channel": Channel("conv2", 5),
    "neuron": Neuron("conv2", 5),
    "layer": Layer("relu2"),
    "sum": Channel("conv2", 5) + 2 * Channel("conv2", 7),
    "smooth": Channel("conv2", 5) - 0.1 * TotalVariation(),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("preset", PRESETS)
def test_an_objective_is_climbed_like_a_class(model: cnnviz.Model, preset: str, name: str) -> None:
    objective = OBJECTIVES[name]
    whole = make(model, objective, preset=preset, steps=20)
    assert whole.image.shape == (32, 32, 3)
    assert whole.report == {"label": repr(objective)}
    assert "probability" not in whole.history
    assert whole.history["value"][-5:].mean() > whole.history["value"][0]
    part = make(model, objective, preset=preset, steps=12)
    np.testing.assert_array_equal(part.resume(8).image, whole.image)


def test_the_score_of_a_class_as_an_objective_is_that_class(model: cnnviz.Model) -> None:
    one, other = make(model, Logit(3), steps=6), make(model, 3, steps=6)
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.history["value"], other.history["value"])


def test_an_objective_is_not_stored_and_files_say_so(model: cnnviz.Model, tmp_path: Path) -> None:
    result = make(model, Channel("conv2", 5), steps=2)
    assert result.settings == {}
    result.save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"carries no settings.* its target was an objective"):
        cnnviz.replay(tmp_path / "x.png", model)
    result.save(tmp_path / "x.npz")
    loaded = cnnviz.load_result(tmp_path / "x.npz")
    np.testing.assert_array_equal(loaded.image, result.image)
    assert isinstance(loaded, Synthesis)
    with pytest.raises(ValueError, match="cannot be resumed from a file: its target was an objective"):
        cnnviz.resume(loaded, model, 3)


MISTAKES = (
    ({"preset": "olah"}, "preset must be one of default, cs231n"),
    ({"steps": 1.5}, "steps must be an integer"),
    ({"l2": -1}, "l2 must be a number at least 0"),
    ({"learning_rate": "fast"}, "learning_rate must be a number"),
    ({"learning_rate": float("inf")}, "learning_rate must be a number at least 0, not inf"),
    ({"blur": np.float32("inf")}, "blur must be a number at least 0, not .*inf"),
    ({"l2": 1j}, "l2 must be a number at least 0, not 1j"),
)


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[row[1][:24] for row in MISTAKES])
def test_mistakes_are_named(model: cnnviz.Model, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(model, 3, **options)
    with pytest.raises(ValueError, match="target is an empty list"):
        make(model, [])
    with pytest.raises(ValueError, match="target lists 2 classes for a batch of 1"):
        make(model, Logit([3, 5]))
    with pytest.raises(TypeError, match=r"target must be a class index or a label, not Logit\(3\)"):
        make(model, [Logit(3)])
