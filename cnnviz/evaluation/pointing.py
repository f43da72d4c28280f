"""How well an attribution points at its object, measured on pictures whose objects are known to the pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.attribution.techniques import TECHNIQUES as NAMED
from cnnviz.bundled import CLASSES, Drawn, draw
from cnnviz.model.model import Model
from cnnviz.one_line import shortened, times
from cnnviz.results.results import Attribution

Map = NDArray[np.float32]
#: A Method takes the model, a list of pictures and a list of targets, and returns an `Attribution` or a map
#: H,W for each picture.
Method = Callable[[Model, List[NDArray[np.uint8]], List[int]], Sequence[Union[Attribution, NDArray[Any]]]]

#: _CHUNK is the number of pictures that a technique gets at once.
_CHUNK = 25


@dataclass(frozen=True)
class Evaluation:
    """How well a technique points, picture by picture.

    Attributes
    ----------
    method : str
    pointing : float64, N
        1 where the largest value of the map lies on the object (the pointing game, Zhang et al. 2016, without
        its tolerance of 15 pixels), 0 where not; of several equal maxima, the share on the object.
    energy : float64, N
        Share of the map's positive sum that lies on the object (energy-based pointing game, Wang et al. 2020,
        section 4.2); 0 for a map without positive values.
    other_energy : float64, N
        The same for the second shape, NaN for a picture without one.
    area : float64, N
        Share of the picture that the object covers: the energy of a constant map.
    """

    method: str
    pointing: NDArray[np.float64]
    energy: NDArray[np.float64]
    other_energy: NDArray[np.float64]
    area: NDArray[np.float64]

    @property
    def ratio(self) -> float:
        """Mean energy on the object over mean energy on the second shape; NaN without second shapes."""
        second = ~np.isnan(self.other_energy)
        if not second.any():
            return float("nan")
        return float(self.energy[second].mean() / max(self.other_energy[second].mean(), 1e-12))

    def __repr__(self) -> str:
        return f"<Evaluation of {self}>"

    def __str__(self) -> str:
        text = f"{shortened(self.method)}: pointing {self.pointing.mean():.1%}, energy on the object"
        text += f" {self.energy.mean():.1%}"
        if not np.isnan(self.ratio):
            text += f", on the other {np.nanmean(self.other_energy):.1%}, ratio {self.ratio:.1f}"
        return f"{text} ({len(self.pointing)} pictures, the object covers {self.area.mean():.1%})"


def evaluate(
    model: Model,
    method: Union[str, Method] = "grad_cam",
    *,
    n: int = 200,
    seed: int = 0,
    objects: Optional[int] = 1,
    data: Optional[Drawn] = None,
    progress: Optional[bool] = None,
    **options: Any,
) -> Evaluation:
    """Measure how well an attribution points at the object that it explains.

    The target is the object's class, whether the network recognises it or not.

    Parameters
    ----------
    model : Model
        A model whose labels include the classes of the pictures: the bundled network, or your own.
    method : str or callable
        ``"saliency"``, ``"smooth_grad"``, ``"grad_cam"``, ``"guided_backprop"``; or a control that does not
        look at the network: ``"centre"`` (a blob in the middle), ``"edges"`` (Sobel's filter), ``"random"``.
        A callable is given the model, a list of pictures and a list of targets, and returns an attribution,
        or a map H,W, for each.
    n, seed, objects
        Arguments of `cnnviz.bundled.draw`, which draws the pictures; with 2 objects, the second one is the
        distractor.
    data : Drawn, optional
        Pictures to use in place of drawn ones, of the size of the model's input.
    progress : bool, optional
        Whether to show a progress bar; by default it appears after a second.
    **options
        Passed on to the technique.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        When the network takes signals or volumes, the method is unknown, the model lacks a class of the
        pictures, or a map has a wrong shape.

    Examples
    --------
    >>> print(cnnviz.evaluate(cnnviz.load(), "grad_cam", objects=2))  # doctest: +SKIP
    """
    if model.preprocessing.axes != 2:
        size = times(model.preprocessing.size or ())
        raise ValueError(f"evaluate is for networks of pictures: the input of {model.name} has size {size}")
    maps_of = _method(method)
    drawn = data if data is not None else draw(n, seed, size=_size(model), objects=objects)
    if len(drawn) == 0:
        raise ValueError("there are no pictures to evaluate on: n must be at least 1, and data not empty")
    targets = [model.class_index(name) for name in _names(drawn)]
    maps: List[Map] = []
    for start in _chunks(len(drawn), progress):
        part = slice(start, start + _CHUNK)
        found = maps_of(model, list(drawn.images[part]), targets[part], **options)
        maps.extend(_checked(one, drawn.masks.shape[1:]) for one in found)
    return _measured(method if isinstance(method, str) else _name(method), np.stack(maps), drawn)


def _measured(name: str, maps: Map, drawn: Drawn) -> Evaluation:
    positive = np.maximum(maps.astype(np.float64), 0)
    total = positive.sum((1, 2))
    safe = np.where(total > 0, total, 1)
    peaks = positive == positive.max((1, 2), keepdims=True)
    second = drawn.other_masks.any((1, 2))
    other = (positive * drawn.other_masks).sum((1, 2)) / safe
    return Evaluation(
        method=name,
        pointing=np.where(total > 0, (peaks & drawn.masks).sum((1, 2)) / peaks.sum((1, 2)), 0.0),
        energy=(positive * drawn.masks).sum((1, 2)) / safe,
        other_energy=np.where(second, other, np.nan),
        area=drawn.masks.mean((1, 2)),
    )


def _names(drawn: Drawn) -> List[str]:
    return [CLASSES[label] for label in drawn.labels]


def _name(method: Method) -> str:
    return getattr(method, "__name__", type(method).__name__)


def _size(model: Model) -> int:
    height, width = model.preprocessing.size or (0, 0)
    if height != width:
        raise ValueError(f"the model's input is {height}x{width}; drawn pictures are square: pass data")
    return height


def _chunks(n: int, progress: Optional[bool]) -> Any:
    if progress is False:
        return range(0, n, _CHUNK)  # tqdm.auto stays unloaded: it may warn that widgets are missing
    from tqdm.auto import tqdm

    wait = 0 if progress else 1  # by default the bar appears once the work has lasted a second
    return tqdm(range(0, n, _CHUNK), delay=wait, leave=False, unit_scale=_CHUNK)


def _checked(found: Any, shape: Sequence[int]) -> Map:
    values = np.asarray(getattr(found, "map", found))
    if values.shape != tuple(shape):
        raise ValueError(f"method returned a map of shape {values.shape} for pictures of {tuple(shape)}")
    return values


def _method(method: Union[str, Method]) -> Callable[..., Sequence[Any]]:
    if callable(method):
        return method
    known = {**TECHNIQUES, **CONTROLS}
    if method not in known:
        raise ValueError(f"method must be one of {', '.join(known)}, or a callable, not {method!r}")
    return known[method]


def centre(model: Model, images: List[Any], targets: List[int]) -> List[Map]:
    """A round blob in the middle, a quarter of the picture wide."""
    height, width = images[0].shape[:2]
    rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    blob = np.exp(-2 * (rows[:, None] ** 2 + columns[None] ** 2) / 0.25)
    return [blob.astype(np.float32)] * len(images)


def edges(model: Model, images: List[Any], targets: List[int]) -> List[Map]:
    """Sobel's filter on the brightness: a map that only copies the picture's edges."""
    from scipy.ndimage import sobel

    grey = [np.asarray(image, np.float64).mean(2) for image in images]
    return [np.hypot(sobel(one, 0), sobel(one, 1)).astype(np.float32) for one in grey]


def random(model: Model, images: List[Any], targets: List[int], *, seed: int = 0) -> List[Map]:
    """Independent noise, different for each picture."""
    rng = np.random.default_rng((seed, *(int(np.asarray(image).sum()) for image in images)))
    return list(rng.random((len(images), *images[0].shape[:2]), dtype=np.float32))


TECHNIQUES: Dict[str, Callable[..., Sequence[Any]]] = {
    name: NAMED[name] for name in ("saliency", "smooth_grad", "grad_cam", "guided_backprop")
}
CONTROLS: Dict[str, Callable[..., Sequence[Any]]] = {"centre": centre, "edges": edges, "random": random}
