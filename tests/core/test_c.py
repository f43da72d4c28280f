"""The C tests, under AddressSanitizer and UndefinedBehaviorSanitizer where the compiler has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1] / "c"
COMPILER = os.environ.get("CC", "cc")
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))


@pytest.fixture(scope="module")
def sanitize(tmp_path_factory: pytest.TempPathFactory) -> list:
    """The runner's option for sanitizers, empty if a program built with them does not start."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text("int main(void) { return 0; }\n")
    option = "-fsanitize=address,undefined"
    built = subprocess.run(
        [COMPILER, option, "probe.c", "-o", "probe"], cwd=folder, stderr=subprocess.DEVNULL
    )
    works = built.returncode == 0 and subprocess.run([str(folder / "probe")]).returncode == 0
    return ["--sanitize", "address,undefined"] if works else []


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason="no C compiler")
@pytest.mark.slow
def test_c_programs_pass(sanitize: list) -> None:
    command = [sys.executable, str(HERE / "run.py"), "--cc", COMPILER, *sanitize]
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert finished.returncode == 0, finished.stdout
    for program in PROGRAMS:
        assert f"passed {program}:" in finished.stdout
