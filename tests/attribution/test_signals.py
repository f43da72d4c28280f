"""Networks of signals N,C,L and of volumes N,C,D,H,W: every attribution has the input's own axes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import pytest
from matplotlib import pyplot
from onnx import helper
from toy_networks import onnx_bytes

import cnnviz
from cnnviz import Preprocessed, plot

RNG = np.random.default_rng(0)
node = helper.make_node


def network(size: Sequence[Any], channels: int, *, kernel: int = 3) -> bytes:
    """Two convolutions with a stride in the second one, global pooling and a linear layer."""
    rank = len(size)
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1] * 2 * rank),
        node("Relu", ["c"], ["r"]),
        node("Conv", ["r", "v"], ["d"], strides=[2] * rank, pads=[1] * 2 * rank),
        node("Relu", ["d"], ["s"]),
        node("GlobalAveragePool", ["s"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "u"], ["y"]),
    ]
    weights = {
        "w": RNG.normal(0, 0.4, (6, channels, *[kernel] * rank)),
        "v": RNG.normal(0, 0.4, (8, 6, *[kernel] * rank)),
        "u": RNG.normal(0, 0.6, (8, 5)),
    }
    return onnx_bytes(nodes, weights, input_shape=["N", channels, *size], output="y")


SIGNAL, LEADS = network((48,), 1), network((48,), 3)
VOLUME, SCANS = network((6, 8, 10), 1), network((6, 8, 10), 2)
#: A network, the size of its input, its channels, its preprocessing, and one input in its own units.
CASES: Dict[str, Tuple[bytes, Tuple[int, ...], int, Any, Any]] = {
    "signal": (SIGNAL, (48,), 1, None, RNG.normal(0, 3, 48)),
    "three leads": (
        LEADS,
        (48,),
        3,
        cnnviz.Preprocessing(channel_order=("I", "II", "III"), mean=(0.1, 0.0, -0.2), std=(1.5, 1.0, 2.0)),
        RNG.normal(0, 3, (48, 3)),
    ),
    "12-bit signal": (
        SIGNAL,
        (48,),
        1,
        cnnviz.Preprocessing(channel_order=1, range=(0, 4095), mean=2000.0, std=500.0),
        RNG.integers(0, 4096, (48, 1)),
    ),
    "volume": (VOLUME, (6, 8, 10), 1, None, RNG.normal(0, 3, (6, 8, 10))),
    "two scans": (
        SCANS,
        (6, 8, 10),
        2,
        cnnviz.Preprocessing(channel_order=("T1", "T2"), range=(-1000, 3000), mean=100.0, std=700.0),
        RNG.integers(-1000, 3001, (6, 8, 10, 2)),
    ),
}
METHODS: Dict[str, Callable[..., Any]] = {
    "saliency": cnnviz.saliency,
    "smooth_grad": lambda model, given, target=None: cnnviz.saliency(model, given, target, smooth=3),
    "grad_cam": cnnviz.grad_cam,
    "guided_backprop": cnnviz.guided_backprop,
    "guided_grad_cam": cnnviz.guided_grad_cam,
}


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def loaded(name: str) -> cnnviz.Model:
    return cnnviz.load(CASES[name][0], preprocessing=CASES[name][3])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CASES)
def test_maps_have_the_axes_of_the_input(name: str, method: str) -> None:
    _, size, channels, _, given = CASES[name]
    model, explain = loaded(name), METHODS[method]
    result = explain(model, given, 2)
    assert result.map.shape == size
    assert result.image.shape == (*size, channels)
    assert result.values.shape == (tuple(n // 2 for n in size) if method == "grad_cam" else (channels, *size))
    assert result.layer == ("s" if "cam" in method else None)
    others = [given[::-1].copy(), given]
    batch = explain(model, [given, *others], 2)
    np.testing.assert_array_equal(batch[0].map, result.map)
    np.testing.assert_array_equal(batch[1].map, explain(model, others[0], 2).map)
    shaped = np.stack([given, *others]).reshape(3, *size, channels)
    np.testing.assert_array_equal(explain(model, shaped, [2, 2, 3])[2].map, explain(model, given, 3).map)
    x = model.preprocess(given)
    assert x.shape == (1, channels, *size)
    for fed in (Preprocessed(x[0]), [Preprocessed(x[0])], Preprocessed(x)):
        found = explain(model, fed, 2)
        found = found[0] if isinstance(found, list) else found
        np.testing.assert_allclose(found.map, result.map, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    model = loaded(name)
    x = model.preprocess(CASES[name][4])
    values = cnnviz.saliency(model, CASES[name][4], 2).values
    direction = values / np.linalg.norm(values)
    step = np.float32(1e-2)
    change = model.forward(x + step * direction)[0, 2] - model.forward(x - step * direction)[0, 2]
    np.testing.assert_allclose(change / (2 * step), np.linalg.norm(values), rtol=1e-2)
    expected = np.moveaxis(np.asarray(CASES[name][4], np.float64).reshape(*CASES[name][1], -1), -1, 0)
    feed = model.preprocessing
    mean, std = (np.reshape(n, (-1, *(1,) * len(CASES[name][1]))) for n in (feed.mean, feed.std))
    np.testing.assert_allclose(x[0], (expected - mean) / std, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["signal", "volume"])
def test_grad_cam_is_the_formula(name: str) -> None:
    model = loaded(name)
    x = model.preprocess(CASES[name][4])
    found = model.gradient(x, 2, wrt="s")
    a, g = found.activations["s"][0].astype(np.float64), found.gradients["s"][0].astype(np.float64)
    places = tuple(range(1, a.ndim))
    expected = np.tensordot(g.mean(places), a, 1)
    result = cnnviz.grad_cam(model, CASES[name][4], 2)
    np.testing.assert_allclose(result.values, expected, rtol=1e-4, atol=1e-7)
    positive = np.maximum(expected, 0)
    # The centres of two neighbouring cells lie a quarter cell beside those of the four pixels between them.
    inner = positive[(slice(1, 2),) * positive.ndim].ravel()[0]
    near = [positive[tuple(index)] for index in np.ndindex(*(3,) * positive.ndim)]
    assert min(near) <= result.map[(3,) * positive.ndim] <= max(near)
    corner = result.map[(0,) * positive.ndim]
    np.testing.assert_allclose(corner, positive[(0,) * positive.ndim], rtol=1e-5, atol=1e-7)
    assert np.isfinite(inner)


@pytest.mark.parametrize("name", CASES)
def test_results_are_plotted_saved_and_replayed(name: str, tmp_path: Path) -> None:
    model, given = loaded(name), CASES[name][4]
    for explain in (cnnviz.saliency, cnnviz.grad_cam):
        result = explain(model, given, 2)
        ax = result.plot()
        rank = result.map.ndim
        assert len(ax.lines) == (CASES[name][2] if rank == 1 else 0)
        if rank == 1:
            np.testing.assert_allclose(ax.lines[0].get_ydata(), result.image[:, 0], rtol=1e-6)
            np.testing.assert_array_equal(ax.images[0].get_array()[0], result.map)
        plot.grid([result, result], share_scale=True)
        result.save(tmp_path / "result.npz")
        again = cnnviz.load_result(tmp_path / "result.npz")
        result.save(tmp_path / "result.png")
        replayed = cnnviz.replay(tmp_path / "result.png", model)
        for other in (again, replayed):
            np.testing.assert_array_equal(other.map, result.map)
            np.testing.assert_array_equal(other.image, result.image)


def test_slices_of_a_volume() -> None:
    result = cnnviz.saliency(loaded("volume"), CASES["volume"][4], 2)
    drawn = np.asarray(result.plot().images[0].get_array())
    assert drawn.shape == (8, 10 + 2 + 10 + 2 + 8)
    np.testing.assert_array_equal(drawn[:, :10], result.map[3])
    np.testing.assert_array_equal(drawn[:6, 12:22], result.map[:, 4])
    np.testing.assert_array_equal(drawn[:6, 24:], result.map[:, :, 5])
    assert not drawn[6:, 12:].any()
    one = np.asarray(result.plot(slice=(1, 2)).images[0].get_array())
    np.testing.assert_array_equal(one, result.map[:, 2])
    for wrong in ((3, 0), (0, 6), (0, -1), 5, (0,), (0, 1.5), (True, 0), "01"):
        with pytest.raises(ValueError, match=r"slice must be \(axis, index\), an axis of \(6, 8, 10\) and"):
            result.plot(slice=wrong)
    over = cnnviz.grad_cam(loaded("volume"), CASES["volume"][4], 2).plot()
    assert over.images[-1].get_interpolation() == "nearest"


def test_models_say_what_they_take() -> None:
    signal, volume = loaded("three leads"), loaded("volume")
    assert "input 3x48" in signal.summary()
    assert "3 channels (I, II, III) at 48" in signal.preprocessing.describe()
    assert volume.preprocessing.size == (6, 8, 10)
    assert pickle.loads(pickle.dumps(signal)).preprocessing == signal.preprocessing
    assert signal.predict(CASES["three leads"][4])[0].label.startswith("class ")
    opened = network(("length",), 2)
    with pytest.raises(ValueError, match=r"leaves the size of its input open, length: pass size=\(length,\)"):
        cnnviz.load(opened)
    with pytest.raises(
        ValueError, match=r"size must be one positive integer in a tuple, length, not \(3, 4\)"
    ):
        cnnviz.load(opened, size=(3, 4))
    with pytest.raises(
        ValueError, match=r"preprocessing.size is \(1, 48\), but network takes sizes \(length,\)"
    ):
        cnnviz.load(SIGNAL, preprocessing=cnnviz.Preprocessing(size=(1, 48), channel_order="L"))
    model = cnnviz.load(opened, size=(40,))
    assert cnnviz.grad_cam(model, RNG.normal(size=(40, 2)), 1).map.shape == (40,)
    assert cnnviz.grad_cam(model, Preprocessed(RNG.normal(size=(2, 56))), 1).map.shape == (56,)


REFUSED: List[Tuple[str, Any, type, str]] = [
    ("signal", np.zeros(40), ValueError, "image has size 40, the network takes 48: cut or resample it"),
    (
        "signal",
        np.zeros((1, 48)),
        ValueError,
        r"\(1, 48\): a signal must be L or L,1; channels come first here",
    ),
    ("signal", np.zeros((5, 48)), ValueError, r"\(5, 48\): .*a batch of them is a list, list\(image\)"),
    (
        "three leads",
        np.zeros((3, 48)),
        ValueError,
        r"must be L,3; channels come first here, pass np\.moveaxis",
    ),
    ("three leads", np.zeros(48), ValueError, r"\(48,\): a signal must be L,3"),
    ("signal", np.full(48, np.inf), ValueError, "NaN or infinity: 48 of 48"),
    ("12-bit signal", np.full(48, 5000), ValueError, "spans 5000 to 5000, outside the range 0 to 4095"),
    ("signal", "ecg.csv", TypeError, "must be an array L or L,1 of a signal, not str"),
    ("signal", [], ValueError, "image is an empty list"),
    ("volume", np.zeros((8, 10)), ValueError, r"\(8, 10\): a volume must be D,H,W or D,H,W,1"),
    ("volume", np.array([["a"]] * 6), ValueError, "a volume must be"),
    ("volume", Preprocessed(np.zeros((8, 10))), ValueError, r"\(8, 10\): it must be C,D,H,W or N,C,D,H,W"),
]


@pytest.mark.parametrize(("name", "given", "error", "message"), REFUSED)
def test_other_arrays_are_refused(name: str, given: Any, error: type, message: str) -> None:
    for ask in (cnnviz.Model.predict, cnnviz.saliency):
        with pytest.raises(error, match=message):
            ask(loaded(name), given)


def test_noise_is_a_share_of_the_signals_span() -> None:
    model = loaded("signal")
    given = CASES["signal"][4]
    plain = cnnviz.saliency(model, given, 2)
    scaled = cnnviz.load(SIGNAL, preprocessing=cnnviz.Preprocessing(channel_order=1, std=1000.0))
    first = cnnviz.saliency(model, given, 2, smooth=4, noise=0.3)
    second = cnnviz.saliency(scaled, 1000 * given, 2, smooth=4, noise=0.3)
    assert not np.allclose(first.map, plain.map, rtol=1e-2)
    np.testing.assert_allclose(second.map, first.map, rtol=1e-3, atol=1e-6)


def test_pictures_are_not_made() -> None:
    model, given = loaded("signal"), CASES["signal"][4]
    for make in (
        lambda: cnnviz.fooling_image(model, given, 1),
        lambda: cnnviz.class_visualization(model, 1),
        lambda: cnnviz.style_transfer(model, given, given),
    ):
        with pytest.raises(
            ValueError, match="pictures are made for networks of pictures, and network takes signals"
        ):
            make()


def test_signals_with_the_channels_last() -> None:
    weights = {"w": RNG.normal(size=(6, 3, 5))}
    tail = [
        node("Conv", ["t", "w"], ["c"]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["y"]),
    ]
    turned = [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), *tail]
    last = cnnviz.load(onnx_bytes(turned, weights, input_shape=["N", 48, 3], output="y"))
    first = cnnviz.load(
        onnx_bytes([node("Identity", ["x"], ["t"]), *tail], weights, input_shape=["N", 3, 48], output="y")
    )
    given = CASES["three leads"][4]
    assert last.preprocessing == first.preprocessing
    np.testing.assert_array_equal(
        last.forward(last.preprocess(given)), first.forward(first.preprocess(given))
    )
    np.testing.assert_array_equal(cnnviz.saliency(last, given, 2).map, cnnviz.saliency(first, given, 2).map)


def test_a_picture_without_channels_is_grey() -> None:
    weights = {"w": RNG.normal(size=(6, 1, 3, 3)), "axes": np.array([1])}
    nodes = [
        node("Unsqueeze", ["x", "axes"], ["t"]),
        node("Conv", ["t", "w"], ["c"]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["y"]),
    ]
    model = cnnviz.load(onnx_bytes(nodes, weights, input_shape=["N", 28, 28], output="y"))
    plain = [node("Identity", ["x"], ["t"]), *nodes[1:]]
    grey = cnnviz.load(onnx_bytes(plain, weights, input_shape=["N", 1, 28, 28], output="y"))
    picture = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
    assert model.preprocessing == grey.preprocessing
    assert cnnviz.grad_cam(model, picture, 2).layer == "c"
    pictures = [picture, picture.T.copy(), picture]
    np.testing.assert_array_equal(
        model.forward(model.preprocess(pictures)), grey.forward(grey.preprocess(pictures))
    )


def test_what_the_file_says_about_other_axes() -> None:
    data = onnx_bytes([node("Relu", ["x"], ["y"])], {}, input_shape=["N", 3], output="y")
    with pytest.raises(
        ValueError, match=r"\(any, 3\): pictures are N,C,H,W, signals N,C,L, volumes N,C,D,H,W"
    ):
        cnnviz.load(data)


@pytest.mark.parametrize("name", ["three leads", "volume"])
def test_only_pictures_are_evaluated(name: str) -> None:
    with pytest.raises(ValueError, match=r"evaluate is for networks of pictures: .* has size "):
        cnnviz.evaluate(loaded(name), "saliency", progress=False)
