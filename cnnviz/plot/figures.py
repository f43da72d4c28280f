"""Figures of syntheses: the result beside the pictures it was made from, and the history of a run."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
    overload,
)

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.batch import batch_of, in_colour
from cnnviz.pictures.image import as_float
from cnnviz.plot.maps import draw_picture, own_axes, size_of_one, size_of_panels, wrapped
from cnnviz.plot.panels import caption, columns_of, grid, mosaic, new_figure, size_of_grid, slenderness
from cnnviz.plot.shown import ShownPicture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float32]


@overload
def synthesis(result: ShownPicture, *, ax: Axes, title: str = "") -> Axes: ...
@overload
def synthesis(result: ShownPicture, *, ax: None = None, title: str = "") -> Union[Axes, Figure]: ...
def synthesis(result: ShownPicture, *, ax: Optional[Axes] = None, title: str = "") -> Union[Axes, Figure]:
    """Draw a synthesised picture: alone on given axes, else with the pictures that it was made from.

    Parameters
    ----------
    result : Synthesis
    ax : Axes, optional
        Axes for the picture alone, or for the pictures of a batch in rows. Without `ax`, a fooling image, a
        style transfer and a batch get a figure of several panels: see `fooling`, `style` and `pictures`.
    title : str
        By default the technique and its classes for one picture, and no title for a figure of several.

    Returns
    -------
    Axes, or Figure for a composite
    """
    together = composite(result) if ax is None else None
    if together is not None:
        return entitled(together.draw(result), title)
    pixels = mosaic(batch_of(result.image))
    ax = own_axes(ax, size_of_one(pixels))
    draw_picture(ax, pixels, title or caption(result))
    return ax


def fooling(
    result: ShownPicture, *, figure: Optional[Figure] = None, factor: Optional[float] = None
) -> Figure:
    """Draw fooling images: the original, the fooling image, the magnified difference, the confidences.

    Parameters
    ----------
    result : Synthesis
        A result of `cnnviz.fooling_image` that started from a picture.
    figure : Figure, optional
        An empty figure to draw into; a new one of pyplot's without it.
    factor : float, optional
        Magnification of the difference about mid-grey; by default the largest that clips no pixel.

    Returns
    -------
    Figure
        A row for each picture.

    Raises
    ------
    ValueError
        When the result did not start from a picture.
    """
    if "image" not in result.sources:
        raise ValueError(
            "this result did not start from a picture, so there is no difference to show: draw it with "
            "plot.synthesis"
        )
    after = batch_of(result.image)
    before = np.broadcast_to(as_float(result.sources["image"]), after.shape)
    figure = figure or new_figure(_size_of_fooling(result))
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


def style(result: ShownPicture, *, figure: Optional[Figure] = None) -> Figure:
    """Draw a style transfer: the content, the styles, and the result.

    Parameters
    ----------
    result : Synthesis
        A result of `cnnviz.style_transfer`.
    figure : Figure, optional

    Returns
    -------
    Figure
    """
    figure = figure or new_figure(_size_of_style(result))
    panels = _style_panels(result)
    for ax, (name, pixels) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels):
        draw_picture(ax, pixels, name)
    return figure


def pictures(result: ShownPicture, *, figure: Optional[Figure] = None) -> Figure:
    """Draw the pictures of a batch, in rows.

    Parameters
    ----------
    result : Synthesis
        A result of several pictures.
    figure : Figure, optional
        An empty figure to draw into; a new one of pyplot's without it.

    Returns
    -------
    Figure
    """
    made = [in_colour(one) for one in batch_of(result.image)]
    names = result.report.get("label", result.report.get("target_label"))
    shares = result.report.get("probability", result.report.get("target_confidence"))
    titles = [""] * len(made)
    if names and shares:
        titles = [f"{name}, {share:.0%}" for name, share in zip(names, shares)]
    return grid(made, titles=titles, figure=figure)


def history(result: ShownPicture, *, ax: Optional[Axes] = None, logarithmic: Optional[bool] = None) -> Axes:
    """Draw the history of a run: a colour for each term, a thin line for each picture of a batch.

    Parameters
    ----------
    result : Synthesis
    ax : Axes, optional
    logarithmic : bool, optional
        Whether the axis is logarithmic; by default when all values are positive and span more than a factor
        of 30.

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
    """Draw a term, and return the line that stands for it in the legend."""
    # The objective often equals one of its terms: its line is broad and pale, so that both can be seen.
    if values.ndim == 1:
        width, opacity = (4.0, 0.4) if name == "value" else (1.5, 1.0)
    else:
        width, opacity = (2.5, 0.25) if name == "value" else (0.8, 1.0)
    return ax.plot(values, color=colour, linewidth=width, alpha=opacity, label=name)[0]


