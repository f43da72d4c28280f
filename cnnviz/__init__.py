"""cnnviz shows what a convolutional network sees.

>>> import cnnviz
>>> model = cnnviz.load("squeezenet1.1.onnx")
>>> model.predict("kitten.png")
>>> cnnviz.saliency(model, "kitten.png").plot()

Everything is imported when it is first used: ``import cnnviz`` by itself loads not even NumPy. The core
chooses its BLAS and kernels when it is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cnnviz._config import get_num_threads, set_num_threads, show_config
    from cnnviz.errors import CnnvizError, ModelFormatError, UnsupportedModelError
    from cnnviz.evaluation import Evaluation, evaluate
    from cnnviz.loading.convert import from_keras, from_torch
    from cnnviz.loading.load import load
    from cnnviz.methods.class_visualization import class_visualization
    from cnnviz.methods.fooling import fooling_image
    from cnnviz.methods.grad_cam import grad_cam
    from cnnviz.methods.guided_backprop import guided_backprop, guided_grad_cam
    from cnnviz.methods.saliency import saliency
    from cnnviz.methods.sanity import SanityCheck, sanity_check
    from cnnviz.methods.style import style_transfer
    from cnnviz.model.gradients import Gradient
    from cnnviz.model.labels import Labels
    from cnnviz.model.model import Model, Prediction
    from cnnviz.pictures.preprocessing import Preprocessing
    from cnnviz.replaying import replay
    from cnnviz.results import Attribution, Synthesis, load_result

# Where each public name lives.
_HOMES = {
    "Attribution": "cnnviz.results",
    "CnnvizError": "cnnviz.errors",
    "Evaluation": "cnnviz.evaluation",
    "Gradient": "cnnviz.model.gradients",
    "Labels": "cnnviz.model.labels",
    "Model": "cnnviz.model.model",
    "ModelFormatError": "cnnviz.errors",
    "Prediction": "cnnviz.model.model",
    "Preprocessing": "cnnviz.pictures.preprocessing",
    "SanityCheck": "cnnviz.methods.sanity",
    "Synthesis": "cnnviz.results",
    "UnsupportedModelError": "cnnviz.errors",
    "class_visualization": "cnnviz.methods.class_visualization",
    "evaluate": "cnnviz.evaluation",
    "fooling_image": "cnnviz.methods.fooling",
    "from_keras": "cnnviz.loading.convert",
    "from_torch": "cnnviz.loading.convert",
    "get_num_threads": "cnnviz._config",
    "grad_cam": "cnnviz.methods.grad_cam",
    "guided_backprop": "cnnviz.methods.guided_backprop",
    "guided_grad_cam": "cnnviz.methods.guided_backprop",
    "load": "cnnviz.loading.load",
    "load_result": "cnnviz.results",
    "replay": "cnnviz.replaying",
    "saliency": "cnnviz.methods.saliency",
    "sanity_check": "cnnviz.methods.sanity",
    "set_num_threads": "cnnviz._config",
    "show_config": "cnnviz._config",
    "style_transfer": "cnnviz.methods.style",
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
    "saliency",
    "sanity_check",
    "set_num_threads",
    "show_config",
    "style_transfer",
    "testing",
]


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
