"""Results of techniques: arrays with the facts that belong to them, which plot and save themselves."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    Set,
    Tuple,
    Type,
    Union,
    overload,
)

import numpy as np
from numpy.typing import NDArray

from cnnviz import plot
from cnnviz.one_line import shortened, span, times
from cnnviz.pictures.batch import batch_of, squeezed
from cnnviz.plot.panels import classes_in_words
from cnnviz.results import files
from cnnviz.results.files import PathLike as PathLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cnnviz.model.model import Model

Array = NDArray[np.float32]

#: The flag of a map whose numbers are all zero: the score does not depend on the picture.
ALL_ZERO = "all-zero"
#: The flag of a map of a segmenter's class that has the highest score at no place of the picture.
NOWHERE = "wins-nowhere"


@dataclass(frozen=True, repr=False)
class Attribution:
    """How much each place of an image matters to a score.

    Attributes
    ----------
    values : ndarray of float32
        The raw, signed numbers at their native resolution: C,H,W in input space, H,W for a map of a layer.
    map : ndarray of float32, shape (H, W)
        The map on the grid of the model's input, not normalised: units of the score per unit of the array
        that was differentiated by. Techniques with absolute values or a ReLU have no negative numbers.
    image : ndarray of float32, shape (H, W, 3)
        The picture as the network saw it, RGB from 0 to 1; H,W,C for a network of other channels. Where the
        network's preprocessing states a range, its ends are 0 and 1.
    method : str
        ``"saliency"``, ``"grad_cam"``, ...
    target : int or None
        The class whose score is explained; None for an objective that is not a class.
    label : str
        The name of the target.
    score : float
        The value of the objective, for a class its pre-softmax score; for a segmenter's class the mean of
        that score over the places that the class wins.
    layer : str or None
        The layer whose map this is; None for the image.
    flags : tuple of str
        Warnings to the reader: ``"all-zero"`` when no number of the map differs from zero;
        ``"wins-nowhere"`` when a segmenter gives the class to no place, so that the score is its mean over
        all places.
    settings : dict
        The arguments that made the map, for `cnnviz.replay`; empty when they do not fit into a file.
    output : str or None
        The output of the network that has the class; None for its first output, and for an objective.
    inputs : dict of str to ndarray
        What was given or bound to inputs beside the picture, as the network was fed, without other pictures'
        rows; empty for a network of one input.
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
    output: Optional[str] = None
    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __repr__(self) -> str:
        place = [f"layer {shortened(self.layer)!r}"] if self.layer else []
        label = shortened(self.label)
        target = label if self.target is None else f"{label!r} ({self.target})"
        target += "" if self.output is None else f" of {shortened(self.output)!r}"
        facts = [
            f"score {self.score:.4g}",
            f"map {times(self.map.shape)}",
            span(self.map),
            *place,
            *self.flags,
        ]
        return f"<Attribution {self.method} of {target}: {', '.join(facts)}>"

    def plot(self, ax: Optional[Axes] = None, **options: Any) -> Axes:
        """Draw with `cnnviz.plot.attribution`; `options` are that function's."""
        return plot.attribution(self, ax=ax, **options)

    def save(self, path: PathLike, **options: Any) -> None:
        """Write a picture, or with the suffix ``.npz`` everything, for `load_result`.

        `options` are those of `plot`. The suffix chooses the kind of picture.

        Raises
        ------
        TypeError, ValueError
            For an option or a suffix that is not known.
        """
        suffix = files.suffix_of(path)
        if suffix == ".npz":
            _save_arrays(path, self, {}, options)
            return
        sources = {"image": self.image, **files.beside(self.inputs)}
        metadata = files.texts(self.settings, sources) if suffix == ".png" else {}
        plot.save(self, path, metadata=metadata, **options)

    def _repr_png_(self) -> bytes:
        return plot.png(self)


