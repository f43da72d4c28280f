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
    """The constants of one graph in the form that plans read, made at their first use.

    All plans of a model share one instance, so the arrays and the forms that kernels pack from them exist
    once. Several threads may use it.

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
        """The constant `name`, converted by `make` if given; `form` identifies the conversion."""
        with self._lock:
            if (name, form) not in self._made:
                self._made[name, form] = as_constant(self._arrays[name], make)
            return self._made[name, form]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def packed_usage(self) -> Dict[str, int]:
        """Return the bytes of the forms that kernels have packed so far, by constant."""
        with self._lock:
            nbytes = dict.fromkeys((name for name, _ in self._made), 0)
            for (name, _), constant in self._made.items():
                nbytes[name] += constant.packed_nbytes
        return nbytes


def as_constant(
    array: NDArray[Any], make: Optional[Callable[[NDArray[Any]], NDArray[Any]]] = None
) -> _core.Constant:
    """A constant of the core from an array, converted by `make` if given."""
    if make is not None:
        with np.errstate(all="ignore"):  # weights of a file may be infinite
            array = make(array)
    return _core.Constant(np.ascontiguousarray(array, np.float32).reshape(array.shape))
