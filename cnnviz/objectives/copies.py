"""One objective applied to several copies of its batch, for sweeps over noisy variants of a picture."""

from __future__ import annotations

from typing import Dict, List

import numpy as np

from cnnviz.objectives.base import Activations, Array, Objective, ValueAndCotangents


class Copies(Objective):
    """An objective of a batch, applied to that batch repeated `copies` times, copy after copy.

    Parameters
    ----------
    objective : Objective
    batch : int
        Number of images in one copy.
    copies : int
    """

    def __init__(self, objective: Objective, batch: int, copies: int) -> None:
        self.objective = objective
        self.batch = batch
        self.rows = range(batch * copies)
        self.layers = objective.layers

    @property
    def name(self) -> str:
        return self.objective.name

    def check_batch(self, batch: int) -> None:
        self.objective.check_batch(self.batch)

    def take(self, start: int, stop: int) -> Copies:
        part = Copies(self.objective, self.batch, 0)
        part.rows = self.rows[start:stop]
        return part

    def evaluate(self, activations: Activations) -> ValueAndCotangents:
        values = []
        cotangents: Dict[str, List[Array]] = {}
        done = 0
        while done < len(self.rows):
            first = self.rows[done] % self.batch
            count = min(self.batch - first, len(self.rows) - done)
            some = {layer: activations[layer][done : done + count] for layer in self.layers}
            value, found = self.objective.take(first, first + count).evaluate(some)
            values.append(value)
            for layer, cotangent in found.items():
                cotangents.setdefault(layer, []).append(cotangent)
            done += count
        return np.concatenate(values), {layer: np.concatenate(parts) for layer, parts in cotangents.items()}
