"""The schema table: each operator has said what it is, and no other module lists operators."""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Dict, Iterator, Set, Tuple

import numpy as np
import pytest
from graphs import run

from cnnviz.graph.fold import RESHAPES, can_evaluate
from cnnviz.graph.graph import Graph, Node, Tensor
from cnnviz.graph.schema import SCHEMAS, Schema
from cnnviz.graph.traits import CHOICE, FROM_SHAPE, KNOWN_ONLY, Traits
from cnnviz.lowering.lower import _ROWS as LOWERED
from cnnviz.model.axis_rules import RULES

PACKAGE = Path(inspect.getfile(Schema)).parents[2]

CHOICES = {
    "reads": {"activations", "constants", "shape"},
    "axes": set(RULES),
    "probability": {None, "multiclass", "multilabel"},
}

# What operators of the same numbers need to run on x, N,4,6,6.
SAME_NUMBERS: Dict[str, Dict[str, Any]] = {
    "Cast": {"to": 1},
    "Dropout": {},
    "Flatten": {"axis": 1},
    "Identity": {},
    "Reshape": {"shape": (0, 2, 2, 36), "allowzero": 0},
    "Squeeze": {"axes": (0,)},
    "Unsqueeze": {"axes": (2,)},
}
CLAIM_THE_SAME = {op for op, schema in SCHEMAS.items() if getattr(schema.traits, "same_numbers", False)}

# Lists that are about the operators in them, not about a property that a new operator could have.
LISTS: Set[Tuple[str, Tuple[str, ...]]] = {
    ("graph/simplify.py", ("Flatten", "Gemm")),  # what can stand before a MatMul that becomes a Gemm
    ("synthesis/style_layers.py", ("MaxPool", "Concat")),  # modules of torchvision's SqueezeNet
}


def test_a_row_cannot_leave_its_traits_out() -> None:
    needed = {one.name for one in fields(Schema) if (one.default, one.default_factory) == (MISSING, MISSING)}
    assert needed == {"inputs", "traits"}


@pytest.mark.parametrize("trait", fields(Traits), ids=lambda trait: trait.name)
def test_no_trait_has_a_default(trait: Any) -> None:
    assert (trait.default, trait.default_factory) == (MISSING, MISSING)


@pytest.mark.parametrize("op", sorted({*SCHEMAS, *LOWERED}))
def test_each_operator_has_said_what_it_is(op: str) -> None:
    """The operators that run on activations are those with a row in lowering; the others are evaluated."""
    assert op in SCHEMAS, "a row in lowering that the reader would refuse"
    traits = SCHEMAS[op].traits
    assert isinstance(traits, Traits), "the second item of its row is not Traits"
    assert (traits.reads == "activations") == (op in LOWERED), f"traits say that it reads {traits.reads}"
    assert traits.reads == "activations" or can_evaluate(Node(op, op, (), ("y",)))


@pytest.mark.parametrize("op", SCHEMAS)
def test_traits_agree_with_each_other(op: str) -> None:
    traits = SCHEMAS[op].traits
    for name, choices in CHOICES.items():
        assert getattr(traits, name) in choices, name
    assert traits.reads == "activations" or traits in (CHOICE, KNOWN_ONLY, FROM_SHAPE)
    assert traits.weights is None or 0 < traits.weights < SCHEMAS[op].inputs[0]
    assert traits.same_numbers >= (traits.axes == "reshapes")
    assert (traits.axes == "reshapes") == (op in RESHAPES)
    assert not traits.ends_layer or traits.axes == "keeps"
    assert not traits.pool or traits.axes == "picture"


@pytest.mark.parametrize("op", sorted({*SAME_NUMBERS, *CLAIM_THE_SAME}))
def test_the_same_numbers_are_the_same(op: str) -> None:
    assert SCHEMAS[op].traits.same_numbers
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)
    node = Node(op, op, ("x",), ("y",), SAME_NUMBERS[op])
    (y,) = run(Graph((Tensor("x", x.shape),), (Tensor("y", None),), (node,), {}), x)
    np.testing.assert_array_equal(y.ravel(), x.ravel())


def operators_listed(path: Path) -> Iterator[Tuple[str, ...]]:
    """The sets, lists and tuples in a file that hold names of operators and nothing else."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Set, ast.List, ast.Tuple)) and len(node.elts) > 1:
            names = tuple(element.value for element in node.elts if isinstance(element, ast.Constant))
            if len(names) == len(node.elts) and set(names) <= set(SCHEMAS):
                yield names


def test_no_other_module_lists_operators() -> None:
    """What a module asks of operators is a trait: a list would have to be found when one is added."""
    found = {
        (path.relative_to(PACKAGE).as_posix(), names)
        for path in PACKAGE.rglob("*.py")
        for names in operators_listed(path)
    }
    assert found == LISTS
