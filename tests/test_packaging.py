"""The contents of the source distribution and of the wheel made from it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import List, Set

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRACKED = ["cnnviz", "csrc", "docs", "tests", "notebooks"]
TOP_LEVEL = {"pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "PKG-INFO", "LICENSE", "README.md"}
TOP_LEVEL |= {"CHANGELOG.md", "CONTRIBUTING.md", ".clang-format"}
MIB = 2**20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not a checkout"),
    pytest.mark.skipif(
        shutil.which("git") is None or not (ROOT / ".git").exists(), reason="not a git checkout"
    ),
]


def tracked_files() -> List[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    return [name for name in listed.decode().split("\0") if name]


def setup_py(folder: Path, *arguments: str, **environment: str) -> None:
    command = [sys.executable, "setup.py", "-q", *arguments]
    finished = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution of the files that git tracks, beside leftovers of builds."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in tracked_files():
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    (checkout / "cnnviz" / "_core.leftover.so").write_bytes(b"")
    (checkout / "cnnviz" / "_blas").mkdir()
    (checkout / "cnnviz" / "_blas" / "leftover.so").write_bytes(b"")
    setup_py(checkout, "sdist")
    (archive,) = (checkout / "dist").glob("cnnviz-*.tar.gz")
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked)
    (folder,) = unpacked.iterdir()
    return folder


@pytest.fixture(scope="module")
def sources(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source distribution to build in."""
    return Path(shutil.copytree(sdist, tmp_path_factory.mktemp("sources") / "cnnviz"))


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    if importlib.util.find_spec("wheel") is None and sys.version_info < (3, 9):
        pytest.skip("setuptools of this Python builds no wheel without the package wheel")
    setup_py(sources, "bdist_wheel")
    (built,) = (sources / "dist").glob("*.whl")
    return built


def imported_in(folder: Path) -> subprocess.CompletedProcess[str]:
    """What becomes of `import cnnviz` and its core in a folder that has the package."""
    # The finder of an editable install would find its own core for any sources.
    code = "import sys; sys.meta_path = [f for f in sys.meta_path if '__editable__' not in str(f)]; "
    code += "import cnnviz; cnnviz.load(); print(cnnviz.__file__)"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


def test_sources_that_a_wheel_was_built_from_can_be_imported(sources: Path, wheel: Path) -> None:
    finished = imported_in(sources)
    assert finished.stdout.strip() == str(sources / "cnnviz" / "__init__.py"), finished.stderr


def test_sources_that_were_not_built_say_what_to_run(sdist: Path, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("*.so", "_blas")
    shutil.copytree(sdist / "cnnviz", tmp_path / "cnnviz", ignore=ignored)
    last = imported_in(tmp_path).stderr.strip().splitlines()[-1]
    command = "run `python -m pip install -e .` there"
    assert last == f"ImportError: cnnviz is not built in {tmp_path}: {command}"


def names(wheel: Path) -> Set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_sdist_has_every_source(sdist: Path) -> None:
    missing = [
        name for name in tracked_files() if name.split("/")[0] in TRACKED and not (sdist / name).exists()
    ]
    assert not missing


def test_sdist_has_no_other_file(sdist: Path) -> None:
    known = set(tracked_files()) | TOP_LEVEL
    found = {str(path.relative_to(sdist)) for path in sdist.rglob("*") if path.is_file()}
    extra = {name for name in found - known if not name.startswith(("cnnviz.egg-info/", "build/", "dist/"))}
    assert not extra


def test_wheel_has_the_package_and_its_data(wheel: Path) -> None:
    package = {name for name in tracked_files() if name.startswith("cnnviz/")}
    assert not package - names(wheel)


def test_wheel_has_the_files_of_the_demo(wheel: Path) -> None:
    """Listed by name, so that a file which git no longer tracks is missed."""
    needed = {
        "cnnviz/bundled/shapes.onnx",
        "cnnviz/demo/tour.md",
        "cnnviz/demo/page.html",
        "cnnviz/loading/zoo.txt",
    }
    assert needed <= names(wheel)
    with zipfile.ZipFile(wheel) as archive:
        assert archive.getinfo("cnnviz/bundled/shapes.onnx").file_size <= 2e6


def test_wheel_has_no_sources_and_no_tests(wheel: Path) -> None:
    tracked = set(tracked_files())
    extra = [name for name in names(wheel) if name not in tracked and ".dist-info/" not in name]
    allowed = ("cnnviz/_core.", "cnnviz/_blas/")
    assert not [name for name in extra if not name.startswith(allowed)]
    assert not [name for name in extra if "leftover" in name]


def test_wheel_carries_the_licence(wheel: Path) -> None:
    assert [name for name in names(wheel) if ".dist-info/" in name and name.endswith("LICENSE")]


@pytest.mark.skipif(
    importlib.util.find_spec("scipy_openblas32") is None, reason="scipy-openblas32 is not installed"
)
def test_wheel_bundles_openblas_with_its_licence(wheel: Path) -> None:
    bundled = {name for name in names(wheel) if name.startswith("cnnviz/_blas/")}
    assert [name for name in bundled if "libscipy_openblas" in name]
    assert [name for name in bundled if "LICENSE" in name]
    assert wheel.stat().st_size < 14 * MIB


def test_wheel_without_openblas_is_small(sources: Path, tmp_path: Path, wheel: Path) -> None:
    setup_py(sources, "bdist_wheel", "--dist-dir", str(tmp_path), CNNVIZ_BUNDLE_OPENBLAS="0")
    (built,) = tmp_path.glob("*.whl")
    assert not [name for name in names(built) if name.startswith("cnnviz/_blas/")]
    assert built.stat().st_size < 2 * MIB
