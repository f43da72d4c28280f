"""Figures of several pictures: what a technique started from beside what came of it, results side by side."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from numpy.typing import NDArray

from cnnviz.image import as_float, read_image
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
    after = result.image if result.image.ndim == 4 else result.image[None]
    before = np.broadcast_to(as_float(result.sources["image"]), after.shape)
    figure = _sized(figure, 4, len(after))
    start = np.atleast_1d(result.history["probability"][0])
    for row, axes in enumerate(figure.subplots(len(after), 4, squeeze=False)):
        facts = {name: np.atleast_1d(np.asarray(value))[row] for name, value in result.report.items()}
        change = after[row] - before[row]
        largest = float(np.abs(change).max())
        times = factor or (0.5 / largest if largest else 1.0)
        draw_picture(axes[0], before[row], f"{facts['original_label']}, {facts['original_confidence']:.0%}")
        draw_picture(axes[1], after[row], f"{facts['predicted_label']}, {facts['confidence']:.0%}")
        draw_picture(axes[2], 0.5 + times * change, f"difference x {times:.3g}")
        axes[2].text(0.5, -0.02, _size_of(facts), transform=axes[2].transAxes, ha="center", va="top")
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
    panels = [("content", result.sources["content"])]
    panels += [("style", picture) for name, picture in result.sources.items() if name.startswith("style")]
    figure = _sized(figure, len(panels) + 1, 1)
    axes = figure.subplots(1, len(panels) + 1)
    for ax, (name, pictures) in zip(axes, panels):
        draw_picture(ax, as_float(pictures.reshape(pictures.shape[-3:])), name)
    draw_picture(axes[-1], result.image, "result")
    return figure


def history(result: Synthesis, *, ax: Optional[Axes] = None, logarithmic: Optional[bool] = None) -> Axes:
    """Draw what was measured at every step, one line for each term.

    Parameters
    ----------
    result : Synthesis
    ax : Axes, optional
    logarithmic : bool, optional
        By default where all values are positive and span more than a factor of 30.

    Returns
    -------
    Axes
    """
    ax = own_axes(ax)
    for name, values in result.history.items():
        ax.plot(values, label=name if values.ndim == 1 else None)
    shown = np.concatenate([np.ravel(values) for values in result.history.values()])
    wide = bool(shown.size and (shown > 0).all() and shown.max() > 30 * shown.min())
    if wide if logarithmic is None else logarithmic:
        ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_title(result.method.replace("_", " "))
    if all(values.ndim == 1 for values in result.history.values()):
        ax.legend(frameon=False)
    return ax


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
        By default all in one row, up to five.
    titles : sequence of str, optional
        One for each.
    share_scale : bool
        Draw every map on the scale of the largest, so that their colours can be compared. Only sensible for
        maps in the same units.
    figure : Figure, optional
        An empty figure to draw into; a new one of pyplot's without it.
    **options
        Those of the results' `plot`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        When there is nothing to draw, or not one title for each result.
    """
    results = list(results)
    if not results:
        raise ValueError("results is empty: there is nothing to draw")
    if titles is not None and len(titles) != len(results):
        raise ValueError(f"titles lists {len(titles)} for {len(results)} results")
    columns = columns or min(len(results), 5)
    bars = options.get("colorbar", True) and any(isinstance(one, Attribution) for one in results)
    figure = _sized(figure, columns, -(-len(results) // columns), height=2.6 if bars else 3.3)
    shared = _shared_limit(results) if share_scale else None
    for i, ax in enumerate(figure.subplots(-(-len(results) // columns), columns, squeeze=False).flat):
        ax.set_axis_off()
        if i >= len(results):
            continue
        chosen = dict(options) if titles is None else {**options, "title": titles[i]}
        if isinstance(results[i], Attribution):
            results[i].plot(ax=ax, **({"vmax": shared} if shared else {}), **chosen)
        elif isinstance(results[i], Synthesis):
            results[i].plot(ax=ax, **chosen)
        else:
            draw_picture(ax, as_float(read_image(results[i])), chosen.get("title", ""))
    return figure


class Composite(NamedTuple):
    """A figure that a kind of result fills by itself, and whether a result has what it needs."""

    draw: Callable[..., Any]
    suits: Callable[[Synthesis], bool]


COMPOSITES = {
    "fooling_image": Composite(fooling, lambda result: "image" in result.sources and bool(result.report)),
    "style_transfer": Composite(style, lambda result: "content" in result.sources),
}


def _sized(figure: Optional[Figure], columns: int, rows: int, height: float = 3.3) -> Figure:
    """Give a figure room for so many square pictures; colour bars beside them leave them less height."""
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(3.1 * columns, height * rows), layout="constrained")
    return figure


def draw_picture(ax: Axes, pixels: Array, title: str) -> None:
    """Draw pixels without axes."""
    ax.imshow(pixels.clip(0, 1))
    ax.set_axis_off()
    entitle(ax, title)


def entitle(ax: Axes, title: str) -> None:
    """Give axes a title in lines no wider than they are, so that it does not reach into its neighbour's."""
    inches = ax.get_window_extent().width / ax.figure.dpi
    points = 10  # matplotlib's "medium", whose letters are about half as wide as high
    letters = max(8, int(72 * inches / (0.55 * points)))
    lines = [textwrap.fill(line, letters, break_long_words=False) for line in title.splitlines()]
    ax.set_title("\n".join(lines), fontsize=points)


def caption(result: Synthesis) -> str:
    """Return the technique and its classes, in words."""
    label = result.report.get("label", result.report.get("target_label", ""))
    names = ", ".join(label) if isinstance(label, list) else label
    return f"{result.method.replace('_', ' ')}: {names}" if names else result.method.replace("_", " ")


def _size_of(facts: Mapping[str, Any]) -> str:
    """The size of a change in levels of 255, which is how people know pixels."""
    return f"at most {255 * facts['linf']:.0f}/255 a pixel, L2 {facts['l2']:.2f}"


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
    ax.set_yticks(place, [row[0] for row in rows])
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("confidence")
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2)


def _shared_limit(results: Sequence[Any]) -> Optional[float]:
    """The largest number that any map would be scaled to alone."""
    limits = [np.percentile(np.abs(r.map), 99.5) for r in results if isinstance(r, Attribution)]
    return float(max(limits)) or None if limits else None


def own_axes(ax: Optional[Axes]) -> Axes:
    """Return the axes given, or those of a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]
