"""The demo: all six visualizations of a network, as pictures and on one page. ``cnnviz demo`` runs it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

from .page import Shown, page
from .tour import Chapter, chapters, run_chapter, with_own

PathLike = Union[str, "os.PathLike[str]"]

_OWN_NETWORK = "The network is `{model}`, the picture `{image}`."
_OWN_PICTURE = "The last picture is `{image}`; the others are drawn by cnnviz, whose own network this is."


def demo(
    output: PathLike = "cnnviz-demo",
    *,
    model: Optional[str] = None,
    image: Optional[PathLike] = None,
    preprocessing: Optional[str] = None,
    labels: Optional[str] = None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Make all six visualizations of a network: a PNG of each, and one page that needs no other file.

    Parameters
    ----------
    output : path
        The folder to write to; it is created if it does not exist.
    model : str, optional
        An ONNX file or a name of the zoo; by default the bundled network.
    image : path, optional
        A picture; by default the photograph that comes with matplotlib.
    preprocessing, labels : str, optional
        As `cnnviz.load` takes them.
    say : callable (str) -> None
        Called with a line of text after each picture.

    Returns
    -------
    path
        The path of the page.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C; the page has the chapters that were finished.
    OSError, ValueError, CnnvizError
        When the folder cannot be written to, and as `cnnviz.load` and the techniques do.
    """
    import matplotlib.pyplot as plt

    folder = Path(output)
    title, introduction, tour = chapters()
    tour[0] = _set_up(tour[0], model, image, {"preprocessing": preprocessing, "labels": labels})
    names: Dict[str, Any] = {}
    shown: List[Shown] = []
    index = folder / "index.html"
    for number, chapter in enumerate(tour):
        start = time.perf_counter()
        figure = run_chapter(chapter, names)
        seconds = time.perf_counter() - start
        folder.mkdir(parents=True, exist_ok=True)  # only after the first chapter has loaded its files
        path = folder / f"{number}-{chapter.stem}.png"
        figure.savefig(path, dpi=110)
        plt.close(figure)
        shown.append(Shown(chapter, path.read_bytes(), seconds))
        index.write_text(page(title, introduction, shown), encoding="utf-8")
        say(f"{path}: {chapter.title.lower()}, {seconds:.1f} s")
        if any(getattr(result, "interrupted", False) for result in names.values()):
            raise KeyboardInterrupt  # the run turned Ctrl-C into a result; here it ends the demo
    return index


def _set_up(
    chapter: Chapter, model: Optional[str], image: Optional[PathLike], options: Mapping[str, Any]
) -> Chapter:
    """The first chapter, about the user's own network and picture."""
    own: Dict[str, str] = {}
    text = chapter.text
    given = [f"{name}={value!r}" for name, value in options.items() if value is not None]
    if given:
        own["model"] = f"cnnviz.load({', '.join(given)})"
    if image is not None:
        own["photo"] = repr(os.fspath(image))
        text = _OWN_PICTURE.format(image=Path(image).name)
    if model is not None:
        own.update(_own_network(", ".join([repr(model), *given])))
        text = _OWN_NETWORK.format(
            model=Path(model).name, image=Path(image).name if image else "grace_hopper.jpg"
        )
    return with_own(chapter, text, own)


def _own_network(arguments: str) -> Dict[str, str]:
    """The assignments for a network that is not trained on the drawn pictures and has other layers."""
    return {
        "model": f"cnnviz.load({arguments})",
        "pictures": "[photo]",
        "target": "model.predict(photo, top=2)[-1].index",
        "classes": "[p.index for p in model.predict(photo, top=4)]",
        "strokes": "{}  # style layers are chosen by the structure of the network",
        "climb": "{}",
    }
