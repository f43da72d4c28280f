"""What a model is given: its inputs and the targets about them, checked before a pass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.entry import has_batch, input_shapes, shown
from cnnviz.graph.graph import Graph, Tensor
from cnnviz.model.answers import with_batch_axis
from cnnviz.model.layers import LayerList
from cnnviz.objectives import IMAGE, INPUT, Objective
from cnnviz.one_line import times
from cnnviz.pictures.arithmetic import all_finite, single
from cnnviz.pictures.arrays import as_array
from cnnviz.pictures.preprocessing import Preprocessing

Array = NDArray[np.float32]
#: The network's input N,C,H,W, or for a network of several inputs all of them by name.
InputLike = Union[Array, Mapping[str, Any]]


class Feeds(NamedTuple):
    """The inputs of a pass.

    Attributes
    ----------
    x : ndarray, shape (N, C, H, W)
        The picture's input.
    others : dict of str to ndarray
        The other inputs by name, in the graph's order.
    rows : frozenset of str
        The others that have a row for each image.
    """

    x: Array
    others: Mapping[str, Array]
    rows: FrozenSet[str]

    def cut(self, start: int, stop: int) -> Feeds:
        """Return the images from `start` to `stop`."""
        cut = {name: array[start:stop] if name in self.rows else array for name, array in self.others.items()}
        return self._replace(x=self.x[start:stop], others=cut)


@dataclass(frozen=True)
class Inputs:
    """The inputs of a network beside the picture, and the numbers that some of them are bound to.

    Attributes
    ----------
    graph : Graph
        Its first input is the picture.
    kinds : dict of str to str
        "picture" or "array" for each input, the picture that is explained first.
    bound : dict of str to ndarray
        Numbers of other inputs, with a row for each image, one row for all images, or one number for all.
    """

    graph: Graph
    kinds: Mapping[str, str]
    bound: Mapping[str, Array] = field(default_factory=dict)

    @property
    def picture(self) -> str:
        """The name of the picture's input."""
        return self.graph.inputs[0].name

    def listed(self) -> str:
        """Return the inputs beside the picture, with their shapes and what is bound, for messages."""
        return ", ".join(
            f"{one.name!r} {shown(one.shape)}" + (", bound" if one.name in self.bound else "")
            for one in self.graph.inputs[1:]
        )

    def bind(self, values: Mapping[str, Any], preprocessing: Preprocessing) -> Inputs:
        """Bind other inputs to numbers, or to pictures where they take pictures."""
        if not isinstance(values, Mapping):
            raise TypeError(
                f"inputs must be a mapping, such as {{'age': 40.0}}, not of type {type(values).__name__}"
            )
        made = {name: _kept(self._bindable(name, value, preprocessing)) for name, value in values.items()}
        return replace(self, bound={**self.bound, **made})

    def repeated(self, copies: int) -> Inputs:
        """Bind the same rows to several copies of a batch, one copy after another."""
        bound = {name: _as_row(array, self._tensor(name)) for name, array in self.bound.items()}
        rows = [one.name for one in self.graph.inputs[1:] if has_batch(self.graph, one) and one.name in bound]
        copied = {name: np.concatenate([bound[name]] * copies) for name in rows if len(bound[name]) > 1}
        return replace(self, bound={**self.bound, **copied})

    def row(self, row: int) -> Dict[str, Array]:
        """Return what is bound for one image: one row of what has a row for each, and the rest as it is."""
        found = dict(self.bound)
        for tensor in self.graph.inputs[1:]:
            if tensor.name in found and has_batch(self.graph, tensor):
                array = _as_row(found[tensor.name], tensor)
                found[tensor.name] = array[row : row + 1] if array.ndim and len(array) > 1 else array
        return found

    def split(self, image: Any, preprocessing: Preprocessing) -> Tuple[Inputs, Any]:
        """Bind what a mapping, or a list of mappings, holds beside the picture; return the picture alone."""
        if isinstance(image, Mapping):
            key, others = self._keys(image)
            return self.bind(others, preprocessing), image[key]
        if isinstance(image, (list, tuple)) and any(isinstance(one, Mapping) for one in image):
            if not all(isinstance(one, Mapping) and one.keys() == image[0].keys() for one in image):
                raise ValueError("image must list mappings with the same inputs, or pictures")
            key, others = self._keys(image[0])
            values = {
                name: _kept(self._listed(name, [one[name] for one in image], preprocessing))
                for name in others
            }
            return replace(self, bound={**self.bound, **values}), [one[key] for one in image]
        return self, image

    def feeds(self, x: InputLike, channels: int) -> Feeds:
        """Return checked inputs for a pass: of a mapping, or of the picture's input and what is bound."""
        given = self.bound
        if isinstance(x, Mapping):
            key, others = self._keys(x)
            given, x = {**given, **{name: _floats(one, name) for name, one in others.items()}}, x[key]
        checked = checked_input(x, channels, len(self.graph.inputs[0].shape or (None,) * 4))
        if len(self.graph.inputs) == 1:
            return Feeds(checked, {}, frozenset())
        missing = [tensor for tensor in self.graph.inputs[1:] if tensor.name not in given]
        if missing:
            raise ValueError(self._missing(missing))
        shapes = input_shapes(self.graph, checked.shape)
        rows = frozenset(tensor.name for tensor in self.graph.inputs[1:] if has_batch(self.graph, tensor))
        made = {
            tensor.name: _shaped(given[tensor.name], shapes[tensor.name], tensor, tensor.name in rows)
            for tensor in self.graph.inputs[1:]
        }
        return Feeds(checked, made, rows)

    def _tensor(self, name: str) -> Tensor:
        return next(tensor for tensor in self.graph.inputs if tensor.name == name)

    def _keys(self, given: Mapping[str, Any]) -> Tuple[str, Dict[str, Any]]:
        """The key of the picture, its name or "image", and the other entries."""
        names = [tensor.name for tensor in self.graph.inputs]
        key = IMAGE if IMAGE in given and IMAGE not in names else self.picture
        if key not in given:
            raise ValueError(f"image has no entry {self.picture!r} (or {IMAGE!r}), only {_quoted(given)}")
        unknown = [name for name in given if name != key and name not in names]
        if unknown:
            raise ValueError(
                f"image has the entry {unknown[0]!r}; the inputs are {_quoted(names)}, without those "
                "that were fixed when it was loaded"
            )
        return key, {name: value for name, value in given.items() if name != key}

    def _bindable(self, name: str, value: Any, preprocessing: Preprocessing) -> Array:
        tensor = next((tensor for tensor in self.graph.inputs[1:] if tensor.name == name), None)
        if tensor is None:
            others = _quoted([tensor.name for tensor in self.graph.inputs[1:]]) or "none"
            raise ValueError(f"inputs: {name!r} is no input beside the picture; there are {others}")
        if self.kinds[name] == "picture":
            whole = preprocessing.size or ()
            size = (tensor.shape or (None,) * (len(whole) + 2))[2:]
            own = replace(preprocessing, size=tuple(n or usual for n, usual in zip(size, whole)))
            return own.feed_of(value, name).x
        return _floats(value, name)

    def _listed(self, name: str, values: List[Any], preprocessing: Preprocessing) -> Array:
        """The rows of an input that is given with each picture of a list."""
        tensor = self._tensor(name)
        each = [self._bindable(name, value, preprocessing) for value in values]
        if not has_batch(self.graph, tensor):
            if any(not np.array_equal(each[0], one) for one in each):
                raise ValueError(f"input {name!r} has no batch axis: it must be the same for all pictures")
            return each[0]
        axes = len(tensor.shape or ())
        each = [_as_row(one, tensor) for one in each]
        if any(one.ndim != axes or len(one) != 1 for one in each):
            raise ValueError(
                f"input {name!r} of shape {shown(tensor.shape)} must have one row for each picture"
            )
        return np.concatenate(each)

    def _missing(self, missing: Sequence[Tensor]) -> str:
        listed = " and ".join(f"{one.name!r} {shown(one.shape)}" for one in missing)
        example = f"{{{self.picture!r}: picture, {missing[0].name!r}: ...}}"
        return (
            f"the network also takes {listed}: pass {example} in place of the picture, or bind it, "
            f"model.bind({{{missing[0].name!r}: ...}})"
        )


