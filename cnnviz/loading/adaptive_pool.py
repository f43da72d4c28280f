"""Adaptive average pooling for PyTorch's older exporter, which writes windows of one size alone."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Tuple

import numpy as np
from numpy.typing import NDArray

_OPERATOR = "aten::adaptive_avg_pool2d"


def pooling_matrix(cells: int, places: int) -> NDArray[np.float32]:
    """Return the matrix, places by cells, that takes the mean of each of PyTorch's adaptive windows.

    Window i of n reaches from floor(i * cells / n) to ceil((i + 1) * cells / n).
    """
    matrix = np.zeros((places, cells), np.float32)
    for i in range(places):
        start, stop = i * cells // places, -(-(i + 1) * cells // places)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


@contextlib.contextmanager
def adaptive_pooling(torch: Any) -> Iterator[None]:
    """Write an adaptive pool whose windows differ in size as two products with constant matrices."""
    helper = torch.onnx.symbolic_helper

    def write(graph: Any, x: Any, output_size: Any) -> Any:
        wanted = helper._parse_arg(output_size, "is")
        if tuple(wanted) == (1, 1):
            return graph.op("GlobalAveragePool", x)
        sizes = helper._get_tensor_sizes(x)
        if sizes is None or None in sizes[-2:]:
            raise RuntimeError("adaptive_avg_pool2d has windows that depend on the picture's size")
        return _written(torch, graph, x, sizes[-2:], wanted)

    torch.onnx.register_custom_op_symbolic(_OPERATOR, write, 9)
    try:
        yield
    finally:
        torch.onnx.unregister_custom_op_symbolic(_OPERATOR, 9)


def _written(torch: Any, graph: Any, x: Any, sizes: Tuple[int, int], wanted: Tuple[int, int]) -> Any:
    if not any(cells % places for cells, places in zip(sizes, wanted)):
        window = [cells // places for cells, places in zip(sizes, wanted)]
        if window == [1, 1]:
            return graph.op("Identity", x)
        return graph.op("AveragePool", x, kernel_shape_i=window, strides_i=window)
    rows, columns = (pooling_matrix(cells, places) for cells, places in zip(sizes, wanted))
    left = graph.op("Constant", value_t=torch.from_numpy(rows))
    right = graph.op("Constant", value_t=torch.from_numpy(np.ascontiguousarray(columns.T)))
    return graph.op("MatMul", graph.op("MatMul", left, x), right)
