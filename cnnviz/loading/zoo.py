"""The zoo: published networks as a table of facts, downloaded once and checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, NamedTuple

from cnnviz.errors import CnnvizError


class ZooEntry(NamedTuple):
    """A published network: its file's name, checksum and size, its preprocessing and its licence."""

    file: str
    sha256: str
    nbytes: int
    preprocessing: str
    licence: str

    @property
    def url(self) -> str:
        """The file's address in the ONNX model zoo."""
        return f"https://huggingface.co/onnxmodelzoo/{self.file}/resolve/main/{self.file}.onnx"


def zoo() -> Dict[str, ZooEntry]:
    """Return the networks that `load` knows by name."""
    lines = Path(__file__).with_name("zoo.txt").read_text("utf-8").splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {
        name: ZooEntry(file, sha256, int(nbytes), preprocessing, licence)
        for name, file, sha256, nbytes, preprocessing, licence in rows
    }


def fetch(name: str) -> str:
    """Return the path of a zoo network's file, downloading it if it is not in the cache.

    Raises
    ------
    ValueError
        When the zoo has no such name.
    CnnvizError
        When the file is not in the cache and cannot be downloaded, or its checksum is wrong.
    """
    if name not in zoo():
        raise ValueError(f"name {name!r} is not in the zoo, which has {', '.join(zoo())}")
    import pooch

    entry = zoo()[name]
    cache = Path(os.environ.get("CNNVIZ_CACHE") or pooch.os_cache("cnnviz"))
    file = f"{entry.file}.onnx"
    if os.environ.get("CNNVIZ_OFFLINE", "") not in ("", "0"):
        return _cached(cache / file, name, entry)
    try:
        found: str = pooch.retrieve(entry.url, f"sha256:{entry.sha256}", fname=file, path=cache)
        return found
    except ValueError as error:
        raise CnnvizError(f"{name}: the download from {entry.url} has a wrong checksum: {error}") from error
    except OSError as error:
        raise CnnvizError(f"{name} cannot be downloaded from {entry.url}: {error}") from error


def _cached(path: Path, name: str, entry: ZooEntry) -> str:
    """The path of the cached file, checked here because pooch would download in place of a damaged one."""
    import pooch

    if path.exists() and pooch.file_hash(str(path)) == entry.sha256:
        return str(path)
    found = f"in the cache ({path}) is damaged" if path.exists() else f"is not in the cache ({path})"
    raise CnnvizError(
        f"{name} {found} and CNNVIZ_OFFLINE forbids downloads; "
        f"fetch {entry.url} ({entry.nbytes / 1e6:.1f} MB) yourself and load the file"
    )
