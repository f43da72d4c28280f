"""The objective and its algebra: sums, differences, multiples and products of objectives are objectives."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.one_line import LINE, shortened
from cnnviz.pictures.arrays import as_array
from cnnviz.pictures.image import Listed

Array = NDArray[np.float32]
Activations = Mapping[str, Array]
ValueAndCotangents = Tuple["NDArray[np.float64]", Dict[str, Array]]

#: ClassLike is a class, by its index or its label.
ClassLike = Union[int, "np.integer[Any]", str]
#: OutputClass is a class of an output by name, such as {"colour": "red"}.
OutputClass = Mapping[str, ClassLike]
#: ClassesLike is one class for each image of a batch, or several for one image.
ClassesLike = Union[Listed[Union[ClassLike, OutputClass]], "NDArray[np.integer[Any]]"]
#: ObjectiveLike is what `Model.gradient` takes as target: a class, one class for each image, a class of an
#: output by name, cotangents by layer, or an objective.
ObjectiveLike = Union[ClassLike, ClassesLike, OutputClass, Mapping[str, Array], "Objective"]

LOGITS = "logits"
INPUT = "input"
IMAGE = "image"


class Objective:
    """A differentiable score of a batch; subclasses say which `layers` they read and write `evaluate`.

    Attributes
    ----------
    layers : tuple of str
        Names of the layers that `evaluate` reads.
    name : str
        The objective's name in histories and error messages.
    """

    layers: Tuple[str, ...] = ()

    def __repr__(self) -> str:
        return shortened(self.name, LINE)

    @property
    def name(self) -> str:
        return f"{type(self).__name__}({', '.join(self.layers)})"

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        """Return the value of each batch element and the cotangent of each layer.

        Parameters
        ----------
        activations : mapping of str to ndarray of float32
            The activations of every layer in `layers`; the first axis is the batch.

        Returns
        -------
        value : ndarray of float64, shape (N,)
        cotangents : dict of str to ndarray of float32
            d(sum of value)/d(layer), shaped like the layer.
        """
        raise NotImplementedError

    def check_batch(self, batch: int) -> None:
        """Raise ValueError unless the objective fits `batch` images; checked before the batch is cut.

        An objective without a target for each image fits every batch.
        """

    def take(self, start: int, stop: int) -> Objective:
        """Return the objective of the images `start` to `stop` of its batch, for work in pieces.

        An objective that treats every image alike, as most do, returns itself.
        """
        return self

    def __add__(self, other: Union[Objective, float]) -> Objective:
        return _sum(self, 1.0, other)

    def __radd__(self, other: float) -> Objective:
        return _sum(self, 1.0, other)

    def __sub__(self, other: Union[Objective, float]) -> Objective:
        return _sum(self, -1.0, other)

    def __rsub__(self, other: float) -> Objective:
        return -self + other

    def __neg__(self) -> Objective:
        return self * -1.0

    def __mul__(self, other: Union[Objective, float]) -> Objective:
        if isinstance(other, Objective):
            return Product(self, other)
        return Sum([(_number(other), self)])

    def __rmul__(self, other: float) -> Objective:
        return self * other

    def __truediv__(self, other: float) -> Objective:
        return self * (1.0 / _number(other))


class Sum(Objective):
    """Weighted terms plus a constant: the result of ``+``, ``-`` and multiplication by a number.

    Parameters
    ----------
    terms : sequence of (float, Objective)
        Nested sums are flattened, so that a history shows every term.
    constant : float
    """

    def __init__(self, terms: Sequence[Tuple[float, Objective]], constant: float = 0.0) -> None:
        if not terms:
            raise ValueError("a sum of objectives has at least one term")
        flat: List[Tuple[float, Objective]] = []
        self.constant = constant
        for weight, term in terms:
            if isinstance(term, Sum):
                flat.extend((weight * inner, leaf) for inner, leaf in term.terms)
                self.constant += weight * term.constant
            else:
                flat.append((weight, term))
        self.terms: Tuple[Tuple[float, Objective], ...] = tuple(flat)
        self.layers = tuple(dict.fromkeys(layer for _, term in flat for layer in term.layers))

    def __repr__(self) -> str:
        parts = [f"{weight:g} * {term!r}" for weight, term in self.terms]
        return shortened(" + ".join(parts + ([f"{self.constant:g}"] if self.constant else [])), LINE)

    @property
    def name(self) -> str:
        return " + ".join(term.name for _, term in self.terms)

    def check_batch(self, batch: int) -> None:
        for _, term in self.terms:
            term.check_batch(batch)

    def take(self, start: int, stop: int) -> Sum:
        return Sum([(weight, term.take(start, stop)) for weight, term in self.terms], self.constant)

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        parts = [(weight, term.evaluate(activations)) for weight, term in self.terms]
        return self.combine(parts)

    def combine(self, parts: Sequence[Tuple[float, ValueAndCotangents]]) -> ValueAndCotangents:
        """Add up evaluated terms, for a loop that also records each of them."""
        values = [scaled(weight, term[0]) for weight, term in parts]
        value = values[0] + self.constant if self.constant else values[0]
        for term_value in values[1:]:
            value = value + term_value
        total: Dict[str, Array] = {}
        for weight, (_, cotangents) in parts:
            for layer, cotangent in cotangents.items():
                part = cotangent if weight == 1.0 else np.float32(weight) * cotangent
                total[layer] = total[layer] + part if layer in total else part
        return value, total


class Product(Objective):
    """Two objectives multiplied, image by image; its gradient follows the product rule."""

    def __init__(self, left: Objective, right: Objective) -> None:
        self.left = left
        self.right = right
        self.layers = tuple(dict.fromkeys(left.layers + right.layers))

    def __repr__(self) -> str:
        return shortened(f"({self.left!r}) * ({self.right!r})", LINE)

    @property
    def name(self) -> str:
        return f"({self.left.name}) * ({self.right.name})"

    def check_batch(self, batch: int) -> None:
        self.left.check_batch(batch)
        self.right.check_batch(batch)

    def take(self, start: int, stop: int) -> Product:
        return Product(self.left.take(start, stop), self.right.take(start, stop))

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        left, dleft = self.left.evaluate(activations)
        right, dright = self.right.evaluate(activations)
        total: Dict[str, Array] = {}
        for factor, cotangents in ((right, dleft), (left, dright)):
            for layer, cotangent in cotangents.items():
                scaled = cotangent * per_image(factor, cotangent)
                total[layer] = total[layer] + scaled if layer in total else scaled
        return left * right, total


class Cotangents(Objective):
    """A plain vector-Jacobian product, for a loss that is computed elsewhere.

    The value is the inner product of each layer with its cotangent, summed over the layers.

    Parameters
    ----------
    cotangents : mapping of str to array
        One array for each layer, shaped like the layer; a first axis of 1 serves every image of the batch.
    """

    def __init__(self, cotangents: Mapping[str, Array]) -> None:
        if not cotangents:
            raise ValueError("target is an empty mapping: name at least one layer and its cotangent")
        self.layers = tuple(cotangents)
        self._cotangents = {layer: _as_cotangent(layer, array) for layer, array in cotangents.items()}

    def check_batch(self, batch: int) -> None:
        for layer, given in self._cotangents.items():
            if len(given) not in (1, batch):
                raise ValueError(
                    f"target[{layer!r}] has shape {given.shape} for a batch of {batch} images: "
                    f"its first axis must be 1 or {batch}"
                )

    def take(self, start: int, stop: int) -> Cotangents:
        return Cotangents(
            {layer: d if len(d) == 1 else d[start:stop] for layer, d in self._cotangents.items()}
        )

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        value = np.zeros(len(activations[self.layers[0]]))
        cotangents: Dict[str, Array] = {}
        for layer, given in self._cotangents.items():
            activation = activations[layer]
            if given.shape[1:] != activation.shape[1:] or len(given) not in (1, len(activation)):
                raise ValueError(f"target[{layer!r}] has shape {given.shape}, the layer {activation.shape}")
            cotangents[layer] = np.broadcast_to(given, activation.shape)
            value += sum_per_image(given * activation)
        return value, cotangents


def scaled(weight: float, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weight * value, without a copy for a weight of 1."""
    return value if weight == 1.0 else weight * value


