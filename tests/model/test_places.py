"""The axes of a layer are followed from the picture: which layers have places, and along which axes."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz.model.places import Places, as_maps, layers_with_places, places_of

RNG = np.random.default_rng(0)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


# A picture of 8 x 12 becomes four channels of 4 x 6 places, and a list of 24 tokens.
CONV = node("Conv", "x w", "maps", strides=[2, 2], pads=[1, 1, 1, 1])
LAST = node("Transpose", "maps", "last", perm=[0, 2, 3, 1])
LIST = [node("Reshape", "maps flat", "columns"), node("Transpose", "columns", "tokens", perm=[0, 2, 1])]
WITH_CLASS = [*LIST, node("Concat", "class tokens", "y", axis=1)]
WINDOWS = [
    node("Reshape", "last cut_up", "pieces"),
    node("Transpose", "pieces", "turned", perm=[0, 1, 3, 2, 4, 5]),
    node("Reshape", "turned four_windows", "windows"),
    node("MatMul", "windows square", "mixed"),
]
HEADS = [node("Reshape", "tokens by_head", "split"), node("Transpose", "split", "apart", perm=[0, 2, 1, 3])]
KEYS = [*HEADS, node("Transpose", "split", "keys", perm=[0, 2, 3, 1]), node("MatMul", "apart keys", "pairs")]
MAPS, NHWC, TOKENS = Places(4, 6, 2, True), Places(4, 6, 1, True), Places(4, 6, 1, False)

# The nodes behind the convolution, of which the last makes y, and the places of y.
CASES: Dict[str, Tuple[List[Any], Optional[Places]]] = {
    "maps": ([node("Relu", "maps", "y")], MAPS),
    "channels last": ([LAST, node("MatMul", "last square", "y")], NHWC),
    "columns before rows": ([node("Transpose", "maps", "y", perm=[0, 1, 3, 2])], None),
    "the channels between rows and columns": ([node("Transpose", "maps", "y", perm=[0, 2, 1, 3])], None),
    "padded, cut and enlarged": (
        [
            node("Pad", "maps edges", "padded"),
            node("Slice", "padded two twelve third", "cut"),
            node("MaxPool", "cut", "y", kernel_shape=[2, 2]),
        ],
        Places(6, 6, 2, True),
    ),
    "rolled": (
        [
            node("Slice", "maps two four third", "back"),
            node("Slice", "maps zero two third", "front"),
            node("Concat", "back front", "y", axis=2),
        ],
        MAPS,
    ),
    "every second row and column, side by side": (
        [
            node("Slice", "maps zeros ends both steps", "even"),
            node("Slice", "maps ones ends both steps", "odd"),
            node("Concat", "even odd", "y", axis=1),
        ],
        Places(2, 3, 2, True),
    ),
    "the mean of the places": ([node("ReduceMean", "maps", "y", axes=[2, 3])], None),
    "the mean of the rows": ([node("ReduceMean", "maps", "y", axes=[2])], Places(1, 6, 3, False)),
    "the mean of the channels": ([node("ReduceMean", "maps", "y", axes=[1])], MAPS),
    "one place": ([node("GlobalAveragePool", "maps", "y")], None),
    "tokens": ([*LIST, node("MatMul", "tokens square", "y")], TOKENS),
    "a token behind the places": (
        [*LIST, node("Concat", "tokens class", "y", axis=1)],
        TOKENS,
    ),
    "tokens along the last axis": ([*LIST, node("Relu", "columns", "y")], Places(4, 6, 2, False)),
    "tokens that are mixed and added": (
        [
            *LIST,
            node("MatMul", "columns between", "mixed"),
            node("Transpose", "mixed", "again", perm=[0, 2, 1]),
            node("Add", "tokens again", "y"),
        ],
        TOKENS,
    ),
    "a class token": (WITH_CLASS, TOKENS._replace(extra=1)),
    "two class tokens": (
        [
            *WITH_CLASS[:-1],
            node("Concat", "class tokens", "single_class", axis=1),
            node("Concat", "class single_class", "y", axis=1),
        ],
        TOKENS._replace(extra=2),
    ),
    "a class token that was cut off": (
        [*LIST, node("Concat", "class tokens", "all", axis=1), node("Slice", "all one past first", "y")],
        TOKENS,
    ),
    "a class token that was split off": (
        [*LIST, node("Concat", "class tokens", "all", axis=1), node("Split", "all sizes", "alone y", axis=1)],
        TOKENS,
    ),
    "the last token that was cut off instead": (
        [*LIST, node("Concat", "class tokens", "all", axis=1), node("Slice", "all zero many first", "y")],
        None,
    ),
    "the class token": ([*WITH_CLASS[:-1], node("Gather", "tokens zero", "y", axis=1)], None),
    "windows": ([LAST, *WINDOWS, node("Relu", "mixed", "y")], None),
    "windows that were put together": (
        [
            LAST,
            *WINDOWS,
            node("Reshape", "mixed cut_up", "five"),
            node("Transpose", "five", "rows", perm=[0, 1, 3, 2, 4, 5]),
            node("Reshape", "rows whole", "y"),
        ],
        NHWC,
    ),
    "heads": ([*LIST, *HEADS, node("Sigmoid", "apart", "y")], Places(4, 6, 2, False)),
    "pairs of places": ([*LIST, *KEYS, node("Softmax", "pairs", "y", axis=-1)], None),
    "a convolution over pairs of places": (
        [*LIST, *KEYS, node("Conv", "pairs two_heads", "y", kernel_shape=[1, 1])],
        None,
    ),
    "values weighted by pairs": ([*LIST, *KEYS, node("MatMul", "pairs apart", "y")], Places(4, 6, 2, False)),
    "pairs of channels": ([*LIST, node("MatMul", "columns tokens", "y")], None),
    "the same product as Einsum": (
        [*LIST, node("Einsum", "tokens tokens", "y", equation="nic,njc->nij")],
        None,
    ),
    "a product of channels as Einsum": (
        [*LIST, node("Einsum", "tokens square", "y", equation="nic,cd->nid")],
        TOKENS,
    ),
    "channels that become places": (
        [
            node("Reshape", "maps shuffle", "parts"),
            node("Transpose", "parts", "turned", perm=[0, 1, 4, 2, 5, 3]),
            node("Reshape", "turned large", "big"),
            node("Conv", "big single", "y", kernel_shape=[1, 1]),
        ],
        Places(8, 12, 2, True),
    ),
    "channels along the only axis of a convolution": (
        [*LIST, node("Conv", "tokens combine", "y", kernel_shape=[1])],
        None,
    ),
    "windows side by side": (
        [
            node("Gather", "maps halves", "bands", axis=2),
            node("Gather", "bands thirds", "blocks", axis=4),
            node("Transpose", "blocks", "turned", perm=[0, 3, 5, 1, 2, 4]),
            node("Reshape", "turned patches", "y"),
        ],
        None,
    ),
    "windows side by side that became tokens": (
        [
            node("Gather", "maps halves", "bands", axis=2),
            node("Gather", "bands thirds", "blocks", axis=4),
            node("Transpose", "blocks", "turned", perm=[0, 3, 5, 1, 2, 4]),
            node("Reshape", "turned patches", "pieces"),
            node("MatMul", "pieces embed", "y"),
        ],
        Places(2, 2, 1, False),
    ),
    "rows in another order, as tokens": (
        [
            node("Gather", "maps shuffled", "mixed", axis=2),
            *[
                node("Reshape", "mixed flat", "columns"),
                node("Transpose", "columns", "tokens", perm=[0, 2, 1]),
                node("Concat", "class tokens", "y", axis=1),
            ],
        ],
        TOKENS._replace(extra=1),
    ),
    "branches of tokens": ([*LIST, node("Concat", "tokens tokens", "y", axis=1)], None),
}
CONSTANTS = {
    "w": RNG.normal(size=(4, 3, 3, 3)),
    "square": RNG.normal(size=(4, 4)),
    "between": RNG.normal(size=(24, 24)),
    "two_heads": RNG.normal(size=(2, 2, 1, 1)),
    "single": RNG.normal(size=(1, 1, 1, 1)),
    "class": RNG.normal(size=(1, 1, 4)),
    "combine": RNG.normal(size=(4, 24, 1)),
    "embed": RNG.normal(size=(24, 4)),
    "halves": np.array([[0, 2], [1, 3]]),
    "thirds": np.array([[0, 3], [1, 4], [2, 5]]),
    "patches": np.array([1, 4, 24]),
    "shuffled": np.array([2, 0, 3, 1]),
    "flat": np.array([1, 4, 24]),
    "cut_up": np.array([1, 2, 2, 2, 3, 4]),
    "four_windows": np.array([4, 6, 4]),
    "whole": np.array([1, 4, 6, 4]),
    "by_head": np.array([1, 24, 2, 2]),
    "shuffle": np.array([1, 1, 2, 2, 4, 6]),
    "large": np.array([1, 1, 8, 12]),
    "edges": np.array([0, 0, 2, 0, 0, 0, 3, 1]),
    "sizes": np.array([1, 24]),
    "zero": np.array([0]),
    "one": np.array([1]),
    "two": np.array([2]),
    "four": np.array([4]),
    "twelve": np.array([12]),
    "many": np.array([24]),
    "past": np.array([25]),
    "first": np.array([1]),
    "third": np.array([2]),
    "both": np.array([2, 3]),
    "zeros": np.array([0, 0]),
    "ones": np.array([1, 1]),
    "ends": np.array([4, 6]),
    "steps": np.array([2, 2]),
}


def model_of(nodes: List[Any]) -> cnnviz.Model:
    used = {source for one in nodes for source in one.input}
    constants = {key: value for key, value in CONSTANTS.items() if key in used}
    return cnnviz.load(
        onnx_bytes(nodes, constants, input_shape=[1, 3, 8, 12], output="y"), preprocessing="unit"
    )


@pytest.mark.parametrize("name", CASES)
def test_places(name: str) -> None:
    nodes, places = CASES[name]
    model = model_of([CONV, *nodes])
    value = next(iter(model.graph.outputs)).name
    assert places_of(model, value) == places
    if places is None:
        with pytest.raises(ValueError, match="has no maps"):
            as_maps(model.forward(np.zeros((1, 3, 8, 12), np.float32)), places)


@pytest.mark.parametrize("name", ["channels last", "a class token", "a token behind the places", "heads"])
def test_a_place_is_where_the_picture_changes_it(name: str) -> None:
    """A pixel moves the places whose windows see it: of a convolution of stride 2, one place."""
    nodes, places = CASES[name]
    model = model_of([CONV, *nodes])
    x = np.zeros((1, 3, 8, 12), np.float32)
    before = as_maps(model.forward(x), places)
    x[0, :, 4, 6] = 1
    changed = np.argwhere(np.any(as_maps(model.forward(x), places) != before, axis=1)[0])
    assert changed.tolist() == [[2, 3]]


def test_layers_with_places_are_those_of_four_axes() -> None:
    nodes, _ = CASES["heads"]
    assert layers_with_places(model_of([CONV, *nodes])) == ["maps"]
