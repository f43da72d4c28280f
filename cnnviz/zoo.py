"""Where networks come from: a file, bytes, a parsed ONNX model, or the zoo, a table of facts."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Union

from cnnviz.errors import CnnvizError
from cnnviz.labels import LabelsLike
from cnnviz.model import Model
from cnnviz.pictures.preprocessing import PreprocessingLike
from cnnviz.reader.onnx_file import read

if TYPE_CHECKING:
    import onnx

#: The network that comes with the package; ``python -m cnnviz.bundled.train`` made it.
BUNDLED = Path(__file__).with_name("bundled") / "shapes.onnx"

Source = Union[None, str, "os.PathLike[str]", bytes, "onnx.ModelProto"]


class ZooEntry(NamedTuple):
    """A published network: what identifies its file, and how it wants its pictures."""

    file: str
    sha256: str
    nbytes: int
    preprocessing: str
    licence: str

    @property
    def url(self) -> str:
        """Where the ONNX model zoo serves the file."""
        return f"https://huggingface.co/onnxmodelzoo/{self.file}/resolve/main/{self.file}.onnx"


def zoo() -> Dict[str, ZooEntry]:
    """Return the networks that `load` knows by name."""
    lines = Path(__file__).with_name("zoo.txt").read_text("utf-8").splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {
        name: ZooEntry(file, sha256, int(nbytes), preprocessing, licence)
        for name, file, sha256, nbytes, preprocessing, licence in rows
    }


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
        moves it). With ``CNNVIZ_OFFLINE=1`` nothing is downloaded.
    preprocessing : {"imagenet", "caffe", "tf", "unit"} or Preprocessing, optional
        How the network wants its pictures. Few files say: without it, the zoo's facts count for a zoo name,
        then what the file carries (`cnnviz.metadata`), then ``"imagenet"`` for a network of three channels.
    labels : "imagenet", "cifar10", path or sequence of str, optional
        The names of the classes. Without it they are those that the file carries, else follow from their
        number: 1000 are ImageNet's, 1001 the same after a background class.
    packed_nbytes : int, optional
        Bytes that may be spent on weights in the form that kernels read, beside the weights themselves, for
        speed: by default 192 MiB, and 8 MiB for networks of more than 8e9 multiply-adds, which gain little.
        What does not fit is packed by every pass anew; the results are the same, bit for bit.

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
        When it uses operators that cnnviz does not have; the message lists them all.
    ValueError
        When preprocessing or labels do not fit the network.
    CnnvizError
        When a download is not possible or not what it should be.
    """
    if source is None:
        source = BUNDLED
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if path in zoo() and not os.path.exists(path):
            known = preprocessing or zoo()[path].preprocessing
            return _model(fetch(path), known, labels, packed_nbytes, path)
        if not os.path.exists(path):
            raise FileNotFoundError(_not_found(path))
        return _model(path, preprocessing, labels, packed_nbytes, Path(path).stem)
    return _model(source, preprocessing, labels, packed_nbytes, "network")


def fetch(name: str) -> str:
    """Return the path of a zoo network's file, downloading it if it is not in the cache.

    Raises
    ------
    ValueError
        When the zoo has no such name.
    CnnvizError
        When it is not in the cache and can not be downloaded, or its checksum is wrong.
    """
    if name not in zoo():
        raise ValueError(f"name {name!r} is not in the zoo, which has {', '.join(zoo())}")
    import pooch

    entry = zoo()[name]
    cache = Path(os.environ.get("CNNVIZ_CACHE") or pooch.os_cache("cnnviz"))
    file = f"{entry.file}.onnx"
    if os.environ.get("CNNVIZ_OFFLINE", "") not in ("", "0"):
        return _cached(cache / file, name, entry)
    try:
        found: str = pooch.retrieve(entry.url, f"sha256:{entry.sha256}", fname=file, path=cache)
        return found
    except ValueError as error:
        raise CnnvizError(
            f"{name}: the download from {entry.url} is not the file it should be: {error}"
        ) from error
    except OSError as error:
        raise CnnvizError(f"{name} can not be downloaded from {entry.url}: {error}") from error


def _cached(path: Path, name: str, entry: ZooEntry) -> str:
    """The file, without a look at the network: pooch would download in place of one that is damaged."""
    import pooch

    if path.exists() and pooch.file_hash(str(path)) == entry.sha256:
        return str(path)
    found = f"in the cache ({path}) is damaged" if path.exists() else f"is not in the cache ({path})"
    raise CnnvizError(
        f"{name} {found} and CNNVIZ_OFFLINE forbids downloads; "
        f"fetch {entry.url} ({entry.nbytes / 1e6:.1f} MB) yourself and load the file"
    )


def _model(
    source: Any, preprocessing: PreprocessingLike, labels: LabelsLike, packed_nbytes: Optional[int], name: str
) -> Model:
    graph = read(source)
    return Model(graph, preprocessing=preprocessing, labels=labels, name=name, packed_nbytes=packed_nbytes)


def _not_found(path: str) -> str:
    close = difflib.get_close_matches(path, zoo(), n=3)
    hint = f"; did you mean {', '.join(map(repr, close))} of the zoo?" if close else ""
    return f"there is no file {path!r}, and the zoo has no network of that name{hint}"
