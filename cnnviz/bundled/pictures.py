"""Pictures of shapes whose class, box and mask are known to the pixel: the data set of the bundled network.

Picture i of a seed depends on (seed, i) and on the arguments alone, never on how many are drawn at once, so a
set can be drawn in parts, by several processes, or again years later.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from . import textures
from .shapes import SHAPES
from .textures import Colour, Field, Grid

CLASSES: Tuple[str, ...] = tuple(SHAPES)
SIZE = 96  # height and width of the bundled network's input

Picture = NDArray[np.float32]  # 3,H,W in 0..1: NumPy paints planes three times as fast as pixels


@dataclass(frozen=True, repr=False)
class Drawn:
    """Drawn pictures and their ground truth; N pictures of H,W pixels.

    Attributes
    ----------
    images : uint8, N,H,W,3
        RGB.
    labels : int64, N
        Class of the object, an index into `CLASSES`.
    masks : bool, N,H,W
        The object's visible pixels: those that it covers by half or more, less those behind a bar.
    boxes : int64, N,4
        Top, left, bottom, right of the mask, half open: ``images[i, top:bottom, left:right]``.
    other_labels, other_masks, other_boxes
        The same for the second shape; label -1 and an empty mask and box where there is none.
    seed : int
    start : int
        The first picture is number `start` of the seed.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    boxes: NDArray[np.int64]
    other_labels: NDArray[np.int64]
    other_masks: NDArray[np.bool_]
    other_boxes: NDArray[np.int64]
    seed: int
    start: int

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:3]))
        return f"<Drawn: {len(self)} of {size} pixels, seed {self.seed} from picture {self.start} on>"

    @property
    def names(self) -> List[str]:
        """Class name of each picture's object."""
        return [CLASSES[label] for label in self.labels]


@dataclass(frozen=True)
class _Shape:
    """One shape, placed: where its centre is, its radius in pixels, its turn, and its stretch."""

    label: int
    cx: float
    cy: float
    radius: float
    angle: float
    stretch: float

    def clear_of(self, other: _Shape) -> bool:
        """Whether the two stay a little apart however they are turned."""
        return np.hypot(self.cx - other.cx, self.cy - other.cy) > 1.05 * (self.radius + other.radius)


def draw(
    n: int,
    seed: int = 0,
    *,
    size: int = SIZE,
    objects: Optional[int] = None,
    classes: Optional[Sequence[Union[int, str]]] = None,
    clutter: float = 1.0,
    start: int = 0,
) -> Drawn:
    """Draw pictures of shapes on textured backgrounds, with their ground truth.

    The object has a random class, size (a radius of 17 to 40 % of the picture), turn, colour, texture and
    place, sometimes an outline, a shadow or a bar in front of it. A second shape, where there is one, has
    another class and does not touch the first.

    Parameters
    ----------
    n : int
        Number of pictures.
    seed : int
        Equal seeds draw equal pictures; picture i is the same for every `n`.
    size : int
        Height and width in pixels, at least 32. The bundled network's input has 96.
    objects : 1, 2 or None
        1: the object alone. 2: the object and a second shape of similar size. None: the mix of the training
        data, the object alone or (one in four) with a clearly smaller second shape.
    classes : sequence of class names or indices, optional
        Draw objects of these classes only; the second shape may have any. Two draws that differ in a single
        class, ``classes=["star"]`` and ``classes=["heart"]``, differ in little but the object's outline.
    clutter : float
        Share of the textures, strokes and bars that are drawn: 1 all, 0 plain shapes on plain colours.
    start : int
        Number of the first picture: ``draw(10, s, start=20)`` is the last third of ``draw(30, s)``.

    Returns
    -------
    Drawn

    Raises
    ------
    TypeError, ValueError
        If an argument has another type or lies outside the range above.

    Examples
    --------
    >>> from cnnviz import bundled
    >>> stars = bundled.draw(4, seed=7, classes=["star"])
    >>> stars.images.shape, stars.names[0]
    ((4, 96, 96, 3), 'star')
    """
    n, seed = _integer(n, "n"), _integer(seed, "seed")
    size, start = _integer(size, "size"), _integer(start, "start")
    if n < 0 or seed < 0 or start < 0:
        raise ValueError(f"n, seed and start must not be negative, got {n}, {seed}, {start}")
    if not 32 <= size <= 4096:
        raise ValueError(f"size must be between 32 and 4096 pixels, got {size}")
    if objects not in (None, 1, 2):
        raise ValueError(f"objects must be 1, 2 or None, got {objects!r}")
    if not 0 <= clutter <= 1:
        raise ValueError(f"clutter must be between 0 and 1, got {clutter}")
    choices = _class_indices(classes)
    drawn = _empty(n, size, seed, start)
    for i in range(n):
        _draw_one(np.random.default_rng((seed, start + i)), drawn, i, objects, choices, clutter)
    return drawn


