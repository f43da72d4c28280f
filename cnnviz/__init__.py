"""cnnviz shows what a convolutional network sees."""

from __future__ import annotations

__version__ = "0.1.0"
