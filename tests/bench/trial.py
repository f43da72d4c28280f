"""One network of the survey of architectures: loaded by `cnnviz.from_torch`, and compared with PyTorch."""

from __future__ import annotations

import time
import warnings
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import NDArray
from resident import peak, peak_reset, trimmed
from torch_reference import Float64, angle, build, cosine, images, input_gradient, output, relative

import cnnviz
from cnnviz.attribution.cam_layer import last_spatial_layer
from cnnviz.synthesis.style_layers import automatic

Array = NDArray[Any]
Record = Dict[str, Any]

# What counts as exact: the largest difference of the outputs over the largest output, and the cosine of the
# angle between the gradients.
LOGITS = 1e-4
COSINE = 0.9999
# Two float32 programs are equally right when one's error against float64 is at most FACTOR times the other's;
# cnnviz/loading/agreement.py judges exports by the same factor.
FACTOR = 8.0
BATCH = 3
# The second size is larger by these rows and columns, which most strides and windows divide.
LARGER = (64, 32)


class Entry(NamedTuple):
    """A line of the list: a network, the spatial extents of its input, and the options of its maker."""

    library: str
    family: str
    name: str
    size: Tuple[int, ...]
    options: Dict[str, Any]


def measured(entry: Entry) -> Record:
    """The record of a network: `result` is a word, `reason` says why it is not "exact"."""
    warnings.simplefilter("ignore")
    module = build(entry.library, entry.name, entry.options)
    x = images((BATCH, 3, *entry.size), 1)
    record: Record = {
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
    }
    before = trimmed()
    peak_reset()
    start = time.process_time()
    try:
        model = cnnviz.from_torch(module, x[:1])
    except Exception as error:  # a refusal is a result
        return {**record, "result": "refused", "reason": said(error)}
    record["seconds"] = round(time.process_time() - start, 1)
    record["peak"] = peak() - before
    try:
        record.update(_compared(model, module, x))
        record.update(_second_size(model, module, entry.size))
    except Exception as error:
        return {**record, "result": "fails", "reason": said(error)}
    record["grad_cam"] = _found(lambda: last_spatial_layer(model))
    record["style"] = _found(lambda: len(automatic(model)[1]))
    return {**record, **judged(record)}


def said(error: Exception) -> str:
    """The type and the text of an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:600]


def _compared(model: Any, module: Any, x: Any) -> Record:
    """Outputs and gradients for one image and for a batch, against PyTorch and against each other."""
    exact: List[Float64] = []

    def float64() -> Float64:
        if not exact:
            exact.append(Float64(module))
        return exact[0]

    found, expected = model.forward(x.numpy()), output(module, x)
    if found.shape != expected.shape:
        raise ValueError(f"the output is {found.shape}, and PyTorch's {expected.shape}")
    alone = np.concatenate([model.forward(one[None]) for one in x.numpy()])
    record: Record = {
        "logits": [relative(alone[:1], output(module, x[:1])), relative(found, expected)],
        "same_output": bool(np.array_equal(found, alone)),
    }
    if max(record["logits"]) > LOGITS:
        record["logits_float64"] = _against(float64().output(x), relative, found, expected)
    cotangent = np.random.default_rng(2).standard_normal(expected.shape).astype(np.float32)
    ours, theirs = _gradient(model, x.numpy(), cotangent), input_gradient(module, x, cotangent)
    alone = np.concatenate(
        [_gradient(model, x[i : i + 1].numpy(), cotangent[i : i + 1]) for i in range(len(x))]
    )
    record["cosine"] = cosine(ours, theirs)
    record["same_gradient"] = bool(np.array_equal(ours, alone))
    if record["cosine"] < COSINE:
        exactly = float64().input_gradient(x, cotangent)
        record["angle_float64"] = _against(exactly, angle, ours, theirs)
    return record


def _gradient(model: Any, x: Array, cotangent: Array) -> Array:
    found: Array = model.gradient(x, {model.graph.outputs[0].name: cotangent}).gradients["input"]
    return found


def _against(
    exact: Optional[Array], distance: Callable[[Array, Array], float], ours: Array, theirs: Array
) -> Optional[Tuple[float, float]]:
    """The distances of both programs from float64."""
    return None if exact is None else (distance(ours, exact), distance(theirs, exact))


def _second_size(model: Any, module: Any, size: Tuple[int, ...]) -> Record:
    """The comparison at another height and width, where the module takes them."""
    other = (*size[:-2], size[-2] + LARGER[0], size[-1] + LARGER[1])
    x = images((1, 3, *other), 3)
    try:
        expected = output(module, x)
    except Exception:  # whatever a module raises that takes one size
        return {"second": "one size"}
    try:
        found = model.forward(x.numpy())
    except ValueError as error:
        return {"second": "refused", "second_reason": said(error)}
    error = relative(found, expected)
    record: Record = {"second": error}
    if error > LOGITS:
        record["second_float64"] = _against(Float64(module).output(x), relative, found, expected)
    return record


def _found(choose: Callable[[], Any]) -> Any:
    try:
        return choose()
    except Exception as error:
        return said(error)


def judged(record: Record) -> Record:
    """Whether the numbers of a record are exact, exact by float64, or wrong, and which of them are not."""
    checks = [
        ("logits", max(record["logits"]) <= LOGITS, record.get("logits_float64")),
        ("gradient", record["cosine"] >= COSINE, record.get("angle_float64")),
    ]
    if isinstance(record["second"], float):
        checks.append(("second size", record["second"] <= LOGITS, record.get("second_float64")))
    wrong = [name for name, right, _ in checks if not right]
    explained = [name for name, right, pair in checks if not right and _equally_right(pair)]
    bits = [name for name in ("output", "gradient") if not record[f"same_{name}"]]
    reasons = [f"{name} differs" for name in wrong if name not in explained]
    reasons += [f"{name} of a batch differs from one by one" for name in bits]
    if reasons:
        return {"result": "wrong", "reason": "; ".join(reasons)}
    if explained:
        pairs = [f"{name}: {_pair(pair)}" for name, right, pair in checks if not right]
        return {"result": "float64", "reason": "; ".join(pairs)}
    return {"result": "exact"}


def _equally_right(pair: Optional[Tuple[float, float]]) -> bool:
    return pair is not None and pair[0] <= FACTOR * pair[1]


def _pair(pair: Optional[Tuple[float, float]]) -> str:
    ours, theirs = pair or (float("nan"), float("nan"))
    return f"against float64 cnnviz is off by {ours:.1e} and PyTorch by {theirs:.1e}"
