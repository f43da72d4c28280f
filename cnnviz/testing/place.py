"""Where pictures of failed assertions go.

The pytest plugin says so for every test of every run, and so this imports nothing of weight.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional

FOLDER = "cnnviz-failures"


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


def current_place() -> Place:
    """Return where a picture goes now; outside of pytest it belongs to no test."""
    return _place.get() or Place(Path(os.environ.get("CNNVIZ_FAILURES", FOLDER)), "")
