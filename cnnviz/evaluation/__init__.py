"""Measures of attributions: how well a map points at the object that it explains."""

from __future__ import annotations

from cnnviz.evaluation.pointing import CONTROLS, TECHNIQUES, Evaluation, evaluate

__all__ = ["CONTROLS", "TECHNIQUES", "Evaluation", "evaluate"]
