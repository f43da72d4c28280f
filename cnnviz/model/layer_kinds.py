"""The kinds of layers, by the questions that can be asked of them."""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Tuple

from cnnviz.model.axes import Places

__all__ = ["QUESTIONS", "kind_of", "kinds_of_scores"]

Shape = Tuple[int, ...]

#: QUESTIONS says for each kind of layer what can be asked of it.
QUESTIONS: Mapping[str, str] = {
    "maps": "a layer for Grad-CAM and style transfer; targets Channel, Neuron, Gram, Content, Score",
    "places": "a layer for Grad-CAM; targets Score, Layer, Content, Similarity, cotangents",
    "scores": "targets are classes, by index or label, and Score",
    "map of scores": "targets are classes, where they win, Region, Score",
    "numbers": "targets Score, Layer, Content, Similarity, cotangents",
    "rows": "several rows for each picture: it can be read, but no target can be put on it",
}


def kind_of(
    name: str, shape: Shape, places: Optional[Places], scores: Mapping[str, str], axis: Optional[int]
) -> str:
    """Return the kind of a layer, a key of `QUESTIONS`.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Its shape for one picture.
    places : Places or None
        Where its places lie, None for a layer without any.
    scores : mapping of str to str
        The kinds of the layers that hold the scores of an output.
    axis : int or None
        The axis of the batch, None where each picture has several rows.
    """
    if axis is None:
        return "rows"
    if name in scores:
        return scores[name]
    if places is None:
        return "numbers"
    maps = len(shape) == 4 and (places.rows, places.columns) == shape[2:]
    return "maps" if maps else "places"


def kinds_of_scores(answers: Mapping[str, str]) -> Dict[str, str]:
    """Return the kinds of the layers with scores, from the kind of answer that each of them gives."""
    return {
        layer: "map of scores" if answer in ("map", "values") else "scores"
        for layer, answer in answers.items()
        if answer != "dense"
    }
