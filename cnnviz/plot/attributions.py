"""Attributions drawn on one pair of axes: the kind of drawing, its scale, its units and its proportions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.batch import in_colour
from cnnviz.plot.maps import ALL, MOST, OVERLAY_OPTIONS, limit_of, overlay, saliency
from cnnviz.plot.shown import ShownMap
from cnnviz.plot.spatial import flattened, signal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The height and width of the panel of a signal, in proportion.
_SIGNAL = (1, 3)
_UNITS = {
    "saliency": "|d score / d x|",
    "grad_cam": "score, per place",
    "guided_backprop": "|guided d score / d x|",
    "guided_grad_cam": "|guided gradient| x Grad-CAM",
}


def attribution(result: ShownMap, *, ax: Optional[Axes] = None, **options: Any) -> Axes:
    """Draw an `Attribution`: the map of a layer over its picture, the map of an image alone.

    A signal is drawn as lines, one for each channel, over the colours of its map. Of a volume the middle
    slices of its three axes are drawn side by side.

    Parameters
    ----------
    result : Attribution
    ax : Axes, optional
    **options
        Those of `overlay` or of `saliency`; those of `signal` for a signal; and for a volume
        ``slice=(axis, index)``, one slice in place of the three in the middle.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        For an option of `overlay` alone, such as ``channels=``, with a map that is drawn without its picture.
    ValueError
        For channels or a slice that the picture does not have.
    """
    method = result.method.replace("_", "-")
    options.setdefault("title", f"{method}: {result.label}, score\N{NO-BREAK SPACE}{result.score:.3g}")
    options.setdefault("units", _units(result))
    if result.map.ndim == 1:
        return signal(result.image, result.map, ax=ax, **options)
    volume = result.map.ndim == 3
    if volume:
        result = flattened(result, options.pop("slice", None))
    if is_overlay(result):
        picture = in_colour(result.image, options.pop("channels", None))
        axes = overlay(picture, result.map, ax=ax, **options)
        if volume:  # slices side by side must not run into one another
            axes.images[-1].set_interpolation("nearest")
        return axes
    over = [name for name in OVERLAY_OPTIONS if name in options]
    if over:
        raise TypeError(f"{over[0]} is for maps over their picture: that of {method} is drawn alone")
    return saliency(result.map, ax=ax, **options)


def is_overlay(result: ShownMap) -> bool:
    """Whether a result is drawn over its picture: its map belongs to a layer, not to the image."""
    return result.values.ndim == result.map.ndim


def shared_scale(results: Sequence[ShownMap], percentile: Optional[float] = None) -> Dict[str, Any]:
    """Return the options that draw every map on the scale of the largest, signed where one of them is."""
    usual = [ALL if is_overlay(one) else MOST for one in results]
    limits = [
        limit_of(one.map, own if percentile is None else percentile, None)[0]
        for one, own in zip(results, usual)
        if one.map.any()
    ]
    signed = any(bool((one.map < 0).any()) for one in results)
    return {"vmax": max(limits, default=None), "signed": signed}


def drawn_pixels(result: ShownMap) -> NDArray[Any]:
    """Return an array with the proportions of what is drawn of a result."""
    if result.map.ndim == 1:
        return np.empty(_SIGNAL, np.float32)
    if result.map.ndim == 3:
        return flattened(result).map
    return result.image if is_overlay(result) else result.map


def _units(result: ShownMap) -> str:
    text = _UNITS.get(result.method, "score")
    if result.settings.get("times_input"):
        text = f"|x * {text.strip('|')}|"
    return text.replace("|", "") if (result.map < 0).any() else text
