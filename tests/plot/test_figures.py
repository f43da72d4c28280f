"""Figures of several pictures: their panels, shared scales, given axes, and no figure left open."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, Dict

import numpy as np
import PIL.Image
import pytest
from matplotlib.figure import Figure

from cnnviz import plot
from cnnviz.results import Attribution, Run, Synthesis

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
    run=Run(sources={"image": BEFORE}),
)
STYLE = replace(
    FOOLING,
    method="style_transfer",
    run=Run(sources={"content": BEFORE, "style0": BEFORE, "style1": BEFORE[:, :4]}),
)
CLASSES = replace(
    FOOLING,
    image=np.stack([AFTER, AFTER]),
    method="class_visualization",
    run=Run(sources={}),
    report={"label": ["a", "b"]},
)


def attribution(scale: float) -> Attribution:
    values = np.full((6, 8), scale, np.float32)
    return Attribution(values, values, AFTER, "saliency", 1, "cat", 2.0)


def of_the_image(values: Any) -> Attribution:
    """A map that is drawn alone, on a scale that leaves out the largest values."""
    return replace(attribution(1.0), values=np.stack([values] * 3), map=values)


def batch(count: int, **facts: Any) -> Synthesis:
    report = {name: [value] * count for name, value in {**REPORT, **facts}.items()}
    history = {name: np.stack([values] * count, axis=1) for name, values in FOOLING.history.items()}
    return replace(FOOLING, image=np.stack([AFTER] * count), report=report, history=history)


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
    assert len(plot.fooling(batch(2), figure=Figure()).axes) == 8


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(12, 3), (5, 4)])
def test_the_legend_covers_no_bar_and_no_name(count: int, size: Any) -> None:
    figure = plot.fooling(batch(count), figure=Figure(figsize=size, layout="constrained"))
    figure.draw_without_rendering()
    for ax in figure.axes[3::4]:
        legend = ax.get_legend().get_window_extent()
        drawn = [ax, *ax.get_yticklabels()]
        assert not any(legend.overlaps(one.get_window_extent()) for one in drawn)


def test_long_names_leave_the_bars_their_room(no_figures_left: None) -> None:
    names = {"original_label": "black-and-tan coonhound", "target_label": "Staffordshire bullterrier"}
    figure = Figure(figsize=(12.4, 3.4), layout="constrained")
    bars = plot.fooling(batch(1, **names), figure=figure).axes[3]
    figure.draw_without_rendering()
    assert [label.get_text() for label in bars.get_yticklabels()] == [
        "black-and-tan\ncoonhound",
        "Staffordshire\nbullterrier",
    ]
    assert bars.get_window_extent().width > 0.6 * figure.bbox.width / 4


def twelve() -> Synthesis:
    report = {"label": list("abcdefghijkl"), "probability": [0.5] * 12}
    return replace(CLASSES, image=np.stack([AFTER] * 12), report=report)


#: SIZES are results with the numbers of columns and rows of their figures.
SIZES = {
    "fooling": (FOOLING, 4, 1),
    "three fooling": (batch(3), 4, 3),
    "style": (STYLE, 4, 1),
    "two classes": (CLASSES, 2, 1),
    "twelve classes": (twelve(), 4, 3),
    "a map": (attribution(1.0), 1, 1),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_notebook_shows_each_panel_at_a_readable_size(name: str, no_figures_left: None) -> None:
    result, columns, rows = SIZES[name]
    width, height = PIL.Image.open(io.BytesIO(result._repr_png_())).size
    assert 250 < width / columns < 500
    assert 200 < height / rows < 500


def test_a_batch_is_laid_out_in_rows_with_a_title_each() -> None:
    import matplotlib.pyplot as plt

    figure = twelve().plot(title="twelve classes")
    assert [ax.get_title() for ax in figure.axes] == [f"{name}, 50%" for name in "abcdefghijkl"]
    assert {ax.get_subplotspec().get_gridspec().get_geometry() for ax in figure.axes} == {(3, 4)}
    assert [text.get_text() for text in figure.texts] == ["twelve classes"]
    plt.close(figure)


def test_a_batch_on_given_axes_is_one_picture_of_rows() -> None:
    seven = replace(CLASSES, image=np.stack([AFTER * i / 7 for i in range(7)]))
    ax = seven.plot(ax=Figure().add_subplot())
    shown = np.asarray(ax.images[0].get_array())
    assert shown.shape == (2 * 6, 4 * 8, 3)
    np.testing.assert_array_equal(shown[6:, :8], seven.image[4])
    assert (shown[6:, 24:] == 1).all()


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (5, (1, 5)), (6, (2, 3)), (11, (3, 4))])
def test_a_grid_has_as_many_in_each_row(count: int, shape: Any) -> None:
    figure = plot.grid([AFTER] * count, figure=Figure())
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == shape


def test_a_grid_leaves_the_size_of_a_given_figure() -> None:
    figure = plot.grid([attribution(1.0)] * 3, figure=Figure(figsize=(4, 2)))
    assert tuple(figure.get_size_inches()) == (4, 2)


def test_a_fooling_image_without_its_original_is_refused() -> None:
    with pytest.raises(ValueError, match="did not start from a picture"):
        plot.fooling(replace(FOOLING, run=Run(sources={})))


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
    ax = plot.history(STYLE, ax=Figure().add_subplot())
    assert ax.get_yscale() == "linear"
    assert [line.get_label() for line in ax.lines] == ["value"]
    falling = replace(FOOLING, history={"loss": np.array([100.0, 10.0, 1.0])})
    assert plot.history(falling, ax=Figure().add_subplot()).get_yscale() == "log"


def test_probabilities_have_an_axis_of_their_own_beside_other_terms() -> None:
    figure = Figure()
    ax = plot.history(FOOLING, ax=figure.add_subplot())
    assert figure.axes[0] is ax
    assert figure.axes[1].get_ylabel() == "probability"
    assert [line.get_label() for line in figure.axes[1].lines] == ["probability"]
    alone = replace(FOOLING, history={"probability": np.array([0.1, 0.9])})
    assert len(plot.history(alone, ax=Figure().add_subplot()).figure.axes) == 1


@pytest.mark.parametrize("result", [FOOLING, batch(3), batch(12)], ids=["one", "three", "twelve"])
def test_each_term_has_one_colour_and_one_place_in_the_legend(result: Synthesis) -> None:
    history = {**result.history, "margin": result.history["value"] * 9}
    figure = Figure()
    plot.history(replace(result, history=history), ax=figure.add_subplot())
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    entries = [(line.get_label(), line.get_color()) for legend in legends for line in legend.get_lines()]
    assert [name for name, _ in entries] == ["value", "margin", "probability"]
    drawn = {line.get_color() for ax in figure.axes for line in ax.lines}
    assert drawn == {colour for _, colour in entries}
    assert len(drawn) == 3


@pytest.mark.parametrize("logarithmic", [False, True])
def test_the_legend_of_a_history_covers_no_line(logarithmic: bool) -> None:
    terms = {f"Gram(conv{i})": np.linspace(2, 1, 9) for i in range(9)}
    ax = plot.history(replace(STYLE, history=terms), ax=Figure().add_subplot(), logarithmic=logarithmic)
    ax.figure.draw_without_rendering()
    top = max(line.get_window_extent().y1 for line in ax.lines)
    assert top <= ax.get_legend().get_window_extent().y0


def test_a_grid_holds_results_and_pictures_on_one_scale() -> None:
    results: Any = [attribution(1.0), attribution(4.0), CLASSES, BEFORE[0]]
    figure = plot.grid(results, columns=2, titles=list("abcd"), share_scale=True, figure=Figure())
    maps = [ax for ax in figure.axes if ax.get_title() in ("a", "b")]
    assert [ax.images[-1].get_clim() for ax in maps] == [(0, 4), (0, 4)]
    apart = plot.grid(results[:2], figure=Figure())
    clims = [ax.images[-1].get_clim()[1] for ax in apart.axes if ax.images and "saliency" in ax.get_title()]
    assert clims == [1, 4]


SPIKE = np.where(np.arange(4800).reshape(60, 80) == 0, 9.0, 1.0).astype(np.float32)
OVERLAY = replace(attribution(1.0), values=SPIKE, map=SPIKE)
#: SCALES are results drawn on one scale, the options, and the limits of that scale.
SCALES = {
    "an overlay ends at its largest": ([OVERLAY, attribution(2.0)], {}, (0, 9)),
    "a map of the image ends where it does alone": ([of_the_image(SPIKE)] * 2, {}, (0, 1)),
    "a percentile that was asked for": ([OVERLAY, attribution(0.5)], {"percentile": 99}, (0, 1)),
    "signed and unsigned": ([of_the_image(-2 * SPIKE), of_the_image(SPIKE)], {}, (-2, 2)),
    "nothing but zeros": ([attribution(0.0)] * 2, {}, (0, 1)),
    "zeros do not count": ([attribution(0.0), attribution(0.25)], {}, (0, 0.25)),
}


@pytest.mark.parametrize("name", SCALES)
def test_a_shared_scale_is_that_of_the_largest(name: str) -> None:
    results, options, limits = SCALES[name]
    figure = plot.grid(results, share_scale=True, titles=["map"] * 2, figure=Figure(), **options)
    maps = [ax.images[-1] for ax in figure.axes if "map" in ax.get_title()]
    assert [one.get_clim() for one in maps] == [limits, limits]
    assert maps[0].cmap(0.1) == maps[1].cmap(0.1)


def test_options_of_maps_go_to_maps() -> None:
    results: Any = [of_the_image(SPIKE), OVERLAY, CLASSES, BEFORE[0]]
    figure = plot.grid(results, colorbar=False, opacity=0.5, figure=Figure())
    assert len(figure.axes) == len(results)
    over = figure.axes[1].images[-1]
    assert over.to_rgba(np.array([[9.0]]))[0, 0, 3] == pytest.approx(0.5)


CONTRADICTIONS: Dict[str, Any] = {
    "two scales": ({"share_scale": True, "vmax": 3.0}, ValueError, r"share_scale=True and vmax=3\.0"),
    "two titles": ({"titles": ["a"], "title": "b"}, ValueError, "titles and title"),
    "no such option": ({"colour": "red"}, TypeError, "no option colour"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
@pytest.mark.parametrize("result", [OVERLAY, CLASSES, AFTER], ids=["map", "synthesis", "picture"])
def test_options_that_contradict_each_other(name: str, result: Any) -> None:
    options, kind, match = CONTRADICTIONS[name]
    with pytest.raises(kind, match=match):
        plot.grid([result], figure=Figure(), **options)


@pytest.mark.parametrize(
    ("results", "titles", "match"),
    [([], None, "nothing to draw"), ([AFTER], ["a", "b"], "titles has 2 entries for 1 results")],
)
def test_an_empty_grid_and_a_wrong_number_of_titles_are_refused(
    results: Any, titles: Any, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        plot.grid(results, titles=titles)


def test_four_channels_of_a_result_are_no_opacity() -> None:
    images = RNG.random((2, 6, 8, 4), dtype=np.float32)
    made = replace(CLASSES, image=images)
    for ax, image in zip(plot.pictures(made, figure=Figure()).axes, images):
        shown = np.asarray(ax.images[0].get_array())
        np.testing.assert_allclose(shown, np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2), rtol=1e-6)
