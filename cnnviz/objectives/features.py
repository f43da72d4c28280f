"""Objectives on the activations of layers: parts of them, directions in them, and distances to a target."""

from __future__ import annotations

from typing import Optional

import numpy as np
from numpy.typing import NDArray

from cnnviz.objectives.base import Activations, Array, Objective, ValueAndCotangents, sum_per_image, whole

#: GRAM_STRIP is the number of positions that one float32 product sums over; the strips are added in float64.
#: The rounding of a strip (1e-7) is below that of float32 activations, in a third of the time of a float64
#: product.
GRAM_STRIP = 1024


class _LayerObjective(Objective):
    """An objective that reads one layer."""

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.layers = (layer,)


class Channel(_LayerObjective):
    """The mean of a channel over all positions: high when its feature is anywhere in the picture.

    Parameters
    ----------
    layer : str
    channel : int
    """

    def __init__(self, layer: str, channel: int) -> None:
        super().__init__(layer)
        self.channel = whole("channel", channel)

    @property
    def name(self) -> str:
        return f"Channel({self.layer}, {self.channel})"

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        _check_index("channel", self.channel, x.shape[1], self.layer)
        picked = x[:, self.channel]
        size = picked[0].size
        dx = np.zeros_like(x)
        dx[:, self.channel] = 1.0 / size
        return sum_per_image(picked) / size, {self.layer: dx}


class Neuron(_LayerObjective):
    """One unit of a channel.

    Parameters
    ----------
    layer : str
    channel : int
    row, column : int, optional
        The position; the centre of the layer by default, as in lucid.
    """

    def __init__(
        self, layer: str, channel: int, row: Optional[int] = None, column: Optional[int] = None
    ) -> None:
        super().__init__(layer)
        self.channel = whole("channel", channel)
        self.row = None if row is None else whole("row", row)
        self.column = None if column is None else whole("column", column)

    @property
    def name(self) -> str:
        position = [str(i) for i in (self.channel, self.row, self.column) if i is not None]
        return f"Neuron({self.layer}, {', '.join(position)})"

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = _spatial(activations, self.layer)
        row = x.shape[2] // 2 if self.row is None else self.row
        column = x.shape[3] // 2 if self.column is None else self.column
        for name, index, size in zip(("channel", "row", "column"), (self.channel, row, column), x.shape[1:]):
            _check_index(name, index, size, self.layer)
        dx = np.zeros_like(x)
        dx[:, self.channel, row, column] = 1.0
        return x[:, self.channel, row, column].astype(np.float64), {self.layer: dx}


class Direction(_LayerObjective):
    """How far the activations point along a vector of channels: the mean over positions of dot * cos^power.

    The dot product alone also rewards long vectors in other directions, and the cosine alone faint ones;
    their product is lucid's compromise, with the cosine cut off at 0.1 so that the gradient does not vanish
    behind it.

    Parameters
    ----------
    layer : str
    vector : array, shape (C,)
    power : float
        The exponent of the cosine; 0 leaves the dot product.
    """

    LEAST_COSINE = 0.1

    def __init__(self, layer: str, vector: Array, power: float = 0.0) -> None:
        super().__init__(layer)
        self.vector = np.asarray(vector, dtype=np.float32)
        self.power = float(power)
        if self.vector.ndim != 1 or not np.isfinite(self.vector).all() or not self.vector.any():
            raise ValueError(
                "vector must hold one finite number for each channel and be not all-zero; "
                f"it has shape {self.vector.shape}"
            )
        if self.power < 0:
            raise ValueError(f"power is {power}, but an exponent of the cosine is at least 0")

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        if x.shape[1] != len(self.vector):
            raise ValueError(
                f"vector has {len(self.vector)} numbers, layer {self.layer!r} {x.shape[1]} channels"
            )
        a = x.reshape(len(x), x.shape[1], -1).astype(np.float64)  # N,C,P
        v = self.vector.astype(np.float64)[:, None]
        dot = (a * v).sum(axis=1, keepdims=True)
        lengths = np.maximum(np.sqrt((a * a).sum(axis=1, keepdims=True)), 1e-12) * np.sqrt((v * v).sum())
        cosine = np.maximum(dot / lengths, self.LEAST_COSINE)
        factor = cosine**self.power
        da = v * factor
        if self.power:
            along = (dot / lengths > self.LEAST_COSINE) * self.power * dot * cosine ** (self.power - 1)
            square = np.maximum((a * a).sum(axis=1, keepdims=True), 1e-24)
            da = da + along * (v / lengths - dot * a / (lengths * square))
        positions = a.shape[2]
        value = (dot * factor).sum(axis=(1, 2)) / positions
        return value, {self.layer: (da / positions).astype(np.float32).reshape(x.shape)}


class Layer(_LayerObjective):
    """The mean square of a layer: DeepDream's objective, which amplifies the features that it detects."""

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        size = x[0].size
        return sum_per_image(np.square(x, dtype=np.float64)) / size, {self.layer: x * np.float32(2.0 / size)}


