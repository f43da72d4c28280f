"""Fooling images fool from the file that they are saved to, repeat, resume, and say how large they are."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Callable, List, Optional

import numpy as np
import PIL.Image
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz import plot
from cnnviz.results.files import LOSSLESS
from cnnviz.results.results import Synthesis
from cnnviz.synthesis import fooling

pytestmark = pytest.mark.filterwarnings("ignore:after .* not fool:UserWarning")

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
PHOTOGRAPHS = [
    "caffe_cat.jpg",
    "caffe_fish-bike.jpg",
    "darknet_eagle.jpg",
    "gradcam_both.png",
    "pytorchhub_dog_samoyed.jpg",
    "winml_fish.png",
    "winml_kitten_224.png",
]


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(softmax=True), preprocessing="imagenet")


def fool(model: Any, image: Any, target: Any, **options: Any) -> Synthesis:
    return cnnviz.fooling_image(model, image, target, progress=False, **options)


def other_class(model: cnnviz.Model) -> int:
    return model.predict(PICTURE, top=2)[1].index


# Three random classes for each; a class like the photograph's own can defeat "cs231n", see below.
CLASSES = np.random.default_rng(0)
CASES = [(name, CLASSES.choice(1000, 3, replace=False).tolist()) for name in PHOTOGRAPHS]


@pytest.mark.parametrize("preset", ["cs231n", "margin"])
@pytest.mark.parametrize(("name", "targets"), CASES, ids=PHOTOGRAPHS)
def test_each_photograph_becomes_three_random_classes(
    network: Callable[[str], Any], assets: Path, tmp_path: Path, name: str, targets: List[int], preset: str
) -> None:
    model = network("squeezenet")
    for target in targets:
        result = fool(model, assets / "images" / name, target, preset=preset)
        assert result.converged
        assert len(result.history["value"]) <= 101
        result.save(tmp_path / "fooling.png")
        found = model.predict(tmp_path / "fooling.png", top=1)[0]
        assert found.index == target == result.report["predicted"]
        # The report's input is rounded elsewhere, and scores of up to 66 have float32's errors of some 1e-5.
        assert found.probability == pytest.approx(result.report["confidence"], rel=1e-4)


def test_a_margin_tells_classes_apart_that_a_score_does_not(
    network: Callable[[str], Any], assets: Path
) -> None:
    photograph, terrier = assets / "images" / "gradcam_both.png", 179
    assert not fool(network("squeezenet"), photograph, terrier, preset="cs231n").converged
    assert fool(network("squeezenet"), photograph, terrier).converged


@pytest.mark.parametrize("target", [422, 480, 80, 539, 299])
def test_noise_reaches_99_percent(network: Callable[[str], Any], tmp_path: Path, target: int) -> None:
    result = fool(network("squeezenet"), None, target, seed=1)
    result.save(tmp_path / "noise.png")
    found = network("squeezenet").predict(tmp_path / "noise.png", top=1)[0]
    assert result.converged
    assert (found.index, found.probability >= 0.99) == (target, True)


def test_the_first_step_is_cs231n_s(model: cnnviz.Model) -> None:
    target = other_class(model)
    x = model.preprocess(PICTURE)
    g = model.gradient(x, target).gradients["input"].astype(np.float64)
    low, high = model.preprocessing.bounds()
    stepped = np.clip(x + 0.5 * g / np.sqrt((g**2).sum()), low, high).astype(np.float32)
    result = fool(model, PICTURE, target, steps=1, learning_rate=0.5, confidence=0.999, preset="cs231n")
    planes = result.run.memory["planes"]
    np.testing.assert_allclose(planes, model.preprocessing.inverse(stepped).transpose(0, 3, 1, 2), atol=1e-5)


def test_the_change_is_measured_in_displayed_pixels(model: cnnviz.Model) -> None:
    result = fool(model, PICTURE, other_class(model))
    change = result.image.astype(np.float64) - PICTURE / 255.0
    assert result.report["l2"] == pytest.approx(np.sqrt((change**2).sum()), rel=1e-5)
    assert result.report["linf"] == pytest.approx(np.abs(change).max(), rel=1e-5)
    assert result.report["fools"] is True
    levels = result.image * np.float32(255)
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


def test_confidence_and_margin_are_reached(model: cnnviz.Model) -> None:
    target = other_class(model)
    sure = fool(model, PICTURE, target, confidence=0.6, steps=400)
    assert sure.report["target_confidence"] >= 0.6
    ahead = fool(model, PICTURE, target, margin=1.5, steps=400)
    scores = np.sort([p.score for p in model.predict(np.rint(ahead.image * 255).astype(np.uint8), top=2)])
    assert scores[1] - scores[0] >= 1.5


def test_without_a_target_any_other_class_will_do(model: cnnviz.Model) -> None:
    result = fool(model, PICTURE, None)
    assert result.converged
    assert result.report["predicted"] != result.report["original"] == model.predict(PICTURE, top=1)[0].index


def test_probabilities_behind_a_sigmoid_are_those_of_predict(tmp_path: Path) -> None:
    labelled = cnnviz.load(small_classifier(sigmoid=True), preprocessing="imagenet")
    before, other = labelled.predict(PICTURE, top=2)
    result = fool(labelled, PICTURE, other.index, confidence=0.6)
    result.save(tmp_path / "fooling.png")
    after = labelled.predict(tmp_path / "fooling.png", top=1)[0]
    assert result.converged
    assert (after.index, result.report["predicted"]) == (other.index, other.index)
    assert result.report["original_confidence"] == pytest.approx(before.probability)
    assert result.report["target_confidence"] == pytest.approx(after.probability, rel=1e-4)
    assert result.history["probability"][0] == pytest.approx(other.probability)
    with pytest.raises(
        ValueError, match="'nguyen' climbs the softmax probability, and network ends in a Sigm"
    ):
        fool(labelled, PICTURE, other.index, preset="nguyen")


@pytest.mark.parametrize("preset", fooling.PRESETS)
@pytest.mark.parametrize("target", [0, None])
def test_a_value_has_no_rival(preset: str, target: Optional[int]) -> None:
    single = cnnviz.load(small_classifier(classes=1), preprocessing="imagenet")
    with pytest.raises(ValueError, match=r"does not classify: .* a value; take an objective"):
        fool(single, PICTURE, target, preset=preset)


def test_a_picture_that_does_not_fool_is_warned_about(model: cnnviz.Model) -> None:
    with pytest.warns(UserWarning, match="after 1 steps the picture does not fool"):
        result = fool(model, PICTURE, other_class(model), steps=1, learning_rate=1e-6)
    assert not result.converged
    assert result.report["fools"] is False


def test_a_list_of_targets_is_each_alone(model: cnnviz.Model) -> None:
    best = model.predict(PICTURE, top=3)
    targets = [best[1].index, best[2].index]
    both = fool(model, PICTURE, targets)
    for i, target in enumerate(targets):
        np.testing.assert_array_equal(both.image[i], fool(model, PICTURE, target).image)
    assert both.report["target"] == targets


@pytest.mark.parametrize("image", [PICTURE, None], ids=["picture", "noise"])
def test_resume_equals_uninterrupted_bit_for_bit(
    model: cnnviz.Model, tmp_path: Path, image: Optional[Any]
) -> None:
    options = {"confidence": 0.99999, "seed": 3, "keep_every": 2}
    whole, part, again = (fool(model, image, 3, steps=n, **options) for n in (7, 4, 7))
    part.save(tmp_path / "part.npz")
    loaded = cnnviz.load_result(tmp_path / "part.npz")
    assert isinstance(loaded, Synthesis)
    for other in (again, part.resume(3), cnnviz.resume(loaded, model, 3)):
        np.testing.assert_array_equal(other.run.memory["planes"], whole.run.memory["planes"])
        np.testing.assert_array_equal(other.history["value"], whole.history["value"])
        np.testing.assert_array_equal(other.frames, whole.frames)


def test_ctrl_c_returns_the_result_so_far(model: cnnviz.Model) -> None:
    def interrupt(step: Any) -> None:
        if step.steps == 2:
            raise KeyboardInterrupt

    result = fool(model, PICTURE, 3, confidence=0.99999, callback=interrupt)
    assert result.interrupted
    assert len(result.history["value"]) == 3
    assert result.image.shape == result.best.shape == (32, 32, 3)


@pytest.mark.parametrize(("preset", "climbed"), [("margin", "margin"), ("nguyen", "probability")])
def test_the_value_in_the_history_is_the_climbed_quantity_also_while_waking(
    network: Callable[[str], Any], preset: str, climbed: str
) -> None:
    """On grey the score of this class is 0: some steps go by before anything else can rise."""
    grey = np.full((224, 224, 3), 128, np.uint8)
    result = fool(network("squeezenet-fp16"), grey, 467, preset=preset, steps=2, keep_every=1)
    assert result.settings["position"] == [1, 2]
    assert len(result.history["value"]) > 3  # waking took a step of its own
    np.testing.assert_array_equal(result.history["value"], result.history[climbed])
    frames = [frame.tobytes() for frame in result.frames]
    assert len(set(frames)) == len(frames) == len(result.history["value"])


def test_a_callback_ends_the_run_before_the_margin_is_climbed(model: cnnviz.Model) -> None:
    result = fool(model, PICTURE, 3, confidence=0.99999, callback=lambda step: True)
    assert len(result.history["value"]) == 1
    assert result.settings["position"] == [0, 0]


@pytest.mark.parametrize("image", [PICTURE, None], ids=["picture", "noise"])
def test_a_png_is_replayed(model: cnnviz.Model, tmp_path: Path, image: Optional[Any]) -> None:
    result = fool(model, image, 3, steps=30)
    result.save(tmp_path / "x.png")
    again = cnnviz.replay(tmp_path / "x.png", model, progress=False)
    assert isinstance(again, Synthesis)
    np.testing.assert_array_equal(again.image, result.image)
    assert again.settings == result.settings


@pytest.mark.parametrize("suffix", sorted(LOSSLESS))
def test_pictures_without_loss_keep_every_pixel(model: cnnviz.Model, tmp_path: Path, suffix: str) -> None:
    result = fool(model, PICTURE, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result.save(tmp_path / f"x{suffix}")
    pixels = np.asarray(PIL.Image.open(tmp_path / f"x{suffix}").convert("RGB"))
    np.testing.assert_array_equal(pixels / np.float32(255), result.image)


def test_a_picture_with_loss_is_written_with_a_warning(model: cnnviz.Model, tmp_path: Path) -> None:
    result = fool(model, PICTURE, 3)
    with pytest.warns(UserWarning, match=r"\.jpg may change the pixels") as warned:
        result.save(tmp_path / "x.jpg", quality=90)
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result.save(tmp_path / "x.webp", lossless=True)


def test_an_animation_has_its_frames(model: cnnviz.Model, tmp_path: Path) -> None:
    result = fool(model, PICTURE, 3, confidence=0.99999, steps=6, keep_every=2)
    result.save(tmp_path / "x.gif")
    assert len(result.frames) >= 4
    assert PIL.Image.open(tmp_path / "x.gif").n_frames >= 4
    with pytest.raises(ValueError, match="keep_every="):
        fool(model, PICTURE, other_class(model)).save(tmp_path / "y.gif")


@pytest.mark.parametrize(
    ("channels", "preprocessing"), [(1, "unit"), (3, "caffe"), (3, "tf")], ids=["grey", "BGR", "tf"]
)
def test_networks_of_other_conventions_are_fooled_from_the_file_too(
    tmp_path: Path, channels: int, preprocessing: str
) -> None:
    data = small_classifier(channels=channels, seed=2)
    other = cnnviz.load(data, preprocessing=preprocessing)
    target = other.predict(PICTURE, top=2)[1].index
    result = fool(other, PICTURE, target)
    assert result.converged
    result.save(tmp_path / "x.png")
    assert other.predict(tmp_path / "x.png", top=1)[0].index == target
    if channels == 1:
        assert np.ptp(result.image, axis=2).max() == 0
    assert 0 < result.report["linf"] <= 1


SHAPES = ((1, 1, 3), (40, 7), (300, 20, 4))


@pytest.mark.parametrize("shape", SHAPES, ids=["1x1", "grey", "rgba"])
def test_pictures_of_any_shape_are_fooled(model: cnnviz.Model, shape: Any) -> None:
    picture = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    target = model.predict(picture, top=2)[1].index
    result = fool(model, picture, target)
    assert result.converged
    assert result.image.shape == (32, 32, 3)


def test_the_result_draws_itself(model: cnnviz.Model, no_figures_left: None) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    pair = model.predict(PICTURE, top=3)[1:]
    for result in (fool(model, PICTURE, pair[0].index), fool(model, PICTURE, [one.index for one in pair])):
        figure = plot.fooling(result, figure=Figure())
        shown = [image.get_array() for ax in figure.axes for image in ax.images]
        pictures = result.image if result.image.ndim == 4 else result.image[None]
        for picture in pictures:
            assert any(np.array_equal(picture, one) for one in shown)
        own = result.plot()
        assert isinstance(own, Figure)
        plt.close(own)
    plt.close(fool(model, None, 3, confidence=0.1).plot().figure)


MISTAKES = (
    ({"preset": "fgsm"}, "preset must be one of margin, cs231n, nguyen"),
    ({"steps": -1}, "steps must be an integer of at least 0, not -1"),
    ({"steps": True}, "steps must be an integer"),
    ({"confidence": 1.5}, "confidence must be a number between 0 and 1, not 1.5"),
    ({"learning_rate": float("nan")}, "learning_rate must be a number"),
    ({"margin": float("inf")}, "margin must be a number at least 0, not inf"),
    ({"margin": -1}, "margin must be a number at least 0"),
    ({"seed": "x"}, "seed must be an integer"),
)


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[row[1][:24] for row in MISTAKES])
def test_mistakes_are_named(model: cnnviz.Model, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fool(model, PICTURE, 3, **options)


def test_targets_that_do_not_fit(model: cnnviz.Model) -> None:
    with pytest.raises(ValueError, match="target is None: from noise"):
        fool(model, None, None)
    with pytest.raises(ValueError, match="target lists 3 classes for 2 images"):
        fool(model, [PICTURE, PICTURE], [1, 2, 3])
    assert set(fooling.PRESETS) == {"margin", "cs231n", "nguyen"}


def test_the_class_of_the_picture_itself_is_no_target(model: cnnviz.Model) -> None:
    own, other = (one.index for one in model.predict(PICTURE, top=2))
    rows = (
        (PICTURE, own, rf"target {own} \('class {own}'\) is what the network sees in the image already"),
        (PICTURE, [other, own], f"target {own} .* in the image already"),
        ([PICTURE, PICTURE], [other, own], rf"target {own} .* in image\[1\] already: name another class"),
    )
    for image, target, message in rows:
        with pytest.raises(ValueError, match=message):
            fool(model, image, target)


def test_with_a_range_the_numbers_that_are_stored_fool(tmp_path: Path) -> None:
    units = cnnviz.Preprocessing(range=(0, 4095), mean=2000.0, std=1000.0)
    model = cnnviz.load(small_classifier(softmax=True), preprocessing=units)
    given = RNG.integers(0, 4096, (32, 32, 3))
    target = model.predict(given, top=2)[1].index
    fool(model, given, target).save(tmp_path / "x.npz")
    again = cnnviz.load_result(tmp_path / "x.npz")
    assert again.report["fools"]
    assert model.predict(model.preprocessing.in_units(again.image))[0].index == target