def _quoted(names: Any) -> str:
    return ", ".join(map(repr, names))


def _kept(array: Array) -> Array:
    """A copy that nobody changes, also where the numbers are those of the caller's own array."""
    copied = array.copy()
    copied.setflags(write=False)
    return copied


def _floats(value: Any, name: str) -> Array:
    array = as_array(value, name)
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise TypeError(f"input {name!r} must be numbers, not {value!r:.80}")
    array = single(array).reshape(array.shape)  # one number stays one
    if not all_finite(array):
        raise ValueError(f"input {name!r} holds NaN or infinity")
    return array


def _as_row(array: Array, tensor: Tensor) -> Array:
    """An array with a batch axis: one number fills a row, an array without the axis is one."""
    dims = (tensor.shape or ())[1:]
    if array.ndim == 1 and dims == (1,):
        return array[:, np.newaxis]  # a number for each image
    if array.ndim == 0 and None not in dims:
        return np.full((1, *(n or 1 for n in dims)), array)
    return array[np.newaxis] if array.ndim == len(dims) else array


def _shaped(array: Array, shape: Tuple[int, ...], tensor: Tensor, rows: bool) -> Array:
    """The array that a plan reads, in the shape that it has for the batch."""
    found = array
    if not rows:
        found = np.full(shape, array) if array.ndim == 0 else array
    else:
        found = _as_row(array, tensor)
        if found.ndim and len(found) == 1:
            found = np.repeat(found, shape[0], axis=0)
    if found.shape != shape:
        raise ValueError(
            f"input {tensor.name!r} has shape {array.shape}: for this picture it must be {shape}"
        )
    return single(found)


