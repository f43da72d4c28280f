"""The README's examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable

import pytest

import cnnviz

pytest_plugins = ["pytester"]

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


def test_the_listed_environment_variables_are_those_that_the_code_reads() -> None:
    # As Python and as C read them; the switches of the build are listed in setup.py.
    root = README.parent
    sources = [*(root / "cnnviz").rglob("*.py"), *(root / "csrc").rglob("*.c")]
    code = "\n".join(path.read_text("utf-8") for path in sources)
    read = set(re.findall(r'(?:environ|getenv)\W*(?:get\W*)?"(CNNVIZ_\w+)"', code))
    rows = re.findall(r"^\| `(CNNVIZ_\w+)` \| (.*?) \|", README.read_text("utf-8"), flags=re.MULTILINE)
    assert {name for name, when in rows if when != "build"} == read


def test_the_example_of_a_suite_passes_and_fails_as_it_says(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = README.read_text("utf-8")
    (suite,) = re.findall(r"```python\n# test_stars\.py\n(.*?)```", text, flags=re.DOTALL)
    (message,) = re.findall(r"```\n(E  AssertionError.*?)```", text, flags=re.DOTALL)
    pytester.makepyfile(test_stars=suite)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("CNNVIZ_FAILURES", raising=False)
    plugin = ["-p", "cnnviz.testing.plugin"]
    pytester.runpytest_subprocess(*plugin, "--cnnviz-update", "-k", "still").assert_outcomes(
        passed=1, deselected=3
    )
    result = pytester.runpytest_subprocess(*plugin)
    result.assert_outcomes(passed=3, failed=1)
    said = result.stdout.str().replace(str(pytester.path) + "/", "")
    for line in message.splitlines():
        assert line.lstrip("E ") in said
