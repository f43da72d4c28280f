"""Every public name as a user's script has it: test_typing.py hands this file to mypy, and never runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from typing_extensions import assert_type

import cnnviz
from cnnviz import objectives, plot, testing
from cnnviz.results.results import Run

Array = NDArray[np.float32]
One = cnnviz.Attribution
Many = List[cnnviz.Attribution]

model = cnnviz.load("net.onnx", preprocessing="imagenet", labels=["cat", "dog"])
assert_type(model, cnnviz.Model)
assert_type(cnnviz.from_torch(object(), object(), name="mine"), cnnviz.Model)
assert_type(cnnviz.from_keras(object()), cnnviz.Model)
own = cnnviz.load(Path("net.onnx"), preprocessing=cnnviz.Preprocessing(size=(96, 96), mean=(0.5, 0.5, 0.5)))
labels: cnnviz.Labels = own.labels
assert_type(cnnviz.load("net.onnx", size=(320, 320), outputs=["/head/cls", "/head/box"]), cnnviz.Model)

pixels = np.zeros((96, 96, 3), np.uint8)
photograph = PIL.Image.new("RGB", (96, 96))
paths = [Path("a.png"), Path("b.png")]
classes = np.array([3, 5])

# A network.
assert_type(model.predict("a.png"), List[cnnviz.Prediction])
assert_type(model.predict(pixels, top=3)[0].probability, Optional[float])
assert_type(model.answer, str)
model.need_classes()
assert_type(model.predict(["a.png", "b.png"]), List[List[cnnviz.Prediction]])
assert_type(model.predict(paths), List[List[cnnviz.Prediction]])
assert_type(model.predict(["a.png", Path("b.png"), photograph, pixels]), List[List[cnnviz.Prediction]])
x = model.preprocess(paths)
assert_type(x, Array)
assert_type(model.forward(x), Array)
assert_type(model.forward(x, ["relu1", "logits"]), Dict[str, Array])
assert_type(model.activations("a.png", "relu1"), Dict[str, Array])
assert_type(model.gradient(x, "cat", wrt="relu1", relu="guided"), cnnviz.Gradient)
assert_type(model.gradient(x, classes).value, NDArray[np.float64])
assert_type(model.gradient(x, target={"logits": np.ones((1, 10), np.float32)}).gradients, Dict[str, Array])
assert_type(model.gradients(x, [3, "cat", [3, 5], objectives.Logit(3)]), List[cnnviz.Gradient])
assert_type(model.objective("cat"), objectives.Objective)
assert_type(model.class_index(classes[0]), int)
assert_type(model.predicted(x), List[int])
assert_type(model.scores(x), Array)
assert_type(model.outputs, Tuple[str, ...])
assert_type(model.output("colour"), cnnviz.Model)
assert_type(model.predict("a.png", output="colour"), List[cnnviz.Prediction])
assert_type(model.asked({"colour": "red"})[0], cnnviz.Model)
assert_type(cnnviz.saliency(model, "a.png", {"colour": "red"}), One)
assert_type(cnnviz.saliency(model, "a.png", [{"colour": "red"}, {"colour": 3}]), Many)
assert_type(cnnviz.load("net.onnx", labels={"species": ["a"], "colour": ["red"]}), cnnviz.Model)
assert_type(model.gradient(x, {"colour": 3}), cnnviz.Gradient)
assert_type(model.value(x, objectives.Score("text", (3, 40))), NDArray[np.float64])
assert_type(model.batch_axis("text"), Optional[int])
assert_type(model.probabilities(x), NDArray[np.float64])
assert_type(model.summary(), str)

# Several inputs, and inputs that are preprocessed already.
two = cnnviz.load("two.onnx", inputs={"left": "picture", "age": 40.0}, size=(64, 64))
assert_type(two.inputs, Dict[str, str])
bound = two.bind({"age": 40.0, "right": "b.png"})
assert_type(bound, cnnviz.Model)
assert_type(bound.bound, Dict[str, Array])
assert_type(bound.repeated(2).with_bound({}), cnnviz.Model)
assert_type(bound.bound_row(0), Dict[str, Array])
assert_type(two.split({"image": "a.png", "age": 40.0})[0], cnnviz.Model)
assert_type(two.forward({"left": x, "age": np.ones((2, 1), np.float32)}), Array)
assert_type(cnnviz.saliency(two, {"image": "a.png", "age": 40.0}), cnnviz.Attribution)
assert_type(cnnviz.grad_cam(two, [{"image": path, "age": 40.0} for path in paths]), List[cnnviz.Attribution])
assert_type(cnnviz.grad_cam(model, cnnviz.Preprocessed(x[0]), 3), cnnviz.Attribution)
bands = cnnviz.Preprocessing(channel_order=("red", "nir"), range=(0, 10000), mean=(500.0, 900.0), std=300.0)
assert_type(bands.in_units(x), Array)
assert_type(bands.channels, int)
ecg = cnnviz.load("ecg.onnx", preprocessing=cnnviz.Preprocessing(size=(256,), channel_order=1), size=(256,))
assert_type(model.layers["relu1"], Tuple[int, ...])

# One picture and one target: one attribution. A list of either: a list.
assert_type(cnnviz.saliency(model, "a.png"), One)
assert_type(cnnviz.saliency(model, pixels, 3, smooth=25), One)
assert_type(cnnviz.saliency(model, photograph, np.int64(3)), One)
assert_type(cnnviz.saliency(model, "a.png", objectives.Channel("relu1", 3)), One)
assert_type(cnnviz.saliency(model, "a.png", {"relu1": x}), One)
assert_type(cnnviz.saliency(model, "a.png", ["cat", 3]), Many)
assert_type(cnnviz.saliency(model, "a.png", classes), Many)
assert_type(cnnviz.saliency(model, ["a.png", "b.png"]), Many)
assert_type(cnnviz.saliency(model, ("a.png", "b.png"), [3, 5]), Many)
assert_type(cnnviz.saliency(model, paths, "cat"), Many)
assert_type(cnnviz.saliency(model, list(np.zeros((2, 96, 96, 3)))), Many)
assert_type(cnnviz.guided_backprop(model, "a.png", relu="deconv"), One)
assert_type(cnnviz.guided_backprop(model, "a.png", [3, 5]), Many)
assert_type(cnnviz.guided_backprop(model, ["a.png", pixels]), Many)
assert_type(cnnviz.guided_grad_cam(model, "a.png", "cat", "relu1", relu="guided"), One)
assert_type(cnnviz.guided_grad_cam(model, "a.png", [3, 5], layer="relu1"), Many)
assert_type(cnnviz.guided_grad_cam(model, paths), Many)
assert_type(cnnviz.grad_cam(model, "a.png", None, "relu1"), One)
assert_type(cnnviz.grad_cam(model, "a.png", [3, 5]), Many)
assert_type(cnnviz.grad_cam(model, paths, layer="relu1"), Many)
assert_type(cnnviz.grad_cam(model, "a.png", 3, ["relu1", "relu2"]), Dict[str, One])
assert_type(cnnviz.grad_cam(model, "a.png", layer=["relu1", "relu2"])["relu1"].map, Array)
assert_type(cnnviz.grad_cam(model, "a.png", [3, 5], ["relu1"]), Dict[str, Many])
assert_type(cnnviz.grad_cam(model, paths, 3, ["relu1"]), Dict[str, Many])
assert_type(cnnviz.grad_cam(model, paths, layer=["relu1"]), Dict[str, Many])


def explain(image: Union[str, List[str]], target: Optional[int]) -> Many:
    """Hand a picture or a list of them on, as a user's own function does."""
    found = cnnviz.saliency(model, image, target)
    assert_type(found, Union[One, Many])
    return found if isinstance(found, list) else [found]


