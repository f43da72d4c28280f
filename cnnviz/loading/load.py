"""`load`: a network from a file, bytes, a parsed ONNX model, or a name of the zoo."""

from __future__ import annotations

import difflib
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple, Union

from cnnviz.graph.graph import Graph
from cnnviz.loading import zoo
from cnnviz.loading.convert import from_keras
from cnnviz.loading.keras_pictures import scaling_inside, unknown
from cnnviz.loading.tensorflow_files import is_keras_file, keras_file, tensorflow_graph
from cnnviz.model.labels import LabelsByOutput
from cnnviz.model.model import Model
from cnnviz.pictures.preprocessing import PreprocessingLike
from cnnviz.reader.onnx_file import read

if TYPE_CHECKING:
    import onnx

#: The network that comes with the package; ``python -m cnnviz.bundled.train`` made it.
BUNDLED = Path(__file__).parents[1] / "bundled" / "shapes.onnx"

Source = Union[None, str, "os.PathLike[str]", bytes, "onnx.ModelProto"]


def load(
    source: Source = None,
    *,
    preprocessing: PreprocessingLike = None,
    labels: LabelsByOutput = None,
    size: Optional[Tuple[int, ...]] = None,
    outputs: Optional[Sequence[str]] = None,
    inputs: Optional[Mapping[str, Any]] = None,
    packed_nbytes: Optional[int] = None,
) -> Model:
    """Load a network.

    Parameters
    ----------
    source : None, str, path, bytes or onnx.ModelProto
        None is the network that comes with the package, which needs no download: it knows twelve shapes, and
        `cnnviz.bundled.draw` draws pictures of them. A string is a file, or a name of the zoo (``cnnviz
        models`` lists them): downloaded once, checked, kept in the user's cache folder (``CNNVIZ_CACHE``
        moves it). With ``CNNVIZ_OFFLINE=1`` no file is downloaded. A ``.keras`` or ``.h5`` file, the folder
        of a SavedModel and a ``.tflite`` file are converted where Keras, TensorFlow and tf2onnx are
        installed.
    preprocessing : {"imagenet", "caffe", "tf", "unit"}, "keras:...", or Preprocessing, optional
        The map from pictures to the network's input. Without it, a name of the zoo has the zoo's
        preprocessing; a file has the one in its metadata (`cnnviz.model.metadata`), else ``"imagenet"`` for
        three channels and ``"unit"`` for any other number. Networks of other channels than colour and grey
        take pictures H,W,C; their names, and the range of pictures in units of their own (12 bits, Hounsfield
        units, reflectances), are `Preprocessing`'s `channel_order` and `range`.
    labels : "imagenet", "cifar10", path, sequence of str, or mapping of str to these, optional
        The names of the classes. Without it they come from the file's metadata, else from the number of
        classes: 1000 are ImageNet's, 1001 the same after a background class. A network that ends in a Sigmoid
        of one score takes the names of its negative and its positive class, or that of the latter alone. A
        network with several outputs takes those of the first one, or a mapping by output:
        ``labels={"species": [...], "colour": [...]}``.
    size : (int, int), optional
        The height and width of the network's pictures, at least 1, where the file leaves them open. Without
        it they are 224, or another usual size that fits where 224 does not, with a warning. For signals it is
        ``(length,)``, for volumes ``(depth, height, width)``.
    outputs : sequence of str, optional
        Values or nodes of the file to take for the network's outputs, in place of its own; the first has the
        scores, and `Model.output` asks the others. The graph behind them is not read: a detector loads
        without its tail of NonMaxSuppression.
    inputs : mapping of str to "picture", "array", number or array, optional
        What the file's inputs are, where there are several. "picture" says that an input takes pictures; the
        first that is named so is explained, without any it is the first input of four axes, and others of as
        many channels take pictures too. Numbers, one or an array, fix an input; operators that need them
        in advance, such as the length of a loop, then have them. An input that is not fixed is given with
        each picture: ``{"image": picture, "age": 40.0}`` stands wherever a picture does.
    packed_nbytes : int, optional
        The bytes that packed weights, copies in the order in which kernels read them, may take beside the
        weights themselves: by default 192 MiB, and 8 MiB for networks of more than 8e9 multiply-adds, which
        gain little. Weights that do not fit are packed anew by every pass; the results are the same, bit for
        bit.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
        When there is no such file and the zoo has no such name.
    ModelFormatError
        When the file is not a valid ONNX model.
    UnsupportedModelError
        When the network needs operators that cnnviz does not have; the message lists them all.
    TypeError, ValueError
        When preprocessing, labels or size do not fit the network, no usual size fits a file that leaves it
        open, no node makes one of the outputs, or the inputs are not those of the file.
    CnnvizError
        When a download fails, or the file's checksum is wrong.

    Warns
    -----
    UserWarning
        When the file leaves the size of its pictures open, 224 does not fit, and another size is taken. When
        an output follows from a choice (ArgMax, TopK, NonMaxSuppression), which has no gradient, and is left
        out; where all outputs follow from choices between one value's numbers, that value is the output.
    """
    if source is None:
        source = BUNDLED
    kinds, fixed = _apart(inputs)
    options: Dict[str, Any] = {
        "labels": labels,
        "size": size,
        "inputs": kinds,
        "packed_nbytes": packed_nbytes,
    }
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if path in zoo.zoo() and not os.path.exists(path):
            known = preprocessing or zoo.zoo()[path].preprocessing
            return Model(
                read(zoo.fetch(path), outputs, fixed, trim=True), preprocessing=known, name=path, **options
            )
        if not os.path.exists(path):
            raise FileNotFoundError(_not_found(path))
        options["name"] = Path(path).stem
        of_keras, graph = is_keras_file(path), tensorflow_graph(path)
        if (of_keras or graph is not None) and (outputs is not None or inputs):
            raise ValueError(f"outputs= and inputs= are for ONNX files, and {path} is none")
        if of_keras:
            given = {key: options[key] for key in ("labels", "name", "packed_nbytes")}
            example = None if size is None else (*size, 3)
            model = keras_file(path)
            return from_keras(model, preprocessing=preprocessing, example=example, **given)
        if graph is not None:
            return _of_tensorflow(graph, preprocessing, options)
        return Model(read(path, outputs, fixed, trim=True), preprocessing=preprocessing, **options)
    return Model(
        read(source, outputs, fixed, trim=True), preprocessing=preprocessing, name="network", **options
    )


