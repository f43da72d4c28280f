"""Results side by side: grids of maps and pictures, and the captions and sizes that figures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.batch import batch_of, listed
from cnnviz.pictures.image import ImageLike
from cnnviz.plot.attributions import attribution, drawn_pixels, is_overlay, shared_scale
from cnnviz.plot.maps import MAP_OPTIONS, OVERLAY_OPTIONS, draw_picture, shown_pixels, size_of_panels
from cnnviz.plot.shown import ShownMap, ShownPicture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float32]


def grid(
    results: Sequence[Union[ShownMap, ShownPicture, ImageLike]],
    *,
    columns: Optional[int] = None,
    titles: Optional[Sequence[str]] = None,
    share_scale: bool = False,
    figure: Optional[Figure] = None,
    **options: Any,
) -> Figure:
    """Draw results side by side: techniques, layers, classes or pictures to compare.

    Parameters
    ----------
    results : sequence of Attribution, Synthesis or pictures
        A bare array H,W,4 is red, green, blue and opacity; four channels of a result are shown as their mean.
    columns : int, optional
        Number of columns; by default at most five, so that rows are filled evenly.
    titles : sequence of str, optional
        One title for each result.
    share_scale : bool
        Draw every map on the scale of the largest, so that their colours can be compared. Only sensible for
        maps in the same units.
    figure : Figure, optional
        An empty figure to draw into; a new one of pyplot's without it.
    **options
        Those of `attribution`, for the attributions among the results.

    Returns
    -------
    Figure

    Raises
    ------
    TypeError
        When an option is unknown.
    ValueError
        When `results` is empty, `titles` has another length, or two options contradict each other.
    """
    results = list(results)
    if not results:
        raise ValueError("results is empty, so there is nothing to draw: pass at least one result")
    if titles is not None and len(titles) != len(results):
        raise ValueError(
            f"titles has {len(titles)} entries for {len(results)} results: pass one for each result"
        )
    _check_options(options, titles is not None, share_scale)
    columns = columns or columns_of(len(results))
    maps = [one for one in results if isinstance(one, ShownMap)]
    shared = shared_scale(maps, options.get("percentile")) if share_scale else {}
    panels = [one if isinstance(one, ShownMap) else _pixels(one) for one in results]
    rows = -(-len(panels) // columns)
    figure = figure or new_figure(size_of_grid(panels, columns, rows, bool(options.get("colorbar", True))))
    for i, ax in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        ax.set_axis_off()
        if i < len(panels):
            title = options.get("title") if titles is None else titles[i]
            _draw_panel(ax, results[i], panels[i], title, {**options, **shared})
    return figure


def _check_options(options: Mapping[str, Any], titles: bool, share_scale: bool) -> None:
    unknown = sorted(set(options) - {"title", *OVERLAY_OPTIONS, *MAP_OPTIONS})
    if unknown:
        raise TypeError(f"grid takes no option {', '.join(unknown)}")
    if titles and "title" in options:
        raise ValueError("titles and title contradict each other: give one of them")
    if share_scale and options.get("vmax") is not None:
        raise ValueError(
            f"share_scale=True and vmax={options['vmax']} contradict each other: give one of them"
        )


def _draw_panel(ax: Axes, result: Any, panel: Any, title: Optional[str], options: Mapping[str, Any]) -> None:
    if not isinstance(result, ShownMap):
        usual = caption(result) if isinstance(result, ShownPicture) else ""
        draw_picture(ax, panel, usual if title is None else title)
        return
    chosen = {name: value for name, value in options.items() if name in MAP_OPTIONS}
    if is_overlay(result):
        chosen.update({name: options[name] for name in OVERLAY_OPTIONS if name in options})
    if title is not None:
        chosen["title"] = title
    attribution(result, ax=ax, **chosen)


def size_of_grid(panels: Sequence[Any], columns: int, rows: int, colorbar: bool) -> Tuple[float, float]:
    """Width and height in inches of a figure of maps and pictures in rows and columns."""
    maps = [one for one in panels if isinstance(one, ShownMap)]
    shown = [drawn_pixels(one) if isinstance(one, ShownMap) else one for one in panels]
    return size_of_panels(columns, rows, max(shown, key=slenderness), colorbar=bool(maps) and colorbar)


def slenderness(pixels: NDArray[Any]) -> float:
    """Height over width."""
    return pixels.shape[0] / pixels.shape[1]


def new_figure(size: Tuple[float, float]) -> Figure:
    """Open a figure of pyplot's, width and height in inches."""
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size, layout="constrained")


def columns_of(count: int) -> int:
    """Number of columns for `count` pictures: at most five, with rows filled as evenly as possible."""
    return -(-count // -(-count // 5))


def mosaic(images: Array) -> Array:
    """Join the pictures of a batch into one, in rows; the rest of the last row is white."""
    columns = columns_of(len(images))
    blank = np.ones((-len(images) % columns, *images.shape[1:]), images.dtype)
    rows = np.concatenate([images, blank]).reshape(-1, columns, *images.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def _pixels(one: Any) -> Array:
    """The pixels that a grid shows of a picture or of a synthesis."""
    if isinstance(one, ShownPicture):
        return mosaic(batch_of(one.image))
    return shown_pixels(one)


def caption(result: ShownPicture) -> str:
    """Return the technique and its classes, in words."""
    names = classes_in_words(result.report)
    return f"{result.method.replace('_', ' ')}: {names}" if names else result.method.replace("_", " ")


def classes_in_words(report: Mapping[str, Any]) -> str:
    """Return the labels of the target classes, the first three of many; empty without a target."""
    label = report.get("label", report.get("target_label", ""))
    different = list(dict.fromkeys(listed(label)))
    return ", ".join(different if len(different) < 5 else [*different[:3], f"{len(different) - 3} more"])
