"""The model: a network run forward and backward, with its preprocessing and its labels."""

from __future__ import annotations

from cnnviz.model.answers import Prediction
from cnnviz.model.gradients import Gradient
from cnnviz.model.labels import Labels
from cnnviz.model.model import Model

__all__ = ["Gradient", "Labels", "Model", "Prediction"]