def _of_tensorflow(graph: Graph, preprocessing: PreprocessingLike, options: Dict[str, Any]) -> Model:
    """A network of TensorFlow, with the pictures that its first layers expect, if they scale them."""
    model = Model(graph, preprocessing=preprocessing, **options)
    fed = model.preprocessing
    if preprocessing is not None or fed.size is None or len(fed.size) != 2:
        return model
    found = scaling_inside(model.graph, fed.channels, fed.size)
    if found is None:
        warnings.warn(unknown(model.name, fed.channels), stacklevel=3)
        return model
    return Model(graph, preprocessing=found, **options)


def _apart(inputs: Optional[Mapping[str, Any]]) -> Tuple[Dict[str, str], Dict[str, Any]]:
    """The kinds of inputs, and the numbers that others are fixed to."""
    if inputs is not None and not isinstance(inputs, Mapping):
        raise TypeError(f"inputs must map the names of inputs to what they are, not be {inputs!r:.80}")
    given = dict(inputs or {})
    kinds = {name: value for name, value in given.items() if isinstance(value, str)}
    return kinds, {name: value for name, value in given.items() if name not in kinds}


def _not_found(path: str) -> str:
    close = difflib.get_close_matches(path, zoo.zoo(), n=3)
    hint = f"; did you mean {', '.join(map(repr, close))} of the zoo?" if close else ""
    return f"there is no file {path!r}, and the zoo has no network of that name{hint}"
