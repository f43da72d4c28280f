"""An ONNX file -> Graph.

The `onnx` package only parses the protobuf message; this folder checks every field of it, and its errors name
the node and the numbers. Work and memory stay proportional to the size of the file.
"""

from __future__ import annotations

import os
import stat
import warnings
from typing import TYPE_CHECKING, Any, List, Mapping, Optional, Sequence, Set, Tuple, Union

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Graph, prune
from cnnviz.graph.schema import NEWEST_OPSET, OLDEST_OPSET, STANDARD_DOMAINS
from cnnviz.reader.choices import trimmed
from cnnviz.reader.external import ExternalData
from cnnviz.reader.fixed import with_fixed
from cnnviz.reader.nodes import GraphReader
from cnnviz.reader.part import part_of
from cnnviz.reader.tensors import TensorDecoder, text

if TYPE_CHECKING:
    import onnx

__all__ = ["read"]

Source = Union[str, "os.PathLike[str]", bytes, "onnx.ModelProto"]

MAX_FILE_NBYTES = (2 << 30) - 1  # the largest protobuf message
_IR_VERSIONS = (3, 14)  # the oldest and the newest that are read
# The first bytes of files that are often taken for ONNX files, and the kind of each file.
_MAGIC = {
    b"version https://git-lfs": "a Git LFS pointer: fetch the real file with `git lfs pull`",
    b"PK\x03\x04": "a zip archive (a PyTorch checkpoint or a .keras file?): export the network to ONNX",
    b"\x89HDF": "an HDF5 file (Keras weights?): export the network to ONNX",
    b"\x80\x02": "a Python pickle: export the network to ONNX",
    b"<": "an HTML or XML page: was the download redirected?",
}


def read(
    source: Source,
    outputs: Optional[Sequence[str]] = None,
    fixed: Optional[Mapping[str, Any]] = None,
    *,
    trim: bool = False,
) -> Graph:
    """Read an ONNX model.

    Parameters
    ----------
    source : str, os.PathLike, bytes or onnx.ModelProto
        A path, the bytes of a file, or a parsed message, which is left as it is.
    outputs : sequence of str, optional
        Values or nodes to take for the network's outputs: the graph behind them is not read.
    fixed : mapping of str to number or array, optional
        Numbers for inputs, which become constants.
    trim : bool
        Whether outputs that follow from choices are left out, with a warning, if `outputs` is not given.

    Returns
    -------
    Graph
        The file's graph in the newest opset's terms, its constants in float32 and int64.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ModelFormatError
        The file is broken or contradicts itself.
    UnsupportedModelError
        The model is valid, but needs operators or modes that cnnviz does not have; `operators` lists them.
    TypeError, ValueError
        `outputs` is not a list of names, or no node makes one of them; a fixed input does not exist, or its
        numbers do not fit it.
    """
    model, folder = _parse(source)
    opset = _check_versions(model)
    if not model.HasField("graph"):
        raise ModelFormatError("the model has no graph")
    external = None if folder is None else ExternalData(folder)
    rest = trimmed(model.graph) if trim and outputs is None else None
    chosen = part_of(model.graph, outputs if rest is None else rest.outputs)
    part = with_fixed(chosen, fixed or {})
    try:
        graph = GraphReader(model, opset, TensorDecoder(external), part).read()
    except UnsupportedModelError as error:
        if rest is None:
            raise
        raise UnsupportedModelError(f"{error}\n{rest.message}", error.operators) from None
    if rest is not None:
        warnings.warn(rest.message, stacklevel=3)
    metadata = {text(p.key, "metadata key"): text(p.value, "metadata value") for p in model.metadata_props}
    return prune(graph.replace(metadata=metadata))


def _parse(source: Source) -> Tuple[Any, Optional[str]]:
    """The message, and the folder that external data may lie in."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source)), None
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        return _from_bytes(_file_bytes(path)), os.path.dirname(os.path.abspath(path))
    import onnx

    if isinstance(source, onnx.ModelProto):
        return source, None
    raise TypeError(f"source must be a path, bytes or an onnx.ModelProto, not {type(source).__name__}")


def _file_bytes(path: str) -> bytes:
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode):
        raise ModelFormatError(f"{path!r} is not a regular file")
    if info.st_size > MAX_FILE_NBYTES:
        raise ModelFormatError(
            f"{path!r} has {info.st_size} bytes; an ONNX file has at most {MAX_FILE_NBYTES}"
        )
    with open(path, "rb") as stream:
        return stream.read()


def _from_bytes(data: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    if not data:
        raise ModelFormatError("the file is empty")
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise ModelFormatError(f"not an ONNX file but {what}")
    try:
        return onnx.ModelProto.FromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise ModelFormatError(f"not an ONNX file, or a truncated one: {error}") from None


def _check_versions(model: Any) -> int:
    oldest, newest = _IR_VERSIONS
    if model.ir_version < 1:
        raise ModelFormatError(f"ir_version is {model.ir_version}: not an ONNX model, or a truncated one")
    if not oldest <= model.ir_version <= newest:
        raise UnsupportedModelError(
            f"IR version {model.ir_version} is not supported, only {oldest} to {newest}"
        )
    opset = _opset(model)
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise UnsupportedModelError(
            f"opset {opset} is not supported, only {OLDEST_OPSET} to {NEWEST_OPSET}; "
            "export the network again, for one of these"
        )
    if len(model.graph.sparse_initializer):
        raise UnsupportedModelError("sparse initializers are not supported")
    return opset


def _opset(model: Any) -> int:
    versions: List[int] = []
    seen: Set[str] = set()
    for entry in model.opset_import:
        domain = text(entry.domain, "opset domain")
        if domain in seen or (domain in STANDARD_DOMAINS and versions):
            raise ModelFormatError(f"opset_import names the domain {domain!r} twice")
        seen.add(domain)
        if domain in STANDARD_DOMAINS:
            versions.append(entry.version)
    if not versions:
        raise ModelFormatError("no opset of the standard domain: not an ONNX model, or a truncated one")
    if versions[0] < 1:
        raise ModelFormatError(f"opset {versions[0]} does not exist")
    return versions[0]
