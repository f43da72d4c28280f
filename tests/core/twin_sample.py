"""Twins of operators that read pictures at positions; see `twin.py`."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from twin import Array, Twin, max_pool

_BEYOND = 40  # elements of padding on either side, more than any row reaches
_MODES = {"constant": "constant", "edge": "edge"}

Kernel = Callable[[Array], Array]


def _keys(d: Array) -> Array:
    a = -0.75
    d = np.abs(d)
    inner, outer = ((a + 2) * d - (a + 3)) * d**2 + 1, a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, inner, np.where(d < 2, outer, 0))


def _keys_slope(d: Array) -> Array:
    a = -0.75
    e = np.abs(d)
    inner, outer = (3 * (a + 2) * e - 2 * (a + 3)) * e, a * ((3 * e - 10) * e + 8)
    return np.sign(d) * np.where(e <= 1, inner, np.where(e < 2, outer, 0))


# The weight of an element at a distance from the position, and its derivative, by degree.
_KERNELS: Dict[int, Tuple[Kernel, Kernel]] = {
    0: (lambda d: (np.abs(d) < 0.5).astype(float), np.zeros_like),
    1: (lambda d: np.maximum(1 - np.abs(d), 0), lambda d: -np.sign(d) * (np.abs(d) < 1)),
    3: (_keys, _keys_slope),
}


def grid_sample(
    x: Array, grid: Array, *, degree: int, padding: str, align_corners: bool, elements: bool = False
) -> Twin:
    """Every element of a padded axis has a weight at every point."""
    axes = x.ndim - 2
    n = max(len(x), len(grid))
    images, grids = (np.broadcast_to(array, (n, *array.shape[1:])) for array in (x, grid))
    points = grids.reshape(n, -1, axes)[..., ::-1]
    weights: List[Array] = []
    slopes: List[Array] = []
    for axis, extent in enumerate(x.shape[2:]):
        scale = (extent - align_corners) / 2
        position = (points[..., axis] + 1) * scale - (0 if align_corners else 0.5)
        if elements:
            position, scale = points[..., axis], 1
        sources = _sources(extent, padding, align_corners)
        distance = position[..., None] - np.arange(-_BEYOND, extent + _BEYOND)
        to_element = (sources[:, None] == np.arange(extent)).astype(float)
        kernel, slope = _KERNELS[degree]
        weights.append(kernel(distance) @ to_element)
        slopes.append(slope(distance) @ to_element * scale)
    letters = "def"[:axes]
    terms = ",".join(f"np{letter}" for letter in letters)
    y = np.einsum(f"nc{letters},{terms}->ncp", images, *weights)

    def backward(dy: Array) -> Tuple[Array, ...]:
        dy = dy.reshape(y.shape)
        dx = np.einsum(f"ncp,{terms}->nc{letters}", dy, *weights)
        dgrid = np.zeros_like(points)
        for a in range(axes):
            mixed = [slopes[b] if a == b else weights[b] for b in range(axes)]
            dgrid[..., a] = np.einsum(f"ncp,nc{letters},{terms}->np", dy, images, *mixed)
        dgrid = dgrid[..., ::-1].reshape(grids.shape)
        return _summed(dx, x.shape), _summed(dgrid, grid.shape)

    return y.reshape(*y.shape[:2], *grid.shape[1:-1]), backward


def max_pool_position(x: Array, **window: Any) -> Twin:
    """The place of the number that a pool of the places' ranks by value would choose."""
    y, backward = max_pool(x, **window)
    places = np.broadcast_to(np.arange(x[0, 0].size).reshape(x.shape[2:]), x.shape)
    chosen = np.zeros_like(y)
    for at in np.ndindex(*y.shape):
        alone = np.zeros_like(y)
        alone[at] = 1
        (found,) = backward(alone)
        chosen[at] = places[found > 0].item()
    return chosen, lambda dy: (np.zeros_like(x),)


