"""The types that users see: a script under ``mypy --strict`` passes, and each of its misuses is an error."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List, Set, Tuple

import pytest

import cnnviz

HERE = Path(__file__).resolve().parent
USE, MISUSE = HERE / "typed_use.py", HERE / "typed_misuse.py"
Error = Tuple[str, int, str]


@pytest.fixture(scope="module")
def errors() -> List[Error]:
    """What mypy says of both scripts: the file, the line, and the kind of error."""
    pytest.importorskip("mypy")
    # A user's mypy reports no errors inside of an installed package: neither does this one in the checkout.
    command = ["-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", USE.name, MISUSE.name]
    environment = {
        **os.environ,
        "MYPYPATH": str(HERE.parent),
        "MYPY_CACHE_DIR": str(HERE.parent / ".mypy_cache" / "scripts"),
    }
    ran = subprocess.run(
        [sys.executable, *command], cwd=HERE, env=environment, stdout=subprocess.PIPE, check=False, text=True
    )
    found = re.findall(r"^(\w+\.py):(\d+): error: .*\[([\w-]+)\]$", ran.stdout, re.MULTILINE)
    assert f"Found {len(found)} error" in ran.stdout, ran.stdout
    return [(file, int(line), kind) for file, line, kind in found]


@pytest.mark.slow
def test_a_typed_script_passes(errors: List[Error]) -> None:
    assert not [error for error in errors if error[0] == USE.name]


@pytest.mark.slow
def test_each_misuse_is_an_error(errors: List[Error]) -> None:
    lines = MISUSE.read_text("utf-8").splitlines()
    expected = {
        (number, line.rpartition("# error: ")[2])
        for number, line in enumerate(lines, 1)
        if "# error: " in line
    }
    assert {(line, kind) for file, line, kind in errors if file == MISUSE.name} == expected


def used() -> Set[str]:
    """The names in the script, and those behind dots."""
    nodes = list(ast.walk(ast.parse(USE.read_text("utf-8"))))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_the_script_uses_every_public_name() -> None:
    public = {*cnnviz.__all__, *cnnviz.objectives.__all__, *cnnviz.plot.__all__, *cnnviz.testing.__all__}
    public |= set(cnnviz.bundled.__all__)
    public |= {name for name, _ in inspect.getmembers(cnnviz.Model, inspect.isfunction) if name[0] != "_"}
    assert not public - used()
