"""The formats of results on disk: arrays with facts in ``.npz``, pictures that carry settings, animations.

Everything here takes and returns plain arrays and mappings; which members of a result go where is decided in
`cnnviz.results.results`.
"""

from __future__ import annotations

import base64
import io
import json
import os
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.batch import batch_of

Arrays = Dict[str, NDArray[Any]]
PathLike = Union[str, "os.PathLike[str]"]

#: Keywords of the PNG text chunks that carry the settings (JSON) and the sources (a base64 npz archive).
SETTINGS = "cnnviz"
SOURCES = "cnnviz:sources"
#: What the names of sources begin with that are no pictures, but the numbers of an input beside the picture.
BESIDE = "inputs/"
#: The time that each frame of an animation is shown, and the last frame's, in milliseconds.
FRAME_MS, LAST_MS = 80, 1200

#: Suffixes of picture formats that keep every pixel as it is.
LOSSLESS = frozenset((".bmp", ".png", ".ppm", ".tga", ".tif", ".tiff"))


def suffix_of(path: PathLike) -> str:
    """Return the suffix of a path in lower case: ``.png``."""
    return os.path.splitext(os.fspath(path))[1].lower()


def check_path(path: PathLike, suffixes: Set[str]) -> None:
    """Raise for a path that no result can be written to, before the result is computed.

    Raises
    ------
    FileNotFoundError
        When the folder does not exist.
    ValueError
        When the suffix is missing, or is not one of `suffixes`.
    """
    name = os.fspath(path)
    folder, suffix = os.path.dirname(name) or ".", suffix_of(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder!r} to write {name!r} to")
    if suffix not in suffixes:
        what = f"nothing is written as {suffix}" if suffix else "the suffix says what kind of file to write"
        raise ValueError(f"{name!r}: {what}; use .png, or .npz for the numbers")


def figure_suffixes() -> Set[str]:
    """Return the suffixes of the formats that matplotlib writes figures in."""
    from matplotlib.backend_bases import FigureCanvasBase

    return {f".{name}" for name in FigureCanvasBase.get_supported_filetypes()}


def picture_suffixes() -> Set[str]:
    """Return the suffixes of the formats that Pillow writes pictures in."""
    import PIL.Image

    formats = PIL.Image.registered_extensions()  # the call loads the formats that PIL.Image.SAVE lists
    return {suffix for suffix, name in formats.items() if name in PIL.Image.SAVE}


def lossy(path: PathLike) -> str:
    """Return why a fooling image may not fool from this kind of file; empty where every pixel is kept."""
    suffix = suffix_of(path)
    if suffix in LOSSLESS or suffix in (".npz", ".gif"):  # an animation does not claim to fool
        return ""
    return f"{suffix} may change the pixels, and with them what fools the network; use .png or .npz"