def max_unpool(x: Array, position: Array, *, shape: Tuple[int, ...]) -> Twin:
    y, source = np.zeros((*shape[:2], int(np.prod(shape[2:])))), {}
    for at in np.ndindex(*x.shape):
        if 0 <= position[at] < y.shape[2]:
            place = (*at[:2], int(position[at]))
            y[place], source[place] = x[at], at

    def backward(dy: Array) -> Tuple[Array, ...]:
        dx, flat = np.zeros_like(x), dy.reshape(y.shape)
        for place, at in source.items():
            dx[at] = flat[place]
        return dx, np.zeros_like(position)

    return y.reshape(shape), backward


def _sources(extent: int, padding: str, align_corners: bool) -> Array:
    """The element at each place of a padded axis, -1 for a zero."""
    mode = _MODES.get(padding, "reflect" if align_corners else "symmetric")
    if extent == 1 and mode == "reflect":
        mode = "edge"
    more = {"constant_values": -1} if mode == "constant" else {}
    return np.pad(np.arange(extent), _BEYOND, mode, **more)


def _summed(gradient: Array, shape: Tuple[int, ...]) -> Array:
    return gradient if len(gradient) == shape[0] else gradient.sum(0, keepdims=True)


def roi_align(
    x: Array,
    regions: Array,
    index: Array,
    *,
    bins: Tuple[int, int],
    samples: int,
    scale: float,
    half_pixel: bool,
    maximum: bool,
) -> Twin:
    """Each bin as the weights of the elements in each of its samples."""
    images = np.clip(np.trunc(index), 0, len(x) - 1).astype(int)
    y = np.zeros((len(regions), x.shape[1], *bins))
    slope = np.zeros((len(regions), x.shape[1], *bins, *x.shape[2:]))
    for r, region in enumerate(regions * scale - 0.5 * half_pixel):
        axes = [
            _bins(region[1 - a], region[3 - a], bins[a], samples, x.shape[2 + a], half_pixel) for a in (0, 1)
        ]
        for i, j in np.ndindex(*bins):
            rows, columns = axes[0][i], axes[1][j]
            if not len(rows) or not len(columns):
                continue
            for c, plane in enumerate(x[images[r]]):
                weights = np.einsum("sh,tw->hw", rows, columns) / (len(rows) * len(columns))
                if maximum:
                    weights = _winner(rows, columns, plane)
                y[r, c, i, j] = (weights * plane).sum()
                slope[r, c, i, j] = weights

    def backward(dy: Array) -> Tuple[Array, ...]:
        dx = np.zeros_like(x)
        for r, image in enumerate(images):
            dx[image] += np.einsum("cij,cijhw->chw", dy[r], slope[r])
        return dx, np.zeros_like(regions), np.zeros_like(index)

    return y, backward


def _bins(start: float, end: float, bins: int, samples: int, extent: int, half_pixel: bool) -> List[Array]:
    """The weights of the elements of an axis in each sample of each bin: samples, extent."""
    width = (end - start if half_pixel else max(end - start, 1.0)) / bins
    count = samples or max(int(np.ceil(width)), 0)
    found = []
    for b in range(bins):
        weights = np.zeros((count, extent))
        for i in range(count):
            at = start + (b + (i + 0.5) / count) * width
            if -1 <= at <= extent:
                distance = np.abs(np.arange(extent) - np.clip(at, 0, extent - 1))
                weights[i] = np.maximum(1 - distance, 0)
        found.append(weights)
    return found


def _winner(rows: Array, columns: Array, plane: Array) -> Array:
    """The weight of the largest product alone; a sample beyond the picture, or on one element, adds a 0."""
    best, weights = -np.inf, np.zeros_like(plane)
    for row in rows:
        for column in columns:
            taps = np.outer(row, column)
            inside = np.argwhere(taps > 0)
            zero = len(inside) < 4
            for at in [tuple(where) for where in inside]:
                value = taps[at] * plane[at]
                if value > best:
                    best, weights = value, np.zeros_like(plane)
                    weights[at] = taps[at]
            if zero and best < 0:
                best, weights = 0.0, np.zeros_like(plane)
    return weights
