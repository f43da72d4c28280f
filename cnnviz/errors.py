"""The exceptions that cnnviz defines; all others that it raises are built-in."""

from __future__ import annotations

from typing import Iterable, Tuple

__all__ = ["CnnvizError", "ModelFormatError", "UnsupportedModelError"]


class CnnvizError(Exception):
    """Base class of the exceptions that cnnviz defines."""


class ModelFormatError(CnnvizError, ValueError):
    """The file is not a valid ONNX model: truncated, contradictory, or not ONNX at all."""


class UnsupportedModelError(CnnvizError, ValueError):
    """The model is valid, but holds an operator, mode or type that cnnviz does not support.

    Attributes
    ----------
    operators : tuple of str
        Every operator of the model that is not supported, sorted, each once; empty when the reason is not an
        operator (an old opset, say).
    """

    def __init__(self, message: str, operators: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.operators: Tuple[str, ...] = tuple(sorted(set(operators)))
