"""The pictures that a converted network wants: by what its first layers do with them, else by its name."""

from __future__ import annotations

import warnings
from typing import Any, Iterable, Optional

import numpy as np
from numpy.typing import NDArray

from cnnviz.graph.graph import Graph, Node
from cnnviz.graph.schema import SCHEMAS
from cnnviz.loading.keras_function import parts
from cnnviz.model.model import Model
from cnnviz.pictures.keras_modes import PREFIX, mode_of
from cnnviz.pictures.preprocessing import Preprocessing, as_preprocessing, usual_order

# A factor below this one, or an offset below the other, means that pixels lie between 0 and 255.
_SMALL = 0.1
_FAR = -10.0
_NONE = 1e-3


def preprocessing_for(
    keras_model: Any, graph: Graph, x: NDArray[np.float32], wanted: Any, name: str
) -> Preprocessing:
    """Return the preprocessing of a Keras model: the one that is wanted, else the one that it suggests.

    Warns
    -----
    UserWarning
        When nothing is wanted and the model suggests none.
    """
    size = (int(x.shape[2]), int(x.shape[3]))
    if wanted is None:
        own = [str(getattr(part, "name", "")) for part in (keras_model, *parts(keras_model))]
        wanted = suggested(graph, x.shape[1], size, own)
        if wanted is None:
            warnings.warn(unknown(name, x.shape[1]), stacklevel=3)
    return as_preprocessing(wanted, x.shape[1], size)


def unknown(name: str, channels: int) -> str:
    """Return the warning for a network that does not say which pictures it takes."""
    taken = "imagenet" if channels == 3 else "unit"
    return (
        f"{name}: nothing says how its pictures are scaled, and {taken!r} is taken: pass preprocessing=, "
        "such as 'unit' for pixels from 0 to 1, 'keras:pixels' for 0 to 255, or 'keras:tf' for -1 to 1"
    )


def suggested(graph: Graph, channels: int, size: Any, names: Iterable[str]) -> Optional[str]:
    """Return the name of the preprocessing that a network suggests, None where it suggests none.

    Parameters
    ----------
    graph : Graph
    channels : int
    size : (int, int)
    names : iterable of str
        The names of the model and of the models inside it, one of which may be an application of Keras.
    """
    inner = scaling_inside(graph, channels, size)
    if inner is not None:
        return inner
    modes = (mode_of(name, bare=True) for name in names) if channels == 3 else iter(())
    mode = next((mode for mode in modes if mode is not None), None)
    return None if mode is None else PREFIX + mode


def scaling_inside(graph: Graph, channels: int, size: Any) -> Optional[str]:
    """Return the scale of pictures that a network takes when it scales them itself before its first weights.

    Each number that the first convolution reads is a * pixel + b, where a and b follow from three grey
    pictures. Without any scaling a is 1 and b is 0, and the result is None; a small a, or a b far below 0,
    wants pixels from 0 to 255 ("keras:pixels"), any other pixels from 0 to 1 ("unit").
    """
    feed = Preprocessing(size=(size[0], size[1]), channel_order=usual_order(channels))
    model = Model(graph, preprocessing=feed, name="network")
    node = next((one for one in model.graph.nodes if _weighted(one)), None)
    if node is None or node.inputs[0] not in model.layers:
        return None
    greys = np.array([0.0, 0.5, 1.0], np.float32).reshape(3, 1, 1, 1)
    x = np.ascontiguousarray(np.broadcast_to(greys, (3, channels, size[0], size[1])))
    low, middle, high = model.forward(x, [node.inputs[0]])[node.inputs[0]].reshape(3, -1).astype(np.float64)
    moving = np.abs(high - low) > 1e-12  # a border of zeros is not
    bent = np.abs(middle - (low + high) / 2)[moving] > 1e-3 * np.abs(high - low)[moving]
    if not moving.any() or bent.any():
        return None
    a, b = float((high - low)[moving].mean()), float(low[moving].mean())
    if abs(a - 1) < _NONE and abs(b) < _NONE:
        return None
    return PREFIX + "pixels" if abs(a) < _SMALL or b < _FAR else "unit"


def _weighted(node: Node) -> bool:
    """Whether a node is a convolution or product with weights; a normalisation may be part of scaling."""
    traits = SCHEMAS[node.op].traits
    return traits.weights is not None and traits.axes != "keeps"
