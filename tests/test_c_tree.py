"""The C tree has floors: neither includes nor calls run in a circle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List, Set

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', re.DOTALL)
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
# A function with a body, or a variable with a value, that other files can see.
DEFINITION = re.compile(
    r"^(?!static|extern|typedef|#)[\w *]*?\b(cnv_\w+)(?:\[\w*\])?(?:\([^;{]*\)\s*\{| = )", re.MULTILINE
)
NAME = re.compile(r"\bcnv_\w+")

Arrows = Dict[str, Dict[str, Set[str]]]


def circles(arrows: Arrows) -> List[str]:
    """Each arrow that can be walked back, with what it stands for."""
    reached: Dict[str, Set[str]] = {}

    def walk(start: str) -> Set[str]:
        seen: Set[str] = set()
        todo = list(arrows[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo.extend(arrows.get(name, {}))
        return seen

    for name in arrows:
        reached[name] = walk(name)
    return [
        f"{name} -> {target}: {', '.join(sorted(reasons))}"
        for name, targets in sorted(arrows.items())
        for target, reasons in sorted(targets.items())
        if name in reached.get(target, set())
    ]


def include_arrows() -> Arrows:
    arrows: Arrows = {}
    for path in sorted(CSRC.rglob("*.[ch]")):
        targets = INCLUDE.findall(path.read_text(encoding="utf-8"))
        arrows[str(path.relative_to(CSRC))] = {target: {"include"} for target in targets}
    return arrows


def call_arrows() -> Arrows:
    """From each C file to those that define the functions and tables of the core that it names."""
    code = {
        str(path.relative_to(CSRC)): NOT_CODE.sub(" ", path.read_text(encoding="utf-8"))
        for path in sorted(CSRC.rglob("*.c"))
    }
    home = {name: path for path, text in code.items() for name in DEFINITION.findall(text)}
    arrows: Arrows = {path: {} for path in code}
    for path, text in code.items():
        for name in set(NAME.findall(text)) & set(home):
            if home[name] != path:
                arrows[path].setdefault(home[name], set()).add(name)
    return arrows


def test_includes_run_in_no_circle() -> None:
    arrows = include_arrows()
    assert "plan/state.h" in arrows["plan/state.c"]
    assert not circles(arrows)


def test_calls_run_in_no_circle() -> None:
    arrows = call_arrows()
    assert (
        "cnv_plan_value" in arrows["plan/execute.c"]["plan/state.c"]
    )  # the expressions find what they are for
    assert "cnv_kernel_blocked_conv" in arrows["plan/fast/specialise.c"]["plan/fast/conv.c"]
    assert not circles(arrows)


def test_a_circle_is_found() -> None:
    arrows: Arrows = {"a": {"b": {"f"}, "d": {"x"}}, "b": {"c": {"g"}}, "c": {"a": {"h"}}, "d": {}}
    assert circles(arrows) == ["a -> b: f", "b -> c: g", "c -> a: h"]
