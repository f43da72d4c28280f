"""Results of techniques, and the files that hold them."""

from __future__ import annotations

from cnnviz.results.results import ALL_ZERO, Attribution, Run, Synthesis, load_result

__all__ = ["ALL_ZERO", "Attribution", "Run", "Synthesis", "load_result"]
