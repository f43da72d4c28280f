"""The data set of the bundled network: repeatable, balanced, and with correct masks and boxes."""

from __future__ import annotations

import numpy as np
import pytest

from cnnviz import bundled
from cnnviz.bundled import shapes

AXIS = np.linspace(-1.3, 1.3, 261, dtype=np.float32)
X, Y = np.meshgrid(AXIS, AXIS)


def fields(drawn):
    return (drawn.images, drawn.labels, drawn.masks, drawn.boxes, drawn.other_labels, drawn.other_masks)


@pytest.mark.parametrize("objects", [None, 1, 2])
def test_a_seed_repeats_and_can_be_drawn_in_parts(objects):
    whole = bundled.draw(6, seed=3, objects=objects)
    part = bundled.draw(2, seed=3, objects=objects, start=4)
    for all_of_it, end in zip(fields(whole), fields(part)):
        np.testing.assert_array_equal(all_of_it[4:], end)
    assert (bundled.draw(6, seed=4, objects=objects).images != whole.images).any()


def test_shapes_dtypes_and_size():
    drawn = bundled.draw(3, seed=0, size=50)
    assert (drawn.images.shape, drawn.images.dtype) == ((3, 50, 50, 3), np.uint8)
    assert (drawn.masks.shape, drawn.masks.dtype) == ((3, 50, 50), np.bool_)
    assert len(drawn) == 3
    assert drawn.names == [bundled.CLASSES[label] for label in drawn.labels]
    assert bundled.draw(0).images.shape == (0, bundled.SIZE, bundled.SIZE, 3)


@pytest.mark.parametrize("objects", [1, 2])
def test_boxes_are_tight_and_masks_apart(objects):
    drawn = bundled.draw(60, seed=1, objects=objects)
    for mask, (top, left, bottom, right) in zip(drawn.masks, drawn.boxes):
        rows, columns = np.nonzero(mask)
        assert (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) == (top, left, bottom, right)
    assert not (drawn.masks & drawn.other_masks).any()
    assert (drawn.masks.sum((1, 2)) > 40).all(), "an object too small to see"
    assert ((drawn.other_labels >= 0) == (objects == 2)).all()
    assert (drawn.other_masks.any((1, 2)) == (objects == 2)).all()
    assert (drawn.other_labels != drawn.labels).all()


def test_only_pixels_near_the_mask_change_with_the_class():
    """Two draws that differ in one class differ on the two shapes and their shadows only.

    A bar in front of the object may be there for one class only, so 15 % may differ elsewhere, too.
    """
    star, heart = (bundled.draw(20, seed=5, objects=1, classes=[name]) for name in ("star", "heart"))
    changed = (star.images != heart.images).any(3)
    grown = star.masks | heart.masks
    for axis in (1, 2):
        grown = np.logical_or.reduce([np.roll(grown, shift, axis) for shift in range(-7, 8)])
    assert changed.any((1, 2)).all()
    assert (~(changed & ~grown).any((1, 2))).mean() >= 0.85


def test_classes_are_balanced_and_a_quarter_has_a_second_smaller_shape():
    drawn = bundled.draw(1200, seed=2, size=32)
    share = np.bincount(drawn.labels, minlength=len(bundled.CLASSES)) / len(drawn)
    assert (np.abs(share - 1 / len(bundled.CLASSES)) < 0.03).all(), share
    second = drawn.other_labels >= 0
    assert 0.17 < second.mean() < 0.29, second.mean()


def test_classes_argument_takes_names_and_indices():
    drawn = bundled.draw(30, seed=0, classes=["ring", 0], size=32)
    assert set(drawn.names) == {"ring", "circle"}
    assert set(bundled.draw(5, classes="star", size=32).names) == {"star"}


@pytest.mark.parametrize("name", bundled.CLASSES)
def test_a_shape_is_a_distance_near_its_outline_and_stays_in_the_unit_circle(name):
    distance = shapes.SHAPES[name](X, Y)
    assert distance.dtype == np.float32
    assert (distance[np.hypot(X, Y) > 1.03] > 0).all(), "leaves the unit circle"
    assert 0.1 < (distance < 0).mean() * 2.6**2 / np.pi < 0.95, "share of the circle that it covers"
    slope = np.hypot(*np.gradient(distance, AXIS[1] - AXIS[0]))
    near = np.abs(distance) < 0.05
    assert 0.9 < np.median(slope[near]) < 1.1


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"n": -1}, ValueError, "negative"),
        ({"n": 2.5}, TypeError, "n must be an integer"),
        ({"n": 1, "seed": -3}, ValueError, "negative"),
        ({"n": 1, "size": 8}, ValueError, "size must be between 32"),
        ({"n": 1, "objects": 3}, ValueError, "objects must be 1, 2 or None, got 3"),
        ({"n": 1, "classes": ["egg"]}, ValueError, "no class 'egg'; there are circle, square"),
        ({"n": 1, "classes": [12]}, ValueError, "no class 12"),
        ({"n": 1, "classes": []}, ValueError, "at least one"),
    ],
)
def test_bad_arguments_are_named(arguments, error, says):
    with pytest.raises(error, match=says):
        bundled.draw(**arguments)


def test_drawing_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    bundled.draw(3, seed=0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
