"""What the techniques return: arrays with the facts that belong to them, which plot and save themselves."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float32]
PathLike = Union[str, "os.PathLike[str]"]

#: Says that every number of a map is zero: the score does not depend on the picture (a dead ReLU, for one).
ALL_ZERO = "all-zero"


@dataclass(frozen=True)
class Attribution:
    """How much each place of an image matters to a score.

    Attributes
    ----------
    values : ndarray of float32
        The raw, signed numbers at their native resolution: C,H,W in input space, H,W for a map of a layer.
    map : ndarray of float32, shape (H, W)
        Never negative for a technique that takes absolute values or a ReLU; on the grid of the model's input,
        in the units of the score per unit of what it is a gradient of. Not normalised.
    image : ndarray of float32, shape (H, W, 3)
        The picture as the network saw it, RGB from 0 to 1.
    method : str
        ``"saliency"``, ``"grad_cam"``, ...
    target : int or None
        The class whose score this is; None for an objective that is not a class.
    label : str
        The name of the target.
    score : float
        The value of the objective, for a class its pre-softmax score.
    layer : str or None
        The layer looked at; None for the image.
    flags : tuple of str
        What a reader must know: ``"all-zero"`` when nothing in the map differs from zero.
    """

    values: Array
    map: Array
    image: Array
    method: str
    target: Optional[int]
    label: str
    score: float
    layer: Optional[str] = None
    flags: Tuple[str, ...] = ()

    def plot(self, ax: Optional[Axes] = None, **options: Any) -> Axes:
        """Draw with `cnnviz.plot.attribution`; `options` are that function's."""
        from cnnviz import plot

        return plot.attribution(self, ax=ax, **options)

    def save(self, path: PathLike, **options: Any) -> None:
        """Write a picture, or with the suffix ``.npz`` everything, for `load_result`.

        `options` are those of `plot`. The kind of picture follows from the suffix.
        """
        _save(self, path, options)

    def _repr_png_(self) -> bytes:
        from cnnviz import plot

        return plot.png(self)


@dataclass(frozen=True)
class Synthesis:
    """A picture that was made by climbing an objective.

    Attributes
    ----------
    image : ndarray of float32, shape (H, W, 3) or (N, H, W, 3)
        The last picture, RGB from 0 to 1.
    best : ndarray of float32
        The picture with the best value on the way.
    history : dict of str to ndarray
        The value of each term at each step.
    method : str
    converged : bool
        Whether the stopping rule was met, rather than the number of steps used up.
    interrupted : bool
        Whether Ctrl-C, or a notebook's Stop, ended it.
    settings : dict
        Everything that makes it again, the seed included.
    """

    image: Array
    best: Array
    history: Mapping[str, NDArray[np.float64]]
    method: str
    converged: bool = False
    interrupted: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    continuation: Optional[Callable[[int], Synthesis]] = field(default=None, repr=False, compare=False)

    def resume(self, n: int) -> Synthesis:
        """Go on for `n` more steps, exactly as if it had never stopped.

        Raises
        ------
        ValueError
            For a result that was loaded from a file: what it was climbing is not stored with it.
        """
        if self.continuation is None:
            raise ValueError("this result cannot be resumed: it was loaded from a file, or made by hand")
        return self.continuation(n)

    def plot(self, ax: Optional[Axes] = None, **options: Any) -> Any:
        """Draw with `cnnviz.plot.synthesis`; `options` are that function's."""
        from cnnviz import plot

        return plot.synthesis(self, ax=ax, **options)

    def save(self, path: PathLike, **options: Any) -> None:
        """Write the picture, pixel by pixel in 8 bits, or with the suffix ``.npz`` everything.

        `options` are those of Pillow's ``Image.save``. Several pictures are put side by side.
        """
        _save(self, path, options)

    def _repr_png_(self) -> bytes:
        from cnnviz import plot

        return plot.png(self)


Result = Union[Attribution, Synthesis]
_KINDS = {"Attribution": Attribution, "Synthesis": Synthesis}


def load_result(path: PathLike) -> Result:
    """Read back what ``result.save("x.npz")`` wrote.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is not one that `save` wrote.
    """
    try:
        with np.load(os.fspath(path), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        facts = json.loads(str(arrays.pop("facts")))
        return _from_parts(facts, arrays)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"path {os.fspath(path)!r} is not a result saved by cnnviz ({error})") from error


def _from_parts(facts: Dict[str, Any], arrays: Dict[str, NDArray[Any]]) -> Result:
    kind = _KINDS[facts.pop("kind")]
    if kind is Synthesis:
        facts["history"] = {
            name[len("history/") :]: arrays.pop(name)
            for name in sorted(arrays)
            if name.startswith("history/")
        }
    else:
        facts["flags"] = tuple(facts["flags"])
    result: Result = kind(**facts, **arrays)
    return result


def _save(result: Result, path: PathLike, options: Dict[str, Any]) -> None:
    if os.path.splitext(os.fspath(path))[1].lower() == ".npz":
        if options:
            raise TypeError(f"an .npz file takes no options, but got {', '.join(options)}")
        _save_arrays(result, path)
    elif isinstance(result, Synthesis):
        _save_pixels(result.image, path, options)
    else:
        from cnnviz import plot

        plot.save(result, path, **options)


def _save_pixels(image: Array, path: PathLike, options: Dict[str, Any]) -> None:
    import PIL.Image

    row = image if image.ndim == 3 else np.concatenate(list(image), axis=1)
    PIL.Image.fromarray(np.rint(row.clip(0, 1) * 255).astype(np.uint8)).save(os.fspath(path), **options)


def _save_arrays(result: Result, path: PathLike) -> None:
    facts: Dict[str, Any] = {"kind": type(result).__name__}
    arrays: Dict[str, NDArray[Any]] = {}
    for item in fields(result):
        value = getattr(result, item.name)
        if isinstance(value, np.ndarray):
            arrays[item.name] = value
        elif item.name == "history":
            arrays.update({f"history/{name}": np.asarray(series) for name, series in value.items()})
        elif item.name != "continuation":
            facts[item.name] = value
    arrays["facts"] = np.array(json.dumps(facts, default=_plain))
    np.savez_compressed(os.fspath(path), **arrays)  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """Let NumPy's scalars and arrays, and mappings, into JSON."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return repr(value)
