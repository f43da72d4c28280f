"""Surfaces for shapes and backgrounds: a pattern that runs from 0 to 1, and the colours it blends.

Patterns stay smaller or much larger than a shape, so that no pattern can be mistaken for a class.
"""

from __future__ import annotations

import functools
from typing import Callable, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Colour = NDArray[np.float32]  # R, G, B in 0..1
Grid = Tuple[Field, Field]  # x (1,W) and y (H,1) in pixels
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601: how much each of R, G, B adds to lightness
Pattern = Callable[[np.random.Generator, Grid], Field]


@functools.lru_cache(maxsize=64)
def spline_matrix(pixels: int, cells: int) -> Field:
    """pixels,cells+3 weights that blow `cells` knots up to `pixels` along a uniform cubic B-spline."""
    position = (np.arange(pixels) + 0.5) * (cells / pixels)
    knot = np.floor(position).astype(int)
    t = position - knot
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    matrix = np.zeros((pixels, cells + 3), np.float32)
    for offset in range(4):
        matrix[np.arange(pixels), knot + offset] = weights[:, offset]
    matrix.setflags(write=False)
    return matrix


def smooth_noise(rng: np.random.Generator, grid: Grid, cells: int) -> Field:
    """Band-limited noise of about unit variance with `cells` bumps across the picture."""
    height, width = grid[1].shape[0], grid[0].shape[1]
    knots = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    return np.float32(2) * (spline_matrix(height, cells) @ knots @ spline_matrix(width, cells).T)


def turned(rng: np.random.Generator, grid: Grid) -> Tuple[Field, Field]:
    """The pixel grid turned by a random angle and shifted by a random amount."""
    angle = rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = rng.uniform(0, 32, 2).astype(np.float32)
    x, y = grid
    return c * x + (s * y + dx), c * y - (s * x - dy)


def wave(phase: Field, sharpness: float) -> Field:
    """A sine in 0..1 whose flanks get steeper with `sharpness`."""
    return np.clip(np.float32(0.5) + np.float32(0.5 * sharpness) * np.sin(phase), 0, 1)


def plain(rng: np.random.Generator, grid: Grid) -> Field:
    """One colour."""
    return np.zeros((grid[1].shape[0], grid[0].shape[1]), np.float32)


def gradient(rng: np.random.Generator, grid: Grid) -> Field:
    """A ramp from one colour to the other across the picture."""
    along, _ = turned(rng, grid)
    low, high = along.min(), along.max()
    return (along - low) / (high - low)


def stripes(rng: np.random.Generator, grid: Grid) -> Field:
    """Straight stripes, soft or hard."""
    along, _ = turned(rng, grid)
    period = rng.uniform(4, 14)
    return wave(along * np.float32(2 * np.pi / period), rng.uniform(0.6, 3))


def checks(rng: np.random.Generator, grid: Grid) -> Field:
    """A chessboard at any angle."""
    along, across = turned(rng, grid)
    rate = np.float32(2 * np.pi / rng.uniform(6, 16))
    return wave(np.arcsin(np.sin(along * rate) * np.sin(across * rate)), rng.uniform(1, 6))


def dots(rng: np.random.Generator, grid: Grid) -> Field:
    """A lattice of small dots."""
    along, across = turned(rng, grid)
    rate = np.float32(2 * np.pi / rng.uniform(5, 9))
    bumps = np.cos(along * rate) + np.cos(across * rate)
    return np.clip(bumps * np.float32(2) - np.float32(rng.uniform(1, 2.5)), 0, 1)


def clouds(rng: np.random.Generator, grid: Grid) -> Field:
    """Noise in octaves, each finer one weaker by a random factor."""
    cells, gain, field = int(rng.integers(2, 5)), rng.uniform(0.4, 0.8), 0.0
    for octave in range(4):
        field = field + np.float32(gain**octave) * smooth_noise(rng, grid, cells << octave)
    return np.clip(np.float32(0.5) + np.float32(0.35) * field, 0, 1)


def camouflage(rng: np.random.Generator, grid: Grid) -> Field:
    """Clouds in two to four flat tones."""
    levels = int(rng.integers(2, 5))
    return np.minimum(np.floor(clouds(rng, grid) * np.float32(levels + 1)), levels) / np.float32(levels)


def wood(rng: np.random.Generator, grid: Grid) -> Field:
    """Stripes bent by slow noise."""
    along, _ = turned(rng, grid)
    rate = np.float32(2 * np.pi / rng.uniform(5, 12))
    bend = np.float32(rng.uniform(1, 3)) * smooth_noise(rng, grid, 3)
    return wave(along * rate + bend, rng.uniform(0.4, 1.2))


def weave(rng: np.random.Generator, grid: Grid) -> Field:
    """Two sets of stripes across each other."""
    along, across = turned(rng, grid)
    rate = np.float32(2 * np.pi / rng.uniform(4, 9))
    return np.float32(0.5) * (wave(along * rate, 1.5) + wave(across * rate, 1.5))


def grain(rng: np.random.Generator, grid: Grid) -> Field:
    """Independent noise in every pixel."""
    fine = rng.standard_normal((grid[1].shape[0], grid[0].shape[1]), dtype=np.float32)
    return np.clip(np.float32(0.5) + np.float32(0.25) * fine, 0, 1)


PATTERNS: Sequence[Pattern] = (
    plain,
    gradient,
    stripes,
    checks,
    dots,
    clouds,
    camouflage,
    wood,
    weave,
    grain,
)


def colours(rng: np.random.Generator, n: int, *, vivid: bool) -> NDArray[np.float32]:
    """n,3 colours by hue, saturation and value; vivid ones are for shapes, muted ones for backgrounds."""
    hue, saturation, value = rng.random((3, n, 1), dtype=np.float32)
    saturation = 0.45 + 0.55 * saturation if vivid else 0.05 + 0.60 * saturation
    value = 0.35 + 0.65 * value if vivid else 0.12 + 0.83 * value
    corner = (6 * hue + np.array([0, 4, 2], np.float32)) % 6
    return value * (1 - saturation * (1 - np.clip(np.abs(corner - 3) - 1, 0, 1)))


def contrasting(rng: np.random.Generator, others: Sequence[Colour], *, vivid: bool, apart: float) -> Colour:
    """The first of twelve random colours that is at least `apart` from all the others, or else the farthest.

    Half of the distance is Euclidean, half the difference in lightness, so that grey copies stay legible.
    """
    candidates = colours(rng, 12, vivid=vivid)
    difference = (candidates[:, None] - np.stack(others)) * np.sqrt(LUMA)
    gaps = (np.sqrt((difference**2).sum(2)) + np.abs((difference * np.sqrt(LUMA)).sum(2))).min(1) / 2
    return candidates[int(np.argmax(np.minimum(gaps, apart)))]


def paint(pattern: Field, first: Colour, second: Colour) -> NDArray[np.float32]:
    """3,H,W: `first` where the pattern is 0, `second` where it is 1."""
    return first[:, None, None] + pattern * (second - first)[:, None, None]
