"""The table of operator cases of `tests/core/test_op_*.py`, and functions to run one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from twin import Array, twin_of

from cnnviz import _core


@dataclass(frozen=True)
class Row:
    """One operator with the shapes of its inputs and its parameters."""

    op: str
    shapes: Tuple[Tuple[int, ...], ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    positive: Tuple[int, ...] = ()  # indices of the inputs that must be positive
    batched: Tuple[int, ...] = (0,)  # indices of the inputs whose first axis is the batch
    fixed: Tuple[int, ...] = ()  # indices of the inputs that count as constants: their gradient is 0

    def __str__(self) -> str:
        shapes = " ".join("x".join(map(str, shape)) or "scalar" for shape in self.shapes)
        return f"{self.op} {shapes} " + " ".join(f"{k}={v}" for k, v in self.params.items())

    def inputs(self, seed: int = 0) -> List[Array]:
        """Float32 numbers in -2..2, all distinct and not 0, so that no small step crosses a kink."""
        rng = np.random.default_rng(seed)
        out = []
        for i, shape in enumerate(self.shapes):
            size = int(np.prod(shape))
            grid = (np.arange(size) + 0.25 + 0.5 * rng.random()) / size * 4 - 2
            values = rng.permutation(np.abs(grid) + 0.3 if i in self.positive else grid)
            out.append(values.reshape(shape).astype(np.float32))
        return out

    def twin(self, inputs: Sequence[Array], **more: Any) -> Any:
        return twin_of(self.op)(*[x.astype(np.float64) for x in inputs], **self.params, **more)

    def output_gradient(self, seed: int = 1) -> Array:
        y, _ = self.twin(self.inputs())
        return np.random.default_rng(seed).standard_normal(y.shape).astype(np.float32)


@dataclass(frozen=True)
class Run:
    """The output and the gradients that the core computes for a row."""

    y: Array
    gradients: List[Array]


def append(plan: _core.Plan, op: str, values: Sequence[int], params: Mapping[str, Any], name: str) -> int:
    method = getattr(plan, op)
    return method(values, **params, name=name) if op == "concat" else method(*values, **params, name=name)


def run(
    row: Row, inputs: Sequence[Array], dy: Optional[Array] = None, relu: str = "plain", times: int = 1
) -> Run:
    """Run the sum of `times` nodes of one row, with the gradients of all inputs."""
    plan = _core.Plan()
    values = [plan.input(x.shape, name=f"input{i}") for i, x in enumerate(inputs)]
    y = append(plan, row.op, values, row.params, "node")
    for i in range(1, times):
        y = plan.add(y, append(plan, row.op, values, row.params, f"node{i}"), name=f"sum{i}")
    plan.prepare(keep=[y], seeds=[y], wrt=values)
    plan.forward(list(inputs))
    if dy is None:
        dy = np.random.default_rng(1).standard_normal(plan.shape(y)).astype(np.float32)
    plan.backward({y: dy}, relu=relu)
    return Run(plan.read(y), [plan.gradient(value) for value in values])


def error(got: Array, expected: Array) -> float:
    """Largest error relative to the largest magnitude; infinite where shapes or NaNs differ."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return np.inf
    return float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-30)) if got.size else 0.0


def rows_of(op: str, *rows: Tuple[Any, ...], **common: Any) -> List[Row]:
    return [Row(op, tuple(shapes), params, **common) for shapes, params in rows]


def conv(x: Tuple[int, ...], w: Tuple[int, ...], bias: bool = True, **params: Any) -> Row:
    return Row("conv2d", (x, w, (w[0],)) if bias else (x, w), params)


def conv_transpose(x: Tuple[int, ...], w: Tuple[int, ...], bias: bool = True, **params: Any) -> Row:
    b = (w[1] * params.get("groups", 1),)
    return Row("conv_transpose2d", (x, w, b) if bias else (x, w), params)


def pool(x: Tuple[int, ...], kernel: Any, stride: Any = (1, 1), **params: Any) -> Tuple[Any, Dict[str, Any]]:
    return (x,), {"kernel": kernel, "stride": stride, **params}


