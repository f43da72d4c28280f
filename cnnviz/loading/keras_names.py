"""The names of a Keras model's layers as names of layers: "block5_conv3" for a value of the graph."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.loading.agreement import Print, fingerprint, same
from cnnviz.loading.fingerprints import prints_of
from cnnviz.loading.keras_function import KerasFunction, without_gradients
from cnnviz.model.model import Model

Shape = Tuple[int, ...]

# A batch normalisation of a new model changes its input by five parts in ten thousand.
_CLOSE = 1e-4


def layer_names(function: KerasFunction, model: Model, x: NDArray[np.float32]) -> Dict[str, str]:
    """Return the value of each layer of a Keras model: the first one that has the layer's numbers at x.

    Values N,C,H,W come first, then those that the export leaves as N,H,W,C.

    A convolution into which its batch normalisation is folded has the numbers of the latter. Layers of a
    model inside the model answer to their own name where it is free, and to "INNER/NAME".

    Parameters
    ----------
    function : KerasFunction
    model : Model
        The model's graph.
    x : ndarray of float32, shape (1, C, H, W)
    """
    wanted: Dict[str, List[Tuple[Shape, Print]]] = {}
    follows: Dict[str, str] = {}
    with without_gradients(function.keras):
        given = [function.keras.ops.convert_to_tensor(function.inside(x))]
        for name, array, before in _outputs(function.keras, function.model, given, ""):
            moved = function.channels_last and array.ndim == 4
            orders = [np.moveaxis(array, 3, 1), array] if moved else [array]
            wanted[name] = [(one.shape[1:], fingerprint(one)) for one in orders]
            if before:
                follows[before] = name
    shapes = {shape for orders in wanted.values() for shape, _ in orders}
    values = [value for value, shape in model.layers.items() if shape[1:] in shapes]
    found = prints_of(model, values, x, len(x))
    names: Dict[str, str] = {}
    for name, prints in wanted.items():
        pairs = ((v, own) for shape, own in prints for v in values if model.layers[v][1:] == shape)
        match = next((value for value, own in pairs if same(found[value], own, _CLOSE)), None)
        if match is not None:
            names[name] = match
    for convolution, normalisation in follows.items():
        if convolution not in names and normalisation in names:
            names[convolution] = names[normalisation]
    return _free(model, names)


def _free(model: Model, names: Mapping[str, str]) -> Dict[str, str]:
    """The names that no value or node has, and the last part of those that lie in an inner model."""
    taken = {name for node in model.graph.nodes for name in (node.name, *node.outputs)}
    found = {name: value for name, value in names.items() if name not in taken}
    for name, value in names.items():
        short = name.rpartition("/")[2]
        if short not in taken:
            found.setdefault(short, value)
    return found


def _outputs(
    keras: Any, model: Any, given: List[Any], prefix: str
) -> Iterator[Tuple[str, NDArray[Any], str]]:
    """The name, the output and, for a batch normalisation, the layer before, of each layer of a model.

    Layers that are called several times, and those of a subclassed model, have none.
    """
    tensors, inner = _tensors(model)
    if not tensors:
        return
    wanted = [*tensors.values(), *(node.input_tensors[0] for _, node in inner)]
    reader = keras.Model(model.inputs, wanted, name=f"{model.name}_layers")
    arrays = reader(given, training=False)
    for (name, tensor), array in zip(tensors.items(), arrays):
        before = _layer_before(tensor)
        found = np.asarray(keras.ops.convert_to_numpy(array))
        if found.dtype.kind == "f":
            yield prefix + name, found, prefix + before if before else ""
    for (layer, _), array in zip(inner, arrays[len(tensors) :]):
        yield from _outputs(keras, layer, [array], f"{prefix}{layer.name}/")


def _tensors(model: Any) -> Tuple[Dict[str, Any], List[Tuple[Any, Any]]]:
    """The symbolic outputs of a model's layers, by name, and the models among these with their one call."""
    tensors: Dict[str, Any] = {}
    inner: List[Tuple[Any, Any]] = []
    graph = getattr(model, "_functional", None) or model  # a Sequential holds its graph
    calls = {id(one) for nodes in getattr(graph, "_nodes_by_depth", {}).values() for one in nodes}
    for layer in model.layers if calls else ():
        nodes = [node for node in layer._inbound_nodes if id(node) in calls]
        if len(nodes) != 1 or len(nodes[0].output_tensors) != 1:
            continue
        tensors[layer.name] = nodes[0].output_tensors[0]
        if len(getattr(layer, "inputs", None) or ()) == 1 and hasattr(layer, "layers"):
            inner.append((layer, nodes[0]))
    return tensors, inner


def _layer_before(tensor: Any) -> str:
    """The layer that a batch normalisation reads."""
    operation, node_index, _ = tensor._keras_history
    if type(operation).__name__ != "BatchNormalization":
        return ""
    source = operation._inbound_nodes[node_index].input_tensors[0]._keras_history[0]
    return str(source.name)
