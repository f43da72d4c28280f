"""Twins of the reductions other than sums; see `twin.py`. A gradient is dy times a slope for each number."""

from __future__ import annotations

from typing import Callable, Sequence, Tuple

import numpy as np
from twin import Array, Twin


def _reduction(
    value: Callable[[Array, Tuple[int, ...]], Array], slope: Callable[[Array, Array, Tuple[int, ...]], Array]
) -> Callable[..., Twin]:
    """A twin from a value that keeps its axes, and the slope of each x given x, that value and the axes."""

    def twin(x: Array, *, axes: Sequence[int], keepdims: bool) -> Twin:
        over = tuple(axes)
        kept = value(x, over)
        y = kept if keepdims else kept.reshape([n for i, n in enumerate(x.shape) if i not in over])
        return y, lambda dy: (dy.reshape(kept.shape) * slope(x, kept, over),)

    return twin


def _product_of_others(x: Array, y: Array, axes: Tuple[int, ...]) -> Array:
    found = np.empty_like(x)
    for at in np.ndindex(*x.shape):
        others = x.copy()
        others[at] = 1
        row = tuple(slice(None) if i in axes else slice(n, n + 1) for i, n in enumerate(at))
        found[at] = others[row].prod()
    return found


def _log_sum_exp(x: Array, axes: Tuple[int, ...]) -> Array:
    top = x.max(axes, keepdims=True)
    return top + np.log(np.exp(x - top).sum(axes, keepdims=True))


reduce_max = _reduction(
    lambda x, axes: x.max(axes, keepdims=True),
    lambda x, y, axes: (x == y) / (x == y).sum(axes, keepdims=True),
)
reduce_prod = _reduction(lambda x, axes: x.prod(axes, keepdims=True), _product_of_others)
reduce_l2 = _reduction(
    lambda x, axes: np.sqrt((x * x).sum(axes, keepdims=True)), lambda x, y, axes: x / np.where(y == 0, 1, y)
)
reduce_log_sum_exp = _reduction(_log_sum_exp, lambda x, y, axes: np.exp(x - y))
