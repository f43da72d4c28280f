"""Resize takes the neighbours that other runtimes take, which compute lengths and coordinates in float32."""

from __future__ import annotations

from typing import List

import numpy as np
import pytest

from cnnviz.graph.schema import SCHEMAS
from cnnviz.lowering.resize import resize_matrices

# Length, scale, coordinates, rounding, and the indices of the inputs that onnxruntime takes.
ROWS = [
    (5, 1.4, "asymmetric", "floor", [0, 0, 1, 2, 2, 3, 4]),
    (10, 0.7, "asymmetric", "floor", [0, 1, 2, 4, 5, 7, 8]),
    (10, 0.9, "half_pixel", "round_prefer_floor", [0, 1, 2, 3, 4, 6, 7, 8, 9]),
    (20, 0.3, "asymmetric", "floor", [0, 3, 6, 10, 13, 16]),
    (10, 0.6, "asymmetric", "ceil", [0, 2, 4, 5, 7, 9]),
    (10, 0.6, "pytorch_half_pixel", "floor", [0, 2, 3, 5, 6, 8]),
    (7, 2.0, "asymmetric", "floor", [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]),
    # by the formula of opsets 11 and 12, (i + 0.5) / scale, cut to the length
    (10, 0.7, "tf_half_pixel_for_nn", "floor", [0, 2, 3, 5, 6, 7, 9]),
    (3, 2.0, "tf_half_pixel_for_nn", "round_prefer_floor", [0, 1, 1, 2, 2, 2]),
]


@pytest.mark.parametrize(("length", "scale", "coordinates", "rounding", "expected"), ROWS)
def test_nearest_neighbours(
    length: int, scale: float, coordinates: str, rounding: str, expected: List[int]
) -> None:
    attributes = {name: attribute.default for name, attribute in SCHEMAS["Resize"].attributes.items()}
    attributes.update(scales=(float(np.float32(scale)),), axes=(-1,))
    attributes.update(coordinate_transformation_mode=coordinates, nearest_mode=rounding)
    ((axis, matrix),) = resize_matrices(attributes, (1, 3, 8, length))
    assert axis == 3
    assert matrix.argmax(axis=1).tolist() == expected
    assert np.array_equal(matrix.sum(axis=1), np.ones(len(expected)))
