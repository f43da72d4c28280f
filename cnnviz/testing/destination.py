"""The folder and the file names of the pictures that failing assertions save.

The pytest plugin sets them for every test of every run, so this module imports neither NumPy nor the core.
"""

from __future__ import annotations

import os
import re
import zlib
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional

FOLDER = "cnnviz-failures"
#: LONGEST is how many letters of a test's name a file name takes; file systems allow 255 in all.
LONGEST = 120


@dataclass(frozen=True)
class Destination:
    """The folder that pictures are saved in, and the name of the test that they belong to."""

    folder: Path
    test: str


_destination: ContextVar[Optional[Destination]] = ContextVar("cnnviz_destination", default=None)


@contextmanager
def kept_in(destination: Destination) -> Iterator[None]:
    """Save pictures at `destination` within this context; the pytest plugin wraps each test in one."""
    token = _destination.set(destination)
    try:
        yield
    finally:
        _destination.reset(token)


def file_name(text: str) -> str:
    """Return a readable file name of bounded length, in letters that every file system has.

    The separators of a test's id become hyphens. When other letters are replaced or cut off, a checksum of
    the whole text keeps ``test[x<1]`` and ``test[x>1]`` apart.
    """
    joined = re.sub(r"[\s/:\[\]]+", "-", text).strip("-")
    plain = re.sub(r"[^\w.=]+", "-", joined, flags=re.ASCII).strip("-")
    if plain == joined and len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{zlib.crc32(text.encode('utf-8', 'replace')):08x}"


def current_destination() -> Destination:
    """Return the destination of a picture saved now; outside of pytest it belongs to no test."""
    return _destination.get() or Destination(Path(os.environ.get("CNNVIZ_FAILURES", FOLDER)), "")
