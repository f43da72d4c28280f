"""Attention, rotary positions and normalisation as their papers define them, in float64."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np

Arrays = Dict[str, Any]


def split(x: np.ndarray, heads: int) -> np.ndarray:
    return x if x.ndim == 4 else x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def attention(
    a: Arrays, *, heads: int = 4, own: int = 4, bias: Any = 0.0, scale: float = 0, cap: float = 0
) -> np.ndarray:
    """Each token's mixture of values, head by head; bias is added to the scores."""
    q, k, v = split(a["q"], heads), split(a["k"], own), split(a["v"], own)
    k, v = (np.repeat(one, q.shape[1] // one.shape[1], axis=1) for one in (k, v))
    scores = np.einsum("nhqd,nhkd->nhqk", q, k) * (scale or 1 / np.sqrt(q.shape[3]))
    scores = (cap * np.tanh(scores / cap) if cap else scores) + bias
    shares = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), -1e30))
    shares /= np.maximum(shares.sum(-1, keepdims=True), 1e-30)
    y = np.einsum("nhqk,nhkd->nhqd", shares, v)
    return y if a["q"].ndim == 4 else y.transpose(0, 2, 1, 3).reshape(*y.shape[:1], y.shape[2], -1)


def closed(open_: Any) -> np.ndarray:
    return np.where(open_, 0.0, -np.inf)


def rotated(a: Arrays, *, heads: int = 0, turned: int = 6, interleaved: bool = False) -> np.ndarray:
    """Each pair of numbers as a complex number times that of its angle."""
    x = split(a["x"], heads).copy()
    pairs = (
        (slice(0, turned, 2), slice(1, turned, 2))
        if interleaved
        else (slice(0, turned // 2), slice(turned // 2, turned))
    )
    angles = [a[name] if "at" not in a else a[name][a["at"]] for name in ("cos", "sin")]
    turn = (angles[0] + 1j * angles[1])[:, None]
    product = (x[..., pairs[0]] + 1j * x[..., pairs[1]]) * turn
    x[..., pairs[0]], x[..., pairs[1]] = product.real, product.imag
    return x if a["x"].ndim == 4 else x.transpose(0, 2, 1, 3).reshape(a["x"].shape)


def normalised(x: np.ndarray, axes: Any, epsilon: float) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axes, keepdims=True) + epsilon)


def layer_norm(x: np.ndarray) -> np.ndarray:
    return normalised(x - x.mean(-1, keepdims=True), -1, 1e-12)
