"""Reading of pictures: a path, a PIL image or an array becomes an array of pixels, or a clear error."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Iterator, List, Mapping, Protocol, Tuple, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.arrays import as_array
from cnnviz.pictures.kind import COLOUR, SLACK, Displayed, PictureKind, within
from cnnviz.pictures.preprocessed import Preprocessed

if TYPE_CHECKING:
    import PIL.Image

Member = TypeVar("Member", covariant=True)


class Listed(Protocol[Member]):
    """A list or a tuple.

    A str is a Sequence of str, so a checker could not tell one path from a list of paths by that type.
    `__contains__` with any object keeps str out, whose own takes str alone; `index` keeps arrays out.
    """

    def __contains__(self, value: object, /) -> bool: ...
    def __getitem__(self, index: int, /) -> Member: ...
    def __iter__(self) -> Iterator[Member]: ...
    def __len__(self) -> int: ...
    def index(self, value: Any, /) -> int:
        """Return the first position of a value."""


#: One picture: path, PIL image, or array H,W,3 (uint8 0 to 255 or float 0 to 1; grey and RGBA work too). A
#: network of other channels takes H,W,C, and one whose preprocessing states a range takes numbers in it.
ImageLike = Union[
    str, "os.PathLike[str]", "PIL.Image.Image", NDArray[Any], Displayed, Preprocessed, Mapping[str, Any]
]
#: One picture, or a batch: a list of pictures, or an array N,H,W,3. Results for a list are a list. Type
#: checkers cannot tell the two kinds of array apart and take each for one picture: `list(array)` is a batch.
ImagesLike = Union[ImageLike, Listed[ImageLike]]
#: H,W,3, RGB, or H,W,C for other channels: uint8 from 0 to 255, or float32 from 0 to 1.
Pixels = NDArray[Any]

# What to do with an array that is no picture, but the network's input, and with a data loader's batch.
_FED = "; the network's input, preprocessed already, is cnnviz.Preprocessed(array)"
_BATCH = (
    "; a batch of pictures is one array or a list of pictures, and of a data loader's (inputs, targets) the "
    "inputs are cnnviz.Preprocessed(inputs), the targets target"
)


def read_images(
    images: ImagesLike, name: str = "image", kind: PictureKind = COLOUR
) -> Tuple[List[Pixels], bool]:
    """Read one picture or a batch.

    Returns
    -------
    pixels : list of ndarray, each H,W,3, or H,W,C for a kind with channels of its own
    batched : bool
        Whether a list or an N,H,W,C array was given, rather than one picture.
    """
    if hasattr(images, "__array__") and len(getattr(images, "shape", ())) == 4:
        images = as_array(images, name)
    if isinstance(images, np.ndarray) and images.ndim == 4:
        if len(images) == 0:
            raise ValueError(f"{name} is an empty batch: its shape is {images.shape}")
        _check_channels(images.shape, name, kind)
        return [read_image(one, f"{name}[{i}]", kind) for i, one in enumerate(images)], True
    if isinstance(images, (list, tuple)):
        if not images:
            raise ValueError(f"{name} is an empty list")
        return [read_image(one, f"{name}[{i}]", kind) for i, one in enumerate(images)], True
    return [read_image(images, name, kind)], False  # type: ignore[arg-type]


def read_image(image: ImageLike, name: str = "image", kind: PictureKind = COLOUR) -> Pixels:
    """Read one picture as H,W,3 RGB, uint8 from 0 to 255 or float32 from 0 to 1.

    Transparent pictures are laid on white, EXIF orientation is applied, 16-bit grey becomes float. A kind
    with channels of its own makes it H,W,C, a kind with a range float32 from 0 to 1 for the range's ends.

    Raises
    ------
    FileNotFoundError
        When the path does not exist.
    TypeError
        For an object that is no picture, or an array of another dtype.
    ValueError
        For a file that is not a picture, and for arrays of a wrong shape or range, empty ones, and NaN.

    Warns
    -----
    UserWarning
        When a 16-bit picture needs 12 bits or fewer.
    """
    if isinstance(image, Mapping):
        raise TypeError(
            f"{name} gives inputs by name, and a picture is needed here: model.bind binds the others"
        )
    if isinstance(image, Preprocessed):
        raise TypeError(f"{name} is preprocessed already, and a picture is needed here")
    if isinstance(image, Displayed):
        # The picture of a network of one channel is held as grey.
        shown = COLOUR if len(kind.channels) == 1 else kind._replace(range=None)
        return _from_array(image.pixels, name, shown)
    if isinstance(image, (str, os.PathLike)):
        return _from_file(os.fspath(image), name, kind)
    if isinstance(image, np.ndarray):
        return _from_array(image, name, kind)
    if hasattr(image, "getbands") and hasattr(image, "convert"):
        return _from_pil(image, name, kind)
    if hasattr(image, "__array__"):
        return _from_array(as_array(image, name), name, kind)
    raise TypeError(f"{name} must be a path, a PIL image or an array H,W,3, not {type(image).__name__}")


def as_float(pixels: Pixels) -> NDArray[np.float32]:
    """Return pixels as float32 from 0 to 1."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    return pixels.astype(np.float32, copy=False)


