"""Pictures that a failing assertion saves beside its message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.batch import in_colour
from cnnviz.plot.spatial import slices_of

from .destination import current_destination, file_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# The width over the height from which on a panel, such as that of a signal, is stretched to be seen.
_LONG = 4


class Panel(NamedTuple):
    """One picture of a row: an image H,W,C, a map H,W, or one number for each label to draw as bars.

    Signals and volumes are flat before they are drawn: see `flat_map` and `flat_image`.

    `region` is outlined on the picture; `limit` ends the colour scale of a map.
    """

    title: str
    values: NDArray[Any]
    labels: Sequence[str] = ()
    region: Optional[NDArray[np.bool_]] = None
    limit: Optional[float] = None


def failure(assertion: str, message: str, panels: Sequence[Panel]) -> AssertionError:
    """Return the error to raise: the message, then the path of the picture."""
    try:
        path = str(_draw(assertion, panels))
    except OSError as error:
        path = f"could not be written ({error})"
    return AssertionError(f"{message}\n  picture: {path}")


def _draw(assertion: str, panels: Sequence[Panel]) -> Path:
    from matplotlib.figure import Figure

    path = _path(assertion)
    figure = Figure(figsize=(3.6 * len(panels), 3.7), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, panel in zip(axes, panels):
        ax.set_title(panel.title, fontsize=9)
        if panel.labels:
            _bars(ax, panel)
        else:
            _picture(ax, panel)
    figure.savefig(path, dpi=100)
    return path


def _path(assertion: str) -> Path:
    """Return the picture's path in the folder, which is made, and which version control ignores."""
    destination = current_destination()
    destination.folder.mkdir(parents=True, exist_ok=True)
    ignore = destination.folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", "ascii")
    return destination.folder / f"{'-'.join(filter(None, (file_name(destination.test), assertion)))}.png"


def _picture(ax: Axes, panel: Panel) -> None:
    values = panel.values
    if values.ndim == 3:
        ax.imshow(in_colour(values).clip(0, 1))
    else:
        signed = bool((values < 0).any())
        limit = panel.limit or largest(values) or 1.0
        colours = "PuOr" if signed else "magma"
        drawn = ax.imshow(
            values,
            cmap=colours,
            vmin=-limit if signed else 0,
            vmax=limit,
            aspect="auto" if values.shape[1] > _LONG * len(values) else "equal",
        )
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8)
    if panel.region is not None:
        for colour, width in (("black", 2.5), ("cyan", 1.2)):
            ax.contour(panel.region.astype(float), [0.5], colors=colour, linewidths=width)
    ax.set_axis_off()


def _bars(ax: Axes, panel: Panel) -> None:
    positions = np.arange(len(panel.values))[::-1]
    values = np.where(np.isfinite(panel.values), panel.values, np.nan)  # infinite bars cannot be drawn
    ax.barh(positions, values, color=["#7b3294" if value >= 0 else "#e66101" for value in values])
    ax.set_yticks(positions, panel.labels, fontsize=7)
    ax.axvline(0, color="black", linewidth=0.5)


def flat_map(values: NDArray[Any]) -> NDArray[Any]:
    """Return a map in two dimensions: a signal's as one row, of a volume's its middle slices."""
    if values.ndim == 3:
        return slices_of(values, 0.0)
    return values[np.newaxis] if values.ndim == 1 else values


def flat_image(image: NDArray[Any]) -> NDArray[Any]:
    """Return a picture as it is, of a signal L,C a row for each channel, of a volume its middle slices."""
    if image.ndim == 4:
        low, high = float(image.min()), float(image.max())
        return slices_of((image - low) / (high - low or 1.0), 1.0)
    return image.T if image.ndim == 2 else image


def largest(*arrays: NDArray[Any]) -> float:
    """Return the largest finite absolute value of all arrays; 0 without a finite value."""
    return max(float(np.abs(one[np.isfinite(one)]).max(initial=0)) for one in arrays)


def ranked(
    scores: NDArray[Any], labels: Sequence[str], expected: int, top: int = 6
) -> Tuple[NDArray[Any], Tuple[str, ...]]:
    """Return the highest scores and their labels, with the expected class among them, for a panel of bars."""
    best = list(np.argsort(-scores, kind="stable")[:top])
    if expected not in best:
        best[-1] = expected
    return scores[best], tuple(
        f"{labels[index][:22]}{' (expected)' if index == expected else ''}" for index in best
    )
