"""`cnnviz.testing`: each assertion passes and fails as documented, and the plugin works in a user's suite."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes, small_classifier

import cnnviz
from cnnviz.testing import (
    assert_gradient_agrees,
    assert_models_agree,
    assert_points_into,
    assert_prediction,
    assert_unchanged,
)
from cnnviz.testing.attributions import as_mask, rank_correlation
from cnnviz.testing.destination import Destination, file_name, kept_in
from cnnviz.testing.evidence import ranked

pytest_plugins = ["pytester"]

# Ten tests of a user who looks for stars; the second half fails on purpose.
SUITE = """
import numpy as np
import pytest

import cnnviz
from cnnviz.testing import *


@pytest.fixture(scope="module")
def drawn():
    return cnnviz.bundled.draw(1, seed=17, classes=["star"], objects=2)

@pytest.fixture(scope="module")
def picture(drawn):
    return drawn.images[0]


def test_it_sees_the_star(cnnviz_model, picture):
    assert_prediction(cnnviz_model, picture, "star", margin=0.5)

def test_small_changes_do_not_sway_it(cnnviz_model, picture):
    assert_prediction(cnnviz_model, picture, "star", changes=["darker", "noise", "mirror", "shift down"])

def test_it_looks_at_the_star(cnnviz_model, picture, drawn):
    assert_points_into(cnnviz.grad_cam(cnnviz_model, picture, "star"), drawn.boxes[0], min_share=0.5)

def test_grad_cam_is_what_it_was(cnnviz_model, picture, cnnviz_stored):
    cnnviz_stored(cnnviz.grad_cam(cnnviz_model, picture))

def test_its_gradient_is_a_slope(cnnviz_model, cnnviz_pictures):
    assert_gradient_agrees(cnnviz_model, cnnviz_pictures.images[0])

def test_wrong_class(cnnviz_model, picture):
    assert_prediction(cnnviz_model, picture, "heart", changes=["darker"])

def test_wrong_place(cnnviz_model, picture, drawn):
    assert_points_into(cnnviz.grad_cam(cnnviz_model, picture, "star"), drawn.other_masks[0])

def test_drifted(cnnviz_model, picture, cnnviz_stored, request):
    before = request.config.getoption("--cnnviz-update")
    cnnviz_stored(cnnviz.grad_cam(cnnviz_model, picture if before else picture[:, ::-1].copy(), "star"))

def test_wrong_gradient(cnnviz_model, picture):
    def reference(x):
        return 1.2 * cnnviz_model.gradient(x, "star").gradients["input"]
    assert_gradient_agrees(cnnviz_model, picture, "star", reference=reference)

def test_wrong_export(cnnviz_model, picture):
    assert_models_agree(cnnviz_model, lambda x: np.roll(cnnviz_model.forward(x), 1, axis=1), picture)
"""

# SAID are texts that the messages of the five failures contain.
SAID = [
    "fails on 2 of 2 pictures: expected 'heart'",
    "grad-cam of 'star' does not point into the region",
    "store it anew: update=True, or pytest --cnnviz-update",
    "relative L2 0.1667, at most 0.01 is allowed; cosine 1.000000",
    "and its reference differ on 1 of 1 pictures",
]


# NAMES are tests whose ids differ in few letters, and failures in every phase of a test.
NAMES = """
import numpy as np
import pytest

import cnnviz
from cnnviz.testing import assert_points_into

def shown(seed=0):
    values = np.random.default_rng(seed).random((8, 8)).astype(np.float32)
    return cnnviz.Attribution(values, values, np.zeros((8, 8, 3), np.float32), "saliency", 1, "cat", 2.5)

class TestA:
    def test_s(self, cnnviz_stored):
        cnnviz_stored(shown(1))

class TestB:
    def test_s(self, cnnviz_stored):
        cnnviz_stored(shown(2))
        cnnviz_stored(shown(3), "other")

def test_twice(cnnviz_stored):
    cnnviz_stored(shown(1), "a")
    cnnviz_stored(shown(2), "a")

