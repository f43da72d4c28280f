"""Builder methods: every argument of the wrong type, number or size, and the stub that describes them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest

from cnnviz import _core

STUB = Path(_core.__file__).with_name("_core.pyi")


class Fixture:
    """A plan with a picture, a vector and filters."""

    def __init__(self) -> None:
        self.plan = _core.Plan()
        self.x = self.plan.input((1, 2, 6, 6), name="x")
        self.v = self.plan.input((1, 72), name="v")
        self.w = self.plan.constant(_core.Constant(np.ones((3, 2, 3, 3), np.float32)), name="w")


ROWS: List[Tuple[str, Callable[[Fixture], Any], type, str]] = [
    ("no arguments", lambda f: f.plan.relu(), TypeError, r"relu\(\) needs argument 'x'"),
    ("no name", lambda f: f.plan.relu(f.x), TypeError, r"relu\(\) needs argument 'name'"),
    ("name is int", lambda f: f.plan.relu(f.x, name=3), TypeError, "'name' must be a str, not int"),
    ("name with NUL", lambda f: f.plan.relu(f.x, name="a\0b"), ValueError, r"relu\(\): .*'name' has a NUL"),
    ("input with NUL", lambda f: f.plan.input((1,), name="\0"), ValueError, r"input\(\): .*'name' has a NUL"),
    (
        "name of constant",
        lambda f: f.plan.constant(f.w, name=b"w"),
        TypeError,
        "'name' must be a str, not byt",
    ),
    ("name by position", lambda f: f.plan.relu(f.x, "r"), TypeError, "takes 1 positional"),
    ("twice", lambda f: f.plan.relu(f.x, x=f.x, name="r"), TypeError, "'x' twice"),
    ("unknown", lambda f: f.plan.relu(f.x, slope=1, name="r"), TypeError, "no argument 'slope'"),
    ("id is str", lambda f: f.plan.relu("x", name="r"), TypeError, "'x' must be an integer, not str"),
    ("id is float", lambda f: f.plan.relu(1.0, name="r"), TypeError, "'x' must be an integer, not float"),
    ("id is None", lambda f: f.plan.relu(None, name="r"), TypeError, "'x' must be an integer"),
    ("id is negative", lambda f: f.plan.relu(-1, name="r"), ValueError, "no value of a plan"),
    ("id is huge", lambda f: f.plan.relu(1 << 80, name="r"), ValueError, "64 bits"),
    ("id is unknown", lambda f: f.plan.relu(50, name="r"), ValueError, r"r \(relu\): .*value 50"),
    (
        "stride is int",
        lambda f: f.plan.conv2d(f.x, f.w, stride=1, name="c"),
        TypeError,
        "'stride' must be a seq",
    ),
    ("stride is str", lambda f: f.plan.conv2d(f.x, f.w, stride="11", name="c"), TypeError, "'stride'.*str"),
    (
        "stride of 1",
        lambda f: f.plan.conv2d(f.x, f.w, stride=(1,), name="c"),
        ValueError,
        "1 elements, not 2",
    ),
    ("stride of 3", lambda f: f.plan.conv2d(f.x, f.w, stride=(1, 1, 1), name="c"), ValueError, "at most 2"),
    (
        "stride of float",
        lambda f: f.plan.conv2d(f.x, f.w, stride=(1, 1.5), name="c"),
        TypeError,
        "'stride'.*float",
    ),
    ("pads of 2", lambda f: f.plan.conv2d(f.x, f.w, pads=(1, 1), name="c"), ValueError, "2 elements, not 4"),
    ("groups is str", lambda f: f.plan.conv2d(f.x, f.w, groups="1", name="c"), TypeError, "'groups'.*str"),
    (
        "groups is huge",
        lambda f: f.plan.conv2d(f.x, f.w, groups=1 << 64, name="c"),
        ValueError,
        "'groups'.*64",
    ),
    (
        "slope is str",
        lambda f: f.plan.leaky_relu(f.x, slope="a", name="l"),
        TypeError,
        "'slope' must be a number",
    ),
    ("slope is absent", lambda f: f.plan.leaky_relu(f.x, name="l"), TypeError, "needs argument 'slope'"),
    ("flag is int", lambda f: pool(f, ceil_mode=1), TypeError, "'ceil_mode' must be a bool, not int"),
    ("xs is int", lambda f: f.plan.concat(f.x, axis=0, name="c"), TypeError, "'xs' must be a sequence"),
    ("xs is empty", lambda f: f.plan.concat([], axis=0, name="c"), ValueError, r"c \(concat\): 0 inputs"),
    ("xs is long", lambda f: f.plan.concat([f.x] * 4097, axis=0, name="c"), ValueError, "at most 4096"),
    ("axis is negative", lambda f: f.plan.concat([f.x], axis=-1, name="c"), ValueError, "axis.*-1"),
    ("axis is large", lambda f: f.plan.concat([f.x], axis=8, name="c"), ValueError, "axis.*8"),
    ("9 dimensions", lambda f: f.plan.reshape(f.x, shape=(1,) * 9, name="r"), ValueError, "at most 8"),
    ("elements differ", lambda f: f.plan.reshape(f.x, shape=(5,), name="r"), ValueError, r"r \(reshape\)"),
    ("pad of 3", lambda f: pad(f, before=(0, 0, 1)), ValueError, "'before' has 3 elements, not 4"),
    ("pad of 5", lambda f: pad(f, after=[0] * 5), ValueError, "'after' has 5 elements"),
    ("pad mode", lambda f: pad(f, mode="wrap"), ValueError, "'mode' is 'wrap', not one of constant"),
    ("pad mode is int", lambda f: pad(f, mode=1), TypeError, "'mode' must be a str, not int"),
    ("pad value is None", lambda f: pad(f, value=None), TypeError, "'value' must be a number"),
    ("pad of nothing", lambda f: pad(f, x=40), ValueError, "no value of the plan"),
    ("axes outside", lambda f: reduce(f, axes=(1, 4)), ValueError, "'axes' has 4 twice or outside"),
    ("axes negative", lambda f: reduce(f, axes=(-1,)), ValueError, "'axes' has -1 twice or outside"),
    ("axes twice", lambda f: reduce(f, axes=(2, 2)), ValueError, "'axes' has 2 twice or outside"),
    ("axes is int", lambda f: reduce(f, axes=2), TypeError, "'axes' must be a sequence"),
    ("input of 9", lambda f: f.plan.input((1,) * 9, name="y"), ValueError, "at most 8"),
    ("input of 0", lambda f: f.plan.input((1, 0), name="y"), ValueError, "y has extent 0 in dimension 1"),
    ("input is int", lambda f: f.plan.input(3, name="y"), TypeError, "'shape' must be a sequence"),
    ("constant is array", lambda f: f.plan.constant(np.ones(3), name="y"), TypeError, "must be a Constant"),
    ("constant is plan", lambda f: f.plan.constant(f.plan, name="y"), TypeError, "must be a Constant"),
    ("keep of 0 axes", lambda f: f.plan.prepare(keep=np.array(3)), TypeError, "keep must be a seq.*ndarray"),
    ("keep is int", lambda f: f.plan.prepare(keep=3), TypeError, "keep must be a sequence of value ids, not"),
    ("no bytes", lambda f: f.plan.prepare(packed_nbytes=-1), ValueError, "packed_nbytes is -1, which is no"),
    ("half a byte", lambda f: f.plan.prepare(packed_nbytes=1.5), TypeError, "packed_nbytes .*, not float"),
    ("bytes in a str", lambda f: f.plan.prepare(packed_nbytes="1"), TypeError, "packed_nbytes .*, not str"),
    ("threads below 0", lambda f: _core.set_num_threads(-5), ValueError, r"threads is -5, not in 1\.\.64"),
    ("many threads", lambda f: _core.set_num_threads(1 << 40), ValueError, "threads is 1099511627776, not"),
    ("Constant of list", lambda f: _core.Constant([1.0]), TypeError, "must be a numpy.ndarray, not list"),
    ("Constant of float64", lambda f: _core.Constant(np.ones(3)), TypeError, "float32, not float64"),
    ("Constant strided", lambda f: _core.Constant(np.ones(6, "f4")[::2]), ValueError, "contiguous"),
    ("Constant empty", lambda f: _core.Constant(np.ones((0, 3), "f4")), ValueError, "extent 0"),
    ("Constant of 9", lambda f: _core.Constant(np.ones((1,) * 9, "f4")), ValueError, "at most 8"),
    ("Constant of 2", lambda f: _core.Constant(np.ones(1, "f4"), 1), TypeError, "argument"),
    ("Plan of 1", lambda f: _core.Plan(1), TypeError, "argument"),
]


def pool(f: Fixture, **changes: Any) -> int:
    arguments = {"kernel": (2, 2), "stride": (2, 2), "name": "p", **changes}
    return f.plan.max_pool(f.x, **arguments)


def pad(f: Fixture, **changes: Any) -> int:
    arguments = {"x": f.x, "before": (0, 0, 1, 1), "after": (0, 0, 1, 1), "name": "p", **changes}
    return f.plan.pad(**arguments)


def reduce(f: Fixture, **changes: Any) -> int:
    return f.plan.reduce_sum(f.x, keepdims=False, name="r", **changes)


@pytest.mark.parametrize(("name", "call", "error", "message"), ROWS, ids=[row[0] for row in ROWS])
def test_wrong_argument_is_named(
    name: str, call: Callable[[Fixture], Any], error: type, message: str
) -> None:
    """The call raises, names the node and the argument, and leaves the plan as it was."""
    fixture = Fixture()
    with pytest.raises(error, match=message):
        call(fixture)
    assert fixture.plan.describe()["nodes"] == []
    assert fixture.plan.relu(fixture.x, name="next") == fixture.w + 1


def test_integers_of_numpy_and_bool_are_integers() -> None:
    fixture = Fixture()
    value = fixture.plan.max_pool(
        np.int64(fixture.x), kernel=np.array([2, 2]), stride=[np.int8(2), True + 1], name="pool"
    )
    assert fixture.plan.shape(value) == (1, 2, 3, 3)
    fixture.plan.prepare(keep=np.array([value]), packed_nbytes=np.int64(5))


class Emptying:
    """An integer 0 whose conversion empties the list that holds it."""

    def __init__(self, numbers: List[Any]) -> None:
        self.numbers = numbers

    def __index__(self) -> int:
        self.numbers.clear()
        return 0


READERS: Dict[str, Callable[[_core.Plan, List[Any]], Any]] = {
    "integers": lambda plan, numbers: plan.reshape(0, shape=numbers, name="y"),
    "values": lambda plan, numbers: plan.concat(numbers, axis=0, name="y"),
    "request": lambda plan, numbers: plan.prepare(keep=numbers),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_list_may_shrink_while_it_is_read(reader: str) -> None:
    plan, numbers = Fixture().plan, [0, 1]
    numbers[:] = [Emptying(numbers), *numbers, 9**9]  # 9**9 must be read and refused
    with pytest.raises(ValueError, match=r"387420489|extent 0"):
        READERS[reader](plan, numbers)
    assert numbers == []


def test_optional_input_given_as_none() -> None:
    fixture = Fixture()
    assert fixture.plan.shape(fixture.plan.conv2d(fixture.x, fixture.w, None, name="c")) == (1, 3, 4, 4)
    assert fixture.plan.shape(fixture.plan.conv2d(fixture.x, fixture.w, b=None, name="d")) == (1, 3, 4, 4)


def test_names_may_be_any_text() -> None:
    fixture = Fixture()
    name = "слой/层 " * 100
    value = fixture.plan.relu(fixture.x, name=name)
    assert fixture.plan.describe()["nodes"][0]["name"] == name
    with pytest.raises(ValueError, match="слой"):
        fixture.plan.reshape(value, shape=(5,), name=name)


def stub_signatures(body: List[ast.stmt]) -> Dict[str, List[str]]:
    """Parameter names of each function in the stub, with * before keyword-only names."""
    found = {}
    for node in body:
        if not isinstance(node, ast.FunctionDef) or any(isinstance(d, ast.Name) for d in node.decorator_list):
            continue
        arguments = node.args
        names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        names += ["*" + argument.arg for argument in arguments.kwonlyargs]
        found[node.name] = [name for name in names if name != "self"]
    return found


def own_signature(function: Any) -> List[str]:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    return [("*" if p.kind is inspect.Parameter.KEYWORD_ONLY else "") + p.name for p in parameters]


@pytest.mark.parametrize("owner", ["", "Plan", "Constant"])
def test_the_stub_has_the_module_s_signatures(owner: str) -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    body, thing = tree.body, _core
    if owner:
        body = next(n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == owner)
        thing = getattr(_core, owner)
    described = stub_signatures(body)
    described.pop("__new__", None)
    public = {name for name in dir(thing) if not name.startswith("_")}
    functions = {
        name
        for name in public
        if callable(getattr(thing, name)) and not inspect.isclass(getattr(thing, name))
    }
    assert functions == set(described)
    wrong = {
        name: (own_signature(getattr(thing, name)), names)
        for name, names in described.items()
        if own_signature(getattr(thing, name)) != names
    }
    assert not wrong
