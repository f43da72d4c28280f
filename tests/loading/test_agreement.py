"""What judges exports, without PyTorch: outputs, fingerprints, names of parts, sizes, pooling windows."""

from __future__ import annotations

from typing import Any, List, Optional

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz.loading.adaptive_pool import pooling_matrix
from cnnviz.loading.agreement import check, fingerprint, same
from cnnviz.loading.module_names import candidates
from cnnviz.model.model import Model
from cnnviz.reader.onnx_file import read

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("found", "expected", "exact", "right"),
    [
        (1.0, 1.0 + 1e-4, None, True),
        (1.0, 1.01, None, False),
        (1.0, 1.01, 1.001, True),  # the original is ten times as wrong
        (1.0, 1.01, 1.0101, False),  # the original is right
        (float("nan"), 1.0, 1.0, False),
        (1e-9, 0.0, None, True),
    ],
)
def test_float64_judges_where_float32_cannot(
    found: float, expected: float, exact: Optional[float], right: bool
) -> None:
    reference = None if exact is None else np.array([exact])
    arguments = ("net", np.array([found], np.float32), np.array([expected], np.float32), lambda: reference)
    if right:
        check(*arguments)
    else:
        with pytest.raises(cnnviz.CnnvizError, match="differ from the original's by up to"):
            check(*arguments)


def test_fingerprints_tell_arrays_apart_and_forgive_rounding() -> None:
    array = RNG.normal(size=(2, 3, 40, 50)).astype(np.float32)
    others = [array[:, :, ::-1], -array, array * 1.01, array[:1], np.roll(array, 1), np.roll(array, 997)]
    assert same(fingerprint(array), fingerprint(array * (1 + 1e-6)))
    assert not any(same(fingerprint(array), fingerprint(other)) for other in others)
    assert not same(fingerprint(array), fingerprint(np.full_like(array, np.nan)))


def scoped(op: str, name: str, inputs: List[str]) -> Any:
    return helper.make_node(op, inputs, [f"{name}_output_0"], name=name)


def test_the_candidates_for_a_part_are_the_values_that_leave_it() -> None:
    nodes = [
        scoped("Conv", "/cnnviz_module/layer4/layer4.0/conv/Conv", ["x"]),
        scoped(
            "Relu",
            "/cnnviz_module/layer4/layer4.0/Relu",
            ["/cnnviz_module/layer4/layer4.0/conv/Conv_output_0"],
        ),
        scoped("Relu", "/cnnviz_module/head/Relu", ["/cnnviz_module/layer4/layer4.0/Relu_output_0"]),
    ]
    graph = helper.make_graph(nodes, "g", [], [helper.make_empty_tensor_value_info(nodes[-1].output[0])])
    found = candidates(helper.make_model(graph))
    conv, relu, head = (node.output[0] for node in nodes)
    assert found == {"layer4": [relu], "layer4.0": [relu], "layer4.0.conv": [conv], "head": [head]}


def test_a_fixed_value_refuses_other_sizes_and_the_values_before_do_not() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["free"]), helper.make_node("Abs", ["free"], ["last"])]
    graph = read(onnx_bytes(nodes, {}, input_shape=["N", 3, 8, 8], output="last"))
    model = Model(graph.replace(fixed=frozenset({"last"}), aliases={"head": "last"}))
    other = np.zeros((1, 3, 8, 9), np.float32)
    assert model.forward(other, ["free"])["free"].shape == other.shape
    assert model.forward(other[..., :8]).shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match="'x' has size 8x9, and layer 'head' is right at 8x8 alone"):
        model.forward(other)


@pytest.mark.parametrize(("cells", "places"), [(16, 3), (2, 7), (6, 3), (5, 5)])
def test_each_window_of_an_adaptive_pool_is_a_mean(cells: int, places: int) -> None:
    x = RNG.normal(size=cells)
    windows = [x[i * cells // places : -(-(i + 1) * cells // places)] for i in range(places)]
    np.testing.assert_allclose(pooling_matrix(cells, places) @ x, [w.mean() for w in windows], rtol=1e-6)
