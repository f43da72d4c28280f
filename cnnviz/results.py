"""What the techniques return: arrays with the facts that belong to them, which plot and save themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cnnviz.model.model import Model

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
    settings : dict
        The arguments that made it, for `cnnviz.replay`; empty when they do not fit into a file.
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
    settings: Mapping[str, Any] = field(default_factory=dict)

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
    history : dict of str to ndarray, each of shape (steps + 1,) or (steps + 1, N)
        What was measured before the first step, after each, and at the end, term by term. A run that ended
        before anything was measured has an empty ``value`` and no more.
    method : str
    converged : bool
        Whether the stopping rule was met, rather than the number of steps used up.
    interrupted : bool
        Whether Ctrl-C, or a notebook's Stop, ended it.
    settings : dict
        Everything that makes it again, the seed included; empty when that does not fit into a file.
    report : dict
        What the technique has to say of its result: classes, confidences, sizes.
    sources : dict of str to ndarray
        The pictures it was made from, as they were used.
    memory : dict of str to ndarray
        The state of the run, from which `resume` goes on.
    """

    image: Array
    best: Array
    history: Mapping[str, NDArray[np.float64]]
    method: str
    converged: bool = False
    interrupted: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    memory: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    continuation: Optional[Callable[[int], Synthesis]] = field(default=None, repr=False, compare=False)

    @property
    def frames(self) -> List[NDArray[np.uint8]]:
        """The pictures that ``keep_every=`` kept, first to last, in 8 bits."""
        keys = [key for key in self.memory if key.startswith("frames/")]
        places = sorted(tuple(map(int, key.split("/")[1:])) for key in keys)
        kept = [self.memory[f"frames/{stage}/{step}"] for stage, step in places]
        return [frame[0] if len(frame) == 1 else frame for frame in kept]

    def resume(self, n: int, model: Optional[Model] = None) -> Synthesis:
        """Go on for `n` more steps, exactly as if it had never stopped.

        Parameters
        ----------
        n : int
        model : Model, optional
            Needed for a result that was loaded from a file: the network is not stored with it.

        Raises
        ------
        ValueError
            When the number is negative, or a loaded result is given no model or cannot be taken up.
        """
        if self.continuation is not None:
            return self.continuation(n)
        if model is None:
            raise ValueError("a result from a file does not hold its network: call resume(n, model)")
        from cnnviz.replaying import take_up

        return take_up(self, model, n)

    def plot(self, ax: Optional[Axes] = None, **options: Any) -> Any:
        """Draw with `cnnviz.plot.synthesis`; `options` are that function's."""
        from cnnviz import plot

        return plot.synthesis(self, ax=ax, **options)

    def save(self, path: PathLike, **options: Any) -> None:
        """Write the picture, pixel by pixel in 8 bits, or with the suffix ``.npz`` everything.

        A PNG carries the settings and sources, for `cnnviz.replay`; ``.gif`` writes the frames that
        ``keep_every=`` kept. `options` are those of Pillow's ``Image.save``. Several pictures are put side by
        side.

        Warns
        -----
        UserWarning
            When a fooling image goes into a kind of file, such as ``.jpg``, that does not keep its exact
            pixels: it may fool no more.
        """
        _save(self, path, options)

    def _repr_png_(self) -> bytes:
        from cnnviz import plot

        return plot.png(self)


Result = Union[Attribution, Synthesis]


def load_result(path: PathLike) -> Result:
    """Read back what ``result.save("x.npz")`` wrote.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is not one that `save` wrote.
    """
    from cnnviz import files

    return files.load(path)


def _save(result: Result, path: PathLike, options: Dict[str, Any]) -> None:
    from cnnviz import files

    files.save(result, path, options)
