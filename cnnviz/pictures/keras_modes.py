"""The preprocessing of keras.applications: its three modes, and the mode of each application by name."""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping, Optional

#: What stands before the name of a mode or of an application.
PREFIX = "keras:"

#: The arguments of `Preprocessing` for each mode of `preprocess_input`, and for "pixels", 0 to 255, which
#: networks take that scale pictures themselves.
MODES: Dict[str, Mapping[str, Any]] = {
    "caffe": {"channel_order": "BGR", "scale": 255.0, "mean": (103.939, 116.779, 123.68)},
    "tf": {"scale": 255.0, "mean": 127.5, "std": 127.5},
    "torch": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "pixels": {"scale": 255.0},
}
# The margin that the published accuracies leave, as for the other presets.
_CROP = 0.875

# The names that applications give their networks, in lower case without punctuation.
_NETWORKS = (
    (r"vgg(16|19)", "caffe"),
    (r"resnet(50|101|152)v2", "tf"),
    (r"resnet(50|101|152)", "caffe"),
    (r"mobilenetv3(small|large)\w*", "pixels"),
    (r"mobilenet(v2)?\d*", "tf"),
    (r"inceptionv3|inceptionresnetv2|xception|nasnet(mobile|large)?", "tf"),
    (r"densenet(121|169|201)", "torch"),
    (r"efficientnet(b[0-7]|v2b[0-3]|v2[sml])", "pixels"),
    (r"convnext(tiny|small|base|large|xlarge)", "pixels"),
)
# The modules of keras.applications that share no name with a network of theirs.
_MODULES = {
    "resnet": "caffe",
    "resnetv2": "tf",
    "mobilenetv3": "pixels",
    "densenet": "torch",
    "efficientnet": "pixels",
    "efficientnetv2": "pixels",
    "convnext": "pixels",
}
# The pictures of networks built with include_preprocessing=False.
_BARE = ((r"mobilenetv3\w*|efficientnetv2\w*", "tf"), (r"convnext\w*", "torch"))


def mode_of(application: str, *, bare: bool = False) -> Optional[str]:
    """Return the mode of a network of keras.applications, None when the name is none of theirs.

    Parameters
    ----------
    application : str
        As Keras names the network, its class or its module: "vgg16", "ResNet50V2", "mobilenetv2_1.00_224".
    bare : bool
        Whether a network that usually scales pictures itself was built without that.
    """
    plain = _plain(application)
    for pattern, mode in _NETWORKS:
        if re.fullmatch(pattern, plain):
            without = next((other for one, other in _BARE if re.fullmatch(one, plain)), mode)
            return without if bare else mode
    return None


def arguments_of(name: str) -> Dict[str, Any]:
    """Return the arguments of `Preprocessing` for "keras:" and a mode, an application or its module.

    Raises
    ------
    ValueError
        When there is none of that name.
    """
    wanted = name[len(PREFIX) :]
    mode = wanted if wanted in MODES else mode_of(wanted) or _MODULES.get(_plain(wanted))
    if mode is None:
        raise ValueError(
            f"preprocessing {name!r} does not exist: after 'keras:' stands {', '.join(MODES)}, or an "
            "application of Keras such as vgg16"
        )
    return {"crop": _CROP, **MODES[mode], "name": PREFIX + mode}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())
