"""Results in files: ``.npz`` for every number, pictures with the settings that made them, GIF for the way."""

from __future__ import annotations

import base64
import io
import json
import os
import warnings
from dataclasses import fields
from typing import Any, Dict, List, Mapping, Set, Tuple, Type

import numpy as np
from numpy.typing import NDArray

from cnnviz.results import Attribution, PathLike, Result, Synthesis

Arrays = Dict[str, NDArray[Any]]

#: Keywords of the PNG text chunks that carry the settings (JSON) and the sources (a base64 npz archive).
SETTINGS = "cnnviz"
SOURCES = "cnnviz:sources"
#: How long a frame of an animation stays, and the last one, in milliseconds.
FRAME_MS, LAST_MS = 80, 1200

#: Suffixes of pictures that keep every pixel as it is.
LOSSLESS = frozenset((".bmp", ".png", ".ppm", ".tga", ".tif", ".tiff"))

_KINDS = {"Attribution": Attribution, "Synthesis": Synthesis}
_MAPPINGS = ("history", "sources", "memory")


def save(result: Result, path: PathLike, options: Mapping[str, Any]) -> None:
    """Write a result; the kind of file follows from the suffix.

    Raises
    ------
    TypeError, ValueError
        When the options or the suffix do not suit.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix == ".npz":
        if options:
            raise TypeError(f"an .npz file takes no options, but got {', '.join(options)}")
        _save_arrays(result, path)
    elif isinstance(result, Attribution):
        from cnnviz import plot

        metadata = _texts(result.settings, {"image": result.image}) if suffix == ".png" else {}
        plot.save(result, path, metadata=metadata, **options)
    elif suffix == ".gif":
        _save_animation(result, path, options)
    else:
        _save_pixels(result, path, suffix, options)


def check_path(path: PathLike, kind: Type[Result]) -> None:
    """Refuse a path that `save` cannot write a result of this kind to, before it takes the work to make one.

    Raises
    ------
    FileNotFoundError
        When the folder does not exist.
    ValueError
        When there is no suffix, or none of a kind of file that is written.
    """
    name = os.fspath(path)
    folder, suffix = os.path.dirname(name) or ".", os.path.splitext(name)[1].lower()
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder!r} to write {name!r} to")
    if suffix not in _suffixes(kind):
        what = f"nothing is written as {suffix}" if suffix else "the suffix says what kind of file to write"
        raise ValueError(f"{name!r}: {what}; use .png, or .npz for the numbers")


def _suffixes(kind: Type[Result]) -> Set[str]:
    """All that `save` takes."""
    if kind is Attribution:
        from matplotlib.backend_bases import FigureCanvasBase

        return {".npz", *(f".{name}" for name in FigureCanvasBase.get_supported_filetypes())}
    import PIL.Image

    formats = PIL.Image.registered_extensions()  # which first loads what there is
    return {".npz", *(suffix for suffix, name in formats.items() if name in PIL.Image.SAVE)}


def lossy(path: PathLike) -> str:
    """Say why a picture may no longer fool from this kind of file; empty where every pixel is kept."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix in LOSSLESS or suffix in (".npz", ".gif"):  # the latter shows the way, and does not claim more
        return ""
    return f"{suffix} may change the pixels, and with them what fools the network; use .png or .npz"


def load(path: PathLike) -> Result:
    """Read an ``.npz`` that `save` wrote."""
    try:
        with np.load(os.fspath(path), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return _from_parts(json.loads(str(arrays.pop("facts"))), arrays)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"path {os.fspath(path)!r} is not a result saved by cnnviz ({error})") from error


