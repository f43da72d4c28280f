"""A watched run of a PyTorch module: its parts' outputs, and its branches on the picture's numbers."""

from __future__ import annotations

import linecache
import os
import sys
from types import MappingProxyType
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from cnnviz.loading.agreement import Print, fingerprint
from cnnviz.loading.module_names import inside

NONE: Mapping[str, Any] = MappingProxyType({})


class Run(NamedTuple):
    """A watched run of a module.

    Attributes
    ----------
    output : Any
        The module's output, of whatever type; None when it raised an error.
    error : Exception or None
    parts : dict of str to Print
        By the qualified name of a submodule, the fingerprint of the tensor that its last call returned.
    """

    output: Any
    error: Optional[Exception]
    parts: Dict[str, Print]


def watched(
    torch: Any, module: Any, tensors: Sequence[Any], named: Mapping[str, Any] = NONE, *, parts: bool = True
) -> Run:
    """Run a module on its arguments, and take the fingerprints of its parts' outputs, if `parts` is true."""
    found: Dict[str, Print] = {}

    def hook(name: str) -> Any:
        def keep(part: Any, inputs: Any, output: Any) -> None:
            if torch.is_tensor(output) and output.is_floating_point():
                found[name] = fingerprint(output.detach().numpy())

        return keep

    handles = []
    if parts and not isinstance(module, torch.jit.ScriptModule):
        inner = ((inside(name), part) for name, part in module.named_modules())
        handles = [part.register_forward_hook(hook(name)) for name, part in inner if name]
    try:
        with torch.no_grad():
            return Run(module(*tensors, **named), None, found)
    except Exception as error:  # whatever a user's module raises at a size that it does not take
        return Run(None, error, found)
    finally:
        for handle in handles:
            handle.remove()


def course(torch: Any, module: Any, tensors: Sequence[Any]) -> List[str]:
    """Return the names of the operators that a module runs on tensors, in their order."""
    from torch.utils._python_dispatch import TorchDispatchMode

    names: List[str] = []

    class Record(TorchDispatchMode):  # type: ignore[misc]  # torch has no types here
        """Notes each operator."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            names.append(str(func))
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Record():
        module(*tensors)
    return names


def frozen_branches(torch: Any, module: Any, tensors: Sequence[Any]) -> List[str]:
    """Return the source lines at which a module turns numbers of the picture into numbers of Python.

    A branch, a loop or a factor that is taken from them is frozen in an export: it is the example's.
    """
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.weak import WeakIdKeyDictionary

    places: Dict[str, None] = {}
    moving = WeakIdKeyDictionary()  # the tensors that depend on the picture
    for tensor in tensors:
        moving[tensor] = True
    root = os.path.dirname(torch.__file__)

    class Watch(TorchDispatchMode):  # type: ignore[misc]  # torch has no types here
        """Follows the picture's numbers through the operators."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            given = tree_leaves((args, kwargs or {}))
            if any(torch.is_tensor(one) and one in moving for one in given):
                if func is torch.ops.aten._local_scalar_dense.default:
                    places.setdefault(_caller(root))
                for one in tree_leaves(found):
                    if torch.is_tensor(one):
                        moving[one] = True
            return found

    with torch.no_grad(), Watch():
        module(*tensors)
    return list(places)


def _caller(root: str) -> str:
    """The innermost source line outside of PyTorch and of this file."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if file != __file__ and not file.startswith(root):
            break
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, line).strip()
    return f"{os.path.basename(file)}:{line}" + (f" ({text})" if text else "")
