"""Preprocessing is the published formula, exactly undone, with gradients and bounds that follow from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Tuple

import numpy as np
import pytest

from cnnviz.pictures.preprocessing import PRESETS, Preprocessing, as_preprocessing

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)

# A pixel (red, green, blue) of 0 to 255, and what the network is fed for it.
FORMULAS = (
    ("imagenet", (255, 0, 0), ((1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225)),
    ("caffe", (255, 10, 20), (20 - 104, 10 - 117, 255 - 123)),
    ("tf", (0, 255, 51), (-1, 1, -0.6)),
    ("unit", (0, 255, 51), (0, 1, 0.2)),
)


@pytest.mark.parametrize(("preset", "pixel", "fed"), FORMULAS, ids=[row[0] for row in FORMULAS])
def test_presets_follow_their_formula(preset: str, pixel: Tuple[int, ...], fed: Tuple[float, ...]) -> None:
    picture = np.tile(np.array(pixel, np.uint8), (4, 4, 1))
    preprocessing = replace(PRESETS[preset], size=(4, 4))
    x = preprocessing.normalise(preprocessing.fit(picture)[None])
    assert x.shape == (1, 3, 4, 4)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[0, :, 0, 0], fed, atol=2e-5)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_have_the_bits_of_numpy(preset: str) -> None:
    preprocessing = replace(PRESETS[preset], size=(32, 32))
    pictures = RNG.random((2, 32, 32, 3)).astype(np.float32)
    mean, std = (
        np.broadcast_to(np.float32(numbers), 3) for numbers in (preprocessing.mean, preprocessing.std)
    )
    channels = slice(None, None, -1 if preprocessing.channel_order == "BGR" else 1)
    expected = (pictures[..., channels] * np.float32(preprocessing.scale) - mean) / std
    np.testing.assert_array_equal(preprocessing.normalise(pictures), np.moveaxis(expected, 3, 1))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_inverse_gives_the_same_bytes_back(preset: str) -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.dstack([every, every[::-1], every.T])
    preprocessing = replace(PRESETS[preset], size=(16, 16))
    again = preprocessing.inverse(preprocessing.normalise(preprocessing.fit(picture)[None]))[0]
    np.testing.assert_array_equal(np.rint(again * 255).astype(np.uint8), picture)
    np.testing.assert_allclose(again, picture / 255, atol=1e-6)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_gradient_and_bounds_are_those_of_the_formula(preset: str) -> None:
    preprocessing = replace(PRESETS[preset], size=(4, 4))
    pixels = RNG.random((1, 4, 4, 3)).astype(np.float32) * 0.9
    dx = RNG.normal(size=(1, 3, 4, 4)).astype(np.float32)
    step = np.float32(0.05)
    change = preprocessing.normalise(pixels + step) - preprocessing.normalise(pixels)
    np.testing.assert_allclose(preprocessing.scale_gradient(dx) * step, dx * change, rtol=1e-3, atol=1e-5)
    low, high = preprocessing.bounds()
    for bound, value in ((low, 0), (high, 1)):
        fed = preprocessing.normalise(np.full((1, 1, 1, 3), value, np.float32))
        np.testing.assert_array_equal(fed, bound)


def test_grey_networks_see_luma() -> None:
    preprocessing = as_preprocessing(None, 1, (6, 8))
    x = preprocessing.normalise(preprocessing.fit(PICTURE)[None])
    np.testing.assert_allclose(x[0, 0], PICTURE @ [0.299, 0.587, 0.114] / 255, rtol=1e-5)
    assert preprocessing.inverse(x).shape == (1, 6, 8, 3)


def test_a_picture_of_the_right_size_is_taken_whole() -> None:
    preprocessing = replace(PRESETS["imagenet"], size=(6, 8))
    np.testing.assert_array_equal(preprocessing.fit(PICTURE), PICTURE.astype(np.float32) / np.float32(255))


def test_the_middle_is_kept() -> None:
    picture = np.zeros((256, 512, 3), np.uint8)
    picture[16:240, 144:368] = 255
    fitted = replace(PRESETS["imagenet"], size=(224, 224)).fit(picture)
    np.testing.assert_array_equal(fitted, 1)
    picture[15] = picture[240] = 255
    picture[:, 143] = picture[:, 368] = 255
    assert replace(PRESETS["imagenet"], size=(224, 224)).fit(255 - picture).max() == 0


def test_resizing_has_half_pixel_centres_and_does_not_alias() -> None:
    ramp = np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], 64, axis=0)
    ramp = np.repeat(ramp, 3, axis=2)
    fitted = replace(PRESETS["unit"], size=(16, 16)).fit(ramp)
    centres = ((np.arange(16) + 0.5) * 4 - 0.5) / 63
    np.testing.assert_allclose(fitted[5, 2:-2, 0], centres[2:-2], atol=1e-5)
    stripes = np.zeros((64, 64, 3), np.float32)
    stripes[:, ::2] = 1
    fitted = replace(PRESETS["unit"], size=(16, 16)).fit(stripes)
    np.testing.assert_allclose(fitted[:, 2:-2], 0.5, atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2), (223, 225)])
def test_any_shape_fits(shape: Tuple[int, int]) -> None:
    picture = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for preset in PRESETS.values():
        fitted = replace(preset, size=(224, 224)).fit(picture)
        assert fitted.shape == (224, 224, 3)
        assert 0 <= fitted.min() <= fitted.max() <= 1


def test_a_large_photograph_fits() -> None:
    picture = np.zeros((4000, 6000, 3), np.uint8)
    picture[:, 3000:] = 200
    fitted = replace(PRESETS["imagenet"], size=(224, 224)).fit(picture)
    np.testing.assert_allclose(fitted[:, :100], 0, atol=1e-6)
    np.testing.assert_allclose(fitted[:, 124:], 200 / 255, atol=1e-6)


def test_uint8_and_float_pictures_give_the_same_input() -> None:
    picture = RNG.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    preprocessing = replace(PRESETS["imagenet"], size=(224, 224))
    np.testing.assert_allclose(preprocessing.fit(picture), preprocessing.fit(picture / 255.0), atol=1e-6)


def test_small_networks_get_the_whole_picture() -> None:
    assert as_preprocessing("imagenet", 3, (32, 32)).crop == 1
    assert as_preprocessing("imagenet", 3, (224, 224)).crop == 0.875


ERRORS: Tuple[Tuple[Dict[str, Any], type, str], ...] = (
    ({"channel_order": "RBG"}, ValueError, "channel_order.*RBG"),
    ({"channel_order": 0}, ValueError, "channel_order must be a number of channels.*0"),
    ({"channel_order": True}, ValueError, "channel_order.*True"),
    ({"channel_order": ("a", "b", "a")}, ValueError, "channel_order must name each channel once"),
    ({"channel_order": ("red", "nir"), "mean": (1, 2, 3)}, ValueError, r"number or 2, .* of red, nir, not"),
    ({"channel_order": 5, "std": (1, 2, 3)}, ValueError, "number or 5, .* of channel 0, "),
    ({"range": (5, 5)}, ValueError, r"range must be two numbers, the lower one first.*\(5, 5\)"),
    ({"range": (0, float("inf"))}, ValueError, "range must be two numbers"),
    ({"range": 255}, ValueError, "range must be two numbers"),
    ({"range": ("a", "b")}, ValueError, r"range must be two numbers.*\('a', 'b'\)"),
    ({"range": [0, 4095]}, ValueError, r"range must be .* in a tuple .*not \[0, 4095\]"),
    (
        {"channel_order": ["a", "b"]},
        ValueError,
        r"channel_order must be .*a tuple of.*not \['a', 'b'\]",
    ),
    ({"size": 5}, ValueError, "size must be positive integers, .*not 5"),
    ({"size": (1.5, 2)}, ValueError, r"size must be positive integers, .*not \(1.5, 2\)"),
    ({"mean": "x"}, ValueError, "mean must be one number or 3, .*not 'x'"),
    ({"std": None}, ValueError, "std must be one number or 3, .*not None"),
    ({"scale": "q"}, ValueError, "scale must be a number, not 'q'"),
    ({"std": (0.2, 0.0, 0.2)}, ValueError, "std must be positive"),
    ({"mean": (0.1, 0.2)}, ValueError, "mean must be one number or 3"),
    ({"mean": float("nan")}, ValueError, "mean"),
    ({"crop": 0}, ValueError, "crop"),
    ({"size": (0, 3)}, ValueError, "size"),
    ({"resample": "magic"}, ValueError, "resample.*magic"),
)


@pytest.mark.parametrize(("members", "error", "message"), ERRORS, ids=[str(row[0]) for row in ERRORS])
def test_impossible_preprocessing_is_refused(members: Dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Preprocessing(**members)


def test_unknown_presets_and_wrong_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"preprocessing must be one of imagenet, .*, not 'vgg'"):
        as_preprocessing("vgg", 3, (8, 8))
    with pytest.raises(TypeError, match="not dict"):
        as_preprocessing({}, 3, (8, 8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"feeds 3 channels \(R, G, B\), .* takes 1: .*order='L'"):
        as_preprocessing("imagenet", 1, (8, 8))
