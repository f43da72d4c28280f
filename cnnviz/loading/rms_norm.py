"""RMS normalisation for PyTorch's older exporter, which has no form of it."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator

import numpy as np

_OPERATOR = "aten::rms_norm"


@contextlib.contextmanager
def rms_norm(torch: Any) -> Iterator[None]:
    """Write ``x / sqrt(mean(x^2) + eps) * weight`` in operators of ONNX (Zhang & Sennrich 2019, equation 4).

    The mean is over the last axes, as many as `normalized_shape` has; without an eps it is that of float32.
    """
    helper = torch.onnx.symbolic_helper

    def write(graph: Any, x: Any, normalized_shape: Any, weight: Any, eps: Any) -> Any:
        count = len(helper._parse_arg(normalized_shape, "is"))
        given = None if helper._is_none(eps) else helper._parse_arg(eps, "f")
        small = float(np.finfo(np.float32).eps) if given is None else given
        axes = graph.op("Constant", value_t=torch.arange(-count, 0))
        mean = graph.op("ReduceMean", graph.op("Mul", x, x), axes, keepdims_i=1)
        root = graph.op("Sqrt", graph.op("Add", mean, graph.op("Constant", value_t=torch.tensor(small))))
        normal = graph.op("Div", x, root)
        return normal if helper._is_none(weight) else graph.op("Mul", normal, weight)

    torch.onnx.register_custom_op_symbolic(_OPERATOR, write, 18)
    try:
        yield
    finally:
        torch.onnx.unregister_custom_op_symbolic(_OPERATOR, 18)
