"""Objectives: known values, gradients by finite differences, algebra, and refused arguments."""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz import objectives as obj
from cnnviz.objectives import IMAGE, INPUT, LOGITS, Objective
from cnnviz.objectives.copies import Copies
from cnnviz.objectives.regions import PlaceLead, PlaceMean

Shapes = Dict[str, Tuple[int, ...]]
MAPS: Shapes = {"conv": (2, 3, 4, 5)}
SCORES: Shapes = {LOGITS: (2, 6)}
RNG = np.random.default_rng(7)
TARGET = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
GRAM = obj.gram_matrix(TARGET[:1])[0]
MASKS = RNG.random((2, 4, 5)) > 0.4
VECTOR = np.array([1.0, -2.0, 0.5], np.float32)

ROWS = [
    (obj.Logit(4), SCORES),
    (obj.Logit([4, 1]), {LOGITS: (2, 6, 1, 1)}),
    (obj.Probability([0, 5]), SCORES),
    (obj.CrossEntropy(2), SCORES),
    (obj.Margin([3, 3]), SCORES),
    (obj.Channel("conv", 2), MAPS),
    (obj.Channel("dense", 2), {"dense": (2, 4)}),
    (obj.Neuron("conv", 1), MAPS),
    (obj.Neuron("conv", 1, 3, 0), MAPS),
    (obj.Direction("conv", VECTOR), MAPS),
    (obj.Direction("conv", VECTOR, power=2), MAPS),
    (obj.Layer("conv"), MAPS),
    (obj.Content("conv", TARGET), MAPS),
    (obj.Content("conv", TARGET[:1], reduction="sum"), MAPS),
    (obj.TotalVariation(), {IMAGE: (2, 3, 4, 5)}),
    (obj.TotalVariation(1, layer=INPUT, reduction="sum"), {INPUT: (2, 3, 4, 5)}),
    (obj.L1(), {INPUT: (2, 3, 4, 5)}),
    (obj.L2(reduction="mean"), {INPUT: (2, 3, 4, 5)}),
    (2.0 * obj.Logit(1) - obj.Probability(1) + 3.0, SCORES),
    (obj.Channel("conv", 0) * obj.Logit(1), {**MAPS, **SCORES}),
    (-(obj.Logit(1) - obj.L2("conv")) / 4, {**MAPS, **SCORES}),
    (1.0 - obj.Probability(2), SCORES),
    (obj.Score("conv", (2, 3, 0)), MAPS),
    (obj.Score(LOGITS, 4), {LOGITS: (2, 6, 1, 1)}),
    (obj.Region("conv", 1), MAPS),
    (obj.Region("conv", 1, MASKS[0]), MAPS),
    (obj.Region("conv", 2, MASKS * 0.3), MAPS),
    (obj.Region("conv", 4, np.ones((3, 4), bool), axis=3), MAPS),
    (obj.Region("conv", 0), {"conv": (2, 1, 4, 5)}),
    (PlaceMean([2, 0], layer="conv"), MAPS),
    (PlaceMean(4, layer="conv", axis=3, exclusive=False), MAPS),
    (PlaceMean([2, 0], layer="conv", where=MASKS), MAPS),
    (PlaceMean(1, layer="conv", where="all"), MAPS),
    (PlaceLead([2, 0], layer="conv"), MAPS),
    (PlaceLead(2, layer="conv", leave=True), MAPS),
    (PlaceLead([2, 4], layer="conv", axis=3, exclusive=False), MAPS),
    (obj.Similarity(np.arange(1, 7)), SCORES),
    (obj.Similarity(TARGET, layer="conv"), MAPS),
    (obj.Similarity(TARGET[:1], layer="conv") * 2.0 - obj.Score(LOGITS, 1), {**MAPS, **SCORES}),
] + [
    (obj.Gram("conv", GRAM, normalization=normalization, reduction=reduction), MAPS)
    for normalization in ("elements", "positions", "none")
    for reduction in ("mean", "sum", "gatys")
]


def draw(shapes: Shapes, seed: int = 3) -> Dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(("objective", "shapes"), ROWS, ids=lambda x: repr(x)[:60])
def test_gradients_agree_with_finite_differences(objective: Objective, shapes: Shapes) -> None:
    here, way, h = draw(shapes), draw(shapes, seed=4), 1e-5
    value, cotangents = objective.evaluate(here)
    ahead, _ = objective.evaluate({name: x + h * way[name] for name, x in here.items()})
    behind, _ = objective.evaluate({name: x - h * way[name] for name, x in here.items()})
    slope = [sum(float((cotangents[name][i] * way[name][i]).sum()) for name in cotangents) for i in range(2)]
    assert value.dtype == np.float64
    assert set(cotangents) == set(objective.layers)
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("objective", "shapes"), ROWS, ids=lambda x: repr(x)[:60])
def test_a_batch_is_its_images_one_by_one(objective: Objective, shapes: Shapes) -> None:
    activations = {name: x.astype(np.float32) for name, x in draw(shapes).items()}
    value, cotangents = objective.evaluate(activations)
    for i in range(2):
        one = {name: x[i : i + 1] for name, x in activations.items()}
        value_one, cotangents_one = objective.take(i, i + 1).evaluate(one)
        assert value_one == value[i]
        for name, d in cotangents_one.items():
            np.testing.assert_array_equal(d[0], cotangents[name][i], err_msg=name)


