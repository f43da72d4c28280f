"""The inputs of a PyTorch module: the picture, and what comes beside it, as an example and varied."""

from __future__ import annotations

import inspect
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

# The name of the only input of a module.
_ONLY = "input"
# The numbers by which the second size is larger, for signals, pictures and volumes.
_MORE = {1: (32,), 2: (32, 64), 3: (8, 16, 24)}


class Example(NamedTuple):
    """Inputs of a module.

    Attributes
    ----------
    names : tuple of str
        The names of the tensors: the parameters of the module's forward, "input" for a single one.
    tensors : tuple of torch.Tensor
        On the CPU, floats in float32.
    picture : str
        The name of the picture N,C,H,W.
    fixed : dict of (int or str) to Any
        Arguments that are no tensors, by position or by name: they are fixed in the export.
    keywords : bool
        Whether the module is called with names.
    """

    names: Tuple[str, ...]
    tensors: Tuple[Any, ...]
    picture: str
    fixed: Mapping[Any, Any]
    keywords: bool = False

    @property
    def x(self) -> Any:
        """The picture."""
        return self.tensors[self.names.index(self.picture)]

    @property
    def plain(self) -> bool:
        """Whether the module is called with these tensors alone, by position."""
        return not self.keywords and not self.fixed

    @property
    def given(self) -> Any:
        """The input that `Model.forward` takes."""
        arrays = {name: tensor.numpy() for name, tensor in zip(self.names, self.tensors)}
        return arrays if len(arrays) > 1 else arrays[self.names[0]]

    def copies(self) -> List[Any]:
        """Return copies of the tensors: a module may write into them."""
        return [tensor.clone() for tensor in self.tensors]

    def rows(self, tensor: Any) -> bool:
        """Whether a tensor has a row for each picture."""
        return tensor.ndim > 0 and len(tensor) == len(self.x)

    def sized(self, tensor: Any) -> bool:
        """Whether a tensor is a picture of the same size."""
        return tensor.ndim == self.x.ndim and tensor.shape[2:] == self.x.shape[2:]

    def call(self, tensors: Tuple[Any, ...]) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
        """Return the positional and the named arguments of the module, with other tensors."""
        if self.keywords:
            return (), {**dict(zip(self.names, tensors)), **self.fixed}
        left: Iterator[Any] = iter(tensors)
        count = len(tensors) + len(self.fixed)
        return tuple(self.fixed[i] if i in self.fixed else next(left) for i in range(count)), {}


def example_of(torch: Any, module: Any, example: Any, kinds: Optional[Mapping[str, str]] = None) -> Example:
    """Return the inputs that a caller gives as an example: a tensor, a shape, a tuple or a dictionary.

    Parameters
    ----------
    torch : module
    module : torch.nn.Module
    example : Any
    kinds : mapping of str to str, optional
        The caller's "picture" and "array", by name; the first picture is explained, by default the first
        tensor of four axes.

    Raises
    ------
    ValueError
        When no input is a picture N,C,H,W.
    """
    if isinstance(example, (tuple, list)) and example and all(isinstance(n, int) for n in example):
        shape = tuple(example) if len(example) == 4 else (1, *example)
        example = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    several = isinstance(example, (tuple, list, dict)) and any(map(torch.is_tensor, _values(example)))
    if not several or (len(_values(example)) == 1 and not isinstance(example, dict)):
        only = _values(example)[0] if several else example
        return Example((_ONLY,), (_checked(module, _tensor(torch, only)),), _ONLY, {})
    keywords = isinstance(example, dict)
    arguments: Dict[Any, Any] = dict(example) if keywords else dict(enumerate(example))
    named: Dict[Any, str] = {key: key if keywords else _parameter(module, key) for key in arguments}
    moving = [
        key for key, value in arguments.items() if torch.is_tensor(value) or isinstance(value, np.ndarray)
    ]
    names = tuple(named[key] for key in moving)
    tensors = tuple(_tensor(torch, arguments[key]) for key in moving)
    marked = [one for one, kind in (kinds or {}).items() if kind == "picture" and one in names]
    likely = [one for one, tensor in zip(names, tensors) if tensor.ndim == 4]
    likely += [one for one, tensor in zip(names, tensors) if tensor.ndim == _axes(module)]
    picture = next(iter((*marked, *likely)), None)
    if picture is None:
        shapes = ", ".join(f"{one} {tuple(tensor.shape)}" for one, tensor in zip(names, tensors))
        raise ValueError(f"example has no picture N,C,H,W among its tensors: {shapes}")
    _checked(module, tensors[names.index(picture)])
    fixed = {key: value for key, value in arguments.items() if key not in moving}
    return Example(names, tensors, picture, fixed, keywords)


def another_batch(example: Example, torch: Any) -> Example:
    """Return a batch of another length, of images like those of the example."""
    alone = len(example.x) == 1

    def varied(tensor: Any) -> Any:
        if not example.rows(tensor):
            return tensor
        other = (
            tensor.flip(-1) if example.sized(tensor) else tensor / 2 if tensor.is_floating_point() else tensor
        )
        return torch.cat([other, tensor]) if alone else other[:1]

    return example._replace(tensors=tuple(varied(tensor) for tensor in example.tensors))


def second_example(example: Example, torch: Any) -> Example:
    """Return random pictures like those of the example: a batch of two, of another height and width."""
    generator = torch.Generator().manual_seed(1)

    def varied(tensor: Any) -> Any:
        if not example.rows(tensor):
            return tensor
        if not example.sized(tensor):
            return torch.cat([tensor, tensor.flip(0)])[:2]
        c, *size = tensor.shape[1:]
        other = (n + more for n, more in zip(size, _MORE[len(size)]))
        noise = torch.randn((2, c, *other), generator=generator)
        mean, std = float(tensor.mean()), float(tensor.std()) if tensor.numel() > 1 else 1.0
        return noise * (std if np.isfinite(std) else 1.0) + mean

    return example._replace(tensors=tuple(varied(tensor) for tensor in example.tensors))


def _values(example: Any) -> List[Any]:
    return list(example.values()) if isinstance(example, dict) else list(example)


def _tensor(torch: Any, given: Any) -> Any:
    tensor = torch.as_tensor(given).detach().to("cpu", copy=True)
    return tensor.float() if tensor.is_floating_point() else tensor


def _checked(module: Any, tensor: Any) -> Any:
    """The picture: N,C,H,W, or for a module of signals or volumes N,C,L or N,C,D,H,W."""
    axes = _axes(module)
    if tensor.ndim not in ((5,) if axes == 5 else (4, axes)) or tensor.numel() == 0:
        form = {3: "N,C,L", 4: "N,C,H,W", 5: "N,C,D,H,W"}[axes]
        hint = ": add the batch axis, example[None]" if tensor.ndim == axes - 1 else ""
        raise ValueError(f"example has shape {tuple(tensor.shape)}: it must be {form}{hint}")
    return tensor.float()


def _axes(module: Any) -> int:
    """The axes of what the first convolution reads, 4 for a module without any."""
    axes = {"Conv1d": 3, "Conv2d": 4, "Conv3d": 5}
    for part in module.modules():
        name = getattr(part, "original_name", type(part).__name__)  # a scripted part has the former
        if name in axes:
            return axes[name]
    return 4


def _parameter(module: Any, position: int) -> str:
    """The name of a parameter of the module's forward; a scripted one may not tell it."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in kinds]
    return names[position] if position < len(names) else f"{_ONLY}_{position}"