CONV = [
    conv((1, 1, 1, 1), (1, 1, 1, 1)),
    conv((2, 3, 5, 7), (4, 3, 3, 3)),
    conv((2, 3, 5, 7), (4, 3, 3, 3), bias=False, pads=(1, 1, 1, 1)),
    conv((1, 1, 1, 1), (2, 1, 3, 3), pads=(1, 1, 1, 1)),  # kernel larger than the picture
    conv((1, 2, 2, 3), (2, 2, 5, 6), pads=(2, 1, 3, 4)),
    conv((2, 3, 9, 8), (5, 3, 3, 2), stride=(2, 3), pads=(0, 1, 2, 1)),
    conv((1, 2, 9, 9), (3, 2, 2, 2), stride=(4, 5)),  # stride larger than the kernel
    conv((1, 2, 11, 10), (3, 2, 3, 3), dilation=(2, 3), pads=(2, 3, 1, 0)),
    conv((2, 4, 6, 5), (6, 2, 3, 3), groups=2, pads=(1, 0, 0, 1)),
    conv((2, 6, 5, 5), (6, 2, 1, 1), groups=3),
    conv((2, 5, 6, 7), (5, 1, 3, 3), groups=5, pads=(1, 1, 1, 1)),  # depthwise
    conv((1, 3, 9, 8), (6, 1, 3, 3), groups=3, stride=(2, 2), pads=(0, 1, 1, 0)),  # with a channel multiplier
    conv((1, 2, 8, 9), (2, 1, 3, 2), groups=2, dilation=(3, 2), stride=(1, 2), pads=(3, 0, 1, 5), bias=False),
    conv((2, 7, 4, 5), (9, 7, 1, 1)),  # pointwise
    conv((1, 3, 5, 5), (4, 3, 1, 1), stride=(2, 2)),
    conv((1, 3, 4, 4), (2, 3, 1, 1), pads=(1, 1, 0, 0)),
    conv((1, 3, 4, 4), (2, 3, 1, 1), pads=(0, 0, 1, 1)),
    conv((1, 70, 3, 5), (5, 70, 1, 1)),  # more than one block of input channels
    conv((1, 19, 7, 6), (3, 19, 3, 3), pads=(1, 1, 1, 1)),
    conv((1, 2, 48, 47), (3, 2, 30, 30), pads=(1, 0, 0, 2)),  # more than one strip of pixels, each direction
    conv((1, 1, 3, 200), (2, 1, 3, 7), pads=(0, 3, 0, 3), stride=(1, 2)),
]

CONV_TRANSPOSE = [
    conv_transpose((1, 1, 1, 1), (1, 1, 1, 1)),
    conv_transpose((2, 3, 4, 5), (3, 4, 2, 2), stride=(2, 2)),  # of a U-Net: the windows do not overlap
    conv_transpose((2, 3, 4, 5), (3, 4, 3, 3), stride=(2, 2), pads=(1, 1, 1, 1), output_padding=(1, 1)),
    conv_transpose((2, 4, 3, 3), (4, 5, 4, 4), bias=False, stride=(2, 2), pads=(1, 1, 1, 1)),  # of a DCGAN
    conv_transpose((1, 2, 3, 4), (2, 3, 2, 3), stride=(3, 4), output_padding=(2, 5)),  # gaps; a bare margin
    conv_transpose((1, 3, 5, 4), (3, 2, 3, 2), dilation=(2, 3), pads=(0, 1, 2, 3)),
    conv_transpose((2, 3, 5, 6), (3, 4, 3, 3), pads=(1, 1, 1, 1)),
    conv_transpose((1, 2, 4, 3), (2, 2, 2, 2), pads=(2, 1, 1, 0), stride=(1, 2)),  # padding cuts windows off
    conv_transpose((2, 4, 3, 5), (4, 3, 3, 3), groups=2, stride=(2, 1), pads=(1, 0, 0, 1)),
    conv_transpose((2, 5, 3, 4), (5, 1, 4, 4), groups=5, stride=(2, 2), pads=(1, 1, 1, 1)),  # depthwise
    conv_transpose((1, 6, 3, 4), (6, 1, 3, 3), groups=3, stride=(2, 2), bias=False),
    conv_transpose((1, 3, 4, 4), (3, 2, 3, 3), groups=3, dilation=(2, 1)),
    conv_transpose((2, 7, 4, 5), (7, 9, 1, 1)),  # pointwise
    conv_transpose((1, 5, 3, 5), (5, 70, 1, 1)),  # more than one block of output channels
    conv_transpose((1, 3, 20, 18), (3, 2, 30, 30)),  # more than one strip of pixels, each direction
]

