"""Reading of pictures: a path, a PIL image or an array becomes an RGB array, or a clear error."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Iterator, List, Protocol, Tuple, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

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


#: One picture: path, PIL image, or array H,W,3 (uint8 0 to 255 or float 0 to 1; grey and RGBA work too).
ImageLike = Union[str, "os.PathLike[str]", "PIL.Image.Image", NDArray[Any]]
#: One picture, or a batch: a list of pictures, or an array N,H,W,3. Results for a list are a list. Type
#: checkers cannot tell the two kinds of array apart and take each for one picture: `list(array)` is a batch.
ImagesLike = Union[ImageLike, Listed[ImageLike]]
#: H,W,3, RGB: uint8 from 0 to 255, or float32 from 0 to 1.
Pixels = NDArray[Any]

# The distance outside 0 to 1 up to which a float is taken for a rounding error.
_SLACK = 1e-4


def read_images(images: ImagesLike, name: str = "image") -> Tuple[List[Pixels], bool]:
    """Read one picture or a batch.

    Returns
    -------
    pixels : list of ndarray, each H,W,3
    batched : bool
        Whether a list or an N,H,W,C array was given, rather than one picture.
    """
    if isinstance(images, np.ndarray) and images.ndim == 4:
        if len(images) == 0:
            raise ValueError(f"{name} is an empty batch: its shape is {images.shape}")
        if images.shape[-1] not in (1, 3, 4):
            raise ValueError(_channels_message(images.shape, name, "(0, 2, 3, 1)"))
        return [read_image(one, f"{name}[{i}]") for i, one in enumerate(images)], True
    if isinstance(images, (list, tuple)):
        if not images:
            raise ValueError(f"{name} is an empty list")
        return [read_image(one, f"{name}[{i}]") for i, one in enumerate(images)], True
    return [read_image(images, name)], False  # type: ignore[arg-type]


def read_image(image: ImageLike, name: str = "image") -> Pixels:
    """Read one picture as H,W,3 RGB, uint8 from 0 to 255 or float32 from 0 to 1.

    Transparent pictures are laid on white, EXIF orientation is applied, 16-bit grey becomes float.

    Raises
    ------
    FileNotFoundError
        When the path does not exist.
    TypeError
        For an object that is no picture, or an array of another dtype.
    ValueError
        For a file that is not a picture, and for arrays of a wrong shape or range, empty ones, and NaN.
    """
    if isinstance(image, (str, os.PathLike)):
        return _from_file(os.fspath(image), name)
    if isinstance(image, np.ndarray):
        return _from_array(image, name)
    if hasattr(image, "getbands") and hasattr(image, "convert"):
        return _from_pil(image, name)
    if hasattr(image, "__array__"):
        return _from_array(np.asarray(image), name)
    raise TypeError(f"{name} must be a path, a PIL image or an array H,W,3, not {type(image).__name__}")


def as_float(pixels: Pixels) -> NDArray[np.float32]:
    """Return pixels as float32 from 0 to 1."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    return pixels.astype(np.float32, copy=False)


def _from_file(path: str, name: str) -> Pixels:
    import PIL.Image

    if os.path.isdir(path):
        raise ValueError(f"{name}: {path!r} is a folder, not a picture")
    try:
        with PIL.Image.open(path) as picture:
            return _from_pil(picture, name)
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: there is no file {path!r}") from None
    except PIL.UnidentifiedImageError:
        raise ValueError(f"{name}: {path!r} is not a picture in a format that Pillow reads") from None
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"{name}: {path!r} cannot be read ({error})") from error


def _from_pil(picture: PIL.Image.Image, name: str) -> Pixels:
    from PIL import ImageOps

    if 0 in picture.size:
        raise ValueError(f"{name} is empty: {picture.width}x{picture.height} pixels")
    upright = ImageOps.exif_transpose(picture) or picture
    if upright.mode.startswith("I"):
        # Pillow opens 16-bit grey as "I;16" or, in older releases, as 32-bit "I" holding the same numbers.
        return _from_array(np.asarray(upright).clip(0, 65535).astype(np.uint16), name)
    if upright.mode == "F":
        return _from_array(np.asarray(upright), name)
    transparent = "A" in upright.getbands() or "a" in upright.getbands() or "transparency" in upright.info
    if transparent:
        return _on_white(np.asarray(upright.convert("RGBA")))
    return np.asarray(upright.convert("RGB"))


def _from_array(array: NDArray[Any], name: str) -> Pixels:
    _check_shape(array, name)
    if array.dtype.kind == "f":
        pixels = _checked_floats(array, name)
    elif array.dtype == np.uint16:
        pixels = array.astype(np.float32) / np.float32(65535)
    elif array.dtype == np.uint8:
        pixels = array
    else:
        raise TypeError(
            f"{name} has dtype {array.dtype}: it must be uint8 from 0 to 255, uint16, or float from 0 to 1"
        )
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 4:
        return _on_white(pixels)
    return np.ascontiguousarray(np.broadcast_to(pixels, pixels.shape[:2] + (3,)))


def _check_shape(array: NDArray[Any], name: str) -> None:
    if array.ndim not in (2, 3):
        raise ValueError(
            f"{name} has shape {array.shape}: it must be H,W,3 (or H,W for grey, H,W,4 for RGBA)"
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise ValueError(_channels_message(array.shape, name, "(1, 2, 0)"))


def _channels_message(shape: Tuple[int, ...], name: str, axes: str) -> str:
    message = f"{name} has shape {shape}: the last axis must be the channels, 1, 3 or 4 of them"
    if shape[-3] in (1, 3, 4):
        message += f"; channels come first here, pass {name}.transpose{axes}"
    return message


def _checked_floats(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    pixels = array.astype(np.float32)
    bad = pixels.size - int(np.isfinite(pixels).sum())
    if bad:
        raise ValueError(f"{name} holds NaN or infinity: {bad} of {pixels.size} values")
    low, high = float(pixels.min()), float(pixels.max())
    if low < -_SLACK or high > 1 + _SLACK:
        raise ValueError(
            f"{name} is float and spans {low:.4g} to {high:.4g}: floats must lie between 0 and 1 "
            "(divide by 255, or pass uint8; do not normalise, the model does that)"
        )
    return pixels.clip(0, 1)


def _on_white(rgba: Pixels) -> Pixels:
    """Lay RGBA on white, as a viewer shows it: colours under full transparency are arbitrary."""
    colour, alpha = as_float(rgba[..., :3]), as_float(rgba[..., 3:])
    if (alpha == 1).all():
        return np.ascontiguousarray(rgba[..., :3])
    return colour * alpha + (1 - alpha)
