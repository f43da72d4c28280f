"""The sanity check of explanations: the order in which weights are replaced, and the curve of similarity."""

from __future__ import annotations

import warnings
from typing import Any, Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from toy_networks import small_classifier

import cnnviz
from cnnviz.attribution.sanity import SanityCheck
from cnnviz.attribution.techniques import TECHNIQUES

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> Any:
    return cnnviz.load(small_classifier())


def test_weights_go_from_the_scores_down_and_the_model_stays(model: Any) -> None:
    before = cnnviz.saliency(model, PICTURE).map
    check = cnnviz.sanity_check(model, PICTURE, cnnviz.saliency)
    order = [list(model.layers).index(layer) for layer in check.layers]
    assert order == sorted(order, reverse=True)
    assert check.similarity[0] == 1.0
    assert len(check.maps) == len(check.similarity) == len(check.layers) + 1
    assert (check.similarity[1:] < 0.99).all()
    np.testing.assert_array_equal(cnnviz.saliency(model, PICTURE).map, before)


def test_a_map_that_ignores_the_network_never_changes(model: Any) -> None:
    """An edge detector is the paper's warning example: it explains nothing, and its curve is flat."""

    def edges(model: Any, image: Any, target: Any) -> Any:
        found = cnnviz.saliency(model, image, target)
        luma = found.image.mean(axis=2)
        return cnnviz.Attribution(luma, np.abs(luma), found.image, "edges", None, "", 0.0)

    check = cnnviz.sanity_check(model, PICTURE, edges)
    np.testing.assert_allclose(check.similarity, 1.0)
    assert check.method == "edges"


def test_the_same_seed_gives_the_same_curve(model: Any) -> None:
    curves = [cnnviz.sanity_check(model, PICTURE, cnnviz.grad_cam, seed=s).similarity for s in (1, 1, 2)]
    np.testing.assert_array_equal(curves[0], curves[1])
    assert not np.array_equal(curves[0], curves[2])


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_technique_may_be_named(model: Any, name: str) -> None:
    check = cnnviz.sanity_check(model, PICTURE, name, target=3)
    assert check.method == name
    expected = cnnviz.sanity_check(model, PICTURE, TECHNIQUES[name], target=3)
    np.testing.assert_array_equal(check.similarity, expected.similarity)


@pytest.mark.parametrize(
    ("own", "shape"),
    [({}, (3, 48, 40)), ({"range": (-1000, 400), "mean": -300.0, "std": 400.0}, (3, 32, 32))],
    ids=["another size", "a range"],
)
def test_an_input_is_checked_as_it_is(own: Any, shape: Any) -> None:
    """Neither resized nor cut off at the ends of what pictures hold, and without a warning of its own."""
    model = cnnviz.load(small_classifier(), preprocessing=cnnviz.Preprocessing(**own))
    low, high = (float(end.ravel()[0]) for end in model.preprocessing.bounds())
    x = np.random.default_rng(1).uniform(low - 0.04, high + 0.04, shape).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checks = [
            cnnviz.sanity_check(model, cnnviz.Preprocessed(x), "grad_cam", target=target)
            for target in (3, cnnviz.objectives.Logit(3))
        ]
    expected = cnnviz.grad_cam(model, cnnviz.Preprocessed(x), 3).map
    for check in checks:
        np.testing.assert_array_equal(check.maps[0], expected)


def test_the_curve_is_drawn(model: Any) -> None:
    ax = Figure().add_subplot()
    check = cnnviz.sanity_check(model, PICTURE, cnnviz.saliency, target=3, reduce="l2")
    assert check.plot(ax) is ax
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), check.similarity)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["original", *check.layers]


def test_names_of_many_layers_are_thinned_out_and_stay_in_the_figure(no_figures_left: None) -> None:
    import matplotlib.pyplot as plt

    layers = tuple(f"features/{i}/convolution" for i in range(50))
    ax = SanityCheck(layers, np.linspace(1, 0, 51), (), "saliency").plot()
    ax.figure.draw_without_rendering()
    names = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert len(ax.get_xticklabels()) > 15
    assert min(name.y0 for name in names) > ax.xaxis.label.get_window_extent().y0 > 0
    apart = np.diff([name.x1 for name in names])
    assert apart.min() > 12 / 72 * ax.figure.dpi
    plt.close(ax.figure)


def test_guided_backpropagation_stays_more_alike_than_grad_cam(
    network: Callable[[str], Any], assets: Any
) -> None:
    """Adebayo et al. 2018, figure 2: the documented failure of guided backpropagation."""
    photo = assets / "images" / "pytorchhub_dog_samoyed.jpg"
    guided, cam = (
        np.median(cnnviz.sanity_check(network("squeezenet"), photo, method).similarity[1:])
        for method in (cnnviz.guided_backprop, cnnviz.grad_cam)
    )
    assert guided > 0.5
    assert abs(cam) < 0.3


@pytest.mark.parametrize("images", [[PICTURE, PICTURE], np.stack([PICTURE, PICTURE])], ids=["list", "array"])
def test_one_image_at_a_time(model: Any, images: Any) -> None:
    with pytest.raises(ValueError, match="one image"):
        cnnviz.sanity_check(model, images, cnnviz.saliency)