# What comes back.
one = cnnviz.saliency(model, "a.png")
assert_type(one.values, Array)
assert_type(one.flags, Tuple[str, ...])
assert_type(one.plot(title="saliency"), Axes)
one.save("x.png", colorbar=False)


def lighter(step: Any) -> Optional[bool]:
    """Watch a run."""
    return bool(step.steps > 3)


made = cnnviz.fooling_image(model, paths, ["cat", "dog"], callback=lighter)
assert_type(made, cnnviz.Synthesis)
assert_type(cnnviz.fooling_image(model, None, 3), cnnviz.Synthesis)
assert_type(cnnviz.class_visualization(model, objectives.Channel("relu1", 3) * 2.0), cnnviz.Synthesis)
assert_type(cnnviz.class_visualization(model, [3, "cat"], preset="cs231n"), cnnviz.Synthesis)
assert_type(cnnviz.style_transfer(model, "a.png", ["b.png", pixels], init=photograph), cnnviz.Synthesis)
assert_type(made.resume(5), cnnviz.Synthesis)
assert_type(made.run, Run)
assert_type(made.settings, Mapping[str, Any])
assert_type(made.history["value"], NDArray[np.float64])
assert_type(made.frames, List[NDArray[np.uint8]])
assert_type(made.plot(), Union[Axes, Figure])
assert_type(made.plot(one.plot()), Axes)
made.save(Path("x.npz"))
loaded = cnnviz.load_result("x.npz")
assert_type(loaded, Union[cnnviz.Attribution, cnnviz.Synthesis])
if isinstance(loaded, cnnviz.Synthesis):
    assert_type(cnnviz.resume(loaded, model, 5), cnnviz.Synthesis)
