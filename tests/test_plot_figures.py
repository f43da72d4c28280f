"""Figures of several pictures: right panels, shared scales, given axes, nothing left open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from cnnviz import plot
from cnnviz.results import Attribution, Synthesis

RNG = np.random.default_rng(0)
BEFORE = RNG.integers(0, 200, (1, 6, 8, 3), dtype=np.uint8)
AFTER = (BEFORE[0] / 255 + 0.01).astype(np.float32)
REPORT = {
    "original_label": "cat",
    "original_confidence": 0.8,
    "original_confidence_after": 0.1,
    "predicted_label": "toaster",
    "confidence": 0.7,
    "target": 859,
    "target_label": "toaster",
    "target_confidence": 0.7,
    "l2": 0.12,
    "linf": 0.01,
}
FOOLING = Synthesis(
    AFTER,
    AFTER,
    {"value": np.arange(4.0), "probability": np.array([0.25, 0.4, 0.6, 0.7])},
    "fooling_image",
    report=REPORT,
    sources={"image": BEFORE},
)
STYLE = replace(
    FOOLING, method="style_transfer", sources={"content": BEFORE, "style0": BEFORE, "style1": BEFORE[:, :4]}
)
CLASSES = replace(
    FOOLING,
    image=np.stack([AFTER, AFTER]),
    method="class_visualization",
    sources={},
    report={"label": ["a", "b"]},
)


def attribution(scale: float) -> Attribution:
    values = np.full((6, 8), scale, np.float32)
    return Attribution(values, values, AFTER, "saliency", 1, "cat", 2.0)


@pytest.mark.parametrize("columns", [2, 4, 8])
def test_titles_stay_over_their_own_panel(no_figures_left: None, columns: int) -> None:
    long = replace(attribution(1.0), label="Staffordshire bullterrier, a dog of many words")
    figure = plot.grid([long] * columns, columns=columns, figure=Figure(figsize=(3 * columns, 3)))
    figure.draw_without_rendering()
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert len(panels) == columns
    for left, right in zip(panels, panels[1:]):
        assert left.title.get_window_extent().x1 < right.title.get_window_extent().x0


def test_a_fooling_image_comes_with_its_original_difference_and_confidences(no_figures_left: None) -> None:
    figure = plot.fooling(FOOLING, figure=Figure(figsize=(12, 3)))
    panels = figure.axes
    assert [ax.get_title() for ax in panels[:3]] == ["cat, 80%", "toaster, 70%", "difference x 50"]
    shown = np.asarray(panels[2].images[0].get_array())
    np.testing.assert_allclose(shown, 1.0, atol=2e-3)
    assert "3/255" in panels[2].texts[0].get_text()
    assert [bar.get_width() for bar in panels[3].patches] == [0.8, 0.25, 0.1, 0.7]
    assert [label.get_text() for label in panels[3].get_yticklabels()] == ["cat", "toaster"]


def test_the_factor_can_be_given() -> None:
    figure = plot.fooling(FOOLING, figure=Figure(), factor=10)
    np.testing.assert_allclose(np.asarray(figure.axes[2].images[0].get_array()), 0.6, atol=2e-3)


def test_a_batch_of_fooling_images_has_a_row_each() -> None:
    report = {name: [value, value] for name, value in REPORT.items()}
    history = {"probability": np.full((4, 2), 0.25)}
    batch = replace(FOOLING, image=np.stack([AFTER, AFTER]), report=report, history=history)
    assert len(plot.fooling(batch, figure=Figure()).axes) == 8


def test_without_its_original_there_is_no_difference() -> None:
    with pytest.raises(ValueError, match="did not start from a picture"):
        plot.fooling(replace(FOOLING, sources={}))


def test_style_comes_with_content_and_styles() -> None:
    figure = plot.style(STYLE, figure=Figure())
    assert [ax.get_title() for ax in figure.axes] == ["content", "style", "style", "result"]


@pytest.mark.parametrize("result", [FOOLING, STYLE, CLASSES], ids=lambda result: result.method)
def test_results_draw_themselves_on_given_axes_and_in_notebooks(
    result: Synthesis, no_figures_left: None
) -> None:
    ax = Figure().add_subplot()
    assert result.plot(ax=ax) is ax
    assert len(ax.images) == 1
    assert result._repr_png_().startswith(b"\x89PNG")


def test_plot_without_axes_opens_the_composite() -> None:
    import matplotlib.pyplot as plt

    figure = FOOLING.plot()
    assert len(figure.axes) == 4
    plt.close(figure)


def test_history_draws_a_line_for_each_term() -> None:
    ax = plot.history(FOOLING, ax=Figure().add_subplot())
    assert [line.get_label() for line in ax.lines] == ["value", "probability"]
    assert ax.get_yscale() == "linear"
    falling = replace(FOOLING, history={"loss": np.array([100.0, 10.0, 1.0])})
    assert plot.history(falling, ax=Figure().add_subplot()).get_yscale() == "log"


def test_a_grid_holds_results_and_pictures_on_one_scale() -> None:
    results: Any = [attribution(1.0), attribution(4.0), CLASSES, BEFORE[0]]
    figure = plot.grid(results, columns=2, titles=list("abcd"), share_scale=True, figure=Figure())
    maps = [ax for ax in figure.axes if ax.get_title() in ("a", "b")]
    assert [ax.images[-1].get_clim() for ax in maps] == [(0, 4), (0, 4)]
    apart = plot.grid(results[:2], figure=Figure())
    clims = [ax.images[-1].get_clim()[1] for ax in apart.axes if ax.images and "saliency" in ax.get_title()]
    assert clims == [1, 4]


@pytest.mark.parametrize(
    ("results", "titles", "match"),
    [([], None, "nothing to draw"), ([AFTER], ["a", "b"], "titles lists 2 for 1")],
)
def test_a_grid_of_nothing(results: Any, titles: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        plot.grid(results, titles=titles)
