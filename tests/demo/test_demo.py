"""`cnnviz demo`: pictures and a page without requests, whose code is the code that made the pictures."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import re
import socket
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import PIL.Image
import pytest
from toy_networks import small_classifier

import cnnviz.demo
from cnnviz.cli import main
from cnnviz.demo import demo
from cnnviz.demo.tour import chapters, run_chapter

TECHNIQUES = (
    "saliency-maps",
    "grad-cam",
    "guided-backpropagation",
    "fooling-images",
    "style-transfer",
    "class-model-visualization",
)
#: LIMIT is in seconds on two cores; PATIENCE is a factor for machines that run other tests at the same time.
LIMIT = 60
PATIENCE = 3


class Page(HTMLParser):
    """A parsed page: its tags in order, every address in it, and the tags that are not closed."""

    VOID = frozenset({"meta", "img", "br", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: List[str] = []
        self.addresses: List[str] = []
        self.open: List[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def blocks(page: str) -> List[str]:
    """The code on the page, as a browser would copy it."""
    return [html.unescape(code) for code in re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)]


def pictures(page: str) -> List[bytes]:
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]


def pixels(png: bytes) -> Any:
    return np.asarray(PIL.Image.open(io.BytesIO(png)).convert("RGB"))


def as_in_a_notebook(page: str) -> List[bytes]:
    """Run the page's code, block by block, and return the picture of each block's last line."""
    import matplotlib.pyplot as plt

    names: Dict[str, Any] = {}
    found = []
    for code in blocks(page):
        *lines, last = code.splitlines()
        exec("\n".join(lines), names)
        buffer = io.BytesIO()
        figure = eval(last, names)
        figure.savefig(buffer, dpi=110)
        plt.close(figure)
        found.append(buffer.getvalue())
    return found


def few_steps() -> Tuple[str, str, List[Any]]:
    """The tour with shorter runs."""
    title, introduction, tour = chapters()
    short = {
        "size=160, steps=100": "size=40, steps=3",
        "(model, classes, **climb)": "(model, classes, steps=4)",
    }
    for long, brief in short.items():
        assert sum(long in chapter.code for chapter in tour) == 1
        tour = [dataclasses.replace(chapter, code=chapter.code.replace(long, brief)) for chapter in tour]
    return title, introduction, tour


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Tuple[Path, str, List[str]]:
    """The demo of the user's own network and photograph: the folder, the page, the printed lines."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "net <1>.onnx").write_bytes(small_classifier(softmax=True))
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(folder / "a & b.png")
    said: List[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cnnviz.demo, "chapters", few_steps)
        index = demo(
            folder / "out",
            model=str(folder / "net <1>.onnx"),
            image=str(folder / "a & b.png"),
            preprocessing="tf",
            say=said.append,
        )
    return folder, index.read_text("utf-8"), said


def test_there_is_a_picture_of_each_technique(own: Tuple[Path, str, List[str]]) -> None:
    folder, page, said = own
    files = sorted((folder / "out").glob("*.png"))
    assert [path.stem[2:] for path in files] == ["the-network-and-the-pictures", *TECHNIQUES]
    assert [path.read_bytes() for path in files] == pictures(page)
    assert [line.partition(":")[0] for line in said] == [str(path) for path in files]
    assert len(re.findall(r"took \d+\.\d s", page)) == len(files)


def test_the_page_is_one_well_formed_file_without_requests(own: Tuple[Path, str, List[str]]) -> None:
    page = Page(own[1])
    assert page.open == []
    assert not {"script", "link", "iframe", "base", "object"} & set(page.tags)
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "url(" not in own[1]
    assert "@import" not in own[1]
    assert "prefers-color-scheme: dark" in own[1]
    anchors = {address[1:] for address in page.addresses if address.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]+)"', own[1]))


