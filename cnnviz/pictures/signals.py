"""Reading of signals and volumes: arrays L,C and D,H,W,C of numbers in their own units."""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.arrays import as_array
from cnnviz.pictures.kind import Displayed, PictureKind, within
from cnnviz.pictures.preprocessed import Preprocessed

_FORMS = {1: "L", 3: "D,H,W"}
_NAMES = {1: "signal", 3: "volume"}


def read_signals(given: Any, name: str, kind: PictureKind) -> Tuple[List[NDArray[Any]], bool]:
    """Read one signal or volume, or a batch: a list, or an array with one more axis in front.

    Returns
    -------
    arrays : list of ndarray of float32, each L,C or D,H,W,C
        Numbers as they are; with a range, on the scale from 0 to 1.
    batched : bool

    Raises
    ------
    TypeError, ValueError
        When an array has another shape, or holds no numbers, or numbers outside the range.
    """
    if isinstance(given, (list, tuple)):
        if not given:
            raise ValueError(f"{name} is an empty list")
        return [_one(array, f"{name}[{i}]", kind) for i, array in enumerate(given)], True
    if hasattr(given, "__array__") and len(getattr(given, "shape", ())) == kind.axes + 2:
        array = as_array(given, name)
        if len(array) == 0:
            raise ValueError(f"{name} is an empty batch: its shape is {array.shape}")
        return [_one(one, f"{name}[{i}]", kind) for i, one in enumerate(array)], True
    return [_one(given, name, kind)], False


def _one(given: Any, name: str, kind: PictureKind) -> NDArray[Any]:
    if isinstance(given, Preprocessed):
        raise TypeError(f"{name} is preprocessed already, and a {_NAMES[kind.axes]} is needed here")
    if isinstance(given, Displayed):
        given, kind = given.pixels, kind._replace(range=None)
    if not hasattr(given, "__array__"):
        form = _form(kind)
        raise TypeError(
            f"{name} must be an array {form} of a {_NAMES[kind.axes]}, not {type(given).__name__}"
        )
    array = as_array(given, name)
    if array.ndim == kind.axes and len(kind.channels) == 1:
        array = array[..., np.newaxis]
    if array.ndim != kind.axes + 1 or array.shape[-1] != len(kind.channels) or array.size == 0:
        raise ValueError(_misshapen(array.shape, name, kind))
    if kind.range is not None:
        return within(array, name, *kind.range)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}: it must hold numbers")
    numbers = np.ascontiguousarray(array, dtype=np.float32)
    bad = numbers.size - int(np.isfinite(numbers).sum())
    if bad:
        raise ValueError(f"{name} holds NaN or infinity: {bad} of {numbers.size} values")
    return numbers


def _form(kind: PictureKind) -> str:
    form = f"{_FORMS[kind.axes]},{len(kind.channels)}"
    return f"{_FORMS[kind.axes]} or {form}" if len(kind.channels) == 1 else form


def _misshapen(shape: Tuple[int, ...], name: str, kind: PictureKind) -> str:
    message = f"{name} has shape {shape}: a {_NAMES[kind.axes]} must be {_form(kind)}"
    if len(shape) == kind.axes + 1 and shape[0] == len(kind.channels):
        message += (
            f"; channels come first here, pass np.moveaxis({name}, 0, -1), or cnnviz.Preprocessed(array) for "
            "an input that is preprocessed already"
        )
    elif len(shape) == kind.axes + 1 and len(kind.channels) == 1:
        message += f"; a batch of them is a list, list({name})"
    return message
