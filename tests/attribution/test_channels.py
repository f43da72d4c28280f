"""Every technique on networks of other pictures than RGB: any channels, and numbers in a stated range."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import numpy as np
import pytest
from matplotlib import pyplot
from onnx import helper
from toy_networks import onnx_bytes, small_classifier

import cnnviz
from cnnviz import plot

RNG = np.random.default_rng(0)
BANDS = ("blue", "green", "red", "nir", "swir")

Case = Tuple[int, Any, Any]
#: The channels of a network, its preprocessing, and a picture of 32 x 32 in its own units.
CASES: Dict[str, Case] = {
    "2 channels, nothing stated": (2, None, RNG.random((32, 32, 2))),
    "4 channels in 8 bits": (4, "unit", RNG.integers(0, 256, (32, 32, 4), dtype=np.uint8)),
    "5 bands": (
        5,
        cnnviz.Preprocessing(
            channel_order=BANDS, range=(0, 10000), mean=(500, 600, 700, 2000, 1500), std=900.0
        ),
        RNG.integers(0, 10001, (32, 32, 5)),
    ),
    "12 channels": (12, cnnviz.Preprocessing(channel_order=12, mean=0.5, std=0.25), RNG.random((32, 32, 12))),
    "grey of 12 bits": (
        1,
        cnnviz.Preprocessing(channel_order="L", range=(0, 4095), mean=1000.0, std=600.0),
        RNG.integers(0, 4096, (32, 32), dtype=np.int32),
    ),
    "colour in a range": (
        3,
        cnnviz.Preprocessing(range=(-1, 1), mean=0.1, std=0.5),
        2 * RNG.random((32, 32, 3)) - 1,
    ),
}
METHODS: Dict[str, Callable[..., Any]] = {
    "saliency": cnnviz.saliency,
    "smooth_grad": lambda model, image, target=None: cnnviz.saliency(model, image, target, smooth=3),
    "grad_cam": cnnviz.grad_cam,
    "guided_backprop": cnnviz.guided_backprop,
    "guided_grad_cam": cnnviz.guided_grad_cam,
}


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def loaded(case: Case) -> cnnviz.Model:
    return cnnviz.load(small_classifier(channels=case[0]), preprocessing=case[1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CASES)
def test_attributions(name: str, method: str, tmp_path: Path) -> None:
    channels, _, picture = case = CASES[name]
    model = loaded(case)
    result = METHODS[method](model, picture, 3)
    assert result.map.shape == (32, 32)
    assert result.values.shape == ((channels, 32, 32) if method != "grad_cam" else result.values.shape)
    assert result.image.shape == (32, 32, 3 if channels == 1 else channels)
    assert 0 <= result.image.min() < result.image.max() <= 1
    three = METHODS[method](model, [picture, picture[::-1].copy(), picture], 3)
    for alone, row in zip((result, None, result), three):
        np.testing.assert_array_equal(row.map, row.map if alone is None else alone.map)
    np.testing.assert_array_equal(three[1].map, METHODS[method](model, picture[::-1].copy(), 3).map)
    if method not in ("saliency", "grad_cam"):
        return  # plots and files of the other methods are those of saliency
    result.plot()
    plot.grid([result, three[1]]).clear()
    result.save(tmp_path / "map.npz")
    np.testing.assert_array_equal(cnnviz.load_result(tmp_path / "map.npz").image, result.image)
    result.save(tmp_path / "map.png")
    again = cnnviz.replay(tmp_path / "map.png", model)
    np.testing.assert_array_equal(again.map, result.map)
    np.testing.assert_array_equal(again.image, result.image)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_the_numbers(name: str) -> None:
    """Saliency, per number of the picture, against finite differences of the prediction's score."""
    picture = CASES[name][2]
    model = loaded(CASES[name])
    picture = np.asarray(picture, np.float64) / (255 if picture.dtype == np.uint8 else 1)
    low, high = model.preprocessing.range or (0.0, 1.0)
    picture = picture.reshape(32, 32, -1) * 0.9 + 0.05 * (low + high)  # room for a step at both ends
    dx = model.preprocessing.scale_gradient(model.gradient(model.preprocess(picture), 4).gradients["input"])
    direction = dx / np.linalg.norm(dx)
    step = np.moveaxis(direction[0], 0, 2) * (high - low) * 0.02

    def score(one: Any) -> float:
        return float(model.forward(model.preprocess(one))[0, 4])

    change = (score(picture + step) - score(picture - step)) / 0.04
    np.testing.assert_allclose(change, np.linalg.norm(dx), rtol=0.05)