def checked_input(x: Any, channels: int, axes: int) -> Array:
    """Return `x` as the C-contiguous float32 N,C,H,W (of `axes` axes) that plans read, or raise an error."""
    array = as_array(x, "x")
    if array.dtype.kind != "f":
        raise TypeError(
            f"x has dtype {array.dtype}: it must be float32; model.preprocess makes it from pictures"
        )
    if array.ndim != axes or array.shape[1] != channels or array.size == 0:
        places = {3: "L", 4: "H,W", 5: "D,H,W"}[axes]
        raise ValueError(f"x has shape {array.shape}: it must be N,{channels},{places}, none of them 0")
    array = single(array)
    if not all_finite(array):
        bad = array.size - int(np.isfinite(array).sum())
        raise ValueError(f"x holds NaN or infinity: {bad} of {array.size} values")
    return array


def check_goals(
    goals: Sequence[Objective],
    graph: Graph,
    layers: LayerList,
    images: int,
    axis_of: Callable[[str], Optional[int]],
) -> None:
    """Raise ValueError unless every objective can be asked of a batch of `images`, and there is one.

    `axis_of` finds the axis of the batch in a layer, None where it has several rows for each image.
    """
    if not goals:
        raise ValueError("targets is empty: give at least one")
    for goal in goals:
        if IMAGE in goal.layers:
            raise ValueError(
                f"target {goal.name} reads {IMAGE!r}, the picture before preprocessing, which only "
                f"techniques that make pictures know: take layer={INPUT!r}, what the network is fed"
            )
        for layer in goal.layers:
            if axis_of(layer) is None:
                raise ValueError(_unreadable(graph, layers, layers.resolve(layer)))
        goal.check_batch(images)


def _unreadable(graph: Graph, layers: LayerList, value: str) -> str:
    """Say that a layer has several rows for each picture, and which layer has the same numbers."""
    source = with_batch_axis(graph, layers, value)
    same = f"{source!r}, {times(layers.get(source, ()))}, the same numbers"
    return (
        f"layer {value!r} is {times(layers[value]) or 'one number'} for one picture, of which no axis is the "
        "batch: it can be read, but no target can be put on it; take "
        f"{'an earlier layer' if source == value else same}"
    )
