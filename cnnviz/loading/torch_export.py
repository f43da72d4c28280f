"""PyTorch's exporters: a module as ONNX messages, the likeliest to be right at every size first."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

import numpy as np

from cnnviz.loading.adaptive_pool import adaptive_pooling

# LayerNormalization and Gelu are one operator each from opsets 17 and 20 on; attention needs 14. The newer
# exporter writes 18 and only converts to others.
_TRACED_OPSET = 20
_EXPORTED_OPSET = 18
_FREE = {0: "batch", 2: "height", 3: "width"}


class Export(NamedTuple):
    """One way to export.

    Attributes
    ----------
    make : callable
        The maker of a message.
    free_size : bool
        Whether height and width are free in the message.
    slow : bool
        Whether the way is that of the newer exporter.
    """

    make: Callable[[], Any]
    free_size: bool
    slow: bool


def exports(torch: Any, module: Any, x: Any) -> List[Export]:
    """Return the ways to export a module, best first.

    The older exporter is ten times as fast and needs no further package, so it comes first; the newer one is
    for modules that the older one cannot write. A scripted module has the older one alone.
    """
    ways = [
        Export(lambda: _traced(torch, module, x, _FREE), True, False),
        Export(lambda: _traced(torch, module, x, {0: "batch"}), False, False),
    ]
    scripted = isinstance(module, torch.jit.ScriptModule)
    if not scripted and importlib.util.find_spec("onnxscript") is not None:
        ways += [
            Export(lambda: _exported(torch, module, x, (0, 2, 3)), True, True),
            Export(lambda: _exported(torch, module, x, (0,)), False, True),
        ]
    return ways


def _traced(torch: Any, module: Any, x: Any, axes: Dict[int, str]) -> Any:
    import onnx

    buffer = io.BytesIO()
    with adaptive_pooling(torch):
        torch.onnx.export(
            module,
            (x,),
            buffer,
            opset_version=_TRACED_OPSET,
            dynamo=False,
            input_names=["input"],
            dynamic_axes={"input": axes},
        )
    return onnx.load_from_string(buffer.getvalue())


def _exported(torch: Any, module: Any, x: Any, axes: Tuple[int, ...]) -> Any:
    # A batch of one would be taken for a constant.
    pair = torch.cat([x, x])[:2] if len(x) == 1 else x
    free = dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
    program = torch.onnx.export(
        module, (pair,), dynamo=True, opset_version=_EXPORTED_OPSET, dynamic_shapes=(free,), verbose=False
    )
    return program.model_proto


@contextlib.contextmanager
def quiet(torch: Any) -> Iterator[None]:
    """Keep what exporters print, log and warn of from the caller, and attention free of its fused kernel.

    Their messages concern their own insides; the fused kernel of nn.MultiheadAttention has no ONNX form.
    """
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    print_graph = getattr(torch._C, "_jit_onnx_log", None)  # it writes past sys.stdout
    fused = torch.backends.mha.get_fastpath_enabled()
    streams = contextlib.ExitStack()
    with warnings.catch_warnings(), streams:
        streams.enter_context(contextlib.redirect_stdout(io.StringIO()))
        streams.enter_context(contextlib.redirect_stderr(io.StringIO()))
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)
            if print_graph is not None:
                torch._C._jit_onnx_log = lambda *lines: None
            torch.backends.mha.set_fastpath_enabled(False)
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            if print_graph is not None:
                torch._C._jit_onnx_log = print_graph
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def second_example(x: Any, torch: Any) -> Any:
    """Return random numbers like those of x: a batch of two, of another height and another width."""
    _, c, h, w = x.shape
    noise = torch.randn((2, c, h + 32, w + 64), generator=torch.Generator().manual_seed(1))
    mean, std = float(x.mean()), float(x.std()) if x.numel() > 1 else 1.0
    return noise * (std if np.isfinite(std) else 1.0) + mean


def another_batch(x: Any, torch: Any) -> Any:
    """Return a batch of another length than x, of images like those in x."""
    return torch.cat([x.flip(3), x]) if len(x) == 1 else x[:1].flip(3)
