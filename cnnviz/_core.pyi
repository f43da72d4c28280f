"""The C core: plans of operators, run forward and backward on float32 arrays.

Everything here is internal to the package: `cnnviz.lowering` builds plans, `cnnviz.pictures.arithmetic` has
the passes over pictures.
"""

from typing import Any, Mapping, Optional, Sequence, Tuple, final

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float32]

@final
class Constant:
    """Weights that plans share: a C-contiguous float32 array, borrowed and kept alive.

    The forms that kernels pack from the array are cached here, so plans of one model pack once.
    """

    def __new__(cls, array: _Array) -> Constant: ...
    @property
    def array(self) -> _Array: ...
    @property
    def shape(self) -> Tuple[int, ...]: ...
    @property
    def packed_nbytes(self) -> int: ...
    def changed(self) -> None:
        """Drop the packed forms after `array` was written to; the next pass makes them anew."""

@final
class Plan:
    """One network for one input shape: build, `prepare` once, then `forward` and `backward` many times.

    Builder methods return a value id, infer the shape at once, and raise ValueError naming the node.
    Pairs are rows, columns; `pads` is top, left, bottom, right.
    """

    def __new__(cls) -> Plan: ...
    def input(self, shape: Sequence[int], *, name: str) -> int: ...
    def constant(self, constant: Constant, *, name: str) -> int: ...
    def conv2d(
        self,
        x: int,
        w: int,
        b: Optional[int] = None,
        *,
        stride: Tuple[int, int] = (1, 1),
        pads: Tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: Tuple[int, int] = (1, 1),
        groups: int = 1,
        name: str,
    ) -> int: ...
    def conv_transpose2d(
        self,
        x: int,
        w: int,
        b: Optional[int] = None,
        *,
        stride: Tuple[int, int] = (1, 1),
        pads: Tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: Tuple[int, int] = (1, 1),
        output_padding: Tuple[int, int] = (0, 0),
        groups: int = 1,
        name: str,
    ) -> int:
        """The adjoint of `conv2d` with these weights and window; w: C,O/groups,KH,KW."""
    def linear(self, x: int, w: int, b: Optional[int] = None, *, name: str) -> int:
        """x: N,I; w: O,I; b: O -> N,O."""
    def matmul(self, a: int, b: int, *, name: str) -> int:
        """NumPy's matmul for matrices of two or more dimensions, with broadcast batch dimensions."""
    def batch_norm(
        self, x: int, scale: int, bias: int, mean: int, var: int, *, epsilon: float, name: str
    ) -> int: ...
    def relu(self, x: int, *, name: str) -> int: ...
    def leaky_relu(self, x: int, *, slope: float, name: str) -> int: ...
    def prelu(self, x: int, slope: int, *, name: str) -> int:
        """`slope` broadcasts to x, as in NumPy."""
    def clip(self, x: int, *, low: float, high: float, name: str) -> int: ...
    def sigmoid(self, x: int, *, name: str) -> int: ...
    def tanh(self, x: int, *, name: str) -> int: ...
    def exp(self, x: int, *, name: str) -> int: ...
    def log(self, x: int, *, name: str) -> int: ...
    def sqrt(self, x: int, *, name: str) -> int: ...
    def neg(self, x: int, *, name: str) -> int: ...
    def abs(self, x: int, *, name: str) -> int: ...
    def sign(self, x: int, *, name: str) -> int: ...
    def floor(self, x: int, *, name: str) -> int: ...
    def ceil(self, x: int, *, name: str) -> int: ...
    def round(self, x: int, *, name: str) -> int:
        """Half to even."""
    def sin(self, x: int, *, name: str) -> int: ...
    def cos(self, x: int, *, name: str) -> int: ...
    def tan(self, x: int, *, name: str) -> int: ...
    def atan(self, x: int, *, name: str) -> int: ...
    def erf(self, x: int, *, name: str) -> int: ...
    def softplus(self, x: int, *, name: str) -> int: ...
    def elu(self, x: int, *, alpha: float, name: str) -> int: ...
    def celu(self, x: int, *, alpha: float, name: str) -> int: ...
    def selu(self, x: int, *, alpha: float, gamma: float, name: str) -> int: ...
    def hard_sigmoid(self, x: int, *, alpha: float, beta: float, name: str) -> int: ...
    def hard_swish(self, x: int, *, name: str) -> int: ...
    def silu(self, x: int, *, name: str) -> int: ...
    def gelu(self, x: int, *, name: str) -> int:
        """The exact GELU, with erf."""
    def quantize(self, x: int, *, low: float, high: float, name: str) -> int:
        """The next integer within low and high; inside, the gradient passes straight through."""
    def detach(self, x: int, *, name: str) -> int:
        """The same numbers, which no gradient passes."""
    def max_pool(
        self,
        x: int,
        *,
        kernel: Tuple[int, int],
        stride: Tuple[int, int],
        pads: Tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: Tuple[int, int] = (1, 1),
        ceil_mode: bool = False,
        name: str,
    ) -> int: ...
    def max_pool_position(
        self,
        x: int,
        *,
        kernel: Tuple[int, int],
        stride: Tuple[int, int],
        pads: Tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: Tuple[int, int] = (1, 1),
        ceil_mode: bool = False,
        name: str,
    ) -> int:
        """The place row * W + column of each maximum; the gradient is 0."""
    def max_unpool(self, x: int, position: int, *, shape: Sequence[int], name: str) -> int:
        """Zeros of N,C,... but for x at its positions in its plane; of equal positions the last counts."""
    def average_pool(
        self,
        x: int,
        *,
        kernel: Tuple[int, int],
        stride: Tuple[int, int],
        pads: Tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: Tuple[int, int] = (1, 1),
        ceil_mode: bool = False,
        count_include_pad: bool = False,
        name: str,
    ) -> int: ...
    def global_average_pool(self, x: int, *, name: str) -> int: ...
    def global_max_pool(self, x: int, *, name: str) -> int: ...
    def lrn(self, x: int, *, size: int, alpha: float, beta: float, bias: float, name: str) -> int: ...
    def concat(self, xs: Sequence[int], *, axis: int, name: str) -> int: ...
    def add(self, a: int, b: int, *, name: str) -> int: ...
    def sub(self, a: int, b: int, *, name: str) -> int: ...
    def mul(self, a: int, b: int, *, name: str) -> int: ...
    def div(self, a: int, b: int, *, name: str) -> int: ...
    def min(self, a: int, b: int, *, name: str) -> int: ...
    def max(self, a: int, b: int, *, name: str) -> int: ...
    def pow(self, a: int, b: int, *, name: str) -> int: ...
    def greater(self, a: int, b: int, *, name: str) -> int:
        """1 where a > b, else 0."""
    def equal(self, a: int, b: int, *, name: str) -> int: ...
    def masked(self, a: int, mask: int, *, name: str) -> int:
        """`a` where the mask is not 0, else 0."""
    def softmax(self, x: int, *, axis: int, name: str) -> int: ...
    def log_softmax(self, x: int, *, axis: int, name: str) -> int: ...
    def reshape(self, x: int, *, shape: Sequence[int], name: str) -> int: ...
    def transpose(self, x: int, *, perm: Sequence[int], name: str) -> int: ...
    def pad(
        self,
        x: int,
        *,
        before: Sequence[int],
        after: Sequence[int],
        mode: str = "constant",
        value: float = 0.0,
        name: str,
    ) -> int: ...
    def slice(
        self, x: int, *, start: Sequence[int], shape: Sequence[int], step: Sequence[int], name: str
    ) -> int:
        """`shape[i]` elements of axis i from `start[i]` on, `step[i]` (not 0) apart."""
    def grid_sample(
        self,
        x: int,
        grid: int,
        *,
        degree: int,
        padding: str,
        align_corners: bool,
        elements: bool = False,
        name: str,
    ) -> int:
        """x: N,C,extents; grid: N,output extents,axes -> N,C,output extents; an N of 1 serves all.

        `degree` 0 is the nearest element, 1 linear, 3 cubic; `padding` is a mode of `pad`. The grid goes from
        -1 to 1 across x, or has indices of `elements`.
        """
    def roi_align(
        self,
        x: int,
        regions: int,
        index: int,
        *,
        bins: Tuple[int, int],
        samples: int,
        scale: float,
        half_pixel: bool,
        maximum: bool,
        name: str,
    ) -> int:
        """x: N,C,H,W; regions: R,4 (left, top, right, bottom); index: R, the image of each -> R,C,bins.

        `samples` 0 is one for each element that a bin is wide. The gradient by regions and index is 0.
        """
    def reduce_mean(self, x: int, *, axes: Sequence[int], keepdims: bool, name: str) -> int: ...
    def reduce_sum(self, x: int, *, axes: Sequence[int], keepdims: bool, name: str) -> int: ...
    def reduce_max(self, x: int, *, axes: Sequence[int], keepdims: bool, name: str) -> int:
        """The gradient is shared evenly by the numbers that attain the maximum."""
    def reduce_prod(self, x: int, *, axes: Sequence[int], keepdims: bool, name: str) -> int: ...
    def reduce_l2(self, x: int, *, axes: Sequence[int], keepdims: bool, name: str) -> int: ...
    def reduce_log_sum_exp(self, x: int, *, axes: Sequence[int], keepdims: bool, name: str) -> int: ...
    def shape(self, value: int, /) -> Tuple[int, ...]: ...
    def prepare(
        self,
        *,
        keep: Sequence[int] = (),
        seeds: Sequence[int] = (),
        wrt: Sequence[int] = (),
        packed_nbytes: Optional[int] = None,
        shares: Optional[Plan] = None,
    ) -> None:
        """Choose kernels and lay out memory for the values that passes will be asked for.

        `keep` are values to `read`, `seeds` those that get a cotangent, `wrt` those whose `gradient` is read.

        `packed_nbytes` bounds the bytes that this plan may add to the packed weights of its constants; None
        is no bound. The few packed weights that kernels require are added in any case.

        A plan that `shares` the memory of another must not run at the same time; a forward pass of either
        destroys the other's values and gradients.
        """
    def forward(self, inputs: Sequence[_Array], /) -> None:
        """Run the nodes in order.

        `inputs` come in the order of the `input` calls and are borrowed until the next forward.
        """
    def read(self, value: int, /) -> _Array:
        """Return a copy of a kept value, of an input or of a constant."""
    def backward(self, cotangents: Mapping[int, _Array], *, relu: str = "plain") -> None:
        """Run the nodes in reverse order; a seed that `cotangents` leaves out counts as zero."""
    def gradient(self, value: int, /) -> _Array:
        """Return a copy of the gradient of a value named in `wrt`."""
    def describe(self) -> Mapping[str, Any]:
        """Return the decisions of `prepare` and the times of the last pass.

        "memory" has, for each purpose, the most bytes alive at one time; "arena", the bytes allocated for all
        purposes together; and "packed", the bytes of the packed weights that the plan reads, which the
        constants own.

        "nodes" has for each node its "name", "op", "value" and "shape"; whether it runs "forward" and
        "backward"; its "kernel", "" for a node that does not run, "fused" for one that another node's kernel
        computes; the bytes that it saves for backward ("saved_nbytes"), needs per thread while it runs
        ("scratch_nbytes") and has in packed weights ("packed_nbytes"); and its seconds in the last pass,
        "forward_seconds" and "backward_seconds", 0 before the first pass.
        """

