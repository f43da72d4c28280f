"""Pictures of results: arrays in, Axes out. Colour bars are in the units of the score, and zero stays zero.

A function that is given `ax` draws there and touches nothing else of matplotlib; without one it opens a new
figure with pyplot, which shows it in a notebook and works without a display. Colours are perceptually uniform
and safe for colour-blind readers. Nothing is rescaled before it is drawn: the colour bar says what is what.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Mapping, Optional, Tuple, Union

from cnnviz.plot_figures import caption, composite, mosaic
from cnnviz.plot_figures import fooling as fooling
from cnnviz.plot_figures import grid as grid
from cnnviz.plot_figures import history as history
from cnnviz.plot_figures import pictures as pictures
from cnnviz.plot_figures import style as style
from cnnviz.plot_maps import attribution as attribution
from cnnviz.plot_maps import draw_picture, is_overlay, own_axes, size_of_one
from cnnviz.plot_maps import overlay as overlay
from cnnviz.plot_maps import saliency as saliency
from cnnviz.results import Attribution, Synthesis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def synthesis(result: Synthesis, *, ax: Optional[Axes] = None, title: str = "") -> Any:
    """Draw the picture that was made; beside what it was made from where there is room for that.

    Parameters
    ----------
    result : Synthesis
    ax : Axes, optional
        Draw the picture alone, there; those of a batch in rows. Without it, a fooling image, a style transfer
        and a batch come as a figure of their own: see `fooling`, `style` and `pictures`.
    title : str
        The technique and its classes by default; above a figure of several pictures nothing.

    Returns
    -------
    Axes, or Figure for a composite
    """
    together = composite(result) if ax is None else None
    if together is not None:
        return _entitled(together.draw(result), title)
    pixels = result.image if result.image.ndim == 3 else mosaic(result.image)
    ax = own_axes(ax, size_of_one(pixels))
    draw_picture(ax, pixels, title or caption(result))
    return ax


def save(
    result: Union[Attribution, Synthesis],
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
        Texts for the file to carry, where its kind takes any.
    **options
        Those of the result's `plot`.

    Raises
    ------
    ValueError
        When the suffix is none that matplotlib writes.
    """
    figure = _drawn(result, options)
    # Not every format has a place for metadata, and an older matplotlib takes the word itself amiss.
    extra: Any = {"metadata": dict(metadata)} if metadata else {}
    figure.savefig(os.fspath(path), bbox_inches="tight", dpi=150, **extra)


def png(result: Union[Attribution, Synthesis]) -> bytes:
    """Return a result's plot as the bytes of a PNG file, which is how a notebook shows it."""
    buffer = io.BytesIO()
    _drawn(result, {}).savefig(buffer, format="png", bbox_inches="tight", dpi=100)
    return buffer.getvalue()


def _drawn(result: Union[Attribution, Synthesis], options: Any) -> Figure:
    """Draw into a figure that pyplot does not know of, so that no window opens and nothing is left behind."""
    from matplotlib.figure import Figure

    together = composite(result) if isinstance(result, Synthesis) else None
    if together is not None and isinstance(result, Synthesis):
        figure = Figure(figsize=together.size(result), layout="constrained")
        return _entitled(together.draw(result, figure=figure), options.get("title", ""))
    figure = Figure(figsize=_size_of(result, options), layout="constrained")
    result.plot(ax=figure.add_subplot(), **options)
    return figure


def _size_of(result: Union[Attribution, Synthesis], options: Mapping[str, Any]) -> Tuple[float, float]:
    if isinstance(result, Synthesis):
        return size_of_one(result.image)
    shown = result.image if is_overlay(result) else result.map
    return size_of_one(shown, options.get("colorbar", True))


def _entitled(figure: Figure, title: str) -> Figure:
    if title:
        figure.suptitle(title)
    return figure
