"""Preprocessing and labels of other libraries, read by their members: stand-ins need no library."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict, Tuple

import pytest

from cnnviz import Preprocessing
from cnnviz.loading.recipes import labels_of, preprocessing_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def step(kind: str, **members: Any) -> Any:
    """A transform of a class with this name."""
    return type(kind, (), members)()


COMPOSE = step(
    "Compose",
    transforms=[
        step("Resize", size=256, interpolation=SimpleNamespace(value="bicubic")),
        step("CenterCrop", size=(224, 224)),
        step("ToTensor"),
        step("Normalize", mean=list(MEAN), std=list(STD)),
    ],
)
EVALUATION = SimpleNamespace(
    crop_size=[224], resize_size=[256], mean=MEAN, std=STD, interpolation=SimpleNamespace(value="bilinear")
)
CONFIGURATION = {
    "input_size": (3, 240, 320),
    "interpolation": "bicubic",
    "mean": MEAN,
    "std": STD,
    "crop_pct": 0.95,
}
PROCESSOR = SimpleNamespace(
    do_resize=True,
    size={"height": 224, "width": 224},
    do_rescale=True,
    rescale_factor=1 / 255,
    do_normalize=True,
    image_mean=[0.5, 0.5, 0.5],
    image_std=[0.5, 0.5, 0.5],
    resample=3,
)
CROPPING = SimpleNamespace(
    **{**vars(PROCESSOR), "size": {"shortest_edge": 256}, "resample": 2},
    do_center_crop=True,
    crop_size={"height": 224, "width": 224},
)
HALF = (0.5, 0.5, 0.5)

RECIPES: Dict[str, Tuple[Any, Dict[str, Any]]] = {
    "Compose": (
        COMPOSE,
        {"size": (224, 224), "crop": 0.875, "mean": MEAN, "std": STD, "resample": "bicubic"},
    ),
    "list of one": ([step("Normalize", mean=[0.5], std=[0.25])], {"mean": 0.5, "std": 0.25}),
    "resize to a size": (step("Resize", size=[96, 128]), {"size": (96, 128)}),
    "grey": ([step("Grayscale", num_output_channels=1), step("ToTensor")], {"channel_order": "L"}),
    "evaluation": (EVALUATION, {"size": (224, 224), "crop": 0.875, "mean": MEAN, "std": STD}),
    "weights": (
        SimpleNamespace(transforms=lambda: EVALUATION),
        {"size": (224, 224), "crop": 0.875, "mean": MEAN, "std": STD},
    ),
    "timm": (
        CONFIGURATION,
        {"size": (240, 320), "crop": 0.95, "mean": MEAN, "std": STD, "resample": "bicubic"},
    ),
    "timm's object": (
        SimpleNamespace(**CONFIGURATION),
        {"size": (240, 320), "crop": 0.95, "mean": MEAN, "std": STD, "resample": "bicubic"},
    ),
    "transformers": (PROCESSOR, {"size": (224, 224), "mean": HALF, "std": HALF, "resample": "bicubic"}),
    "transformers, 0 to 255": (
        SimpleNamespace(**{**vars(PROCESSOR), "do_rescale": False}),
        {"size": (224, 224), "scale": 255.0, "mean": HALF, "std": HALF, "resample": "bicubic"},
    ),
    "transformers, 0 to 2": (
        SimpleNamespace(**{**vars(PROCESSOR), "rescale_factor": 1 / 127.5}),
        {"size": (224, 224), "scale": 2.0, "mean": HALF, "std": HALF, "resample": "bicubic"},
    ),
    "transformers with a crop": (CROPPING, {"size": (224, 224), "crop": 0.875, "mean": HALF, "std": HALF}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_descriptions_become_preprocessing(name: str) -> None:
    given, expected = RECIPES[name]
    found = preprocessing_of(given)
    assert found == Preprocessing(**expected, name=found.name)


@pytest.mark.parametrize("given", [None, "imagenet", Preprocessing(mean=0.5)])
def test_what_cnnviz_knows_stays_as_it_is(given: Any) -> None:
    assert preprocessing_of(given) is given


REFUSED: Dict[str, Tuple[Any, type, str]] = {
    "unknown step": ([step("ColorJitter")], TypeError, "has the step ColorJitter"),
    "number": (3, TypeError, "has the step int"),
    "grey in three channels": ([step("Grayscale", num_output_channels=3)], ValueError, "three channels"),
    "two norms": (
        [step("Normalize", mean=[0], std=[1]), step("Normalize", mean=[0], std=[1])],
        ValueError,
        "two Normalize steps",
    ),
    "mapping": ({"size": 3}, TypeError, "without mean and input_size"),
    "squash": ({**CONFIGURATION, "crop_mode": "squash"}, ValueError, "squash"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_step_that_cnnviz_does_not_have_is_named(name: str) -> None:
    given, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        preprocessing_of(given)


LABELS: Dict[str, Tuple[Any, Any]] = {
    "weights": (SimpleNamespace(meta={"categories": ["cat", "dog"]}), ["cat", "dog"]),
    "configuration": (SimpleNamespace(id2label={1: "dog", 0: "cat"}), ["cat", "dog"]),
    "model": (SimpleNamespace(config=SimpleNamespace(id2label={"1": "dog", "0": "cat"})), ["cat", "dog"]),
    "mapping": ({1: "dog", 0: "cat"}, ["cat", "dog"]),
    "list": (["cat", "dog"], ["cat", "dog"]),
    "name": ("imagenet", "imagenet"),
    "none": (None, None),
}


@pytest.mark.parametrize("name", LABELS)
def test_categories_become_labels(name: str) -> None:
    given, expected = LABELS[name]
    assert labels_of(given) == expected
