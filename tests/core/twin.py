"""Slow NumPy twins of the core's operators, in float64: the references of `tests/core/test_op_*.py`.

Each twin takes arrays and the builder method's keywords and returns the output and a function that turns the
output's gradient into the gradients of the inputs. Both follow the definition, not the kernels.
`test_op_gradients.py` checks the gradients against finite differences of the output.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np

Array = np.ndarray
Backward = Callable[[Array], Tuple[Array, ...]]
Twin = Tuple[Array, Backward]


def windows(
    extent: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool = False,
) -> Tuple[List[List[int]], List[List[int]]]:
    """The input rows and the input columns of each window; they may lie outside the picture."""
    axes = []
    for a in range(2):
        reach = (kernel[a] - 1) * dilation[a] + 1
        room = extent[a] + pads[a] + pads[a + 2] - reach
        starts = [s - pads[a] for s in range(0, room + 1, stride[a])]
        if ceil_mode and room % stride[a] and starts[-1] + stride[a] < extent[a]:
            starts.append(starts[-1] + stride[a])
        axes.append([[s + k * dilation[a] for k in range(kernel[a])] for s in starts])
    return axes[0], axes[1]


def each_window(rows: List[List[int]], columns: List[List[int]]) -> Iterator[Tuple[int, int, Array, Array]]:
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            yield i, j, np.asarray(r), np.asarray(c)


def conv2d(
    x: Array,
    w: Array,
    b: Any = None,
    *,
    stride: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Twin:
    n, c, h, wide = x.shape
    o, per_group = w.shape[:2]
    rows, columns = windows((h, wide), w.shape[2:], stride, pads, dilation)
    top, left = pads[0], pads[1]
    bottom = max(0, rows[-1][-1] - h + 1)
    right = max(0, columns[-1][-1] - wide + 1)
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    wg = w.reshape(groups, o // groups, per_group, *w.shape[2:])
    y = np.zeros((n, o, len(rows), len(columns)))
    for i, j, r, s in each_window(rows, columns):
        patch = padded[:, :, r[:, None] + top, s + left].reshape(n, groups, per_group, len(r), len(s))
        y[:, :, i, j] = np.einsum("ngkrs,gokrs->ngo", patch, wg).reshape(n, o)
    if b is not None:
        y += b[:, None, None]

    def backward(dy: Array) -> Tuple[Array, ...]:
        dpadded, dw = np.zeros_like(padded), np.zeros_like(wg)
        for i, j, r, s in each_window(rows, columns):
            patch = padded[:, :, r[:, None] + top, s + left].reshape(n, groups, per_group, len(r), len(s))
            g = dy[:, :, i, j].reshape(n, groups, o // groups)
            dw += np.einsum("ngo,ngkrs->gokrs", g, patch)
            dpatch = np.einsum("ngo,gokrs->ngkrs", g, wg).reshape(n, c, len(r), len(s))
            dpadded[:, :, r[:, None] + top, s + left] += dpatch
        dx = dpadded[:, :, top : top + h, left : left + wide]
        return (dx, dw.reshape(w.shape)) + (() if b is None else (dy.sum(axis=(0, 2, 3)),))

    return y, backward


def conv_transpose2d(
    x: Array,
    w: Array,
    b: Any = None,
    *,
    stride: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    output_padding: Sequence[int] = (0, 0),
    groups: int = 1,
) -> Twin:
    """Each pixel of x stamps w, scaled, on a canvas, from which the padding is cut."""
    n, c, h, wide = x.shape
    reach = [(w.shape[2 + a] - 1) * dilation[a] + 1 for a in range(2)]
    full = [(x.shape[2 + a] - 1) * stride[a] + reach[a] + output_padding[a] for a in range(2)]
    xg, wg = x.reshape(n, groups, c // groups, h, wide), w.reshape(groups, c // groups, *w.shape[1:])
    inside = np.s_[:, :, pads[0] : full[0] - pads[2], pads[1] : full[1] - pads[3]]

    def stamp(i: int, j: int) -> Any:
        top, left = i * stride[0], j * stride[1]
        return np.s_[:, :, top : top + reach[0] : dilation[0], left : left + reach[1] : dilation[1]]

    pixels = [(i, j) for i in range(h) for j in range(wide)]
    canvas = np.zeros((n, groups * w.shape[1], *full))
    for i, j in pixels:
        part = np.einsum("ngc,gcokl->ngokl", xg[..., i, j], wg)
        canvas[stamp(i, j)] += part.reshape(n, groups * w.shape[1], *w.shape[2:])
    y = canvas[inside]

    def backward(dy: Array) -> Tuple[Array, ...]:
        dcanvas, dx, dw = np.zeros_like(canvas), np.zeros_like(xg), np.zeros_like(wg)
        dcanvas[inside] = dy
        for i, j in pixels:
            part = dcanvas[stamp(i, j)].reshape(n, groups, *w.shape[1:])
            dx[..., i, j] = np.einsum("ngokl,gcokl->ngc", part, wg)
            dw += np.einsum("ngc,ngokl->gcokl", xg[..., i, j], part)
        gradients = (dx.reshape(x.shape), dw.reshape(w.shape))
        return gradients + (() if b is None else (dy.sum(axis=(0, 2, 3)),))

    return y if b is None else y + b[:, None, None], backward


def linear(x: Array, w: Array, b: Any = None) -> Twin:
    y = x @ w.T + (0.0 if b is None else b)
    return y, lambda dy: (dy @ w, dy.T @ x) + (() if b is None else (dy.sum(axis=0),))


def unbroadcast(gradient: Array, shape: Tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an array of this shape was broadcast."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    axes = tuple(i for i, extent in enumerate(shape) if extent == 1)
    return gradient.sum(axis=axes, keepdims=True)


def matmul(a: Array, b: Array) -> Twin:
    def backward(dy: Array) -> Tuple[Array, ...]:
        da, db = dy @ np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2) @ dy
        return unbroadcast(da, a.shape), unbroadcast(db, b.shape)

    return a @ b, backward


def batch_norm(x: Array, scale: Array, bias: Array, mean: Array, var: Array, *, epsilon: float) -> Twin:
    def along(v: Array) -> Array:
        return v.reshape((1, -1) + (1,) * (x.ndim - 2))

    root = np.sqrt(along(var) + epsilon)
    centred = (x - along(mean)) / root
    others = tuple(i for i in range(x.ndim) if i != 1)

    def backward(dy: Array) -> Tuple[Array, ...]:
        dcentred = dy * along(scale)
        return (
            dcentred / root,
            (dy * centred).sum(axis=others),
            dy.sum(axis=others),
            (-dcentred / root).sum(axis=others),
            (-0.5 * dcentred * centred / root**2).sum(axis=others),
        )

    return centred * along(scale) + along(bias), backward


def rectified(dy: Array, z_high: Array, derivative: Array, rule: str, saturated: Any = None) -> Array:
    """Gradient through a rectifier; z_high is true where it is open, `saturated` at its upper bound."""
    if rule == "deconv":
        return np.where(dy > 0, dy, 0.0)
    if rule == "guided":
        return np.where(z_high & (dy > 0), dy, 0.0)
    plain = dy * derivative
    if rule == "plain":
        return plain
    assert rule == "redirected"
    out = plain.copy()
    above = np.zeros(dy.shape, bool) if saturated is None else saturated
    for n in range(len(dy)):
        if not plain[n].any():
            out[n] = np.where(above[n], np.minimum(dy[n], 0.0), np.maximum(dy[n], 0.0))
    return out


def relu(x: Array, *, rule: str = "plain") -> Twin:
    return np.maximum(x, 0.0), lambda dy: (rectified(dy, x > 0, x > 0, rule),)


def leaky_relu(x: Array, *, slope: float, rule: str = "plain") -> Twin:
    derivative = np.where(x > 0, 1.0, slope)
    return np.where(x > 0, x, slope * x), lambda dy: (rectified(dy, x > 0, derivative, rule),)


def prelu(x: Array, slope: Array, *, rule: str = "plain") -> Twin:
    def backward(dy: Array) -> Tuple[Array, ...]:
        dx = rectified(dy, x > 0, np.where(x > 0, 1.0, slope), rule)
        return dx, unbroadcast(np.where(x < 0, dy * x, 0.0), slope.shape)

    return np.where(x > 0, x, slope * x), backward


def clip(x: Array, *, low: float, high: float, rule: str = "plain") -> Twin:
    inside = (low < x) & (x < high)
    return np.minimum(np.maximum(x, low), high), lambda dy: (rectified(dy, inside, inside, rule, x >= high),)


def max_pool(
    x: Array,
    *,
    kernel: Any,
    stride: Any,
    pads: Any = (0,) * 4,
    dilation: Any = (1, 1),
    ceil_mode: bool = False,
) -> Twin:
    rows, columns = windows(x.shape[2:], kernel, stride, pads, dilation, ceil_mode)
    y = np.full(x.shape[:2] + (len(rows), len(columns)), -np.inf)
    winner: Dict[Tuple[int, ...], Tuple[int, int]] = {}
    for i, j, r, s in each_window(rows, columns):
        for n, c in np.ndindex(*x.shape[:2]):
            for h in r[(r >= 0) & (r < x.shape[2])]:
                for w in s[(s >= 0) & (s < x.shape[3])]:
                    if (n, c, i, j) not in winner or x[n, c, h, w] > y[n, c, i, j]:
                        y[n, c, i, j] = x[n, c, h, w]
                        winner[n, c, i, j] = (h, w)

    def backward(dy: Array) -> Tuple[Array, ...]:
        dx = np.zeros_like(x)
        for (n, c, i, j), (h, w) in winner.items():
            dx[n, c, h, w] += dy[n, c, i, j]
        return (dx,)

    return y, backward


def average_pool(
    x: Array,
    *,
    kernel: Any,
    stride: Any,
    pads: Any = (0,) * 4,
    dilation: Any = (1, 1),
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> Twin:
    rows, columns = windows(x.shape[2:], kernel, stride, pads, dilation, ceil_mode)
    h, w = x.shape[2:]
    y = np.zeros(x.shape[:2] + (len(rows), len(columns)))
    parts = {}
    for i, j, r, s in each_window(rows, columns):
        inside = np.ix_(r[(r >= 0) & (r < h)], s[(s >= 0) & (s < w)])
        count = inside[0].size * inside[1].size
        if count_include_pad:
            count = int((r < h + pads[2]).sum() * (s < w + pads[3]).sum())
        if count:
            parts[i, j] = inside, count
            y[:, :, i, j] = x[(slice(None), slice(None)) + inside].sum(axis=(2, 3)) / count

    def backward(dy: Array) -> Tuple[Array, ...]:
        dx = np.zeros_like(x)
        for (i, j), (inside, count) in parts.items():
            dx[(slice(None), slice(None)) + inside] += dy[:, :, i, j][:, :, None, None] / count
        return (dx,)

    return y, backward


def global_average_pool(x: Array) -> Twin:
    axes = tuple(range(2, x.ndim))
    size = x[0, 0].size
    return x.mean(axis=axes, keepdims=True), lambda dy: (np.broadcast_to(dy / size, x.shape),)


def global_max_pool(x: Array) -> Twin:
    flat = x.reshape(x.shape[:2] + (-1,))
    winner = np.arange(flat.shape[2]) == flat.argmax(axis=2)[..., None]
    y = flat.max(axis=2).reshape(x.shape[:2] + (1,) * (x.ndim - 2))
    return y, lambda dy: (dy * winner.reshape(x.shape),)


def lrn(x: Array, *, size: int, alpha: float, beta: float, bias: float) -> Twin:
    c = x.shape[1]
    below, above = (size - 1) // 2, size - 1 - (size - 1) // 2
    member = np.array([[i - below <= j <= i + above for j in range(c)] for i in range(c)], float)
    total = bias + alpha / size * np.einsum("ij,nj...->ni...", member, x**2)

    def backward(dy: Array) -> Tuple[Array, ...]:
        ratio = dy * x * total ** (-beta - 1)
        spread = np.einsum("ij,ni...->nj...", member, ratio)
        return (dy * total**-beta - 2 * alpha * beta / size * x * spread,)

    return x * total**-beta, backward


def concat(*xs: Array, axis: int) -> Twin:
    cuts = np.cumsum([x.shape[axis] for x in xs])[:-1]
    return np.concatenate(xs, axis=axis), lambda dy: tuple(np.split(dy, cuts, axis=axis))


def softmax(x: Array, *, axis: int) -> Twin:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    y = e / e.sum(axis=axis, keepdims=True)
    return y, lambda dy: (y * (dy - (dy * y).sum(axis=axis, keepdims=True)),)


def log_softmax(x: Array, *, axis: int) -> Twin:
    y = np.log(softmax(x, axis=axis)[0])
    return y, lambda dy: (dy - np.exp(y) * dy.sum(axis=axis, keepdims=True),)


def reshape(x: Array, *, shape: Sequence[int]) -> Twin:
    return x.reshape(shape), lambda dy: (dy.reshape(x.shape),)


def transpose(x: Array, *, perm: Sequence[int]) -> Twin:
    return x.transpose(perm), lambda dy: (dy.transpose(np.argsort(perm)),)


def pad(
    x: Array, *, before: Sequence[int], after: Sequence[int], mode: str = "constant", value: float = 0.0
) -> Twin:
    """A pad by index: the elements' indices are cropped and padded, -1 stands for the constant."""
    index = np.arange(x.size).reshape(x.shape)
    crop = tuple(slice(max(0, -b), n - max(0, -a)) for b, a, n in zip(before, after, x.shape))
    widths = [(max(0, b), max(0, a)) for b, a in zip(before, after)]
    options = {"constant_values": -1} if mode == "constant" else {}
    index = np.pad(index[crop], widths, mode=mode, **options)

    def backward(dy: Array) -> Tuple[Array, ...]:
        dx = np.zeros(x.size)
        np.add.at(dx, index[index >= 0], dy[index >= 0])
        return (dx.reshape(x.shape),)

    return np.where(index < 0, value, x.ravel()[index]), backward


