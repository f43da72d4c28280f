"""A PyTorch module made ready for export: a float32 copy on the CPU, from tensors to one tensor."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple, Union

from cnnviz.loading.torch_inputs import Example

OutputLike = Union[None, int, str]

#: The attribute under which a wrapper holds the module: a scope that layer names leave out.
INNER = "cnnviz_module"
# The names under which libraries return the scores among other outputs.
_USUAL = ("logits", "out", "output", "scores")


def ready(torch: Any, module: Any) -> Any:
    """Return a float32 copy of a module on the CPU, in evaluation mode; the module itself stays as it is.

    Raises
    ------
    TypeError
        When `module` is no module, or holds quantised weights.
    """
    module = _unwrapped(torch, module)
    if not isinstance(module, torch.nn.Module):
        hint = ": build the network and load_state_dict first" if isinstance(module, Mapping) else ""
        raise TypeError(f"module must be a torch.nn.Module, not {type(module).__name__}{hint}")
    if any(tensor.is_quantized for tensor in module.state_dict().values() if torch.is_tensor(tensor)):
        raise TypeError("module holds quantised weights: pass the float module that it was made from")
    # A tensor with a gradient function, as weight_norm keeps one, refuses to be copied.
    memo = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if torch.is_tensor(value) and value.grad_fn is not None
    }
    with torch.no_grad():
        twin = copy.deepcopy(module, memo).cpu().float().eval()
    for part in list(twin.modules()):
        if getattr(part, "_compiled_call_impl", None) is not None:
            part._compiled_call_impl = None
        _plain_weights(torch, part)
    return twin


def _plain_weights(torch: Any, part: Any) -> None:
    """Replace weights that are computed from others, as by weight_norm, by their numbers."""
    parametrize = torch.nn.utils.parametrize
    if parametrize.is_parametrized(part):
        # Copies share their class with the original, and the property to remove stands in the class.
        own = type(part)
        members = {k: v for k, v in vars(own).items() if k not in ("__dict__", "__weakref__")}
        part.__class__ = type(own.__name__, own.__bases__, members)
        for name in list(part.parametrizations):
            parametrize.remove_parametrizations(part, name, leave_parametrized=True)
    for hook in list(part._forward_pre_hooks.values()):
        if type(hook).__name__ == "WeightNorm":  # its module has the name of a function
            torch.nn.utils.remove_weight_norm(part, hook.name)


def _unwrapped(torch: Any, module: Any) -> Any:
    """The module inside torch.compile's, DataParallel's and weight averaging's wrappers."""
    wrappers = (
        torch.nn.DataParallel,
        torch.nn.parallel.DistributedDataParallel,
        torch.optim.swa_utils.AveragedModel,
    )
    while True:
        if hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif isinstance(module, wrappers):
            module = module.module
        else:
            return module


def chosen(torch: Any, found: Any, output: OutputLike) -> Tuple[Any, Optional[Tuple[Any, ...]]]:
    """Return one tensor of a module's output, and the keys that lead to it: None for a tensor.

    Without `output`, the usual names of scores come first ("logits", "out"), then the first tensor.

    Raises
    ------
    ValueError
        When the output has no such tensor; the message lists those that it has.
    """
    if torch.is_tensor(found):
        if output not in (None, 0):
            raise ValueError(f"output {output!r} does not exist: the module returns one tensor")
        return found, None
    tensors = {path: value for path, value in _paths(found) if torch.is_tensor(value)}
    names = {".".join(map(str, path)): path for path in tensors}
    if output is None:
        usual = [names[name] for name in _USUAL if name in names]
        path = next(iter((*usual, *tensors)), None)
    elif isinstance(output, int):
        path = dict(enumerate(tensors)).get(output)
    else:
        path = names.get(output)
    if path is None:
        if not tensors:
            raise ValueError(f"the module returns no tensor but {type(found).__name__}")
        listed = ", ".join(names)
        raise ValueError(f"output {output!r} does not exist: the module returns the tensors {listed}")
    return tensors[path], path


def wrapped(torch: Any, module: Any, path: Optional[Tuple[Any, ...]], example: Example) -> Any:
    """Return a module from the example's tensors to the tensor at `path` of the given module's output."""
    if path is None and example.plain:
        return module

    def run(wrapper: Any, tensors: Tuple[Any, ...]) -> Any:
        positional, named = example.call(tensors)
        found = getattr(wrapper, INNER)(*positional, **named)
        for key in path or ():
            found = fields(found)[key]
        return found

    class Single(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        """A module of one tensor, with one for its output."""

        def __init__(self) -> None:
            super().__init__()
            self.add_module(INNER, module)

        def forward(self, x: Any) -> Any:
            return run(self, (x,))

    class Several(Single):
        """A module of several tensors, with one for its output."""

        def forward(self, *tensors: Any) -> Any:
            return run(self, tensors)

    return (Single if len(example.tensors) == 1 else Several)().eval()


def fields(value: Any) -> Mapping[Any, Any]:
    """The members of a container by name or position; empty for anything else."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        named: Dict[str, Any] = value._asdict()
        return named
    return dict(enumerate(value)) if isinstance(value, (tuple, list)) else {}


def _paths(value: Any, path: Tuple[Any, ...] = ()) -> Iterator[Tuple[Tuple[Any, ...], Any]]:
    members = fields(value)
    if not members:
        yield path, value
    for key, member in members.items():
        yield from _paths(member, (*path, key))
