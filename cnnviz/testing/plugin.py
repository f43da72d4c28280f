"""The pytest plugin: fixtures, ``--cnnviz-update``, and the folder for pictures of failures.

Registered as the entry point ``cnnviz`` of the group ``pytest11``. Every pytest run imports it, so it loads
neither the core nor NumPy before a test asks for them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, Set

import pytest

from .destination import FOLDER, Destination, file_name, kept_in

if TYPE_CHECKING:
    from cnnviz.bundled import Drawn
    from cnnviz.model.model import Model
    from cnnviz.results.results import Attribution


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--cnnviz-update`` and ``--cnnviz-failures``."""
    group = parser.getgroup("cnnviz", "cnnviz: what a convolutional network sees")
    group.addoption(
        "--cnnviz-update", action="store_true", help="store the attributions of cnnviz_stored anew"
    )
    group.addoption(
        "--cnnviz-failures",
        metavar="DIR",
        help="folder for pictures of failed assertions (default: $CNNVIZ_FAILURES, else cnnviz-failures)",
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Set the folder and the name for pictures of this test and its fixtures."""
    chosen = item.config.getoption("--cnnviz-failures") or os.environ.get("CNNVIZ_FAILURES")
    # A test may change the working folder, and its picture still belongs where the run was started.
    folder = item.config.invocation_params.dir / chosen if chosen else item.config.rootpath / FOLDER
    with kept_in(Destination(folder, item.nodeid)):
        yield


@pytest.fixture(scope="session")
def cnnviz_model() -> Model:
    """Return the network that comes with the package, which needs no download."""
    from cnnviz.loading.load import load

    return load()


@pytest.fixture(scope="session")
def cnnviz_pictures() -> Drawn:
    """Return 24 drawn pictures of one object each, with their masks and boxes."""
    from cnnviz import bundled

    return bundled.draw(24, seed=0, objects=1)


@pytest.fixture
def cnnviz_stored(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return ``check(attribution, name="", **limits)``, which compares with the attribution stored before.

    Files lie in the folder ``stored`` beside the test file; ``pytest --cnnviz-update`` writes them. A test
    that checks several attributions gives each a name. `limits` are those of
    `cnnviz.testing.assert_unchanged`.
    """
    from cnnviz.testing import assert_unchanged

    # The names of class and test, not the test's id, to which xdist adds its groups.
    chain = [node.name for node in request.node.listchain() if isinstance(node, (pytest.Class, pytest.Item))]
    own = " ".join([request.path.stem, *chain])
    taken: Set[Path] = set()

    def check(attribution: Attribution, name: str = "", **limits: Any) -> None:
        __tracebackhide__ = True  # pytest shows the line of the test, not this one
        stored = request.path.parent / "stored" / f"{file_name(f'{own} {name}')}.npz"
        if stored in taken:
            raise ValueError(f"this test has checked another attribution by the name {name!r}: change name=")
        taken.add(stored)
        assert_unchanged(attribution, stored, update=request.config.getoption("--cnnviz-update"), **limits)

    return check
