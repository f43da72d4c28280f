"""Random transforms of a picture under optimisation: linear maps with exact adjoints.

A transform is drawn anew for every step from the run's own generator. Each draw is a linear map A (plus a
constant, for padding with a colour), and the gradient goes back through its adjoint, <A x, y> = <x, A' y>.
One draw applies to every picture of a batch, so that each picture equals the one optimised alone. The core's
maps (rolls, zooms and turns) return float32, the others the type of the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.arithmetic import AffineCoordinate, resample, roll

Images = NDArray[Any]  # N,C,H,W of any float type
Size = Tuple[int, int]


class LinearMap:
    """One draw of a transform: the identity, which subclasses replace."""

    def forward(self, x: Images) -> Images:
        """Map images; the spatial size may change."""
        return x

    def adjoint(self, dy: Images) -> Images:
        """Carry the gradient of the output back to the input."""
        return dy


class Transform:
    """A family of linear maps, one of which `draw` picks."""

    def draw(self, rng: np.random.Generator, size: Size) -> LinearMap:
        """Pick a map for images of `size` (rows, columns)."""
        raise NotImplementedError

    def size_after(self, size: Size) -> Size:
        """The size that images of `size` have afterwards."""
        return size


@dataclass(frozen=True)
class Compose(Transform):
    """Transforms one after the other."""

    steps: Tuple[Transform, ...]

    def draw(self, rng: np.random.Generator, size: Size) -> LinearMap:
        maps = []
        for step in self.steps:
            maps.append(step.draw(rng, size))
            size = step.size_after(size)
        return _Chain(maps)

    def size_after(self, size: Size) -> Size:
        for step in self.steps:
            size = step.size_after(size)
        return size


@dataclass(frozen=True)
class Jitter(Transform):
    """Roll by up to `pixels` in both directions; pixels that leave on one side enter on the other.

    ``one_sided=True`` draws offsets from 0 to `pixels` instead, as cs231n does.
    """

    pixels: int
    one_sided: bool = False

    def draw(self, rng: np.random.Generator, size: Size) -> LinearMap:
        low = 0 if self.one_sided else -self.pixels
        rows, columns = rng.integers(low, self.pixels, size=2, endpoint=True)
        return _Roll(int(rows), int(columns))


@dataclass(frozen=True)
class Flip(Transform):
    """Mirror left and right with the given probability."""

    probability: float = 0.5

    def draw(self, rng: np.random.Generator, size: Size) -> LinearMap:
        return _Mirror() if rng.random() < self.probability else LinearMap()


@dataclass(frozen=True)
class Pad(Transform):
    """Add a frame of `pixels`: of a constant `value` (lucid: mid-grey), or of reflected content.

    The only transform with a constant part; its adjoint is that of the linear part, a crop.
    """

    pixels: int
    value: float = 0.5
    mode: str = "constant"

    def __post_init__(self) -> None:
        if self.mode not in ("constant", "reflect"):
            raise ValueError(f"mode is {self.mode!r}, but padding can be 'constant' or 'reflect'")

    def draw(self, rng: np.random.Generator, size: Size) -> LinearMap:
        if self.mode == "constant":
            return _Frame(self.pixels, self.value)
        if self.pixels >= min(size):
            raise ValueError(f"pad of {self.pixels} px cannot reflect images of {size[0]} x {size[1]} px")
        return _Separable(_reflection(size[0], self.pixels), _reflection(size[1], self.pixels))

    def size_after(self, size: Size) -> Size:
        return size[0] + 2 * self.pixels, size[1] + 2 * self.pixels


@dataclass(frozen=True)
class Crop(Transform):
    """Keep the central `height` x `width` pixels."""

    height: int
    width: int

    def draw(self, rng: np.random.Generator, size: Size) -> LinearMap:
        if self.height > size[0] or self.width > size[1]:
            raise ValueError(f"cannot crop {self.height} x {self.width} px out of {size[0]} x {size[1]} px")
        top, left = (size[0] - self.height) // 2, (size[1] - self.width) // 2
        return _Window(top, left, size, (self.height, self.width))

    def size_after(self, size: Size) -> Size:
        return self.height, self.width


@dataclass(frozen=True)
class Blur(Transform):
    """Gaussian blur with a standard deviation drawn between `low` and `high` pixels.

    Cut off at four standard deviations and mirrored at the border, like ``scipy.ndimage.gaussian_filter``.
    """

    low: float
    high: float

    def draw(self, rng: np.random.Generator, size: Size) -> LinearMap:
        return gaussian(size, float(rng.uniform(self.low, self.high)))


@dataclass(frozen=True)
class Scale(Transform):
    """Zoom about the centre by one of `factors`, bilinearly; beyond the border the edge pixels repeat."""

    factors: Sequence[float]

    def draw(self, rng: np.random.Generator, size: Size) -> LinearMap:
        factor = float(self.factors[int(rng.integers(len(self.factors)))])
        return _about_centre(size, (1 / factor, 0.0), (0.0, 1 / factor)) if factor != 1 else LinearMap()


@dataclass(frozen=True)
class Rotate(Transform):
    """Turn about the centre by one of `degrees`, bilinearly; beyond the border the edge pixels repeat."""

    degrees: Sequence[float]

    def draw(self, rng: np.random.Generator, size: Size) -> LinearMap:
        angle = float(self.degrees[int(rng.integers(len(self.degrees)))])
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        return _about_centre(size, (cos, sin), (-sin, cos)) if angle else LinearMap()


def gaussian(size: Size, sigma: float) -> LinearMap:
    """A blur with a standard deviation of `sigma` pixels."""
    if sigma <= 0:
        return LinearMap()
    return _Separable(_gaussian_matrix(size[0], sigma), _gaussian_matrix(size[1], sigma))


def _about_centre(size: Size, row: Tuple[float, float], column: Tuple[float, float]) -> LinearMap:
    """The map that reads at `row` and `column`, linear combinations of offsets from the centre."""
    i, j = (size[0] - 1) / 2, (size[1] - 1) / 2
    offsets = i - row[0] * i - row[1] * j, j - column[0] * i - column[1] * j
    return _Affine((offsets[0], *row), (offsets[1], *column))


@dataclass(frozen=True)
class _Chain(LinearMap):
    maps: Sequence[LinearMap]

    def forward(self, x: Images) -> Images:
        for one in self.maps:
            x = one.forward(x)
        return x

    def adjoint(self, dy: Images) -> Images:
        for one in reversed(self.maps):
            dy = one.adjoint(dy)
        return dy


@dataclass(frozen=True)
class _Roll(LinearMap):
    rows: int
    columns: int

    def forward(self, x: Images) -> Images:
        return roll(x, self.rows, self.columns)

    def adjoint(self, dy: Images) -> Images:
        return roll(dy, -self.rows, -self.columns)


class _Mirror(LinearMap):
    def forward(self, x: Images) -> Images:
        return x[..., ::-1]

    def adjoint(self, dy: Images) -> Images:
        return dy[..., ::-1]


@dataclass(frozen=True)
class _Frame(LinearMap):
    pixels: int
    value: float

    def forward(self, x: Images) -> Images:
        p, (height, width) = self.pixels, x.shape[2:]
        framed = np.full((*x.shape[:2], height + 2 * p, width + 2 * p), self.value, x.dtype)
        framed[:, :, p : p + height, p : p + width] = x
        return framed

    def adjoint(self, dy: Images) -> Images:
        p = self.pixels
        return dy[:, :, p : dy.shape[2] - p, p : dy.shape[3] - p]


@dataclass(frozen=True)
class _Window(LinearMap):
    top: int
    left: int
    size: Size
    window: Size

    def forward(self, x: Images) -> Images:
        return x[:, :, self.top : self.top + self.window[0], self.left : self.left + self.window[1]]

    def adjoint(self, dy: Images) -> Images:
        dx = np.zeros(dy.shape[:2] + self.size, dy.dtype)
        dx[:, :, self.top : self.top + self.window[0], self.left : self.left + self.window[1]] = dy
        return dx


@dataclass(frozen=True)
class _Affine(LinearMap):
    row: AffineCoordinate
    column: AffineCoordinate

    def forward(self, x: Images) -> Images:
        return resample(x, self.row, self.column)

    def adjoint(self, dy: Images) -> Images:
        return resample(dy, self.row, self.column, adjoint=True)


@dataclass(frozen=True)
class _Separable(LinearMap):
    """Products with matrices from both sides: `rows`, H',H, and `columns`, W',W.

    Sparse products run on the caller's thread. Dense ones would run on the threads of NumPy's BLAS, which
    compete with the kernels' for the cores: on a busy machine they took most of a step.
    """

    rows: _Matrix
    columns: _Matrix

    def forward(self, x: Images) -> Images:
        return _on_both_sides(self.rows.of(x), x, self.columns.of(x))

    def adjoint(self, dy: Images) -> Images:
        return _on_both_sides(self.rows.of(dy).T, dy, self.columns.of(dy).T)


class _Matrix:
    """A sparse matrix in float64 and in float32, because a product of mixed types converts the picture."""

    def __init__(self, matrix: Any) -> None:
        self._double = matrix
        self._single = matrix.astype(np.float32)

    def of(self, x: Images) -> Any:
        """The matrix in the type of x."""
        return self._single if x.dtype == np.float32 else self._double


def _on_both_sides(rows: Any, x: Images, columns: Any) -> Images:
    """Multiply planes by sparse matrices, one plane at a time, so that it stays in the cache."""
    mapped = np.empty((*x.shape[:2], rows.shape[0], columns.shape[0]), x.dtype)
    for plane in np.ndindex(*x.shape[:2]):
        mapped[plane] = (columns @ (rows @ x[plane]).T).T
    return mapped


def _sparse(matrix: NDArray[np.float64]) -> _Matrix:
    from scipy import sparse

    return _Matrix(sparse.csr_matrix(matrix))


@lru_cache(maxsize=64)
def _reflection(n: int, pixels: int) -> _Matrix:
    source = np.abs(np.arange(-pixels, n + pixels))
    source = np.where(source >= n, 2 * (n - 1) - source, source)
    return _sparse(np.eye(n)[source])


@lru_cache(maxsize=64)
def _gaussian_matrix(n: int, sigma: float) -> _Matrix:
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((n, n))
    for offset, weight in zip(offsets, weights):
        source = (np.arange(n) + offset) % (2 * n)
        source = np.where(source >= n, 2 * n - 1 - source, source)  # half-sample mirror, however far out
        np.add.at(matrix, (np.arange(n), source), weight)
    return _sparse(matrix)
