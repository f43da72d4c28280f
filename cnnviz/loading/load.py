"""`load`: a network from a file, bytes, a parsed ONNX model, or a name of the zoo."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from cnnviz.loading import zoo
from cnnviz.model.labels import LabelsLike
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
    labels: LabelsLike = None,
    packed_nbytes: Optional[int] = None,
) -> Model:
    """Load a network.

    Parameters
    ----------
    source : None, str, path, bytes or onnx.ModelProto
        None is the network that comes with the package, which needs no download: it knows twelve shapes, and
        `cnnviz.bundled.draw` draws pictures of them. A string is a file, or a name of the zoo (``cnnviz
        models`` lists them): downloaded once, checked, kept in the user's cache folder (``CNNVIZ_CACHE``
        moves it). With ``CNNVIZ_OFFLINE=1`` no file is downloaded.
    preprocessing : {"imagenet", "caffe", "tf", "unit"} or Preprocessing, optional
        The map from pictures to the network's input. Without it, a name of the zoo has the zoo's
        preprocessing; a file has the one in its metadata (`cnnviz.model.metadata`), else ``"imagenet"`` for
        three channels and ``"unit"`` for one.
    labels : "imagenet", "cifar10", path or sequence of str, optional
        The names of the classes. Without it they come from the file's metadata, else from the number of
        classes: 1000 are ImageNet's, 1001 the same after a background class. A network that ends in a Sigmoid
        of one score takes the names of its negative and its positive class, or that of the latter alone.
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
    ValueError
        When preprocessing or labels do not fit the network.
    CnnvizError
        When a download fails, or the file's checksum is wrong.
    """
    if source is None:
        source = BUNDLED
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if path in zoo.zoo() and not os.path.exists(path):
            known = preprocessing or zoo.zoo()[path].preprocessing
            return _model(zoo.fetch(path), known, labels, packed_nbytes, path)
        if not os.path.exists(path):
            raise FileNotFoundError(_not_found(path))
        return _model(path, preprocessing, labels, packed_nbytes, Path(path).stem)
    return _model(source, preprocessing, labels, packed_nbytes, "network")


def _model(
    source: Any, preprocessing: PreprocessingLike, labels: LabelsLike, packed_nbytes: Optional[int], name: str
) -> Model:
    graph = read(source)
    return Model(graph, preprocessing=preprocessing, labels=labels, name=name, packed_nbytes=packed_nbytes)


def _not_found(path: str) -> str:
    close = difflib.get_close_matches(path, zoo.zoo(), n=3)
    hint = f"; did you mean {', '.join(map(repr, close))} of the zoo?" if close else ""
    return f"there is no file {path!r}, and the zoo has no network of that name{hint}"
