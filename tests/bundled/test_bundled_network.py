"""The network that ships: the contents of its file, its accuracy, and where its explanations point.

The bounds on few pictures leave room for chance; those on many are the ones that the README states.
"""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import pytest

import cnnviz
from cnnviz import bundled
from cnnviz.bundled.network import PREPROCESSING, STAGES
from cnnviz.bundled.state import TrainingRecipe
from cnnviz.loading.load import BUNDLED

# Neither a seed of the training, nor of the report, nor of the figures in the README.
SEED = 20_000
CONTROLS = ("centre", "edges", "random")


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load()


def accuracy(model: cnnviz.Model, pictures: int) -> float:
    right = 0
    for start in range(0, pictures, 200):
        drawn = bundled.draw(min(200, pictures - start), SEED, start=start)
        right += sum(
            found == label for found, label in zip(model.predicted(as_fed(model, drawn)), drawn.labels)
        )
    return right / pictures


def as_fed(model: cnnviz.Model, drawn: bundled.Drawn) -> Any:
    return model.preprocess(list(drawn.images))


def measured(model: cnnviz.Model, objects: int, n: int) -> Dict[str, cnnviz.Evaluation]:
    drawn = bundled.draw(n, SEED, objects=objects)
    return {name: cnnviz.evaluate(model, name, data=drawn) for name in ("grad_cam", *CONTROLS)}


def test_the_file_is_small_and_carries_labels_and_preprocessing(model: cnnviz.Model) -> None:
    assert BUNDLED.stat().st_size <= 2e6
    assert model.name == "shapes"
    assert list(model.labels) == list(bundled.CLASSES)
    assert model.preprocessing == PREPROCESSING
    assert list(model.layers)[:3] == ["conv1", "relu1", "pool1"]
    assert [name for name in model.layers if name.startswith("conv")] == ["conv" + s.name for s in STAGES]


def test_the_file_holds_the_recipe_that_makes_it_again(model: cnnviz.Model) -> None:
    recipe = eval(model.graph.metadata["recipe"], {"Recipe": TrainingRecipe})
    assert recipe == TrainingRecipe(seed=recipe.seed)
    assert str(recipe) == model.graph.metadata["recipe"]
    assert float(model.graph.metadata["accuracy"]) >= 0.97


def test_weights_are_finite_and_not_constant(model: cnnviz.Model) -> None:
    for name, weights in model.graph.constants.items():
        assert np.isfinite(weights).all(), name
        assert weights.std() > 0, name


def test_the_network_recognises_its_shapes(model: cnnviz.Model) -> None:
    """600 pictures: for a network of 97 %, 95 % is three standard deviations away."""
    assert accuracy(model, 600) >= 0.95


@pytest.mark.slow
def test_the_network_recognises_97_percent_of_fresh_pictures(model: cnnviz.Model) -> None:
    assert accuracy(model, 4000) >= 0.97


@pytest.mark.parametrize("objects", [1, 2])
def test_grad_cam_points_better_than_controls_that_ignore_the_network(
    model: cnnviz.Model, objects: int
) -> None:
    found = measured(model, objects, 150)
    for control in CONTROLS:
        assert found["grad_cam"].energy.mean() >= found[control].energy.mean() + 0.12, control
        assert found["grad_cam"].pointing.mean() >= found[control].pointing.mean() + 0.12, control


def test_grad_cam_tells_the_object_from_the_distractor(model: cnnviz.Model) -> None:
    found = measured(model, 2, 150)
    assert found["grad_cam"].ratio >= 2
    for control in CONTROLS:
        assert found[control].ratio < 1.5, control
