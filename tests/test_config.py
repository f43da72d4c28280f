"""The BLAS, the kernels and the threads: chosen through the environment, reported by show_config."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict

import pytest

import cnnviz

BUNDLED = sorted((Path(cnnviz.__file__).parent / "_blas").glob("libscipy_openblas*"))
needs_bundled = pytest.mark.skipif(not BUNDLED, reason="this build bundles no OpenBLAS")


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process, since the choice is made once, and away from the checkout."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CNNVIZ_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**own, **environment},
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
    )


def shown(**environment: str) -> Dict[str, str]:
    finished = python("import cnnviz; cnnviz.show_config()", **environment)
    assert finished.returncode == 0, finished.stderr
    rows = (line.split(":", 1) for line in finished.stdout.splitlines())
    return {key: value.strip() for key, value in rows}


def test_show_config_names_blas_kernels_and_threads() -> None:
    rows = shown()
    assert rows["cnnviz"] == cnnviz.__version__
    assert rows["blas"] in ("bundled", "system", "builtin")
    assert rows["kernels"] in ("portable", "avx2", "avx512")
    assert 1 <= int(rows["threads"]) <= 64


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("CNNVIZ_BLAS", "builtin", "blas"),
        pytest.param("CNNVIZ_BLAS", "bundled", "blas", marks=needs_bundled),
        pytest.param("CNNVIZ_BLAS", str(BUNDLED[0]) if BUNDLED else "", "blas", marks=needs_bundled),
        ("CNNVIZ_KERNELS", "portable", "kernels"),
        ("CNNVIZ_NUM_THREADS", "3", "threads"),
    ],
)
def test_environment_variables_choose(name: str, value: str, key: str) -> None:
    assert shown(**{name: value})[key] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CNNVIZ_BLAS", "mkl"),
        ("CNNVIZ_BLAS", "/no/such/library.so"),
        ("CNNVIZ_KERNELS", "AVX2"),
        ("CNNVIZ_KERNELS", "sse9"),
    ],
)
def test_an_unavailable_choice_is_an_error(name: str, value: str) -> None:
    finished = python("import cnnviz; cnnviz.show_config()", **{name: value})
    assert finished.returncode == 1
    assert "ValueError" in finished.stderr
    assert value in finished.stderr


@pytest.mark.parametrize("n", [0, -1, 65, 10**12])
def test_number_of_threads_is_checked(n: int) -> None:
    before = cnnviz.get_num_threads()
    with pytest.raises(ValueError, match="64"):
        cnnviz.set_num_threads(n)
    assert cnnviz.get_num_threads() == before


def test_number_of_threads_can_be_set() -> None:
    before = cnnviz.get_num_threads()
    cnnviz.set_num_threads(2)
    assert cnnviz.get_num_threads() == 2
    cnnviz.set_num_threads(before)


# NEIGHBOUR loads another package's OpenBLAS into the process's global scope, with two threads of its own.
NEIGHBOUR = """
import ctypes, sys
other = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
other.scipy_openblas_set_num_threads(2)
import cnnviz
cnnviz.show_config()
assert other.scipy_openblas_get_num_threads() == 2, "cnnviz reached into another package's OpenBLAS"
"""


@needs_bundled
@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="other loaders keep libraries' symbols apart"
)
def test_the_bundled_library_is_private(tmp_path: Path) -> None:
    copy = shutil.copy(BUNDLED[0], tmp_path)
    code = NEIGHBOUR.replace("sys.argv[1]", repr(str(copy)))
    finished = python(code, CNNVIZ_BLAS="bundled", OPENBLAS_NUM_THREADS="4")
    assert finished.returncode == 0, finished.stderr