def _from_file(path: str, name: str, kind: PictureKind) -> Pixels:
    import PIL.Image

    if os.path.isdir(path):
        raise ValueError(f"{name}: {path!r} is a folder, not a picture")
    try:
        with PIL.Image.open(path) as picture:
            return _from_pil(picture, name, kind)
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: there is no file {path!r}") from None
    except PIL.UnidentifiedImageError:
        raise ValueError(f"{name}: {path!r} is not a picture in a format that Pillow reads") from None
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"{name}: {path!r} cannot be read ({error})") from error


def _from_pil(picture: PIL.Image.Image, name: str, kind: PictureKind) -> Pixels:
    from PIL import ImageOps

    if 0 in picture.size:
        raise ValueError(f"{name} is empty: {picture.width}x{picture.height} pixels")
    upright = ImageOps.exif_transpose(picture) or picture
    if kind.channels:
        return _from_array(np.asarray(upright), name, kind)
    if upright.mode.startswith("I"):
        # Pillow opens 16-bit grey as "I;16" or, in older releases, as 32-bit "I" holding the same numbers.
        numbers = np.asarray(upright)
        deep = numbers if kind.range else numbers.clip(0, 65535).astype(np.uint16)
        return _from_array(deep, name, kind)
    if upright.mode == "F":
        return _from_array(np.asarray(upright), name, kind)
    transparent = "A" in upright.getbands() or "a" in upright.getbands() or "transparency" in upright.info
    if transparent and kind.range is None:
        return _on_white(np.asarray(upright.convert("RGBA")))
    return _from_array(np.asarray(upright.convert("RGB")), name, kind)


def _from_array(array: NDArray[Any], name: str, kind: PictureKind) -> Pixels:
    _check_shape(array, name, kind)
    if kind.range is not None:
        pixels: Pixels = within(array, name, *kind.range)
    elif array.dtype.kind == "f":
        pixels = _checked_floats(array, name)
    elif array.dtype == np.uint16:
        _warn_of_depth(int(array.max()), name)
        pixels = array.astype(np.float32) / np.float32(65535)
    elif array.dtype == np.uint8:
        pixels = array
    else:
        raise TypeError(
            f"{name} has dtype {array.dtype}: it must be uint8 from 0 to 255, uint16, or float from 0 to 1, "
            "or the network's preprocessing must state their range=(low, high)"
        )
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if len(kind.channels) > 1:
        return np.ascontiguousarray(pixels)
    if pixels.shape[2] == 4:
        return _on_white(pixels)
    return np.ascontiguousarray(np.broadcast_to(pixels, pixels.shape[:2] + (3,)))


def _warn_of_depth(largest: int, name: str) -> None:
    """Warn of 16-bit pictures whose numbers need 12 bits or fewer: cameras and scanners store them so."""
    if 255 < largest <= 4095:
        warnings.warn(
            f"{name} is uint16 and spans 0 to {largest}, which is nearly black where white is 65535: if its "
            "numbers end elsewhere, state range=(low, high) in the preprocessing",
            stacklevel=2,
        )


def _check_shape(array: NDArray[Any], name: str, kind: PictureKind) -> None:
    if array.ndim not in ((3,) if len(kind.channels) > 1 else (2, 3)):
        form = "H,W,3 (or H,W for grey, H,W,4 for RGBA)"
        if kind.channels:
            form = f"H,W,{len(kind.channels)}, since the network takes {kind.listed()}"
        fed = _BATCH if array.ndim == 4 else ""
        raise ValueError(f"{name} has shape {array.shape}: it must be {form}{fed}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    _check_channels(array.shape if array.ndim == 3 else (*array.shape, 1), name, kind)


def _check_channels(shape: Tuple[int, ...], name: str, kind: PictureKind) -> None:
    """Raise ValueError unless the last axis of H,W,C or N,H,W,C has as many channels as the kind."""
    allowed = (len(kind.channels),) if kind.channels else (1, 3, 4)
    if shape[-1] in allowed:
        return
    expected = f"the network takes {kind.listed()}" if kind.channels else "1, 3 or 4 of them"
    message = f"{name} has shape {shape}: the last axis must be the channels, {expected}"
    if shape[-3] in allowed:
        axes = "(1, 2, 0)" if len(shape) == 3 else "(0, 2, 3, 1)"
        message += f"; channels come first here, pass {name}.transpose{axes}{_FED}"
    raise ValueError(message)


def _checked_floats(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    pixels = array.astype(np.float32)
    bad = pixels.size - int(np.isfinite(pixels).sum())
    if bad:
        raise ValueError(f"{name} holds NaN or infinity: {bad} of {pixels.size} values")
    low, high = float(pixels.min()), float(pixels.max())
    if low < -SLACK or high > 1 + SLACK:
        raise ValueError(
            f"{name} is float and spans {low:.4g} to {high:.4g}: floats must lie between 0 and 1 "
            "(divide by 255, or pass uint8; do not normalise, the model does that), or the network's "
            f"preprocessing must state their range=(low, high){_FED}"
        )
    return pixels.clip(0, 1)


def _on_white(rgba: Pixels) -> Pixels:
    """Lay RGBA on white, as a viewer shows it: colours under full transparency are arbitrary."""
    colour, alpha = as_float(rgba[..., :3]), as_float(rgba[..., 3:])
    if (alpha == 1).all():
        return np.ascontiguousarray(rgba[..., :3])
    return colour * alpha + (1 - alpha)