def write_arrays(path: PathLike, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write facts, as JSON, and arrays into one ``.npz``."""
    stored = {**arrays, "facts": np.array(json.dumps(facts, default=_plain))}
    with open(path, "wb") as file:  # given the name x.NPZ, NumPy would write x.NPZ.npz
        np.savez_compressed(file, **stored)  # type: ignore[arg-type]


def read_arrays(path: PathLike) -> Tuple[Dict[str, Any], Arrays]:
    """Return the facts and the arrays that `write_arrays` wrote."""
    with np.load(os.fspath(path), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(str(arrays.pop("facts"))), arrays


def texts(settings: Mapping[str, Any], sources: Mapping[str, NDArray[Any]]) -> Dict[str, str]:
    """Return the text chunks of a PNG that carries settings and sources; none without settings."""
    if not settings:
        return {}
    chunks = {SETTINGS: json.dumps(settings, default=_plain)}
    if sources:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **dict(sources))  # type: ignore[arg-type]
        chunks[SOURCES] = base64.b64encode(buffer.getvalue()).decode("ascii")
    return chunks


def beside(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the numbers of inputs beside the picture as sources."""
    return {f"{BESIDE}{name}": array for name, array in inputs.items()}


def parted(sources: Mapping[str, NDArray[Any]]) -> Tuple[Arrays, Arrays]:
    """Return the pictures among sources, and the numbers of inputs beside the picture: undoes `beside`."""
    pictures = {name: array for name, array in sources.items() if not name.startswith(BESIDE)}
    inputs = {name[len(BESIDE) :]: array for name, array in sources.items() if name not in pictures}
    return pictures, inputs


def read_settings(path: PathLike) -> Tuple[Dict[str, Any], Arrays]:
    """Return the settings and sources that a PNG carries.

    Raises
    ------
    FileNotFoundError
    ValueError
        When the file is no PNG, or carries no settings of cnnviz.
    """
    chunks = _read_chunks(path)
    if SETTINGS not in chunks:
        raise ValueError(
            f"path {os.fspath(path)!r} carries no settings: it is no PNG that cnnviz saved, or its target "
            "was an objective, which is code and is not stored"
        )
    try:
        packed = base64.b64decode(chunks.get(SOURCES, ""))
        sources: Arrays = {}
        if packed:
            with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
                sources = {name: archive[name] for name in archive.files}
        return json.loads(chunks[SETTINGS]), sources
    except Exception as error:
        raise ValueError(f"the settings in {os.fspath(path)!r} are damaged ({error})") from error


def _read_chunks(path: PathLike) -> Dict[str, Any]:
    import PIL.Image

    try:
        with PIL.Image.open(os.fspath(path)) as picture:
            return {key: value for key, value in picture.info.items() if key in (SETTINGS, SOURCES)}
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"path {os.fspath(path)!r} cannot be read ({error})") from error


def write_picture(
    path: PathLike, pictures: NDArray[Any], chunks: Mapping[str, str], options: Mapping[str, Any]
) -> None:
    """Write pictures H,W,3 or N,H,W,3 from 0 to 1, pixel by pixel in 8 bits, side by side.

    Parameters
    ----------
    path : path
    pictures : ndarray
    chunks : mapping of str to str
        Text chunks, which only a PNG carries.
    options : mapping
        Options of Pillow's ``Image.save``.
    """
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    if suffix_of(path) == ".png" and "pnginfo" not in options:
        info = PngInfo()
        for key, text in chunks.items():
            info.add_text(key, text)
        options = {**options, "pnginfo": info}
    PIL.Image.fromarray(_as_bytes(_coloured(_row(pictures), path))).save(os.fspath(path), **options)


def write_animation(
    path: PathLike, frames: Sequence[NDArray[np.uint8]], last: NDArray[Any], options: Mapping[str, Any]
) -> None:
    """Write frames in 8 bits, and a last picture from 0 to 1, as a ``.gif`` of the last picture's size."""
    import PIL.Image

    if not frames:
        raise ValueError("there are no frames to animate: make the result with keep_every=")
    shown = [_coloured(each, path) for each in (*(_row(frame) for frame in frames), _as_bytes(_row(last)))]
    size = (shown[-1].shape[1], shown[-1].shape[0])
    first, *rest = [PIL.Image.fromarray(frame).resize(size) for frame in shown]
    durations: List[int] = [FRAME_MS] * len(rest) + [LAST_MS]
    animation = {"save_all": True, "append_images": rest, "duration": durations, "loop": 0}
    first.save(os.fspath(path), **{**animation, **options})


def _row(pictures: NDArray[Any]) -> NDArray[Any]:
    """Join the pictures of a batch side by side."""
    return np.concatenate(list(batch_of(pictures)), axis=1)


def _coloured(picture: NDArray[Any], path: PathLike) -> NDArray[Any]:
    """Return a picture H,W,3, or raise ValueError for one of other channels, which no picture file holds."""
    if picture.shape[2] != 3:
        raise ValueError(
            f"{os.fspath(path)!r} cannot hold a picture of {picture.shape[2]} channels: save it as .npz"
        )
    return picture


def _as_bytes(picture: NDArray[Any]) -> NDArray[np.uint8]:
    return np.rint(picture.clip(0, 1) * 255).astype(np.uint8)


def _plain(value: Any) -> Any:
    """Convert a value that JSON does not know: NumPy's scalars and arrays, and mappings."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return repr(value)
