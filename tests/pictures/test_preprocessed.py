"""Inputs that are preprocessed already, and tensors and batches of data loaders, in place of pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import numpy as np
import pytest
from toy_networks import small_classifier

import cnnviz
from cnnviz import Preprocessed

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (3, 40, 36, 3), dtype=np.uint8)


class Tensor:
    """An array as PyTorch holds it: on a device, with a gradient; only a detached copy gives numbers."""

    def __init__(self, array: Any, *, detached: bool = False) -> None:
        self.array = np.asarray(array)
        self.shape = self.array.shape
        self.dtype = self.array.dtype
        self.detached = detached

    def detach(self) -> Tensor:
        return Tensor(self.array, detached=True)

    def cpu(self) -> Tensor:
        return self

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> Tensor:
        return Tensor(self.array[index])

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if not self.detached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        return self.array


@pytest.fixture(scope="module", name="model")
def small() -> cnnviz.Model:
    return cnnviz.load(small_classifier(), preprocessing="imagenet")


METHODS: Dict[str, Callable[..., Any]] = {
    "saliency": cnnviz.saliency,
    "smooth": lambda *given: cnnviz.saliency(*given, smooth=3),
    "grad_cam": cnnviz.grad_cam,
    "guided_backprop": cnnviz.guided_backprop,
    "guided_grad_cam": cnnviz.guided_grad_cam,
}


@pytest.mark.parametrize("method", METHODS)
def test_a_preprocessed_input_is_explained_as_its_picture(model: cnnviz.Model, method: str) -> None:
    x = model.preprocess(PICTURES)
    explain = METHODS[method]
    expected = explain(model, list(PICTURES), [1, 2, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (x, x.astype(np.float64), Tensor(x)):
            found = explain(model, Preprocessed(given), Tensor([1, 2, 3]))
            for one, other in zip(found, expected):
                np.testing.assert_array_equal(one.map, other.map)
                np.testing.assert_allclose(one.image, other.image, atol=1e-6)
                assert (one.target, one.score) == (other.target, other.score)
        alone = explain(model, Preprocessed(x[1]), Tensor(2))
        listed = explain(model, [Preprocessed(one) for one in x], [Tensor(1), 2, 3])
    np.testing.assert_array_equal(alone.map, expected[1].map)
    np.testing.assert_array_equal(listed[2].map, expected[2].map)


def test_everything_that_takes_a_picture_takes_it(model: cnnviz.Model) -> None:
    x = model.preprocess(PICTURES)
    np.testing.assert_array_equal(model.preprocess(Preprocessed(x)), x)
    assert model.predict(Preprocessed(x), top=2) == model.predict(PICTURES, top=2)
    assert model.predict(Preprocessed(x[0])) == model.predict(PICTURES[0])
    for name, found in model.activations(Preprocessed(x), ["relu1"]).items():
        np.testing.assert_array_equal(found, model.activations(PICTURES, ["relu1"])[name])
    target = 1 if model.predict(PICTURES[0])[0].index != 1 else 2
    options: Dict[str, Any] = {"steps": 3, "confidence": 0.0, "margin": 0.0, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = cnnviz.fooling_image(model, Preprocessed(x[0]), target, **options)
        expected = cnnviz.fooling_image(model, PICTURES[0], Tensor(target), **options)
    # Undoing the preprocessing may round to the neighbouring level of the 255.
    np.testing.assert_allclose(made.sources["image"] / 255, expected.sources["image"] / 255, atol=1.01 / 255)
    np.testing.assert_allclose(made.image, expected.image, atol=2.01 / 255)


def test_other_sizes_than_the_models_are_explained(model: cnnviz.Model) -> None:
    x = RNG.normal(0, 0.5, (2, 3, 48, 56)).astype(np.float32)
    found = cnnviz.grad_cam(model, Preprocessed(x), 3)
    assert [one.map.shape for one in found] == [(48, 56)] * 2
    with pytest.raises(ValueError, match=r"image is an input of size \(48, 56\), the model's pictures have"):
        cnnviz.fooling_image(model, Preprocessed(x), 3)


def test_a_result_says_whether_it_can_be_made_again(model: cnnviz.Model, tmp_path: Path) -> None:
    own = cnnviz.Preprocessing(scale=2.0, mean=1.0)
    exact = cnnviz.load(small_classifier(), preprocessing=own)
    x = exact.preprocess(PICTURES[0])
    cnnviz.saliency(exact, Preprocessed(x[0]), 1).save(tmp_path / "exact.png")
    again = cnnviz.replay(tmp_path / "exact.png", exact)
    np.testing.assert_array_equal(again.map, cnnviz.saliency(exact, PICTURES[0], 1).map)
    larger = cnnviz.saliency(exact, Preprocessed(np.full((3, 48, 40), -0.5, np.float32)), 1)
    assert larger.map.shape == (48, 40)
    assert larger.settings == {}  # read again, its picture would be resized
    with pytest.warns(
        UserWarning, match=r"not what the model's preprocessing makes .*span -\d.*load the model"
    ):
        other = cnnviz.saliency(model, Preprocessed(10 * RNG.normal(size=(3, 32, 32))), 1)
    assert other.settings == {}
    assert (other.image.min(), other.image.max()) == (0, 1)


REFUSED: Tuple[Tuple[str, Callable[[], Any], type, str], ...] = (
    (
        "a loader's batch",
        lambda: Preprocessed((np.zeros((2, 3, 8, 8)), np.zeros(2))),
        TypeError,
        "pass the inputs",
    ),
    ("integers", lambda: Preprocessed(PICTURES), TypeError, "dtype uint8.*holds floats"),
    ("one axis", lambda: Preprocessed(np.zeros(3)), ValueError, r"\(3,\): it must be C,H,W or N,C,H,W"),
    ("no image", lambda: Preprocessed(np.zeros((0, 3, 8, 8))), ValueError, "none of them 0"),
    ("NaN", lambda: Preprocessed(np.full((3, 2, 2), np.nan)), ValueError, "NaN or infinity: 12 of 12"),
    ("large", lambda: Preprocessed(np.full((3, 4, 4), 1e300)), ValueError, "NaN or infinity: 48 of 48"),
    ("no array", lambda: Preprocessed("x.png"), TypeError, "dtype <U5"),
)


@pytest.mark.parametrize(
    ("make", "error", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_is_no_input_is_refused(make: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


X = RNG.normal(size=(2, 3, 32, 32)).astype(np.float32)
#: What users hand in for a picture, and what they are told.
INSTEAD: Tuple[Tuple[str, Any, type, str], ...] = (
    ("an array N,C,H,W", X, ValueError, r"transpose\(0, 2, 3, 1\).*cnnviz\.Preprocessed\(array\)"),
    ("a tensor N,C,H,W", Tensor(X), ValueError, r"transpose\(0, 2, 3, 1\).*cnnviz\.Preprocessed\(array\)"),
    ("a tensor C,H,W", Tensor(X[0]), ValueError, r"transpose\(1, 2, 0\).*cnnviz\.Preprocessed\(array\)"),
    (
        "normalised H,W,C",
        np.moveaxis(X[0], 0, 2),
        ValueError,
        r"do not normalise.*cnnviz\.Preprocessed\(array\)",
    ),
    ("a loader's batch", (Tensor(X), Tensor([1, 2])), ValueError, r"image\[0\] .*\(inputs, targets\)"),
    ("a list of batches", [X, X], ValueError, r"image\[0\] .*cnnviz\.Preprocessed\(inputs\)"),
    (
        "five channels",
        Preprocessed(RNG.random((5, 32, 32))),
        ValueError,
        r"has 5 channels, .* takes 3 \(R, G, B\)",
    ),
    ("mixed", [Preprocessed(X[0]), PICTURES[0]], TypeError, r"image\[0\] is preprocessed already"),
    ("batches", [Preprocessed(X), Preprocessed(X)], ValueError, "it must be C,H,W or N,C,H,W"),
)


@pytest.mark.parametrize(
    ("given", "error", "message"), [row[1:] for row in INSTEAD], ids=[row[0] for row in INSTEAD]
)
def test_what_is_no_picture_says_what_to_do(
    model: cnnviz.Model, given: Any, error: type, message: str
) -> None:
    for ask in (cnnviz.saliency, cnnviz.grad_cam, cnnviz.Model.predict, cnnviz.Model.preprocess):
        with pytest.raises(error, match=message):
            ask(model, given)


def test_tensors_of_pictures_are_pictures(model: cnnviz.Model) -> None:
    found = cnnviz.saliency(model, Tensor(PICTURES), Tensor(3))
    expected = cnnviz.saliency(model, list(PICTURES), 3)
    assert len(found) == 3
    np.testing.assert_array_equal(found[2].map, expected[2].map)
    np.testing.assert_array_equal(cnnviz.saliency(model, Tensor(PICTURES[0]), 3).map, expected[0].map)
    x = model.preprocess(PICTURES)
    np.testing.assert_array_equal(
        model.gradient(x, Tensor([1, 2, 3])).gradients["input"],
        model.gradient(x, [1, 2, 3]).gradients["input"],
    )


@pytest.mark.torch
def test_tensors_of_pytorch(model: cnnviz.Model) -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(model.preprocess(PICTURES), requires_grad=True)
    y = torch.tensor([1, 2, 3])
    expected = cnnviz.grad_cam(model, list(PICTURES), [1, 2, 3])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x.detach(), y), batch_size=3)
    inputs, targets = next(iter(loader))
    for given in (x, x.double(), inputs):
        found = cnnviz.grad_cam(model, Preprocessed(given), targets)
        np.testing.assert_array_equal(found[1].map, expected[1].map)
    np.testing.assert_array_equal(model.forward(x), model.forward(x.detach().numpy()))
    shape = (1, model.classes)
    ours, theirs = np.ones(shape, np.float32), torch.ones(shape, requires_grad=True)
    np.testing.assert_array_equal(
        model.gradient(x, {"logits": theirs}).gradients["input"],
        model.gradient(x.detach().numpy(), {"logits": ours}).gradients["input"],
    )
    half = cnnviz.grad_cam(model, Preprocessed(x.bfloat16()), targets)
    np.testing.assert_allclose(half[1].map, expected[1].map, atol=0.05 * expected[1].map.max())
    with pytest.raises(ValueError, match=r"cnnviz\.Preprocessed\(inputs\)"):
        cnnviz.saliency(model, (inputs, targets))
