"""Plots draw the numbers that they are given: in their units, with zero as zero, on the given axes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Tuple

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from cnnviz import plot
from cnnviz.plot import maps as plot_maps
from cnnviz.results.results import Attribution

RNG = np.random.default_rng(0)
MAP = RNG.random((6, 8)).astype(np.float32) * 40
SIGNED = MAP - 30
PICTURE = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)


def drawn(function: Any, *arrays: Any, **options: Any) -> Tuple[Any, Any, Any]:
    """Draw on new axes; return them, the drawn map and the axes of its colour bar (None without one)."""
    ax = Figure().add_subplot()
    assert function(*arrays, ax=ax, **options) is ax
    bars = [other for other in ax.figure.axes if other is not ax]
    return ax, ax.images[-1], bars[0] if bars else None


FUNCTIONS = [
    pytest.param(lambda values, **options: drawn(plot.saliency, values, **options), id="saliency"),
    pytest.param(lambda values, **options: drawn(plot.overlay, PICTURE, values, **options), id="overlay"),
]


@pytest.mark.parametrize("draw", FUNCTIONS)
def test_the_colour_bar_is_in_the_maps_own_units(draw: Any) -> None:
    _, picture, bar = draw(MAP, percentile=100, units="score")
    np.testing.assert_array_equal(picture.get_array(), MAP)
    np.testing.assert_allclose(picture.get_clim(), (0, MAP.max()), rtol=1e-6)
    assert bar.get_ylabel() == "score"


@pytest.mark.parametrize("draw", FUNCTIONS)
def test_signed_maps_are_symmetric_about_zero(draw: Any) -> None:
    _, picture, _ = draw(SIGNED, percentile=100)
    low, high = picture.get_clim()
    assert low == -high == -np.abs(SIGNED).max()


@pytest.mark.parametrize("draw", FUNCTIONS)
def test_a_map_of_zeros_stays_zero_and_has_a_note(draw: Any) -> None:
    ax, picture, _ = draw(np.zeros((6, 8), np.float32), title="saliency")
    assert "all zero" in ax.get_title()
    assert np.ptp(picture.get_array()) == 0
    assert np.ptp(picture.to_rgba(picture.get_array()), axis=(0, 1)).max() == 0
    assert picture.get_clim() == (0, 1)


@pytest.mark.parametrize("draw", FUNCTIONS)
def test_an_arrow_marks_values_beyond_the_scale(draw: Any) -> None:
    spike = np.ones((20, 20), np.float32)
    spike[3, 3] = 100
    assert draw(spike, percentile=99)[1].get_clim()[1] == 1
    assert draw(spike, percentile=99)[1].colorbar.extend == "max"
    assert draw(-spike, percentile=99)[1].colorbar.extend == "both"
    assert draw(spike, percentile=100)[1].colorbar.extend == "neither"


@pytest.mark.parametrize("draw", FUNCTIONS)
def test_a_single_spike_is_not_lost(draw: Any) -> None:
    spike = np.zeros((100, 100), np.float32)
    spike[3, 3] = 5
    assert draw(spike, percentile=99)[1].get_clim() == (0, 5)


@pytest.mark.parametrize("draw", FUNCTIONS)
def test_a_shared_scale(draw: Any) -> None:
    assert draw(MAP, vmax=100)[1].get_clim() == (0, 100)
    assert draw(MAP, colorbar=False)[2] is None


def test_overlay_is_clear_at_zero_and_covers_the_picture() -> None:
    _, picture, _ = drawn(plot.overlay, PICTURE, MAP)
    assert picture.to_rgba(np.zeros((1, 1)))[0, 0, 3] == 0
    assert picture.to_rgba(np.full((1, 1), MAP.max()))[0, 0, 3] == pytest.approx(0.8)
    assert tuple(picture.get_extent()) == (-0.5, 79.5, 59.5, -0.5)


@pytest.mark.parametrize("draw", FUNCTIONS)
def test_a_map_without_negative_numbers_can_be_drawn_on_a_signed_scale(draw: Any) -> None:
    low, high = draw(MAP, vmax=50, signed=True)[1].get_clim()
    assert (low, high) == (-50, 50)
    signed, unsigned = draw(SIGNED)[1].cmap, draw(MAP, signed=True)[1].cmap
    assert signed(0.9) == unsigned(0.9)


@pytest.mark.parametrize("shape", [(12, 96), (24, 48), (48, 24), (96, 12)])
def test_the_colour_bar_is_about_as_high_as_its_picture(
    shape: Tuple[int, int], no_figures_left: None
) -> None:
    import matplotlib.pyplot as plt

    ax = plot.saliency(np.ones(shape, np.float32), title="a title of some length", units="score, per place")
    ax.figure.draw_without_rendering()
    bar = ax.images[-1].colorbar.ax.get_window_extent()
    height = max(plot_maps.LOWEST * ax.figure.dpi, ax.get_window_extent().height)
    assert 0.5 * height < bar.height < 1.25 * height
    title = ax.title.get_window_extent()
    assert ax.figure.bbox.x0 <= title.x0 < title.x1 <= ax.figure.bbox.x1
    plt.close(ax.figure)


UNITS: Tuple[Tuple[str, Dict[str, Any], str], ...] = (
    ("saliency", {}, "|d score / d x|"),
    ("saliency", {"times_input": True}, "|x * d score / d x|"),
    ("saliency", {"reduce": "sum"}, "d score / d x"),
    ("saliency", {"reduce": "sum", "times_input": True}, "x * d score / d x"),
)


@pytest.mark.parametrize(("method", "settings", "units"), UNITS)
def test_the_colour_bar_names_the_quantity(method: str, settings: Dict[str, Any], units: str) -> None:
    values = SIGNED if settings.get("reduce") == "sum" else MAP
    result = Attribution(np.stack([values] * 3), values, PICTURE, method, 1, "cat", 2.0, settings=settings)
    bar = drawn(plot.attribution, result)[2]
    assert bar.get_ylabel() == units


def test_settings_of_matplotlib_and_the_map_stay_unchanged(no_figures_left: None) -> None:
    before: Dict[str, Any] = dict(mpl.rcParams)
    values = MAP.copy()
    drawn(plot.overlay, PICTURE, MAP)
    drawn(plot.saliency, MAP)
    assert dict(mpl.rcParams) == before
    np.testing.assert_array_equal(MAP, values)


def test_a_map_without_axes_opens_a_figure() -> None:
    import matplotlib.pyplot as plt

    before = len(plt.get_fignums())
    ax = plot.saliency(MAP)
    assert len(plt.get_fignums()) == before + 1
    plt.close(ax.figure)


def test_maps_are_drawn_without_a_display(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from cnnviz import plot; plot.saliency(np.eye(3, dtype=np.float32))"
        ".figure.savefig('x.png')"
    )
    environment = {"PATH": "", "PYTHONPATH": str(Path(plot.__file__).parents[2]), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "x.png").stat().st_size > 1000


ERRORS: Tuple[Tuple[str, Dict[str, Any], str], ...] = (
    ("three axes", {"map": np.zeros((3, 4, 5), np.float32)}, r"map must be .* H,W.*\(3, 4, 5\)"),
    ("empty", {"map": np.zeros((0, 4), np.float32)}, "map must be"),
    ("strings", {"map": np.array([["a"]])}, "map must be"),
    ("NaN", {"map": np.full((3, 4), np.nan)}, "map holds NaN"),
    ("percentile", {"map": MAP, "percentile": 0}, "percentile"),
    ("vmax", {"map": MAP, "vmax": -1}, "vmax"),
)


@pytest.mark.parametrize(("options", "message"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_invalid_maps_and_scales_are_refused(options: Dict[str, Any], message: str) -> None:
    options = dict(options)
    values = options.pop("map")
    with pytest.raises(ValueError, match=message):
        drawn(plot.saliency, values, **options)
    with pytest.raises(ValueError, match=message):
        drawn(plot.overlay, PICTURE, values, **options)


def test_opacity_is_a_share() -> None:
    with pytest.raises(ValueError, match="opacity"):
        drawn(plot.overlay, PICTURE, MAP, opacity=2)


@pytest.mark.parametrize("option", [{"channels": [0]}, {"opacity": 0.5}], ids=str)
def test_options_of_overlays_are_named_where_a_map_is_drawn_alone(option: Dict[str, Any]) -> None:
    alone = Attribution(MAP[np.newaxis], MAP, PICTURE[:6, :8] / np.float32(255), "saliency", 1, "cat", 1.0)
    with pytest.raises(TypeError, match=f"{next(iter(option))} is for maps over their picture"):
        plot.attribution(alone, ax=Figure().add_subplot(), **option)
