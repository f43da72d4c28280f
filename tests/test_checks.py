"""Keywords that were renamed work under their former names, and warn."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, Callable, NamedTuple

import numpy as np
import pytest
from toy_networks import small_classifier

import cnnviz

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
X = np.random.default_rng(1).random((2, 3, 32, 32), dtype=np.float32)


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(softmax=True), preprocessing="imagenet")


class Renamed(NamedTuple):
    """A call with one keyword left open, that keyword's names, a value, and the array to compare."""

    call: Callable[..., Any]
    old: str
    new: str
    value: Any
    array: Callable[[Any], Any]


def dx(found: Any) -> Any:
    return found.gradients["input"]


RENAMED = {
    "gradient": Renamed(lambda m, **k: m.gradient(X, **k), "objective", "target", 3, dx),
    "gradients": Renamed(
        lambda m, **k: m.gradients(X, **k),
        "objectives",
        "targets",
        [3, "class 5"],
        lambda found: dx(found[1]),
    ),
    "guided_backprop": Renamed(
        lambda m, **k: cnnviz.guided_backprop(m, PICTURE, 3, **k),
        "rule",
        "relu",
        "deconv",
        lambda r: r.values,
    ),
    "guided_grad_cam": Renamed(
        lambda m, **k: cnnviz.guided_grad_cam(m, PICTURE, 3, **k),
        "rule",
        "relu",
        "deconv",
        lambda r: r.values,
    ),
    "sanity_check": Renamed(
        lambda m, **k: cnnviz.sanity_check(m, PICTURE, "guided_backprop", target=3, **k),
        "rule",
        "relu",
        "deconv",
        lambda check: check.similarity,
    ),
}


@pytest.mark.parametrize("name", RENAMED)
def test_a_former_keyword_warns_and_works(model: cnnviz.Model, name: str) -> None:
    row = RENAMED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = row.array(row.call(model, **{row.new: row.value}))
    with pytest.warns(DeprecationWarning, match=rf"\({row.old}=\) is deprecated: use {row.new}=") as caught:
        found = row.array(row.call(model, **{row.old: row.value}))
    np.testing.assert_array_equal(found, expected)
    if name != "sanity_check":  # which hands its options on to the technique
        assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize("name", RENAMED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_both_names_are_an_error(model: cnnviz.Model, name: str) -> None:
    row = RENAMED[name]
    with pytest.raises(TypeError, match=f"{row.old}= is the former name of {row.new}="):
        row.call(model, **{row.old: row.value, row.new: row.value})


def test_the_target_may_come_by_place(model: cnnviz.Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_place, by_name = model.gradient(X, 3), model.gradient(X, target=3)
    np.testing.assert_array_equal(dx(by_place), dx(by_name))
    with pytest.warns(DeprecationWarning, match="objective"), pytest.raises(TypeError, match="multiple"):
        model.gradient(X, 3, objective=3)  # type: ignore[call-arg]


def test_signatures_have_the_present_names() -> None:
    for function in (cnnviz.guided_backprop, cnnviz.guided_grad_cam, cnnviz.Model.gradient):
        names = inspect.signature(function).parameters
        assert "relu" in names
        assert "target" in names
        assert not {"rule", "objective"} & set(names)
