"""Plots written to files or returned as bytes, drawn without pyplot."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Mapping, Optional, Tuple, Union

from cnnviz.plot.attributions import attribution, drawn_pixels
from cnnviz.plot.figures import composite, entitled, synthesis
from cnnviz.plot.maps import size_of_one
from cnnviz.plot.shown import ShownMap, ShownPicture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(
    result: Union[ShownMap, ShownPicture],
    path: Union[str, os.PathLike[str]],
    *,
    metadata: Optional[Mapping[str, str]] = None,
    **options: Any,
) -> None:
    """Write a result's plot to a file; the kind of file follows from its suffix.

    Parameters
    ----------
    result : Attribution or Synthesis
    path : path
    metadata : mapping of str to str, optional
        Texts stored in the file; not every format takes them.
    **options
        Those of the result's `plot`.

    Raises
    ------
    ValueError
        When matplotlib cannot write files of this suffix.
    """
    figure = _drawn(result, options)
    # Some formats, and older versions of matplotlib, refuse the argument metadata=: it is passed if given.
    extra: Any = {"metadata": dict(metadata)} if metadata else {}
    figure.savefig(os.fspath(path), bbox_inches="tight", dpi=150, **extra)


def png(result: Union[ShownMap, ShownPicture]) -> bytes:
    """Return a result's plot as the bytes of a PNG file, which a notebook shows."""
    buffer = io.BytesIO()
    _drawn(result, {}).savefig(buffer, format="png", bbox_inches="tight", dpi=100)
    return buffer.getvalue()


def _drawn(result: Union[ShownMap, ShownPicture], options: Any) -> Figure:
    """Draw into a figure outside of pyplot, so that no window opens and no figure stays open."""
    from matplotlib.figure import Figure

    together = composite(result) if isinstance(result, ShownPicture) else None
    if together is not None and isinstance(result, ShownPicture):
        figure = Figure(figsize=together.size(result), layout="constrained")
        return entitled(together.draw(result, figure=figure), options.get("title", ""))
    figure = Figure(figsize=_size_of(result, options), layout="constrained")
    if isinstance(result, ShownPicture):
        synthesis(result, ax=figure.add_subplot(), **options)
    else:
        attribution(result, ax=figure.add_subplot(), **options)
    return figure


def _size_of(result: Union[ShownMap, ShownPicture], options: Mapping[str, Any]) -> Tuple[float, float]:
    if isinstance(result, ShownPicture):
        return size_of_one(result.image)
    return size_of_one(drawn_pixels(result), options.get("colorbar", True))