def slice_(x: Array, *, start: Sequence[int], shape: Sequence[int], step: Sequence[int]) -> Twin:
    grid = np.ix_(*[[b + i * s for i in range(n)] for b, n, s in zip(start, shape, step)])

    def backward(dy: Array) -> Tuple[Array, ...]:
        dx = np.zeros_like(x)
        dx[grid] = dy
        return (dx,)

    return x[grid], backward


def reduce_sum(x: Array, *, axes: Sequence[int], keepdims: bool) -> Twin:
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return x.sum(axis=tuple(axes), keepdims=keepdims), lambda dy: (
        np.broadcast_to(dy.reshape(kept), x.shape),
    )


def reduce_mean(x: Array, *, axes: Sequence[int], keepdims: bool) -> Twin:
    count = math.prod(x.shape[i] for i in axes)
    total, backward = reduce_sum(x, axes=axes, keepdims=keepdims)
    return total / count, lambda dy: backward(dy / count)


def twin_of(op: str) -> Callable[..., Twin]:
    """Return the twin of a builder method; those that would hide a builtin end in an underscore."""
    import twin_elementwise
    import twin_reduce
    import twin_sample

    names = {**vars(twin_elementwise), **vars(twin_reduce), **vars(twin_sample), **globals()}
    return names.get(op + "_") or names[op]
