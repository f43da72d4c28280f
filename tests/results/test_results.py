"""Results keep all their fields through a file and back."""

from __future__ import annotations

import warnings
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz import load_result, resume
from cnnviz.results.results import ALL_ZERO, Attribution, Run, Synthesis

RNG = np.random.default_rng(0)

ATTRIBUTION = Attribution(
    values=RNG.normal(size=(3, 6, 8)).astype(np.float32),
    map=RNG.random((6, 8)).astype(np.float32),
    image=RNG.random((6, 8, 3)).astype(np.float32),
    method="saliency",
    target=7,
    label="crème brûlée",
    score=3.25,
    layer=None,
    flags=(ALL_ZERO,),
)
SYNTHESIS = Synthesis(
    image=RNG.random((6, 8, 3)).astype(np.float32),
    best=RNG.random((6, 8, 3)).astype(np.float32),
    history={"logit": np.arange(5.0), "tv": np.arange(5.0) / 3},
    method="fooling_image",
    converged=True,
    run=Run({"seed": 3, "rate": 0.5, "layers": ["a", "b"]}),
)


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    for name in one.__dataclass_fields__:
        left, right = getattr(one, name), getattr(other, name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)
        elif name == "history":
            assert {k: v.tolist() for k, v in left.items()} == {k: v.tolist() for k, v in right.items()}
        else:
            assert left == right, name


@pytest.mark.parametrize("result", [ATTRIBUTION, replace(ATTRIBUTION, layer="conv1", target=None), SYNTHESIS])
def test_results_survive_a_file(result: Any, tmp_path: Path) -> None:
    path = tmp_path / "result.npz"
    result.save(path)
    assert_same(load_result(path), result)


@pytest.mark.parametrize("suffix", ["png", "jpg", "pdf", "svg"])
def test_pictures_are_written(suffix: str, tmp_path: Path, no_figures_left: None) -> None:
    path = tmp_path / f"result.{suffix}"
    ATTRIBUTION.save(path)
    assert path.stat().st_size > 1000
    if suffix in ("png", "jpg"):
        assert min(PIL.Image.open(path).size) > 100


def test_a_synthesis_is_saved_pixel_by_pixel(tmp_path: Path) -> None:
    SYNTHESIS.save(tmp_path / "picture.png")
    pixels = np.asarray(PIL.Image.open(tmp_path / "picture.png"))
    np.testing.assert_array_equal(pixels, np.rint(SYNTHESIS.image * 255).astype(np.uint8))


def test_results_show_themselves_in_notebooks(no_figures_left: None) -> None:
    for result in (ATTRIBUTION, SYNTHESIS):
        assert result._repr_png_().startswith(b"\x89PNG")


def test_results_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ATTRIBUTION.score = 1.0  # type: ignore[misc]


def test_a_result_from_a_file_needs_its_network_to_be_resumed(tmp_path: Path) -> None:
    SYNTHESIS.save(tmp_path / "x.npz")
    loaded = load_result(tmp_path / "x.npz")
    assert isinstance(loaded, Synthesis)
    with pytest.raises(ValueError, match=r"call cnnviz.resume\(result, model, n\)"):
        loaded.resume(3)
    with pytest.raises(ValueError, match="cannot be resumed: it holds no state"):
        resume(loaded, object(), 3)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(softmax=True), preprocessing="imagenet")


@pytest.fixture(scope="module")
def made(model: cnnviz.Model) -> Synthesis:
    """A result of a run that stopped after two steps, from a picture."""
    picture = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that two steps do not fool the network
        return cnnviz.fooling_image(model, picture, steps=2, keep_every=1)