LINEAR = [
    *rows_of(
        "linear",
        (((1, 1), (1, 1)), {}),
        (((3, 5), (4, 5), (4,)), {}),
        (((2, 37), (19, 37), (19,)), {}),
        (((5, 1100), (3, 1100)), {}),
    ),
    *rows_of("matmul", (((3, 5), (5, 4)), {}), (((1, 40), (40, 1)), {}), (((2, 3, 5), (5, 4)), {})),
    *rows_of("matmul", (((2, 3, 4), (2, 4, 5)), {}), (((2, 3, 1, 4, 2), (3, 5, 2, 6)), {}), batched=()),
    *rows_of("matmul", (((4, 2), (3, 2, 5)), {}), (((1, 4, 2), (3, 2, 5)), {}), batched=()),
]

POOL_WINDOWS = [
    pool((2, 3, 6, 7), (2, 2), (2, 2)),
    pool((1, 2, 7, 7), (3, 3), (2, 2)),
    pool((1, 2, 7, 7), (3, 3), (2, 2), pads=(1, 1, 1, 1)),
    pool((1, 1, 6, 6), (3, 3), (2, 2), ceil_mode=True),
    pool((1, 2, 5, 8), (2, 3), (3, 4), pads=(0, 1, 1, 0), ceil_mode=True),  # stride larger than the kernel
    pool(
        (1, 1, 4, 4), (3, 3), (3, 3), pads=(1, 1, 1, 1), ceil_mode=True
    ),  # the last window starts in the padding
    pool((2, 2, 9, 8), (3, 2), (1, 2), dilation=(2, 3), pads=(2, 1, 1, 2)),
    pool((1, 1, 1, 1), (3, 3), (1, 1), pads=(1, 1, 1, 1)),
    pool((1, 3, 4, 1), (4, 1), (1, 1)),
    pool((1, 1, 17, 18), (17, 18), (1, 1)),  # more taps than a byte counts
    pool((1, 2, 5, 5), (2, 2), (1, 1), pads=(0, 1, 1, 0), ceil_mode=True),
]

POOL = [
    *rows_of("max_pool", *POOL_WINDOWS),
    *rows_of("average_pool", *POOL_WINDOWS),
    *rows_of("average_pool", *[(x, {**params, "count_include_pad": True}) for x, params in POOL_WINDOWS]),
    *rows_of("global_average_pool", (((2, 3, 4, 5),), {}), (((1, 1, 1, 1),), {}), (((2, 3, 7),), {})),
    *rows_of("global_max_pool", (((2, 3, 4, 5),), {}), (((1, 1, 1, 1),), {}), (((1, 2, 3, 2, 2),), {})),
]

RECTIFIER = [
    *rows_of("relu", (((2, 3, 5, 7),), {}), (((1,),), {}), (((3, 2),), {})),
    *rows_of("leaky_relu", (((2, 3, 5, 7),), {"slope": 0.125}), (((1, 9),), {"slope": -0.5})),
    *rows_of(
        "clip", (((2, 3, 5, 7),), {"low": 0.0, "high": 1.5}), (((3, 9),), {"low": -1.0, "high": np.inf})
    ),
    *rows_of(
        "prelu", (((2, 3, 5, 7), (3, 1, 1)), {}), (((2, 3, 4), (1,)), {}), (((4, 6), (4, 6)), {}), batched=()
    ),
    *rows_of("prelu", (((2, 3, 5), (3, 1)), {}), (((2, 5), (5,)), {})),
]

BROADCASTS = [
    (((2, 3, 4, 5), (2, 3, 4, 5)), {}),
    (((2, 3, 4, 5), (3, 1, 1)), {}),
    (((2, 3, 4, 5), (2, 3, 1, 1)), {}),
    (((1, 5), (4, 1)), {}),
    (((3, 4), ()), {}),
    (((), (2, 3)), {}),
    (((), ()), {}),
    (((1, 3, 1, 5), (2, 1, 4, 1)), {}),
    (((5,), (2, 3, 5)), {}),
    (((2, 1, 3, 1, 2), (3, 3, 2)), {}),
]

BINARY = [
    *[
        row
        for op in ("add", "sub", "mul", "min", "max", "greater", "equal", "masked")
        for row in rows_of(op, *BROADCASTS, batched=())
    ],
    *rows_of("div", *BROADCASTS, positive=(1,), batched=()),
    *rows_of("pow", *BROADCASTS, positive=(0,), batched=()),
]

