"""The constants of a graph in the form that plans read, one copy for all plans of a model."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz._config import _core
from cnnviz.fork_lock import ForkLock
from cnnviz.graph.graph import Graph

__all__ = ["Weights", "as_constant"]


class Weights:
    """The constants of one graph in the form that plans read, made when first asked for.

    All plans of a model share one: the numbers exist once, and so do the forms that kernels pack from them.
    Safe to use from several threads.

    Parameters
    ----------
    graph : Graph
    """

    def __init__(self, graph: Graph) -> None:
        self._arrays = graph.constants
        self._made: Dict[Tuple[str, str], _core.Constant] = {}
        self._lock = ForkLock()

    def get(
        self, name: str, form: str = "", make: Optional[Callable[[NDArray[Any]], NDArray[Any]]] = None
    ) -> _core.Constant:
        """The constant `name`, or what `make` turns it into; `form` identifies what `make` does."""
        with self._lock:
            if (name, form) not in self._made:
                self._made[name, form] = as_constant(self._arrays[name], make)
            return self._made[name, form]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def packed_nbytes(self) -> Dict[str, int]:
        """Return the bytes of the forms that kernels have packed so far, by constant."""
        with self._lock:
            nbytes = dict.fromkeys((name for name, _ in self._made), 0)
            for (name, _), constant in self._made.items():
                nbytes[name] += constant.packed_nbytes
        return nbytes


def as_constant(
    array: NDArray[Any], make: Optional[Callable[[NDArray[Any]], NDArray[Any]]] = None
) -> _core.Constant:
    """A constant of the core with these numbers, or with what `make` turns them into."""
    if make is not None:
        with np.errstate(all="ignore"):  # a file may well hold infinite weights
            array = make(array)
    return _core.Constant(np.ascontiguousarray(array, np.float32).reshape(array.shape))
