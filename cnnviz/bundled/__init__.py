"""The network that ships with cnnviz, and the pictures that it is trained on.

`draw` makes pictures of shapes with known class, box and mask; ``python -m cnnviz.bundled.train`` trains the
network on them with cnnviz's own kernels; ``cnnviz.load()`` loads the result.
"""

from __future__ import annotations

from .pictures import CLASSES, SIZE, Drawn, draw

__all__ = ["CLASSES", "SIZE", "Drawn", "draw"]
