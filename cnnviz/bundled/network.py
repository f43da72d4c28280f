"""The bundled network: six convolutions, three poolings and one linear layer.

Every stage is a 3x3 convolution with its ReLU; the first three halve the picture by max pooling, so the last
maps of a 96x96 picture are 12x12 cells of 8 pixels. Global average pooling and a linear layer follow: with
that head, Grad-CAM at the last layer is the original CAM. The network takes any input size; larger pictures
give larger maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence

import numpy as np
from numpy.typing import NDArray

from cnnviz._config import _core
from cnnviz.model.metadata import metadata_of
from cnnviz.pictures.preprocessing import Preprocessing

from .pictures import CLASSES, SIZE

Array = NDArray[np.float32]

PREPROCESSING = Preprocessing(size=(SIZE, SIZE), mean=0.5, std=0.25, name="shapes")


class Stage(NamedTuple):
    """One 3x3 convolution with `channels` outputs and a ReLU, halved by max pooling if `pool`."""

    name: str
    channels: int
    pool: bool


STAGES: Sequence[Stage] = (
    Stage("1", 16, True),
    Stage("2", 24, True),
    Stage("3", 48, True),
    Stage("4", 96, False),
    Stage("5", 128, False),
    Stage("6", 128, False),
)


def initial_parameters(rng: np.random.Generator) -> Dict[str, Array]:
    """He-normal weights, zero biases (He et al. 2015, eq. 10), in the order the network uses them."""
    parameters, channels = {}, 3
    for stage in STAGES:
        shape = (stage.channels, channels, 3, 3)
        deviation = np.float32(np.sqrt(2 / (9 * channels)))
        parameters[f"conv{stage.name}.weight"] = deviation * rng.standard_normal(shape, dtype=np.float32)
        parameters[f"conv{stage.name}.bias"] = np.zeros(stage.channels, np.float32)
        channels = stage.channels
    deviation = np.float32(np.sqrt(1 / channels))
    weight = deviation * rng.standard_normal((len(CLASSES), channels), dtype=np.float32)
    parameters["classifier.weight"] = weight
    parameters["classifier.bias"] = np.zeros(len(CLASSES), np.float32)
    return parameters


@dataclass(frozen=True)
class TrainingPlan:
    """The network for one batch size, with the gradients that training needs.

    Attributes
    ----------
    plan : _core.Plan
    values : mapping of str to value id
        Value ids of the parameters, the layers, and "log_probabilities".
    constants : mapping of str to _core.Constant
        One for each parameter; call its `changed` after writing to the parameter's array.
    """

    plan: _core.Plan
    values: Mapping[str, int]
    constants: Mapping[str, _core.Constant]


def training_plan(parameters: Mapping[str, Array], batch: int) -> TrainingPlan:
    """Build the network's plan for `batch` pictures; it reads the parameters' arrays without copies."""
    plan = _core.Plan()
    constants = {name: _core.Constant(array) for name, array in parameters.items()}
    values = {"input": plan.input((batch, 3, SIZE, SIZE), name="input")}
    values.update({name: plan.constant(constant, name=name) for name, constant in constants.items()})
    x = values["input"]
    for name, _, pool in STAGES:
        weight, bias = values[f"conv{name}.weight"], values[f"conv{name}.bias"]
        x = values["conv" + name] = plan.conv2d(x, weight, bias, pads=(1, 1, 1, 1), name="conv" + name)
        x = plan.relu(x, name="relu" + name)
        if pool:
            x = plan.max_pool(x, kernel=(2, 2), stride=(2, 2), name="pool" + name)
    x = values["average"] = plan.global_average_pool(x, name="average")
    x = plan.reshape(x, shape=(batch, STAGES[-1].channels), name="features")
    x = plan.linear(x, values["classifier.weight"], values["classifier.bias"], name="logits")
    x = values["log_probabilities"] = plan.log_softmax(x, axis=1, name="log_probabilities")
    readable = [x, values["average"], *(values["conv" + stage.name] for stage in STAGES)]
    plan.prepare(keep=readable, seeds=[x], wrt=[values[name] for name in parameters])
    return TrainingPlan(plan, values, constants)


def as_input(images: NDArray[np.uint8]) -> Array:
    """The network's input for these pictures, N,3,H,W, as the model of `cnnviz.load()` computes it."""
    return PREPROCESSING.normalise(images.astype(np.float32) / np.float32(255))


def onnx_model(parameters: Mapping[str, Array], metadata: Mapping[str, str]) -> Any:
    """Return the network as an `onnx.ModelProto` with preprocessing, labels and `metadata` inside."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: List[Any] = []

    def node(op: str, inputs: List[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    x = "image"
    for name, _, pool in STAGES:
        weights = [f"conv{name}.weight", f"conv{name}.bias"]
        x = node("Conv", [x, *weights], "conv" + name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        x = node("Relu", [x], "relu" + name)
        if pool:
            x = node("MaxPool", [x], "pool" + name, kernel_shape=[2, 2], strides=[2, 2])
    x = node("Flatten", [node("GlobalAveragePool", [x], "average")], "features")
    node("Gemm", [x, "classifier.weight", "classifier.bias"], "logits", transB=1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(CLASSES)])
    constants = [numpy_helper.from_array(array, name) for name, array in parameters.items()]
    graph = helper.make_graph(nodes, "shapes", [image], [logits], constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="cnnviz"
    )
    helper.set_model_props(model, {**metadata_of(PREPROCESSING, CLASSES), **metadata})
    return model
