"""Where pictures of failed assertions go.

The pytest plugin says so for every test of every run, and so this imports nothing of weight.
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
#: Letters of a file's name that come from a test's; the whole of it stays well below the usual limit of 255.
LONGEST = 120


@dataclass(frozen=True)
class Place:
    """Where pictures go, and the name of the test that they belong to."""

    folder: Path
    test: str


_place: ContextVar[Optional[Place]] = ContextVar("cnnviz_evidence", default=None)


@contextmanager
def kept_in(place: Place) -> Iterator[None]:
    """Within this context, pictures go there; the pytest plugin wraps each test in one."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


def file_name(text: str) -> str:
    """Return a readable name for a file, of bounded length and letters that every file system has.

    What joins the parts of a test's id becomes a hyphen. Where anything else has to go, a checksum of all of
    it keeps ``test[x<1]`` and ``test[x>1]`` apart.
    """
    joined = re.sub(r"[\s/:\[\]]+", "-", text).strip("-")
    plain = re.sub(r"[^\w.=]+", "-", joined, flags=re.ASCII).strip("-")
    if plain == joined and len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{zlib.crc32(text.encode('utf-8', 'replace')):08x}"


def current_place() -> Place:
    """Return where a picture goes now; outside of pytest it belongs to no test."""
    return _place.get() or Place(Path(os.environ.get("CNNVIZ_FAILURES", FOLDER)), "")
