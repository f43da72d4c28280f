"""A sanity check of attributions: whether a map depends on the weights that training gave the network.

Adebayo et al. 2018, *Sanity Checks for Saliency Maps*, section 3.1.
The weights are replaced by noise, layer after layer from the scores down to the image. A map that explains
the trained network must change; a map that stays copies the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.attribution.question import Target, ask
from cnnviz.attribution.techniques import TECHNIQUES
from cnnviz.checks import checked_count
from cnnviz.graph.graph import Graph
from cnnviz.graph.schema import SCHEMAS
from cnnviz.model.model import Model
from cnnviz.one_line import shortened, span
from cnnviz.pictures.image import ImageLike
from cnnviz.pictures.preprocessed import Preprocessed
from cnnviz.results.results import Attribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The least distance between the names of layers on the axis of a plot, in inches.
LABEL_INCHES = 0.2


@dataclass(frozen=True)
class SanityCheck:
    """The similarity of a map to the original map while weights are replaced by noise.

    Attributes
    ----------
    layers : tuple of str
        The layers in the order in which their weights were replaced, from the scores down.
    similarity : ndarray of float64, shape (1 + len(layers),)
        Spearman's rank correlation of the map's absolute values with the original map's: before anything was
        replaced (1), and after each layer, those above it replaced too. 0 where a map became constant.
    maps : tuple of ndarray
        The maps that were compared, H,W.
    method : str
        The name of the technique.
    """

    layers: Tuple[str, ...]
    similarity: NDArray[np.float64]
    maps: Tuple[NDArray[np.float32], ...]
    method: str

    def __repr__(self) -> str:
        order = f", {shortened(self.layers[0])} to {shortened(self.layers[-1])}" if self.layers else ""
        similarity = f"rank correlation {span(self.similarity)}"
        return f"<SanityCheck of {shortened(self.method)}: {similarity}, {len(self.layers)} layers{order}>"

    def plot(self, ax: Optional[Axes] = None) -> Axes:
        """Draw the curve: similarity over the layers replaced."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots(layout="constrained")[1]
        names = ["original", *self.layers]
        apart = -(-len(names) * LABEL_INCHES // (ax.get_window_extent().width / ax.figure.dpi))
        ax.plot(self.similarity, "o-")
        ax.axhline(0, color="0.7", linewidth=0.8)
        shown = range(0, len(names), max(1, int(apart)))
        ax.set_xticks(shown, [names[i] for i in shown], rotation=60, ha="right", rotation_mode="anchor")
        ax.set_xticks(range(len(names)), minor=True)
        ax.set_ylim(min(-0.1, float(self.similarity.min()) - 0.05), 1.05)
        ax.set_xlabel("weights replaced, from the scores down")
        ax.set_ylabel("rank correlation")
        ax.set_title(self.method.replace("_", " "))
        return ax


def sanity_check(
    model: Model,
    image: ImageLike,
    method: Union[str, Callable[..., Attribution]],
    *,
    target: Target = None,
    seed: int = 0,
    **options: Any,
) -> SanityCheck:
    """Replace a network's weights by noise, layer after layer, and watch an explanation.

    This is the cascading randomisation of Adebayo et al. 2018, section 3.1. A layer's weights are replaced by
    normal numbers of the same standard deviation, so that signals keep their size; the target stays that of
    the trained network.

    Parameters
    ----------
    model : Model
        The network, which is not changed.
    image : path, PIL image, or array H,W,3
    method : str or callable
        ``"saliency"``, ``"smooth_grad"``, ``"grad_cam"``, ``"guided_backprop"``, ``"guided_grad_cam"``, or
        any function that takes a model, an image and a target and returns an `Attribution`. It is given
        the picture as the network sees it, H,W,3 from 0 to 1; where that is not all of the input (`image` is
        `Preprocessed`, or pictures have a range), the input as `Preprocessed`.
    target : int, str, or None
        None explains the class predicted by the trained network.
    seed : int
        Random seed of the noise.
    **options
        Options of `method`.

    Returns
    -------
    SanityCheck
        ``plot`` draws its curve. A Grad-CAM map differs at once; one of guided backpropagation stays similar
        down to the first layers, which the paper warns of.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        As `method` does; ValueError for a network without weights.
    """
    name, explain = _method(method)
    model, target = model.asked(target)
    checked_count("seed", seed)
    question = ask(model, image, target)
    model = question.model  # bound to what was given beside the picture
    if question.many:
        raise ValueError("sanity_check takes one image and one target")
    chosen = question.targets[0] if question.targets[0] is not None else target
    plain = question.exact and model.preprocessing.range is None
    given = question.pictures[0] if plain else Preprocessed(question.x[0])
    nodes = _weighted(model.graph)
    if not nodes:
        raise ValueError(f"{model.name} has no weights to replace")
    rng = np.random.default_rng(seed)
    maps = [explain(model, given, chosen, **options).map]
    constants = dict(model.graph.constants)
    for _, names in nodes:
        constants.update({name: _noise(constants[name], rng) for name in names})
        maps.append(explain(_with(model, constants), given, chosen, **options).map)
    return SanityCheck(
        tuple(layer for layer, _ in nodes),
        np.array([_similarity(maps[0], other) for other in maps]),
        tuple(maps),
        name,
    )


def _method(method: Union[str, Callable[..., Attribution]]) -> Tuple[str, Callable[..., Attribution]]:
    if callable(method):
        return getattr(method, "__name__", repr(method)), method
    if method not in TECHNIQUES:
        raise ValueError(f"method must be one of {', '.join(TECHNIQUES)}, or a callable, not {method!r}")
    return method, TECHNIQUES[method]


def _weighted(graph: Graph) -> List[Tuple[str, List[str]]]:
    """Layers that have weights, last one first, with the names of those weights (biases are kept)."""
    found: Dict[str, List[str]] = {}
    for node in reversed(graph.nodes):
        index = SCHEMAS[node.op].traits.weights
        if index is not None and node.inputs[index] in graph.constants:
            found[node.result] = [node.inputs[index]]
    return list(found.items())


def _noise(weights: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Draw normal numbers of the weights' standard deviation (their size, for a single number)."""
    spread = float(weights.std()) or float(np.abs(weights).mean())
    drawn = (spread * rng.standard_normal(weights.shape)).astype(weights.dtype)
    drawn.setflags(write=False)
    return drawn


def _with(model: Model, constants: Dict[str, NDArray[Any]]) -> Model:
    graph = replace(model.graph, constants=constants)
    other = Model(
        graph,
        preprocessing=model.preprocessing,
        labels=model.labels_by_output,
        name=f"{model.name}, forgetting",
        packed_nbytes=model.packed_nbytes,
        inputs=model.inputs,
    ).with_bound(model.bound)
    return other.output(model.head.answer.output)


def _similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    from scipy.stats import rankdata

    first, second = rankdata(np.abs(one)), rankdata(np.abs(other))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
