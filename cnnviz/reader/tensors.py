"""TensorProto -> ndarray: the one place where numbers enter from a file.

Every size is computed in Python integers and compared with the bytes that the file holds before an array is
allocated. The array is float32 or int64, whatever element type the file stores.
"""

from __future__ import annotations

import math
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import FLOAT_TYPES
from cnnviz.reader.external import ExternalData

__all__ = ["MAX_NDIM", "TensorDecoder", "text"]

MAX_NDIM = 8  # CNV_MAX_NDIM of csrc/cnnviz.h
MAX_CONSTANT_NBYTES = 4 << 30  # the limit for all tensors of one file: twice the largest protobuf message

_EXTERNAL = 1  # TensorProto.EXTERNAL


class _Storage(NamedTuple):
    """Storage of one TensorProto.DataType: little-endian in raw_data, or element by element in `field`."""

    label: str
    dtype: str
    field: str


_STORAGE: Dict[int, _Storage] = {
    1: _Storage("float32", "<f4", "float_data"),
    2: _Storage("uint8", "|u1", "int32_data"),
    3: _Storage("int8", "|i1", "int32_data"),
    4: _Storage("uint16", "<u2", "int32_data"),
    5: _Storage("int16", "<i2", "int32_data"),
    6: _Storage("int32", "<i4", "int32_data"),
    7: _Storage("int64", "<i8", "int64_data"),
    9: _Storage("bool", "|u1", "int32_data"),
    10: _Storage("float16", "<u2", "int32_data"),
    11: _Storage("float64", "<f8", "double_data"),
    12: _Storage("uint32", "<u4", "uint64_data"),
    13: _Storage("uint64", "<u8", "uint64_data"),
    16: _Storage("bfloat16", "<u2", "int32_data"),
}
_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")

# Element types that ONNX has and cnnviz does not read.
_REFUSED = {
    8: "string", 14: "complex64", 15: "complex128", 17: "float8e4m3fn", 18: "float8e4m3fnuz",
    19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0",
    25: "uint2", 26: "int2", 27: "float6e2m3", 28: "float6e3m2",
}  # fmt: skip


def text(value: Any, what: str) -> str:
    """A string field as str, or an error: protobuf returns bytes for a field that is not valid UTF-8."""
    if isinstance(value, bytes):
        raise ModelFormatError(f"{what} is not valid UTF-8: {value[:40]!r}")
    return str(value)


def data_type_name(code: int) -> str:
    """The name of a TensorProto.DataType; raises for a type that cnnviz does not read."""
    if code in _STORAGE:
        return _STORAGE[code].label
    if code in _REFUSED:
        raise UnsupportedModelError(f"element type {_REFUSED[code]} is not supported")
    raise ModelFormatError(f"element type {code} does not exist")


