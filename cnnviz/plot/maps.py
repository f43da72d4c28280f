"""Maps and pictures drawn on one pair of axes, and the sizes of their figures."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.batch import in_colour
from cnnviz.pictures.image import ImageLike, as_float, read_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.image import AxesImage

Array = NDArray[np.float32]

#: SEQUENTIAL colours maps that are never negative, DIVERGING signed maps, with zero in the middle.
SEQUENTIAL = "magma"
DIVERGING = "PuOr"
#: MOST and ALL are the percentiles at which the colour scale of a map alone and of an overlay ends.
MOST, ALL = 99.5, 100.0

#: LOWEST is the height in inches that a colour bar's numbers need.
LOWEST = 0.6
#: MAP_OPTIONS are the options of both `saliency` and `overlay`, beside a title.
MAP_OPTIONS = ("percentile", "vmax", "signed", "cmap", "colorbar", "units")
#: OVERLAY_OPTIONS are those of `overlay` alone.
OVERLAY_OPTIONS = ("opacity", "channels")
#: POINTS is the font size of titles: matplotlib's "medium", whose letters are about half as wide as high.
POINTS = 10


def saliency(
    map: Array,  # noqa: A002
    *,
    ax: Optional[Axes] = None,
    percentile: float = MOST,
    vmax: Optional[float] = None,
    signed: bool = False,
    cmap: Optional[str] = None,
    colorbar: bool = True,
    units: str = "score",
    title: str = "",
) -> Axes:
    """Draw a map alone, without its picture.

    Parameters
    ----------
    map : ndarray, shape (H, W)
        A map; when it has negative numbers, the colour scale is symmetric about zero.
    ax : Axes, optional
        Axes to draw on; by default those of a new figure.
    percentile : float
        The scale ends at this percentile of the absolute values, since a few pixels dominate most gradients;
        an arrow at the end of the colour bar marks values beyond it. 100 shows the whole range.
    vmax : float, optional
        The end of the scale, in place of `percentile`: pass the same for all maps that are to be compared.
    signed : bool
        Make the scale symmetric even without negative numbers, to compare the map with a signed one.
    cmap : str, optional
        A colour map of matplotlib's.
    colorbar : bool
    units : str
        Label of the colour bar.
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
    ax = own_axes(ax, size_of_one(values, colorbar))
    signed = signed or bool((values < 0).any())
    limit, clipped = limit_of(values, percentile, vmax)
    picture = ax.imshow(
        values, cmap=cmap or (DIVERGING if signed else SEQUENTIAL), vmin=-limit if signed else 0, vmax=limit
    )
    _finish(ax, picture, values, title, units if colorbar else None, signed, clipped)
    return ax


