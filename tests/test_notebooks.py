"""The notebooks: run offline within a minute each, show pictures, and are committed without outputs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest

import cnnviz

#: HOME is the folder of the package under test: the checkout, or the site-packages that it is installed in.
HOME = str(Path(cnnviz.__file__).resolve().parents[1])
FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TECHNIQUES = ("saliency", "grad_cam", "guided_backprop", "fooling", "style_transfer", "class_model")
#: LIMIT is in seconds; PATIENCE is a factor for machines that run other tests at the same time.
LIMIT = 60
PATIENCE = 3


def read(path: Path) -> Dict[str, Any]:
    notebook: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def test_there_is_a_notebook_for_each_technique() -> None:
    assert [path.stem for path in NOTEBOOKS] == [f"0{i}_{name}" for i, name in enumerate(TECHNIQUES, 1)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs_and_readable_as_text(path: Path) -> None:
    notebook = read(path)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None]
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith(' "'), "indent of one space, as Jupyter writes"
    for cell in notebook["cells"]:
        assert all(line.endswith("\n") for line in cell["source"][:-1]), cell["id"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_a_formula_a_pitfall_and_an_exercise(path: Path) -> None:
    """A formula, a pitfall and an exercise."""
    text = "".join("".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    for part in ("$$", "Pitfall", "## Exercise"):
        assert part in text, part


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_offline_and_shows_pictures(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("CNNVIZ_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HOME, os.environ.get("PYTHONPATH", "")]))
    # An inline backend draws into the notebook, whatever the other tests use.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    start = time.monotonic()
    resources = {"metadata": {"path": tmp_path}}
    client = nbclient.NotebookClient(notebook, timeout=LIMIT * PATIENCE, resources=resources)
    client.execute()
    assert time.monotonic() - start < LIMIT * PATIENCE
    assert len(pictures(notebook)) >= 2


def pictures(notebook: Any) -> List[Any]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if "image/png" in output.get("data", {})]
