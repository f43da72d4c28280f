"""Live networks of other frameworks: exported to ONNX in memory, loaded, and checked against the original."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import Any, Optional

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import CnnvizError
from cnnviz.model.labels import LabelsLike
from cnnviz.model.model import Model
from cnnviz.pictures.preprocessing import PreprocessingLike
from cnnviz.reader.onnx_file import read

# Two float32 programs that do the same sums in another order differ by less, relative to the largest output;
# the floor is for outputs that are all zero, or as good as that.
_TOLERANCE = 1e-3
_FLOOR = 1e-7


def from_torch(
    module: Any,
    example: Any,
    *,
    preprocessing: PreprocessingLike = None,
    labels: LabelsLike = None,
    name: str = "torch",
    packed_nbytes: Optional[int] = None,
) -> Model:
    """Make a model of a live PyTorch module.

    The module is exported in evaluation mode, which is what is explained; its own mode is put back.

    Parameters
    ----------
    module : torch.nn.Module
    example : torch.Tensor or ndarray of float32, shape (N, C, H, W)
        An input: the export runs on it, and both programs' answers to it are compared.
    preprocessing, labels, packed_nbytes
        As for `cnnviz.load`.
    name : str

    Returns
    -------
    Model

    Raises
    ------
    ImportError
        Without PyTorch.
    UnsupportedModelError
        When the module uses operators that cnnviz does not have.
    CnnvizError
        When the two programs disagree; the message says by how much.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("from_torch needs PyTorch: pip install torch") from error

    tensor = torch.as_tensor(example, dtype=torch.float32).detach().cpu()
    training = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            expected = module(tensor)
        file = _torch_bytes(torch, module, tensor)
    finally:
        for part, was in training:
            part.training = was
    graph = read(file)
    model = Model(graph, preprocessing=preprocessing, labels=labels, name=name, packed_nbytes=packed_nbytes)
    _check(model, tensor.numpy(), expected.detach().cpu().numpy())
    return model


def from_keras(
    keras_model: Any,
    *,
    preprocessing: PreprocessingLike = None,
    labels: LabelsLike = None,
    name: str = "keras",
    packed_nbytes: Optional[int] = None,
) -> Model:
    """Make a model of a Keras 3 model whose input is images N,H,W,C or N,C,H,W.

    Parameters
    ----------
    keras_model : keras.Model
        Its own ``export`` to ONNX is used, which needs the packages that Keras asks for.
    preprocessing, labels, packed_nbytes
        As for `cnnviz.load`.
    name : str

    Returns
    -------
    Model

    Raises
    ------
    ImportError
        Without Keras.
    CnnvizError
        When the two programs disagree; the message says by how much.
    """
    try:
        import keras  # noqa: F401
    except ImportError as error:
        raise ImportError("from_keras needs Keras 3: pip install keras") from error

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        keras_model.export(str(path), format="onnx", verbose=False)
        graph = read(path.read_bytes())
    model = Model(graph, preprocessing=preprocessing, labels=labels, name=name, packed_nbytes=packed_nbytes)
    size = model.preprocessing.size or ()
    x = np.random.default_rng(0).random((1, model.preprocessing.channels, *size), dtype=np.float32)
    channels_last = keras_model.input_shape[-1] == x.shape[1]
    fed = np.moveaxis(x, 1, 3) if channels_last else x
    _check(model, x, np.asarray(keras_model(fed)))
    return model


def _torch_bytes(torch: Any, module: Any, example: Any) -> bytes:
    buffer = io.BytesIO()
    # The older exporter: it needs no further package, and writes the plain operators that a file has. That it
    # will go some day is no news for whoever calls us.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(module, (example,), buffer, opset_version=13, dynamo=False)
    return buffer.getvalue()


def _check(model: Model, x: NDArray[np.float32], expected: NDArray[Any]) -> None:
    found = model.forward(x)
    if found.shape != expected.shape:
        raise CnnvizError(f"{model.name}: the output has shape {found.shape}, the original {expected.shape}")
    error = float(np.abs(found - expected).max())
    size = float(np.abs(expected).max())
    if not error <= max(_TOLERANCE * size, _FLOOR):
        raise CnnvizError(
            f"{model.name}: answers to the example differ from the original's by up to {error:.3g}, "
            f"on values up to {size:.3g}"
        )
