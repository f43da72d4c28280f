"""A Keras model as a graph that is right: at an example, for other batches, and at other sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import CnnvizError, UnsupportedModelError
from cnnviz.graph.graph import Graph, Names, Node, Tensor, producers
from cnnviz.loading.agreement import check
from cnnviz.loading.keras_function import KerasFunction, computing_in, without_gradients
from cnnviz.loading.keras_names import layer_names
from cnnviz.loading.keras_tensorflow import keras_message, quiet
from cnnviz.loading.torch_inputs import example_of
from cnnviz.loading.torch_model import converted
from cnnviz.loading.torch_watch import watched
from cnnviz.model.model import Model
from cnnviz.pictures.preprocessing import Preprocessing, usual_order
from cnnviz.reader.onnx_file import read

# The batch that is checked beside the example, and the distance of the second size.
_BATCH = 3
_FURTHER = (33, 65)


def keras_graph(function: KerasFunction, x: NDArray[np.float32], name: str) -> Graph:
    """Return the graph of a Keras model, compared with the model, with the names of its layers.

    Parameters
    ----------
    function : KerasFunction
    x : ndarray of float32, shape (1, C, H, W)
    name : str
        The model's name in messages.

    Raises
    ------
    ImportError
        When the package is missing with which Keras' backend exports.
    UnsupportedModelError, CnnvizError
        When the model cannot be exported, or the export differs from it.
    """
    with computing_in(function.keras, function.model, "float32"):
        if function.keras.backend.backend() == "torch":
            graph = _of_torch(function, x, name)
        else:
            graph = _checked(function, _exported(function), x, name)
        return graph.replace(aliases={**graph.aliases, **layer_names(function, _model(graph, x, name), x)})


def _of_torch(function: KerasFunction, x: NDArray[np.float32], name: str) -> Graph:
    """On PyTorch's backend a Keras model is a module, for which from_torch has the exporters."""
    import torch

    model = function.model
    # A parameter that asks for a gradient cannot become a constant of a trace.
    weights = [
        [variable.value.detach() for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]

    class Pictures(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        """The model as a module of pictures."""

        def forward(self, x: Any) -> Any:
            if x.dtype == torch.float64:
                found = function.exact(x.float().numpy())
                return x if found is None else torch.from_numpy(found)
            return function(x, *weights)

    # Tensors of inference mode cannot be traced, and the caller may be in it.
    with torch.inference_mode(False), without_gradients(function.keras), quiet():
        module = Pictures().eval()
        given = example_of(torch, module, torch.from_numpy(x.copy()))
        run = watched(torch, module, *given.copies())
        graph = converted(torch, module, given, run, name)
    return graph if graph.fixed else _sized(function, _model(graph, x, name), x)


def _exported(function: KerasFunction) -> Graph:
    if function.keras.backend.backend() == "tensorflow":
        try:
            return read(keras_message(function))
        except (ImportError, UnsupportedModelError):
            raise
        except Exception as error:  # exporters raise whatever their parts raise
            text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
            raise CnnvizError(
                f"the model cannot be exported: {type(error).__name__}: {text[:300]}"
            ) from error
    return _by_keras(function)


def _by_keras(function: KerasFunction) -> Graph:
    """The export that Keras itself has, for backends of which no more is known here."""
    keras = function.keras
    c, (h, w) = function.channels, function.size
    shape = (None, h, w, c) if function.channels_last else (None, c, h, w)
    spec = keras.layers.InputSpec(shape=shape, dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        with quiet():
            function.model.export(str(path), format="onnx", verbose=False, input_signature=[spec])
        graph = read(path.read_bytes())
    return _maps_first(graph) if function.channels_last else graph


def _maps_first(graph: Graph) -> Graph:
    """Turn an output N,H,W,C to N,C,H,W."""
    first, *others = graph.outputs
    if first.shape is None or len(first.shape) != 4:
        return graph
    taken = {name for node in graph.nodes for name in (node.name, *node.outputs)}
    outer = Names(taken).fresh(f"{first.name}_channels_first")
    shape = tuple(first.shape[axis] for axis in (0, 3, 1, 2))
    node = Node("Transpose", outer, (first.name,), (outer,), {"perm": (0, 3, 1, 2)})
    return graph.replace(nodes=(*graph.nodes, node), outputs=(Tensor(outer, shape), *others))


def _checked(function: KerasFunction, graph: Graph, x: NDArray[np.float32], name: str) -> Graph:
    """Return the graph, compared with the model at two batches, with the sizes that it takes."""
    model = _model(graph, x, name)
    height, width = x.shape[2:]
    for one in (x, function.example((height, width), _BATCH, seed=1)):
        _check(function, model, one)
    if all(n is None for n in function.size):
        return _sized(function, model, x)
    return _fixed(model.graph, x)


def _sized(function: KerasFunction, model: Model, x: NDArray[np.float32]) -> Graph:
    """Return the model's graph, with its size fixed where a second size comes out different.

    "same" padding depends on whether a side is even, so the second size is odd where the first one is even.
    """
    height, width = x.shape[2:]
    second = function.example((height + _FURTHER[0], width + _FURTHER[1]), 2, seed=2)
    return model.graph if _agrees(function, model, second) else _fixed(model.graph, x)


def _fixed(graph: Graph, x: NDArray[np.float32]) -> Graph:
    inputs = (Tensor(graph.inputs[0].name, (None, *x.shape[1:])),)
    return graph.replace(inputs=inputs, fixed=frozenset(producers(graph)))


def _agrees(function: KerasFunction, model: Model, x: NDArray[np.float32]) -> bool:
    try:
        expected = function.run(x)
    except Exception:  # backends raise whatever their operators raise at a size that they do not take
        return False
    try:
        check(model.name, model.forward(x), expected, lambda: function.exact(x))
    except (ValueError, CnnvizError):
        return False
    return True


def _check(function: KerasFunction, model: Model, x: NDArray[np.float32]) -> None:
    check(model.name, model.forward(x), function.run(x), lambda: function.exact(x))


def _model(graph: Graph, x: NDArray[np.float32], name: str) -> Model:
    size = (int(x.shape[2]), int(x.shape[3]))
    feed = Preprocessing(size=size, channel_order=usual_order(x.shape[1]))
    return Model(graph, preprocessing=feed, name=name)
