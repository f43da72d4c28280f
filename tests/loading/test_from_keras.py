"""Keras models as people hold them become models: kinds, outputs, scaling, sizes, names of layers.

Everything runs on the backend that KERAS_BACKEND chooses.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np
import pytest

import cnnviz

keras = pytest.importorskip("keras")
L = keras.layers
BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    pytest.importorskip("tf2onnx")

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]


def scored(image: Any, first: Sequence[Any] = (), **last: Any) -> Any:
    """A sequential classifier of ten classes."""
    keras.utils.set_random_seed(0)
    layers = [
        *first,
        L.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem"),
        L.Conv2D(12, 3, name="conv"),
        L.BatchNormalization(name="bn"),
        L.ReLU(name="relu"),
        L.GlobalAveragePooling2D(name="pool"),
        L.Dropout(0.5),
        L.Dense(10, name="head", **last),
    ]
    return keras.Sequential([keras.Input(image), *layers])


def heads(outputs: Callable[[Any], Any]) -> Any:
    image = keras.Input((24, 24, 3))
    features = L.GlobalAveragePooling2D()(L.Conv2D(8, 3, activation="relu")(image))
    return keras.Model(image, outputs(features))


class Subclassed(keras.Model):  # type: ignore[misc]  # keras has no types here
    """A model whose call does not say whether it trains, with an augmentation that then does."""

    def __init__(self) -> None:
        super().__init__()
        self.augment, self.conv = L.RandomFlip("horizontal"), L.Conv2D(8, 3, activation="relu")
        self.pool, self.head = L.GlobalMaxPooling2D(), L.Dense(5)

    def call(self, x: Any) -> Any:
        return self.head(self.pool(self.conv(self.augment(x))))


def called() -> Any:
    model = Subclassed()
    model(np.zeros((1, 24, 24, 3), np.float32), training=False)
    return model


def inner() -> Any:
    """Transfer learning: an inner model, behind operations that scale pictures."""
    image = keras.Input((32, 32, 3))
    base = scored((32, 32, 3))
    return keras.Model(image, L.Dense(3)(base(keras.ops.divide(image, 127.5) - 1.0)))


def unet() -> Any:
    image = keras.Input((24, 32, 3))
    a = L.Conv2D(8, 3, padding="same", activation="relu")(image)
    b = L.Conv2D(8, 3, strides=2, padding="same", activation="relu")(a)
    u = L.UpSampling2D(interpolation="bilinear")(b)
    return keras.Model(image, L.Conv2D(2, 1)(L.Concatenate()([a, u])))


COLOURS = {"mean": [120.0, 110, 100], "variance": [9e3, 8e3, 7e3]}
MODELS: Dict[str, Callable[[], Any]] = {
    "sequential": lambda: scored((32, 32, 3)),
    "open size": lambda: scored((None, None, 3)),
    "grey": lambda: scored((28, 28, 1)),
    "softmax": lambda: scored((32, 32, 3), activation="softmax"),
    "augmented": lambda: scored(
        (32, 32, 3), [L.RandomFlip(), L.RandomRotation(0.3), L.RandomZoom(0.3), L.RandomContrast(0.3)]
    ),
    "rescaling": lambda: scored((32, 32, 3), [L.Rescaling(1 / 255)]),
    "normalization": lambda: scored((32, 32, 3), [L.Normalization(**COLOURS)]),
    "two heads": lambda: heads(lambda x: [L.Dense(5)(x), L.Dense(3)(x)]),
    "subclassed": called,
    "inner": inner,
    "map": unet,
}


def answers(model: Any, x: np.ndarray, output: Optional[int] = None) -> np.ndarray:
    """Keras' own output for pictures N,C,H,W."""
    found = model(np.moveaxis(x, 1, 3), training=False)
    found = keras.ops.convert_to_numpy(found[output] if output is not None else found)
    return np.moveaxis(found, 3, 1) if found.ndim == 4 else found


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_computes_what_keras_computes(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    model = MODELS[kind]()
    weights = [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]
    capfd.readouterr()
    net = cnnviz.from_keras(model, preprocessing="unit")
    assert capfd.readouterr() == ("", "")
    size = net.preprocessing.size
    assert size is not None
    x = np.random.default_rng(1).random((3, net.preprocessing.channels, *size), dtype=np.float32)
    expected = answers(model, x, 0 if kind == "two heads" else None)
    np.testing.assert_allclose(net.forward(x), expected, rtol=1e-3, atol=1e-5)
    for before, variable in zip(weights, model.variables):
        np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(variable))


@pytest.mark.parametrize(("output", "classes"), [(0, 5), (1, 3), ("age", 3)])
def test_one_of_several_outputs_is_chosen(output: Any, classes: int) -> None:
    def named(x: Any) -> Any:
        return {"cls": L.Dense(5)(x), "age": L.Dense(3)(x)}

    model = heads(named) if isinstance(output, str) else heads(lambda x: [L.Dense(5)(x), L.Dense(3)(x)])
    assert len(cnnviz.from_keras(model, output=output).labels) == classes


