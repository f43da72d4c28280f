"""Every wrong shape or parameter is refused when the node is added, with the numbers."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from op_rows import append

from cnnviz import _core

X = (1, 4, 8, 8)
SAMPLE: Dict[str, Any] = {"degree": 1, "padding": "edge", "align_corners": True}
REGIONS: Dict[str, Any] = {
    "bins": (2, 2),
    "samples": 1,
    "scale": 1.0,
    "half_pixel": True,
    "maximum": False,
}
POOL: Dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2)}

BAD: List[Tuple[str, List[Tuple[int, ...]], Dict[str, Any], List[str]]] = [
    ("conv2d", [(4, 8, 8), (2, 4, 3, 3)], {}, ["x has 3 dimensions", "4 x 8 x 8", "not 4"]),
    ("conv2d", [X, (2, 4, 3)], {}, ["w has 3 dimensions"]),
    ("conv2d", [X, (2, 3, 3, 3)], {}, ["w has 3 channels per filter", "x has 4 channels"]),
    ("conv2d", [X, (2, 2, 3, 3)], {"groups": 3}, ["3 groups", "4 input"]),
    ("conv2d", [X, (3, 2, 3, 3)], {"groups": 2}, ["2 groups", "3 output"]),
    ("conv2d", [X, (2, 4, 3, 3)], {"groups": 0}, ["0 groups"]),
    ("conv2d", [X, (2, 4, 3, 3)], {"groups": -2}, ["-2 groups"]),
    ("conv2d", [X, (2, 4, 3, 3)], {"stride": (0, 1)}, ["row stride is 0"]),
    ("conv2d", [X, (2, 4, 3, 3)], {"stride": (1, -1)}, ["column stride is -1"]),
    ("conv2d", [X, (2, 4, 3, 3)], {"dilation": (1, 0)}, ["column dilation is 0"]),
    ("conv2d", [X, (2, 4, 3, 3)], {"pads": (-1, 0, 0, 0)}, ["row pad before is -1"]),
    ("conv2d", [X, (2, 4, 3, 3)], {"pads": (0, 0, 0, 2**31)}, ["column pad after is 2147483648"]),
    ("conv2d", [X, (2, 4, 9, 3)], {}, ["kernel 9", "spans 9 rows", "8 with padding (0 + 8 + 0)"]),
    ("conv2d", [X, (2, 4, 3, 3)], {"dilation": (1, 4)}, ["spans 9 columns"]),
    ("conv2d", [X, (2, 4, 3, 3), (3,)], {}, ["b has shape 3", "2 filters"]),
    ("conv2d", [X, (2, 4, 3, 3), (1, 2)], {}, ["b has shape 1 x 2"]),
    ("conv_transpose2d", [(4, 8, 8), (4, 2, 3, 3)], {}, ["x has 3 dimensions"]),
    ("conv_transpose2d", [X, (4, 2, 3)], {}, ["w has 3 dimensions"]),
    ("conv_transpose2d", [X, (2, 4, 3, 3)], {}, ["w has 2 filters", "x has 4 channels"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3)], {"groups": 3}, ["3 groups", "4 input"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3)], {"groups": 0}, ["0 groups"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3)], {"stride": (1, 0)}, ["column stride is 0"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3)], {"dilation": (-1, 1)}, ["row dilation is -1"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3)], {"pads": (0, 0, -1, 0)}, ["row pad after is -1"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3)], {"output_padding": (0, -1)}, ["column output padding is -1"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3)], {"pads": (5, 0, 5, 0)}, ["8 rows cover 10", "(5 + 5) leaves"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3), (4,)], {}, ["b has shape 4", "2 channels"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3), (2,)], {"groups": 2}, ["4 channels", "2 groups"]),
    ("conv_transpose2d", [(1, 1, 2**32, 1), (1, 1, 1, 1)], {}, ["row extent of x is 4294967296"]),
    ("conv_transpose2d", [X, (4, 2, 3, 3)], {"stride": (2**30, 2**30)}, ["too large"]),
    ("grid_sample", [(1, 4), (1, 2, 2)], SAMPLE, ["x has 2 dimensions"]),
    ("grid_sample", [X, (1, 3, 3, 3)], SAMPLE, ["grid has shape 1 x 3 x 3 x 3", "2 coordinates"]),
    ("grid_sample", [X, (1, 3, 2)], SAMPLE, ["grid has shape 1 x 3 x 2", "2 axes"]),
    ("grid_sample", [(2, 4, 8, 8), (3, 2, 2, 2)], SAMPLE, ["2 images", "3 grids"]),
    ("grid_sample", [X, (1, 2, 2, 2)], {**SAMPLE, "degree": 2}, ["degree is 2"]),
    ("max_unpool", [X, (1, 4, 8)], {"shape": X}, ["position 1 x 4 x 8"]),
    ("max_unpool", [X, X], {"shape": (1, 3, 9, 9)}, ["can not become 1 x 3 x 9 x 9"]),
    ("max_pool_position", [(1, 1, 4097, 4097)], POOL, ["16785409 elements have no positions"]),
    ("roi_align", [(4, 8, 8), (2, 4), (2,)], REGIONS, ["x has 3 dimensions"]),
    ("roi_align", [X, (2, 5), (2,)], REGIONS, ["regions have shape 2 x 5"]),
    ("roi_align", [X, (2, 4), (3,)], REGIONS, ["index has shape 3", "2 regions"]),
    ("roi_align", [X, (2, 4), (2,)], {**REGIONS, "bins": (0, 2)}, ["0 x 2 bins"]),
    ("roi_align", [X, (2, 4), (2,)], {**REGIONS, "samples": -1}, ["samples is -1"]),
    ("roi_align", [X, (2, 4), (2,)], {**REGIONS, "samples": 257}, ["samples is 257", "0..256"]),
    ("roi_align", [X, (2, 4), (2,)], {**REGIONS, "scale": float("nan")}, ["scale is nan"]),
    ("linear", [(2, 3, 4), (5, 4)], {}, ["x has 3 dimensions"]),
    ("linear", [(2, 3), (5, 4)], {}, ["x has rows of 3", "w has rows of 4"]),
    ("linear", [(2, 4), (5, 4), (4,)], {}, ["b has shape 4", "5 rows"]),
    ("matmul", [(3, 4), (5, 6)], {}, ["3 x 4 and 5 x 6"]),
    ("matmul", [(4,), (4, 6)], {}, ["4 and 4 x 6"]),
    ("matmul", [(2, 3, 4), (3, 4, 5)], {}, ["do not broadcast"]),
    ("batch_norm", [X, (4,), (4,), (3,), (4,)], {"epsilon": 1e-5}, ["mean has shape 3", "4 channels"]),
    ("batch_norm", [(4,), (4,), (4,), (4,), (4,)], {"epsilon": 1e-5}, ["channel axis"]),
    ("batch_norm", [X, (4,), (4,), (4,), (4,)], {"epsilon": -1.0}, ["epsilon is -1"]),
    ("batch_norm", [X, (4,), (4,), (4,), (4,)], {"epsilon": float("nan")}, ["epsilon is nan"]),
    ("celu", [X], {"alpha": 0.0}, ["alpha is 0"]),
    ("quantize", [X], {"low": 0.0, "high": 2.5}, ["low 0", "high 2.5"]),
    ("quantize", [X], {"low": 0.0, "high": 2.0**23}, ["high 8.38861e+06", "of at most 4.1943e+06"]),
    ("quantize", [X], {"low": 1.0, "high": 0.0}, ["in this order"]),
    ("quantize", [X], {"low": float("nan"), "high": float("inf")}, ["low nan and high inf"]),
    ("prelu", [X, (3, 1, 1)], {}, ["do not broadcast"]),
    ("prelu", [(4, 1), (4, 5)], {}, ["slope has shape 4 x 5"]),
    ("clip", [X], {"low": float("nan"), "high": 1.0}, ["nan"]),
    ("max_pool", [X], {**POOL, "kernel": (0, 2)}, ["row kernel is 0"]),
    ("max_pool", [X], {**POOL, "stride": (2, 0)}, ["column stride is 0"]),
    ("max_pool", [X], {**POOL, "kernel": (9, 1)}, ["kernel 9"]),
    ("max_pool", [X], {**POOL, "pads": (0, -1, 0, 0)}, ["column pad before is -1"]),
    ("max_pool", [(1, 8, 8)], POOL, ["x has 3 dimensions"]),
    ("average_pool", [X], {**POOL, "dilation": (9, 1)}, ["spans 10 rows"]),
    ("max_pool", [X], {**POOL, "kernel": (2**20, 2**20), "pads": (2**20,) * 4}, ["taps"]),
    ("global_average_pool", [(3, 4)], {}, ["2 dimensions", "at least 3"]),
    ("lrn", [X], {"size": 0, "alpha": 1.0, "beta": 1.0, "bias": 1.0}, ["size is 0"]),
    ("lrn", [X], {"size": 5, "alpha": float("inf"), "beta": 1.0, "bias": 1.0}, ["alpha inf"]),
    ("concat", [(2, 3), (2, 4)], {"axis": 0}, ["input 1 has shape 2 x 4"]),
    ("concat", [(2, 3), (2, 3, 1)], {"axis": 1}, ["input 1"]),
    ("concat", [(2, 3)], {"axis": 2}, ["axis is 2"]),
    ("concat", [(2, 3)], {"axis": -1}, ["axis", "-1"]),
    ("add", [(2, 3), (4,)], {}, ["2 x 3 and 4 do not broadcast"]),
    ("greater", [(2, 3), (4,)], {}, ["2 x 3 and 4 do not broadcast"]),
    ("masked", [(2, 3), (2, 4)], {}, ["2 x 3 and 2 x 4 do not broadcast"]),
    ("softmax", [(2, 3)], {"axis": 2}, ["axis is 2", "2 dimensions"]),
    ("softmax", [()], {"axis": 0}, ["axis is 0", "scalar"]),
    ("reshape", [(2, 3)], {"shape": (4,)}, ["4 elements", "6 (2 x 3)"]),
    ("reshape", [(2, 3)], {"shape": (0, 6)}, ["extent 0"]),
    ("reshape", [(2, 3)], {"shape": (-1, 6)}, ["extent -1"]),
    ("transpose", [(2, 3)], {"perm": (0, 0)}, ["0 x 0"]),
    ("transpose", [(2, 3)], {"perm": (0, 2)}, ["not an order"]),
    ("transpose", [(2, 3)], {"perm": (0,)}, ["not an order"]),
    ("pad", [(2, 3)], {"before": (0, 3), "after": (0, 0), "mode": "reflect"}, ["axis 1", "extent of 3"]),
    ("pad", [(2, 4)], {"before": (0, -2), "after": (0, 2), "mode": "reflect"}, ["extent of 2"]),
    ("pad", [(2, 3)], {"before": (0, -2), "after": (0, -1)}, ["extent of 3", "-2 and -1"]),
    ("pad", [()], {"before": (), "after": ()}, ["scalar"]),
    ("slice", [(5,)], {"start": (0,), "shape": (6,), "step": (1,)}, ["6 elements", "extent of 5"]),
    ("slice", [(5,)], {"start": (0,), "shape": (2,), "step": (-1,)}, ["steps of -1"]),
    ("slice", [(5,)], {"start": (5,), "shape": (1,), "step": (1,)}, ["from 5 on"]),
    ("slice", [(5,)], {"start": (0,), "shape": (1,), "step": (0,)}, ["steps of 0"]),
    ("slice", [(5,)], {"start": (0,), "shape": (3,), "step": (2**62,)}, ["4611686018427387904"]),
    ("slice", [(5, 2)], {"start": (0, 0), "shape": (3,), "step": (1, 1)}, ["1 dimensions"]),
    ("reduce_mean", [(2, 3)], {"axes": (2,), "keepdims": True}, ["2"]),
    ("reduce_max", [(2, 3)], {"axes": (2,), "keepdims": True}, ["'axes' has 2", "0..1"]),
    ("add", [(2**20, 1), (1, 2**50)], {}, ["too large"]),
]


@pytest.mark.parametrize(("op", "shapes", "params", "expected"), BAD, ids=lambda value: str(value))
def test_wrong_shape_or_parameter_is_refused(op: str, shapes: Any, params: Any, expected: Any) -> None:
    plan = _core.Plan()
    values = [plan.input(shape, name=f"input{i}") for i, shape in enumerate(shapes)]
    with pytest.raises(ValueError, match=op) as caught:
        append(plan, op, values, params, "the-node")
    for part in expected:
        assert part in str(caught.value)
    # The plan is as it was: a node can be added, and it runs.
    y = plan.relu(values[0], name="after")
    small = [np.ones(shape, np.float32) for shape in shapes if np.prod(shape) < 1e6]
    if len(small) == len(shapes):
        plan.prepare(keep=[y])
        plan.forward(small)
        assert (plan.read(y) == 1).all()
