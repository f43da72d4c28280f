"""Figures of several pictures: what a technique started from beside what came of it, results side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.image import as_float, read_image
from cnnviz.plot_maps import (
    MAP_OPTIONS,
    draw_picture,
    is_overlay,
    own_axes,
    shared_scale,
    size_of_panels,
    wrapped,
)
from cnnviz.results import Attribution, Synthesis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float32]


def fooling(result: Synthesis, *, figure: Optional[Figure] = None, factor: Optional[float] = None) -> Figure:
    """Draw fooling images: the original, what fools, the difference magnified, and the confidences.

    Parameters
    ----------
    result : Synthesis
        Of `cnnviz.fooling_image`, from a picture.
    figure : Figure, optional
        An empty figure to draw into; a new one of pyplot's without it.
    factor : float, optional
        By how much the difference is magnified about mid-grey; by default as much as fits.

    Returns
    -------
    Figure
        A row for each picture.

    Raises
    ------
    ValueError
        When the result does not hold the picture that it started from.
    """
    if "image" not in result.sources:
        raise ValueError("this result did not start from a picture: there is no difference to show")
    after = _batch(result)
    before = np.broadcast_to(as_float(result.sources["image"]), after.shape)
    figure = figure or _new_figure(_size_of_fooling(result))
    measured = result.history.get("probability", np.empty(0))
    start = np.atleast_1d(measured[0]) if len(measured) else np.full(len(after), np.nan)
    for row, axes in enumerate(figure.subplots(len(after), 4, squeeze=False)):
        facts = {name: np.atleast_1d(np.asarray(value))[row] for name, value in result.report.items()}
        change = after[row] - before[row]
        largest = float(np.abs(change).max())
        times = factor or (0.5 / largest if largest else 1.0)
        draw_picture(axes[0], before[row], f"{facts['original_label']}, {facts['original_confidence']:.0%}")
        draw_picture(axes[1], after[row], f"{facts['predicted_label']}, {facts['confidence']:.0%}")
        draw_picture(axes[2], 0.5 + times * change, f"difference x {times:.3g}")
        size = wrapped(_size_of(facts), axes[2].get_window_extent().width / figure.dpi)
        axes[2].text(0.5, -0.02, size, transform=axes[2].transAxes, ha="center", va="top")
        _confidences(axes[3], facts, float(start[row]) if "target" in facts else None)
    return figure


def style(result: Synthesis, *, figure: Optional[Figure] = None) -> Figure:
    """Draw a style transfer: the content, the styles, and what came of them.

    Parameters
    ----------
    result : Synthesis
        Of `cnnviz.style_transfer`.
    figure : Figure, optional

    Returns
    -------
    Figure
    """
    figure = figure or _new_figure(_size_of_style(result))
    panels = _style_panels(result)
    for ax, (name, pixels) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels):
        draw_picture(ax, pixels, name)
    return figure


def pictures(result: Synthesis, *, figure: Optional[Figure] = None) -> Figure:
    """Draw the pictures of a batch, in rows.

    Parameters
    ----------
    result : Synthesis
        Of several pictures.
    figure : Figure, optional
        An empty figure to draw into; a new one of pyplot's without it.

    Returns
    -------
    Figure
    """
    made = list(_batch(result))
    names = result.report.get("label", result.report.get("target_label"))
    shares = result.report.get("probability", result.report.get("target_confidence"))
    titles = [""] * len(made)
    if names and shares:
        titles = [f"{name}, {share:.0%}" for name, share in zip(names, shares)]
    return grid(made, titles=titles, figure=figure)


def history(result: Synthesis, *, ax: Optional[Axes] = None, logarithmic: Optional[bool] = None) -> Axes:
    """Draw what was measured at every step: a colour for each term, a thin line for each picture of a batch.

    Parameters
    ----------
    result : Synthesis
    ax : Axes, optional
    logarithmic : bool, optional
        By default where all values are positive and span more than a factor of 30.

    Returns
    -------
    Axes
        Probabilities beside other terms have an axis of their own, on the right.
    """
    ax = own_axes(ax)
    terms = {name: values for name, values in result.history.items() if name != "probability"}
    lines = [_draw_term(ax, name, values, f"C{i}") for i, (name, values) in enumerate(terms.items())]
    shown = np.concatenate([np.ravel(values) for values in terms.values()] or [np.empty(0)])
    wide = bool(shown.size and (shown > 0).all() and shown.max() > 30 * shown.min())
    if wide if logarithmic is None else logarithmic:
        ax.set_yscale("log")
    scales = [ax]
    if "probability" in result.history:
        scales = [ax, ax.twinx()] if terms else [ax]
        lines.append(_draw_term(scales[-1], "probability", result.history["probability"], f"C{len(terms)}"))
        scales[-1].set(ylim=(-0.02, 1.02), ylabel="probability", yticks=np.linspace(0, 1, 6))
    ax.set_xlabel("step")
    ax.set_title(result.method.replace("_", " "))
    _legend(scales, lines)
    return ax


def _draw_term(ax: Axes, name: str, values: NDArray[Any], colour: str) -> Any:
    """Draw a term, and return a line that stands for it in the legend."""
    # What is climbed is often one of the terms: a broad line beneath, so that both can be seen.
    if values.ndim == 1:
        width, opacity = (4.0, 0.4) if name == "value" else (1.5, 1.0)
    else:
        width, opacity = (2.5, 0.25) if name == "value" else (0.8, 1.0)
    return ax.plot(values, color=colour, linewidth=width, alpha=opacity, label=name)[0]


def _legend(scales: Sequence[Axes], lines: Sequence[Any]) -> None:
    """Put a legend above the lines, in room that is made for it."""
    box = scales[0].get_window_extent()
    inches = 0.6 + 0.07 * max(len(line.get_label()) for line in lines)
    columns = max(1, min(len(lines), int(box.width / scales[0].figure.dpi / inches)))
    share = min(0.6, 0.22 * -(-len(lines) // columns) * scales[0].figure.dpi / box.height)
    for ax in scales:
        axis = ax.yaxis.get_transform()  # linear or logarithmic
        low, high = axis.transform(ax.get_ylim())
        raised = high + (high - low) * share / (1 - share)
        ax.set_ylim(top=float(axis.inverted().transform(raised)))
    top = scales[-1]
    legend = top.legend(handles=lines, loc="upper center", ncols=columns, fontsize="small", frameon=False)
    for line in legend.get_lines():
        line.set(linewidth=2, alpha=1)


def grid(
    results: Sequence[Any],
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
    columns : int, optional
        By default up to five, as many in each row.
    titles : sequence of str, optional
        One for each.
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
        When there is no such option.
    ValueError
        When there is nothing to draw, not one title for each result, or two options contradict each other.
    """
    results = list(results)
    if not results:
        raise ValueError("results is empty: there is nothing to draw")
    if titles is not None and len(titles) != len(results):
        raise ValueError(f"titles lists {len(titles)} for {len(results)} results")
    _check_options(options, titles is not None, share_scale)
    columns = columns or _columns(len(results))
    maps = [one for one in results if isinstance(one, Attribution)]
    shared = shared_scale(maps, options.get("percentile")) if share_scale else {}
    panels = [one if isinstance(one, Attribution) else _pixels(one) for one in results]
    rows = -(-len(panels) // columns)
    figure = figure or _new_figure(_size_of_grid(panels, columns, rows, bool(options.get("colorbar", True))))
    for i, ax in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        ax.set_axis_off()
        if i < len(panels):
            title = options.get("title") if titles is None else titles[i]
            _draw_panel(ax, results[i], panels[i], title, {**options, **shared})
    return figure


def _check_options(options: Mapping[str, Any], titles: bool, share_scale: bool) -> None:
    unknown = sorted(set(options) - {"title", "opacity", *MAP_OPTIONS})
    if unknown:
        raise TypeError(f"grid takes no option {', '.join(unknown)}")
    if titles and "title" in options:
        raise ValueError("titles and title contradict each other: give one of them")
    if share_scale and options.get("vmax") is not None:
        raise ValueError(
            f"share_scale=True and vmax={options['vmax']} contradict each other: give one of them"
        )


def _draw_panel(ax: Axes, result: Any, panel: Any, title: Optional[str], options: Mapping[str, Any]) -> None:
    if not isinstance(result, Attribution):
        usual = caption(result) if isinstance(result, Synthesis) else ""
        draw_picture(ax, panel, usual if title is None else title)
        return
    chosen = {name: value for name, value in options.items() if name in MAP_OPTIONS}
    if "opacity" in options and is_overlay(result):
        chosen["opacity"] = options["opacity"]
    if title is not None:
        chosen["title"] = title
    result.plot(ax=ax, **chosen)


class Composite(NamedTuple):
    """A figure that a kind of result fills by itself."""

    draw: Callable[..., Figure]
    size: Callable[[Synthesis], Tuple[float, float]]


def composite(result: Synthesis) -> Optional[Composite]:
    """Return the figure that shows more of a result than one picture, where there is such a one."""
    if result.method == "fooling_image" and "image" in result.sources and result.report:
        return Composite(fooling, _size_of_fooling)
    if result.method == "style_transfer" and "content" in result.sources:
        return Composite(style, _size_of_style)
    return Composite(pictures, _size_of_pictures) if result.image.ndim == 4 else None


def _size_of_fooling(result: Synthesis) -> Tuple[float, float]:
    after = _batch(result)
    return size_of_panels(4, len(after), after[0], lowest=1.8)  # the bars need some height


def _size_of_style(result: Synthesis) -> Tuple[float, float]:
    panels = [pixels for _, pixels in _style_panels(result)]
    return size_of_panels(len(panels), 1, max(panels, key=_slenderness))


def _size_of_pictures(result: Synthesis) -> Tuple[float, float]:
    columns = _columns(len(result.image))
    return _size_of_grid(list(result.image), columns, -(-len(result.image) // columns), False)


def _size_of_grid(panels: Sequence[Any], columns: int, rows: int, colorbar: bool) -> Tuple[float, float]:
    maps = [one for one in panels if isinstance(one, Attribution)]
    shown = [one.image if isinstance(one, Attribution) else one for one in panels]
    return size_of_panels(columns, rows, max(shown, key=_slenderness), colorbar=bool(maps) and colorbar)


def _slenderness(pixels: NDArray[Any]) -> float:
    return pixels.shape[0] / pixels.shape[1]


def _new_figure(size: Tuple[float, float]) -> Figure:
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size, layout="constrained")


def _columns(count: int) -> int:
    """How many of so many pictures stand in a row: at most five, and as many in each row as can be."""
    return -(-count // -(-count // 5))


def mosaic(images: Array) -> Array:
    """Join the pictures of a batch to one, in rows; what is left of the last row is white."""
    columns = _columns(len(images))
    blank = np.ones((-len(images) % columns, *images.shape[1:]), images.dtype)
    rows = np.concatenate([images, blank]).reshape(-1, columns, *images.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def _pixels(one: Any) -> Array:
    """What a grid shows of a picture, or of a result that is pictures."""
    if isinstance(one, Synthesis):
        return one.image if one.image.ndim == 3 else mosaic(one.image)
    return as_float(read_image(one))


def _batch(result: Synthesis) -> Array:
    return result.image if result.image.ndim == 4 else result.image[None]


def _style_panels(result: Synthesis) -> List[Tuple[str, Array]]:
    named = [("content", result.sources["content"])]
    named += [("style", picture) for name, picture in result.sources.items() if name.startswith("style")]
    panels = [(name, as_float(picture.reshape(picture.shape[-3:]))) for name, picture in named]
    return [*panels, ("result", result.image)]


def caption(result: Synthesis) -> str:
    """Return the technique and its classes, in words."""
    label = result.report.get("label", result.report.get("target_label", ""))
    different = list(dict.fromkeys(label if isinstance(label, list) else [label]))
    names = ", ".join(different if len(different) < 5 else [*different[:3], f"{len(different) - 3} more"])
    return f"{result.method.replace('_', ' ')}: {names}" if names else result.method.replace("_", " ")


def _size_of(facts: Mapping[str, Any]) -> str:
    """The size of a change in levels of 255, which is how people know pixels."""
    return f"at most {255 * facts['linf']:.0f}/255 a pixel, L2\N{NO-BREAK SPACE}{facts['l2']:.2f}"


def _confidences(ax: Axes, facts: Mapping[str, Any], reached_before: Optional[float]) -> None:
    """Bars for the class that was left and the one that was reached, before and after where known."""
    rows = [(str(facts["original_label"]), facts["original_confidence"], facts["original_confidence_after"])]
    if reached_before is None:
        rows.append((str(facts["predicted_label"]), np.nan, facts["confidence"]))
    else:
        rows.append((str(facts["target_label"]), reached_before, facts["target_confidence"]))
    place = np.arange(len(rows))
    ax.barh(place - 0.2, [row[1] for row in rows], 0.38, label="before", color="0.7")
    ax.barh(place + 0.2, [row[2] for row in rows], 0.38, label="after", color="tab:blue")
    ax.set_yticks(place, [wrapped(row[0], 1.0) for row in rows])  # long names leave the bars their room
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("confidence")
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, borderaxespad=0.2)
