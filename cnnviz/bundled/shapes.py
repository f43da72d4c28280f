"""The twelve shapes, each as a signed distance: negative inside, positive outside, zero on the outline.

A shape is centred on the origin, fits into the unit circle and looks up (y grows downwards, as rows do). Near
the outline the distance is exact or nearly so, which is all that antialiasing and outlines need; far from it
the sign alone is right. Distances are in units of the shape's radius.
"""

from __future__ import annotations

from typing import Callable, Mapping, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Point = Tuple[float, float]


def disc(x: Field, y: Field, cx: float, cy: float, radius: float) -> Field:
    """Distance to a filled circle."""
    return np.hypot(x - np.float32(cx), y - np.float32(cy)) - np.float32(radius)


def box(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    """Distance to an upright rectangle around the origin."""
    return np.maximum(np.abs(x) - np.float32(half_width), np.abs(y) - np.float32(half_height))


def convex(x: Field, y: Field, corners: Sequence[Point]) -> Field:
    """Distance to a convex polygon, corners in the order that keeps the inside on the right hand."""
    sides = []
    for (x0, y0), (x1, y1) in zip(corners, tuple(corners[1:]) + (corners[0],)):
        length = float(np.hypot(x1 - x0, y1 - y0))
        nx, ny = (y1 - y0) / length, (x0 - x1) / length
        sides.append(np.float32(nx) * x + np.float32(ny) * y - np.float32(nx * x0 + ny * y0))
    return np.maximum.reduce(sides)


def fold(x: Field, y: Field, sectors: int) -> Tuple[Field, Field]:
    """Fold the plane into one of `sectors` equal wedges, around the ray that points up, mirrored in it."""
    wedge = 2 * np.pi / sectors
    angle = np.arctan2(x, -y)
    angle = np.abs(angle - np.float32(wedge) * np.round(angle * np.float32(1 / wedge)))
    radius = np.hypot(x, y)
    return radius * np.sin(angle), -radius * np.cos(angle)


def circle(x: Field, y: Field) -> Field:
    """A filled circle."""
    return disc(x, y, 0, 0, 0.95)


def square(x: Field, y: Field) -> Field:
    """A square, sides upright."""
    return box(x, y, 0.72, 0.72)


def triangle(x: Field, y: Field) -> Field:
    """An equilateral triangle, tip up."""
    return convex(x, y, ((0.0, -1.0), (0.866, 0.5), (-0.866, 0.5)))


def star(x: Field, y: Field) -> Field:
    """Five points: one slanted side of one point, folded around."""
    x, y = fold(x, y, 5)
    tip, notch = (0.0, -1.0), (0.42 * np.sin(np.pi / 5), -0.42 * np.cos(np.pi / 5))
    length = float(np.hypot(notch[0] - tip[0], notch[1] - tip[1]))
    nx, ny = (notch[1] - tip[1]) / length, (tip[0] - notch[0]) / length
    return np.float32(nx) * x + np.float32(ny) * (y - np.float32(tip[1]))


def heart(x: Field, y: Field) -> Field:
    """A square on its corner with a half disc on each of its upper sides."""
    side, corner = 0.55, 0.55 * np.sqrt(2)
    y = y - np.float32(0.12)
    diamond = (np.abs(x) + np.abs(y) - np.float32(corner)) * np.float32(np.sqrt(0.5))
    lobe = disc(np.abs(x), y, corner / 2, -corner / 2, side)
    return np.minimum(diamond, lobe)


def ring(x: Field, y: Field) -> Field:
    """A circle with a wide round hole."""
    return np.abs(np.hypot(x, y) - np.float32(0.72)) - np.float32(0.24)


def cross(x: Field, y: Field) -> Field:
    """A plus sign."""
    return np.minimum(box(x, y, 0.3, 0.95), box(x, y, 0.95, 0.3))


def arrow(x: Field, y: Field) -> Field:
    """An arrow that points up: a triangle on a shaft."""
    head = convex(x, y, ((0.0, -1.0), (0.72, -0.1), (-0.72, -0.1)))
    return np.minimum(head, box(x, y - np.float32(0.4), 0.25, 0.55))


def crescent(x: Field, y: Field) -> Field:
    """A moon, open to the right."""
    return np.maximum(disc(x, y, 0, 0, 0.97), -disc(x, y, 0.5, 0, 0.78))


def spiral(x: Field, y: Field) -> Field:
    """An Archimedean spiral of two turns, drawn with a round pen."""
    pitch, pen, turns = 0.4, 0.11, 2.15
    start = 0.1
    radius = np.hypot(x, y)
    phase = np.arctan2(y, x) * np.float32(0.5 / np.pi)
    turn = phase + np.round(radius * np.float32(1 / pitch) - phase)
    arm = np.abs(radius - turn * np.float32(pitch)) - np.float32(pen)
    on_arm = (turn >= np.float32(start)) & (turn <= np.float32(turns))
    ends = [
        disc(x, y, pitch * t * np.cos(2 * np.pi * t), pitch * t * np.sin(2 * np.pi * t), pen)
        for t in (start, turns)
    ]
    return np.minimum(np.where(on_arm, arm, np.float32(1)), np.minimum(*ends))


def flower(x: Field, y: Field) -> Field:
    """Six round petals around a hole."""
    folded_x, folded_y = fold(x, y, 6)
    petals = np.minimum(disc(folded_x, folded_y, 0, -0.62, 0.34), disc(x, y, 0, 0, 0.5))
    return np.maximum(petals, -disc(x, y, 0, 0, 0.2))


def bolt(x: Field, y: Field) -> Field:
    """A lightning bolt: two long triangles, point-symmetric."""
    upper = ((0.22, -0.98), (0.12, 0.16), (-0.6, 0.16))
    lower = tuple((-px, -py) for px, py in upper)
    return np.minimum(convex(x, y, upper), convex(x, y, lower))


SHAPES: Mapping[str, Callable[[Field, Field], Field]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "heart": heart,
    "ring": ring,
    "cross": cross,
    "arrow": arrow,
    "crescent": crescent,
    "spiral": spiral,
    "flower": flower,
    "bolt": bolt,
}
