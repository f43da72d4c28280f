"""Assertions that an attribution points into a region, and that it has not drifted from a stored one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.results.results import Attribution, load_result

from .evidence import Panel, failure, flat_image, flat_map, largest

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
#: A Region is a mask H,W, or a box: top, left, bottom, right in pixels, half open.
Region = Union[Mask, Sequence[float]]
PathLike = Union[str, "os.PathLike[str]"]


def assert_points_into(
    attribution: Attribution,
    region: Region,
    *,
    min_share: float = 0.5,
    pointing: bool = True,
    tolerance: float = 0.0,
) -> None:
    """Assert that an attribution points into a box or a mask.

    Parameters
    ----------
    attribution : Attribution
    region : bool array H,W, or (top, left, bottom, right)
        On the grid of ``attribution.map``, which is the model's input.
    min_share : float
        The least share of the map's positive energy, 0 to 1, that must lie inside ("energy-based pointing
        game", Wang et al. 2020, section 4.2). 0 checks nothing.
    pointing : bool
        Whether the largest value must lie inside (the "pointing game", Zhang et al. 2016).
    tolerance : float
        Largest distance in pixels of the largest value from the region.

    Raises
    ------
    AssertionError
        With the numbers, and a picture of the region and the map; also for a map that holds NaN.
    ValueError
        When the region does not fit the map, lies partly outside of it, or is empty; and for the map of a
        signal or a volume.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    if attribution.map.ndim != 2:
        shape = attribution.map.shape
        raise ValueError(
            f"assert_points_into is for networks of pictures: the map has shape {shape}, not H,W"
        )
    inside = as_mask(region, attribution.map.shape)
    _refuse_non_finite(attribution, "points-into")
    energy = np.maximum(attribution.map.astype(np.float64), 0)
    total = float(energy.sum())
    share = float(energy[inside].sum()) / total if total else 0.0
    wrong = []
    if not share >= min_share:
        wrong.append(f"{share:.1%} of its energy lies inside, at least {min_share:.1%} is asked for")
    if not total and (pointing or wrong):
        wrong.append("no value of the map is positive" if attribution.map.any() else "the map is all zero")
    elif pointing:
        wrong.extend(_astray(energy, inside, tolerance))
    if wrong:
        flags = f" ({', '.join(attribution.flags)})" if attribution.flags else ""
        fill = float(inside.mean())
        head = f"{_title(attribution)} does not point into the region{flags}"
        lines = [head, *wrong, f"the region is {inside.sum()} pixels, {fill:.1%} of the picture"]
        outside = np.where(inside, 0, energy).astype(np.float32)
        panels = [
            Panel("expected: inside the line", attribution.image, region=inside),
            Panel(f"got: {_title(attribution)}", attribution.map, region=inside),
            Panel(f"outside: {1 - share if total else 0:.1%} of the energy", outside, region=inside),
        ]
        raise failure("points-into", "\n  ".join(lines), panels)


def _astray(energy: NDArray[np.float64], inside: Mask, tolerance: float) -> List[str]:
    """The complaint about a largest value that lies outside the region; an empty list without one."""
    row, column = (int(i) for i in np.unravel_index(int(np.argmax(energy)), energy.shape))
    away = distance_to(inside, (row, column))
    if away <= tolerance:
        return []
    return [f"its largest value, at row {row}, column {column}, lies {away:.1f} pixels outside"]


def _refuse_non_finite(attribution: Attribution, assertion: str) -> None:
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    bad = ~np.isfinite(attribution.map)
    if bad.any():
        text = f"{_title(attribution)} holds NaN or infinity in {bad.sum()} of its {bad.size} pixels"
        raise failure(assertion, text, [Panel("where it is not finite", flat_map(bad.astype(np.float32)))])


