"""Preprocessing of pictures to the network's input, and back: geometry, channels, range, mean and std."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.one_line import times
from cnnviz.pictures.feed import Feed, as_pictures
from cnnviz.pictures.image import ImageLike, ImagesLike, Pixels, as_float, read_image, read_images
from cnnviz.pictures.keras_modes import PREFIX, arguments_of
from cnnviz.pictures.kind import PictureKind, shortlist
from cnnviz.pictures.preprocessed import Fed, Preprocessed, joined
from cnnviz.pictures.signals import read_signals

Array = NDArray[np.float32]
Channels = Tuple[float, ...]
Size = Tuple[int, ...]

_ORDERS = ("RGB", "BGR", "L")
# The distance outside 0 to 1 from which on a preprocessed input is taken for one of another preprocessing.
_UNLIKE = 0.05
_FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")
# ITU-R BT.601, the weights that Pillow's own conversion to grey uses.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _check_channels(order: object) -> None:
    if isinstance(order, str):
        if order not in _ORDERS:
            raise ValueError(
                f"channel_order must be one of {', '.join(_ORDERS)}, a number of channels, or a tuple of "
                f"their names, not {order!r}"
            )
    elif isinstance(order, tuple):
        if not order or not all(isinstance(name, str) for name in order) or len(set(order)) < len(order):
            raise ValueError(f"channel_order must name each channel once, not {order!r}")
    elif isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"channel_order must be a number of channels, or a tuple of names, not {order!r}")


def _check_range(given: object) -> None:
    numbers = _numbers(given) if isinstance(given, tuple) else np.empty(0)
    if numbers.shape != (2,) or not np.isfinite(numbers).all() or numbers[0] >= numbers[1]:
        raise ValueError(
            f"range must be two numbers, the lower one first, in a tuple such as (0, 4095), not {given!r}"
        )


def _check_size(given: object) -> None:
    if given is not None and not (
        isinstance(given, (tuple, list))
        and len(given) in (1, 2, 3)
        and all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in given)
    ):
        raise ValueError(f"size must be positive integers, such as (height, width), not {given!r}")


def _numbers(given: object) -> NDArray[np.float64]:
    """The numbers of an argument; none of them where it holds anything else."""
    try:
        return np.asarray(given if np.asarray(given).dtype.kind in "fiu" else (), np.float64)
    except (TypeError, ValueError):
        return np.empty(0)


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of a network: ``x = (scale * pixel - mean) / std`` with pixels from 0 to 1.

    Attributes
    ----------
    size : (int, int) or None
        Height and width of the network's input; None takes those of the network's file, else 224x224, or
        another size where that does not fit. ``(length,)`` is that of a signal, ``(depth, height, width)``
        that of a volume, which are taken whole.
    crop : float
        The share of the picture's shorter side that is kept: 0.875 is "resize to 256, crop the middle 224".
        A picture of exactly `size` is taken whole, so that a picture that was made for the network comes back
        unchanged.
    channel_order : "RGB", "BGR", "L", int, or tuple of str
        "L" is one channel of luma. For any other channels their number, or their names in the network's
        order: pictures are then arrays H,W,C with the channels in this order.
    scale, mean, std : float or tuple of float
        `mean` and `std` per channel, in the network's channel order, or one number for all.
    resample : {"nearest", "bilinear", "bicubic", "lanczos"}
        The filter; it widens with the reduction, so that reducing does not alias (half-pixel centres).
    name : str
        The name of the preset, for display.
    range : (float, float) or None
        The numbers of the pictures that are shown as black and as white, such as ``(0, 4095)`` for 12 bits
        or ``(-1000, 400)`` for a window of Hounsfield units. Pictures are then arrays of any type of number,
        in their own units, none outside; `scale`, `mean` and `std` refer to these units:
        ``x = (scale * number - mean) / std``. Whatever is said of displayed pixels (bounds, noise, results)
        refers to the range brought to 0 to 1. Without it, pictures are uint8 from 0 to 255, uint16, or floats
        from 0 to 1.
    """

    size: Optional[Size] = None
    crop: float = 1.0
    channel_order: Union[str, int, Tuple[str, ...]] = "RGB"
    scale: float = 1.0
    mean: Union[float, Channels] = 0.0
    std: Union[float, Channels] = 1.0
    resample: str = "bilinear"
    name: str = "custom"
    range: Optional[Tuple[float, float]] = None

    def __post_init__(self) -> None:
        _check_channels(self.channel_order)
        if self.resample not in _FILTERS:
            raise ValueError(f"resample must be one of {', '.join(_FILTERS)}, not {self.resample!r}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must be above 0 and at most 1, not {self.crop}")
        _check_size(self.size)
        for name in ("mean", "std"):
            numbers = np.atleast_1d(_numbers(getattr(self, name)))
            if numbers.shape not in ((1,), (self.channels,)) or not np.isfinite(numbers).all():
                raise ValueError(
                    f"{name} must be one number or {self.channels}, one for each channel of "
                    f"{shortlist(self.channel_names)}, not {getattr(self, name)!r}"
                )
        if _numbers(self.scale).shape != ():
            raise ValueError(f"scale must be a number, not {self.scale!r}")
        if self.scale <= 0 or np.min(self.std) <= 0:
            raise ValueError(f"scale and std must be positive, not {self.scale} and {self.std}")
        if self.range is not None:
            _check_range(self.range)

    @property
    def channels(self) -> int:
        """The number of channels of the network's input."""
        return len(self.channel_names)

    @property
    def channel_names(self) -> Tuple[str, ...]:
        """The names of the channels of the network's input: ("R", "G", "B"), ("L",), or those given."""
        if isinstance(self.channel_order, str):
            return tuple(self.channel_order)
        if isinstance(self.channel_order, tuple):
            return self.channel_order
        return tuple(f"channel {i}" for i in range(self.channel_order))

    @property
    def kind(self) -> PictureKind:
        """The pictures that the network takes."""
        own = self.axes != 2 or not isinstance(self.channel_order, str)
        return PictureKind(self.channel_names if own else (), self.range, self.axes)

    @property
    def axes(self) -> int:
        """The axes of places: 2 for pictures, 1 for signals, 3 for volumes."""
        return 2 if self.size is None else len(self.size)

    @property
    def displayed(self) -> bool:
        """Whether pictures are brought to the scale from 0 to 1, as signals without a range are not."""
        return self.axes == 2 or self.range is not None

    def read(self, images: ImagesLike, name: str = "image") -> Tuple[List[Pixels], bool]:
        """Read one picture or a batch of the network's kind: the pictures, and whether a batch was given."""
        if self.axes != 2:
            return read_signals(images, name, self.kind)
        return read_images(images, name, self.kind)

    def read_one(self, image: ImageLike, name: str = "image") -> Pixels:
        """Read a picture of the network's kind."""
        return read_image(image, name, self.kind)

    def feed_of(self, images: ImagesLike, name: str = "image") -> Fed:
        """Turn pictures, or inputs that are preprocessed already, into the network's input.

        Warns
        -----
        UserWarning
            When a preprocessed input is none that this preprocessing makes of a picture.
        """
        if isinstance(images, (list, tuple)):
            fed = [one for one in images if isinstance(one, Preprocessed)]
            images = joined(fed) if fed and len(fed) == len(images) else images
        if isinstance(images, Preprocessed):
            return self._undone(images, name)
        pictures, many = self.read(images, name)
        fitted = np.stack([self.fit(picture) for picture in pictures])
        return Fed(self.normalise(fitted), fitted, many)

    def _undone(self, given: Preprocessed, name: str) -> Fed:
        x, many = given.batch(self.axes)
        if x.shape[1] != self.channels:
            raise ValueError(
                f"{name} is preprocessed and has {x.shape[1]} channels, the network takes "
                f"{self.channels} ({shortlist(self.channel_names)})"
            )
        pictures = self.inverse(x)
        if not self.displayed:
            return Fed(x, pictures, many, self._makes(pictures, x))
        low, high = float(pictures.min()), float(pictures.max())
        if low < -_UNLIKE or high > 1 + _UNLIKE:
            warnings.warn(
                f"{name} is not what the model's preprocessing makes of a picture ({self.describe()}): "
                f"undone, its pixels span {low:.3g} to {high:.3g}, not 0 to 1. What the network computes is "
                "right, but the picture that is shown is cut off: load the model with the preprocessing of "
                "the data",
                stacklevel=4,
            )
        pictures = pictures.clip(0, 1)
        return Fed(x, pictures, many, self._makes(pictures, x))

    def _makes(self, pictures: Array, x: Array) -> bool:
        """Whether pictures, read again, make the input x: those of another size would be resized."""
        return pictures.shape[1:-1] == self.size and bool(np.array_equal(self.normalise(pictures), x))

    def in_units(self, pictures: Array) -> Array:
        """Return pictures on the displayed scale, such as those of results, in units of the range."""
        if self.range is None:
            return pictures
        low, high = self.range
        return np.asarray(low + (high - low) * np.asarray(pictures, np.float64), dtype=np.float32)

    def __call__(self, pictures: Sequence[Pixels]) -> Array:
        """Turn pictures H,W,3 (or H,W,C) of any sizes into the network's input N,C,H,W."""
        return self.normalise(np.stack([self.fit(picture) for picture in pictures]))

    def fit(self, pixels: Pixels) -> Array:
        """Crop and resize one picture H,W,3 (or H,W,C) to `size`: float32, 0 to 1.

        Signals and volumes must have that size, and keep their numbers.
        """
        size = self._size()
        if pixels.shape[:-1] == size:
            return as_float(pixels)
        if self.axes != 2:
            given = times(pixels.shape[:-1])
            raise ValueError(f"image has size {given}, the network takes {times(size)}: cut or resample it")
        height, width = size
        return _resized(pixels, (height, width), self.crop, self.resample)

    def normalise(self, pixels: Array) -> Array:
        """Turn pictures N,H,W,3 (or N,H,W,C) from 0 to 1 into the network's input N,C,H,W."""
        return self.feed.forward(self.planes(pixels))

    def planes(self, pixels: Array) -> Array:
        """Turn pictures into planes N,C,H,W: red, green and blue, one channel of luma, or their own."""
        planes = np.moveaxis(pixels, -1, 1)
        if self.channels == 1 and self.axes == 2:
            planes = np.einsum("nchw,c->nhw", planes, _LUMA)[:, None]
        return np.ascontiguousarray(planes, dtype=np.float32)

    def inverse(self, x: Array) -> Array:
        """Turn the network's input N,C,H,W back into pictures N,H,W,3 (or N,H,W,C) on the scale from 0 to 1.

        The inverse of `normalise` up to float rounding; values outside 0 to 1 are kept, and the caller clips
        them. The luma of a grey network comes back in all three channels.
        """
        return as_pictures(self.feed.inverse(x))

    def scale_gradient(self, dx: Array) -> Array:
        """Turn d/dx, N,C,H,W, into the gradient per unit of displayed pixel (0 to 1), shaped alike."""
        return np.ascontiguousarray(dx * self.feed.slope.reshape(-1, *(1,) * (dx.ndim - 2)), dtype=np.float32)

    def bounds(self) -> Tuple[Array, Array]:
        """Return the network's inputs for pixels 0 and 1, per channel, each of shape (1, C, 1, 1)."""
        return self.feed.bounds()

    @cached_property
    def feed(self) -> Feed:
        """The map from planes to the network's input."""
        mean, std = (self._per_channel(numbers) for numbers in (self.mean, self.std))
        scale = float(self.scale)
        if self.range is not None:  # a plane from 0 to 1 is the number low + (high - low) * plane
            low, high = self.range
            mean, scale = tuple(one - scale * low for one in mean), scale * (high - low)
        return Feed(scale, mean, std, reverse=self.channel_order == "BGR")

    def describe(self) -> str:
        """Describe the preprocessing in one line."""
        size = times(self.size) if self.size else "the network's size"
        order = self.channel_order if isinstance(self.channel_order, str) else self.kind.listed()
        pixel = "pixel" if self.range is None and self.axes == 2 else "number"
        spans = "" if self.range is None else f", numbers from {self.range[0]:g} to {self.range[1]:g}"
        return f"{self.name}: {order} at {size}, ({self.scale:g}*{pixel} - {self.mean}) / {self.std}{spans}"

    def _size(self) -> Size:
        if self.size is None:
            raise ValueError("preprocessing.size is not set: a model sets it, or use dataclasses.replace")
        return self.size

    def _per_channel(self, numbers: Union[float, Channels]) -> Channels:
        return tuple(np.broadcast_to(np.asarray(numbers, np.float64), (self.channels,)).tolist())


