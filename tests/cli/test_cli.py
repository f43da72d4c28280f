"""The command line: the files that it writes, and one line for each error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import PIL.Image
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz.cli import main
from cnnviz.cli.parser import command_names
from cnnviz.evaluation.pointing import CONTROLS, TECHNIQUES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a network and a photograph."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(small_classifier(softmax=True))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path


@pytest.mark.parametrize("command", ["saliency", "grad-cam", "guided-backprop"])
def test_attributions_are_drawn(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "photo.png", "--model", "net.onnx", "--target", "class 3", "-o", "out.png"]) == 0
    said = capsys.readouterr().out
    assert "out.png" in said
    assert "'class 3'" in said
    assert min(PIL.Image.open("out.png").size) > 200


def test_options_reach_the_technique(folder: Path) -> None:
    arguments = [
        "photo.png",
        "--model",
        "net.onnx",
        "--preprocessing",
        "tf",
        "--target",
        "3",
        "-o",
        "out.npz",
    ]
    assert main(["grad-cam", *arguments, "--layer", "relu1"]) == 0
    found = cnnviz.load_result("out.npz")
    model = cnnviz.load("net.onnx", preprocessing="tf")
    expected = cnnviz.grad_cam(model, "photo.png", 3, "relu1")
    assert isinstance(found, cnnviz.Attribution)
    np.testing.assert_array_equal(found.map, expected.map)
    assert found.layer == "relu1"


@pytest.mark.parametrize("option", ["--relu", "--rule"])
def test_the_backward_rule_has_a_former_name(
    option: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["guided-backprop", "photo.png", "--model", "net.onnx", "-o", "out.npz"]
    for given, rule in (([], "guided"), ([option, "deconv"], "deconv"), ([option, "guided"], "guided")):
        assert main([*arguments, *given]) == 0
        assert cnnviz.load_result("out.npz").settings["relu"] == rule
    with pytest.raises(SystemExit):
        main(["guided-backprop", "--help"])
    shown = capsys.readouterr().out
    assert "--relu" in shown
    assert "--rule" not in shown


def test_the_output_has_a_name_by_default(folder: Path) -> None:
    assert main(["saliency", "photo.png", "--model", "net.onnx"]) == 0
    assert (folder / "photo-saliency.png").exists()


def test_styles_are_transferred(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "photo.png",
        "photo.png",
        "photo.png",
        "--model",
        "net.onnx",
        "--steps",
        "3",
        "--keep-colors",
    ]
    assert main(["style", *arguments, "--size", "36"]) == 0
    assert "photo-style.png: done after 3 steps, loss" in capsys.readouterr().out
    assert PIL.Image.open("photo-style.png").size == (45, 36)


def test_pictures_are_made_to_fool(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = cnnviz.load("net.onnx")
    first, second = model.predict("photo.png", top=2)
    assert main(["fool", "photo.png", "--model", "net.onnx", "--target", second.label]) == 0
    said = capsys.readouterr().out
    assert said.startswith("photo-fool.png: fools after ")
    assert f"{second.label!r}" in said
    assert f"was {first.label!r}" in said
    assert model.predict("photo-fool.png", top=1)[0].index == second.index
    noise = ["fool", "--model", "net.onnx", "--target", "3", "--confidence", "0.2", "-o", "noise.npz"]
    assert main(noise) == 0
    assert cnnviz.load_result("noise.npz").settings["confidence"] == 0.2


@pytest.mark.filterwarnings("error")
def test_a_picture_that_does_not_fool_is_reported_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = cnnviz.load("net.onnx").predict("photo.png", top=2)[1].label
    assert main(["fool", "photo.png", "--model", "net.onnx", "--target", second, "--steps", "0"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("photo-fool.png: does not fool yet after 0 steps: ")
    assert said.out.count("\n") == 1
    assert said.err == ""


RUNS = (
    ["style", "photo.png", "photo.png"],
    ["fool", "photo.png", "--target", "3"],
    ["class", "3", "5"],
)


@pytest.mark.parametrize("suffix", ["png", "npz", "gif"])
@pytest.mark.parametrize("arguments", RUNS, ids=[row[0] for row in RUNS])
def test_a_run_is_written_however_early_it_was_stopped(
    arguments: List[str],
    suffix: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pressed(*_: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    command = [*arguments, "--model", "net.onnx", "--steps", "5", "-o", f"out.{suffix}"]
    assert main(command) == 0
    assert " after 0 steps" not in capsys.readouterr().out
    assert (folder / f"out.{suffix}").exists()
    (folder / f"out.{suffix}").unlink()
    monkeypatch.setattr(cnnviz.Model, "gradient", pressed)
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"out.{suffix}: interrupted after 0 steps")
    assert said.err == ""
    assert (folder / f"out.{suffix}").exists()


OUTPUTS = (
    ["saliency", "photo.png"],
    ["grad-cam", "photo.png"],
    ["guided-backprop", "photo.png"],
    *RUNS,
)


@pytest.mark.parametrize("output", ["nowhere/out.png", "out.nosuch", "out"])
@pytest.mark.parametrize("arguments", OUTPUTS, ids=[row[0] for row in OUTPUTS])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    arguments: List[str],
    output: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(*_: Any, **options: Any) -> Any:
        raise AssertionError("worked")

    monkeypatch.setattr(cnnviz, "load", work)
    assert main([*arguments, "-o", output]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert repr(output) in said.err
    assert not (folder / output).exists()


def test_the_reported_path_is_that_of_the_written_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("out.NPZ", "out.Png"):
        assert main(["saliency", "photo.png", "--model", "net.onnx", "-o", name]) == 0
        assert capsys.readouterr().out.startswith(f"{name}: ")
        assert (folder / name).exists()


def test_classes_are_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["class", "class 3", "5", "--model", "net.onnx", "--steps", "3", "-o", "x.gif"]) == 0
    assert "x.gif: done after 3 steps: 'class 3' " in capsys.readouterr().out
    assert PIL.Image.open("x.gif").size == (64, 32)
    assert main(["class", "class 3", "--model", "net.onnx", "--steps", "2", "--preset", "cs231n"]) == 0
    assert PIL.Image.open("class_3-class.png").size == (32, 32)


def test_attributions_are_evaluated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--pictures", "3"]) == 0
    head, rule, *rows = capsys.readouterr().out.splitlines()
    assert {line.count("|") for line in (head, rule, *rows)} == {8}
    assert [row.split()[1] for row in rows] == [*TECHNIQUES, *CONTROLS]
    found = cnnviz.evaluate(cnnviz.load(), "grad_cam", n=3, objects=2)
    assert f"| {found.pointing.mean():.1%} | {found.energy.mean():.1%} |" in rows[2]
    assert rows[2].endswith(f"| {found.ratio:.1f} |")


def test_info_describes_and_classifies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--model", "net.onnx"]) == 0
    said = capsys.readouterr().out
    for word in ("conv2", "10 classes", "threads"):
        assert word in said
    assert main(["info", "photo.png", "--model", "net.onnx"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "%" in lines[0]


def test_info_gives_a_value_without_a_percentage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("age.onnx").write_bytes(small_classifier(classes=1))
    assert main(["info", "--model", "age.onnx"]) == 0
    assert "one value" in capsys.readouterr().out
    assert main(["info", "photo.png", "--model", "age.onnx"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[1:] == ["value", "(0)"]
    value = cnnviz.load("age.onnx").predict("photo.png")[0].score
    assert float(line.split()[0]) == pytest.approx(value, rel=1e-4)


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "squeezenet1.1" in capsys.readouterr().out


ERRORS: Tuple[Tuple[List[str], str], ...] = (
    (["saliency", "nowhere.png"], "nowhere.png"),
    (["saliency", "photo.png", "--model", "nowhere.onnx"], "nowhere.onnx"),
    (["saliency", "photo.png", "--model", "photo.png"], ""),
    (["saliency", "photo.png", "--model", "net.onnx", "--target", "clas 3"], "did you mean"),
    (["saliency", "photo.png", "--model", "net.onnx", "--target", "10"], "10 classes"),
    (["grad-cam", "photo.png", "--model", "net.onnx", "--layer", "relu3"], "'relu2'"),
    (["saliency", "photo.png", "--model", "net.onnx", "-o", "nowhere/out.png"], "nowhere"),
    (["saliency", "photo.png", "--model", "net.onnx", "-o", "out.nosuch"], "nosuch"),
    (["saliency", "photo.png", "--model", "net.onnx", "-o", "out"], "'out': the suffix says"),
    (["fool", "photo.png", "--model", "net.onnx", "-o", "out.jpg"], "use .png or .npz"),
    (["fool", "photo.png", "--model", "net.onnx", "-o", "out.webp"], "use .png or .npz"),
    (["style", "photo.png", "photo.png", "--model", "net.onnx", "--size", "0"], "size must be an integer"),
    (["saliency", "net.onnx", "--model", "net.onnx"], "net.onnx"),
    (["fool", "--model", "net.onnx"], "target is None"),
    (["fool", "photo.png", "--model", "net.onnx", "--preset", "fgsm"], "nguyen"),
    (["fool", "photo.png", "--model", "net.onnx", "--confidence", "2"], "between 0 and 1"),
    (["class", "class 3", "--model", "net.onnx", "--steps", "-4"], "steps"),
    (["evaluate", "--pictures", "0"], "no pictures"),
    (["evaluate", "--model", "net.onnx"], "not the label of a class"),
    (["class"], "CLASS"),
    (["demo", "--image", "nowhere.png"], "nowhere.png"),
    (["demo", "--model", "nowhere.onnx"], "nowhere.onnx"),
    (["demo", "-o", "photo.png/demo"], "photo.png"),
    (["saliency"], "IMAGE"),
    (["saliency", "photo.png", "--preprocessing", "vgg"], "vgg"),
    (["explain"], "explain"),
    ([], "COMMAND"),
)


@pytest.mark.parametrize(("arguments", "word"), ERRORS, ids=[" ".join(row[0]) for row in ERRORS])
def test_errors_are_one_line(
    arguments: List[str], word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = int(stop.code or 0)
    said = capsys.readouterr()
    assert status == 2
    assert said.out == ""
    assert said.err.startswith("cnnviz: ")
    assert said.err.count("\n") == 1
    assert word in said.err


@pytest.mark.parametrize("command", command_names())
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example:\n  cnnviz {command}" in capsys.readouterr().out


def test_the_package_runs_as_a_module(folder: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "cnnviz", "--version"], stdout=subprocess.PIPE, check=True, text=True
    )
    assert finished.stdout == f"cnnviz {cnnviz.__version__}\n"