class TensorDecoder:
    """A decoder of one file's TensorProtos into arrays, within one memory budget.

    Parameters
    ----------
    external : ExternalData or None
        The reader of tensors outside the file; None when the model did not come from a path.
    """

    def __init__(self, external: Optional[ExternalData]) -> None:
        self._external = external
        self._nbytes = 0

    def decode(self, proto: Any, what: str) -> NDArray[Any]:
        """The array of one TensorProto.

        Returns
        -------
        ndarray of float32 or int64
            C-contiguous and read-only. A float64 beyond the range of float32 becomes infinite.

        Raises
        ------
        ModelFormatError
            The tensor contradicts itself.
        UnsupportedModelError
            The tensor's element type is one that cnnviz does not read.
        """
        storage = self._storage(proto, what)
        dims = self._dims(proto, what)
        nbytes = math.prod(dims) * np.dtype(storage.dtype).itemsize
        self._spend(math.prod(dims), 4 if proto.data_type in FLOAT_TYPES else 8, what)
        stored = self._stored(proto, storage, math.prod(dims), nbytes, what)
        array = np.ascontiguousarray(_widen(stored, proto.data_type, what)).reshape(dims)
        array.flags.writeable = False
        return array

    def _storage(self, proto: Any, what: str) -> _Storage:
        try:
            data_type_name(proto.data_type)
        except ModelFormatError as error:
            raise ModelFormatError(f"{what}: {error}") from None
        except UnsupportedModelError as error:
            raise UnsupportedModelError(f"{what}: {error}") from None
        if proto.HasField("segment"):
            raise UnsupportedModelError(f"{what}: tensors in segments are not supported")
        return _STORAGE[proto.data_type]

    def _dims(self, proto: Any, what: str) -> Tuple[int, ...]:
        if len(proto.dims) > MAX_NDIM:
            raise UnsupportedModelError(
                f"{what}: has {len(proto.dims)} dimensions, at most {MAX_NDIM} are supported"
            )
        dims = tuple(int(n) for n in proto.dims)
        if any(n < 0 for n in dims):
            raise ModelFormatError(f"{what}: shape {dims} has a negative dimension")
        return dims

    def _spend(self, count: int, itemsize: int, what: str) -> None:
        self._nbytes += count * itemsize
        if self._nbytes > MAX_CONSTANT_NBYTES:
            raise ModelFormatError(
                f"{what}: with this tensor of {count} elements the model's constants exceed "
                f"{MAX_CONSTANT_NBYTES >> 30} GiB"
            )

    def _stored(self, proto: Any, storage: _Storage, count: int, nbytes: int, what: str) -> NDArray[Any]:
        filled = [field for field in _FIELDS if len(getattr(proto, field))]
        if proto.raw_data:
            filled.append("raw_data")
        if proto.data_location == _EXTERNAL:
            return self._read_external(proto, storage, nbytes, filled, what)
        if len(proto.external_data):
            raise ModelFormatError(
                f"{what}: has external_data but its data_location says that the data is in the file"
            )
        if len(filled) > 1:
            raise ModelFormatError(f"{what}: holds its data twice, in {' and '.join(filled)}")
        if filled == ["raw_data"]:
            raw = proto.raw_data
            if len(raw) != nbytes:
                raise ModelFormatError(
                    f"{what}: raw_data has {len(raw)} bytes, "
                    f"but {count} elements of {storage.label} take {nbytes}"
                )
            return np.frombuffer(raw, storage.dtype)
        if filled and filled != [storage.field]:
            raise ModelFormatError(
                f"{what}: {storage.label} data belongs in {storage.field}, not in {filled[0]}"
            )
        return _typed(getattr(proto, storage.field), storage, count, what)

    def _read_external(
        self, proto: Any, storage: _Storage, nbytes: int, filled: Any, what: str
    ) -> NDArray[Any]:
        if filled:
            raise ModelFormatError(f"{what}: holds its data twice, in {filled[0]} and in an external file")
        if self._external is None:
            raise ModelFormatError(
                f"{what}: its data lies in another file; load the model from its path, not from memory"
            )
        entries = [(text(e.key, what), text(e.value, what)) for e in proto.external_data]
        return np.frombuffer(self._external.read(entries, nbytes, what), storage.dtype)


def _typed(values: Any, storage: _Storage, count: int, what: str) -> NDArray[Any]:
    """The elements of a typed field (float_data, int32_data, ...), each checked to fit its type."""
    if len(values) != count:
        raise ModelFormatError(
            f"{what}: {storage.field} has {len(values)} elements, but the shape needs {count}"
        )
    target = np.dtype(storage.dtype)
    if target.kind == "f":
        return np.fromiter(values, target, count)
    wide = np.fromiter(values, np.uint64 if storage.field == "uint64_data" else np.int64, count)
    limits = np.iinfo(target)
    if count and (int(wide.min()) < limits.min or int(wide.max()) > limits.max):
        raise ModelFormatError(f"{what}: {storage.field} holds a number that {storage.label} cannot")
    narrow: NDArray[Any] = wide.astype(target)
    return narrow


def _widen(stored: NDArray[Any], data_type: int, what: str) -> NDArray[Any]:
    """The elements of any stored type as float32 or int64."""
    wide: NDArray[Any] = stored
    label = _STORAGE[data_type].label
    if label == "float16":
        wide = stored.view("<f2")
    elif label == "bfloat16":
        wide = (stored.astype(np.uint32) << 16).view(np.float32)
    elif label == "bool":
        wide = stored != 0
    elif label == "uint64" and stored.size and int(stored.max()) > np.iinfo(np.int64).max:
        raise ModelFormatError(f"{what}: {int(stored.max())} does not fit in int64")
    with np.errstate(over="ignore"):
        return wide.astype(np.float32 if data_type in FLOAT_TYPES else np.int64, copy=False)