@pytest.mark.parametrize("text", ["a/b", "c/b", "x<1", "x>1", "long" * 99])
def test_call(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_points_into(shown(), (0, 0, 1, 1))

@pytest.fixture
def wrong_before():
    assert_points_into(shown(), (0, 0, 1, 1))

@pytest.fixture
def wrong_after():
    yield
    assert_points_into(shown(), (0, 0, 1, 1))

def test_setup(wrong_before):
    pass

def test_teardown(wrong_after):
    pass
"""


def star():
    return cnnviz.bundled.draw(1, seed=17, classes=["star"], objects=2).images[0]


@pytest.fixture(scope="module")
def model():
    return cnnviz.load()


@pytest.fixture(autouse=True)
def _failures_in_a_folder_of_the_test(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNVIZ_FAILURES", str(tmp_path / "failures"))
    monkeypatch.chdir(tmp_path)


def attribution(values):
    values = np.asarray(values, np.float32)
    image = np.zeros((*values.shape, 3), np.float32)
    return cnnviz.Attribution(values, values, image, "saliency", 1, "cat", 2.5)


def test_a_users_suite_gets_numbers_and_pictures(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_stars=SUITE)
    plugin = ["-p", "cnnviz.testing.plugin"]
    stored = pytester.runpytest_subprocess(*plugin, "--cnnviz-update", "-k", "was or drifted")
    stored.assert_outcomes(passed=2, deselected=8)
    result = pytester.runpytest_subprocess(*plugin, "--cnnviz-failures", "pictures")
    result.assert_outcomes(passed=5, failed=5)
    said = result.stdout.str()
    for text in SAID:
        assert text in said, text
    pictures = sorted((pytester.path / "pictures").glob("*.png"))
    assert len(pictures) == 5
    assert all(picture.name in said for picture in pictures)
    assert all(picture.stat().st_size > 5000 for picture in pictures)
    assert (pytester.path / "pictures" / ".gitignore").read_text() == "*\n"


def test_a_suite_without_cnnviz_loads_only_the_plugin(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    # An unknown tier of kernels is no error in a suite that does not use the core.
    monkeypatch.setenv("CNNVIZ_KERNELS", "sse9")
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_loaded():
            heavy = {"numpy", "matplotlib", "cnnviz._core", "cnnviz._config", "cnnviz.testing.evidence"}
            assert not heavy & set(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess("-p", "cnnviz.testing.plugin")
    result.assert_outcomes(passed=1)


def test_a_missing_stored_file_says_how_to_store_one(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_stars=SUITE)
    result = pytester.runpytest_subprocess("-p", "cnnviz.testing.plugin", "-k", "is_what_it_was")
    result.assert_outcomes(failed=1, deselected=9)
    assert "store it with update=True (pytest --cnnviz-update)" in result.stdout.str()


def test_each_test_has_files_of_its_own(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    folder = pytester.mkdir("folder")
    (folder / "test_names.py").write_text(NAMES, "utf-8")
    plugin = ["-p", "cnnviz.testing.plugin", "--cnnviz-failures", "pictures", "--strict-markers"]
    result = pytester.runpytest_subprocess(*plugin, "--cnnviz-update")
    result.assert_outcomes(passed=3, failed=6, errors=2)
    assert "another attribution by the name 'a'" in result.stdout.str()
    stored = {path.name for path in (folder / "stored").iterdir()}
    names = ["TestA-test_s", "TestB-test_s", "TestB-test_s-other", "test_twice-a"]
    assert stored == {f"test_names-{name}.npz" for name in names}
    pictures = sorted(path.name for path in (pytester.path / "pictures").glob("*.png"))
    assert len(pictures) == 7
    for phase in ("setup", "teardown"):
        assert f"folder-test_names.py-test_{phase}-points-into.png" in pictures
    assert max(map(len, pictures)) < 160
    pytester.runpytest_subprocess(*plugin, "-k", "test_s").assert_outcomes(passed=2, errors=1, deselected=7)


NAMED = (
    ("test_a.py::test_b", "test_a.py-test_b"),
    ("a/test_b.py::TestC::test_d[e-1.5]", "a-test_b.py-TestC-test_d-e-1.5"),
    ("test_a.py::test_b[x<1]", "test_a.py-test_b-x-1-37852f57"),
    ("test_a.py::test_b[x>1]", "test_a.py-test_b-x-1-3401fb39"),
    ("test_a.py::test_b[\\xe9]", "test_a.py-test_b-xe9-"),
    ("x" * 300, "x" * 120 + "-"),
    ("", ""),
)


@pytest.mark.parametrize(("text", "name"), NAMED, ids=[row[0][:30] for row in NAMED])
def test_file_names_are_readable_and_tell_tests_apart(text, name):
    assert file_name(text).startswith(name)
    assert len(file_name(text)) in (len(name), len(name) + 8)


def test_pointing_needs_energy_and_peak():
    values = np.zeros((10, 10))
    values[2:4, 2:4] = 1
    values[8, 8] = 1.5
    shown = attribution(values)
    assert_points_into(shown, (2, 2, 4, 4), min_share=0.7, pointing=False)
    assert_points_into(shown, (2, 2, 4, 4), min_share=0.7, tolerance=8)
    with pytest.raises(AssertionError, match=r"row 8, column 8, lies 7\.1 pixels outside"):
        assert_points_into(shown, (2, 2, 4, 4), min_share=0.7)
    with pytest.raises(AssertionError, match=r"72\.7% of its energy lies inside, at least 80\.0%"):
        assert_points_into(shown, (2, 2, 4, 4), min_share=0.8, pointing=False)
    with pytest.raises(AssertionError, match=r"0\.0% of its energy"):
        assert_points_into(attribution(np.zeros((4, 4))), (0, 0, 2, 2))


@pytest.mark.parametrize("pointing", [True, False])
@pytest.mark.parametrize(("value", "says"), [(0, "map is all zero"), (-1, "no value of the map is positive")])
def test_a_map_without_energy_is_named_in_the_message(value, says, pointing):
    with pytest.raises(AssertionError, match=says) as failed:
        assert_points_into(attribution(np.full((4, 4), value)), (0, 0, 2, 2), pointing=pointing)
    assert "largest value" not in str(failed.value)
    assert_points_into(attribution(np.full((4, 4), value)), (0, 0, 2, 2), min_share=0, pointing=False)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_passes_no_assertion(value, tmp_path):
    whole, broken = np.eye(4), np.eye(4)
    broken[1, 2] = value
    path = tmp_path / "map.npz"
    assert_unchanged(attribution(whole), path, update=True)
    says = "saliency of 'cat' holds NaN or infinity in 1 of its 16 pixels"
    with pytest.raises(AssertionError, match=says):
        assert_points_into(attribution(broken), (0, 0, 4, 4), min_share=0, pointing=False)
    for update in (False, True):
        with pytest.raises(AssertionError, match=says):
            assert_unchanged(attribution(broken), path, update=update)
    attribution(broken).save(path)
    with pytest.raises(AssertionError, match="rank correlation"):
        assert_unchanged(attribution(whole), path)


@pytest.mark.parametrize(
    ("region", "says"),
    [
        (np.ones((3, 3), bool), r"mask of \(3, 3\)"),
        (np.zeros((8, 8), bool), "has no pixel"),
        ((3, 3, 3, 5), "has no pixel"),
        ((9, 9, 12, 12), r"= \(9, 9, 12, 12\) does not lie within the map of 8 rows and 8 columns"),
        ((2, 2, 4, 8.5), r"\(2.0, 2.0, 4.0, 8.5\) does not lie"),
        ((-1, 2, 4, 4), "does not lie"),
        ((np.nan, 2, 4, 4), "does not lie"),
        ((1, 2, 3), r"not of shape \(3,\)"),
    ],
)
def test_regions_that_do_not_fit_are_refused(region, says):
    with pytest.raises(ValueError, match=says):
        as_mask(region, (8, 8))


def test_unchanged_measures_ranks_and_distance(tmp_path):
    values = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    path = tmp_path / "map.npz"
    assert_unchanged(attribution(values), path, update=True)
    assert_unchanged(attribution(values * np.float32(1.05)), path)
    with pytest.raises(AssertionError, match=r"relative L2 0\.5,"):
        assert_unchanged(attribution(values * np.float32(1.5)), path)
    with pytest.raises(AssertionError, match=r"rank correlation -"):
        assert_unchanged(attribution(1 - values), path, max_relative_l2=9)
    with pytest.raises(AssertionError, match=r"the stored map is \(12, 12\), the new one \(6, 6\)"):
        assert_unchanged(attribution(values[:6, :6]), path)


def test_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    a, b = np.random.default_rng(1).integers(0, 5, (2, 6, 6)).astype(np.float32)
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert rank_correlation(a * 0, b * 0) == 1
    assert rank_correlation(a * 0, b) == 0


def test_a_margin_that_is_too_small_fails(model):
    with pytest.raises(AssertionError, match=r"as it is: right; 'star' .*margin \+"):
        assert_prediction(model, star(), "star", margin=1e3)
    with pytest.raises(ValueError, match="no change 'wind'; there are brighter"):
        assert_prediction(model, star(), "star", changes=["wind"])


def test_a_network_with_nan_scores_passes_no_assertion(model, monkeypatch):
    forward = cnnviz.Model.forward

    def broken(self, x, layers):
        return {"logits": forward(self, x, layers)["logits"] * np.nan}

    monkeypatch.setattr(cnnviz.Model, "forward", broken)
    for margin in (0, 1, -1e9):
        with pytest.raises(AssertionError, match=r"12 of 12 scores are NaN"):
            assert_prediction(model, star(), "star", margin=margin)
    with pytest.raises(AssertionError, match="is not the slope of the score"):
        assert_gradient_agrees(model, star(), "star")
    monkeypatch.setattr(cnnviz.Model, "forward", forward)
    with pytest.raises(AssertionError, match="is not the reference's"):
        assert_gradient_agrees(model, star(), "star", reference=lambda x: x * np.nan)
    with pytest.raises(AssertionError, match="differ on 1 of 1 pictures"):
        assert_models_agree(model, lambda x: forward(model, x) * np.nan, star())


def test_one_direction_without_a_slope_is_enough(model, monkeypatch):
    forward, calls = cnnviz.Model.forward, []

    def overflowing(self, x, layers=None):
        calls.append(len(x))
        found = forward(self, x, layers)
        return {"logits": found["logits"] * np.nan} if len(calls) == 7 else found

    monkeypatch.setattr(cnnviz.Model, "forward", overflowing)
    with pytest.raises(AssertionError, match="is not the slope of the score"):
        assert_gradient_agrees(model, star(), "star")


def test_the_expected_class_is_marked_however_long_its_name():
    labels = ["a dog of very many words, and more", "a dog of very many words, and others", "cat"]
    values, names = ranked(np.array([1.0, 3.0, 2.0]), labels, 0, top=2)
    assert values.tolist() == [3.0, 1.0]
    assert names == ("a dog of very many wor", "a dog of very many wor (expected)")


def test_a_value_has_no_margin():
    single = cnnviz.load(small_classifier(classes=1), preprocessing="unit")
    with pytest.raises(ValueError, match=r"does not classify: .* a value"):
        assert_prediction(single, np.zeros((32, 32, 3), np.uint8), 0)


def test_a_binary_network_has_a_margin_and_an_output():
    single = cnnviz.load(small_classifier(classes=1, sigmoid=True), preprocessing="unit")
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    best = single.predict(picture)[0]
    assert_prediction(single, picture, best.label, margin=1.9 * best.score)
    with pytest.raises(AssertionError, match=f"expected {single.labels[1 - best.index]!r}"):
        assert_prediction(single, picture, 1 - best.index)
    assert_gradient_agrees(single, picture, "positive")
    with pytest.raises(AssertionError, match="'output 0': "):
        assert_models_agree(single, lambda x: single.forward(x) + 0.5, picture)


def test_a_gradient_off_by_a_tenth_is_found_by_differences(model, monkeypatch):
    drawn = cnnviz.bundled.draw(1, seed=0).images[0]
    for picture in (drawn, star()):
        assert_gradient_agrees(model, picture)
    gradient = cnnviz.Model.gradient

    def wrong(self, *arguments, **options):
        found = gradient(self, *arguments, **options)
        return cnnviz.Gradient(found.value, {"input": found.gradients["input"] * 1.1}, {})

    monkeypatch.setattr(cnnviz.Model, "gradient", wrong)
    with pytest.raises(AssertionError, match="is not the slope of the score"):
        assert_gradient_agrees(model, drawn, rtol=1e-3)


def test_models_that_agree_pass_and_shapes_are_checked(model):
    assert_models_agree(model, cnnviz.load(), [star(), star()[::-1].copy()])
    with pytest.raises(ValueError, match="the reference's"):
        assert_models_agree(model, lambda x: model.forward(x)[:, :3], star())


def test_a_folder_that_cannot_be_written_does_not_hide_the_failure(tmp_path):
    (tmp_path / "file").write_text("")
    unwritable = kept_in(Destination(tmp_path / "file", "a test"))
    with unwritable, pytest.raises(AssertionError, match=r"(?s)energy.*could not be written"):
        assert_points_into(attribution(np.eye(4)), (0, 3, 1, 4))


def flat_pools() -> bytes:
    """A max pool over the picture and one over minus it, so that ties pull to both sides; two classes."""
    pool = {"kernel_shape": [4, 4], "strides": [4, 4]}
    nodes = [
        helper.make_node("MaxPool", ["x"], ["highest"], **pool),
        helper.make_node("Neg", ["x"], ["minus"]),
        helper.make_node("MaxPool", ["minus"], ["lowest"], **pool),
        helper.make_node("Add", ["highest", "lowest"], ["span"]),
        helper.make_node("Flatten", ["span"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["scores"]),
    ]
    weights = np.random.default_rng(0).normal(size=(48, 2))
    return onnx_bytes(nodes, {"w": weights}, input_shape=["N", 3, 16, 16], output="scores")


def last_of_ties(x: np.ndarray) -> np.ndarray:
    """The gradient of the first class, where a pool takes the last of several equal places, not the first."""
    model = cnnviz.load(flat_pools(), preprocessing="unit")
    turned = x[:, :, ::-1, ::-1]
    weights = model.graph.constants["w"][:, 0].reshape(1, 3, 4, 4)[:, :, ::-1, ::-1]
    cotangent = {"span": np.ascontiguousarray(weights)}
    return model.gradient(np.ascontiguousarray(turned), cotangent).gradients["input"][:, :, ::-1, ::-1]


def test_a_choice_among_ties_is_no_wrong_gradient():
    model = cnnviz.load(flat_pools(), preprocessing="unit")
    picture = np.full((16, 16, 3), 255, np.uint8)
    picture[5:, 5:] = np.random.default_rng(1).integers(0, 256, (11, 11, 3))
    ours = model.gradient(model.preprocess(picture), 0).gradients["input"]
    assert np.abs(ours - last_of_ties(model.preprocess(picture))).max() > 0.1
    assert_gradient_agrees(model, picture, 0, reference=last_of_ties, rtol=1e-5)
    assert_gradient_agrees(model, picture, 0, step=1e-3)
    with pytest.raises(AssertionError, match="is not the reference's"):
        assert_gradient_agrees(model, picture, 0, reference=lambda x: 1.01 * last_of_ties(x), rtol=1e-3)


def of_shape(*size):
    values = np.random.default_rng(0).random(size).astype(np.float32)
    image = np.stack([values, values, values, values], axis=-1)
    return cnnviz.Attribution(values, values, image, "saliency", 1, "cat", 1.0)


@pytest.mark.parametrize("size", [(64,), (4, 6, 8), (6, 8)], ids=str)
def test_signals_volumes_and_four_channels_are_drawn_when_they_drift(size, tmp_path):
    path, given, kept = tmp_path / "map.npz", of_shape(*size), Destination(tmp_path, "t")
    assert_unchanged(given, path, update=True)
    assert_unchanged(given, path)
    with pytest.raises(AssertionError, match=r"relative L2 1,[\s\S]*picture: .*png"), kept_in(kept):
        assert_unchanged(dataclasses.replace(given, map=2 * given.map), path)
    given.map.flat[0] = np.nan
    with pytest.raises(AssertionError, match=r"holds NaN[\s\S]*picture: .*png"), kept_in(kept):
        assert_unchanged(given, path)


@pytest.mark.parametrize("size", [(64,), (4, 6, 8)], ids=str)
def test_only_pictures_are_pointed_into(size):
    with pytest.raises(ValueError, match=r"assert_points_into is for networks of pictures: the map"):
        assert_points_into(of_shape(*size), np.ones(size, bool))


def test_preprocessed_inputs_are_asserted_about(model):
    x = model.preprocess(star())
    for given in (cnnviz.Preprocessed(x), cnnviz.Preprocessed(x[0])):
        assert_prediction(model, given, "star", changes=["darker"])
        assert_models_agree(model, cnnviz.load(), given)
        with pytest.raises(AssertionError, match="fails on 2 of 2 pictures"):
            assert_prediction(model, given, "heart", changes=["darker"])
    with pytest.raises(ValueError, match="image has 2 pictures"):
        assert_prediction(model, cnnviz.Preprocessed(np.concatenate([x, x])), "star")
