"""Assertions about networks and their explanations, for your own test suite.

A failing assertion reports the numbers, saves a picture in the folder ``cnnviz-failures`` and names its path.
For pytest there are also fixtures: ``cnnviz_model`` (`cnnviz.load()`), ``cnnviz_pictures`` (drawn pictures
with their masks) and ``cnnviz_stored``; ``--cnnviz-failures DIR`` moves the folder.

A prediction holds, by a margin, and survives small changes::

    from cnnviz.testing import assert_prediction

    def test_the_kitten_is_a_tabby(model):
        assert_prediction(model, "kitten.png", "tabby", margin=1.0, changes=["noise", "blur", "mirror"])

An attribution points into a box or a mask, so the network looks at the object and not at a watermark::

    def test_it_looks_at_the_kitten(model):
        assert_points_into(cnnviz.grad_cam(model, "kitten.png"), (30, 20, 200, 190), min_share=0.6)

An attribution has not drifted from the one that ``pytest --cnnviz-update`` stored beside the test::

    def test_saliency_is_what_it_was(model, cnnviz_stored):
        cnnviz_stored(cnnviz.saliency(model, "kitten.png"), min_rank_correlation=0.98)

A gradient is a derivative, by finite differences or by another framework::

    def test_gradients(model):
        assert_gradient_agrees(model, "kitten.png")
        assert_gradient_agrees(model, "kitten.png", "tabby", reference=gradient_by_torch, rtol=1e-3)

An export agrees with its original::

    def test_export(model):
        assert_models_agree(model, lambda x: net(torch.from_numpy(x)).detach().numpy(), pictures)

The masks of the fixtures are known, so a technique of your own can be held to them::

    def test_my_attribution_points(cnnviz_model, cnnviz_pictures):
        drawn = cnnviz_pictures
        for picture, name, box in zip(drawn.images, drawn.names, drawn.boxes):
            assert_points_into(my_attribution(cnnviz_model, picture, name), box, min_share=0.3)

Where a limit should lie depends on the network: measure it on pictures you trust, and leave some room.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from .attributions import assert_points_into, assert_unchanged
    from .gradients import assert_gradient_agrees
    from .predictions import CHANGES, assert_models_agree, assert_prediction

# Each pytest run imports this package for its plugin; the assertions are loaded when they are used.
_HOMES = {
    "CHANGES": "predictions",
    "assert_gradient_agrees": "gradients",
    "assert_models_agree": "predictions",
    "assert_points_into": "attributions",
    "assert_prediction": "predictions",
    "assert_unchanged": "attributions",
}

__all__ = [
    "CHANGES",
    "assert_gradient_agrees",
    "assert_models_agree",
    "assert_points_into",
    "assert_prediction",
    "assert_unchanged",
]


if not TYPE_CHECKING:  # a type checker that saw this function would take any misspelt name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'cnnviz.testing' has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
