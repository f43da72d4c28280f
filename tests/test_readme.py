"""The README's example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable

import pytest

import cnnviz

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_example_runs(
    network: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import matplotlib.pyplot as plt

    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    # The same weights from the test data: tests download nothing.
    model = network("squeezenet")
    monkeypatch.setattr(cnnviz, "load", {"squeezenet1.1": model}.__getitem__)
    exec(blocks[0], {})
    plt.close("all")
    assert "mortarboard" in capsys.readouterr().out
    assert (tmp_path / "bow_tie.jpg").stat().st_size < 200_000