def overlay(
    image: ImageLike,
    map: Array,  # noqa: A002
    *,
    ax: Optional[Axes] = None,
    percentile: float = ALL,
    vmax: Optional[float] = None,
    signed: bool = False,
    cmap: Optional[str] = None,
    opacity: float = 0.8,
    channels: Optional[Sequence[int]] = None,
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
    ax, percentile, vmax, signed, cmap, colorbar, units, title
        As in `saliency`.
    opacity : float
        Opacity where the map is largest, from 0 to 1.
    channels : sequence of int, optional
        The channels of an array H,W,C to draw, one or three; without it, all of them, where they are not
        three, as their mean, but H,W,4 as red, green, blue and opacity.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        As for `saliency`, and for an image that cannot be read.
    """
    values = _checked_map(map)
    pixels = shown_pixels(image, channels)
    ax = own_axes(ax, size_of_one(pixels, colorbar))
    signed = signed or bool((values < 0).any())
    limit, clipped = limit_of(values, percentile, vmax)
    height, width = pixels.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    ax.imshow(luma, cmap="gray", vmin=-0.2, vmax=1.1, extent=extent)
    picture = ax.imshow(
        values,
        cmap=fading(cmap or (DIVERGING if signed else SEQUENTIAL), signed, opacity),
        vmin=-limit if signed else 0,
        vmax=limit,
        extent=extent,
        interpolation="bilinear",
    )
    _finish(ax, picture, values, title, units if colorbar else None, signed, clipped)
    return ax


def draw_picture(ax: Axes, pixels: Array, title: str) -> None:
    """Draw pixels without axes."""
    ax.imshow(in_colour(pixels).clip(0, 1))
    ax.set_axis_off()
    entitle(ax, title)


def shown_pixels(image: ImageLike, channels: Optional[Sequence[int]] = None) -> Array:
    """Return a picture as H,W,3 from 0 to 1; an array of other channels must be on that scale already.

    An array H,W,4 is red, green, blue and opacity unless `channels` are chosen.
    """
    if (
        isinstance(image, np.ndarray)
        and image.ndim == 3
        and (channels is not None or image.shape[2] not in (1, 3, 4))
    ):
        image = in_colour(image, channels)
    return as_float(read_image(image))


def entitle(ax: Axes, title: str) -> None:
    """Give axes a title in lines no wider than they are, so that it does not reach into its neighbour's."""
    ax.set_title(wrapped(title, ax.get_window_extent().width / ax.figure.dpi), fontsize=POINTS)


def wrapped(text: str, inches: float) -> str:
    """Break text into lines that are at most `inches` long in the font of titles."""
    letters = max(8, int(72 * inches / (0.55 * POINTS)))
    return "\n".join(textwrap.fill(line, letters, break_long_words=False) for line in text.splitlines())


def own_axes(ax: Optional[Axes], size: Optional[Tuple[float, float]] = None) -> Axes:
    """Return the axes given, or those of a new figure of `size`, by default matplotlib's usual one."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def size_of_one(pixels: NDArray[Any], colorbar: bool = False) -> Tuple[float, float]:
    """Width and height in inches of a figure of one picture."""
    return size_of_panels(1, 1, pixels, colorbar=colorbar, inches=4.0)


def size_of_panels(
    columns: int,
    rows: int,
    pixels: NDArray[Any],
    *,
    colorbar: bool = False,
    inches: float = 3.0,
    lowest: float = 0.9,
) -> Tuple[float, float]:
    """Width and height in inches of a figure of pictures shaped like `pixels`, each about `inches` wide.

    A panel of a tall picture is narrower, but wide enough for a title; that of a wide one is at least
    `lowest` high, which the label of a colour bar needs.
    """
    beside, above = 0.8 if colorbar else 0.1, 0.4
    shape = pixels.shape[0] / pixels.shape[1]
    width = max(1.8, min(inches - (0.6 if colorbar else 0), 1.5 * inches / shape))
    height = max(lowest, min(width * shape, 1.5 * inches))
    return columns * (width + beside), rows * (height + above)


def _checked_map(values: Any) -> Array:
    array = np.asarray(values)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise ValueError(f"map must be an array of numbers H,W, not {array.dtype} of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("map holds NaN or infinity")
    return array


def limit_of(values: Array, percentile: float, vmax: Optional[float]) -> Tuple[float, bool]:
    """The end of the scale, and whether some values lie beyond it."""
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be above 0 and at most 100, not {percentile}")
    if vmax is not None and not vmax > 0:
        raise ValueError(f"vmax must be positive, not {vmax}")
    sizes = np.abs(values)
    largest = float(sizes.max())
    limit = float(np.percentile(sizes, percentile)) if vmax is None else float(vmax)
    if limit == 0:
        # The percentile is zero: only values above it differ from zero, or none does.
        limit = largest or 1.0
    return limit, largest > limit * (1 + 1e-6)


def fading(cmap: str, signed: bool, opacity: float) -> Colormap:
    """Return a colour map that is clear at zero and turns opaque away from it."""
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
    ax.set_axis_off()
    if units is not None:
        _colour_bar(ax, picture, units, ("both" if signed else "max") if clipped else "neither")
    note = "" if values.any() else "\n(all zero)"
    entitle(ax, title + note)  # last: the colour bar takes some of the width


def _colour_bar(ax: Axes, picture: AxesImage, units: str, extend: str) -> None:
    """Put a colour bar beside a picture, as high as the picture, which may be lower than its axes."""
    from matplotlib.ticker import MaxNLocator

    box = ax.get_window_extent()
    left, right, bottom, top = picture.get_extent()
    height = min(box.height, 0.95 * box.width * abs(top - bottom) / abs(right - left))
    height = min(box.height, max(height, LOWEST * ax.figure.dpi))
    bar = ax.figure.colorbar(
        picture,
        ax=ax,
        fraction=0.046,
        pad=0.04,
        shrink=height / box.height,
        aspect=20 * max(1.0, box.height / box.width),
        extend=extend,
        ticks=MaxNLocator(4),  # more ticks need more digits, for which a grid has no room
    )
    bar.set_label(wrapped(units, height / ax.figure.dpi))
