"""Pictures of every kind are read, and what is no picture is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import numpy as np
import PIL.Image
import pytest
from toy_networks import small_vgg

import cnnviz
from cnnviz.pictures.image import read_image, read_images

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


def from_pil(mode: str) -> PIL.Image.Image:
    return PIL.Image.fromarray(RGB).convert(mode)


def test_path_pil_and_array_agree(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    PIL.Image.fromarray(RGB).save(path)
    for image in (path, str(path), PIL.Image.open(path), RGB):
        np.testing.assert_array_equal(read_image(image), RGB)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_modes_of_pillow(mode: str) -> None:
    pixels = read_image(from_pil(mode) if mode != "LAB" else PIL.Image.new("LAB", (7, 5), (128, 128, 128)))
    assert pixels.shape == (5, 7, 3)
    assert pixels.dtype == np.uint8


def test_grey_is_repeated() -> None:
    np.testing.assert_array_equal(read_image(GREY), np.repeat(GREY[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(read_image(PIL.Image.fromarray(GREY)), read_image(GREY))


def test_sixteen_bits_keep_their_depth(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
    path = tmp_path / "deep.png"
    PIL.Image.fromarray(deep).save(path)
    for image in (deep, path):
        np.testing.assert_allclose(read_image(image)[:, :, 1], deep / 65535, rtol=1e-6)


def test_transparency_is_laid_on_white() -> None:
    rgba = np.dstack([RGB, np.full((5, 7), 255, np.uint8)])
    np.testing.assert_array_equal(read_image(rgba), RGB)
    rgba[2, 3, 3] = 0
    np.testing.assert_array_equal(read_image(rgba)[2, 3], [1, 1, 1])
    np.testing.assert_allclose(read_image(rgba), read_image(PIL.Image.fromarray(rgba)), rtol=1e-6)


def test_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    picture = PIL.Image.new("P", (2, 1))
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "palette.png", transparency=0)
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png")[0], [[1, 1, 1], [1, 0, 0]])


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter to the right
    path = tmp_path / "turned.png"
    PIL.Image.fromarray(RGB).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(RGB, -1))


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a.astype(np.float64),
        lambda a: a.astype(np.float16),
        lambda a: np.asfortranarray(a.astype(np.float32)),
        lambda a: np.repeat(a, 2, axis=1)[:, ::2].astype(np.float32),
    ],
    ids=["float64", "float16", "fortran", "strided"],
)
def test_floats_of_any_layout(make: Callable[[Any], Any]) -> None:
    unit = (RGB / 255).astype(np.float32)
    given = make(unit)
    copy = given.copy()
    np.testing.assert_allclose(read_image(given), unit, atol=1e-3)
    np.testing.assert_array_equal(given, copy)


def test_read_only_arrays_are_read() -> None:
    given = RGB.copy()
    given.flags.writeable = False
    np.testing.assert_array_equal(read_image(given), RGB)


def test_batches() -> None:
    for images in ([RGB, GREY], (RGB, GREY)):
        pixels, batched = read_images(images)
        assert batched
        assert [p.shape for p in pixels] == [(5, 7, 3)] * 2
    pixels, batched = read_images(np.stack([RGB, RGB]))
    assert batched
    assert len(pixels) == 2
    assert read_images(RGB)[1] is False


ERRORS: Tuple[Tuple[str, Any, type, str], ...] = (
    ("float above 1", RGB.astype(np.float32), ValueError, r"spans \d+ to \d+.*divide by 255"),
    ("float below 0", RGB / 255 - 0.5, ValueError, "between 0 and 1"),
    ("NaN", np.full((4, 4, 3), np.nan), ValueError, "NaN or infinity: 48 of 48"),
    ("infinity", np.full((4, 4, 3), np.inf), ValueError, "NaN or infinity"),
    ("no rows", np.zeros((0, 4, 3), np.uint8), ValueError, r"empty.*\(0, 4, 3\)"),
    ("channels first", np.zeros((3, 8, 9), np.uint8), ValueError, r"transpose\(1, 2, 0\)"),
    ("batch of channels first", np.zeros((2, 3, 8, 9), np.uint8), ValueError, r"transpose\(0, 2, 3, 1\)"),
    ("five channels", np.zeros((8, 9, 5), np.uint8), ValueError, "1, 3 or 4"),
    ("one axis", np.zeros(8, np.uint8), ValueError, "H,W,3"),
    ("five axes", np.zeros((1, 1, 8, 8, 3), np.uint8), ValueError, "H,W,3"),
    ("int64", RGB.astype(np.int64), TypeError, "dtype int64"),
    ("bool", RGB > 3, TypeError, "dtype bool"),
    ("complex", RGB.astype(complex), TypeError, "dtype complex128"),
    ("strings", np.array([["a"]]), TypeError, "dtype <U1"),
    ("objects", np.array([[None]]), TypeError, "dtype object"),
    ("None", None, TypeError, "NoneType"),
    ("a number", 3, TypeError, "not int"),
    ("bytes", b"abc", TypeError, "not bytes"),
    ("empty list", [], ValueError, "empty list"),
    ("empty batch", np.zeros((0, 4, 4, 3), np.uint8), ValueError, "empty batch"),
    ("one bad in a list", [RGB, RGB * 1.0], ValueError, r"image\[1\].*between 0 and 1"),
    ("no such file", "nowhere.png", FileNotFoundError, "nowhere.png"),
    ("a folder", ".", ValueError, "folder"),
    ("empty PIL image", PIL.Image.new("RGB", (0, 4)), ValueError, "empty: 0x4"),
)


@pytest.mark.parametrize(
    ("image", "error", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_what_is_no_picture_is_refused(image: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        read_images(image)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    with pytest.raises(ValueError, match=r"text\.png"):
        read_image(text)
    whole = tmp_path / "whole.jpg"
    PIL.Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"cut\.jpg"):
        read_image(cut)


def grey16(folder: Path) -> Any:
    path = folder / "deep.png"
    PIL.Image.fromarray(RNG.integers(0, 65536, (50, 40), dtype=np.uint16)).save(path)
    return path


def turned(folder: Path) -> Any:
    exif = PIL.Image.Exif()
    exif[0x0112] = 8
    path = folder / "turned.jpg"
    PIL.Image.fromarray(LARGE).save(path, exif=exif)
    return path


LARGE = RNG.integers(0, 256, (50, 40, 3), dtype=np.uint8)
KINDS: Dict[str, Callable[[Path], Any]] = {
    "grey": lambda _: LARGE[:, :, 0],
    "16-bit": grey16,
    "RGBA": lambda _: np.dstack([LARGE, LARGE[:, :, :1]]),
    "palette": lambda _: PIL.Image.fromarray(LARGE).convert("P"),
    "CMYK": lambda _: PIL.Image.fromarray(LARGE).convert("CMYK"),
    "EXIF-rotated": turned,
    "1x1": lambda _: LARGE[:1, :1],
    "6000x4000": lambda _: PIL.Image.fromarray(LARGE).resize((6000, 4000)),
}
TECHNIQUES: Dict[str, Callable[[cnnviz.Model, Any], Any]] = {
    "saliency": lambda model, image: cnnviz.saliency(model, image).map,
    "grad_cam": lambda model, image: cnnviz.grad_cam(model, image).map,
    "guided_backprop": lambda model, image: cnnviz.guided_backprop(model, image).map,
    "fooling_image": lambda model, image: (
        cnnviz.fooling_image(model, image, 3, steps=2, progress=False).image
    ),
    "style_transfer": lambda model, image: (
        cnnviz.style_transfer(model, image, image, size=32, steps=1, progress=False).image
    ),
}


@pytest.mark.filterwarnings("ignore:after 2 steps")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_every_technique_sees_the_picture_that_is_shown(technique: str, kind: str, tmp_path: Path) -> None:
    model = cnnviz.load(small_vgg(), preprocessing="unit")
    image, run = KINDS[kind](tmp_path), TECHNIQUES[technique]
    np.testing.assert_array_equal(run(model, image), run(model, read_image(image)))
