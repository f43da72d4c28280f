"""The layers of a network: names, shapes, and the lookup of a layer by a name that a user gives."""

from __future__ import annotations

import copy
import difflib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Dict, FrozenSet, Iterator, List, Mapping, Optional, Tuple

from cnnviz.graph.graph import Graph, descendants
from cnnviz.lowering.lower import Lowered
from cnnviz.model.axes import Places, guessed_places, places_in
from cnnviz.model.axis_rules import Axes, axes_of
from cnnviz.model.layer_kinds import QUESTIONS, kind_of, kinds_of_scores
from cnnviz.one_line import shortened, times

Shape = Tuple[int, ...]


@dataclass(frozen=True)
class _Followed:
    """What follows from the axes of the picture, found when asked for, once for all copies of a list."""

    _graph: Graph
    _inputs: Mapping[str, Shape]
    _shapes: Mapping[str, Shape]

    @cached_property
    def axes(self) -> Mapping[str, Axes]:
        return axes_of(self._graph, self._inputs, self._shapes)

    @cached_property
    def of_picture(self) -> FrozenSet[str]:
        return frozenset(descendants(self._graph, [self._graph.inputs[0].name]))

    @cached_property
    def places(self) -> Mapping[str, Places]:
        found: Dict[str, Places] = {}
        sizes: Dict[Tuple[int, int], None] = {}
        square = all(shape[-1] == shape[-2] for shape in self._inputs.values() if len(shape) == 4)
        for name in (name for name in self._shapes if name in self.of_picture):
            axes = self.axes.get(name, ())
            places = places_in(axes) or guessed_places(axes, list(sizes)[::-1], square)
            if places is not None:
                found[name] = places
                sizes.pop((places.rows, places.columns), None)
                sizes[places.rows, places.columns] = None
        return found


