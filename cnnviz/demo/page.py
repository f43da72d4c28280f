"""The page of the demo: one HTML file with its pictures inside, which makes no requests."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from string import Template
from typing import NamedTuple, Sequence

from .tour import Chapter


class Shown(NamedTuple):
    """A chapter after its run: its picture as a PNG, and the seconds that its code took."""

    chapter: Chapter
    png: bytes
    seconds: float


def page(title: str, introduction: str, shown: Sequence[Shown]) -> str:
    """Return the page as HTML."""
    template = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
    return template.substitute(
        title=html.escape(title),
        introduction=_prose(introduction),
        contents="\n".join(_entry(one.chapter) for one in shown),
        chapters="\n".join(_section(one) for one in shown),
        made_by=html.escape(_made_by(shown)),
    )


def _entry(chapter: Chapter) -> str:
    return f'<li><a href="#{chapter.stem}">{html.escape(chapter.title)}</a></li>'


def _section(shown: Shown) -> str:
    chapter = shown.chapter
    picture = base64.b64encode(shown.png).decode("ascii")
    return f"""<section id="{chapter.stem}">
<h2>{html.escape(chapter.title)}</h2>
<p>{_prose(chapter.text)}</p>
<div class="picture"><img src="data:image/png;base64,{picture}" alt="{html.escape(chapter.title)}"></div>
<pre><code>{html.escape(chapter.code, quote=False)}</code></pre>
<p class="time">took {shown.seconds:.1f} s</p>
</section>"""


def _prose(text: str) -> str:
    """Escape text for HTML, and set words between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def _made_by(shown: Sequence[Shown]) -> str:
    from cnnviz._config import configuration

    facts = configuration()
    seconds = sum(one.seconds for one in shown)
    threads = f"{facts['threads']} thread{'s' if facts['threads'] != 1 else ''}"
    return f"cnnviz {facts['cnnviz']}, {facts['kernels']} kernels, {threads}: {seconds:.1f} s in all."