def test_known_values() -> None:
    logits = np.log(np.array([[1.0, 2.0, 5.0]], np.float32))
    rows = [
        (obj.Logit(2), np.log(5)),
        (obj.Probability(1), 0.25),
        (obj.CrossEntropy(0), np.log(8)),
        (obj.Margin(2), np.log(2.5)),
        (obj.Margin(1), np.log(0.4)),
    ]
    for objective, expected in rows:
        np.testing.assert_allclose(objective.evaluate({LOGITS: logits})[0], [expected], rtol=1e-6)
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)  # channels [[0,1],[2,3]] and [[4,5],[6,7]]
    maps = [
        (obj.Channel("x", 1), 5.5),
        (obj.Neuron("x", 0), 3.0),
        (obj.Layer("x"), 17.5),
        (obj.L1("x"), 28.0),
        (obj.L2("x"), 140.0),
        (obj.TotalVariation(1, layer="x", reduction="sum"), 4 * 1 + 4 * 2),
        (obj.TotalVariation(2, layer="x", reduction="sum"), 4 * 1 + 4 * 4),
        (obj.Direction("x", np.array([0.0, 2.0])), 11.0),
        (obj.Content("x", np.zeros_like(x)), 17.5),
        (obj.Score("x", (1, 0, 1)), 5.0),
        (obj.Region("x", 0, np.array([[0, 1], [0, 1]])), 2.0),
        (obj.Region("x", 0, np.array([[0.0, 1.0], [0.0, 3.0]])), 2.5),
        (obj.Region("x", 1), 5.5),
        (obj.Region("x", 0), 0.0),
        (obj.Region("x", 1, axis=-1), 4.0),
        (obj.Similarity(x * 3, layer="x"), 1.0),
        (obj.Similarity([0, 0, 0, -2, 0, 0, 0, 0], layer="x"), -3 / np.sqrt(140)),
    ]
    for objective, expected in maps:
        np.testing.assert_allclose(objective.evaluate({"x": x})[0], [expected], err_msg=repr(objective))


def test_gram_matrix_and_its_published_normalisations() -> None:
    f = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32).reshape(1, 2, 1, 2)
    raw = np.array([[5.0, 11.0], [11.0, 25.0]])
    for normalization, divisor in (("none", 1), ("positions", 2), ("elements", 4)):
        np.testing.assert_allclose(obj.gram_matrix(f, normalization)[0], raw / divisor)
    # Gatys et al. 2016, eq. 4: the sum of squares over 4 * C^2 * M^2
    loss = obj.Gram("f", np.zeros((2, 2)), normalization="none", reduction="gatys")
    np.testing.assert_allclose(loss.evaluate({"f": f})[0], [(raw**2).sum() / (4 * 4 * 4)])


def test_gram_of_a_large_layer_loses_no_digit_of_float32() -> None:
    x = np.full((1, 1, 200, 200), 1.001, np.float32)
    np.testing.assert_allclose(obj.gram_matrix(x, "none")[0, 0, 0], 40000 * float(x.flat[0]) ** 2, rtol=1e-6)


def test_sums_flatten_and_name_their_terms() -> None:
    total = 2 * (obj.Logit(1) - 3 * obj.L2()) + 1
    assert [weight for weight, _ in total.terms] == [2.0, -6.0]
    assert [term.name for _, term in total.terms] == ["Logit(1)", "L2(input)"]
    assert total.constant == 1.0
    assert total.layers == (LOGITS, INPUT)


