"""The zoo's cache offline: a correct file is loaded, a damaged one is named, and nothing is downloaded."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz.loading import zoo
from cnnviz.loading.zoo import ZooEntry

DATA = small_classifier()
ENTRY = ZooEntry("small-1", hashlib.sha256(DATA).hexdigest(), len(DATA), "unit", "MIT")


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The path in the cache of the zoo's only network."""
    pooch = pytest.importorskip("pooch")

    def refused(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a download, with CNNVIZ_OFFLINE set")

    monkeypatch.setattr(pooch, "retrieve", refused)
    monkeypatch.setattr(zoo, "zoo", lambda: {"small": ENTRY})
    monkeypatch.setenv("CNNVIZ_OFFLINE", "1")
    monkeypatch.setenv("CNNVIZ_CACHE", str(tmp_path))
    return tmp_path / "small-1.onnx"


def test_offline_a_file_of_the_cache_is_loaded(cached: Path) -> None:
    cached.write_bytes(DATA)
    x = np.zeros((1, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(cnnviz.load("small").forward(x), cnnviz.load(DATA).forward(x))


@pytest.mark.parametrize(
    "damage", [DATA[:-1], DATA[:-1] + b"\0", b"", None], ids=["short", "bit", "empty", "none"]
)
def test_offline_a_damaged_file_is_named(cached: Path, damage: Any) -> None:
    if damage is not None:
        cached.write_bytes(damage)
    wrong = f"is not in the cache ({cached})" if damage is None else f"in the cache ({cached}) is damaged"
    with pytest.raises(cnnviz.CnnvizError, match=re.escape(f"small {wrong} and CNNVIZ_OFFLINE forbids")):
        cnnviz.load("small")