@pytest.mark.filterwarnings("ignore:after 5 steps")
@pytest.mark.parametrize("name", CASES)
def test_syntheses_stay_in_the_range(name: str, tmp_path: Path) -> None:
    channels, _, picture = case = CASES[name]
    model = loaded(case)
    shown = 3 if channels == 1 else channels
    target = 3 if model.predict(picture)[0].index != 3 else 4
    fooled = cnnviz.fooling_image(model, picture, target, steps=5, confidence=0.2, progress=False)
    made = cnnviz.class_visualization(model, target, steps=3, progress=False)
    for result in (fooled, made):
        assert result.image.shape == (32, 32, shown)
        assert 0 <= result.image.min() < result.image.max() <= 1
        result.plot()
        again = cnnviz.resume(result, model, 1)
        assert again.image.shape == result.image.shape
        if shown == 3:
            result.save(tmp_path / "made.png")
            np.testing.assert_array_equal(cnnviz.replay(tmp_path / "made.png", model).image, result.image)
        else:
            with pytest.raises(
                ValueError, match=rf"cannot hold a picture of {shown} channels: save it as \.npz"
            ):
                result.save(tmp_path / "made.png")
            result.save(tmp_path / "made.npz")
            np.testing.assert_array_equal(cnnviz.load_result(tmp_path / "made.npz").image, result.image)
    predicted = model.predict(model.preprocessing.in_units(fooled.image))[0]
    assert predicted.index == fooled.report["predicted"]
    np.testing.assert_allclose(predicted.probability, fooled.report["confidence"], rtol=1e-4)


def test_style_needs_colour_or_grey() -> None:
    model = loaded(CASES["5 bands"])
    picture = CASES["5 bands"][2]
    with pytest.raises(ValueError, match=r"colour or grey pictures: network takes 5 channels \(blue, green"):
        cnnviz.style_transfer(model, picture, picture)
    grey = loaded(CASES["grey of 12 bits"])
    deep = CASES["grey of 12 bits"][2]
    made = cnnviz.style_transfer(grey, deep, deep, size=32, steps=1, progress=False)
    assert made.image.shape == (32, 32, 3)


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 12])
@pytest.mark.parametrize("shape", [["N", None, "h", "w"], ["N", None, 20, 24]])
def test_open_channels_are_those_of_the_weights(channels: int, shape: Any) -> None:
    shape = [f"axis{i}" if n is None else n for i, n in enumerate(shape)]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    data = onnx_bytes(nodes, {"w": RNG.normal(size=(6, channels, 3, 3))}, input_shape=shape, output="y")
    model = cnnviz.load(data, size=(20, 24))
    assert (model.preprocessing.channels, model.preprocessing.size) == (channels, (20, 24))
    assert pickle.loads(pickle.dumps(model)).preprocessing == model.preprocessing
    picture = RNG.random((20, 24, channels)).astype(np.float32)
    np.testing.assert_array_equal(
        model.forward(model.preprocess([picture] * 3))[2], model.forward(model.preprocess(picture))[0]
    )


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_last_are_found_behind_a_transpose(channels: int) -> None:
    weights = {"w": RNG.normal(size=(6, channels, 3, 3))}
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    last = cnnviz.load(onnx_bytes(nodes, weights, input_shape=["N", 20, 24, channels], output="y"))
    nodes[0] = helper.make_node("Identity", ["x"], ["t"])
    first = cnnviz.load(onnx_bytes(nodes, weights, input_shape=["N", channels, 20, 24], output="y"))
    picture = RNG.random((20, 24, channels))
    x = first.preprocess(picture)
    np.testing.assert_array_equal(last.preprocess(picture), x)
    np.testing.assert_array_equal(last.forward(x), first.forward(x))


def test_bands_may_be_chosen_for_the_plot() -> None:
    model = loaded(CASES["5 bands"])
    result = cnnviz.grad_cam(model, CASES["5 bands"][2], 3)
    drawn = [
        np.asarray(result.plot(**options).images[0].get_array())
        for options in ({}, {"channels": (2, 1, 0)}, {"channels": [3]})
    ]
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(drawn[0], result.image.mean(axis=2), rtol=1e-5)
    np.testing.assert_allclose(drawn[1], result.image[..., 2::-1] @ luma, rtol=1e-5)
    np.testing.assert_allclose(drawn[2], result.image[..., 3], rtol=1e-5)


def test_the_sanity_check_asks_about_the_same_numbers() -> None:
    case = CASES["grey of 12 bits"]
    model = loaded(case)
    found = cnnviz.sanity_check(model, case[2], "saliency", target=3)
    np.testing.assert_allclose(found.maps[0], cnnviz.saliency(model, case[2], 3).map, rtol=1e-3, atol=1e-7)


def test_wrong_preprocessing_names_the_channels() -> None:
    data = small_classifier(channels=5)
    for given, message in (
        ("imagenet", r"feeds 3 channels \(R, G, B\), the network takes 5: .*channel_order=5"),
        (cnnviz.Preprocessing(channel_order=BANDS[:4]), r"4 channels \(blue, green, red, nir\), .* takes 5"),
    ):
        with pytest.raises(ValueError, match=message):
            cnnviz.load(data, preprocessing=given)
    model = cnnviz.load(data)
    assert replace(model.preprocessing, mean=0.5).channels == 5
    with pytest.raises(ValueError, match=r"\(32, 32, 3\).* the network takes 5 channels \(channel 0, "):
        model.predict(np.zeros((32, 32, 3)))
    with pytest.raises(ValueError, match="it must be N,5,H,W"):
        model.forward(np.zeros((1, 3, 32, 32), np.float32))
