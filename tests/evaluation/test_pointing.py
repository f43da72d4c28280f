"""`cnnviz.evaluate`: its measures on hand-made maps, its controls, and the techniques end to end."""

from __future__ import annotations

import math

import numpy as np
import pytest

import cnnviz
from cnnviz import bundled
from cnnviz.bundled.network import initial_parameters, onnx_model


@pytest.fixture(scope="module")
def model():
    """The bundled architecture without training: measures need a network, not a good one."""
    return cnnviz.load(onnx_model(initial_parameters(np.random.default_rng(0)), {}).SerializeToString())


@pytest.fixture(scope="module")
def pairs():
    return bundled.draw(30, seed=11, objects=2)


def lookup(drawn, maps):
    """A technique that returns the given maps in order, whatever the size of the chunks."""
    left = list(maps)
    return lambda model, images, targets: [left.pop(0) for _ in images]


def test_a_perfect_map_and_its_opposite(model, pairs):
    best = cnnviz.evaluate(model, lookup(pairs, pairs.masks.astype(np.float32)), data=pairs)
    assert (best.pointing.mean(), best.energy.mean(), np.nanmean(best.other_energy)) == (1, 1, 0)
    worst = cnnviz.evaluate(model, lookup(pairs, pairs.other_masks.astype(np.float32)), data=pairs)
    assert (worst.pointing.mean(), worst.energy.mean(), np.nanmean(worst.other_energy)) == (0, 0, 1)
    assert worst.ratio == 0


def test_a_constant_map_has_the_energy_of_the_area(model, pairs):
    flat = cnnviz.evaluate(model, lookup(pairs, np.ones(pairs.masks.shape, np.float32)), data=pairs)
    np.testing.assert_allclose(flat.energy, flat.area)
    np.testing.assert_allclose(flat.pointing, flat.area, err_msg="a tie counts by the share that hits")
    np.testing.assert_allclose(flat.area, pairs.masks.mean((1, 2)))


def test_zero_and_negative_maps_have_no_energy(model, pairs):
    for maps in (np.zeros(pairs.masks.shape, np.float32), -pairs.masks.astype(np.float32)):
        none = cnnviz.evaluate(model, lookup(pairs, maps), data=pairs)
        assert (none.pointing.max(), none.energy.max()) == (0, 0)


@pytest.mark.parametrize("control", ["centre", "edges", "random"])
def test_controls_do_not_depend_on_the_network(model, control):
    other = cnnviz.load(onnx_model(initial_parameters(np.random.default_rng(1)), {}).SerializeToString())
    first, second = (cnnviz.evaluate(one, control, n=10, objects=2) for one in (model, other))
    np.testing.assert_array_equal(first.energy, second.energy)
    assert 0.5 < first.ratio < 2, "a control cannot tell the object from the distractor"


@pytest.mark.parametrize("technique", ["saliency", "grad_cam", "guided_backprop"])
def test_techniques_run_and_do_not_depend_on_the_chunks(model, technique):
    whole = cnnviz.evaluate(model, technique, n=27, objects=1)
    last = cnnviz.evaluate(model, technique, data=bundled.draw(2, seed=0, objects=1, start=25))
    np.testing.assert_array_equal(whole.energy[25:], last.energy)
    assert math.isnan(whole.ratio)
    assert technique in str(whole)


def test_options_reach_the_technique(model):
    plain, smooth = (cnnviz.evaluate(model, "smooth_grad", n=2, smooth=count) for count in (1, 3))
    assert (plain.energy != smooth.energy).any()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "lime"}, "method must be one of saliency, smooth_grad, grad_cam"),
        ({"n": 0}, "no pictures"),
        ({"method": lambda model, images, targets: np.zeros((len(images), 3, 3))}, r"shape \(3, 3\)"),
    ],
)
def test_bad_arguments_are_named(model, arguments, says):
    with pytest.raises(ValueError, match=says):
        cnnviz.evaluate(model, **{"n": 2, **arguments})