_Coordinate = Tuple[float, float, float]  # (offset, a, b): offset + a * i + b * j for the pixel (i, j)
_Bounds = Optional[Tuple[_Array, _Array]]  # (low, high), each one number or one for each channel

def all_finite(x: _Array, /) -> bool:
    """Whether no number is NaN or infinite."""

def dots(x: _Array, y: _Array, /) -> NDArray[np.float64]:
    """x, y: N,... -> N, the inner product of each image, in float64 and in one fixed order."""

def affine(
    x: _Array,
    slope: _Array,
    shift: Optional[_Array] = None,
    divisor: Optional[_Array] = None,
    reverse: bool = False,
    overwrite: bool = False,
) -> _Array:
    """x: N,C,... -> slope[c] * x[c] + shift[c]; reverse reads channel c from C-1-c.

    With overwrite the result may be x itself.
    """

def ascend(z: _Array, g: _Array, rate: _Array, bounds: _Bounds = None) -> _Array:
    """z + rate[n] * g, held within bounds."""

def adam_step(
    z: _Array,
    mean: _Array,
    square: _Array,
    g: _Array,
    bounds: _Bounds,
    *,
    beta1: float,
    beta2: float,
    rate: float,
    scale: float,
    epsilon: float,
) -> Tuple[_Array, _Array, _Array]:
    """The next z, mean and square; z moves by rate * mean / (sqrt(scale * square) + epsilon)."""

