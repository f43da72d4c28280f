"""Transforms and parametrisations: adjoints, known results, sizes, repeatability."""

from __future__ import annotations

import numpy as np
import pytest

from cnnviz.optimize import transforms as tf
from cnnviz.optimize.parametrize import COLOUR_BASIS, Fourier, NetworkInput, Pixels
from cnnviz.pictures.preprocessing import PRESETS, Preprocessing

SIZE = (11, 14)
TRANSFORMS = [
    tf.Jitter(3),
    tf.Jitter(3, one_sided=True),
    tf.Flip(1.0),
    tf.Pad(2, value=0.0),
    tf.Pad(4, mode="reflect"),
    tf.Crop(7, 9),
    tf.Blur(0.5, 0.5),
    tf.Blur(2.0, 9.0),
    tf.Scale((0.8,)),
    tf.Scale((1.3,)),
    tf.Rotate((17.0,)),
    tf.Rotate((-90.0, 45.0)),
    tf.Compose((tf.Pad(3, value=0.0), tf.Jitter(2), tf.Scale((0.9, 1.1)), tf.Rotate((5.0,)), tf.Crop(*SIZE))),
]


def images(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_adjoint(transform: tf.Transform, dtype: type) -> None:
    one = transform.draw(np.random.default_rng(5), SIZE)
    x = images((2, 3, *SIZE)).astype(dtype)
    y = one.forward(x)
    assert y.shape[2:] == transform.size_after(SIZE)
    dy = images(y.shape, seed=1).astype(dtype)
    dx = one.adjoint(dy)
    assert (dx.shape, dx.dtype) == (x.shape, y.dtype)
    assert y.dtype in (dtype, np.float32)  # the core's maps give float32 whatever they get
    rounding = (1e-12 if y.dtype == np.float64 else 1e-6) * np.linalg.norm(y) * np.linalg.norm(dy)
    assert abs((y.astype(np.float64) * dy).sum() - (x.astype(np.float64) * dx).sum()) < rounding


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_same_generator_same_draw(transform: tf.Transform) -> None:
    x = images((1, 1, *SIZE)).astype(np.float32)
    first, again = (transform.draw(np.random.default_rng(9), SIZE).forward(x) for _ in range(2))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)


def test_blur_is_scipys() -> None:
    from scipy import ndimage

    x = images((1, 2, *SIZE))
    for sigma in (0.5, 1.7, 6.0):
        expected = ndimage.gaussian_filter(x, (0, 0, sigma, sigma))
        np.testing.assert_allclose(tf.gaussian(SIZE, sigma).forward(x), expected, atol=1e-12)


def test_quarter_turn_and_zoom_about_the_centre() -> None:
    x = images((1, 1, 5, 5))
    turned = tf.Rotate((90.0,)).draw(np.random.default_rng(0), (5, 5)).forward(x)
    np.testing.assert_allclose(turned[0, 0], np.rot90(x[0, 0]), atol=1e-6)
    zoomed = tf.Scale((2.0,)).draw(np.random.default_rng(0), (5, 5)).forward(x)
    np.testing.assert_allclose(zoomed[0, 0, 2, [0, 2, 4]], x[0, 0, 2, [1, 2, 3]], atol=1e-6)


def test_pad_frames_with_its_value_or_a_reflection() -> None:
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    framed = tf.Pad(1, value=0.5).draw(np.random.default_rng(0), (3, 4)).forward(x)
    np.testing.assert_array_equal(framed, np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.5))
    mirrored = tf.Pad(2, mode="reflect").draw(np.random.default_rng(0), (3, 4)).forward(x)
    np.testing.assert_array_equal(mirrored, np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect"))


@pytest.mark.parametrize(
    ("transform", "match"),
    [(tf.Pad(11, mode="reflect"), "cannot reflect"), (tf.Crop(12, 3), "cannot crop 12 x 3")],
)
def test_sizes_that_do_not_fit(transform: tf.Transform, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        transform.draw(np.random.default_rng(0), SIZE)


def test_a_pad_of_unknown_kind() -> None:
    with pytest.raises(ValueError, match="'constant' or 'reflect'"):
        tf.Pad(1, mode="wrap")


FEEDS = [*PRESETS.values(), Preprocessing(channel_order="L", mean=0.3, std=0.2)]
PARAMETRIZATIONS = [
    lambda size, feed: Pixels(),
    lambda size, feed: NetworkInput(feed),
    lambda size, feed: Fourier(size, feed.channels),
    lambda size, feed: Fourier(size, feed.channels, decay=1.5),
]


@pytest.mark.parametrize("preprocessing", FEEDS, ids=lambda p: f"{p.name}-{p.channel_order}")
def test_feed_is_the_preprocessing_without_the_geometry(preprocessing: Preprocessing) -> None:
    pictures = np.random.default_rng(0).uniform(size=(2, *SIZE, 3)).astype(np.float32)
    feed = preprocessing.feed
    planes = preprocessing.planes(pictures)
    x = preprocessing.normalise(pictures)
    np.testing.assert_array_equal(feed.forward(planes), x)
    np.testing.assert_allclose(feed.inverse(x), planes, atol=1e-5)
    dx = images(x.shape, seed=2)
    shifted = feed.forward(planes + 1e-2 * images(planes.shape)) - feed.forward(planes)
    np.testing.assert_allclose(
        (shifted * dx).sum(), (1e-2 * images(planes.shape) * feed.adjoint(dx)).sum(), rtol=1e-2
    )


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (9, 8), (8, 7)], ids=str)
@pytest.mark.parametrize("make", PARAMETRIZATIONS, ids=["pixels", "input", "fourier", "fourier-1.5"])
@pytest.mark.parametrize("preprocessing", [PRESETS["caffe"], FEEDS[-1]], ids=lambda p: p.channel_order)
def test_parametrisations(make, size, preprocessing: Preprocessing) -> None:
    parametrization = make(size, preprocessing)
    planes = np.random.default_rng(0).uniform(0.1, 0.9, size=(2, preprocessing.channels, *size))
    z = parametrization.encode(planes)
    np.testing.assert_allclose(parametrization.decode(z), planes, atol=1e-5)
    way, dplanes, h = images(z.shape, 1), images(planes.shape, 2), 1e-3 * np.abs(z).max()
    ahead, behind = parametrization.decode(z + h * way), parametrization.decode(z - h * way)
    slope = ((ahead - behind) * dplanes).sum() / (2 * h)
    np.testing.assert_allclose((parametrization.adjoint(z, dplanes) * way).sum(), slope, rtol=1e-2)


def test_bounds_are_pixels_0_and_1() -> None:
    preprocessing = PRESETS["imagenet"]
    low, high = NetworkInput(preprocessing).bounds
    feed = preprocessing.feed
    np.testing.assert_allclose(feed.inverse(np.broadcast_to(low, (1, 3, 1, 1))), 0, atol=1e-7)
    np.testing.assert_allclose(feed.inverse(np.broadcast_to(high, (1, 3, 1, 1))), 1, atol=1e-7)
    assert NetworkInput(preprocessing, bounded=False).bounds is None


def test_colour_basis_is_lucids() -> None:
    """The rows that xplique and Horama print, to their eight digits."""
    np.testing.assert_allclose(
        COLOUR_BASIS.T,
        [
            [0.56282854, 0.58447580, 0.58447580],
            [0.19482528, 0.0, -0.19482528],
            [0.04329450, -0.10823626, 0.06494176],
        ],
        rtol=3e-4,
        atol=1e-8,
    )
