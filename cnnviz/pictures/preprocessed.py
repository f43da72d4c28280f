"""Inputs that are preprocessed already: the tensors of a data loader in place of pictures."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.arithmetic import all_finite, single
from cnnviz.pictures.arrays import as_array

Array = NDArray[np.float32]


class Preprocessed:
    """The network's own input, in place of a picture: it is fed as it is, neither resized nor normalised.

    Results show the picture that `Preprocessing.inverse` makes of it, so the model's preprocessing must be
    the one that made the numbers.

    Parameters
    ----------
    x : array or tensor of floats, shape (C, H, W) or (N, C, H, W)
        One input or a batch (C,L and C,D,H,W for signals and volumes): a NumPy array, a tensor of PyTorch on
        any device, or any array with ``__array__``. Of a data loader's ``(inputs, targets)`` it is the
        inputs.

    Raises
    ------
    TypeError
        When `x` gives no array of floats.
    ValueError
        When it has fewer axes, is empty, or holds NaN or infinity.

    Examples
    --------
    >>> x, y = next(iter(loader))
    >>> cnnviz.grad_cam(model, cnnviz.Preprocessed(x), list(y))
    """

    def __init__(self, x: Any) -> None:
        if isinstance(x, (tuple, list)):
            raise TypeError(
                f"x is a {type(x).__name__}: of a data loader's (inputs, targets) pass the inputs, and the "
                "targets as target"
            )
        array = as_array(x, "x")
        if array.dtype.kind != "f":
            raise TypeError(
                f"x has dtype {array.dtype}: a preprocessed input holds floats; pictures need no wrapper"
            )
        if array.ndim < 2 or array.size == 0:
            raise ValueError(f"x has shape {array.shape}: it must be C,H,W or N,C,H,W, none of them 0")
        #: The input, float32.
        self.x: Array = single(array)
        if not all_finite(self.x):
            bad = array.size - int(np.isfinite(self.x).sum())  # some are too large for float32
            raise ValueError(f"x holds NaN or infinity: {bad} of {array.size} values")

    def __repr__(self) -> str:
        return f"<Preprocessed {'x'.join(map(str, self.x.shape))}>"

    def batch(self, axes: int) -> Tuple[Array, bool]:
        """Return the input as a batch for a network of so many axes of places, and whether it was one.

        Raises
        ------
        ValueError
            When it has another number of axes.
        """
        if self.x.ndim not in (axes + 1, axes + 2):
            form = {1: "C,L", 2: "C,H,W", 3: "C,D,H,W"}[axes]
            raise ValueError(f"x has shape {self.x.shape}: it must be {form} or N,{form}, none of them 0")
        many = self.x.ndim == axes + 2
        return (self.x if many else self.x[np.newaxis]), many


def joined(given: Sequence[Preprocessed]) -> Preprocessed:
    """Return several inputs, each without a batch axis, as one batch.

    Raises
    ------
    ValueError
        When they differ in shape.
    """
    if len({one.x.shape for one in given}) > 1:
        raise ValueError(f"inputs in a list must have one shape, not {', '.join(map(repr, given))}")
    return Preprocessed(np.stack([one.x for one in given]))


class Fed(NamedTuple):
    """Pictures, and the network's input that they make.

    Attributes
    ----------
    x : ndarray of float32, shape (N, C, H, W)
    pictures : ndarray of float32, shape (N, H, W, 3) or (N, H, W, C)
        From 0 to 1.
    many : bool
        Whether a batch was given, rather than one picture.
    exact : bool
        Whether the pictures make x again, bit for bit.
    """

    x: Array
    pictures: Array
    many: bool
    exact: bool = True
