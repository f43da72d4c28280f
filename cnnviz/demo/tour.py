"""The tour: a document of prose and code, whose code is run block by block.

The page shows exactly the code that was run. As in a notebook, the value of a block's last line is the figure
that it shows.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Tuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SECTION = re.compile(r"^## (.+?)\n(.*?)^```python\n(.*?)^```\n", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Chapter:
    """A title, a paragraph and the block of code that they describe.

    Attributes
    ----------
    title : str
    text : str
        A paragraph, with ``code`` between backticks.
    code : str
    """

    title: str
    text: str
    code: str

    @property
    def stem(self) -> str:
        """The title as the name of a file."""
        return re.sub(r"\W+", "-", self.title.lower())


def chapters() -> Tuple[str, str, List[Chapter]]:
    """Return the document's title, its introduction and its chapters; the first sets up the others."""
    document = Path(__file__).with_name("tour.md").read_text("utf-8")
    head, _, introduction = document.partition("\n## ")[0].partition("\n")
    found = [Chapter(title, _joined(text), code.rstrip()) for title, text, code in _SECTION.findall(document)]
    return head.lstrip("# "), _joined(introduction), found


def with_own(chapter: Chapter, text: str, assignments: Mapping[str, str]) -> Chapter:
    """Return the chapter with other text, and with other right-hand sides in its assignments."""
    code = chapter.code
    for name, value in assignments.items():
        lines = code.split("\n")
        lines[[line.startswith(f"{name} = ") for line in lines].index(True)] = f"{name} = {value}"
        code = "\n".join(lines)
    return replace(chapter, text=text, code=code)


def run_chapter(chapter: Chapter, names: Dict[str, Any]) -> Figure:
    """Run a chapter's code in the namespace `names`, and return the figure of its last line."""
    tree = ast.parse(chapter.code)
    last = tree.body.pop()
    if not isinstance(last, ast.Expr):
        raise ValueError(f"the code of {chapter.title!r} does not end in a figure")
    where = f"<{chapter.title}>"
    exec(compile(tree, where, "exec"), names)
    figure: Figure = eval(compile(ast.Expression(last.value), where, "eval"), names)
    return figure


def _joined(lines: str) -> str:
    return " ".join(lines.split())
