"""The fingerprints of many layers of a model, computed in passes of limited memory."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy as np

from cnnviz.loading.agreement import Print, fingerprint
from cnnviz.model.model import Model

# The most numbers that one pass keeps.
_MOST_KEPT = 1 << 25


def prints_of(model: Model, values: Sequence[str], given: Any, batch: int) -> Dict[str, Print]:
    """Return the fingerprints of values of a model, computed in passes that keep a limited number of them.

    Parameters
    ----------
    model : Model
    values : sequence of str
    given : ndarray or mapping of str to ndarray
        The inputs, as `Model.forward` takes them.
    batch : int
        Their number of images.
    """
    found: Dict[str, Print] = {}
    group: List[str] = []
    size = 0
    for index, value in enumerate(values):
        group.append(value)
        size += int(np.prod(model.layers[value])) * batch
        if size >= _MOST_KEPT or index == len(values) - 1:
            read_back = model.forward(given, group)
            found.update((one, fingerprint(array)) for one, array in read_back.items())
            group, size = [], 0
    return found
