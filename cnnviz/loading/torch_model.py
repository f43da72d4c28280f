"""The export of a PyTorch module that is right: at the example, for other batches, at other sizes."""

from __future__ import annotations

import copy
from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Set, Tuple

from numpy.typing import NDArray

from cnnviz.errors import CnnvizError, UnsupportedModelError
from cnnviz.graph.graph import Graph, Tensor, ancestors, producers
from cnnviz.loading.agreement import Print, check, same
from cnnviz.loading.fingerprints import prints_of
from cnnviz.loading.module_names import candidates
from cnnviz.loading.torch_export import Export, exports, quiet
from cnnviz.loading.torch_inputs import Example, another_batch, second_example
from cnnviz.loading.torch_watch import Run, course, watched
from cnnviz.model.model import Model
from cnnviz.pictures.preprocessing import Preprocessing, usual_order
from cnnviz.reader.onnx_file import read


class _Case(NamedTuple):
    """Inputs, and the module's run on them."""

    inputs: Example
    run: Run


class _Attempt(NamedTuple):
    """An export that is right at the example; `free` says that it is at the second size too."""

    model: Model
    message: Any
    free: bool


def converted(torch: Any, module: Any, example: Example, run: Run, name: str) -> Graph:
    """Return the graph of a module, with the names of the module's parts and the values that fix the size.

    Parameters
    ----------
    torch : module
    module : torch.nn.Module
        From the example's tensors to one tensor, in evaluation mode, float32, on the CPU.
    example : Example
    run : Run
        The module's watched run on the example.
    name : str
        The model's name in messages.

    Raises
    ------
    UnsupportedModelError, CnnvizError
        When no export is right at the example.
    """
    other = another_batch(example, torch)
    first = _Case(example, run)
    cases = [first, _Case(other, watched(torch, module, other.copies(), parts=False))]
    sized = second_example(example, torch)
    second = _Case(sized, watched(torch, module, sized.copies()))
    best = _search(torch, module, name, cases, second)
    names = _part_names(best, first)
    fixed = frozenset() if best.free else _fixed(best.model, names, second)
    graph = best.model.graph
    inputs = tuple(_declared(tensor, example, best.free) for tensor in graph.inputs)
    return graph.replace(inputs=inputs, aliases={**graph.aliases, **names}, fixed=fixed)


def _declared(tensor: Tensor, example: Example, free: bool) -> Tensor:
    """An input with the axes that are free in the module."""
    given = dict(zip(example.names, example.tensors)).get(tensor.name, example.x)
    if not example.rows(given):
        return tensor
    open_size = free and example.sized(given)
    return Tensor(
        tensor.name, (None, *(None if open_size and i else n for i, n in enumerate(given.shape[1:])))
    )


def _search(torch: Any, module: Any, name: str, cases: List[_Case], second: _Case) -> _Attempt:
    """The first export that is right at every size, else the first one that is right at the example's."""
    found: Optional[_Attempt] = None
    found_free = False  # whether sizes that were to be free came out wrong
    errors: List[Exception] = []
    for way in exports(torch, module, cases[0].inputs):
        if found is not None and not (way.free_size and found_free):
            continue  # it is no better than what was found
        if way.free_size and way.slow and not _takes_one_course(torch, module, cases[0], second):
            continue  # no export holds both courses
        try:
            attempt = _attempt(torch, module, name, way, cases, second)
        except Exception as error:  # exporters raise whatever their parts raise
            errors.append(error)
            continue
        if attempt.free or second.run.error is not None:
            return attempt
        if found is None:
            found, found_free = attempt, way.free_size
    if found is None:
        raise _worst(name, errors)
    return found


def _takes_one_course(torch: Any, module: Any, first: _Case, second: _Case) -> bool:
    """Whether the module runs the same operators at both sizes; a window may be skipped on a small map."""
    if second.run.error is not None:
        return False
    return course(torch, module, first.inputs.copies()) == course(torch, module, second.inputs.copies())


def _attempt(torch: Any, module: Any, name: str, way: Export, cases: List[_Case], second: _Case) -> _Attempt:
    with quiet(torch):
        message = way.make()
    channels, *size = cases[0].inputs.x.shape[1:]
    graph = read(message)
    feed = Preprocessing(size=tuple(size), channel_order=usual_order(channels))
    kinds = {cases[0].inputs.picture: "picture"} if len(cases[0].inputs.names) > 1 else None
    model = Model(graph, preprocessing=feed, name=name, inputs=kinds)
    for case in cases:
        if case.run.error is None:
            _check(torch, module, model, case)
    try:
        free = second.run.error is None
        if free:
            _check(torch, module, model, second)
    except (ValueError, CnnvizError):
        free = False
    return _Attempt(model, message, free)