class LayerList(Mapping[str, Shape]):
    """The layers of a network, first to last: name -> shape, for one image of the network's usual size.

    Parameters
    ----------
    graph : Graph
    lowered : Lowered
        A plan of the graph for one image.
    special : mapping of str to str
        Names that work on every network, with the value that each stands for.
    network : str
        The network's name in messages.
    """

    def __init__(self, graph: Graph, lowered: Lowered, special: Mapping[str, str], network: str) -> None:
        ids = lowered.values
        made = [name for node in graph.nodes for name in node.outputs if name in ids]
        self._shapes: Dict[str, Shape] = {name: tuple(lowered.plan.shape(ids[name])) for name in made}
        self._inputs = {one.name: tuple(lowered.plan.shape(ids[one.name])) for one in graph.inputs}
        self._values = frozenset(ids)
        self._graph = graph
        self._followed = _Followed(graph, self._inputs, self._shapes)
        self._special = dict(special)
        self._scores: Mapping[str, str] = {}
        self._axes_of_batch: Callable[[], Optional[Mapping[str, int]]] = lambda: None
        self._network = network

    def __getitem__(self, name: str) -> Shape:
        return self._shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __str__(self) -> str:
        return "\n".join(f"{name}  {times(shape)}  {self.kinds[name]}" for name, shape in self.items())

    def __repr__(self) -> str:
        ends = (
            f": {shortened(next(iter(self)))} to {shortened(next(reversed(list(self))))}" if len(self) else ""
        )
        return f"<LayerList of {shortened(self._network)!r}: {len(self)} layers{ends}>"

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """For each layer the kind of questions that can be asked of it.

        "maps": N,C,H,W with rows and columns of the picture, a layer for Grad-CAM and style transfer.
        "places": places of the picture in another order, such as tokens N,T,C, a layer for Grad-CAM. "scores"
        and "map of scores": those of an output, whose classes are targets. "numbers": any other layer, for
        targets such as `objectives.Score`. "rows": several rows for each picture, such as windows or anchors
        without a batch axis: the layer can be read, but no target can be put on it. `ask` says it in a line.
        """
        axes = self._axes_of_batch()
        found = {}
        for name, shape in self.items():
            axis = 0 if shape[:1] == (1,) else lone_axis(shape) if axes is None else axes.get(name)
            found[name] = kind_of(name, shape, self.places.get(name), self._scores, axis)
        return found

    def ask(self, name: str) -> str:
        """Say what can be asked of a layer: its shape, its kind and its questions in one line.

        Raises
        ------
        TypeError, ValueError
            As `resolve`.
        """
        value = self.resolve(name)
        if value not in self._shapes:
            return f"{value}: the network's input"
        kind = self.kinds[value]
        return f"{value}: {times(self._shapes[value])}, {kind}: {QUESTIONS[kind]}"

    @property
    def axes(self) -> Mapping[str, Axes]:
        """For each layer that depends on the network's input, and for inputs, what its axes are."""
        return self._followed.axes

    @property
    def of_picture(self) -> FrozenSet[str]:
        """The values that depend on the picture that is explained, the network's first input."""
        return self._followed.of_picture

    @property
    def places(self) -> Mapping[str, Places]:
        """For each layer with more than one place of the picture that is explained, where they lie."""
        return self._followed.places

    def named(self, special: Mapping[str, str]) -> LayerList:
        """Return the same layers with other special names."""
        other = copy.copy(self)
        other._special = dict(special)
        return other

    def judged(
        self, answers: Mapping[str, str], axes: Callable[[], Optional[Mapping[str, int]]]
    ) -> LayerList:
        """Return the same layers with what their `kinds` depend on.

        Parameters
        ----------
        answers : mapping of str to str
            The kind of answer that each layer with the scores of an output gives.
        axes : callable
            Returns the axis of the batch of the layers that have one, None where it cannot be followed.
        """
        other = copy.copy(self)
        other._scores = kinds_of_scores(answers)
        other._axes_of_batch = axes
        return other

    def resolve(self, name: str) -> str:
        """Return the value that a name stands for: itself, unless it is an alias or the name of a node.

        Raises
        ------
        TypeError
            When `name` is not a string.
        ValueError
            When there is no such layer; the message lists close matches.
        """
        if not isinstance(name, str):
            raise TypeError(f"a layer is given by its name, not by {name!r}")
        value = self.find(name)
        if value is not None:
            return value
        if name in self._graph.vanished:
            raise ValueError(f"layer {name!r} of the file is gone: {self._graph.vanished[name]}")
        raise ValueError(f"layer {name!r} is not in {self._network}: {self._hint(name)}")

    def find(self, name: str) -> Optional[str]:
        """Return the value that a name stands for, as `resolve` does, or None when there is no such layer.

        The close matches in the message of `resolve` take milliseconds to seconds to find.
        """
        value = self._special.get(name, name)
        value = self._graph.aliases.get(value, value)
        if value in self._values:
            return value
        outputs = [node.result for node in self._graph.nodes if node.name == name]
        return outputs[0] if outputs and outputs[0] in self._values else None

    def summary(self, packed_nbytes: Mapping[str, int]) -> List[str]:
        """Describe the network in the lines of a table.

        Its columns are layer, operator, shape, kind, number of weights, and bytes of packed weights, which
        `packed_nbytes` has by constant.
        """
        constants = self._graph.constants
        rows = [("layer", "operator", "shape", "kind", "weights", "packed")]
        for node in self._graph.nodes:
            weights = sum(constants[name].size for name in node.inputs if name in constants)
            packed = sum(packed_nbytes.get(name, 0) for name in node.inputs)
            rows += [
                (
                    name,
                    node.op,
                    times(self._shapes[name]),
                    self.kinds[name],
                    f"{weights:,}" if weights else "",
                    _bytes(packed),
                )
                for name in node.outputs
                if name in self._shapes
            ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        total, packed = sum(array.size for array in constants.values()), sum(packed_nbytes.values())
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        return [*lines, f"{total:,} weights" + (f", {_bytes(packed)} packed" if packed else "")]

    def macs(self) -> int:
        """Return the multiply-adds of the convolutions for one image, nearly all that a network has."""
        constants = self._graph.constants
        return sum(
            constants[node.inputs[1]].size * math.prod(self._shapes[node.outputs[0]][2:])
            for node in self._graph.nodes
            if node.op == "Conv" and node.inputs[1] in constants and node.outputs[0] in self._shapes
        )

    def _hint(self, name: str) -> str:
        nodes = (node.name for node in self._graph.nodes)
        known = [*self._shapes, *self._graph.aliases, *nodes, *self._special]
        close = list(dict.fromkeys(difflib.get_close_matches(name, known, n=5)))
        if close:
            return f"did you mean {', '.join(map(repr, close))}?"
        return "print(model.layers) lists them"


def lone_axis(extents: Tuple[int, ...]) -> Optional[int]:
    """Return the axis of extent 1 that serves for the batch of one picture, None without one."""
    ones = [axis for axis, extent in enumerate(extents) if extent == 1]
    return ones[0] if len(ones) == 1 or ones[:1] == [0] else None


def _bytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:.2f} MB" if nbytes else ""
