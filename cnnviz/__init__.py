"""cnnviz shows what a convolutional network sees.

>>> import cnnviz
>>> model = cnnviz.load("squeezenet1.1.onnx")
>>> model.predict("kitten.png")
>>> cnnviz.saliency(model, "kitten.png").plot()

Each name is imported when it is first used, so that ``import cnnviz`` loads not even NumPy. The core chooses
its BLAS and its kernels when it is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

from cnnviz._version import __version__ as __version__

if TYPE_CHECKING:
    from cnnviz import bundled, objectives, plot, testing
    from cnnviz._config import get_num_threads, set_num_threads, show_config
    from cnnviz.attribution.grad_cam import grad_cam
    from cnnviz.attribution.guided_backprop import guided_backprop, guided_grad_cam
    from cnnviz.attribution.saliency import saliency
    from cnnviz.attribution.sanity import SanityCheck, sanity_check
    from cnnviz.errors import CnnvizError, ModelFormatError, UnsupportedModelError
    from cnnviz.evaluation.pointing import Evaluation, evaluate
    from cnnviz.loading.convert import from_keras, from_torch
    from cnnviz.loading.load import load
    from cnnviz.model.answers import Prediction
    from cnnviz.model.gradients import Gradient
    from cnnviz.model.labels import Labels
    from cnnviz.model.model import Model
    from cnnviz.pictures.preprocessed import Preprocessed
    from cnnviz.pictures.preprocessing import Preprocessing
    from cnnviz.replaying import load_result, replay, resume
    from cnnviz.results.results import Attribution, Synthesis
    from cnnviz.synthesis.class_visualization import class_visualization
    from cnnviz.synthesis.fooling import fooling_image
    from cnnviz.synthesis.style import style_transfer

# The module of each public name.
_HOMES = {
    "Attribution": "cnnviz.results.results",
    "CnnvizError": "cnnviz.errors",
    "Evaluation": "cnnviz.evaluation.pointing",
    "Gradient": "cnnviz.model.gradients",
    "Labels": "cnnviz.model.labels",
    "Model": "cnnviz.model.model",
    "ModelFormatError": "cnnviz.errors",
    "Prediction": "cnnviz.model.answers",
    "Preprocessed": "cnnviz.pictures.preprocessed",
    "Preprocessing": "cnnviz.pictures.preprocessing",
    "SanityCheck": "cnnviz.attribution.sanity",
    "Synthesis": "cnnviz.results.results",
    "UnsupportedModelError": "cnnviz.errors",
    "class_visualization": "cnnviz.synthesis.class_visualization",
    "evaluate": "cnnviz.evaluation.pointing",
    "fooling_image": "cnnviz.synthesis.fooling",
    "from_keras": "cnnviz.loading.convert",
    "from_torch": "cnnviz.loading.convert",
    "get_num_threads": "cnnviz._config",
    "grad_cam": "cnnviz.attribution.grad_cam",
    "guided_backprop": "cnnviz.attribution.guided_backprop",
    "guided_grad_cam": "cnnviz.attribution.guided_backprop",
    "load": "cnnviz.loading.load",
    "load_result": "cnnviz.replaying",
    "replay": "cnnviz.replaying",
    "resume": "cnnviz.replaying",
    "saliency": "cnnviz.attribution.saliency",
    "sanity_check": "cnnviz.attribution.sanity",
    "set_num_threads": "cnnviz._config",
    "show_config": "cnnviz._config",
    "style_transfer": "cnnviz.synthesis.style",
}
_MODULES = frozenset(["bundled", "objectives", "plot", "testing"])

__all__ = [
    "Attribution",
    "CnnvizError",
    "Evaluation",
    "Gradient",
    "Labels",
    "Model",
    "ModelFormatError",
    "Prediction",
    "Preprocessed",
    "Preprocessing",
    "SanityCheck",
    "Synthesis",
    "UnsupportedModelError",
    "__version__",
    "bundled",
    "class_visualization",
    "evaluate",
    "fooling_image",
    "from_keras",
    "from_torch",
    "get_num_threads",
    "grad_cam",
    "guided_backprop",
    "guided_grad_cam",
    "load",
    "load_result",
    "objectives",
    "plot",
    "replay",
    "resume",
    "saliency",
    "sanity_check",
    "set_num_threads",
    "show_config",
    "style_transfer",
    "testing",
]


if not TYPE_CHECKING:  # a type checker that saw this function would take any misspelt name

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            value = importlib.import_module(f"cnnviz.{name}")
        elif name in _HOMES:
            value = getattr(importlib.import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module 'cnnviz' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