assert_type(cnnviz.replay("x.png", model), Union[cnnviz.Attribution, cnnviz.Synthesis])

# Checks and measures.
check = cnnviz.sanity_check(model, "a.png", "guided_backprop", target="cat", relu="deconv")
assert_type(check, cnnviz.SanityCheck)
assert_type(check.plot(), Axes)
assert_type(cnnviz.sanity_check(model, "a.png", cnnviz.grad_cam), cnnviz.SanityCheck)


def my_method(
    network: cnnviz.Model, images: Sequence[NDArray[Any]], targets: List[int]
) -> List[NDArray[Any]]:
    """A technique of a user's own."""
    return [image.mean(axis=2) for image in images]


drawn = cnnviz.bundled.draw(4, objects=1)
assert_type(drawn, cnnviz.bundled.Drawn)
assert_type(drawn.names, List[str])
assert_type(cnnviz.evaluate(model, my_method, data=drawn), cnnviz.Evaluation)
assert_type(cnnviz.evaluate(model, cnnviz.grad_cam, n=10), cnnviz.Evaluation)
assert_type(cnnviz.evaluate(model, "saliency").ratio, float)
assert_type(cnnviz.bundled.CLASSES[0], str)
assert_type(cnnviz.bundled.SIZE, int)
assert_type(explain("a.png", 3), Many)

# Plots.
assert_type(plot.attribution(one), Axes)
assert_type(plot.saliency(one.map, vmax=1.0), Axes)
assert_type(plot.signal(x[0, 0], one.map, units="mV"), Axes)
assert_type(cnnviz.plot.overlay("a.png", one.map, opacity=0.5), Axes)
assert_type(plot.grid([one, made, "a.png", pixels], titles=["a", "b", "c", "d"]), Figure)
assert_type(plot.grid(cnnviz.saliency(model, paths)), Figure)
assert_type(plot.synthesis(made), Union[Axes, Figure])
assert_type(plot.synthesis(made, ax=one.plot()), Axes)
assert_type(plot.fooling(made), Figure)
assert_type(plot.style(made), Figure)
assert_type(plot.pictures(made), Figure)
assert_type(plot.history(made), Axes)
assert_type(plot.png(one), bytes)
plot.save(made, "x.pdf")

# Assertions of a test suite.
cnnviz.testing.assert_prediction(model, "a.png", "cat", margin=1.0, changes=["noise"])
testing.assert_prediction(model, "a.png", 3, changes={"as it is": testing.CHANGES["noise"]})
testing.assert_points_into(one, (0, 0, 10, 10), min_share=0.2)
testing.assert_unchanged(one, "stored.npz")
testing.assert_gradient_agrees(model, "a.png", "cat")
testing.assert_models_agree(model, own, paths)

# Objectives.
score = objectives.Logit(3) - 1e-3 * objectives.L2() + objectives.Probability([3, 5]) / 2
assert_type(score, objectives.Objective)
assert_type(-objectives.Margin(3) * objectives.CrossEntropy(3), objectives.Objective)
terms: List[objectives.Objective] = [
    objectives.Neuron("relu1", 3),
    objectives.Direction("relu1", np.ones(8, np.float32)),
    objectives.Layer("relu1"),
    objectives.Content("relu1", x),
    objectives.Gram("relu1", objectives.gram_matrix(x)[0].astype(np.float32)),
    objectives.TotalVariation(layer=objectives.INPUT),
    objectives.L1(objectives.IMAGE),
    objectives.Cotangents({objectives.LOGITS: x}),
    objectives.Product(score, score),
    objectives.Sum([(1.0, score)]),
    objectives.as_objective(3),
    objectives.Score("output0", (7, 130)),
    objectives.Score("logits", np.int64(3)),
    objectives.Region("logits", 2),
    objectives.Region("logits", 2, np.ones((14, 14), bool), axis=3),
    objectives.Similarity(x, layer="relu1"),
]
target: objectives.ObjectiveLike = terms[0]

# The machine, the version and the errors.
cnnviz.set_num_threads(2)
assert_type(cnnviz.get_num_threads(), int)
cnnviz.show_config()
assert_type(cnnviz.__version__, str)
errors: List[type] = [cnnviz.CnnvizError, cnnviz.ModelFormatError, cnnviz.UnsupportedModelError]
