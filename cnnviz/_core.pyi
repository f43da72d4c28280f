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
    """Weights that any number of plans read: a C-contiguous float32 array, borrowed and kept alive.

    Forms that kernels pack from it are cached here, so plans of one model pack once.
    """

    def __new__(cls, array: _Array) -> Constant: ...
    @property
    def array(self) -> _Array: ...
    @property
    def shape(self) -> Tuple[int, ...]: ...
    @property
    def packed_nbytes(self) -> int: ...
    def changed(self) -> None:
        """Say that `array` was written to: packed forms are made anew before the next pass."""

@final
class Plan:
    """One network for one input shape: build, `prepare` once, then `forward` and `backward` at will.

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
    def linear(self, x: int, w: int, b: Optional[int] = None, *, name: str) -> int:
        """x: N,I; w: O,I; b: O -> N,O."""
    def matmul(self, a: int, b: int, *, name: str) -> int:
        """NumPy's matmul for two or more dimensions, with broadcast batch dimensions."""
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
    def erf(self, x: int, *, name: str) -> int: ...
    def softplus(self, x: int, *, name: str) -> int: ...
    def elu(self, x: int, *, alpha: float, name: str) -> int: ...
    def selu(self, x: int, *, alpha: float, gamma: float, name: str) -> int: ...
    def hard_sigmoid(self, x: int, *, alpha: float, beta: float, name: str) -> int: ...
    def hard_swish(self, x: int, *, name: str) -> int: ...
    def silu(self, x: int, *, name: str) -> int: ...
    def gelu(self, x: int, *, name: str) -> int:
        """The exact one, with erf."""
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
        """Per axis: `shape[i]` elements from `start[i]` on, `step[i]` (not 0) apart."""
    def reduce_mean(self, x: int, *, axes: Sequence[int], keepdims: bool, name: str) -> int: ...
    def reduce_sum(self, x: int, *, axes: Sequence[int], keepdims: bool, name: str) -> int: ...
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
        """Fix what passes will be asked for.

        `packed_nbytes` bounds what this plan may add to the packed weights of its constants; None: nothing
        does. The little that kernels cannot do without is added in any case.

        A plan that `shares` the memory of another must not run at the same time, and what either has left
        there is gone once the other runs forward.
        """
    def forward(self, inputs: Sequence[_Array], /) -> None:
        """Run up the plan; `inputs` in the order of the `input` calls, borrowed until the next forward."""
    def read(self, value: int, /) -> _Array:
        """A copy of a kept value, of an input or of a constant."""
    def backward(self, cotangents: Mapping[int, _Array], *, relu: str = "plain") -> None:
        """Run down the plan from the seeds given; seeds left out count as zeros."""
    def gradient(self, value: int, /) -> _Array:
        """A copy of the gradient of a value named in `wrt`."""
    def describe(self) -> Mapping[str, Any]:
        """What prepare has decided.

        "memory": of each purpose the most bytes alive at one time, and "arena", what was allocated for all;
        and "packed", the bytes of the packed weights that the plan reads, which the constants own.
        "nodes": for each its "name", "op", "value", "shape", whether it runs "forward" and "backward", and
        the "kernel" chosen for it, "" when none runs, "fused" when another node's does its work; the bytes
        that it saves for backward ("saved_nbytes"), needs while it runs, per thread ("scratch_nbytes"), and
        has in packed weights ("packed_nbytes");
        what it took in the last pass, "forward_seconds" and "backward_seconds", 0 before the first.
        """

_Place = Tuple[float, float, float]  # of pixel (i, j): offset + by_row * i + by_column * j
_Bounds = Optional[Tuple[_Array, _Array]]  # each one number, or one for each channel

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
    """1 where a step along g is not stopped at once by a bound, else 0."""

def lbfgs_product(g: _Array, free: _Array, s: Sequence[_Array], y: Sequence[_Array], /) -> Optional[_Array]:
    """The inverse Hessian that pairs (s, y), oldest first, make over free variables, times g.

    None when no pair has curvature there.
    """

def total_variation(x: _Array, power: int, scale: float, /) -> Tuple[NDArray[np.float64], _Array]:
    """x: N,C,H,W; power 1 or 2 -> N, the sums of |differences|^power, and scale times their gradient."""

def roll(x: _Array, down: int, right: int, /) -> _Array:
    """x: N,C,H,W, moved down and to the right; what leaves on one side comes back on the other."""

def resample(x: _Array, row: _Place, column: _Place, adjoint: bool, /) -> _Array:
    """x: N,C,H,W, read bilinearly at (row, column) of each pixel, held inside; or the adjoint of that."""

def init_blas(choice: Optional[str], bundled_dir: Optional[str], /) -> None: ...
def set_num_threads(n: int, /) -> None: ...
def get_num_threads() -> int: ...
def config() -> Mapping[str, Any]:
    """{"blas", "blas_config", "cpu", "kernels", "threads"}."""

def alloc_calls() -> int:
    """How often the core has allocated; tests compare it before and after a pass."""

def alloc_fail_at(n: int, persist: bool = False) -> None:
    """Fault-injection builds only: the n-th allocation from now fails (0: none). Others raise."""