PLAIN_UNARY = [
    "sign",
    "floor",
    "ceil",
    "round",
    "sin",
    "cos",
    "tan",
    "atan",
    "sigmoid",
    "tanh",
    "exp",
    "neg",
    "abs",
    "erf",
    "softplus",
    "hard_swish",
    "silu",
    "gelu",
]
UNARY = [
    *[row for op in PLAIN_UNARY for row in rows_of(op, (((2, 3, 5),), {}), (((1,),), {}))],
    *[row for op in ("log", "sqrt") for row in rows_of(op, (((2, 3, 5),), {}), positive=(0,))],
    *rows_of("elu", (((2, 3, 5),), {"alpha": 0.75})),
    *rows_of("celu", (((2, 3, 5),), {"alpha": 0.75}), (((1, 9),), {"alpha": -2.0})),
    *rows_of("selu", (((2, 3, 5),), {"alpha": 1.6732632, "gamma": 1.0507010})),
    *rows_of("hard_sigmoid", (((2, 3, 5),), {"alpha": 0.5, "beta": 0.4875})),
    *rows_of(
        "quantize", (((2, 3, 5),), {"low": -1.0, "high": 1.0}), (((1, 9),), {"low": 0.0, "high": 255.0})
    ),
    *rows_of("detach", (((2, 3, 5),), {})),
]

NORM = [
    *rows_of(
        "batch_norm",
        (((2, 3, 4, 5), (3,), (3,), (3,), (3,)), {"epsilon": 1e-5}),
        (((4, 1), (1,), (1,), (1,), (1,)), {"epsilon": 1e-3}),
        (((1, 4, 3), (4,), (4,), (4,), (4,)), {"epsilon": 0.1}),
        positive=(4,),
    ),
    *rows_of(
        "lrn",
        (((2, 7, 3, 4),), {"size": 5, "alpha": 0.5, "beta": 0.75, "bias": 1.0}),
        (
            ((1, 6, 5),),
            {"size": 4, "alpha": 1e-1, "beta": 0.5, "bias": 2.0},
        ),  # an even window reaches further up
        (((1, 3, 2, 2),), {"size": 9, "alpha": 0.3, "beta": 1.0, "bias": 1.0}),  # wider than the channels
        (((1, 1, 4, 5),), {"size": 1, "alpha": 0.3, "beta": 0.75, "bias": 1.0}),
        (((1, 5, 5, 7),), {"size": 3, "alpha": 2.0, "beta": 0.75, "bias": 0.5}),
    ),
    *[
        row
        for op in ("softmax", "log_softmax")
        for row in rows_of(
            op,
            (((3, 5),), {"axis": 1}),
            (((2, 4, 3, 2),), {"axis": 1}),
            (((2, 1, 3),), {"axis": 1}),
            (((2, 3, 4),), {"axis": 2}),
        )
    ],
    *rows_of("softmax", (((4,),), {"axis": 0}), (((4, 3),), {"axis": 0}), batched=()),
]

SHAPE = [
    *rows_of("concat", (((2, 3, 4), (2, 1, 4), (2, 5, 4)), {"axis": 1}), batched=(0, 1, 2)),
    *rows_of("concat", (((2, 3), (4, 3)), {"axis": 0}), (((3,),), {"axis": 0}), batched=()),
    *rows_of("concat", (((2, 3, 4), (2, 3, 1)), {"axis": 2}), batched=(0, 1)),
    *rows_of("reshape", (((2, 3, 4),), {"shape": (6, 4)}), (((1, 1),), {"shape": ()}), batched=()),
    *rows_of("transpose", (((2, 3, 4),), {"perm": (0, 2, 1)}), (((2, 3, 4, 5),), {"perm": (0, 2, 3, 1)})),
    *rows_of("transpose", (((3, 2, 4),), {"perm": (2, 1, 0)}), (((5,),), {"perm": (0,)}), batched=()),
    *rows_of(
        "pad",
        (((2, 3, 4, 5),), {"before": (0, 0, 1, 2), "after": (0, 0, 3, 0)}),
        (((2, 3, 4, 5),), {"before": (0, 0, 1, 2), "after": (0, 0, 3, 4), "mode": "reflect"}),
        (((2, 3, 4, 5),), {"before": (0, 0, 3, 2), "after": (0, 0, 7, 9), "mode": "edge"}),
        (((2, 3, 4),), {"before": (0, 2, 0), "after": (0, 0, 1), "value": -1.5}),
        (((2, 5, 6),), {"before": (0, -1, 2), "after": (0, -2, -3), "mode": "constant"}),
        (((2, 5, 6),), {"before": (0, -2, 2), "after": (0, 1, -3), "mode": "reflect"}),
        (((2, 1, 1),), {"before": (0, 2, 1), "after": (0, 0, 3), "mode": "edge"}),
        (((2, 4),), {"before": (0, -1), "after": (0, 5), "mode": "edge"}),
    ),
    *rows_of("pad", (((2, 3),), {"before": (1, 0), "after": (2, 0), "mode": "edge"}), batched=()),
    *rows_of(
        "slice",
        (((2, 5, 6),), {"start": (0, 1, 0), "shape": (2, 3, 6), "step": (1, 1, 1)}),
        (((2, 5, 7),), {"start": (0, 4, 6), "shape": (2, 3, 3), "step": (1, -2, -3)}),
        (((4, 3),), {"start": (3, 1), "shape": (2, 1), "step": (-2, 5)}),
        batched=(),
    ),
    *[
        row
        for op in (
            "reduce_sum",
            "reduce_mean",
            "reduce_max",
            "reduce_prod",
            "reduce_l2",
            "reduce_log_sum_exp",
        )
        for row in [
            *rows_of(op, (((2, 3, 4, 5),), {"axes": (2, 3), "keepdims": True})),
            *rows_of(op, (((2, 3, 4, 5),), {"axes": (1, 3), "keepdims": False})),
            *rows_of(op, (((3, 4),), {"axes": (0, 1), "keepdims": False}), batched=()),
            *rows_of(op, (((3, 1, 4),), {"axes": (0, 1), "keepdims": True}), batched=()),
            *rows_of(op, (((3, 4),), {"axes": (), "keepdims": True})),
        ]
    ],
]

