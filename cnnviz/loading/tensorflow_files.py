"""Files of Keras and TensorFlow, read by Keras, TensorFlow and tf2onnx where these are installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

from cnnviz.errors import CnnvizError, UnsupportedModelError
from cnnviz.graph.graph import Graph
from cnnviz.loading.keras_tensorflow import message_of, quiet
from cnnviz.reader.onnx_file import read

_OPSET = 18
_KERAS = (".keras", ".h5", ".hdf5")


def is_keras_file(path: str) -> bool:
    """Return whether a path is that of a model saved by Keras."""
    return Path(path).suffix.lower() in _KERAS and os.path.isfile(path)


def keras_file(path: str) -> Any:
    """Return the Keras model in a file.

    Raises
    ------
    ImportError
        When Keras is not installed.
    CnnvizError
        When Keras cannot load the file.
    """
    try:
        import keras
    except ImportError as error:
        raise ImportError(f"{path!r} is a file of Keras, which loads it: pip install keras") from error
    try:
        with quiet():
            return keras.saving.load_model(path, compile=False)
    except Exception as error:  # custom layers raise whatever they raise
        raise CnnvizError(f"Keras cannot load {path!r}: {type(error).__name__}: {_line(error)}") from error


def tensorflow_graph(path: str) -> Optional[Graph]:
    """Return the graph of a SavedModel's folder or a TFLite file, None for any other path.

    A SavedModel gives its default signature ("serving_default", else "serve").

    Raises
    ------
    ImportError
        When TensorFlow or tf2onnx is not installed.
    CnnvizError
        When they cannot read the file.
    """
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        kind, make = "SavedModel", _saved_model
    elif path.lower().endswith(".tflite") and os.path.isfile(path):
        kind, make = "TFLite file", _tflite
    else:
        return None
    try:
        with quiet():
            message = make(path)
    except ImportError as error:
        raise ImportError(
            f"{path!r} is a {kind}, which TensorFlow and tf2onnx read: pip install tensorflow tf2onnx onnx"
        ) from error
    except Exception as error:  # exporters raise whatever their parts raise
        raise CnnvizError(
            f"the {kind} {path!r} cannot be converted: {type(error).__name__}: {_line(error)}"
        ) from error
    return read(message)


def _saved_model(path: str) -> Any:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    signatures = dict(loaded.signatures)
    name = next((one for one in ("serving_default", "serve") if one in signatures), None)
    if name is None:
        raise UnsupportedModelError(f"it has no signature serving_default, but {sorted(signatures)}")
    return message_of(tf, signatures[name], {})


def _tflite(path: str) -> Any:
    from tf2onnx.convert import from_tflite

    return from_tflite(path, opset=_OPSET)[0]


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:300]
