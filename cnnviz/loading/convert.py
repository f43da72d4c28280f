"""Live networks of other frameworks: exported to ONNX in memory, loaded, and checked against the original."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import numpy as np

from cnnviz.loading.agreement import check
from cnnviz.loading.recipes import RecipeLike, labels_of, preprocessing_of
from cnnviz.loading.torch_export import quiet
from cnnviz.loading.torch_inputs import example_of
from cnnviz.loading.torch_model import converted
from cnnviz.loading.torch_module import OutputLike, chosen, ready, wrapped
from cnnviz.loading.torch_watch import frozen_branches, watched
from cnnviz.model.labels import LabelsLike
from cnnviz.model.model import Model
from cnnviz.pictures.preprocessing import PreprocessingLike, as_preprocessing
from cnnviz.reader.onnx_file import read


def from_torch(
    module: Any,
    example: Any,
    *,
    preprocessing: RecipeLike = None,
    labels: Any = None,
    name: str = "torch",
    packed_nbytes: Optional[int] = None,
    output: OutputLike = None,
    inputs: Optional[Mapping[str, str]] = None,
) -> Model:
    """Make a model of a live PyTorch module.

    A float32 copy on the CPU is exported in evaluation mode; the module itself stays as it is, and may be of
    any float type, on any device, scripted, compiled, or in DataParallel. The model is compared with the
    copy at the example, at another batch and at another size. Where the module takes one size alone, or its
    export does, the model refuses other sizes.

    Layers answer to the names of the module's parts too ("layer4", "layer4.1.conv2"); a convolution into
    which its batch normalisation is folded stands for both.

    Parameters
    ----------
    module : torch.nn.Module
    example : torch.Tensor or ndarray, shape (N, C, H, W), such a shape, or a tuple or dict of inputs
        An input with which the module is traced, and on which the outputs of both programs are compared. It
        should be a picture as the module wants it; a shape stands for random numbers. A module of several
        inputs gets a tuple in the order of its forward, or a dictionary by the names of its parameters;
        tensors become the inputs of the model under these names, all else is fixed.
    preprocessing : str, Preprocessing, or another library's description, optional
        As for `cnnviz.load`, or transforms of torchvision or timm, alone or in a Compose, torchvision's
        weights, a configuration of timm (``module.pretrained_cfg``), or an image processor of transformers.
        Without a size in it, the usual size is the example's.
    labels : str, path, sequence of str, or another library's description, optional
        As for `cnnviz.load`, or torchvision's weights, or a configuration with ``id2label``.
    name : str
        The model's name.
    packed_nbytes : int, optional
        As for `cnnviz.load`.
    output : int or str, optional
        The tensor to take, where the module returns several: its position, or its name in a dictionary or
        dataclass ("aux", "head.1"). By default "logits" or "out", else the first.
    inputs : mapping of str to "picture" or "array", optional
        As for `cnnviz.load`: which inputs are pictures, the one that is explained first. By default it is the
        first tensor N,C,H,W.

    Returns
    -------
    Model

    Warns
    -----
    UserWarning
        When the module branches on the picture's numbers: the branch that the example takes is frozen.

    Raises
    ------
    ImportError
        When PyTorch is not installed.
    TypeError
        When `module` is not a module.
    ValueError
        When the example is not what the module takes, has no picture N,C,H,W, or the output does not exist.
    UnsupportedModelError
        When the module uses operators that cnnviz does not have.
    CnnvizError
        When the module cannot be exported, or the outputs of the two programs differ; the message says by how
        much.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("from_torch needs PyTorch: pip install torch") from error

    wanted = preprocessing_of(preprocessing)
    # Tensors of inference mode cannot be traced, and the caller may be in it.
    with torch.inference_mode(False):
        twin = ready(torch, module)
        given = example_of(torch, twin, example, inputs)
        run = watched(torch, twin, *given.call(tuple(given.copies())))
        if run.error is not None:
            raise ValueError(_unrunnable(run.error)) from run.error
        tensor, path = chosen(torch, run.output, output)
        single = wrapped(torch, twin, path, given)
        with quiet(torch):
            branches = frozen_branches(torch, single, given.tensors)
        if branches:
            warnings.warn(
                f"{name}: the module decides by the picture's numbers at {', '.join(branches)}; the model "
                "always goes the way of the example",
                stacklevel=2,
            )
        _, channels, *size = given.x.shape
        feed = as_preprocessing(wanted, channels, tuple(size))
        graph = converted(torch, single, given, run._replace(output=tensor), name)
    options: Dict[str, Any] = {"preprocessing": feed, "labels": labels_of(labels), "name": name}
    kinds = {given.picture: "picture", **(inputs or {})} if len(given.names) > 1 else inputs
    return Model(graph, inputs=kinds, packed_nbytes=packed_nbytes, **options)


def _unrunnable(error: Exception) -> str:
    """The message for a module that does not take the example."""
    text = str(error)
    if isinstance(error, TypeError) and "missing" in text and "positional argument" in text:
        return f"{text}: pass all its inputs as example=(image, ...), or a dictionary by their names"
    return f"the module does not take the example: {type(error).__name__}: {text}"


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
    check(name, model.forward(x), np.asarray(keras_model(fed)))
    return model