def free_to_move(z: _Array, g: _Array, bounds: _Bounds, /) -> _Array:
    """A mask: 1 where a bound does not stop a step along g at once, else 0."""

def lbfgs_product(g: _Array, free: _Array, s: Sequence[_Array], y: Sequence[_Array], /) -> Optional[_Array]:
    """g times the inverse Hessian over the free variables that the pairs (s, y), oldest first, approximate.

    None when no pair has curvature along the free variables.
    """

def total_variation(x: _Array, power: int, scale: float, /) -> Tuple[NDArray[np.float64], _Array]:
    """x: N,C,H,W; power 1 or 2 -> N, the sums of |differences|^power, and scale times their gradient."""

def roll(x: _Array, down: int, right: int, /) -> _Array:
    """x: N,C,H,W, moved down and to the right; pixels that leave on one side come back on the other."""

def resample(x: _Array, row: _Coordinate, column: _Coordinate, adjoint: bool, /) -> _Array:
    """x: N,C,H,W, read bilinearly at (row, column) of each pixel, held inside; or the adjoint of that."""

def init_blas(choice: Optional[str], bundled_dir: Optional[str], /) -> None: ...
def set_num_threads(n: int, /) -> None: ...
def get_num_threads() -> int: ...
def config() -> Mapping[str, Any]:
    """{"blas", "blas_config", "cpu", "kernels", "threads"}."""

def alloc_calls() -> int:
    """Return the number of the core's allocations so far; tests compare it before and after a pass."""

def alloc_fail_at(n: int, persist: bool = False) -> None:
    """Fault-injection builds only: the n-th allocation from now fails (0: none). Other builds raise."""
