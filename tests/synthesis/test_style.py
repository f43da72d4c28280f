"""Style transfer: losses against their formulas, layers by structure, repetition and resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import PIL.Image
import pytest
from onnx import helper
from toy_networks import onnx_bytes, small_vgg

import cnnviz
from cnnviz.synthesis.style import LUMA, style_transfer
from cnnviz.synthesis.style_layers import automatic, torchvision_squeezenet, vgg
from cnnviz.synthesis.style_presets import PRESETS


@pytest.fixture(scope="module")
def model() -> cnnviz.Model:
    return cnnviz.load(small_vgg(), preprocessing="unit")


@pytest.fixture(scope="module")
def pictures() -> Dict[str, Any]:
    rng = np.random.default_rng(5)
    rows = np.linspace(0, 1, 60)[:, None, None]
    return {
        "content": np.clip(rows + 0.2 * rng.random((60, 80, 3)), 0, 1),
        "stripes": np.tile((np.arange(70) % 6 < 3)[:, None, None], (1, 64, 3)) * np.array([0.9, 0.4, 0.1]),
        "dots": rng.random((64, 64, 3)) > 0.8,
    }


@pytest.fixture(scope="module")
def run(model: cnnviz.Model, pictures: Dict[str, Any]) -> Callable[..., Any]:
    def start(style: Any = "stripes", **options: Any) -> Any:
        named = [style] if isinstance(style, str) else style
        styles = [pictures[name].astype(np.float64) for name in named]
        options = {"size": 48, "steps": 6, "progress": False, **options}
        return style_transfer(model, pictures["content"], styles, **options)

    return start


def test_the_loss_falls_at_every_step_of_lbfgs(run: Callable[..., Any]) -> None:
    losses = run(steps=30).history["value"]
    assert (np.diff(losses) < 0).all(), losses
    assert losses[-1] < 0.3 * losses[0], losses


def test_the_default_loss_is_relative_to_each_target(run: Callable[..., Any], model: cnnviz.Model) -> None:
    result = run(steps=0, style_weight=3.0)
    x = model.preprocessing.normalise(result.image[None])
    y = model.preprocessing.normalise(result.sources["style0"] / np.float32(255))
    for layer, weight in result.settings["style_layers"].items():
        f, s = (model.forward(image, [layer])[layer][0].astype(np.float64) for image in (x, y))
        ours, target = (np.einsum("chw,dhw->cd", a, a) / a.size for a in (f, s))
        expected = 3.0 * weight * ((ours - target) ** 2).sum() / (target**2).sum()
        assert result.history[f"Gram({layer})"][0] == pytest.approx(expected, rel=1e-5), layer
    assert result.history["Content(r4_2)"][0] == 0


def test_gatys_is_the_loss_of_the_paper(run: Callable[..., Any], model: cnnviz.Model) -> None:
    """Equations 1, 3, 4 and 5 of Gatys et al. 2016."""
    result = run(steps=0, preset="gatys", init="noise")
    x = model.preprocessing.normalise(result.image[None])
    y, p = (
        model.preprocessing.normalise(result.sources[name] / np.float32(255))
        for name in ("style0", "content")
    )
    for block in range(1, 6):
        layer = f"r{block}_1"
        f, s = (model.forward(image, [layer])[layer][0].astype(np.float64) for image in (x, y))
        channels, positions = f.shape[0], f[0].size
        g, a = (np.einsum("chw,dhw->cd", array, array) for array in (f, s))
        energy = ((g - a) ** 2).sum() / (4.0 * channels**2 * positions**2)
        found = result.history[f"Gram({layer})"][0]
        assert found == pytest.approx(1e3 / 5 * energy, rel=1e-3), layer
    f, target = (model.forward(image, ["r4_2"])["r4_2"].astype(np.float64) for image in (x, p))
    expected = 0.5 * ((f - target) ** 2).sum()
    assert result.history["Content(r4_2)"][0] == pytest.approx(expected, rel=1e-3)


def test_johnson_is_the_loss_of_neural_style(run: Callable[..., Any], model: cnnviz.Model) -> None:
    """Mean squares of features, and of Gram matrices divided by C H W; several styles pull at their mean.

    neural-style leaves its total variation out of the loss that it reports; the gradient that it adds is that
    of half the squared differences, except that it skips those along the last row and the last column.
    """
    result = run(["stripes", "dots"], steps=0, preset="johnson", init="noise", style_weights=[3, 1])
    x, *styles, p = (
        model.preprocessing.normalise(image[None].astype(np.float32) / np.float32(scale))
        for image, scale in [
            (result.image, 1),
            *((result.sources[name][0], 255) for name in ("style0", "style1", "content")),
        ]
    )
    for block in range(1, 6):
        layer = f"r{block}_1"
        g, *targets = (gram(model.forward(image, [layer])[layer][0]) for image in (x, *styles))
        expected = sum(share * ((g - t) ** 2).mean() for share, t in zip((0.75, 0.25), targets))
        found = sum(values[0] for name, values in result.history.items() if f"Gram({layer}" in name)
        assert found == pytest.approx(100 * expected, rel=1e-3), layer
    f, target = (model.forward(image, ["r4_2"])["r4_2"].astype(np.float64) for image in (x, p))
    assert result.history["Content(r4_2)"][0] == pytest.approx(5 * ((f - target) ** 2).mean(), rel=1e-3)
    rough = sum((np.diff(x.astype(np.float64), axis=axis) ** 2).sum() for axis in (2, 3))
    assert result.history["TotalVariation(input)"][0] == pytest.approx(1e-3 * rough / 2, rel=1e-3)


@pytest.mark.parametrize(("preset", "weight"), [("default", 1 / 3), ("gatys", 1 / 3), ("johnson", 1.0)])
def test_listed_layers_get_the_weights_of_the_recipe(
    run: Callable[..., Any], preset: str, weight: float
) -> None:
    """Gatys et al. 2016 take w_l = 1/5 of five layers; neural-style adds up its layers as they are."""
    settings = run(steps=0, preset=preset, style_layers=["r1_1", "r2_1", "r3_1"]).settings
    assert settings["style_layers"] == {"r1_1": weight, "r2_1": weight, "r3_1": weight}
    usual = run(steps=0, preset=preset).settings["style_layers"]
    assert run(steps=0, preset=preset, style_layers=list(usual)).settings["style_layers"] == usual


def gram(features: Any) -> Any:
    """C,C: the products of the maps, divided by C H W."""
    return np.einsum("chw,dhw->cd", features, features, dtype=np.float64) / features.size


def test_cs231n_is_the_loss_of_the_course(network: Callable[[str], Any], pictures: Dict[str, Any]) -> None:
    model = network("squeezenet")
    result = style_transfer(
        model,
        pictures["content"],
        pictures["stripes"],
        preset="cs231n-starry-night",
        size=64,
        style_size=64,
        steps=0,
        progress=False,
    )
    settings = result.settings
    assert list(settings["style_layers"].values()) == [300000, 1000, 15, 3]
    assert (settings["optimizer"], settings["learning_rate"], settings["steps"]) == ("adam", 3.0, 0)
    low = np.clip(model.preprocessing.normalise(result.sources["content"] / np.float32(255)), -1.5, 1.5)
    y = model.preprocessing.normalise(result.sources["style0"] / np.float32(255))
    for layer, weight in settings["style_layers"].items():
        f, s = (model.forward(image, [layer])[layer][0].astype(np.float64) for image in (low, y))
        g, a = (np.einsum("chw,dhw->cd", array, array) / array.size for array in (f, s))
        expected = weight * ((g - a) ** 2).sum()
        assert result.history[f"Gram({layer})"][0] == pytest.approx(expected, rel=1e-3), layer
    x = low.astype(np.float64)
    rough = (np.diff(x, axis=2) ** 2).sum() + (np.diff(x, axis=3) ** 2).sum()
    assert result.history["TotalVariation(input)"][0] == pytest.approx(2e-2 * rough, rel=1e-4)


def test_cs231n_clamps_until_step_190_and_restarts_adam_at_180() -> None:
    preset = PRESETS["cs231n-the-scream"]
    assert preset.restarts == ((180, 0.1),)
    far = np.array([[[[-9.0, 9.0]]]])
    assert preset.clamp is not None
    assert preset.clamp.after(far, 188, far).tolist() == [[[[-1.5, 1.5]]]]
    assert preset.clamp.after(far, 189, far).tolist() == far.tolist()


@pytest.mark.parametrize("name", ["squeezenet", "mobilenetv1", "mobilenetv2", "darknet", "resnet20"])
def test_layers_are_chosen_on_networks_never_seen(network: Callable[[str], Any], name: str) -> None:
    model = network(name)
    content, style = automatic(model)
    heights = [model.layers[layer][2] for layer in style]
    assert len(style) >= 3, style
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == len(heights), heights
    assert model.layers[content][2] in heights
    if name == "squeezenet":
        assert style == ("squeezenet0_conv0_relu", "concat1", "concat7", "concat13")
        assert content == "concat10"


def test_layers_with_channels_last_carry_no_style() -> None:
    """Their second axis is a row of the picture, and a Gram matrix of it means nothing."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"]),
        helper.make_node("Transpose", ["conv"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("Relu", ["turned"], ["aside"]),
        helper.make_node("Transpose", ["aside"], ["back"], perm=[0, 3, 1, 2]),
        helper.make_node("Relu", ["back"], ["relu"]),
    ]
    weights = {"w": np.random.default_rng(0).normal(size=(4, 3, 3, 3))}
    model = cnnviz.load(onnx_bytes(nodes, weights, input_shape=["N", 3, 32, 32], output="relu"))
    assert automatic(model) == ("relu", ("relu",))


def test_torchvision_indices_are_modules(network: Callable[[str], Any]) -> None:
    names = torchvision_squeezenet(network("squeezenet"), (1, 3, 4, 6, 7))
    assert names == ("squeezenet0_conv0_relu", "concat1", "concat4", "concat7", "concat10")


def test_vgg_names_count_relus_between_pools(model: cnnviz.Model) -> None:
    assert vgg(model, ["relu1_1", "relu4_2", "relu5_1"]) == ("r1_1", "r4_2", "r5_1")
    with pytest.raises(
        ValueError, match=r"has no relu3_4, counting ReLUs between pools: it has relu1_1, .*relu5_2"
    ):
        vgg(model, ["relu3_4"])


def test_same_seed_same_picture_and_resume_equals_uninterrupted(
    run: Callable[..., Any], model: cnnviz.Model, tmp_path: Path
) -> None:
    for options in ({"optimizer": "lbfgs"}, {"optimizer": "adam"}, {"scales": 2}):
        whole = run(init="noise", seed=3, **options)
        again = run(init="noise", seed=3, **options)
        assert np.array_equal(whole.image, again.image), options
    for options in ({"optimizer": "lbfgs"}, {"optimizer": "adam"}):
        part = run(init="noise", seed=3, steps=2, **options)
        part.save(tmp_path / "part.npz")
        whole = run(init="noise", seed=3, steps=6, **options)
        assert np.array_equal(part.resume(4).image, whole.image), options
        loaded = cnnviz.load_result(tmp_path / "part.npz")
        assert np.array_equal(cnnviz.resume(loaded, model, 4).image, whole.image), options


def test_a_saved_picture_is_made_again(run: Callable[..., Any], model: cnnviz.Model, tmp_path: Path) -> None:
    result = run(["stripes", "dots"], colors="content")
    result.save(tmp_path / "x.png")
    assert np.array_equal(cnnviz.replay(tmp_path / "x.png", model, progress=False).image, result.image)


def test_only_the_ratio_of_style_weights_counts(run: Callable[..., Any]) -> None:
    both = run(["stripes", "dots"], style_weights=[2, 0])
    assert both.settings["style_weights"] == [1.0, 0.0]
    np.testing.assert_allclose(both.history["value"], run("stripes").history["value"], rtol=1e-6)
    assert run(["stripes", "dots"]).history["value"][0] != both.history["value"][0]


def test_any_picture_may_be_the_start(run: Callable[..., Any], model: cnnviz.Model, tmp_path: Path) -> None:
    start = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "start.png"
    PIL.Image.fromarray(start).save(path)
    for init in (start, path, str(path)):
        result = run(init=init, steps=0)
        np.testing.assert_allclose(result.image, start / 255, atol=1e-6)
        assert result.settings["init"] == "picture"
        result.save(tmp_path / "x.png")
        again = cnnviz.replay(tmp_path / "x.png", model, progress=False)
        np.testing.assert_array_equal(again.image, result.image)


def test_content_colours_are_kept(run: Callable[..., Any]) -> None:
    result = run(colors="content", steps=15)
    content = result.sources["content"][0] / 255.0
    changed = result.image - content
    inside = ((result.image > 0) & (result.image < 1)).all(axis=-1)
    assert np.abs(changed[inside] - (changed[inside] @ LUMA)[:, None]).max() < 1e-6
    assert np.abs(changed).max() > 0.05


@pytest.mark.parametrize(("size", "expected"), [(48, (48, 64)), (40, (40, 53)), (None, (60, 80))])
def test_the_shorter_side_has_the_size_asked_for(run: Callable[..., Any], size: Any, expected: Any) -> None:
    assert run(size=size, steps=1).image.shape == (*expected, 3)


def test_scales_go_from_coarse_to_fine(run: Callable[..., Any]) -> None:
    shapes = []
    result = run(size=64, scales=2, steps=2, callback=lambda step: shapes.append(step.image.shape[:2]))
    assert shapes[0] == (32, 42)
    assert shapes[-1] == (64, 85) == result.image.shape[:2]


def test_without_steps_the_picture_has_its_size(run: Callable[..., Any]) -> None:
    assert run(size=64, scales=2, steps=0).image.shape == (64, 85, 3)


@pytest.mark.parametrize("n", [2, 4, 5, 6])
def test_a_callback_ends_all_scales_and_the_picture_is_made_again(
    run: Callable[..., Any], model: cnnviz.Model, tmp_path: Path, n: int
) -> None:
    """Of two scales of three steps each, in the middle, at the end of the first, and from there on."""
    seen: List[Any] = []
    stopped = run(size=64, scales=2, steps=3, callback=lambda step: seen.append(step) or len(seen) == n)
    assert len(seen) == n
    stopped.save(tmp_path / "x.png")
    again = cnnviz.replay(tmp_path / "x.png", model, progress=False)
    assert isinstance(again, cnnviz.Synthesis)
    np.testing.assert_array_equal(again.image, stopped.image)
    assert again.settings == stopped.settings
    whole, made = run(size=64, scales=2, steps=3), len(stopped.history["value"]) - 1
    np.testing.assert_array_equal(again.resume(6 - made).image, whole.image)


BAD = [
    ({"preset": "monet"}, "preset must be one of default, gatys"),
    ({"size": 8}, "size must be an integer of at least 32, not 8"),
    ({"size": 0}, "^size must be an integer of at least 32, not 0"),
    ({"style_size": 0}, "^style_size must be an integer of at least 1, not 0"),
    ({"style_weight": -1}, "style_weight must be a number at least 0, not -1"),
    ({"style_weights": [1, 2]}, "style_weights has 2 numbers for 1 styles"),
    ({"style_weights": [0]}, "style_weights are all zero"),
    ({"colors": "grey"}, "colors must be 'style' or 'content', not 'grey'"),
    ({"init": "zeros"}, "init must be 'content', 'noise' or a picture, not 'zeros'"),
    ({"optimizer": "sgd"}, "optimizer must be 'lbfgs' or 'adam', not 'sgd'"),
    ({"style_layers": ["relu9"], "content_layers": ["r1_1"]}, "layer 'relu9' is not in"),
    ({"content_layers": []}, "content_layers is empty"),
    ({"style_layers": {}, "content_layers": {}, "tv_weight": 0}, "content_layers is empty"),
    ({"style_scale": 0.3}, "a shorter side of 14 pixels"),
    ({"style_size": 20}, "a shorter side of 20 pixels"),
    ({"style_size": "64"}, "style_size must be an integer of at least 1, not '64'"),
    ({"preset": "cs231n-the-scream"}, "is not a SqueezeNet 1.1"),
    ({"steps": -1}, "steps must be an integer of at least 0, not -1"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[message[:30] for _, message in BAD])
def test_mistakes_are_named(run: Callable[..., Any], options: Dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(".", r"\.")):
        run(**options)


def test_a_small_content_is_named(model: cnnviz.Model) -> None:
    dot = np.zeros((1, 1, 3), np.uint8)
    with pytest.raises(ValueError, match=r"content is 1 x 1 pixels.* shorter than 32: pass size="):
        style_transfer(model, dot, dot)
    assert style_transfer(model, dot, dot, size=32, steps=0, progress=False).image.shape == (32, 32, 3)
