"""Resize takes the neighbours that other runtimes take, which compute lengths and coordinates in float32."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from graphs import differentiated
from onnx import TensorProto, helper, numpy_helper

from cnnviz.graph.schema import SCHEMAS
from cnnviz.lowering.resize import resize_matrices
from cnnviz.reader.onnx_file import read

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


# operator, opset, scales, attributes; along each axis, row i of the matrix has the weights of output i
LINEAR = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
TWICE, TWO, THREE = np.repeat(np.eye(2), 2, axis=0), np.eye(2), np.eye(3)
VOLUMES: Dict[str, Tuple[str, int, List[float], Dict[str, Any], List[np.ndarray]]] = {
    "a volume": ("Resize", 13, [1, 1, 2, 2, 2], {"mode": "linear"}, [THREE, LINEAR, LINEAR, LINEAR]),
    "depths alone": ("Resize", 13, [1, 1, 2, 1, 1], {}, [THREE, TWICE, TWO, TWO]),
    "channels and columns": ("Resize", 13, [1, 2, 1, 1, 2], {}, [np.repeat(THREE, 2, 0), TWO, TWO, TWICE]),
    "of an old opset": ("Upsample", 9, [1, 1, 2, 1, 2], {"mode": "nearest"}, [THREE, TWICE, TWO, TWICE]),
    "of an older opset": (
        "Upsample",
        7,
        [1.0, 1.0, 1.0, 2.0, 1.0],
        {"mode": "nearest"},
        [THREE, TWO, TWICE, TWO],
    ),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes(name: str) -> None:
    """Numbers, gradients, and a batch of three beside its images."""
    op, opset, scales, attributes, matrices = VOLUMES[name]
    inputs = ["x"] if opset < 9 else ["x", "s"] if op == "Upsample" else ["x", "", "s"]
    attributes = {**attributes, "scales": scales} if opset < 9 else attributes
    graph = helper.make_graph(
        [helper.make_node(op, inputs, ["y"], name="node", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, 2, 2, 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(scales, np.float32), "s")] if opset >= 9 else [],
    )
    model = read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 3, 2, 2, 2)).astype(np.float32)
    dy = rng.normal(size=(3, *map(len, matrices))).astype(np.float32)
    y, (dx,) = differentiated(model, [x], dy)
    np.testing.assert_allclose(y, np.einsum("ncdhw,Cc,Dd,Hh,Ww->nCDHW", x, *matrices), rtol=1e-5, atol=1e-6)
    expected = np.einsum("nCDHW,Cc,Dd,Hh,Ww->ncdhw", dy, *matrices)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-6)
    for i in range(3):
        own, (own_dx,) = differentiated(model, [x[i : i + 1]], dy[i : i + 1])
        np.testing.assert_array_equal(y[i : i + 1], own)
        np.testing.assert_array_equal(dx[i : i + 1], own_dx)
