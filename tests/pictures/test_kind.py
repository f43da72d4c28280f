"""Pictures of a network's own kind: any channels, numbers in a stated range, and what is refused."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import PIL.Image
import pytest

from cnnviz.pictures.batch import in_colour
from cnnviz.pictures.kind import Displayed
from cnnviz.pictures.preprocessing import Preprocessing, as_preprocessing

RNG = np.random.default_rng(0)
BANDS = ("blue", "green", "red", "nir", "swir")
FIVE = Preprocessing(size=(6, 8), channel_order=BANDS, mean=(0.1, 0.2, 0.3, 0.4, 0.5), std=(1, 2, 3, 4, 5))
TWELVE_BITS = Preprocessing(size=(6, 8), channel_order="L", mean=1000.0, std=500.0, range=(0, 4095))
HOUNSFIELD = Preprocessing(size=(6, 8), channel_order="L", mean=-300.0, std=600.0, range=(-1000, 400))
SATELLITE = replace(FIVE, range=(0, 10000), mean=(500, 600, 700, 2000, 1500), std=300.0)

GREY = RNG.integers(0, 4096, (6, 8))
CT = RNG.integers(-1000, 401, (6, 8))
SCENE = RNG.integers(0, 10001, (6, 8, 5))

#: A preprocessing, pictures of the same numbers in every type that holds them, and the numbers H,W,C.
SAME: Dict[str, Tuple[Preprocessing, Tuple[Any, ...], Any]] = {
    "12 bits": (
        TWELVE_BITS,
        (np.uint16, np.int16, np.int32, np.int64, np.float32, np.float64),
        GREY[..., None],
    ),
    "Hounsfield": (HOUNSFIELD, (np.int16, np.int32, np.float16, np.float64), CT[..., None]),
    "satellite": (SATELLITE, (np.uint16, np.int32, np.float32), SCENE),
}


@pytest.mark.parametrize("name", SAME)
def test_numbers_in_a_range_follow_the_formula(name: str) -> None:
    preprocessing, types, numbers = SAME[name]
    expected = (numbers.astype(np.float64) - preprocessing.mean) / preprocessing.std
    for dtype in types:
        given = numbers.astype(dtype)
        copy = given.copy()
        x = preprocessing(preprocessing.read(given)[0])
        np.testing.assert_allclose(
            x[0], np.moveaxis(expected, 2, 0), rtol=1e-4, atol=2e-5, err_msg=str(dtype)
        )
        np.testing.assert_array_equal(given, copy)
    pictures = preprocessing.inverse(x)
    back = preprocessing.in_units(pictures[0])[..., : numbers.shape[2]]
    np.testing.assert_allclose(back, numbers, atol=0.01)
    low, high = preprocessing.range or (0, 0)
    for bound, number in zip(preprocessing.bounds(), (low, high)):
        np.testing.assert_allclose(
            bound.ravel(), (number - np.array(preprocessing.mean)) / preprocessing.std, rtol=1e-5
        )


def test_sixteen_bits_that_hold_twelve_are_warned_of() -> None:
    plain = Preprocessing(size=(6, 8), channel_order="L")
    with pytest.warns(
        UserWarning, match=r"image is uint16 and spans 0 to 4095, .* state range=\(low, high\)"
    ):
        plain.read(np.full((6, 8), 4095, np.uint16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain.read(np.full((6, 8), 4096, np.uint16))
        TWELVE_BITS.read(np.full((6, 8), 4095, np.uint16))


def test_grey_of_twelve_bits_comes_from_files_too(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    PIL.Image.fromarray(GREY.astype(np.uint16)).save(path)
    np.testing.assert_array_equal(TWELVE_BITS.read(path)[0][0], TWELVE_BITS.read(GREY)[0][0])
    eight = tmp_path / "eight.png"
    PIL.Image.fromarray((GREY % 256).astype(np.uint8)).save(eight)
    np.testing.assert_array_equal(TWELVE_BITS.read(eight)[0][0], TWELVE_BITS.read(GREY % 256)[0][0])


def test_pictures_of_five_channels_are_fitted_channel_by_channel() -> None:
    large = RNG.random((60, 90, 5)).astype(np.float32)
    alone = Preprocessing(size=(6, 8), channel_order="L")
    fitted = FIVE.fit(FIVE.read(large)[0][0])
    assert fitted.shape == (6, 8, 5)
    for c in range(5):
        np.testing.assert_array_equal(fitted[..., c], alone.fit(alone.read(large[..., c])[0][0])[..., 0])
    x = FIVE.normalise(fitted[None])
    np.testing.assert_allclose(x[0, 3], (fitted[..., 3] - 0.4) / 4, rtol=1e-5)
    np.testing.assert_allclose(FIVE.inverse(x)[0], fitted, atol=1e-6)
    eight_bits = (255 * large).astype(np.uint8)
    assert FIVE.read(eight_bits)[0][0].dtype == np.uint8
    batch, batched = FIVE.read(np.stack([large, large]))
    assert batched
    assert [one.shape for one in batch] == [(60, 90, 5)] * 2


def test_four_channels_are_no_transparency() -> None:
    depth = Preprocessing(size=(2, 2), channel_order=("R", "G", "B", "depth"))
    given = RNG.random((2, 2, 4)).astype(np.float32)
    np.testing.assert_array_equal(depth.read(given)[0][0], given)
    four_bands = PIL.Image.fromarray((255 * given).astype(np.uint8))
    np.testing.assert_array_equal(depth.read(four_bands)[0][0], np.asarray(four_bands))


def test_a_displayed_picture_is_taken_as_it_is() -> None:
    shown = RNG.random((6, 8, 3)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(TWELVE_BITS.read(Displayed(shown))[0][0], shown)
        one = Preprocessing(size=(6, 8), channel_order=("depth",), range=(0, 50))
        np.testing.assert_array_equal(one.read(Displayed(shown))[0][0], shown)


def test_a_displayed_picture_given_as_numbers_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"spans .* in a range of 0 to 4095.*in_units"):
        TWELVE_BITS.read(RNG.random((6, 8)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TWELVE_BITS.read(np.zeros((6, 8)))
        replace(TWELVE_BITS, range=(0, 2)).read(RNG.random((6, 8)))


@pytest.mark.parametrize("channels", [2, 4, 5, 12])
def test_what_is_not_said_about_channels(channels: int) -> None:
    for given in (None, "unit", "tf"):
        found = as_preprocessing(given, channels, (8, 8))
        assert (found.channels, found.channel_names[0]) == (channels, "channel 0")
    with pytest.raises(ValueError, match=f"takes {channels}: pass .*channel_order={channels}, or a tuple"):
        as_preprocessing("imagenet", channels, (8, 8))


REFUSED: Tuple[Tuple[str, Preprocessing, Any, type, str], ...] = (
    (
        "colour",
        FIVE,
        np.zeros((4, 4, 3)),
        ValueError,
        r"\(4, 4, 3\).* 5 channels \(blue, green, red, nir, swir\)",
    ),
    ("channels first", FIVE, np.zeros((5, 4, 6)), ValueError, r"transpose\(1, 2, 0\)"),
    ("a batch, channels first", FIVE, np.zeros((2, 5, 4, 6)), ValueError, r"transpose\(0, 2, 3, 1\)"),
    ("no channels", FIVE, np.zeros((4, 4)), ValueError, r"\(4, 4\): it must be H,W,5, since"),
    ("a picture of Pillow's", FIVE, PIL.Image.new("RGB", (4, 4)), ValueError, "5 channels"),
    ("too large", TWELVE_BITS, np.full((4, 4), 4100), ValueError, "spans 4100 to 4100, outside .* 0 to 4095"),
    ("too small", HOUNSFIELD, np.full((4, 4), -1024), ValueError, "-1024 .*clip the picture, or state"),
    ("NaN", TWELVE_BITS, np.full((4, 4), np.nan), ValueError, "NaN or infinity: 16 of 16"),
    ("text", TWELVE_BITS, np.full((4, 4), "a"), TypeError, "must hold numbers from 0 to 4095"),
    ("no range is stated", FIVE, np.full((4, 4, 5), 300), TypeError, r"must state their range=\(low, high\)"),
    ("floats without a range", FIVE, np.full((4, 4, 5), 3.0), ValueError, r"state their range=\(low, high\)"),
    ("colour for one channel", Preprocessing(channel_order=1), np.zeros((4, 4, 3)), ValueError, "1 channels"),
)


@pytest.mark.parametrize(
    ("preprocessing", "given", "error", "message"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_other_pictures_are_refused(
    preprocessing: Preprocessing, given: Any, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        preprocessing.read(given)


def test_channels_are_shown_as_chosen() -> None:
    scene = RNG.random((3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(in_colour(scene, (2, 1, 0)), scene[..., 2::-1])
    np.testing.assert_array_equal(in_colour(scene, [3]), np.repeat(scene[..., 3:4], 3, axis=2))
    np.testing.assert_allclose(in_colour(scene)[..., 0], scene.mean(axis=2), rtol=1e-6)
    np.testing.assert_array_equal(in_colour(scene[..., :3]), scene[..., :3])
    for wrong in ((0, 1), (0, 1, 5), (-1,), ("red",), 0, (1.5,), (True,), ()):
        with pytest.raises(ValueError, match="channels must be one or three indices from 0 to 4"):
            in_colour(scene, wrong)  # type: ignore[arg-type]