class Content(_LayerObjective):
    """The squared distance to given activations.

    Parameters
    ----------
    layer : str
    target : array
        Shaped like the layer; a first axis of 1 serves every image of the batch.
    reduction : "mean" or "sum"
        ``"mean"`` (jcjohnson) keeps a weight meaningful when the size changes, ``"sum"`` is cs231n's; Gatys
        et al. 2016, eq. 1, is half the sum.
    """

    def __init__(self, layer: str, target: Array, *, reduction: str = "mean") -> None:
        super().__init__(layer)
        self.target = np.ascontiguousarray(target, dtype=np.float32)
        self.reduction = check_reduction(reduction)

    def check_batch(self, batch: int) -> None:
        if len(self.target) not in (1, batch):
            raise ValueError(
                f"the content target of layer {self.layer!r} has shape {self.target.shape} "
                f"for a batch of {batch} images"
            )

    def take(self, start: int, stop: int) -> Content:
        if len(self.target) == 1:
            return self
        return Content(self.layer, self.target[start:stop], reduction=self.reduction)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = activations[self.layer]
        if x.shape[1:] != self.target.shape[1:] or len(self.target) not in (1, len(x)):
            raise ValueError(
                f"layer {self.layer!r} has shape {x.shape}, its content target {self.target.shape}"
            )
        difference = x - self.target
        scale = 1.0 / x[0].size if self.reduction == "mean" else 1.0
        value = scale * sum_per_image(np.square(difference, dtype=np.float64))
        return value, {self.layer: np.float32(2.0 * scale) * difference}


class Gram(_LayerObjective):
    """The squared distance of the Gram matrix of a layer to a given one: the style loss of Gatys et al. 2016.

    With F the activations of one image as a C x M matrix, G = F F' / divisor.

    Parameters
    ----------
    layer : str
    target : array, shape (C, C)
        The style picture's `gram_matrix`, with the same `normalization`.
    normalization : "elements", "positions" or "none"
        The divisor: C*M (jcjohnson, cs231n), M (leongatys), 1 (the paper).
    reduction : "mean", "sum" or "gatys"
        The mean of the C*C squared differences (jcjohnson), their sum (cs231n), or their sum over 4 C^2 M^2
        (eq. 4 of the paper, meant for ``normalization="none"``).
    """

    def __init__(
        self, layer: str, target: Array, *, normalization: str = "elements", reduction: str = "mean"
    ) -> None:
        super().__init__(layer)
        self.target = np.asarray(target, dtype=np.float64)
        if self.target.ndim != 2 or self.target.shape[0] != self.target.shape[1]:
            raise ValueError(f"the target of a Gram objective is a C,C matrix, not {self.target.shape}")
        _divisor(normalization, 1, 1)
        if reduction not in ("mean", "sum", "gatys"):
            raise ValueError(f"reduction is {reduction!r}, but it can be 'mean', 'sum' or 'gatys'")
        self.normalization = normalization
        self.reduction = reduction

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        x = _spatial(activations, self.layer)
        channels, positions = x.shape[1], x.shape[2] * x.shape[3]
        if channels != len(self.target):
            raise ValueError(
                f"layer {self.layer!r} has {channels} channels, its Gram target {len(self.target)}"
            )
        difference = gram_matrix(x, self.normalization) - self.target
        scale = {
            "mean": 1.0 / channels**2,
            "sum": 1.0,
            "gatys": 0.25 / (float(channels) * positions) ** 2,
        }[self.reduction]
        # d/dF of the squared norm of F F'/s - A is 4/s (G - A) F, because G and A are symmetric.
        factor = 4.0 * scale / _divisor(self.normalization, channels, positions)
        weights = (factor * difference).astype(np.float32)
        dx = np.matmul(weights, x.reshape(len(x), channels, positions)).reshape(x.shape)
        return scale * sum_per_image(difference**2), {self.layer: dx}


def gram_matrix(x: Array, normalization: str = "elements") -> NDArray[np.float64]:
    """Return the Gram matrices of activations, strips of them accumulated in float64.

    Parameters
    ----------
    x : ndarray of float32, shape (N, C, H, W)
    normalization : "elements", "positions" or "none"
        Divide by C*H*W, by H*W, or not at all.

    Returns
    -------
    ndarray of float64, shape (N, C, C)
    """
    batch, channels, height, width = x.shape
    flat = x.reshape(batch, channels, height * width)
    gram = np.zeros((batch, channels, channels))
    for start in range(0, height * width, GRAM_STRIP):
        strip = flat[:, :, start : start + GRAM_STRIP]
        gram += np.matmul(strip, strip.transpose(0, 2, 1))
    return gram / _divisor(normalization, channels, height * width)


def check_reduction(reduction: str) -> str:
    """Return `reduction`, or raise ValueError when it is neither "mean" nor "sum"."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}, but it can be 'mean' or 'sum'")
    return reduction


def _divisor(normalization: str, channels: int, positions: int) -> float:
    divisors = {"elements": float(channels) * positions, "positions": float(positions), "none": 1.0}
    if normalization not in divisors:
        raise ValueError(
            f"normalization is {normalization!r}, but it can be {', '.join(map(repr, divisors))}"
        )
    return divisors[normalization]


def _spatial(activations: Activations, layer: str) -> Array:
    x = activations[layer]
    if x.ndim != 4:
        raise ValueError(f"layer {layer!r} has shape {x.shape}, but this objective needs N,C,H,W")
    return x


def _check_index(name: str, index: int, size: int, layer: str) -> None:
    if not 0 <= index < size:
        raise ValueError(f"{name} {index} is not in layer {layer!r}, which has {size} {name}s")
