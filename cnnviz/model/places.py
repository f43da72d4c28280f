"""The layers that are still maps of the picture: N,C,H,W, whose last two axes are rows and columns."""

from __future__ import annotations

from typing import List

from cnnviz.model.axes import PICTURE, axes_of
from cnnviz.model.model import Model


def layers_with_places(model: Model) -> List[str]:
    """Return the layers N,C,H,W whose last two axes are rows and columns of the picture, first to last.

    A shape of four axes is not enough: behind a Transpose the axes may be N,H,W,C, and in attention they are
    pairs of places. So the axes are followed from the input (`cnnviz.model.axes`).
    """
    known = axes_of(model.graph, model.input_name, model.layers)
    return [name for name in model.layers if known.get(name) == PICTURE]