def _integer(value: int, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def _class_indices(classes: Optional[Sequence[Union[int, str]]]) -> NDArray[np.int64]:
    if classes is None:
        return np.arange(len(CLASSES))
    if isinstance(classes, str):
        classes = [classes]
    indices = []
    for entry in classes:
        index = CLASSES.index(entry) if entry in CLASSES else entry
        if isinstance(index, str) or not 0 <= _integer(index, "classes") < len(CLASSES):
            raise ValueError(f"classes: no class {entry!r}; there are {', '.join(CLASSES)}")
        indices.append(int(index))
    if not indices:
        raise ValueError("classes must name at least one class")
    return np.array(indices)


def _empty(n: int, size: int, seed: int, start: int) -> Drawn:
    return Drawn(
        images=np.zeros((n, size, size, 3), np.uint8),
        labels=np.zeros(n, np.int64),
        masks=np.zeros((n, size, size), np.bool_),
        boxes=np.zeros((n, 4), np.int64),
        other_labels=np.full(n, -1, np.int64),
        other_masks=np.zeros((n, size, size), np.bool_),
        other_boxes=np.zeros((n, 4), np.int64),
        seed=seed,
        start=start,
    )


def _draw_one(
    rng: np.random.Generator,
    drawn: Drawn,
    i: int,
    objects: Optional[int],
    choices: NDArray[np.int64],
    clutter: float,
) -> None:
    size = drawn.images.shape[1]
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    grid = (centres[None, :], centres[:, None])
    first, second = _arranged(rng, size, objects, int(rng.choice(choices)))
    backdrop = list(textures.colours(rng, 1, vivid=False))
    backdrop.append(textures.contrasting(rng, backdrop, vivid=False, apart=0.08))
    picture = textures.paint(_pattern(rng, grid, clutter), *backdrop)
    if rng.random() < clutter:
        _scratch(rng, picture, grid, backdrop)
    if second is not None:
        other_mask = _stamp(rng, picture, grid, second, backdrop, clutter)
    mask = _stamp(rng, picture, grid, first, backdrop, clutter)
    if rng.random() < 0.2 * clutter:
        _bar_in_front(rng, picture, grid, first, mask)
    drawn.images[i] = _expose(rng, picture, grid)
    drawn.labels[i], drawn.masks[i], drawn.boxes[i] = first.label, mask, _box_of(mask)
    if second is not None:
        other_mask &= ~mask
        drawn.other_labels[i], drawn.other_masks[i] = second.label, other_mask
        drawn.other_boxes[i] = _box_of(other_mask)


def _arranged(
    rng: np.random.Generator, size: int, objects: Optional[int], label: int
) -> Tuple[_Shape, Optional[_Shape]]:
    """The object, and the second shape if one is wanted and there is room for it."""
    alone = objects == 1 or (objects is None and rng.random() >= 0.25)
    small, large = (0.16, 0.24) if objects == 2 else (0.17, 0.40)
    first = _random_shape(rng, size, label, float(rng.uniform(small, large)))
    if alone:
        return first, None
    label = int((label + rng.integers(1, len(CLASSES))) % len(CLASSES))
    if objects == 2:
        return _arranged_pair(rng, size, first, label, first.radius / size * float(rng.uniform(0.8, 1.25)))
    for shrink in np.linspace(0.6, 0.3, 16):
        second = _random_shape(rng, size, label, max(0.1, float(shrink) * first.radius / size))
        if second.clear_of(first):
            return first, second
    return first, None


def _arranged_pair(
    rng: np.random.Generator, size: int, first: _Shape, label: int, radius: float
) -> Tuple[_Shape, _Shape]:
    """Move both shapes until they are clear of each other; as a last resort to opposite corners."""
    for _ in range(32):
        second = _random_shape(rng, size, label, radius)
        if second.clear_of(first):
            return first, second
        first = _random_shape(rng, size, first.label, first.radius / size)
    far = size - second.radius
    return replace(first, cx=first.radius, cy=first.radius), replace(second, cx=far, cy=far)


def _random_shape(rng: np.random.Generator, size: int, label: int, radius: float) -> _Shape:
    """A shape at a random position; the picture's border cuts off at most a sliver of it."""
    cx, cy = rng.uniform(0.9 * radius, 1 - 0.9 * radius, 2) * size
    angle, stretch = rng.uniform(0, 2 * np.pi), rng.uniform(0.93, 1.07)
    return _Shape(label, float(cx), float(cy), radius * size, float(angle), float(stretch))


def _pattern(rng: np.random.Generator, grid: Grid, clutter: float) -> Field:
    if rng.random() >= clutter:
        return textures.plain(rng, grid)
    return textures.PATTERNS[int(rng.integers(len(textures.PATTERNS)))](rng, grid)


def _distance(shape: _Shape, grid: Grid) -> Field:
    """H,W signed distance to the shape's outline in pixels."""
    x, y = grid[0] - np.float32(shape.cx), grid[1] - np.float32(shape.cy)
    c, s = np.cos(shape.angle) / shape.radius, np.sin(shape.angle) / shape.radius
    across, down = np.float32(shape.stretch), np.float32(1 / shape.stretch)
    unit = SHAPES[CLASSES[shape.label]](
        across * (np.float32(c) * x + np.float32(s) * y), down * (np.float32(c) * y - np.float32(s) * x)
    )
    return unit * np.float32(shape.radius)


def _window(shape: _Shape, grid: Grid, margin: float) -> Tuple[slice, slice]:
    """Rows and columns that a shape can touch, so that only these are computed."""
    reach = 1.2 * shape.radius + margin
    rows, columns = grid[1].shape[0], grid[0].shape[1]
    top, bottom = int(max(0, shape.cy - reach)), int(min(rows, shape.cy + reach)) + 1
    left, right = int(max(0, shape.cx - reach)), int(min(columns, shape.cx + reach)) + 1
    return slice(top, bottom), slice(left, right)


def _blend(picture: Picture, coverage: Field, surface: NDArray[np.float32]) -> None:
    picture += coverage * (surface - picture)


def _coverage(distance: Field) -> Field:
    """Share of a pixel on the inner side of an outline that passes at this distance from its centre."""
    return np.clip(np.float32(0.5) - distance, 0, 1)


def _stamp(
    rng: np.random.Generator,
    picture: Picture,
    grid: Grid,
    shape: _Shape,
    backdrop: Sequence[Colour],
    clutter: float,
) -> NDArray[np.bool_]:
    """Paint a shape with its shadow, texture and outline; returns its pixels."""
    rows, columns = _window(shape, grid, 8)
    part, patch = picture[:, rows, columns], (grid[0][:, columns], grid[1][rows])
    distance = _distance(shape, patch)
    scale = picture.shape[1] / SIZE
    if rng.random() < 0.3:
        dx, dy = rng.uniform(-3, 3, 2) * scale
        shifted = _distance(shape, (patch[0] - np.float32(dx), patch[1] - np.float32(dy)))
        shade = np.clip(np.float32(0.5) - shifted * np.float32(0.25 / scale), 0, 0.5)
        _blend(part, shade, np.zeros((3, 1, 1), np.float32))
    first = textures.contrasting(rng, backdrop, vivid=True, apart=0.27)
    second = textures.contrasting(rng, backdrop, vivid=bool(rng.random() < 0.6), apart=0.27)
    if rng.random() < 0.35:
        second = first
    coverage = _coverage(distance)
    _blend(part, coverage, textures.paint(_pattern(rng, patch, clutter), first, second))
    if rng.random() < 0.25:
        width = np.float32(rng.uniform(1, 2.2) * scale)
        line = np.clip(width - np.abs(distance + width / 2), 0, 1) * coverage
        ink = textures.contrasting(rng, [first, *backdrop], vivid=False, apart=0.2)
        _blend(part, line, ink[:, None, None])
    mask = np.zeros(picture.shape[1:], np.bool_)
    mask[rows, columns] = coverage >= 0.5
    return mask


def _stroke(rng: np.random.Generator, grid: Grid, cx: float, cy: float, width: float) -> Field:
    """Coverage of an endless straight stroke through a point."""
    angle = rng.uniform(0, np.pi)
    away = np.float32(np.cos(angle)) * (grid[0] - np.float32(cx)) + np.float32(np.sin(angle)) * (
        grid[1] - np.float32(cy)
    )
    return np.clip(np.float32(width / 2 + 0.5) - np.abs(away), 0, 1)


def _scratch(rng: np.random.Generator, picture: Picture, grid: Grid, backdrop: Sequence[Colour]) -> None:
    """Clutter without a class: up to three strokes across the background."""
    for _ in range(max(0, int(rng.integers(-4, 4)))):
        cx, cy = rng.uniform(0, picture.shape[1], 2)
        coverage = _stroke(rng, grid, cx, cy, rng.uniform(1, 4) * picture.shape[1] / SIZE)
        ink = textures.contrasting(rng, backdrop, vivid=False, apart=0.12)
        _blend(picture, coverage, ink[:, None, None])


def _bar_in_front(
    rng: np.random.Generator, picture: Picture, grid: Grid, shape: _Shape, mask: NDArray[np.bool_]
) -> None:
    """Occlude the object by a bar, unless that would hide more than a third of it."""
    reach = 0.7 * shape.radius
    cx, cy = shape.cx + rng.uniform(-reach, reach), shape.cy + rng.uniform(-reach, reach)
    coverage = _stroke(rng, grid, cx, cy, rng.uniform(0.12, 0.35) * shape.radius)
    ink = textures.colours(rng, 1, vivid=False)[0]
    hidden = mask & (coverage > 0.5)
    if 3 * hidden.sum() <= mask.sum():
        _blend(picture, coverage, ink[:, None, None])
        mask &= ~hidden


def _expose(rng: np.random.Generator, picture: Picture, grid: Grid) -> NDArray[np.uint8]:
    """Add uneven light and a little sensor noise, and round to 8 bits."""
    light = 1 + np.float32(rng.uniform(0, 0.12)) * textures.smooth_noise(rng, grid, 2)
    noise = rng.standard_normal(light.shape, dtype=np.float32) * np.float32(rng.uniform(0, 0.03))
    bright = np.clip(picture * light + noise, 0, 1) * np.float32(255) + np.float32(0.5)
    return bright.astype(np.uint8).transpose(1, 2, 0)


def _box_of(mask: NDArray[np.bool_]) -> Tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
