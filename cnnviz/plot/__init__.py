"""Pictures of results: arrays in, Axes out. Colour bars are in the units of the score, and zero stays zero.

A function that is given `ax` draws on these axes and changes no other state of matplotlib. Without `ax` it
opens a new figure with pyplot, which shows it in a notebook and works without a display. Colours are
perceptually uniform and safe for colour-blind readers. Arrays are drawn without rescaling; the colour bar
shows their range.
"""

from __future__ import annotations

from cnnviz.plot.attributions import attribution
from cnnviz.plot.figures import fooling, history, pictures, style, synthesis
from cnnviz.plot.maps import overlay, saliency
from cnnviz.plot.panels import grid
from cnnviz.plot.saving import png, save
from cnnviz.plot.spatial import signal

__all__ = [
    "attribution",
    "fooling",
    "grid",
    "history",
    "overlay",
    "pictures",
    "png",
    "saliency",
    "save",
    "signal",
    "style",
    "synthesis",
]