@dataclass(frozen=True, repr=False)
class Run:
    """The recipe of a `Synthesis`, and the checkpoint at which its run ended.

    Attributes
    ----------
    settings : dict
        Every argument of the technique, the seed included; empty when they do not fit into a file.
    sources : dict of str to ndarray
        The pictures that the run started from, uint8, as they were used, and as ``"inputs/age"`` the float32
        numbers that an input beside the picture, here "age", was bound to: with `settings`, the whole recipe.
    memory : dict of str to ndarray
        The checkpoint, as arrays for a file: `cnnviz.resume` goes on from it.
    continuation : callable (n, model) -> Synthesis, or None
        Goes on for n steps; None for a result that was read without its network.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    memory: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    continuation: Optional[Callable[[int, Optional[Model]], Synthesis]] = field(default=None, compare=False)

    def __repr__(self) -> str:
        nbytes = sum(array.nbytes for array in self.memory.values())
        seed = f"seed {self.settings['seed']}" if "seed" in self.settings else "settings not stored"
        pictures = len(files.parted(self.sources)[0])
        return f"<Run: {seed}, {pictures} source pictures, checkpoint of {nbytes / 1e6:.2f} MB>"


@dataclass(frozen=True, repr=False)
class Synthesis:
    """A picture that was made by climbing an objective.

    Attributes
    ----------
    image : ndarray of float32, shape (H, W, 3) or (N, H, W, 3)
        The last picture, RGB from 0 to 1; with C in place of 3 for a network of other channels. Where the
        network's preprocessing states a range, its ends are 0 and 1; `Preprocessing.in_units` undoes it.
    best : ndarray of float32
        The picture with the best value of the whole run.
    history : dict of str to ndarray, each of shape (steps + 1,) or (steps + 1, N)
        The objective and its terms before the first step, after each step, and at the end. A run that ended
        before its first evaluation has an empty ``value`` and no other entry.
    method : str
    converged : bool
        Whether the stopping rule was met, rather than the number of steps used up.
    interrupted : bool
        Whether Ctrl-C, or a notebook's Stop, ended the run.
    report : dict
        The facts that the technique states about its result: classes, confidences, sizes.
    run : Run
        The recipe and the checkpoint: how the picture was made, and where the run goes on.
    """

    image: Array
    best: Array
    history: Mapping[str, NDArray[np.float64]]
    method: str
    converged: bool = False
    interrupted: bool = False
    report: Mapping[str, Any] = field(default_factory=dict)
    run: Run = field(default_factory=Run)

    def __repr__(self) -> str:
        classes = shortened(classes_in_words(self.report), 80)
        of = f" of {classes}" if classes else ""
        return f"<Synthesis {self.method}{of}: {', '.join(self._facts())}>"

    def _facts(self) -> List[str]:
        steps = max((len(series) - 1 for series in self.history.values()), default=0)
        reached = [
            f"{name} {span(np.asarray(self.history[name][-1]))}"
            for name in ("value", "probability")
            if len(self.history.get(name, ()))
        ]
        ended = ["converged"] * self.converged + ["interrupted"] * self.interrupted
        count, *size = batch_of(self.image).shape[:3]
        shown = f"{count} pictures of {times(size)}" if count > 1 else times(size)
        return [shown, f"{max(steps, 0)} steps", *reached, *ended]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The arguments that made the picture, seed included: ``run.settings``."""
        return self.run.settings

    @property
    def sources(self) -> Mapping[str, NDArray[Any]]:
        """The pictures that the run started from: ``run.sources``."""
        return self.run.sources

    @property
    def memory(self) -> Mapping[str, NDArray[Any]]:
        """The checkpoint of the run; deprecated name of ``run.memory``."""
        warnings.warn("Synthesis.memory is deprecated: use run.memory", DeprecationWarning, stacklevel=2)
        return self.run.memory

    @property
    def frames(self) -> List[NDArray[np.uint8]]:
        """The pictures that ``keep_every=`` kept, first to last, in 8 bits."""
        keys = [key for key in self.run.memory if key.startswith("frames/")]
        places = sorted(tuple(map(int, key.split("/")[1:])) for key in keys)
        kept = [self.run.memory[f"frames/{stage}/{step}"] for stage, step in places]
        return [squeezed(frame) for frame in kept]

    def resume(self, n: int, model: Optional[Model] = None) -> Synthesis:
        """Go on for `n` more steps, exactly as if the run had never stopped.

        Parameters
        ----------
        n : int
        model : Model, optional
            Deprecated: a result that was loaded from a file is continued by `cnnviz.resume`.

        Raises
        ------
        ValueError
            When the number is negative, or the result was loaded from a file, which holds no network.
        """
        if self.run.continuation is None:
            raise ValueError(
                "a result from a file does not hold its network: call cnnviz.resume(result, model, n)"
            )
        return self.run.continuation(n, model)

    @overload
    def plot(self, ax: Axes, **options: Any) -> Axes: ...
    @overload
    def plot(self, ax: None = None, **options: Any) -> Union[Axes, Figure]: ...
    def plot(self, ax: Optional[Axes] = None, **options: Any) -> Union[Axes, Figure]:
        """Draw with `cnnviz.plot.synthesis`; `options` are that function's."""
        return plot.synthesis(self, ax=ax, **options)

    def save(self, path: PathLike, **options: Any) -> None:
        """Write the picture, pixel by pixel in 8 bits, or with the suffix ``.npz`` everything.

        A PNG carries the settings and sources, for `cnnviz.replay`; a ``.gif`` has the frames that
        ``keep_every=`` kept. `options` are those of Pillow's ``Image.save``. Several pictures are put side by
        side.

        Raises
        ------
        TypeError, ValueError
            For an option or a suffix that is not known.

        Warns
        -----
        UserWarning
            When a fooling image goes into a kind of file, such as ``.jpg``, that does not keep its exact
            pixels, so that it may not fool the network.
        """
        suffix = files.suffix_of(path)
        if suffix == ".npz":
            _save_arrays(path, self, _stored_run(self.run), options)
        elif suffix == ".gif":
            files.write_animation(path, self.frames, self.image, options)
        else:
            loss = files.lossy(path) if self.method == "fooling_image" else ""
            if loss and not options.get("lossless"):
                warnings.warn(loss, stacklevel=2)
            chunks = files.texts(self.settings, self.sources) if suffix == ".png" else {}
            files.write_picture(path, self.image, chunks, options)

    def _repr_png_(self) -> bytes:
        return plot.png(self)


