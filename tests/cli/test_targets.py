"""Targets, outputs, labels and sizes on the command line, for each kind of network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import helper
from toy_networks import onnx_bytes, small_classifier

import cnnviz
from cnnviz import objectives
from cnnviz.cli import main


def network(path: str) -> None:
    """A network of any size with classes, a map of parts and time steps before the batch."""
    rng = np.random.default_rng(1)
    constants = {
        "w": rng.normal(0, 0.4, (6, 3, 3, 3)),
        "b": rng.normal(0, 0.2, 6),
        "c": rng.normal(0, 0.7, (4, 6)),
        "p": rng.normal(0, 0.7, (3, 6, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "c"], ["species"], transB=1),
        helper.make_node("Gemm", ["flat", "c"], ["colour"], transB=1),
        helper.make_node("Conv", ["relu", "p"], ["parts"]),
        helper.make_node("ReduceMean", ["relu"], ["columns"], axes=[2], keepdims=0),
        helper.make_node("Transpose", ["columns"], ["text"], perm=[2, 0, 1]),
    ]
    file = onnx.load_from_string(
        onnx_bytes(nodes, constants, input_shape=["N", 3, "h", "w"], output="species")
    )
    for name in ("colour", "parts", "text"):
        file.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    Path(path).write_bytes(file.SerializeToString())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a network of several outputs, labels and a photograph."""
    monkeypatch.chdir(tmp_path)
    network("net.onnx")
    (tmp_path / "colours.txt").write_text("red\nbrown\nblue\ngreen\n", "utf-8")
    (tmp_path / "parts.txt").write_text("background\nhead\nwing\n", "utf-8")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 26, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path


LABELS = ["--labels", "colour=colours.txt", "--labels", "parts=parts.txt"]
# Rows are options, and the target that they stand for.
TARGETS: Tuple[Tuple[List[str], Any], ...] = (
    ([], None),
    (["--target", "2"], 2),
    (["--target", "class 2"], 2),
    (["--target", "colour=blue"], {"colour": "blue"}),
    (["--target", "colour=3"], {"colour": 3}),
    (["--target", "colour="], {"colour": None}),
    (["--target", "parts=wing"], {"parts": "wing"}),
    (["--target", "text[4,2]"], objectives.Score("text", (4, 2))),
    (["--target", "species[1]"], objectives.Score("species", 1)),
)


@pytest.mark.parametrize("command", ["saliency", "grad-cam"])
@pytest.mark.parametrize(("options", "target"), TARGETS, ids=lambda row: str(row)[:40])
def test_targets_reach_the_technique(options: List[str], target: Any, command: str, folder: Path) -> None:
    where = ["--model", "net.onnx", "--size", "16x12", "-o", "out.npz"]
    layer = ["--layer", "relu"] if command == "grad-cam" else []
    assert main([command, "photo.png", *where, *LABELS, *layer, *options]) == 0
    labels = {"colour": "colours.txt", "parts": "parts.txt"}
    model = cnnviz.load("net.onnx", size=(16, 12), labels=labels)
    explain = cnnviz.saliency if command == "saliency" else cnnviz.grad_cam
    expected = explain(model, "photo.png", target, *layer[1:])
    found = cnnviz.load_result("out.npz")
    assert isinstance(found, cnnviz.Attribution)
    np.testing.assert_array_equal(found.values, expected.values)
    assert (found.label, found.map.shape) == (expected.label, (16, 12))


def test_outputs_choose_what_is_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segmenter = [
        "--model",
        "net.onnx",
        "--outputs",
        "parts,colour",
        "--labels",
        "parts=parts.txt",
        "--size",
        "16",
    ]
    assert main(["grad-cam", "photo.png", *segmenter, "--target", "head", "-o", "a.png"]) == 0
    assert "grad-cam at relu of 'head'" in capsys.readouterr().out
    assert main(["fool", "photo.png", *segmenter, "--target", "wing", "-o", "b.png"]) == 0
    assert "'wing'" in capsys.readouterr().out
    assert main(["class", "wing", "head", *segmenter, "--steps", "2", "-o", "c.png"]) == 0
    assert "done after 2 steps: 'wing' " in capsys.readouterr().out
    assert main(["class", "relu[3,5,5]", *segmenter, "--steps", "2", "-o", "d.png"]) == 0
    assert "done after 2 steps: 'Score(relu, (3, 5, 5))'\n" in capsys.readouterr().out
    assert PIL.Image.open("d.png").size == (16, 16)


def test_info_answers_for_each_output_of_a_whole_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "photo.png", "--model", "net.onnx", *LABELS, "--size", "16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["species"] * 4 + ["colour"] * 4
    model = cnnviz.load("net.onnx", size=(16, 16), labels={"colour": "colours.txt"})
    best = model.predict("photo.png", output="colour")[0]
    assert lines[4].endswith(f"{best.label} ({best.index})")
    assert main(["info", "--model", "net.onnx", "--size", "16"]) == 0
    assert "map of scores" in capsys.readouterr().out


def test_a_label_counts_before_the_forms_of_targets(folder: Path) -> None:
    Path("odd.txt").write_text("colour=red\nrelu[0]\n3\nd\n", "utf-8")
    options = ["--model", "net.onnx", "--size", "16", "--labels", "odd.txt", "-o", "out.npz"]
    for index, label in enumerate(("colour=red", "relu[0]", "3")):
        assert main(["saliency", "photo.png", *options, "--target", label]) == 0
        found = cnnviz.load_result("out.npz")
        assert isinstance(found, cnnviz.Attribution)
        assert (found.target, found.label) == (index, label)


NET = ["--model", "net.onnx", "--size", "16"]
ERRORS: Tuple[Tuple[List[str], str], ...] = (
    (["saliency", "photo.png", *NET, "--target", "colour=pink"], "'pink' is not the label"),
    (["saliency", "photo.png", *NET, "--target", "shape=3"], "'shape=3' is not the label"),
    (["saliency", "photo.png", *NET, "--target", "nowhere[3]"], "layer 'nowhere' is not in net"),
    (["saliency", "photo.png", *NET, "--target", "text[90,0]"], "its axis 1 has 16 positions"),
    (["saliency", "photo.png", *NET, "--target", "text[1]"], "give 2 integers"),
    (["saliency", "photo.png", *NET, "--target", "text=3"], "objectives.Score('text', (i, j))"),
    (["saliency", "photo.png", "--model", "net.onnx", "--size", "16,16"], "'16,16' is not HEIGHTxWIDTH"),
    (["saliency", "photo.png", *NET, "--outputs", "nowhere"], "nowhere"),
    (["saliency", "photo.png", *NET, "--labels", "a.txt", "--labels", "b.txt"], "as OUTPUT=FILE"),
    (["saliency", "photo.png", *NET, "--labels", "shape=colours.txt"], "labels: 'shape' is not an output"),
    (["fool", "photo.png", *NET, "--target", "text=3"], "does not classify"),
    (["info", "photo.png", *NET, "--outputs", "parts"], "3 classes at each place; take for the target"),
    (["saliency", "photo.png", "--model", "small.onnx", "--size", "10"], "size"),
)


@pytest.mark.parametrize(("arguments", "word"), ERRORS, ids=[" ".join(row[0]) for row in ERRORS])
def test_errors_are_one_line(
    arguments: List[str], word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("small.onnx").write_bytes(small_classifier())
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = int(stop.code or 0)
    said = capsys.readouterr()
    assert (status, said.out) == (2, "")
    assert said.err.startswith("cnnviz: ")
    assert said.err.count("\n") == 1
    assert word in said.err