def assert_unchanged(
    attribution: Attribution,
    stored: PathLike,
    *,
    min_rank_correlation: float = 0.95,
    max_relative_l2: float = 0.1,
    update: bool = False,
) -> None:
    """Assert that an attribution has not drifted from a stored one.

    Only `update` stores the attribution, so that a test without its file fails. In pytest the fixture
    ``cnnviz_stored`` names the files, and ``--cnnviz-update`` stores.

    Parameters
    ----------
    attribution : Attribution
    stored : path
        An .npz file.
    min_rank_correlation : float
        The least Spearman correlation between the two maps, pixel by pixel.
    max_relative_l2 : float
        The largest ``||now - stored|| / ||stored||``.
    update : bool
        Store the attribution instead of comparing it.

    Raises
    ------
    AssertionError
        With the numbers, and a picture of the stored map, the new one and their difference; also for a map
        that holds NaN.
    FileNotFoundError
        When there is no such file and `update` is not set.
    ValueError
        When the file is not a stored attribution.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    path = Path(stored)
    _refuse_non_finite(attribution, "unchanged")
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        attribution.save(path)
        return
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: store it with update=True (pytest --cnnviz-update)")
    before = load_result(path)
    if not isinstance(before, Attribution):
        raise ValueError(f"{path} holds a {type(before).__name__}, not an Attribution")
    _compare(before, attribution, path, min_rank_correlation, max_relative_l2)


def _compare(before: Attribution, now: Attribution, path: Path, least: float, most: float) -> None:
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    panels = [
        Panel(f"stored: {_title(before)}", flat_map(before.map)),
        Panel(f"now: {_title(now)}", flat_map(now.map)),
    ]
    head = f"{_title(now)} is not what {path} holds"
    if before.map.shape != now.map.shape:
        text = f"{head}\n  the stored map is {before.map.shape}, the new one {now.map.shape}"
        raise failure("unchanged", text, panels)
    difference = now.map - before.map
    correlation = rank_correlation(before.map, now.map)
    norm = float(np.linalg.norm(before.map))
    drift = float(np.linalg.norm(difference)) / norm if norm else float(bool(now.map.any()))
    wrong = []
    if not correlation >= least:
        wrong.append(f"rank correlation {correlation:.4f}, at least {least} is asked for")
    if not drift <= most:
        wrong.append(f"relative L2 {drift:.4g}, at most {most} is allowed")
    if (before.method, before.target) != (now.method, now.target):
        wrong.append(f"stored is {_title(before)} of class {before.target}, new of class {now.target}")
    if wrong:
        if before.image.shape != now.image.shape or not np.array_equal(before.image, now.image):
            wrong.append("the picture that it explains differs from the stored one, too")
        wrong.append("if the change is meant, store it anew: update=True, or pytest --cnnviz-update")
        panels = [panel._replace(limit=largest(before.map, now.map)) for panel in panels]
        panels.append(Panel(f"now - stored, relative L2 {drift:.3g}", flat_map(difference)))
        panels.append(Panel("picture of the new one", flat_image(now.image)))
        raise failure("unchanged", "\n  ".join([head, *wrong]), panels)


def rank_correlation(a: Map, b: Map) -> float:
    """Spearman's rank correlation of two maps, ties getting their mean rank; 1 for two constant maps."""
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(a.ravel()), rankdata(b.ravel())])
    centred = ranks - ranks.mean(1, keepdims=True)
    norms = np.sqrt((centred**2).sum(1))
    if not norms.all():
        return float(not norms.any())
    return float(centred[0] @ centred[1] / (norms[0] * norms[1]))


def as_mask(region: Any, shape: Tuple[int, ...]) -> Mask:
    """Turn a mask or a box into a mask of the map's shape.

    Raises
    ------
    ValueError
        When the region has another shape, does not lie wholly within the map, or is empty.
    """
    given = np.asarray(region)
    if given.ndim == 2:
        if given.shape != tuple(shape):
            raise ValueError(f"region is a mask of {given.shape}, but the map is {tuple(shape)}: resize it")
        mask = given.astype(bool)
    elif given.shape == (4,):
        top, left, bottom, right = (float(edge) for edge in given)
        corners = np.array([(top, left), (bottom, right)])
        if not ((corners >= 0) & (corners <= shape)).all():
            raise ValueError(
                f"region (top, left, bottom, right) = {tuple(given.tolist())} does not lie within the map "
                f"of {shape[0]} rows and {shape[1]} columns"
            )
        rows, columns = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
        mask = np.outer((rows > top) & (rows < bottom), (columns > left) & (columns < right))
    else:
        raise ValueError(
            f"region must be a mask H,W or a box (top, left, bottom, right), not of shape {given.shape}"
        )
    if not mask.any():
        raise ValueError(f"region has no pixel of the map {tuple(shape)}")
    return mask


def distance_to(mask: Mask, pixel: Tuple[int, int]) -> float:
    """Return the distance in pixels from a pixel, (row, column), to a mask; 0 inside."""
    rows, columns = np.nonzero(mask)
    return float(np.sqrt(((rows - pixel[0]) ** 2 + (columns - pixel[1]) ** 2).min()))


def _title(attribution: Attribution) -> str:
    return f"{attribution.method.replace('_', '-')} of {attribution.label!r}"
