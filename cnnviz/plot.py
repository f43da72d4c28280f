"""Pictures of results: arrays in, Axes out. Colour bars are in the units of the score, and zero stays zero.

A function that is given `ax` draws there and touches nothing else of matplotlib; without one it opens a new
figure with pyplot, which shows it in a notebook and works without a display. Colours are perceptually uniform
and safe for colour-blind readers. Nothing is rescaled before it is drawn: the colour bar says what is what.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Mapping, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.image import as_float, read_image
from cnnviz.plot_figures import COMPOSITES, caption, draw_picture, entitle, own_axes
from cnnviz.plot_figures import fooling as fooling
from cnnviz.plot_figures import grid as grid
from cnnviz.plot_figures import history as history
from cnnviz.plot_figures import style as style
from cnnviz.results import Attribution, Synthesis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Array = NDArray[np.float32]

#: Maps that are never negative; signed maps, with zero in the middle.
SEQUENTIAL = "magma"
DIVERGING = "PuOr"

_UNITS = {
    "saliency": "|d score / d x|",
    "grad_cam": "score, per place",
    "guided_backprop": "|guided d score / d x|",
    "guided_grad_cam": "|guided gradient| x Grad-CAM",
}


def attribution(result: Attribution, *, ax: Optional[Axes] = None, **options: Any) -> Axes:
    """Draw an `Attribution`: a map of a layer over its picture, a map of the image by itself.

    Parameters
    ----------
    result : Attribution
    ax : Axes, optional
    **options
        Those of `overlay` or of `saliency`.

    Returns
    -------
    Axes
    """
    method = result.method.replace("_", "-")
    options.setdefault("title", f"{method}: {result.label}, score\N{NO-BREAK SPACE}{result.score:.3g}")
    options.setdefault("units", _UNITS.get(result.method, "score"))
    if result.values.ndim == 2:
        return overlay(result.image, result.map, ax=ax, **options)
    return saliency(result.map, ax=ax, **options)


def saliency(
    map: Array,  # noqa: A002
    *,
    ax: Optional[Axes] = None,
    percentile: float = 99.5,
    vmax: Optional[float] = None,
    cmap: Optional[str] = None,
    colorbar: bool = True,
    units: str = "score",
    title: str = "",
) -> Axes:
    """Draw a map by itself.

    Parameters
    ----------
    map : ndarray, shape (H, W)
        Where it has negative numbers, the scale is symmetric about zero.
    ax : Axes, optional
        Where to draw; without it, in a new figure.
    percentile : float
        The scale ends at this percentile of the absolute values, since a few pixels dominate most gradients;
        an arrow at the end of the colour bar says that there is more. 100 shows the whole range.
    vmax : float, optional
        The end of the scale, in place of `percentile`: give the same to maps that are to be compared.
    cmap : str, optional
        A colour map of matplotlib's.
    colorbar : bool
    units : str
        What the colour bar says.
    title : str

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        When the map is not H,W, is empty, or holds NaN.
    """
    values = _checked_map(map)
    ax = own_axes(ax)
    signed = bool((values < 0).any())
    limit, clipped = _limit(values, percentile, vmax)
    picture = ax.imshow(
        values, cmap=cmap or (DIVERGING if signed else SEQUENTIAL), vmin=-limit if signed else 0, vmax=limit
    )
    _finish(ax, picture, values, title, units if colorbar else None, signed, clipped)
    return ax


def overlay(
    image: Any,
    map: Array,  # noqa: A002
    *,
    ax: Optional[Axes] = None,
    percentile: float = 100,
    vmax: Optional[float] = None,
    cmap: Optional[str] = None,
    opacity: float = 0.8,
    colorbar: bool = True,
    units: str = "score",
    title: str = "",
) -> Axes:
    """Draw a map over its picture: clear where the map is zero, up to `opacity` where it is largest.

    The picture is drawn in pale grey, so that colour always means the map.

    Parameters
    ----------
    image : path, PIL image or array
    map : ndarray, shape (H, W)
        Of any size; it is laid over the whole picture.
    ax, percentile, vmax, cmap, colorbar, units, title
        As in `saliency`.
    opacity : float
        From 0 to 1.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        As `saliency` and for an image that cannot be read.
    """
    values = _checked_map(map)
    pixels = as_float(read_image(image))
    ax = own_axes(ax)
    signed = bool((values < 0).any())
    limit, clipped = _limit(values, percentile, vmax)
    height, width = pixels.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    ax.imshow(luma, cmap="gray", vmin=-0.2, vmax=1.1, extent=extent)
    picture = ax.imshow(
        values,
        cmap=_fading(cmap or (DIVERGING if signed else SEQUENTIAL), signed, opacity),
        vmin=-limit if signed else 0,
        vmax=limit,
        extent=extent,
        interpolation="bilinear",
    )
    _finish(ax, picture, values, title, units if colorbar else None, signed, clipped)
    return ax


def synthesis(result: Synthesis, *, ax: Optional[Axes] = None, title: str = "") -> Any:
    """Draw the picture that was made; beside what it was made from where there is room for that.

    Parameters
    ----------
    result : Synthesis
    ax : Axes, optional
        Draw the picture alone, there. Without it, a fooling image and a style transfer come as a figure of
        their own: see `fooling` and `style`.
    title : str

    Returns
    -------
    Axes, or Figure for a composite
    """
    composite = COMPOSITES.get(result.method) if ax is None else None
    if composite is not None and composite.suits(result):
        return composite.draw(result)
    ax = own_axes(ax)
    pixels = result.image if result.image.ndim == 3 else np.concatenate(list(result.image), axis=1)
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

    composite = COMPOSITES.get(result.method) if isinstance(result, Synthesis) and not options else None
    if composite is not None and isinstance(result, Synthesis) and composite.suits(result):
        figure = Figure(layout="constrained")
        composite.draw(result, figure=figure)
        return figure
    figure = Figure(figsize=(5, 4.2))
    result.plot(ax=figure.add_subplot(), **options)
    return figure


def _checked_map(values: Any) -> Array:
    array = np.asarray(values)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise ValueError(f"map must be an array of numbers H,W, not {array.dtype} of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("map holds NaN or infinity")
    return array


def _limit(values: Array, percentile: float, vmax: Optional[float]) -> Tuple[float, bool]:
    """The end of the scale, and whether some values lie beyond it."""
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be above 0 and at most 100, not {percentile}")
    if vmax is not None and not vmax > 0:
        raise ValueError(f"vmax must be positive, not {vmax}")
    sizes = np.abs(values)
    largest = float(sizes.max())
    limit = float(np.percentile(sizes, percentile)) if vmax is None else float(vmax)
    if limit == 0:
        # Fewer places differ from zero than the percentile leaves out, or none does.
        limit = largest or 1.0
    return limit, largest > limit * (1 + 1e-6)


def _fading(cmap: str, signed: bool, opacity: float) -> Colormap:
    """A colour map that is clear at zero and turns opaque away from it."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be between 0 and 1, not {opacity}")
    steps = np.linspace(-1 if signed else 0, 1, 512)
    colours = matplotlib.colormaps[cmap](np.linspace(0, 1, 512))
    colours[:, 3] = opacity * np.sqrt(np.abs(steps))
    return ListedColormap(colours)


def _finish(
    ax: Axes,
    picture: AxesImage,
    values: Array,
    title: str,
    units: Optional[str],
    signed: bool,
    clipped: bool,
) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_axis_off()
    if units is not None:
        extend = ("both" if signed else "max") if clipped else "neither"
        ticks = MaxNLocator(4)  # more of them need more digits, for which a grid has no room
        bar = ax.figure.colorbar(picture, ax=ax, fraction=0.046, pad=0.04, extend=extend, ticks=ticks)
        bar.set_label(units)
    note = "" if values.any() else "\n(all zero)"
    entitle(ax, title + note)  # last: the colour bar takes some of the width
