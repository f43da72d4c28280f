"""The pytest plugin: fixtures, ``--cnnviz-update``, and a place for pictures of failures.

Registered as the entry point ``cnnviz`` of the group ``pytest11``. Every pytest run imports it, so it loads
neither the core nor NumPy before a test asks for them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator

import pytest

from .place import FOLDER, Place, kept_in

if TYPE_CHECKING:
    from cnnviz.bundled import Drawn
    from cnnviz.model import Model
    from cnnviz.results import Attribution


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("cnnviz", "cnnviz: what a convolutional network sees")
    group.addoption(
        "--cnnviz-update", action="store_true", help="store the attributions of cnnviz_stored anew"
    )
    group.addoption(
        "--cnnviz-failures",
        metavar="DIR",
        help="where pictures of failed assertions go (default: $CNNVIZ_FAILURES, else cnnviz-failures)",
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Let the assertions of cnnviz.testing know where this test's pictures belong."""
    chosen = item.config.getoption("--cnnviz-failures") or os.environ.get("CNNVIZ_FAILURES")
    folder = Path(chosen) if chosen else item.config.rootpath / FOLDER
    with kept_in(Place(folder, item.nodeid.rpartition("/")[2])):
        yield


@pytest.fixture(scope="session")
def cnnviz_model() -> Model:
    """Return the network that comes with the package, which needs no download."""
    import cnnviz

    return cnnviz.load()


@pytest.fixture(scope="session")
def cnnviz_pictures() -> Drawn:
    """Return 24 drawn pictures of one object each, with their masks and boxes."""
    from cnnviz import bundled

    return bundled.draw(24, seed=0, objects=1)


@pytest.fixture
def cnnviz_stored(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return ``check(attribution, name="", **limits)``: the attribution is what this test stored before.

    Files lie in the folder ``stored`` beside the test file; ``pytest --cnnviz-update`` writes them. `limits`
    are those of `cnnviz.testing.assert_unchanged`.
    """
    from cnnviz.testing import assert_unchanged

    def check(attribution: Attribution, name: str = "", **limits: Any) -> None:
        __tracebackhide__ = True  # pytest shows the line of the test, not this one
        stem = re.sub(r"[^\w.=-]+", "-", f"{request.path.stem} {request.node.name} {name}".strip()).strip("-")
        stored = request.path.parent / "stored" / f"{stem}.npz"
        assert_unchanged(attribution, stored, update=request.config.getoption("--cnnviz-update"), **limits)

    return check
