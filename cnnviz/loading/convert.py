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

# The largest difference between two float32 programs that add in different orders, relative to the largest
# output; the floor is absolute, for outputs that are all zero or nearly so.
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

    The module is exported in evaluation mode; its own mode is restored afterwards.

    Parameters
    ----------
    module : torch.nn.Module
    example : torch.Tensor or ndarray of float32, shape (N, C, H, W)
        An input with which the module is traced, and on which the outputs of both programs are compared.
    preprocessing, labels, packed_nbytes
        As for `cnnviz.load`.
    name : str
        The model's name.

    Returns
    -------
    Model

    Raises
    ------
    ImportError
        When PyTorch is not installed.
    UnsupportedModelError
        When the module uses operators that cnnviz does not have.
    CnnvizError
        When the outputs of the two programs differ; the message says by how much.
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
        The model; its own ``export`` to ONNX is used, which needs the packages that Keras asks for.
    preprocessing, labels, packed_nbytes
        As for `cnnviz.load`.
    name : str
        The model's name.

    Returns
    -------
    Model

    Raises
    ------
    ImportError
        When Keras is not installed.
    CnnvizError
        When the outputs of the two programs differ; the message says by how much.
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
    # The older exporter needs no further package and writes plain operators. Its deprecation concerns cnnviz,
    # not the caller, so the warning is silenced.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(module, (example,), buffer, opset_version=13, dynamo=False)
    return buffer.getvalue()


def _check(model: Model, x: NDArray[np.float32], expected: NDArray[Any]) -> None:
    found = model.forward(x)
    if found.shape != expected.shape:
        raise CnnvizError(
            f"{model.name}: the output has shape {found.shape}, the original's {expected.shape}"
        )
    error = float(np.abs(found - expected).max())
    size = float(np.abs(expected).max())
    if not error <= max(_TOLERANCE * size, _FLOOR):
        raise CnnvizError(
            f"{model.name}: outputs for the example differ from the original's by up to {error:.3g}, "
            f"on values up to {size:.3g}"
        )
