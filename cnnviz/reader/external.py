"""External data: tensors that an ONNX file keeps in files beside it.

The rules are those of ONNX's ExternalDataSecurity, without exceptions: a location is a relative path of plain
names below the model's folder; no component may be a symbolic link; the file is a regular one with one name
only (a second hard link could lie anywhere); offset and length lie inside it; other keys are refused.
"""

from __future__ import annotations

import os
import stat
from typing import Dict, List, Sequence, Tuple

from cnnviz.errors import ModelFormatError

__all__ = ["ExternalData"]

_KEYS = frozenset({"location", "offset", "length", "checksum"})
_NUMBER_DIGITS = 19  # the most digits of an int64
_CAN_DESCEND = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
# Windows has only O_BINARY of these flags. O_NONBLOCK keeps the open of a FIFO from waiting for a writer.
_FILE = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


class ExternalData:
    """A reader of external tensors below one folder.

    Parameters
    ----------
    folder : str
        The folder of the model file.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def read(self, entries: Sequence[Tuple[str, str]], nbytes: int, what: str) -> bytes:
        """The `nbytes` bytes of the file that a tensor's external_data `entries` name."""
        options = self._options(entries, what)
        parts = _components(options.get("location", ""), what)
        offset = _number(options.get("offset", "0"), "offset", what)
        length = _number(options.get("length", str(nbytes)), "length", what)
        if length != nbytes:
            raise ModelFormatError(f"{what}: external length is {length} bytes, but its shape takes {nbytes}")
        with os.fdopen(self._open(parts, what), "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if offset + length > size:
                raise ModelFormatError(
                    f"{what}: bytes {offset} to {offset + length} lie beyond the end of {'/'.join(parts)!r} "
                    f"({size} bytes)"
                )
            stream.seek(offset)
            data = stream.read(length)
        if len(data) != length:
            raise ModelFormatError(f"{what}: {'/'.join(parts)!r} ended after {len(data)} of {length} bytes")
        return data

    def _options(self, entries: Sequence[Tuple[str, str]], what: str) -> Dict[str, str]:
        options: Dict[str, str] = {}
        for key, value in entries:
            if key not in _KEYS:
                raise ModelFormatError(f"{what}: unknown external_data key {key[:40]!r}")
            if key in options:
                raise ModelFormatError(f"{what}: external_data key {key!r} is given twice")
            options[key] = value
        return options

    def _open(self, parts: List[str], what: str) -> int:
        """A descriptor of the file, whose kind is checked before and after it is opened."""
        path = self._folder
        for depth, part in enumerate(parts, start=1):
            path = os.path.join(path, part)
            try:
                _refuse_kind(os.lstat(path), path, depth == len(parts), what)
            except OSError as error:
                raise _cannot_open(path, error, what) from None
        try:
            descriptor = self._descend(parts) if _CAN_DESCEND else os.open(path, _FILE)
        except OSError as error:
            raise _cannot_open(path, error, what) from None
        try:
            _refuse_kind(os.fstat(descriptor), path, True, what)
        except ModelFormatError:
            os.close(descriptor)
            raise
        return descriptor

    def _descend(self, parts: List[str]) -> int:
        """Open folder by folder, following no link, so that a link put in after the check is not followed."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = below
            return os.open(parts[-1], _FILE, dir_fd=folder)
        finally:
            os.close(folder)


def _refuse_kind(info: os.stat_result, path: str, last: bool, what: str) -> None:
    if stat.S_ISLNK(info.st_mode):
        raise ModelFormatError(
            f"{what}: external data {path!r} is a symbolic link; put the file itself there"
        )
    if last and not stat.S_ISREG(info.st_mode):
        raise ModelFormatError(f"{what}: external data {path!r} is not a regular file")
    if last and info.st_nlink > 1:
        raise ModelFormatError(
            f"{what}: external data {path!r} has {info.st_nlink} hard links, not one; put a copy there"
        )


def _cannot_open(path: str, error: OSError, what: str) -> ModelFormatError:
    return ModelFormatError(f"{what}: cannot open external data {path!r}: {error.strerror}")


def _components(location: str, what: str) -> List[str]:
    """The plain names of a location, split at its slashes."""
    parts = location.split("/")
    plain = all(part not in ("", ".", "..") for part in parts)
    if not plain or any(character in location for character in "\\:\0"):
        raise ModelFormatError(
            f"{what}: external location {location[:200]!r} is not a relative path below the model's folder"
        )
    return parts


def _number(digits: str, key: str, what: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _NUMBER_DIGITS):
        raise ModelFormatError(f"{what}: external {key} {digits[:40]!r} is not a number of bytes")
    return int(digits)
