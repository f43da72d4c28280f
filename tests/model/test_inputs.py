"""Networks of several inputs: numbers and pictures beside the picture, fixed, bound, or given with each."""

from __future__ import annotations

import pickle
import warnings
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import cnnviz
from cnnviz import Preprocessed
from cnnviz.testing import assert_models_agree, assert_prediction

RNG = np.random.default_rng(0)
UNIT = cnnviz.Preprocessing()
PICTURES = RNG.integers(0, 256, (3, 16, 20, 3), dtype=np.uint8)
OTHERS = RNG.integers(0, 256, (3, 16, 20, 3), dtype=np.uint8)
AGES = np.array([[40.0], [7.5], [61.0]], np.float32)
node = helper.make_node

Declared = Mapping[str, Tuple[int, Sequence[Any]]]


def network(nodes: List[Any], inputs: Declared, **constants: Any) -> bytes:
    """A network with output "y" of several inputs, each with its type and shape."""
    graph = helper.make_graph(
        nodes,
        "several",
        [helper.make_tensor_value_info(name, *declared) for name, declared in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def weights(*shape: int) -> Any:
    return RNG.normal(0, 0.4, shape).astype(np.float32)


def features(name: str, to: str) -> List[Any]:
    return [
        node("Conv", [name, "w"], [f"{to} map"], pads=[1, 1, 1, 1]),
        node("Relu", [f"{to} map"], [f"{to} relu"]),
        node("GlobalAveragePool", [f"{to} relu"], [f"{to} mean"]),
        node("Flatten", [f"{to} mean"], [to]),
    ]


F = TensorProto.FLOAT
WITH_AGE = [
    *features("x", "f"),
    node("Mul", ["age", "hundredth"], ["years"]),
    node("Concat", ["f", "years"], ["both"], axis=1),
    node("MatMul", ["both", "d"], ["hidden"]),
    node("Tanh", ["hidden"], ["bent"]),
    node("MatMul", ["bent", "e"], ["y"]),
]
AGE_WEIGHTS = {
    "w": weights(6, 3, 3, 3),
    "hundredth": np.float32(0.01),
    "d": weights(7, 8),
    "e": weights(8, 5),
}


def with_age(batch: Any = "N") -> bytes:
    inputs = {"age": (F, [batch, 1]), "x": (F, [batch, 3, 16, 20])}
    return network(WITH_AGE, inputs, **AGE_WEIGHTS)


def siamese(shape: Sequence[Any] = ("N", 3, 16, 20)) -> bytes:
    nodes = [
        *features("left", "a"),
        *features("right", "b"),
        node("Concat", ["a", "b"], ["both"], axis=1),
        node("MatMul", ["both", "d"], ["hidden"]),
        node("Tanh", ["hidden"], ["bent"]),
        node("MatMul", ["bent", "e"], ["y"]),
    ]
    inputs = {"left": (F, shape), "right": (F, shape)}
    return network(nodes, inputs, w=weights(6, 3, 3, 3), d=weights(12, 8), e=weights(8, 5))


METHODS: Dict[str, Callable[..., Any]] = {
    "saliency": cnnviz.saliency,
    "smooth": lambda *given: cnnviz.saliency(*given, smooth=3),
    "grad_cam": cnnviz.grad_cam,
    "guided_backprop": cnnviz.guided_backprop,
    "guided_grad_cam": cnnviz.guided_grad_cam,
}


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("method", METHODS)
def test_a_number_with_each_picture(method: str, batch: Any) -> None:
    model = cnnviz.load(with_age(batch), preprocessing=UNIT)
    explain = METHODS[method]
    alone = [explain(model, {"image": p, "age": a}, 2) for p, a in zip(PICTURES, AGES)]
    assert not np.allclose(alone[0].map, explain(model, {"x": PICTURES[0], "age": AGES[1]}, 2).map, rtol=1e-3)
    ways = {
        "a list of mappings": explain(model, [{"x": p, "age": a} for p, a in zip(PICTURES, AGES)], 2),
        "a mapping of lists": explain(model, {"x": list(PICTURES), "age": AGES}, 2),
        "a number for each": explain(model, {"image": PICTURES, "age": [40, 7.5, 61]}, 2),
        "preprocessed": explain(model, {"x": Preprocessed(model.preprocess(PICTURES)), "age": AGES}, 2),
        "bound": explain(model.bind({"age": AGES}), PICTURES, 2),
        "one by one": alone,
    }
    for way, rows in ways.items():
        for row, expected in zip(rows, alone):
            np.testing.assert_array_equal(row.map, expected.map, err_msg=way)
            assert row.score == expected.score, way
    several = explain(model, {"image": PICTURES[0], "age": 40}, [1, 2])
    np.testing.assert_array_equal(several[1].map, alone[0].map)


@pytest.mark.parametrize("value", [40, 40.0, [40.0], np.array([[40.0]]), np.float32(40)])
def test_an_input_is_fixed_when_the_network_is_loaded(value: Any) -> None:
    fixed = cnnviz.load(with_age(), preprocessing=UNIT, inputs={"age": value})
    given = cnnviz.load(with_age(), preprocessing=UNIT)
    assert fixed.inputs == {"x": "picture"}
    assert given.inputs == {"x": "picture", "age": "array"}
    x = fixed.preprocess(PICTURES)
    np.testing.assert_allclose(
        fixed.forward(x), given.forward({"x": x, "age": np.full((3, 1), 40.0)}), rtol=1e-5, atol=1e-6
    )
    for count in (1, 2, 3, 5):
        rows = np.concatenate([x, x])[:count]
        found = fixed.gradient(rows, 1).gradients["input"]
        for i in range(count):
            np.testing.assert_array_equal(found[i], fixed.gradient(rows[i : i + 1], 1).gradients["input"][0])


def test_two_pictures_are_both_preprocessed() -> None:
    model = cnnviz.load(siamese(), preprocessing=UNIT)
    assert model.inputs == {"left": "picture", "right": "picture"}
    large = RNG.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    found = cnnviz.saliency(model, {"left": PICTURES[0], "right": large}, 3)
    x, other = model.preprocess(PICTURES[0]), model.preprocess(large)
    gradient = model.gradient({"left": x, "right": other}, 3, wrt=["input", "right"])
    np.testing.assert_array_equal(found.values, gradient.gradients["input"][0])
    again = cnnviz.load(siamese(), preprocessing=UNIT, inputs={"right": "picture", "left": "picture"})
    assert list(again.inputs) == ["right", "left"]
    swapped = cnnviz.load(siamese(), preprocessing=UNIT, inputs={"right": "picture"})
    for one in (again, swapped):
        assert one.input_name == "right"
    batch = cnnviz.grad_cam(model, [{"left": p, "right": q} for p, q in zip(PICTURES, OTHERS)], 3)
    for one, p, q in zip(batch, PICTURES, OTHERS):
        bound = model.bind({"right": q})
        np.testing.assert_array_equal(one.map, cnnviz.grad_cam(bound, p, 3).map)
        x = bound.preprocess(p)
        top, by = bound.forward(x, ["a relu"])["a relu"], bound.gradient(x, 3, wrt="a relu").gradients
        expected = np.maximum((by["a relu"].mean((2, 3), keepdims=True) * top).sum(1)[0], 0)
        np.testing.assert_allclose(one.map, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["grad_cam", "guided_grad_cam"])
def test_maps_lie_over_the_picture_that_is_explained(method: str) -> None:
    explain, both = METHODS[method], {"left": PICTURES[0], "right": PICTURES[1]}
    for explained, own, other in (("left", "a", "b"), ("right", "b", "a")):
        model = cnnviz.load(siamese(), preprocessing=UNIT, inputs={explained: "picture"})
        assert explain(model, both, 3).layer == f"{own} relu"
        assert not any(name.startswith(other) for name in model.layers.places)
        assert model.layers.kinds[f"{other} relu"] == "numbers"
        explain(model, both, 3, layer=f"{own} map")
        with pytest.raises(ValueError, match=f"'{other} relu' does not depend on '{explained}', the picture"):
            explain(model, both, 3, layer=f"{other} relu")


def test_the_other_picture_is_explained_when_it_is_named() -> None:
    data = siamese()
    left = cnnviz.load(data, preprocessing=UNIT)
    right = cnnviz.load(data, preprocessing=UNIT, inputs={"right": "picture"})
    both = {"left": PICTURES[0], "right": PICTURES[1]}
    x = {name: left.preprocess(picture) for name, picture in both.items()}
    np.testing.assert_array_equal(left.forward(x), right.forward(x))
    expected = left.gradient(x, 3, wrt="right").gradients["right"][0]
    np.testing.assert_array_equal(cnnviz.saliency(right, both, 3).values, expected)


def test_gradients_of_other_inputs() -> None:
    model = cnnviz.load(with_age(), preprocessing=UNIT)
    x = model.preprocess(np.concatenate([PICTURES, PICTURES]))
    ages = np.concatenate([AGES, AGES + 3])
    found = model.gradient({"x": x, "age": ages}, 2, wrt=["age", "input", "f"])
    assert found.gradients["age"].shape == (6, 1)
    step = np.float32(0.5)
    above, below = (model.forward({"x": x, "age": ages + s})[:, 2] for s in (step, -step))
    np.testing.assert_allclose(found.gradients["age"][:, 0], (above - below) / 1.0, rtol=2e-2, atol=1e-5)
    np.testing.assert_array_equal(
        model.gradient({"image": x[3:4], "age": ages[3:4]}, 2, wrt="age").gradients["age"][0],
        found.gradients["age"][3],
    )


def test_every_other_call_takes_them_too() -> None:
    model = cnnviz.load(with_age(), preprocessing=UNIT)
    given = {"image": PICTURES[0], "age": 40.0}
    bound = model.bind({"age": 40.0})
    assert model.predict(given) == bound.predict(PICTURES[0])
    assert [one[0] for one in model.predict([given, {"image": PICTURES[1], "age": 7.5}])] == [
        model.predict(given)[0],
        model.bind({"age": 7.5}).predict(PICTURES[1])[0],
    ]
    label = bound.predict(PICTURES[0])[0].index
    assert_prediction(model, given, label, changes=["darker"])
    with pytest.raises(AssertionError, match="fails on 1 of 1"):
        assert_prediction(model, given, 1 - min(label, 1))
    assert_models_agree(model, model, given)
    assert_models_agree(bound, model.bind({"age": 40.0}), PICTURES[0])
    np.testing.assert_array_equal(model.preprocess(given), model.preprocess(PICTURES[0]))
    np.testing.assert_array_equal(
        model.activations(given, "bent")["bent"], bound.activations(PICTURES[0], "bent")["bent"]
    )
    found = cnnviz.sanity_check(model, given, "saliency", target=2)
    np.testing.assert_array_equal(found.maps[0], cnnviz.saliency(model, given, 2).map)
    twin = pickle.loads(pickle.dumps(bound))
    assert (twin.inputs, list(twin.bound)) == (bound.inputs, ["age"])
    np.testing.assert_array_equal(
        twin.forward(twin.preprocess(PICTURES)), bound.forward(bound.preprocess(PICTURES))
    )
    assert "also takes 'age' (any, 1)" in model.summary()
    assert model.bound == {}


def test_pictures_are_made_for_bound_models() -> None:
    model = cnnviz.load(with_age(), preprocessing=UNIT)
    bound = model.bind({"age": 40.0})
    target = 1 if bound.predict(PICTURES[0])[0].index != 1 else 2
    options: Dict[str, Any] = {"steps": 4, "confidence": 0.1, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = cnnviz.fooling_image(model, {"x": PICTURES[0], "age": 40.0}, target, **options)
        expected = cnnviz.fooling_image(bound, PICTURES[0], target, **options)
    np.testing.assert_array_equal(made.image, expected.image)
    assert bound.predict(made.image)[0].index == made.report["predicted"]
    several = cnnviz.class_visualization(bound, [1, 2], steps=2, progress=False)
    alone = cnnviz.class_visualization(bound, 2, steps=2, progress=False)
    np.testing.assert_array_equal(several.image[1], alone.image)
    with pytest.raises(ValueError, match=r"also takes 'age' \(any, 1\): .*model\.bind"):
        cnnviz.class_visualization(model, 1, steps=2, progress=False)


def test_an_input_that_mixes_pictures_runs_them_one_by_one() -> None:
    """A vector has no other axis than that of the batch, which operators broadcast against the last one."""
    nodes = [node("Mul", ["x", "gain"], ["z"]), *features("z", "f"), node("MatMul", ["f", "d"], ["y"])]
    data = network(
        nodes, {"x": (F, [1, 3, 16, 20]), "gain": (F, [1])}, w=weights(6, 3, 3, 3), d=weights(6, 5)
    )
    model = cnnviz.load(data, preprocessing=UNIT)
    gains = [1.0, 2.0, 0.5]
    batch = cnnviz.saliency(model, [{"x": p, "gain": g} for p, g in zip(PICTURES, gains)], 2)
    for row, p, g in zip(batch, PICTURES, gains):
        np.testing.assert_array_equal(row.map, cnnviz.saliency(model, {"x": p, "gain": g}, 2).map)
        fixed = cnnviz.load(data, preprocessing=UNIT, inputs={"gain": g})
        np.testing.assert_allclose(row.map, cnnviz.saliency(fixed, p, 2).map, rtol=1e-4, atol=1e-7)


def test_an_input_without_a_batch_axis_is_the_same_for_all() -> None:
    nodes = [*features("x", "f"), node("MatMul", ["f", "table"], ["y"])]
    data = network(nodes, {"x": (F, ["N", 3, 16, 20]), "table": (F, [6, 5])}, w=weights(6, 3, 3, 3))
    model, table = cnnviz.load(data, preprocessing=UNIT), weights(6, 5)
    x = model.preprocess(np.concatenate([PICTURES, PICTURES]))  # six, as many as the table has rows
    found = model.forward({"x": x, "table": table})
    np.testing.assert_allclose(
        found, model.activations({"x": list(PICTURES) * 2, "table": table}, "f")["f"] @ table, rtol=1e-5
    )
    rows = cnnviz.grad_cam(model, [{"x": p, "table": table} for p in PICTURES], 2)
    np.testing.assert_array_equal(
        rows[1].map, cnnviz.grad_cam(model.bind({"table": table}), PICTURES[1], 2).map
    )
    with pytest.raises(ValueError, match="'table' has no batch axis: it must be the same for all"):
        cnnviz.grad_cam(model, [{"x": p, "table": table * i} for i, p in enumerate(PICTURES)], 2)


def test_numbers_that_operators_need_in_advance_are_fixed() -> None:
    """A Reshape's target, a flag of an If, and the channels-last picture beside them."""
    relu = helper.make_graph(
        [node("Relu", ["f"], ["r"])], "r", [], [helper.make_tensor_value_info("r", F, None)]
    )
    neg = helper.make_graph(
        [node("Neg", ["f"], ["n"])], "n", [], [helper.make_tensor_value_info("n", F, None)]
    )
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        *features("t", "f"),
        node("If", ["training"], ["g"], then_branch=neg, else_branch=relu),
        node("Reshape", ["g", "shape"], ["y"]),
    ]
    inputs: Declared = {
        "training": (TensorProto.BOOL, []),
        "shape": (TensorProto.INT64, [2]),
        "x": (F, ["N", 16, 20, 3]),
    }
    data = network(nodes, inputs, w=weights(6, 3, 3, 3))
    fixed = {"training": False, "shape": [0, 6]}
    model = cnnviz.load(data, preprocessing=UNIT, inputs=fixed)
    assert model.inputs == {"x": "picture"}
    x = model.preprocess(PICTURES)
    np.testing.assert_array_equal(model.forward(x), model.forward(x, ["f"])["f"])
    negative = cnnviz.load(data, preprocessing=UNIT, inputs={**fixed, "training": True})
    np.testing.assert_array_equal(negative.forward(x), -model.forward(x))


def test_open_sizes_of_two_pictures() -> None:
    model = cnnviz.load(siamese(["N", 3, "h", "w"]), preprocessing=UNIT, size=(24, 28))
    large = RNG.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    assert cnnviz.grad_cam(model, {"left": large, "right": PICTURES[0]}, 1).map.shape == (24, 28)
    x = RNG.random((2, 3, 18, 22)).astype(np.float32)
    assert model.forward({"left": x, "right": x[::-1].copy()}).shape == (2, 5)
    with pytest.raises(
        ValueError, match=r"'right' has shape \(1, 3, 8, 8\): for this picture .*\(2, 3, 18, 22\)"
    ):
        model.forward({"left": x, "right": np.zeros((1, 3, 8, 8))})


LOADS: Tuple[Tuple[str, bytes, Any, type, str], ...] = (
    ("no such input", with_age(), {"weight": 3.0}, ValueError, "no input 'weight', only 'age', 'x'"),
    ("no such picture", with_age(), {"z": "picture"}, ValueError, "no input 'z', only 'age', 'x'"),
    (
        "no such kind",
        with_age(),
        {"x": "image"},
        ValueError,
        "'x' must be 'picture', 'array', or its numbers",
    ),
    (
        "a wrong shape",
        with_age(),
        {"age": [[1.0, 2.0]]},
        ValueError,
        r"shape \(any, 1\), which \(1, 2\) does not",
    ),
    ("no numbers", with_age(), {"age": [None]}, TypeError, "'age' must be fixed to numbers, not to"),
    (
        "no picture is left",
        with_age(),
        {"x": "array"},
        ValueError,
        r"age \(any, 1\), x .*none of which is a pict",
    ),
    ("no mapping", with_age(), ["x"], TypeError, "inputs must map the names"),
    (
        "a fraction for an integer",
        network([node("Identity", ["x"], ["y"])], {"x": (F, ["N", 3, 4, 4]), "k": (TensorProto.INT64, [1])}),
        {"k": 0.5},
        ValueError,
        "'k' holds int64, which 0.5 is not",
    ),
    (
        "an open shape",
        network([node("Identity", ["x"], ["y"])], {"x": (F, ["N", 3, 4, 4]), "k": (F, ["N", "length"])}),
        None,
        ValueError,
        r"'k' has shape \(any, any\): fix it to numbers .*inputs=\{'k': array\}",
    ),
)


@pytest.mark.parametrize(
    ("data", "inputs", "error", "message"), [row[1:] for row in LOADS], ids=[row[0] for row in LOADS]
)
def test_inputs_that_do_not_fit_the_file(data: bytes, inputs: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        cnnviz.load(data, inputs=inputs)


CALLS: Tuple[Tuple[str, Any, type, str], ...] = (
    (
        "the picture alone",
        PICTURES[0],
        ValueError,
        r"also takes 'age' \(any, 1\): pass \{'x': picture, 'age': \.\.\.\}",
    ),
    ("no picture", {"age": 3.0}, ValueError, r"no entry 'x' \(or 'image'\), only 'age'"),
    ("another name", {"x": PICTURES[0], "Age": 3.0}, ValueError, "entry 'Age'; the inputs are 'x', 'age'"),
    (
        "two numbers",
        {"x": PICTURES[0], "age": [1.0, 2.0]},
        ValueError,
        r"'age' has shape \(2,\).*must be \(1, 1\)",
    ),
    (
        "rows for two",
        {"x": PICTURES, "age": AGES[:2]},
        ValueError,
        r"'age' has shape \(2, 1\).*must be \(3, 1\)",
    ),
    ("text", {"x": PICTURES[0], "age": "old"}, TypeError, "'age' must be numbers, not 'old'"),
    (
        "half the rows",
        {"x": list(PICTURES[:2]) * 2, "age": AGES[:2]},
        ValueError,
        r"\(2, 1\).*must be \(4, 1\)",
    ),
    ("NaN", {"x": PICTURES[0], "age": np.nan}, ValueError, "'age' holds NaN"),
    (
        "mixed",
        [{"x": PICTURES[0], "age": 1}, PICTURES[1]],
        ValueError,
        "must list mappings with the same inputs",
    ),
    (
        "other keys",
        [{"x": PICTURES[0], "age": 1}, {"x": PICTURES[1]}],
        ValueError,
        "mappings with the same inputs",
    ),
    ("a bad picture", {"x": np.zeros((4, 4, 5)), "age": 1}, ValueError, "1, 3 or 4 of them"),
)


@pytest.mark.parametrize(
    ("given", "error", "message"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS]
)
def test_what_is_given_with_a_picture_is_checked(given: Any, error: type, message: str) -> None:
    model = cnnviz.load(with_age(), preprocessing=UNIT)
    for ask in (cnnviz.Model.predict, cnnviz.saliency, cnnviz.grad_cam):
        with pytest.raises(error, match=message):
            ask(model, given)


def test_what_is_bound_stays_when_the_caller_changes_the_array() -> None:
    model, age = cnnviz.load(with_age(), preprocessing=UNIT), np.array([[40.0]], np.float32)
    given = [model.bind({"age": age}), model.split({"x": PICTURES[0], "age": age})[0]]
    given.append(model.split([{"x": PICTURES[0], "age": age}])[0])
    scores = [one.predict(PICTURES[0]) for one in given]
    age[:] = 9
    for one, expected in zip(given, scores):
        assert one.predict(PICTURES[0]) == expected
        with pytest.raises(ValueError, match="read-only"):
            one.bound["age"][:] = 9
    other = model.preprocess(PICTURES[1])
    pair = cnnviz.load(siamese(), preprocessing=UNIT).bind({"right": Preprocessed(other)})
    before = pair.predict(PICTURES[0])
    other[:] = 0
    assert pair.predict(PICTURES[0]) == before


def test_other_bindings_are_refused() -> None:
    model = cnnviz.load(with_age(), preprocessing=UNIT)
    with pytest.raises(ValueError, match="'x' is no input beside the picture; there are 'age'"):
        model.bind({"x": PICTURES[0]})
    with pytest.raises(TypeError, match=r"inputs must be a mapping, .*, not of type int"):
        model.bind(3)  # type: ignore[arg-type]
    alone = cnnviz.load(with_age(), preprocessing=UNIT, inputs={"age": 1.0})
    with pytest.raises(ValueError, match="there are none"):
        alone.bind({"age": 2.0})
    with pytest.raises(ValueError, match=r"entry 'age'.*that were fixed when it was loaded"):
        alone.predict({"x": PICTURES[0], "age": 2.0})
    assert alone.predict({"image": PICTURES[0]}) == alone.predict(PICTURES[0])
