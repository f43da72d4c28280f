"""The preprocessing and labels that other libraries describe: transforms, configurations, image processors.

They are read by their members, so that none of the libraries is imported.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from cnnviz.pictures.preprocessing import Preprocessing, usual_order

#: A preset's name, a Preprocessing, or another library's description, which has no common type.
RecipeLike = Any

_RESAMPLES = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
# Transforms without effect on the numbers beyond pixels from 0 to 1, which cnnviz makes itself.
_PLAIN = {
    "ToTensor",
    "MaybeToTensor",
    "ToImage",
    "ToImageTensor",
    "PILToTensor",
    "ToPureTensor",
    "ConvertImageDtype",
    "ToDtype",
    "Identity",
}
# The margin of timm's and torchvision's usual evaluation, where a configuration says none.
_CROP = 0.875


def preprocessing_of(given: RecipeLike) -> Any:
    """Return a Preprocessing for another library's description; None, names and Preprocessing as they are.

    Known are Keras' functions ``preprocess_input``, torchvision's and timm's transforms, alone, in a Compose
    or in a list, torchvision's weights and their ``transforms()``, timm's configurations, and the image
    processors of Hugging Face's transformers.

    Raises
    ------
    TypeError, ValueError
        When the description is of none of these kinds, or has a step that cnnviz does not have; the message
        names it.
    """
    if given is None or isinstance(given, (str, Preprocessing)):
        return given
    if getattr(given, "__name__", "") == "preprocess_input":  # of Keras
        return _measured(given)
    if hasattr(given, "transforms") and callable(given.transforms):  # torchvision's weights
        given = given.transforms()
    if hasattr(given, "crop_size") and hasattr(given, "resize_size"):
        return _evaluation(given)
    if hasattr(given, "image_mean") or hasattr(given, "do_rescale"):
        return _processor(given)
    if isinstance(given, Mapping) or hasattr(given, "input_size"):
        return _configuration(given)
    steps = getattr(given, "transforms", given)
    return _composed(list(steps) if isinstance(steps, (list, tuple)) else [steps])


def labels_of(given: Any) -> Any:
    """Return the labels of torchvision's weights or a model's configuration; anything else as it is."""
    meta = getattr(given, "meta", None)
    if isinstance(meta, Mapping) and "categories" in meta:
        return list(meta["categories"])
    by_index = getattr(getattr(given, "config", given), "id2label", None)
    if by_index is None and isinstance(given, Mapping):
        by_index = given.get("id2label", given if given and all(isinstance(k, int) for k in given) else None)
    if isinstance(by_index, Mapping):
        return [str(by_index[key]) for key in sorted(by_index, key=int)]
    return given


def _measured(function: Any) -> Preprocessing:
    """A function of pixels from 0 to 255, N,H,W,3: what it makes of black, red, green, blue and grey ones."""
    pixels = np.zeros((1, 1, 5, 3), np.float32)
    pixels[0, 0, 1:4] = 255 * np.eye(3)
    pixels[0, 0, 4] = 51
    black, *colours, grey = np.asarray(function(pixels.copy()), np.float64).reshape(5, 3)
    slopes = np.stack(colours) - black
    reverse = abs(slopes[0, 2]) > abs(slopes[0, 0])
    slope = np.diag(slopes[:, ::-1] if reverse else slopes)[:: -1 if reverse else 1]
    if min(slope) <= 0 or np.abs(black + slope / 5 - grey).max() > 1e-3 * np.abs(slope).max():
        raise ValueError("preprocess_input is no scaling of each channel: pass a cnnviz.Preprocessing")
    # x = (255 pixel - mean) / std
    std = 255 / slope
    return Preprocessing(
        crop=_CROP,
        channel_order="BGR" if reverse else "RGB",
        scale=255.0,
        mean=_numbers(np.round(-black * std, 4)),
        std=_numbers(np.round(std, 4)),
        name="preprocess_input",
    )


def _evaluation(given: Any) -> Preprocessing:
    """The transforms of torchvision's weights: resize the shorter side, crop the middle."""
    size = _pair(given.crop_size)
    shorter = min(_pair(given.resize_size))
    return Preprocessing(
        size=size,
        crop=min(1.0, min(size) / shorter),
        mean=_numbers(given.mean),
        std=_numbers(given.std),
        resample=_resample(given.interpolation),
        name="torchvision",
    )