#: The conventions that published networks were trained with.
PRESETS: Dict[str, Preprocessing] = {
    # torchvision and the ONNX zoo's MXNet exports
    "imagenet": Preprocessing(
        crop=0.875, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), name="imagenet"
    ),
    # Caffe's mean colour of ILSVRC-2012, blue first
    "caffe": Preprocessing(
        crop=0.875, channel_order="BGR", scale=255.0, mean=(104.0, 117.0, 123.0), name="caffe"
    ),
    # TensorFlow-slim's Inception preprocessing: -1 to 1
    "tf": Preprocessing(crop=0.875, scale=255.0, mean=127.5, std=127.5, name="tf"),
    "unit": Preprocessing(name="unit"),
}

PreprocessingLike = Union[None, str, Preprocessing]


def as_preprocessing(preprocessing: PreprocessingLike, channels: int, size: Size) -> Preprocessing:
    """Resolve a preset's name, and fill in the size, for a network with `channels` input channels.

    None stands for "imagenet" for three channels, for "unit" for any other number, and for signals and
    volumes. Pictures as small as
    CIFAR's (up to 64 pixels) are taken whole: their networks were trained without the customary margin.
    """
    if preprocessing is None:
        preprocessing = "imagenet" if channels == 3 and len(size) == 2 else "unit"
    if isinstance(preprocessing, str):
        preprocessing = _preset(preprocessing, channels, size)
    elif not isinstance(preprocessing, Preprocessing):
        raise _not_preprocessing(preprocessing)
    if preprocessing.channels != channels:
        names = shortlist(preprocessing.channel_names)
        raise ValueError(
            f"preprocessing feeds {preprocessing.channels} channels ({names}), the network takes {channels}: "
            f"pass a cnnviz.Preprocessing with {_order_of(channels)}, and mean and std for these"
        )
    return preprocessing if preprocessing.size else replace(preprocessing, size=size)


