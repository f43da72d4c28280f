"""Whatever can hold arrays is represented by one short line without them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz import objectives
from cnnviz.attribution.question import ask
from cnnviz.one_line import one_line, shortened, span
from cnnviz.optimize import run
from cnnviz.optimize.loop import Problem, Step, evaluate, generator
from cnnviz.optimize.parametrize import Pixels
from cnnviz.optimize.steps import Adam, Move, Point
from cnnviz.synthesis import class_visualization, recipe

LONGEST = 200
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
X = RNG.random((1, 3, 32, 32), dtype=np.float32)
LONG = "a very long name, as some layers of exported networks and some classes of ImageNet have it " * 3


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(softmax=True), preprocessing="imagenet")


@pytest.fixture(scope="module")
def steps(model: cnnviz.Model) -> List[Step]:
    seen: List[Step] = []
    cnnviz.class_visualization(model, 3, steps=1, callback=seen.append)
    return seen


def recipe_of(model: cnnviz.Model) -> recipe.Recipe:
    settings = {**class_visualization.PRESETS["simonyan"], "preset": "simonyan", "target": [3], "seed": 0}
    return class_visualization.recipe(model, settings, {"image": PICTURE[None]})


def trace_of(model: cnnviz.Model) -> run.Trace:
    return run.begin(recipe_of(model).stages, 0)


def evaluated(model: cnnviz.Model) -> Any:
    problem = Problem(model, objectives.Logit(3), Pixels(), Adam(0.1))
    return evaluate(problem, X, generator(np.random.PCG64(0).state))


def many_terms() -> objectives.Objective:
    term = objectives.Gram(LONG, np.eye(8, dtype=np.float32)) + objectives.Content("relu1", X)
    return objectives.Sum([(2.0, term)] * 30) * objectives.Logit(list(range(500)))


# What makes each object, and facts that its line has.
OBJECTS: Dict[str, Any] = {
    "Model": (lambda m: m, "'network': 9 layers, 10 classes"),
    "Graph": (lambda m: m.graph, "9 nodes, 6 constants, x -> probabilities"),
    "LayerList": (lambda m: m.layers, "'network': 9 layers: conv1 to probabilities"),
    "Labels": (lambda m: m.labels, "10: class 0, class 1, class 2, ..."),
    "three labels": (lambda m: cnnviz.Labels([LONG, "b", "c"]), "Labels(3: a very long"),
    "Gradient": (
        lambda m: m.gradient(X, 3, wrt=["input", "relu1"]),
        "gradients {input 1x3x32x32, relu1 1x8x32x32}",
    ),
    "Question": (lambda m: ask(m, PICTURE, [3, 5]), "x 2x3x32x32"),
    "Attribution": (lambda m: cnnviz.saliency(m, PICTURE, 3), "saliency of 'class 3' (3): score"),
    "of a layer": (
        lambda m: replace(cnnviz.grad_cam(m, PICTURE, 3), layer=LONG, label=LONG, flags=("all-zero",)),
        "all-zero",
    ),
    "of an objective": (
        lambda m: cnnviz.saliency(m, PICTURE, objectives.Channel("relu1", 3)),
        "(relu1, 3): score",
    ),
    "Synthesis": (
        lambda m: cnnviz.class_visualization(m, 3, steps=2),
        "class_visualization of class 3: 32x32, 2 steps",
    ),
    "a batch": (
        lambda m: cnnviz.fooling_image(m, [PICTURE, PICTURE[::-1]], "class 3", steps=3, confidence=0.0),
        "2 pictures of 32x32, ",
    ),
    "Run": (
        lambda m: cnnviz.class_visualization(m, 3, steps=0).run,
        "seed 0, 0 source pictures, checkpoint of",
    ),
    "SanityCheck": (lambda m: cnnviz.sanity_check(m, PICTURE, "saliency"), "3 layers, scores to conv1"),
    "Evaluation": (lambda m: cnnviz.evaluate(cnnviz.load(), n=2), "grad_cam: pointing"),
    "Drawn": (lambda m: cnnviz.bundled.draw(2, seed=4), "2 of 96x96 pixels, seed 4"),
    "Cotangents": (lambda m: m.objective({"relu1": X}), "Cotangents(relu1)"),
    "Content": (lambda m: objectives.Content("relu1", X), "Content(relu1)"),
    "Gram": (lambda m: objectives.Gram("relu1", np.eye(8, dtype=np.float32)), "Gram(relu1)"),
    "Direction": (lambda m: objectives.Direction("relu1", np.ones(8, np.float32)), "Direction(relu1)"),
    "many classes": (lambda m: objectives.Logit(list(range(500))), "498, 499])"),
    "many terms": (lambda m: many_terms(), "2 * Gram(a very long"),
    "Problem": (lambda m: Problem(m, many_terms(), Pixels(), Adam(0.1)), "Problem: model <cnnviz.Model"),
    "Evaluated": (evaluated, "gradient 1x3x32x32"),
    "Recipe": (recipe_of, "<Recipe: method 'class_visualization', model <cnnviz.Model 'network'"),
    "Stage": (lambda m: recipe_of(m).stages[0], "steps 200"),
    "Trace": (trace_of, "planes 1x3x32x32"),
    "Finished": (lambda m: recipe.as_they_are(trace_of(m)), "image 1x32x32x3, best 1x32x32x3"),
    "Point": (lambda m: Point(np.array([1, 0.5]), X), "value 0.5 to 1, gradient 1x3x32x32"),
    "Move": (lambda m: Move(X, {"first": X, "count": 3}), "memory {first 1x3x32x32, count}"),
}


def check_line(text: str) -> None:
    assert "\n" not in text
    assert len(text) < LONGEST
    assert "array(" not in text
    assert not re.search(r"\d+\.\d+[, ]+-?\d+\.\d+[, ]+-?\d+\.\d+", text), "numbers of an array"


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.filterwarnings("ignore:after 3 steps:UserWarning")
def test_an_object_is_one_short_line(model: cnnviz.Model, name: str) -> None:
    make: Callable[[cnnviz.Model], Any] = OBJECTS[name][0]
    text = repr(make(model))
    check_line(text)
    assert OBJECTS[name][1] in text


def test_steps_and_states_are_one_short_line(steps: List[Step]) -> None:
    for step, facts in ((steps[-1], "steps 1, value -"), (steps[-1].state, "memory {")):
        check_line(repr(step))
        assert facts in repr(step)


def test_a_list_of_results_has_a_line_for_each(model: cnnviz.Model) -> None:
    results = cnnviz.saliency(model, [PICTURE, PICTURE[::-1]], [3, 5])
    for line in "\n".join(map(str, results)).splitlines():
        check_line(line)
        assert line.startswith("<Attribution saliency of 'class ")
    assert repr(results) == f"[{results[0]!r}, {results[1]!r}]"


def test_layers_are_listed_by_print(model: cnnviz.Model) -> None:
    assert str(model.layers).splitlines()[0] == "conv1  1x8x32x32  maps"
    assert len(str(model.layers).splitlines()) == len(model.layers)


def test_a_history_keeps_the_full_name_of_its_terms() -> None:
    assert objectives.Logit(list(range(500))).name == f"Logit({list(range(500))})"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (shortened("short"), "short"),
        (shortened("two\n lines"), "two lines"),
        (shortened("0123456789" * 3, 20), "0123456789 ... 56789"),
        (span(np.zeros(0)), "empty"),
        (span(np.full((2, 3), 0.25)), "0.25"),
        (span(np.array([-1.0, np.inf])), "-1 to inf"),
        (one_line(Point(np.ones(0), X)), "<Point: value empty, gradient 1x3x32x32>"),
    ],
)
def test_words(found: str, expected: str) -> None:
    assert found == expected