Result = Union[Attribution, Synthesis]


def check_path(path: PathLike, kind: Type[Result]) -> None:
    """Raise for a path that a result of this kind cannot be saved to, before the result is computed.

    Raises
    ------
    FileNotFoundError
        When the folder does not exist.
    ValueError
        When the suffix is missing, or is not one of a kind of file that is written.
    """
    drawn = files.figure_suffixes() if kind is Attribution else files.picture_suffixes()
    files.check_path(path, {".npz", *drawn})


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
        facts, arrays = files.read_arrays(path)
        kind = facts.pop("kind")
        if kind == "Attribution":
            return _attribution(facts, arrays)
        if kind == "Synthesis":
            return _synthesis(facts, arrays)
        raise ValueError(f"kind {kind!r} is none of Attribution, Synthesis")
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"path {os.fspath(path)!r} is not a result saved by cnnviz ({error})") from error


#: The members of a result that are written as groups of arrays, "history/value" for one.
_GROUPS = ("history", "sources", "memory", "inputs")


def _stored_run(run: Run) -> Dict[str, Any]:
    return {"settings": run.settings, "sources": run.sources, "memory": run.memory}


def _save_arrays(
    path: PathLike, result: Result, members: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    """Write the members of a result, with `members` in place of its own."""
    if options:
        raise TypeError(f"an .npz file takes no options, but got {', '.join(options)}")
    own = {name: getattr(result, name) for name in result.__dataclass_fields__ if name != "run"}
    facts: Dict[str, Any] = {"kind": type(result).__name__}
    arrays: files.Arrays = {}
    for name, value in {**own, **members}.items():
        if isinstance(value, np.ndarray):
            arrays[name] = value
        elif name in _GROUPS:
            arrays.update({f"{name}/{key}": np.asarray(array) for key, array in value.items()})
        else:
            facts[name] = value
    files.write_arrays(path, facts, arrays)


def _attribution(facts: Dict[str, Any], arrays: Dict[str, Any]) -> Attribution:
    inputs = _taken("inputs", arrays)
    return Attribution(**{**facts, "flags": tuple(facts["flags"])}, **arrays, inputs=inputs)


def _synthesis(facts: Dict[str, Any], arrays: Dict[str, Any]) -> Synthesis:
    history, sources, memory = (_taken(group, arrays) for group in ("history", "sources", "memory"))
    return Synthesis(history=history, run=Run(facts.pop("settings"), sources, memory), **facts, **arrays)


def _taken(group: str, arrays: Dict[str, Any]) -> Dict[str, Any]:
    """Take a group of arrays out of those of a file."""
    names: Set[str] = {name for name in arrays if name.startswith(f"{group}/")}
    return {name[len(group) + 1 :]: arrays.pop(name) for name in list(arrays) if name in names}