def _legend(scales: Sequence[Axes], lines: Sequence[Any]) -> None:
    """Put a legend above the lines, and extend the axes upwards to make room for it."""
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


class Composite(NamedTuple):
    """The function that draws a result's panels, and the one that gives their figure's size in inches."""

    draw: Callable[..., Figure]
    size: Callable[[ShownPicture], Tuple[float, float]]


def composite(result: ShownPicture) -> Optional[Composite]:
    """Return the figure of several panels that fits a result; None for a single picture."""
    if result.method == "fooling_image" and "image" in result.sources and result.report:
        return Composite(fooling, _size_of_fooling)
    if result.method == "style_transfer" and "content" in result.sources:
        return Composite(style, _size_of_style)
    return Composite(pictures, _size_of_pictures) if len(batch_of(result.image)) > 1 else None


def _size_of_fooling(result: ShownPicture) -> Tuple[float, float]:
    after = batch_of(result.image)
    return size_of_panels(4, len(after), after[0], lowest=1.8)  # the bars need some height


def _size_of_style(result: ShownPicture) -> Tuple[float, float]:
    panels = [pixels for _, pixels in _style_panels(result)]
    return size_of_panels(len(panels), 1, max(panels, key=slenderness))


def _size_of_pictures(result: ShownPicture) -> Tuple[float, float]:
    columns = columns_of(len(result.image))
    return size_of_grid(list(result.image), columns, -(-len(result.image) // columns), False)


def _style_panels(result: ShownPicture) -> List[Tuple[str, Array]]:
    named = [("content", result.sources["content"])]
    named += [("style", picture) for name, picture in result.sources.items() if name.startswith("style")]
    panels = [(name, as_float(picture.reshape(picture.shape[-3:]))) for name, picture in named]
    return [*panels, ("result", result.image)]


def _size_of(facts: Mapping[str, Any]) -> str:
    """The size of a change in words: the largest in levels of 255, as in 8-bit files, and the L2 norm."""
    return f"at most {255 * facts['linf']:.0f}/255 a pixel, L2\N{NO-BREAK SPACE}{facts['l2']:.2f}"


def _confidences(ax: Axes, facts: Mapping[str, Any], reached_before: Optional[float]) -> None:
    """Draw bars of the confidence in the original class and in the reached one, before and after."""
    rows = [(str(facts["original_label"]), facts["original_confidence"], facts["original_confidence_after"])]
    if reached_before is None:
        rows.append((str(facts["predicted_label"]), np.nan, facts["confidence"]))
    else:
        rows.append((str(facts["target_label"]), reached_before, facts["target_confidence"]))
    positions = np.arange(len(rows))
    ax.barh(positions - 0.2, [row[1] for row in rows], 0.38, label="before", color="0.7")
    ax.barh(positions + 0.2, [row[2] for row in rows], 0.38, label="after", color="tab:blue")
    ax.set_yticks(positions, [wrapped(row[0], 1.0) for row in rows])  # long names must not narrow the bars
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("confidence")
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, borderaxespad=0.2)


def entitled(figure: Figure, title: str) -> Figure:
    """Add a title above a figure's pictures, unless the title is empty."""
    if title:
        figure.suptitle(title)
    return figure