def _configuration(given: Any) -> Preprocessing:
    """A configuration of timm: `input_size` is C,H,W."""

    def member(name: str, default: Any) -> Any:
        found = given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)
        return default if found is None else found

    if member("mean", None) is None or member("input_size", None) is None:
        raise TypeError("preprocessing is a mapping without mean and input_size, which timm's have")
    channels, height, width = member("input_size", None)
    if member("crop_mode", "center") == "squash":
        raise ValueError("preprocessing has crop_mode 'squash', which changes proportions: crop the pictures")
    return Preprocessing(
        size=(int(height), int(width)),
        crop=float(member("crop_pct", _CROP)),
        channel_order=usual_order(int(channels)),
        mean=_numbers(member("mean", 0.0)),
        std=_numbers(member("std", 1.0)),
        resample=_resample(member("interpolation", "bicubic")),
        name="timm",
    )


def _processor(given: Any) -> Preprocessing:
    """An image processor of transformers."""

    def does(step: str) -> bool:
        return bool(getattr(given, f"do_{step}", False))

    resized = _side(getattr(given, "size", None)) if does("resize") else None
    cropped = _side(getattr(given, "crop_size", None)) if does("center_crop") else None
    size = cropped or resized
    share = float(getattr(given, "crop_pct", None) or 1.0)
    if size is not None and cropped is not None and resized is not None:
        share = min(1.0, min(cropped) / min(resized))
    factor = getattr(given, "rescale_factor", 1 / 255) if does("rescale") else 1.0
    return Preprocessing(
        size=size,
        crop=share,
        scale=255.0 * float(factor or 1 / 255),
        mean=_numbers(given.image_mean) if does("normalize") else 0.0,
        std=_numbers(given.image_std) if does("normalize") else 1.0,
        resample=_resample(getattr(given, "resample", 2)),
        name="transformers",
    )


def _side(size: Any) -> Optional[Tuple[int, int]]:
    """Height and width of a processor's size, which may be a number, or have a shortest edge alone."""
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return _pair(size["shortest_edge"])
    if isinstance(size, Mapping) and "height" in size:
        return int(size["height"]), int(size["width"])
    return None if size is None or isinstance(size, Mapping) else _pair(size)


def _composed(steps: Sequence[Any]) -> Preprocessing:
    """Transforms in their order."""
    found: Dict[str, Any] = {}
    for step in steps:
        kind = type(step).__name__
        if kind in _STEPS:
            _STEPS[kind](found, step)
        elif kind not in _PLAIN:
            known = ", ".join(sorted((*_STEPS, *_PLAIN)))
            raise TypeError(
                f"preprocessing has the step {kind}: it must be a preset's name, a cnnviz.Preprocessing, or "
                f"transforms of these kinds: {known}"
            )
    resized = found.pop("resized", None)
    if "size" in found and resized is not None:
        found["crop"] = min(1.0, min(found["size"]) / min(resized))
    elif resized is not None:
        found["size"] = resized
    return Preprocessing(**found, name="transforms")


def _resize(found: Dict[str, Any], step: Any) -> None:
    found["resized"] = _pair(step.size)
    found["resample"] = _resample(getattr(step, "interpolation", "bilinear"))


def _center_crop(found: Dict[str, Any], step: Any) -> None:
    found["size"] = _pair(step.size)


def _normalize(found: Dict[str, Any], step: Any) -> None:
    if "mean" in found:
        raise ValueError("preprocessing has two Normalize steps: pass a cnnviz.Preprocessing")
    found["mean"], found["std"] = _numbers(step.mean), _numbers(step.std)


def _grayscale(found: Dict[str, Any], step: Any) -> None:
    if getattr(step, "num_output_channels", 1) != 1:
        raise ValueError("preprocessing turns pictures grey in three channels: pass grey pictures instead")
    found["channel_order"] = "L"


_STEPS: Dict[str, Callable[[Dict[str, Any], Any], None]] = {
    "Resize": _resize,
    "CenterCrop": _center_crop,
    "Normalize": _normalize,
    "Grayscale": _grayscale,
}


def _pair(size: Any) -> Tuple[int, int]:
    """Height and width of a number, or of a list of one or two."""
    numbers: List[int] = [int(n) for n in np.atleast_1d(np.asarray(size)).ravel()]
    return (numbers[0], numbers[-1])


def _numbers(values: Any) -> Union[float, Tuple[float, ...]]:
    """A mean or a deviation: one number, or one for each channel."""
    numbers = tuple(float(n) for n in np.atleast_1d(np.asarray(values, np.float64)).ravel())
    return numbers[0] if len(numbers) == 1 else tuple(round(n, 6) for n in numbers)


def _resample(given: Any) -> str:
    """The name of a filter, given by name, by Pillow's number, or as a member of an enumeration."""
    value = getattr(given, "value", given)
    name = _RESAMPLES.get(int(value), "bilinear") if isinstance(value, (int, np.integer)) else str(value)
    return name if name in _RESAMPLES.values() else "bilinear"