SAMPLE = [
    *rows_of("max_pool_position", *POOL_WINDOWS[:9], fixed=(0,)),
    *rows_of(
        "max_unpool",
        (((2, 3, 2, 4), (2, 3, 2, 4)), {"shape": (2, 3, 4, 3)}),
        (((1, 1, 5), (1, 1, 5)), {"shape": (1, 1, 2)}),
        batched=(),
        fixed=(1,),
    ),
    *[
        row
        for degree in (0, 1, 3)
        for mode in ("constant", "edge", "reflect")
        for corners in (False, True)
        for row in rows_of(
            "grid_sample",
            (
                ((2, 3, 4, 5), (2, 3, 7, 2)),
                {"degree": degree, "padding": mode, "align_corners": corners},
            ),
            batched=(0, 1),
        )
    ],
    *[
        row
        for shapes, batched in (
            (((2, 2, 3, 4, 3), (2, 2, 2, 3, 3)), (0, 1)),  # a volume
            (((2, 3, 6), (2, 9, 1)), (0, 1)),  # a signal
            (((2, 40, 3, 3), (1, 4, 5, 2)), (0,)),  # one grid, several blocks of channels
            (((1, 2, 3, 3), (3, 2, 2, 2)), (1,)),  # one picture
            (((1, 1, 1, 1), (1, 1, 3, 2)), (0, 1)),
        )
        for row in rows_of(
            "grid_sample",
            (shapes, {"degree": 1, "padding": "reflect", "align_corners": True}),
            (shapes, {"degree": 3, "padding": "constant", "align_corners": False}),
            batched=batched,
        )
    ],
    *rows_of(
        "grid_sample",
        (
            ((2, 3, 4, 5), (2, 3, 7, 2)),
            {"degree": 1, "padding": "constant", "align_corners": False, "elements": True},
        ),
        batched=(0, 1),
    ),
    *[
        row
        for half, maximum in ((False, False), (True, False), (False, True), (True, True))
        for row in rows_of(
            "roi_align",
            (
                ((3, 2, 5, 6), (7, 4), (7,)),
                {"bins": (2, 3), "samples": 2, "scale": 2.0, "half_pixel": half, "maximum": maximum},
            ),
            (
                ((2, 18, 4, 3), (4, 4), (4,)),
                {"bins": (3, 1), "samples": 0, "scale": 4.0, "half_pixel": half, "maximum": maximum},
            ),
            (
                ((1, 1, 1, 1), (2, 4), (2,)),
                {"bins": (1, 2), "samples": 3, "scale": 0.5, "half_pixel": half, "maximum": maximum},
            ),
            batched=(),
            fixed=(1, 2),
        )
    ],
]

ROWS = [*CONV, *CONV_TRANSPOSE, *LINEAR, *POOL, *RECTIFIER, *BINARY, *UNARY, *NORM, *SHAPE, *SAMPLE]
