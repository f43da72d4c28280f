"""RNN, GRU and LSTM as ONNX defines them, in float64, one sequence and one time step at a time."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}

# each function, and the defaults of its alpha and beta
FUNCTIONS: Dict[str, Tuple[Callable[..., np.ndarray], Tuple[float, ...]]] = {
    "Affine": (lambda x, a, b: a * x + b, (1.0, 0.0)),
    "Elu": (lambda x, a: np.where(x < 0, a * np.expm1(x), x), (1.0,)),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), (0.2, 0.5)),
    "LeakyRelu": (lambda x, a: np.where(x < 0, a * x, x), (0.01,)),
    "Relu": (lambda x: np.maximum(x, 0), ()),
    "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), (1.0, 1.0)),
    "Sigmoid": (lambda x: 1 / (1 + np.exp(-x)), ()),
    "Softplus": (lambda x: np.log1p(np.exp(x)), ()),
    "Softsign": (lambda x: x / (1 + np.abs(x)), ()),
    "Tanh": (np.tanh, ()),
    "ThresholdedRelu": (lambda x, a: np.where(x > a, x, 0), (1.0,)),
}


def functions(op: str, directions: int, a: Dict[str, Any]) -> List[Callable[[np.ndarray], np.ndarray]]:
    """All activations, those of gates behind the clip; their numbers are taken from the two lists in turn."""
    alphas, betas = iter(a.get("activation_alpha", ())), iter(a.get("activation_beta", ()))
    found: List[Callable[[np.ndarray], np.ndarray]] = []
    for name in a.get("activations") or USUAL[op] * directions:
        function, defaults = FUNCTIONS[name]
        numbers = [next(given, usual) for given, usual in zip((alphas, betas), defaults)]
        limit = a.get("clip", np.inf) if len(found) % len(USUAL[op]) < 2 else np.inf
        found.append(lambda x, f=function, m=limit, n=tuple(numbers): f(np.clip(x, -m, m), *n))
    return found


def step(
    op: str, f: Any, x: np.ndarray, h: np.ndarray, c: np.ndarray, w: Any, r: Any, b: Any, p: Any, a: Any
) -> Tuple[np.ndarray, np.ndarray]:
    """One step of one sequence; w, r and b have a block for each gate."""
    n = GATES[op]
    wb, rb = b[:n], b[n:]

    def gate(i: int) -> np.ndarray:
        return w[i] @ x + wb[i] + r[i] @ h + rb[i]

    if op == "RNN":
        return f[0](gate(0)), c
    if op == "GRU":
        update, reset = f[0](gate(0)), f[0](gate(1))
        inner = reset * (r[2] @ h + rb[2]) if a.get("linear_before_reset") else r[2] @ (reset * h) + rb[2]
        return (1 - update) * f[1](w[2] @ x + wb[2] + inner) + update * h, c
    i = f[0](gate(0) + p[0] * c)
    forget = 1 - i if a.get("input_forget") else f[0](gate(2) + p[2] * c)
    new = forget * c + i * f[1](gate(3))
    return f[0](gate(1) + p[1] * new) * f[2](new), new


def layer(op: str, given: Dict[str, Optional[np.ndarray]], a: Dict[str, Any]) -> List[np.ndarray]:
    """Y, Y_h and for LSTM Y_c, from the inputs by ONNX's names."""
    swapped = a.get("layout", 0)
    arrays = {name: np.asarray(array, np.float64) for name, array in given.items() if array is not None}
    x, w, r = arrays["X"], arrays["W"], arrays["R"]
    if swapped:
        x = x.swapaxes(0, 1)
    directions, hidden = r.shape[0], r.shape[2]
    steps, batch = x.shape[:2]
    blocks = (directions, -1, hidden)
    b = arrays.get("B", np.zeros((directions, 2 * w.shape[1]))).reshape(blocks)
    p = arrays.get("P", np.zeros((directions, 3 * hidden))).reshape(blocks)
    lengths = arrays.get("sequence_lens", np.full(batch, steps)).astype(int)
    state = []
    for name in ("initial_h", "initial_c"):
        array = arrays.get(name)
        zero = np.zeros((directions, batch, hidden))
        state.append(zero if array is None else array.swapaxes(0, 1).copy() if swapped else array.copy())
    f, y = functions(op, directions, a), np.zeros((steps, directions, batch, hidden))
    for d, reverse in enumerate({"reverse": [1], "bidirectional": [0, 1]}.get(a.get("direction", ""), [0])):
        own = f[d * len(USUAL[op]) :]
        gates = [array[d].reshape(GATES[op], hidden, -1) for array in (w, r)]
        for n in range(batch):
            h, c = state[0][d, n], state[1][d, n]
            for t in range(lengths[n])[:: -1 if reverse else 1]:
                h, c = step(op, own, x[t, n], h, c, *gates, b[d], p[d], a)
                y[t, d, n] = h
            state[0][d, n], state[1][d, n] = h, c
    found = [y, *state][: 3 if op == "LSTM" else 2]
    return [y.transpose(2, 0, 1, 3), *(one.swapaxes(0, 1) for one in found[1:])] if swapped else found