def test_layers_answer_to_the_names_that_keras_gives() -> None:
    model = scored((32, 32, 3))
    net = cnnviz.from_keras(model, preprocessing="unit")
    x = np.random.default_rng(1).random((1, 3, 32, 32), dtype=np.float32)
    for name in ("stem", "pool", "head", "bn"):
        reader = keras.Model(model.inputs, model.get_layer(name).output)
        found, expected = net.forward(x, [name])[name], answers(reader, x)
        if found.shape != expected.shape:  # exports of PyTorch leave normalisations N,H,W,C
            assert BACKEND == "torch"
            found = np.moveaxis(found, 3, 1)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert net.layers.resolve("conv")
    assert cnnviz.from_keras(inner()).layers.resolve("stem")


@pytest.mark.parametrize(
    ("first", "wanted"),
    [
        ([L.Rescaling(1 / 255)], "keras:pixels"),
        ([L.RandomFlip(), L.Rescaling(1 / 127.5, offset=-1)], "keras:pixels"),
        ([L.Normalization(**COLOURS)], "keras:pixels"),
        ([L.Rescaling(2.0, offset=-1)], "unit"),
    ],
)
def test_pictures_are_not_scaled_twice(first: List[Any], wanted: str) -> None:
    assert cnnviz.from_keras(scored((32, 32, 3), first)).preprocessing.name == wanted


def test_an_application_gets_its_own_mode() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(32, 32, 3), classes=4)
        net = cnnviz.from_keras(model, labels=["a", "b", "c", "d"])
    assert net.preprocessing.name == "keras:tf"
    assert list(net.labels) == ["a", "b", "c", "d"]
    given = keras.applications.vgg16.preprocess_input
    assert cnnviz.from_keras(model, preprocessing=given).preprocessing.mean == (103.939, 116.779, 123.68)


def test_a_model_that_says_nothing_is_guessed_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="nothing says how its pictures are scaled, and 'imagenet' is taken"):
        assert cnnviz.from_keras(scored((32, 32, 3))).preprocessing.name == "imagenet"


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_other_policies_are_converted_in_float32_and_kept(policy: str) -> None:
    kept = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = scored((32, 32, 3))
    finally:
        keras.config.set_dtype_policy(kept)
    net = cnnviz.from_keras(model)
    assert {layer.dtype_policy.name for layer in model.layers} == {policy}
    x = np.random.default_rng(1).random((1, 3, 32, 32), dtype=np.float32)
    np.testing.assert_allclose(net.forward(x), answers(model, x).astype(np.float32), rtol=0.05, atol=0.05)


def test_sizes_are_free_where_the_model_leaves_them_open() -> None:
    net = cnnviz.from_keras(scored((None, None, 3)), example=(40, 48, 3))
    assert net.preprocessing.size == (40, 48)
    model = scored((None, None, 3))
    x = np.random.default_rng(1).random((2, 3, 37, 51), dtype=np.float32)
    np.testing.assert_allclose(cnnviz.from_keras(model).forward(x), answers(model, x), rtol=1e-3, atol=1e-5)


def test_a_model_that_was_never_called_takes_an_example() -> None:
    with pytest.raises(ValueError, match=r"has not been called yet.*pass example="):
        cnnviz.from_keras(Subclassed())
    assert len(cnnviz.from_keras(Subclassed(), example=(24, 24, 3)).labels) == 5


def test_what_cannot_be_converted_says_what_to_do() -> None:
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((4,), name="b")
    pair = keras.Model([a, b], L.Dense(2)(L.Concatenate()([L.GlobalAveragePooling2D()(a), b])))
    with pytest.raises(ValueError, match=r"takes 2 inputs \(a, b\).*hold the others in constants"):
        cnnviz.from_keras(pair)
    with pytest.raises(TypeError, match=r"not str; a file or a SavedModel is read by cnnviz.load"):
        cnnviz.from_keras("model.keras")
    with pytest.raises(ValueError, match=r"input has shape \(None, 7\): pictures are"):
        cnnviz.from_keras(keras.Sequential([keras.Input((7,)), L.Dense(2)]))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="files of TensorFlow need its backend")
@pytest.mark.parametrize("kind", ["file.keras", "file.h5", "file.tflite", "saved"])
def test_files_of_keras_and_tensorflow_load(tmp_path: Path, kind: str) -> None:
    import tensorflow as tf

    model, path = scored((32, 32, 3), [L.Rescaling(1 / 255)]), tmp_path / kind
    if kind == "saved":
        model.export(str(path), verbose=False)
    elif kind == "file.tflite":
        path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    else:
        model.save(path)
    net = cnnviz.load(path)
    # TensorFlow's converter to TFLite folds the scaling into the first weights.
    assert net.preprocessing.name == ("imagenet" if kind == "file.tflite" else "keras:pixels")
    x = 255 * np.random.default_rng(1).random((3, 3, 32, 32), dtype=np.float32)
    np.testing.assert_allclose(net.forward(x), answers(model, x), rtol=1e-3, atol=1e-5)


def test_grouped_convolutions_and_exact_gelu_are_exported(capfd: pytest.CaptureFixture[str]) -> None:
    """TensorFlow compiles the former whole, and writes the latter with an operator that ONNX lacks."""
    layers = [L.Conv2D(12, 3, groups=3, padding="same"), L.Activation("gelu"), L.Flatten(), L.Dense(4)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    capfd.readouterr()
    net = cnnviz.from_keras(model, preprocessing="unit")
    assert capfd.readouterr() == ("", "")
    x = np.random.default_rng(1).random((2, 3, 8, 8), dtype=np.float32)
    np.testing.assert_allclose(net.forward(x), answers(model, x), rtol=1e-3, atol=1e-5)
