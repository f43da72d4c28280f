"""External data: tensors are read from the model's folder, and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Dict, Tuple

import numpy as np
import pytest
from malformed_models import conv, external

from cnnviz.errors import ModelFormatError
from cnnviz.reader.onnx_file import read

NBYTES = 4 * 108
Prepare = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a model, below a folder with a file that a hostile model may try to read."""
    inside = tmp_path / "models"
    (inside / "s" / "s").mkdir(parents=True)
    numbers = np.arange(108, dtype=np.float32).tobytes()
    for path in (tmp_path / "secret", inside / "w.bin", inside / "s" / "s" / "w.bin"):
        path.write_bytes(b"head" + numbers)
    return inside


def load(folder: Path, **entries: str) -> np.ndarray:
    path = folder / "net.onnx"
    path.write_bytes(conv(external(**entries)).SerializeToString())
    return read(path).constants["w"]


@pytest.mark.parametrize("location", ["w.bin", "s/s/w.bin"])
@pytest.mark.parametrize("length", [{}, {"length": str(NBYTES)}, {"checksum": "0" * 40}])
def test_external_tensor_is_read(folder: Path, location: str, length: Dict[str, str]) -> None:
    found = load(folder, location=location, offset="4", **length)
    np.testing.assert_array_equal(found.ravel(), np.arange(108))


def symlink(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent / "secret")


def folder_symlink(folder: Path) -> None:
    (folder / "up").symlink_to(folder.parent)


def hard_link(folder: Path) -> None:
    os.link(folder.parent / "secret", folder / "link")


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "link")


def nothing(folder: Path) -> None:
    pass


ROWS: Dict[str, Tuple[Prepare, Dict[str, str], str]] = {
    "no location": (nothing, {}, "not a relative path"),
    "empty location": (nothing, {"location": ""}, "not a relative path"),
    "parent": (nothing, {"location": "../secret"}, "not a relative path"),
    "parent within": (nothing, {"location": "s/../w.bin"}, "not a relative path"),
    "absolute": (nothing, {"location": "/dev/zero"}, "not a relative path"),
    "Windows drive": (nothing, {"location": "C:w.bin"}, "not a relative path"),
    "backslash": (nothing, {"location": "..\\secret"}, "not a relative path"),
    "NUL": (nothing, {"location": "w.bin\0"}, "not a relative path"),
    "missing": (nothing, {"location": "v.bin"}, "No such file"),
    "folder": (nothing, {"location": "s/s"}, "not a regular file"),
    "below a file": (nothing, {"location": "w.bin/x"}, "cannot open"),
    "symbolic link": (symlink, {"location": "link"}, "symbolic link"),
    "symbolic link to a folder": (folder_symlink, {"location": "up/secret"}, "symbolic link"),
    "hard link": (hard_link, {"location": "link"}, "hard links"),
    "FIFO": (fifo, {"location": "link"}, "not a regular file"),
    "beyond the end": (nothing, {"location": "w.bin", "offset": "5"}, "beyond the end"),
    "far beyond the end": (nothing, {"location": "w.bin", "offset": "9" * 19}, "beyond the end"),
    "negative offset": (nothing, {"location": "w.bin", "offset": "-1"}, "not a number"),
    "hexadecimal offset": (nothing, {"location": "w.bin", "offset": "0x4"}, "not a number"),
    "endless offset": (nothing, {"location": "w.bin", "offset": "9" * 5000}, "not a number"),
    "wrong length": (nothing, {"location": "w.bin", "length": "431"}, "takes 432"),
    "unknown key": (nothing, {"location": "w.bin", "mode": "r+"}, "unknown external_data key"),
    "dunder key": (nothing, {"location": "w.bin", "__class__": "x"}, "unknown external_data key"),
}


@pytest.mark.parametrize("name", ROWS)
def test_hostile_location_is_refused(folder: Path, name: str) -> None:
    prepare, entries, message = ROWS[name]
    try:
        prepare(folder)
    except (OSError, AttributeError, NotImplementedError) as error:
        pytest.skip(f"this system cannot make it: {error}")
    with pytest.raises(ModelFormatError) as caught:
        load(folder, **entries)
    assert message in str(caught.value)


def test_a_key_given_twice_is_refused(folder: Path) -> None:
    proto = external(location="w.bin")
    proto.external_data.add(key="location", value="s/s/w.bin")
    path = folder / "net.onnx"
    path.write_bytes(conv(proto).SerializeToString())
    with pytest.raises(ModelFormatError, match="twice"):
        read(path)


def test_the_model_itself_must_be_a_regular_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="not a regular file"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing.onnx")
    with pytest.raises(TypeError, match="not list"):
        read([])