def _check(torch: Any, module: Any, model: Model, case: _Case) -> None:
    def exact() -> Optional[NDArray[Any]]:
        try:
            with torch.no_grad():
                if not torch.equal(module(*case.inputs.copies()), case.run.output):
                    return None  # every call has another answer
                doubled = (one.double() if one.is_floating_point() else one for one in case.inputs.copies())
                found: NDArray[Any] = copy.deepcopy(module).double()(*doubled).numpy()
                return found
        except Exception:  # a module that casts to float32 itself
            return None

    check(model.name, model.forward(case.inputs.given), case.run.output.float().numpy(), exact)


def _worst(name: str, errors: List[Exception]) -> Exception:
    """The error that says most: outputs that differ, operators that are missing, then the exporters' own."""
    ours = [error for error in errors if isinstance(error, (CnnvizError, ValueError))]
    for error in ours:
        if isinstance(error, CnnvizError) and "differ from the original" in str(error):
            return error
    missing = [error for error in ours if isinstance(error, UnsupportedModelError)]
    if missing:
        return missing[-1]
    lines = [f"  {type(error).__name__}: {_first_line(error)}" for error in errors]
    return CnnvizError("\n".join([f"{name}: the module cannot be exported:", *dict.fromkeys(lines)]))


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:300]


def _part_names(attempt: _Attempt, first: _Case) -> Dict[str, str]:
    """The value of each part of the module: one whose numbers at the example are the part's output.

    A convolution with its batch normalisation folded into it has the output of the latter.
    """
    model = attempt.model
    taken = {name for node in model.graph.nodes for name in (node.name, *node.outputs)}
    taken.update(model.inputs)
    wanted: Dict[str, List[str]] = {}
    for part, values in candidates(attempt.message).items():
        alive = [value for value in map(model.layers.find, values) if value and value in model.layers]
        if part in first.run.parts and part not in taken and alive:
            wanted[part] = list(dict.fromkeys(alive))
    named = {value for among in wanted.values() for value in among}
    prints = prints_of(
        model, [value for value in model.layers if value in named], first.inputs.given, len(first.inputs.x)
    )
    parts = first.run.parts
    names: Dict[str, str] = {}
    for part, among in wanted.items():
        match = next((value for value in among if value in prints and same(prints[value], parts[part])), None)
        if match is None and among[0] in prints:
            folded = any(same(prints[among[0]], other) for other in parts.values())
            match = among[0] if folded and prints[among[0]][0] == parts[part][0] else None
        if match is not None:
            names[part] = match
    return {**_matching(prints, parts, {*names, *taken}), **names}


def _matching(prints: Mapping[str, Print], parts: Mapping[str, Print], done: Set[str]) -> Dict[str, str]:
    """The parts that no node names, such as a batch normalisation that was folded away: by their numbers."""
    by_size: Dict[float, List[str]] = {}
    for value, found in prints.items():
        by_size.setdefault(float(found[0]), []).append(value)
    names: Dict[str, str] = {}
    for part, wanted in parts.items():
        if part not in done:
            among = by_size.get(float(wanted[0]), ())
            match = next((value for value in among if same(prints[value], wanted)), None)
            if match is not None:
                names[part] = match
    return names


def _fixed(model: Model, names: Mapping[str, str], second: _Case) -> FrozenSet[str]:
    """The values that are not proved right at the second size.

    Proved are the outputs of parts that agree with the module's there, and the values that these depend on.
    """
    order = {value: index for index, value in enumerate(model.layers)}
    pairs = sorted(
        ((value, part) for part, value in names.items() if part in second.run.parts),
        key=lambda pair: order[pair[0]],
    )
    count = _most_that_run(model, [value for value, _ in pairs], tuple(second.inputs.x.shape))
    prints = prints_of(
        model,
        list(dict.fromkeys(value for value, _ in pairs[:count])),
        second.inputs.given,
        len(second.inputs.x),
    )
    proved = {value for value, part in pairs[:count] if same(prints[value], second.run.parts[part])}
    return frozenset(producers(model.graph)) - ancestors(model.graph, proved)


def _most_that_run(model: Model, values: List[str], shape: Tuple[int, ...]) -> int:
    """The length of the longest beginning of `values` that the network computes at this size."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high + 1) // 2
        try:
            model._pool.lower(shape, values[:middle])
            low = middle
        except ValueError:
            high = middle - 1
    return low
