"""Sequences of tensors: the graph has their elements, and positions and lengths must be known."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Tuple, Type

import numpy as np
import pytest
from onnx import ModelProto, NodeProto
from test_inlining import TRUE, X, branch, either, model, node
from test_loops import GOES_ON, body, check, loop

from cnnviz.errors import CnnvizError, ModelFormatError, UnsupportedModelError
from cnnviz.reader.onnx_file import read

HALVES = [X[..., :2, :], X[..., 2:, :]]
Numbers = Callable[[], List[np.ndarray]]

# nodes, constants, and the numbers of the outputs, y first
ROWS: Dict[str, Tuple[Sequence[NodeProto], Dict[str, Any], Sequence[np.ndarray]]] = {
    "at": (
        [node("Exp", "x", "e"), node("SequenceConstruct", "x e", "s"), node("SequenceAt", "s i")],
        {"i": np.array(-1)},
        [np.exp(X)],
    ),
    "joined": (
        [
            node("Exp", "x", "e"),
            node("SequenceConstruct", "x e", "s"),
            node("ConcatFromSequence", "s", axis=1),
        ],
        {},
        [np.concatenate([X, np.exp(X)], 1)],
    ),
    "stacked": (
        [
            node("Exp", "x", "e"),
            node("SequenceConstruct", "x e", "s"),
            node("ConcatFromSequence", "s", axis=-1, new_axis=1),
        ],
        {},
        [np.stack([X, np.exp(X)], -1)],
    ),
    "split by sizes": (
        [node("SplitToSequence", "x n", "s", axis=2), node("SequenceAt", "s i")],
        {"n": np.array([1, 3]), "i": np.array(1)},
        [X[:, :, 1:]],
    ),
    "split by one size": (
        [
            node("SplitToSequence", "x n", "s", axis=-1),
            node("SequenceAt", "s i"),
            node("SequenceLength", "s", "z"),
        ],
        {"n": np.array(3), "i": np.array(1)},
        [X[..., 3:], np.array(2)],
    ),
    "split into rows": (
        [node("SplitToSequence", "x", "s", axis=2, keepdims=0), node("SequenceAt", "s i")],
        {"i": np.array(2)},
        [X[:, :, 2]],
    ),
    "inserted and erased": (
        [
            node("SequenceEmpty", "", "a"),
            node("SequenceInsert", "a x", "b"),
            node("Exp", "x", "e"),
            node("SequenceInsert", "b e i", "c"),
            node("Tanh", "x", "t"),
            node("SequenceInsert", "c t", "d"),
            node("SequenceErase", "d j", "f"),
            node("Identity", "f", "g"),
            node("ConcatFromSequence", "g", axis=0),
        ],
        {"i": np.array(0), "j": np.array(-2)},
        [np.concatenate([np.exp(X), np.tanh(X)])],
    ),
    "inserted before the last": (
        [
            node("Exp", "x", "e"),
            node("SequenceConstruct", "x e", "s"),
            node("Neg", "x", "m"),
            node("SequenceInsert", "s m i", "t"),
            node("ConcatFromSequence", "t", axis=0),
        ],
        {"i": np.array(-1)},
        [np.concatenate([X, -X, np.exp(X)])],
    ),
    "through a loop": (
        [
            node("SequenceConstruct", "x", "s"),
            loop(
                body(
                    "i c q",
                    "d r",
                    GOES_ON,
                    node("SequenceAt", "q i", "last"),
                    node("Neg", "last", "minus"),
                    node("SequenceInsert", "q minus", "r"),
                ),
                "n",
                "",
                "s",
                "all",
            ),
            node("ConcatFromSequence", "all", axis=0),
        ],
        {"n": np.array(2)},
        [np.concatenate([X, -X, X])],
    ),
    "through a branch": (
        [
            node("SplitToSequence", "x n", "s", axis=2),
            either("k", branch(node("Identity", "s", "b")), branch(node("SequenceConstruct", "x", "b")), "t"),
            node("ConcatFromSequence", "t", axis=3),
        ],
        {"n": np.array([2, 2]), "k": TRUE},
        [np.concatenate(HALVES, 3)],
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_elements_of_sequences(name: str) -> None:
    nodes, constants, expected = ROWS[name]
    check(read(model(nodes, constants, ["y", "z"][: len(expected)])), expected)


def asked(*nodes: NodeProto, **constants: Any) -> Callable[[], ModelProto]:
    return lambda: model([node("SequenceConstruct", "x x", "s"), *nodes], constants)


LARGEST = [node("ReduceMax", "x", "m", keepdims=0), node("Cast", "m", "i", to=7)]
REFUSED: Dict[str, Tuple[Callable[[], ModelProto], Type[CnnvizError], str]] = {
    "a place of the picture": (
        asked(*LARGEST, node("SequenceAt", "s i")),
        UnsupportedModelError,
        "SequenceAt .its position depends on the picture.: SequenceAt y",
    ),
    "a place outside": (
        asked(node("SequenceAt", "s i"), i=np.array(2)),
        ModelFormatError,
        "'SequenceAt y' .SequenceAt.: position 2 is not among 2",
    ),
    "two places": (asked(node("SequenceAt", "s i"), i=np.array([0, 1])), ModelFormatError, "is not among 2"),
    "a place to insert": (
        asked(node("SequenceInsert", "s x i", "t"), node("SequenceAt", "t i"), i=np.array(3)),
        ModelFormatError,
        "position 3 is not among 2 tensors",
    ),
    "nothing to erase": (
        asked(
            node("SequenceEmpty", "", "e"),
            node("SequenceErase", "e i", "t"),
            node("SequenceAt", "t i"),
            i=np.array(0),
        ),
        ModelFormatError,
        "position 0 is not among 0 tensors",
    ),
    "no sequence": (asked(node("SequenceAt", "x i"), i=np.array(0)), ModelFormatError, "'x' is no sequence"),
    "no tensor": (
        asked(node("SequenceConstruct", "x s", "t"), node("SequenceLength", "t")),
        ModelFormatError,
        "its inputs must be tensors",
    ),
    "nothing to join": (
        asked(node("SequenceEmpty", "", "e"), node("ConcatFromSequence", "e", axis=0)),
        UnsupportedModelError,
        "ConcatFromSequence .of no tensors.",
    ),
    "arithmetic": (asked(node("Add", "s x")), UnsupportedModelError, "Add .of 's', a sequence."),
    "output": (
        asked(node("Identity", "s")),
        UnsupportedModelError,
        "the output 'y' is a sequence of tensors",
    ),
    "parts of nothing": (
        asked(node("SplitToSequence", "x n", "t"), node("SequenceLength", "t"), n=np.array([2, 0])),
        ModelFormatError,
        r"cannot split into parts of \[2, 0\]",
    ),
    "parts of the picture": (
        asked(*LARGEST, node("SplitToSequence", "x i", "t"), node("SequenceLength", "t")),
        UnsupportedModelError,
        "SplitToSequence .its split depends on the picture.",
    ),
    "undeclared": (
        asked(node("Exp", "x", "e"), node("SplitToSequence", "e", "t"), node("SequenceLength", "t")),
        UnsupportedModelError,
        "SplitToSequence .the length of its input is not declared.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused(name: str) -> None:
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        read(make())
