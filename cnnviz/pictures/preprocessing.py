"""Preprocessing of pictures to the network's input, and back: geometry, channels, range, mean and std."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.feed import Feed
from cnnviz.pictures.image import Pixels, as_float

Array = NDArray[np.float32]
Channels = Tuple[float, ...]

_ORDERS = {"RGB": 3, "BGR": 3, "L": 1}
_FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")
# ITU-R BT.601, the weights that Pillow's own conversion to grey uses.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of a network: ``x = (scale * pixel - mean) / std`` with pixels from 0 to 1.

    Attributes
    ----------
    size : (int, int) or None
        Height and width of the network's input; None takes those of the network's file, else 224x224, or
        another size where that does not fit.
    crop : float
        The share of the picture's shorter side that is kept: 0.875 is "resize to 256, crop the middle 224".
        A picture of exactly `size` is taken whole, so that a picture that was made for the network comes back
        unchanged.
    channel_order : {"RGB", "BGR", "L"}
        "L" is one channel of luma.
    scale, mean, std : float or tuple of float
        `mean` and `std` per channel, in the network's channel order, or one number for all.
    resample : {"nearest", "bilinear", "bicubic", "lanczos"}
        The filter; it widens with the reduction, so that reducing does not alias (half-pixel centres).
    name : str
        The name of the preset, for display.
    """

    size: Optional[Tuple[int, int]] = None
    crop: float = 1.0
    channel_order: str = "RGB"
    scale: float = 1.0
    mean: Union[float, Channels] = 0.0
    std: Union[float, Channels] = 1.0
    resample: str = "bilinear"
    name: str = "custom"

    def __post_init__(self) -> None:
        if self.channel_order not in _ORDERS:
            raise ValueError(f"channel_order must be one of {', '.join(_ORDERS)}, not {self.channel_order!r}")
        if self.resample not in _FILTERS:
            raise ValueError(f"resample must be one of {', '.join(_FILTERS)}, not {self.resample!r}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must be above 0 and at most 1, not {self.crop}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"size must be two positive integers, height and width, not {self.size}")
        for name in ("mean", "std"):
            numbers = np.atleast_1d(getattr(self, name))
            if numbers.shape not in ((1,), (self.channels,)) or not np.isfinite(numbers).all():
                raise ValueError(f"{name} must be one number or {self.channels}, not {getattr(self, name)}")
        if self.scale <= 0 or np.min(self.std) <= 0:
            raise ValueError(f"scale and std must be positive, not {self.scale} and {self.std}")

    @property
    def channels(self) -> int:
        """The number of channels of the network's input."""
        return _ORDERS[self.channel_order]

    def __call__(self, pictures: Sequence[Pixels]) -> Array:
        """Turn pictures H,W,3 of any sizes into the network's input N,C,H,W."""
        return self.normalise(np.stack([self.fit(picture) for picture in pictures]))

    def fit(self, pixels: Pixels) -> Array:
        """Crop and resize one picture H,W,3 to `size`: float32, RGB, 0 to 1."""
        height, width = self._size()
        if pixels.shape[:2] == (height, width):
            return as_float(pixels)
        return _resized(pixels, (height, width), self.crop, self.resample)

    def normalise(self, pixels: Array) -> Array:
        """Turn pictures N,H,W,3, RGB from 0 to 1, into the network's input N,C,H,W."""
        return self.feed.forward(self.planes(pixels))

    def planes(self, pixels: Array) -> Array:
        """Turn pictures N,H,W,3 into planes N,C,H,W: red, green and blue, or one channel of luma."""
        planes = np.moveaxis(pixels, 3, 1)
        if self.channel_order == "L":
            planes = np.einsum("nchw,c->nhw", planes, _LUMA)[:, None]
        return np.ascontiguousarray(planes, dtype=np.float32)

    def inverse(self, x: Array) -> Array:
        """Turn the network's input N,C,H,W back into pictures N,H,W,3, RGB, on the scale from 0 to 1.

        The inverse of `normalise` up to float rounding; values outside 0 to 1 are kept, and the caller clips
        them. The luma of a grey network comes back in all three channels.
        """
        planes = self.feed.inverse(x)
        colours = np.repeat(planes, 3, axis=1) if planes.shape[1] == 1 else planes
        return np.ascontiguousarray(np.moveaxis(colours, 1, 3))

    def scale_gradient(self, dx: Array) -> Array:
        """Turn d/dx, N,C,H,W, into the gradient per unit of displayed pixel (0 to 1), shaped alike."""
        return np.ascontiguousarray(dx * self.feed.slope.reshape(1, -1, 1, 1), dtype=np.float32)

    def bounds(self) -> Tuple[Array, Array]:
        """Return the network's inputs for pixels 0 and 1, per channel, each of shape (1, C, 1, 1)."""
        return self.feed.bounds()

    @cached_property
    def feed(self) -> Feed:
        """The map from planes to the network's input."""
        mean, std = (self._per_channel(numbers) for numbers in (self.mean, self.std))
        return Feed(float(self.scale), mean, std, reverse=self.channel_order == "BGR")

    def describe(self) -> str:
        """Describe the preprocessing in one line."""
        height, width = self.size or (0, 0)
        size = f"{height}x{width}" if self.size else "the network's size"
        return (
            f"{self.name}: {self.channel_order} at {size}, ({self.scale:g}*pixel - {self.mean}) / {self.std}"
        )

    def _size(self) -> Tuple[int, int]:
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


def as_preprocessing(preprocessing: PreprocessingLike, channels: int, size: Tuple[int, int]) -> Preprocessing:
    """Resolve a preset's name, and fill in the size, for a network with `channels` input channels.

    None stands for "imagenet" (for "unit" in grey, where the network has one channel). Pictures as small as
    CIFAR's (up to 64 pixels) are taken whole: their networks were trained without the customary margin.
    """
    if preprocessing is None:
        preprocessing = "unit" if channels == 1 else "imagenet"
    if isinstance(preprocessing, str):
        preprocessing = _preset(preprocessing, channels, size)
    elif not isinstance(preprocessing, Preprocessing):
        raise _not_preprocessing(preprocessing)
    if preprocessing.channels != channels:
        raise ValueError(
            f"preprocessing feeds {preprocessing.channels} channels ({preprocessing.channel_order}), "
            f"the network takes {channels}"
        )
    return preprocessing if preprocessing.size else replace(preprocessing, size=size)


def _preset(name: str, channels: int, size: Tuple[int, int]) -> Preprocessing:
    if name not in PRESETS:
        raise ValueError(f"preprocessing must be one of {', '.join(PRESETS)}, not {name!r}")
    preset = PRESETS[name]
    if max(size) <= 64:
        preset = replace(preset, crop=1.0)
    if channels == 1 and np.ndim(preset.mean) == 0:
        preset = replace(preset, channel_order="L")
    return preset


def _not_preprocessing(value: object) -> TypeError:
    kind = type(value).__name__
    return TypeError(f"preprocessing must be a preset's name or a cnnviz.Preprocessing, not {kind}")


def _resized(pixels: Pixels, size: Tuple[int, int], crop: float, resample: str) -> Array:
    """Resize the middle of H,W,3, one channel at a time, in float, so that no step rounds to uint8."""
    import PIL.Image

    quality = PIL.Image.Resampling[resample.upper()]
    box = _crop_box(pixels.shape[:2], size, crop)
    planes: List[Array] = []
    for c in range(3):
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
