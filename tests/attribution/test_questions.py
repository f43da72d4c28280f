"""Questions about outputs that are no classes: every technique answers them, also for a batch."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz import objectives as obj

RNG = np.random.default_rng(5)
PICTURES = [RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
MASK = np.zeros((16, 16), bool)
MASK[4:9, 3:12] = True


def body(last: str, channels: int) -> Tuple[List[Any], Dict[str, Any]]:
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["conv1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv1"], ["relu1"]),
        helper.make_node("Conv", ["relu1", "w2"], [last], pads=[1, 1, 1, 1]),
    ]
    rng = np.random.default_rng(2)
    constants = {
        "w1": rng.normal(0, 0.3, (6, 3, 3, 3)),
        "b1": rng.normal(0, 0.2, 6),
        "w2": rng.normal(0, 0.3, (channels, 6, 3, 3)),
    }
    return nodes, constants


def segmenter(classes: int = 4) -> cnnviz.Model:
    nodes, constants = body("scores", classes)
    nodes.append(helper.make_node("Softmax", ["scores"], ["y"], axis=1))
    return cnnviz.load(
        onnx_bytes(nodes, constants, input_shape=["N", 3, 16, 16], output="y"), preprocessing="unit"
    )


def detector() -> cnnviz.Model:
    """A network whose output is five numbers for each of 256 places: N,5,256."""
    nodes, constants = body("maps", 5)
    constants["s"] = np.array([0, 5, -1])
    nodes.append(helper.make_node("Reshape", ["maps", "s"], ["boxes"]))
    return cnnviz.load(
        onnx_bytes(nodes, constants, input_shape=["N", 3, 16, 16], output="boxes"), preprocessing="unit"
    )


def embedder() -> cnnviz.Model:
    nodes, constants = body("maps", 8)
    nodes += [
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    return cnnviz.load(
        onnx_bytes(nodes, constants, input_shape=["N", 3, 16, 16], output="embedding"), preprocessing="unit"
    )


MODELS = {"segmenter": segmenter(), "detector": detector(), "embedder": embedder()}
REFERENCE = MODELS["embedder"].activations(PICTURES[2], "embedding")["embedding"]
ASKED = [
    ("detector", obj.Score("boxes", (4, 130))),
    ("detector", obj.Score("boxes", (4, 130)) - 0.5 * obj.Score("boxes", (4, 7))),
    ("segmenter", obj.Region("logits", 2)),
    ("segmenter", obj.Region("logits", 2, MASK)),
    ("segmenter", obj.Region("y", 1, MASK)),
    ("embedder", obj.Similarity(REFERENCE)),
    ("embedder", obj.Similarity(REFERENCE[0], layer="embedding")),
]
TECHNIQUES: Dict[str, Callable[..., Any]] = {
    "saliency": cnnviz.saliency,
    "smooth": lambda *asked: cnnviz.saliency(*asked, smooth=3),
    "grad_cam": lambda *asked: cnnviz.grad_cam(*asked, "relu1"),
    "guided_backprop": cnnviz.guided_backprop,
    "guided_grad_cam": lambda *asked: cnnviz.guided_grad_cam(*asked, "relu1"),
}


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize(("network", "objective"), ASKED, ids=lambda x: repr(x)[:40])
def test_techniques_answer_a_batch_as_its_pictures(network: str, objective: Any, technique: str) -> None:
    model, explain = MODELS[network], TECHNIQUES[technique]
    batch = explain(model, PICTURES, objective)
    assert len(batch) == 3
    for picture, found in zip(PICTURES, batch):
        alone = explain(model, picture, objective)
        np.testing.assert_array_equal(found.values, alone.values)
        assert found.score == alone.score
        assert found.label == repr(objective)
    assert any(found.map.any() for found in batch)


def test_a_number_of_an_output_is_its_cotangent() -> None:
    model = MODELS["detector"]
    cotangent = np.zeros((1, 5, 256), np.float32)
    cotangent[0, 4, 130] = 1
    expected = cnnviz.saliency(model, PICTURES[0], {"boxes": cotangent})
    found = cnnviz.saliency(model, PICTURES[0], obj.Score("boxes", (4, 130)))
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.score == model.activations(PICTURES[0], "boxes")["boxes"][0, 4, 130]
    # One number of the map sees five pixels around its place, which is row 8, column 2.
    rows, columns = np.nonzero(found.map)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 10, 0, 4)


def test_a_region_is_where_its_class_wins() -> None:
    model = MODELS["segmenter"]
    scores = model.activations(PICTURES, "logits")["logits"]
    for cls in range(4):
        wins = scores.argmax(axis=1) == cls
        found = model.gradient(model.preprocess(PICTURES), obj.Region("logits", cls))
        expected = [float(one[cls][win].mean()) if win.any() else 0.0 for one, win in zip(scores, wins)]
        np.testing.assert_allclose(found.value, expected, rtol=1e-5)
    each = np.stack([MASK, MASK[::-1], MASK[:, ::-1]])
    found = model.gradient(model.preprocess(PICTURES), obj.Region("logits", 1, each))
    for i in range(3):
        alone = model.gradient(model.preprocess(PICTURES[i]), obj.Region("logits", 1, each[i]))
        np.testing.assert_array_equal(found.gradients["input"][i], alone.gradients["input"][0])


def test_a_class_that_wins_nowhere_has_an_empty_map_that_says_so() -> None:
    model, dark = MODELS["segmenter"], PICTURES[0] * 0
    best = model.activations(dark, "logits")["logits"].argmax(axis=1)
    nowhere = [cls for cls in range(4) if cls not in best]
    assert nowhere
    found = cnnviz.saliency(model, dark, obj.Region("logits", nowhere[0]))
    assert (found.score, found.map.any(), len(found.flags)) == (0.0, False, 1)


def test_the_picture_of_an_embedding_is_alike() -> None:
    model = MODELS["embedder"]
    assert cnnviz.saliency(model, PICTURES[2], obj.Similarity(REFERENCE)).score == pytest.approx(1.0)
    made = cnnviz.class_visualization(model, obj.Similarity(REFERENCE), steps=20, progress=False)
    assert made.history["value"][-1] > made.history["value"][0]


def test_the_error_names_the_question() -> None:
    with pytest.raises(
        ValueError, match=r"Score\('boxes', \(i, j\)\) with i from 0 to 4, j from 0 to 255, or"
    ):
        cnnviz.saliency(MODELS["detector"], PICTURES[0])
