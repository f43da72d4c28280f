"""PyTorch's exporters: a module as ONNX messages, the likeliest to be right at every size first."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple

from cnnviz.loading.adaptive_pool import adaptive_pooling
from cnnviz.loading.rms_norm import rms_norm
from cnnviz.loading.silence import silenced
from cnnviz.loading.torch_inputs import Example
from cnnviz.loading.torch_module import INNER

# LayerNormalization and Gelu are one operator each from opsets 17 and 20 on; attention needs 14. The newer
# exporter writes 18 and only converts to others.
_TRACED_OPSET = 20
_EXPORTED_OPSET = 18
_FREE = {0: "batch", 2: "height", 3: "width", 4: "columns"}


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


def exports(torch: Any, module: Any, example: Example) -> List[Export]:
    """Return the ways to export a module, best first.

    The older exporter is ten times as fast and needs no further package, so it comes first; the newer one is
    for modules that the older one cannot write. A scripted module has the older one alone.
    """
    ways = [
        Export(lambda: _traced(torch, module, example, _FREE), True, False),
        Export(lambda: _traced(torch, module, example, {0: "batch"}), False, False),
    ]
    scripted = isinstance(module, torch.jit.ScriptModule)
    if not scripted and importlib.util.find_spec("onnxscript") is not None:
        ways += [
            Export(lambda: _exported(torch, module, example, _FREE), True, True),
            Export(lambda: _exported(torch, module, example, {0: "batch"}), False, True),
        ]
    return ways


def _axes(example: Example, tensor: Any, axes: Mapping[int, str]) -> Dict[int, str]:
    """The free axes of an input: those of the picture that it shares."""
    places = tensor.ndim if example.sized(tensor) else 1
    shared = {axis: name for axis, name in axes.items() if axis < places}
    return shared if example.rows(tensor) else {}


def _traced(torch: Any, module: Any, example: Example, axes: Mapping[int, str]) -> Any:
    import onnx

    buffer = io.BytesIO()
    named = zip(example.names, example.tensors)
    with adaptive_pooling(torch), rms_norm(torch):
        torch.onnx.export(
            module,
            example.tensors,
            buffer,
            opset_version=_TRACED_OPSET,
            dynamo=False,
            input_names=list(example.names),
            dynamic_axes={name: _axes(example, tensor, axes) for name, tensor in named},
        )
    return onnx.load_from_string(buffer.getvalue())


def _exported(torch: Any, module: Any, example: Example, axes: Mapping[int, str]) -> Any:
    # A batch of one would be taken for a constant.
    pair = tuple(
        torch.cat([tensor, tensor]) if len(example.x) == 1 and example.rows(tensor) else tensor
        for tensor in example.tensors
    )
    free = tuple(
        dict.fromkeys(_axes(example, tensor, axes), torch.export.Dim.DYNAMIC) for tensor in example.tensors
    )
    variadic = len(pair) > 1 and hasattr(module, INNER)  # the wrapper's forward(*tensors)
    program = torch.onnx.export(
        module,
        pair,
        dynamo=True,
        opset_version=_EXPORTED_OPSET,
        dynamic_shapes=(free,) if variadic else free,
        input_names=list(example.names),
        verbose=False,
    )
    return program.model_proto


@contextlib.contextmanager
def quiet(torch: Any) -> Iterator[None]:
    """Keep what exporters print, log and warn of from the caller, and attention free of its fused kernel.

    Their messages concern their own insides; the fused kernel of nn.MultiheadAttention has no ONNX form.
    """
    print_graph = getattr(torch._C, "_jit_onnx_log", None)  # it writes past sys.stdout
    fused = torch.backends.mha.get_fastpath_enabled()
    with silenced("torch", "onnxscript", "onnx_ir"):
        try:
            if print_graph is not None:
                torch._C._jit_onnx_log = lambda *lines: None
            torch.backends.mha.set_fastpath_enabled(False)
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            if print_graph is not None:
                torch._C._jit_onnx_log = print_graph