def test_recipe_and_checkpoint_are_the_run_s(made: Synthesis) -> None:
    assert made.settings is made.run.settings
    assert made.sources is made.run.sources
    assert set(made.sources) == {"image"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(made.frames) > 0
    with pytest.warns(DeprecationWarning, match=r"Synthesis.memory is deprecated: use run.memory") as caught:
        memory = made.memory
    assert memory is made.run.memory
    assert caught[0].filename == __file__


def test_a_loaded_result_is_continued_by_either_call(
    made: Synthesis, model: cnnviz.Model, tmp_path: Path
) -> None:
    made.save(tmp_path / "x.npz")
    loaded = load_result(tmp_path / "x.npz")
    assert isinstance(loaded, Synthesis)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = resume(loaded, model, 3)
        in_memory = made.resume(3)
    with pytest.warns(DeprecationWarning, match=r"call cnnviz.resume\(result, model, n\)") as caught:
        found = loaded.resume(3, model)
    assert caught[0].filename == __file__
    for other in (found, in_memory):
        assert len(other.history["value"]) == len(made.history["value"]) + 3
        np.testing.assert_array_equal(other.image, expected.image)
        np.testing.assert_array_equal(other.history["value"], expected.history["value"])
        assert other.settings == expected.settings


LINES = (
    (
        ATTRIBUTION,
        "<Attribution saliency of 'crème brûlée' (7): score 3.25, map 6x8, {low} to {high}, all-zero>",
    ),
    (
        replace(ATTRIBUTION, label="Channel(conv1, 3)", target=None, layer="conv1", flags=()),
        "<Attribution saliency of Channel(conv1, 3): score 3.25, map 6x8, {low} to {high}, layer 'conv1'>",
    ),
    (SYNTHESIS, "<Synthesis fooling_image: 6x8, 4 steps, converged>"),
    (
        replace(SYNTHESIS, image=SYNTHESIS.image[None].repeat(2, axis=0), converged=False, interrupted=True),
        "<Synthesis fooling_image: 2 pictures of 6x8, 4 steps, interrupted>",
    ),
    (
        replace(SYNTHESIS, history={"value": np.arange(3.0)}, report={"label": ["a", "b", "c", "d", "e"]}),
        "<Synthesis fooling_image of a, b, c, 2 more: 6x8, 2 steps, value 2, converged>",
    ),
    (
        replace(SYNTHESIS, history={"value": np.zeros(0)}),
        "<Synthesis fooling_image: 6x8, 0 steps, converged>",
    ),
    (SYNTHESIS.run, "<Run: seed 3, 0 source pictures, checkpoint of 0.00 MB>"),
    (
        Run(memory={"a": np.zeros(500_000)}),
        "<Run: settings not stored, 0 source pictures, checkpoint of 4.00 MB>",
    ),
)


@pytest.mark.parametrize(("result", "line"), LINES, ids=range(len(LINES)))
def test_a_result_is_printed_as_one_line(result: Any, line: str) -> None:
    low, high = f"{ATTRIBUTION.map.min():.3g}", f"{ATTRIBUTION.map.max():.3g}"
    assert repr(result) == str(result) == line.format(low=low, high=high)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_result(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text.npz").write_text("text")
    np.save(tmp_path / "array.npz", np.zeros(3))
    (tmp_path / "array.npz.npy").rename(tmp_path / "array.npz")
    for name in ("other.npz", "text.npz", "array.npz"):
        with pytest.raises(ValueError, match=f"{name}.*not a result saved by cnnviz"):
            load_result(tmp_path / name)
    with pytest.raises(ValueError, match=r"\.nosuch|nosuch"):
        ATTRIBUTION.save(tmp_path / "x.nosuch")
    with pytest.raises(TypeError, match="takes no options"):
        ATTRIBUTION.save(tmp_path / "x.npz", title="a")


def test_kept_frames_become_an_animation(tmp_path: Path) -> None:
    """Frames of two sizes, as a style transfer through scales has them, in order, then the picture itself."""
    small, large = (RNG.integers(0, 256, (1, h, w, 3), dtype=np.uint8) for h, w in ((3, 4), (6, 8)))
    kept = replace(
        SYNTHESIS, run=Run(memory={"frames/1/0": large, "frames/0/10": small, "frames/0/0": small})
    )
    assert [frame.shape for frame in kept.frames] == [(3, 4, 3), (3, 4, 3), (6, 8, 3)]
    kept.save(tmp_path / "way.gif")
    with PIL.Image.open(tmp_path / "way.gif") as animation:
        assert animation.size == (8, 6)
        assert animation.info["duration"] < 500
        animation.seek(animation.n_frames - 1)
        assert animation.info["duration"] > 1000
    with pytest.raises(ValueError, match="keep_every"):
        SYNTHESIS.save(tmp_path / "still.gif")
