"""Loops that cannot be unrolled: of unknown length, too long, or contradictory."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple, Type

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, NodeProto, helper
from test_inlining import model, node
from test_loops import FOREVER, HALVING, PAIRS, STACKING, SUMS, THREE, body, loop, scan, zeros

from cnnviz.errors import CnnvizError, ModelFormatError, UnsupportedModelError
from cnnviz.reader.onnx_file import read


def looped(graph: GraphProto, outputs: str = "y", **constants: Any) -> Callable[[], ModelProto]:
    """A loop of three iterations over x, or of `n`; the constant `k` is its condition."""
    given = {"n": np.array(3), **constants}
    condition = "k" if "k" in given else ""
    return lambda: model([loop(graph, "n", condition, "x", outputs)], given, outputs.split()[:1])


def scanned(graph: GraphProto, inputs: str, outputs: str, sequences: int = 1, **more: Any) -> Any:
    constants = {**zeros(2, 4, 4), "w": np.ones(3, np.float32)}
    return lambda: model([scan(graph, inputs, outputs, sequences, **more)], constants, outputs.split()[-1:])


def computed(*nodes: NodeProto) -> Callable[[], ModelProto]:
    """The same for a count or a condition that nodes make, of m, the largest number of the picture."""
    largest = node("ReduceMax", "x", "m", keepdims=0)
    return lambda: model([largest, *nodes], {"z": np.float32(0)})


PAST = body(
    "i c s",
    "d s",
    node("ReduceMax", "s", "m", keepdims=0),
    node("Greater", "m zero", "d"),
    zero=np.float32(0),
)
UNSUPPORTED, BROKEN = UnsupportedModelError, ModelFormatError
REFUSED: Dict[str, Tuple[Callable[[], ModelProto], Type[CnnvizError], str]] = {
    "count of the picture": (
        computed(node("Cast", "m", "n", to=7), loop(HALVING, "n", "", "x")),
        UNSUPPORTED,
        "Loop .its number of iterations depends on the picture.: loop",
    ),
    "count of a shape": (
        computed(node("Size", "x", "n"), loop(HALVING, "n", "", "x")),
        UNSUPPORTED,
        "Loop .its number of iterations is not a constant.: loop",
    ),
    "condition of the picture": (
        computed(node("Greater", "m z", "k"), loop(HALVING, "", "k", "x")),
        UNSUPPORTED,
        "Loop .its condition depends on the picture.: loop",
    ),
    "condition of the state": (
        looped(PAST),
        UNSUPPORTED,
        "Loop .its condition depends on the picture.: loop",
    ),
    "two counts": (looped(HALVING, n=np.array([1, 2])), BROKEN, "'loop'.*2 elements, not 1"),
    "more nodes than a file may make": (
        looped(HALVING, n=FOREVER),
        UNSUPPORTED,
        r"node 'loop' .Loop.: with iteration \d+ of its 3 nodes",
    ),
    "iterations of nothing": (
        looped(body("i c s", "c s"), n=FOREVER),
        UNSUPPORTED,
        r"node 'loop' .Loop.: with iteration \d+ of its 0 nodes",
    ),
    "no body": (
        lambda: model([helper.make_node("Loop", ["n", "", "x"], ["y"], "loop")], THREE),
        BROKEN,
        "'loop'.*body is not a graph",
    ),
    "too few inputs": (
        looped(body("i c", "c")),
        BROKEN,
        "has 2 inputs and 1 outputs, expected 3 and at least 2",
    ),
    "too many outputs": (looped(HALVING, "y z"), BROKEN, "has 2 outputs, its body gives 1"),
    "one name twice": (looped(body("i c c", "c c")), BROKEN, "two inputs of its body have one name"),
    "a body that makes its input": (
        looped(body("i c s", "c s", node("Relu", "x", "s"))),
        BROKEN,
        "makes its own input 's'",
    ),
    "an end that no node makes": (looped(body("i c s", "c q")), BROKEN, "'q', which no node makes"),
    "a stack of nothing": (looped(STACKING, "y a", n=np.array(0)), UNSUPPORTED, "stacks 0 iterations"),
    "an unknown operator in the body": (
        looped(body("i c s", "c t", node("Frob", "s", "t"))),
        UNSUPPORTED,
        "Frob: Frob t",
    ),
    "undeclared length": (
        computed(node("Exp", "x", "r"), scan(SUMS, "x r", "t y")),
        UNSUPPORTED,
        "Scan .the length of its sequences is not declared.: scan",
    ),
    "no sequences": (scanned(SUMS, "z x", "t y", 0), BROKEN, "0 of 2 inputs are sequences"),
    "lengths that differ": (
        scanned(PAIRS, "x w", "y", 2, scan_input_axes=[2, 0]),
        BROKEN,
        "its sequences have 3 and 4 elements",
    ),
    "axes": (
        scanned(SUMS, "z x", "t y", scan_input_axes=[0, 1]),
        BROKEN,
        "scan_input_axes is not a list of 1 integers",
    ),
    "ends of a scan": (scanned(PAIRS, "x", "y"), BROKEN, "has 2 inputs and 1 outputs, expected 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_unrolled_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnviz.reader.nodes.MAX_INLINED_NBYTES", 1 << 18)  # the bound itself takes seconds
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        read(make())
