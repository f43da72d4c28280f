"""A PNG carries its settings: attributions and syntheses are made again, other files are refused."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import onnx
import PIL.Image
import pytest
from PIL.PngImagePlugin import PngInfo
from toy_networks import small_classifier

import cnnviz
from cnnviz.objectives import Logit
from cnnviz.results import files

PICTURE = np.random.default_rng(0).integers(0, 256, (45, 38, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_classifier(softmax=True), preprocessing="imagenet")


METHODS: Dict[str, Callable[[Any], Any]] = {
    "saliency": lambda model: cnnviz.saliency(model, PICTURE, 3, reduce="l2"),
    "smooth": lambda model: cnnviz.saliency(model, PICTURE, 3, smooth=2, noise=0.1, seed=5, times_input=True),
    "grad_cam": lambda model: cnnviz.grad_cam(model, PICTURE, layer="conv2"),
    "deconv": lambda model: cnnviz.guided_backprop(model, PICTURE, relu="deconv"),
    "guided_grad_cam": lambda model: cnnviz.guided_grad_cam(model, PICTURE, 5),
}


@pytest.mark.parametrize("name", METHODS)
def test_an_attribution_is_made_again(model: cnnviz.Model, tmp_path: Path, name: str) -> None:
    result = METHODS[name](model)
    result.save(tmp_path / "x.png")
    again = cnnviz.replay(tmp_path / "x.png", model)
    np.testing.assert_array_equal(again.map, result.map)  # type: ignore[union-attr]
    np.testing.assert_array_equal(again.image, result.image)
    assert again.settings == result.settings
    assert (again.target, again.layer) == (result.target, result.layer)  # type: ignore[union-attr]


def test_each_of_a_batch_can_be_made_again(model: cnnviz.Model, tmp_path: Path) -> None:
    results = cnnviz.saliency(model, [PICTURE, PICTURE[::-1]], [3, 5])
    results[1].save(tmp_path / "x.png")
    again = cnnviz.replay(tmp_path / "x.png", model)
    np.testing.assert_array_equal(again.map, results[1].map)  # type: ignore[union-attr]


@pytest.mark.parametrize("method", ["guided_backprop", "guided_grad_cam"])
def test_settings_with_former_names_are_made_again(model: cnnviz.Model, tmp_path: Path, method: str) -> None:
    """Files of earlier releases call the argument `relu` of these techniques `rule`."""
    result = getattr(cnnviz, method)(model, PICTURE, 3, relu="deconv")
    settings = {("rule" if name == "relu" else name): value for name, value in result.settings.items()}
    replace(result, settings=settings).save(tmp_path / "old.npz")
    old = cnnviz.load_result(tmp_path / "old.npz")
    assert old.settings == settings
    old.save(tmp_path / "old.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = cnnviz.replay(tmp_path / "old.png", model)
    np.testing.assert_array_equal(again.map, result.map)  # type: ignore[union-attr]
    assert again.settings == result.settings


def with_gain() -> cnnviz.Model:
    """A classifier whose first maps are multiplied by a number that is given beside the picture."""
    file = onnx.load_from_string(small_classifier(softmax=True))
    gain = onnx.helper.make_tensor_value_info("gain", onnx.TensorProto.FLOAT, ["N", 1, 1, 1])
    file.graph.input.append(gain)
    first = file.graph.node[0]
    name = first.output[0]
    first.output[0] = "before gain"
    file.graph.node.insert(1, onnx.helper.make_node("Mul", ["before gain", "gain"], [name]))
    return cnnviz.load(file, preprocessing="unit")


def test_what_is_given_beside_the_picture_is_made_again_too(tmp_path: Path) -> None:
    model = with_gain()
    given = [{"image": PICTURE, "gain": gain} for gain in (0.5, 2.0)]
    for row, result in enumerate([*cnnviz.grad_cam(model, given, 3), cnnviz.grad_cam(model, given[0], 3)]):
        result.save(tmp_path / "x.png")
        for other in (model, model.bind({"gain": 5.0})):
            again = cnnviz.replay(tmp_path / "x.png", other)
            assert isinstance(again, cnnviz.Attribution)
            assert again.score == result.score == cnnviz.grad_cam(model, given[row % 2], 3).score
            np.testing.assert_array_equal(again.map, result.map)
        result.save(tmp_path / "x.npz")
        stored = cnnviz.load_result(tmp_path / "x.npz")
        assert isinstance(stored, cnnviz.Attribution)
        np.testing.assert_array_equal(stored.inputs["gain"].ravel(), [given[row % 2]["gain"]])
    with pytest.raises(ValueError, match=r"numbers for the input 'gain', and .* has none beside the picture"):
        cnnviz.replay(tmp_path / "x.png", cnnviz.load(small_classifier(softmax=True)))


def test_runs_of_bound_models_are_made_again_and_continued(tmp_path: Path) -> None:
    model = with_gain()
    bound = model.bind({"gain": 2.0})
    drawn = cnnviz.class_visualization(bound, [1, 2], steps=3, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options: Dict[str, Any] = {"steps": 3, "confidence": 1.0, "progress": False}
        fooled = cnnviz.fooling_image(model, {"image": PICTURE, "gain": 2.0}, **options)
    styled = cnnviz.style_transfer(bound, PICTURE, PICTURE, size=32, steps=2, progress=False)
    for made in (drawn, fooled, styled):
        made.save(tmp_path / "x.png")
        made.save(tmp_path / "x.npz")
        further = made.resume(2)
        for other in (model, model.bind({"gain": 5.0})):
            again = cnnviz.replay(tmp_path / "x.png", other)
            np.testing.assert_array_equal(again.image, made.image)
            stored = cnnviz.load_result(tmp_path / "x.npz")
            assert isinstance(stored, cnnviz.Synthesis)
            for result in (made, stored):
                resumed = cnnviz.resume(result, other, 2)
                np.testing.assert_array_equal(resumed.image, further.image)
                np.testing.assert_equal(resumed.report, further.report)


def test_another_network_is_warned_about(model: cnnviz.Model, tmp_path: Path) -> None:
    cnnviz.saliency(model, PICTURE, 3).save(tmp_path / "x.png")
    (tmp_path / "other.onnx").write_bytes(small_classifier(seed=1))
    other = cnnviz.load(tmp_path / "other.onnx")
    with pytest.warns(UserWarning, match="made this picture, and 'other'"):
        cnnviz.replay(tmp_path / "x.png", other)


def written(path: Path, settings: Any) -> Path:
    info = PngInfo()
    info.add_text(files.SETTINGS, settings if isinstance(settings, str) else json.dumps(settings))
    PIL.Image.fromarray(PICTURE).save(path, pnginfo=info)
    return path


DAMAGED = (
    ("{not json", "the settings in .* are damaged"),
    ({"method": "tea"}, "'tea' is no technique"),
    ({"method": "fooling_image", "position": 3}, "settings that make no picture"),
    ({"method": "saliency", "target": 3}, "these settings make no saliency"),
    ({"method": "class_visualization", "position": -1, "seed": 0, "target": [1]}, "make no picture"),
)


@pytest.mark.parametrize(("settings", "message"), DAMAGED, ids=[row[1][:20] for row in DAMAGED])
@pytest.mark.filterwarnings("ignore:.* made this picture:UserWarning")
def test_damaged_settings_are_refused(
    model: cnnviz.Model, tmp_path: Path, settings: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cnnviz.replay(written(tmp_path / "x.png", settings), model)


def test_other_files_are_refused(model: cnnviz.Model, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cnnviz.replay(tmp_path / "nowhere.png", model)
    PIL.Image.fromarray(PICTURE).save(tmp_path / "plain.png")
    cnnviz.saliency(model, PICTURE, 3).save(tmp_path / "x.jpg")
    cnnviz.saliency(model, PICTURE, Logit(3)).save(tmp_path / "objective.png")
    for name in ("plain.png", "x.jpg", "objective.png"):
        with pytest.raises(ValueError, match="carries no settings"):
            cnnviz.replay(tmp_path / name, model)
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(ValueError, match="cannot be read"):
        cnnviz.replay(tmp_path / "text.png", model)