def sum_per_image(array: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum all but the first axis in float64: a loss over a million float32 squares must not lose digits."""
    return np.asarray(array.reshape(len(array), -1).sum(axis=1, dtype=np.float64))


def per_image(values: NDArray[np.float64], like: Array) -> Array:
    """Shape one number per image so that it broadcasts over `like`."""
    return values.astype(np.float32).reshape((-1,) + (1,) * (like.ndim - 1))


def _sum(left: Objective, sign: float, right: Union[Objective, float]) -> Sum:
    if isinstance(right, Objective):
        return Sum([(1.0, left), (sign, right)])
    return Sum([(1.0, left)], sign * _number(right))


def _number(value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"an objective combines with numbers and objectives, not {value!r:.80}") from None
    if not math.isfinite(number):
        raise ValueError(f"an objective cannot be combined with {number}")
    return number


def _as_cotangent(layer: str, array: Any) -> Array:
    given = as_array(array, f"target[{layer!r}]")
    if given.dtype.kind != "f" or given.ndim == 0:
        text = f"target[{layer!r}] must be a float array shaped like the layer, not {array!r:.80}"
        if isinstance(array, (list, tuple)) and all(isinstance(one, (str, int, np.integer)) for one in array):
            each = ", ".join(f"{{{layer!r}: {one!r}}}" for one in array[:3])
            text += f"; several classes of an output are [{each}{', ...' * (len(array) > 3)}]"
        raise TypeError(text)
    if not np.isfinite(given).all():
        raise ValueError(f"target[{layer!r}] holds NaN or infinity")
    return np.ascontiguousarray(given, dtype=np.float32)


def whole(name: str, index: int) -> int:
    """Return an index as an int, or raise TypeError naming the argument."""
    if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, not {index!r}")
    return int(index)