def test_the_code_on_the_page_makes_its_pictures(own: Tuple[Path, str, List[str]]) -> None:
    _, page, _ = own
    again = as_in_a_notebook(page)
    assert len(again) == 1 + len(TECHNIQUES)
    for shown, made in zip(pictures(page), again):
        np.testing.assert_array_equal(pixels(shown), pixels(made))


def test_the_code_names_the_users_network_and_picture(own: Tuple[Path, str, List[str]]) -> None:
    folder, page, _ = own
    set_up = blocks(page)[0]
    assert f"model = cnnviz.load({str(folder / 'net <1>.onnx')!r}, preprocessing='tf')" in set_up
    assert f"photo = {str(folder / 'a & b.png')!r}" in set_up
    assert "a &amp; b.png" in page


def test_the_prose_holds_for_any_network_and_picture(own: Tuple[Path, str, List[str]]) -> None:
    prose = "".join(re.findall(r"<p>(.*?)</p>", own[1], re.DOTALL))
    words = (
        "shape",  # the bundled network's classes
        "photograph",
        "notebook or",  # a script does not show figures
        "third notebook",  # notebooks do not come with the package
        str(own[0]),
    )
    assert not [word for word in words if word in prose]
    assert "<code>savefig</code>" in prose
    assert "<code>net &lt;1&gt;.onnx</code>" in prose


def test_narrow_windows_scroll_the_pictures_and_break_long_names(own: Tuple[Path, str, List[str]]) -> None:
    style = own[1].partition("</style>")[0]
    assert re.search(r"\.picture \{[^}]*overflow-x: auto", style)
    assert re.search(r"p code \{[^}]*overflow-wrap: anywhere", style)
    assert own[1].count('<div class="picture"><img ') == len(pictures(own[1]))


def test_the_users_picture_joins_the_drawn_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnviz.demo.run_chapter", lambda chapter, names: pytest.fail(chapter.code))
    with pytest.raises(pytest.fail.Exception, match=r"photo = 'cat\.jpg'") as failure:
        demo(tmp_path, image="cat.jpg")
    assert "model = cnnviz.load()\n" in str(failure.value)
    assert ", photo]" in str(failure.value)


def test_a_missing_picture_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        demo(tmp_path / "out", image="nowhere.jpg")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_demo_leaves_a_page_of_the_finished_chapters(
    own: Tuple[Path, str, List[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(chapter: Any, names: Dict[str, Any]) -> Any:
        figure = run_chapter(chapter, names)
        if "fooled" in names:
            names["fooled"] = dataclasses.replace(names["fooled"], interrupted=True)
        return figure

    monkeypatch.setattr(cnnviz.demo, "run_chapter", stopped)
    folder = own[0]
    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path, model=str(folder / "net <1>.onnx"), image=str(folder / "a & b.png"))
    page = (tmp_path / "index.html").read_text("utf-8")
    assert Page(page).open == []
    assert len(pictures(page)) == 5
    assert "fooling_image" in blocks(page)[-1]


def test_a_network_of_two_classes_is_shown(
    own: Tuple[Path, str, List[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cnnviz.demo, "chapters", few_steps)
    (tmp_path / "net.onnx").write_bytes(small_classifier(classes=2))
    index = demo(tmp_path, model=str(tmp_path / "net.onnx"), image=str(own[0] / "a & b.png"))
    assert len(pictures(index.read_text("utf-8"))) == 7


@pytest.mark.slow
def test_the_demo_runs_offline_in_less_than_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_network(*arguments: Any, **options: Any) -> None:
        raise OSError("the network is cut off")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    assert main(["demo"]) == 0
    assert time.monotonic() - start < LIMIT * PATIENCE
    index = tmp_path / "cnnviz-demo" / "index.html"
    assert capsys.readouterr().out.splitlines()[-1].endswith(index.as_uri())
    page = index.read_text("utf-8")
    assert len(page) < 8e6
    for shown in pictures(page):
        assert min(pixels(shown).shape[:2]) > 200
        assert pixels(shown).std() > 10, "an empty picture"
