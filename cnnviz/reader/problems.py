"""Everything of a file that cnnviz does not support, in one error."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence, Tuple

from cnnviz.errors import UnsupportedModelError

__all__ = ["Problem", "refusal"]


class Problem(NamedTuple):
    """A node that needs something that cnnviz does not support."""

    label: str
    node: str
    operators: Tuple[str, ...]


def refusal(problems: Sequence[Problem]) -> UnsupportedModelError:
    """Make one error of all problems: each label once, with the first nodes that have it."""
    nodes: Dict[str, List[str]] = {}
    for problem in problems:
        nodes.setdefault(problem.label, []).append(problem.node)
    lines = [f"  {label}: {_some(list(dict.fromkeys(names)))}" for label, names in sorted(nodes.items())]
    operators = [op for problem in problems for op in problem.operators]
    message = "the model needs operators or modes that cnnviz does not support:\n" + "\n".join(lines)
    return UnsupportedModelError(message, operators)


def _some(names: List[str]) -> str:
    """The first five names, and the number of the others."""
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