REFUSED = [
    (lambda: obj.Logit("cat"), TypeError, "class index"),
    (lambda: obj.Logit(9).evaluate(draw(SCORES)), ValueError, "has 6 classes"),
    (lambda: obj.Logit([1, 2, 3]).evaluate(draw(SCORES)), ValueError, "lists 3 classes for a batch of 2"),
    (lambda: obj.Logit(1) + "x", TypeError, "combines with numbers"),
    (lambda: obj.Logit(1) * float("nan"), ValueError, "nan"),
    (lambda: obj.Channel("conv", 3).evaluate(draw(MAPS)), ValueError, "channel 3 is not in layer 'conv'"),
    (lambda: obj.Neuron("conv", 0, 9, 0).evaluate(draw(MAPS)), ValueError, "row 9"),
    (lambda: obj.Neuron("logits", 0).evaluate(draw(SCORES)), ValueError, "needs N,C,H,W"),
    (lambda: obj.Direction("conv", np.zeros(3)), ValueError, "not all-zero"),
    (lambda: obj.Direction("conv", np.ones(4)).evaluate(draw(MAPS)), ValueError, "4 numbers"),
    (lambda: obj.Content("conv", np.ones((1, 2, 2, 2))).evaluate(draw(MAPS)), ValueError, "content target"),
    (lambda: obj.Content("conv", TARGET, reduction="max"), ValueError, "'mean' or 'sum'"),
    (lambda: obj.Gram("conv", np.eye(5)).evaluate(draw(MAPS)), ValueError, "Gram target 5"),
    (lambda: obj.Gram("conv", np.eye(3), normalization="x"), ValueError, "normalization"),
    (lambda: obj.TotalVariation(3), ValueError, "power is 3"),
    (lambda: obj.Cotangents({}), ValueError, "empty"),
    (lambda: obj.Cotangents({"hue": [0, 1]}), TypeError, r"are \[\{'hue': 0\}, \{'hue': 1\}\]"),
    (lambda: obj.Cotangents({"conv": object()}), TypeError, r"target\['conv'\]"),
    (lambda: obj.Sum([]), ValueError, "at least one term"),
    (lambda: obj.Channel("conv", 1.5), TypeError, "channel must be an integer, not 1.5"),
    (lambda: obj.Neuron("conv", 1, 2, 1.0), TypeError, "column must be an integer, not 1.0"),
    (lambda: obj.Score("conv", 1.5), TypeError, "index must be an integer or a tuple of integers, not 1.5"),
    (lambda: obj.Score("conv", ()), TypeError, "index must be an integer"),
    (lambda: obj.Score("conv", (1, -1, 0)), ValueError, "positions count from 0"),
    (lambda: obj.Score("conv", 1).evaluate(draw(MAPS)), ValueError, "3x4x5 for one picture: give 3 integers"),
    (lambda: obj.Score(LOGITS, (1, 0)).evaluate(draw(SCORES)), ValueError, "give 1 integers"),
    (lambda: obj.Score("conv", (0, 4, 0)).evaluate(draw(MAPS)), ValueError, "axis 2 has 4 positions"),
    (lambda: obj.Region("conv", "sky"), TypeError, "cls must be an integer"),
    (lambda: obj.Region("conv", 0, axis=2), ValueError, "axis is 2"),
    (lambda: obj.Region("conv", 3).evaluate(draw(MAPS)), ValueError, "which has 3 classes"),
    (lambda: obj.Region(LOGITS, 3).evaluate(draw(SCORES)), ValueError, "needs N,C,H,W"),
    (lambda: obj.Region("conv", 0, np.ones(4)), ValueError, "mask must be an array H,W"),
    (lambda: obj.Region("conv", 0, np.zeros((4, 5))), ValueError, "mask is empty"),
    (lambda: obj.Region("conv", 0, np.full((4, 5), -1)), ValueError, "at least 0"),
    (lambda: obj.Region("conv", 0, np.ones((8, 5))).evaluate(draw(MAPS)), ValueError, "mask is 8x5.*is 4x5"),
    (lambda: obj.Similarity(np.zeros(6)), ValueError, "not all 0"),
    (lambda: obj.Similarity(np.ones(5)).evaluate(draw(SCORES)), ValueError, "5 numbers, layer 'logits' 6"),
]


@pytest.mark.parametrize(("call", "error", "match"), REFUSED, ids=[row[2] for row in REFUSED])
def test_bad_arguments_are_named(call, error, match) -> None:
    with pytest.raises(error, match=match):
        call()


FOR_TWENTY = [
    (obj.Logit([0] * 20), "target lists 20 classes for a batch of {} images"),
    (1.0 - obj.Probability([1] * 20), "target lists 20 classes for a batch of {} images"),
    (obj.Layer("conv1") * obj.Margin([1] * 20), "target lists 20 classes for a batch of {} images"),
    (
        obj.Content("conv1", np.zeros((20, 3, 2, 2))),
        r"target of layer 'conv1' has shape \(20, 3, 2, 2\).* of {} i",
    ),
    (obj.Region("conv1", 0, np.ones((20, 2, 2))), r"mask has shape \(20, 2, 2\) for a batch of {} images"),
    (obj.Similarity(np.ones((20, 6))), "reference has 20 rows for a batch of {} images"),
    (obj.Cotangents({"conv1": np.zeros((20, 3))}), r"target\['conv1'\] has shape \(20, 3\).* of {} images"),
]


@pytest.mark.parametrize("batch", [8, 16])
@pytest.mark.parametrize(("objective", "message"), FOR_TWENTY, ids=lambda x: repr(x)[:40])
def test_a_batch_of_another_size_is_refused_before_it_is_cut(
    objective: Objective, message: str, batch: int
) -> None:
    objective.check_batch(20)
    with pytest.raises(ValueError, match=message.format(batch)):
        objective.check_batch(batch)
    model = cnnviz.load(small_classifier())
    with pytest.raises(ValueError, match=message.format(batch)):
        model.gradient(np.zeros((batch, 3, 8, 8), np.float32), objective)


def test_copies_ask_for_one_copy() -> None:
    Copies(obj.Logit([1, 2, 3]), 3, 7).check_batch(21)
    with pytest.raises(ValueError, match="lists 3 classes for a batch of 4"):
        Copies(obj.Logit([1, 2, 3]), 4, 7).check_batch(28)