def usual_order(channels: int) -> Union[str, int]:
    """Return the order of a number of channels of which no more is known: grey, colour, or their number."""
    return {1: "L", 3: "RGB"}.get(channels, channels)


def _order_of(channels: int) -> str:
    order = usual_order(channels)
    return f"channel_order={order!r}" + ("" if isinstance(order, str) else ", or a tuple of their names")


def _preset(name: str, channels: int, size: Size) -> Preprocessing:
    if name.startswith(PREFIX):
        preset = Preprocessing(**arguments_of(name))
    elif name in PRESETS:
        preset = PRESETS[name]
    else:
        known = f"{', '.join(PRESETS)}, or keras: and a mode or an application of Keras"
        raise ValueError(f"preprocessing must be one of {known}, not {name!r}")
    if max(size) <= 64:
        preset = replace(preset, crop=1.0)
    if len(size) != 2 and np.ndim(preset.mean) == 0:
        return replace(preset, channel_order=channels, size=size)
    if channels != 3 and np.ndim(preset.mean) == 0:
        preset = replace(preset, channel_order=usual_order(channels))
    return preset


def _not_preprocessing(value: object) -> TypeError:
    kind = type(value).__name__
    return TypeError(f"preprocessing must be a preset's name or a cnnviz.Preprocessing, not {kind}")


def _resized(pixels: Pixels, size: Tuple[int, int], crop: float, resample: str) -> Array:
    """Resize the middle of H,W,C, one channel at a time, in float, so that no step rounds to uint8."""
    import PIL.Image

    quality = PIL.Image.Resampling[resample.upper()]
    box = _crop_box(pixels.shape[:2], size, crop)
    planes: List[Array] = []
    for c in range(pixels.shape[2]):
        plane = PIL.Image.fromarray(as_float(pixels[:, :, c]))
        planes.append(np.asarray(plane.resize((size[1], size[0]), quality, box=box)))
    return np.stack(planes, axis=2).clip(0, 1)


def _crop_box(shape: Sequence[int], size: Tuple[int, int], crop: float) -> Tuple[float, float, float, float]:
    """Return the largest centred box of `size`'s proportions, shrunk to `crop`: left, top, right, bottom."""
    height, width = shape
    zoom = crop * min(height / size[0], width / size[1])
    rows, columns = zoom * size[0], zoom * size[1]
    top, left = max((height - rows) / 2, 0.0), max((width - columns) / 2, 0.0)
    return left, top, min(left + columns, float(width)), min(top + rows, float(height))