def read_settings(path: PathLike) -> Tuple[Dict[str, Any], Arrays]:
    """Return the settings and sources that a PNG carries.

    Raises
    ------
    FileNotFoundError
    ValueError
        When the file is no PNG, or carries no settings of ours.
    """
    import PIL.Image

    try:
        with PIL.Image.open(os.fspath(path)) as picture:
            texts = {key: value for key, value in picture.info.items() if key in (SETTINGS, SOURCES)}
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"path {os.fspath(path)!r} cannot be read ({error})") from error
    if SETTINGS not in texts:
        raise ValueError(
            f"path {os.fspath(path)!r} carries no settings: it is no PNG that cnnviz saved, or its target "
            "was an objective, which is code and is not stored"
        )
    try:
        packed = base64.b64decode(texts.get(SOURCES, ""))
        sources: Arrays = {}
        if packed:
            with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
                sources = {name: archive[name] for name in archive.files}
        return json.loads(texts[SETTINGS]), sources
    except Exception as error:
        raise ValueError(f"the settings in {os.fspath(path)!r} are damaged ({error})") from error


def _texts(settings: Mapping[str, Any], sources: Mapping[str, NDArray[Any]]) -> Dict[str, str]:
    """Return the text chunks of a PNG; none when there is nothing to replay."""
    if not settings:
        return {}
    texts = {SETTINGS: json.dumps(settings, default=_plain)}
    if sources:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **dict(sources))  # type: ignore[arg-type]
        texts[SOURCES] = base64.b64encode(buffer.getvalue()).decode("ascii")
    return texts


def _save_pixels(result: Synthesis, path: PathLike, suffix: str, options: Mapping[str, Any]) -> None:
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    loss = lossy(path) if result.method == "fooling_image" else ""
    if loss and not options.get("lossless"):
        warnings.warn(loss, stacklevel=5)  # of whoever called `result.save`
    if suffix == ".png" and "pnginfo" not in options:
        info = PngInfo()
        for key, text in _texts(result.settings, result.sources).items():
            info.add_text(key, text)
        options = {**options, "pnginfo": info}
    PIL.Image.fromarray(_as_bytes(_row(result.image))).save(os.fspath(path), **options)


def _save_animation(result: Synthesis, path: PathLike, options: Mapping[str, Any]) -> None:
    import PIL.Image

    frames = [_row(frame) for frame in result.frames]
    if not frames:
        raise ValueError("there are no frames to animate: make the result with keep_every=")
    frames.append(_as_bytes(_row(result.image)))
    size = (frames[-1].shape[1], frames[-1].shape[0])
    first, *rest = [PIL.Image.fromarray(frame).resize(size) for frame in frames]
    durations: List[int] = [FRAME_MS] * len(rest) + [LAST_MS]
    animation = {"save_all": True, "append_images": rest, "duration": durations, "loop": 0}
    first.save(os.fspath(path), **{**animation, **options})


def _row(pictures: NDArray[Any]) -> NDArray[Any]:
    return pictures if pictures.ndim == 3 else np.concatenate(list(pictures), axis=1)


def _as_bytes(picture: NDArray[Any]) -> NDArray[np.uint8]:
    return np.rint(picture.clip(0, 1) * 255).astype(np.uint8)


def _save_arrays(result: Result, path: PathLike) -> None:
    facts: Dict[str, Any] = {"kind": type(result).__name__}
    arrays: Arrays = {}
    for item in fields(result):
        value = getattr(result, item.name)
        if isinstance(value, np.ndarray):
            arrays[item.name] = value
        elif item.name in _MAPPINGS:
            arrays.update({f"{item.name}/{name}": np.asarray(array) for name, array in value.items()})
        elif item.name != "continuation":
            facts[item.name] = value
    arrays["facts"] = np.array(json.dumps(facts, default=_plain))
    with open(path, "wb") as file:  # NumPy would make x.NPZ an x.NPZ.npz
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _from_parts(facts: Dict[str, Any], arrays: Arrays) -> Result:
    kind = _KINDS[facts.pop("kind")]
    if kind is Synthesis:
        for group in _MAPPINGS:
            prefix = f"{group}/"
            facts[group] = {
                name[len(prefix) :]: arrays.pop(name) for name in list(arrays) if name.startswith(prefix)
            }
    else:
        facts["flags"] = tuple(facts["flags"])
    result: Result = kind(**facts, **arrays)
    return result


def _plain(value: Any) -> Any:
    """Let NumPy's scalars and arrays, and mappings, into JSON."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return repr(value)
