"""Live networks of other frameworks: exported to ONNX in memory, loaded, and checked against the original."""

from __future__ import annotations

import warnings
from typing import Any, Dict, Mapping, Optional

import numpy as np

from cnnviz.loading.keras_function import function_of, size_of
from cnnviz.loading.keras_model import keras_graph
from cnnviz.loading.keras_pictures import preprocessing_for
from cnnviz.loading.keras_tensorflow import quiet as no_output
from cnnviz.loading.recipes import RecipeLike, labels_of, preprocessing_of
from cnnviz.loading.torch_export import quiet
from cnnviz.loading.torch_inputs import example_of
from cnnviz.loading.torch_model import converted
from cnnviz.loading.torch_module import OutputLike, chosen, ready, wrapped
from cnnviz.loading.torch_watch import frozen_branches, watched
from cnnviz.model.model import Model
from cnnviz.pictures.preprocessing import as_preprocessing


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
    preprocessing: RecipeLike = None,
    labels: Any = None,
    name: str = "keras",
    packed_nbytes: Optional[int] = None,
    example: Any = None,
    output: OutputLike = None,
) -> Model:
    """Make a model of a Keras 3 model whose input is pictures N,H,W,C or N,C,H,W.

    The model is exported for inference (layers of augmentation and dropout do nothing) in float32, whatever
    its policy, and stays as it is. It is compared with the original at a batch of one and of three, and where
    it leaves the size of its pictures open, at a second size; where it has one size, others are refused.

    All arrays of the model are N,C,H,W. Layers answer to the names that they have in Keras
    ("block5_conv3"); those of a model inside the model to "INNER/NAME" too.

    Parameters
    ----------
    keras_model : keras.Model
        On the TensorFlow backend tf2onnx exports it, on PyTorch's its exporters do; on others Keras' own
        ``export`` is used, which needs the packages that Keras asks for.
    preprocessing : str, Preprocessing, callable, or another library's description, optional
        As for `cnnviz.load`, a mode or an application of Keras ("keras:caffe", "keras:resnet50"), or a
        ``preprocess_input``. Without it, a network that scales pictures by itself gets the range that its
        first layers expect, one that has the name of an application gets that one's mode, and any other
        network gets the default of `cnnviz.load`, with a warning.
    labels : str, path, sequence of str, or another library's description, optional
        As for `from_torch`.
    name : str
        The model's name.
    packed_nbytes : int, optional
        As for `cnnviz.load`.
    example : ndarray, or such a shape, optional
        Pictures as the model takes them. Its height and width are the usual size where the model leaves them
        open; a subclassed model that was never called needs it.
    output : int or str, optional
        The tensor to take, where the model returns several: its position, or its name in a dictionary.

    Returns
    -------
    Model

    Warns
    -----
    UserWarning
        When nothing says which preprocessing the model wants.

    Raises
    ------
    ImportError
        When Keras is not installed, or the package with which its backend exports.
    TypeError
        When `keras_model` is no model of Keras 3.
    ValueError
        When the model takes several inputs, or no pictures, or the output does not exist.
    UnsupportedModelError
        When the model uses operators that cnnviz does not have.
    CnnvizError
        When the model cannot be exported, or the outputs of the two programs differ; the message says by how
        much.
    """
    try:
        import keras
    except ImportError as error:
        raise ImportError("from_keras needs Keras 3: pip install keras") from error

    wanted = preprocessing_of(preprocessing)
    given = None if example is None else _array_of(example)
    with no_output():
        function = function_of(keras, keras_model, given, output)
    x = function.example(size_of(function, given), 1)
    if given is not None and np.issubdtype(given.dtype, np.floating):
        x = np.ascontiguousarray(np.moveaxis(given, 3, 1) if function.channels_last else given)[:1]
    with no_output():
        graph = keras_graph(function, x, name)
    feed = preprocessing_for(keras_model, graph, x, wanted, name)
    return Model(graph, preprocessing=feed, labels=labels_of(labels), name=name, packed_nbytes=packed_nbytes)


def _array_of(example: Any) -> Any:
    """The example as an array; a shape stands for one of zeros without a type of numbers of its own."""
    if isinstance(example, (tuple, list)) and example and all(isinstance(n, int) for n in example):
        return np.zeros(tuple(example) if len(example) == 4 else (1, *example), np.uint8)
    array = np.asarray(example)
    if array.ndim != 4 or array.size == 0:
        raise ValueError(f"example has shape {array.shape}: it must be a batch of pictures with four axes")
    return array.astype(np.float32)
