"""Plans at hand: a network specialised to the shape and the request of a call, made once and lent out."""

from __future__ import annotations

import operator
import sys
import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from cnnviz._config import _core
from cnnviz.graph import Graph, Tensor, prune
from cnnviz.lower import Lowered, Weights, lower

# What packed weights may take unless a model is told otherwise: nearly all that ResNet-18 gains from
# (csrc/DESIGN.md has what less costs).
PACKED_NBYTES = 2**27


class Request(NamedTuple):
    """What a plan is prepared for: the shape of its input, and values by name."""

    shape: Tuple[int, ...]
    keep: Tuple[str, ...]
    seeds: Tuple[str, ...] = ()
    wrt: Tuple[str, ...] = ()


class PlanPool:
    """Lends plans of one network to any number of threads, each plan to one at a time.

    Idle plans are kept up to `idle_nbytes` in all, the longest unused dropped first, and at least the last
    one whatever its size: a loop over one shape must find its plan again. Plans together have weights packed
    up to `packed_nbytes`; what a pass returns does not depend on which have got theirs.
    """

    def __init__(self, graph: Graph, idle_nbytes: int, packed_nbytes: int) -> None:
        self._graph = graph
        self._weights = Weights(graph)
        self._idle_limit = idle_nbytes
        self.packed_limit = _checked_nbytes(packed_nbytes)
        self._packing = threading.Lock()
        self._idle: OrderedDict[Tuple[Request, int], List[Lowered]] = OrderedDict()
        self._nbytes: Dict[Request, int] = {}
        self._lock = threading.Lock()

    def lower(self, shape: Tuple[int, ...], values: Optional[Sequence[str]] = None) -> Lowered:
        """Build a plan without preparing it: enough to know names and shapes.

        With `values`, only of what they depend on: features of a network whose classifier insists on one size
        can be had at any size.
        """
        graph = self._graph
        if values is not None:
            graph = prune(graph.replace(outputs=tuple(Tensor(name, None) for name in values)))
        return lower(graph, {graph.inputs[0].name: shape}, self._weights)

    @contextmanager
    def lend(self, request: Request) -> Iterator[Lowered]:
        """Lend a plan for `request`; one whose pass failed or was interrupted is not taken back."""
        key = (request, _core.get_num_threads())
        lowered = self._take(key) or self._prepared(request)
        yield lowered
        self._give_back(key, lowered)

    def packed_nbytes(self) -> Dict[str, int]:
        """Return the bytes of the packed weights that there are by now, by constant."""
        return self._weights.packed_nbytes()

    def nbytes(self, request: Request) -> int:
        """Return the size of the arena that a plan for `request` takes."""
        with self._lock:
            known = self._nbytes.get(request)
        if known is not None:
            return known
        with self.lend(request):
            pass
        return self._nbytes[request]

    def _take(self, key: Tuple[Request, int]) -> Lowered | None:
        with self._lock:
            waiting = self._idle.get(key)
            if not waiting:
                return None
            lowered = waiting.pop()
            if not waiting:
                del self._idle[key]
            return lowered

    def _prepared(self, request: Request) -> Lowered:
        wanted = dict.fromkeys((*request.keep, *request.seeds, *request.wrt))
        lowered = self.lower(request.shape, tuple(wanted))
        ids = lowered.values
        with self._packing:
            lowered.plan.prepare(
                keep=[ids[name] for name in request.keep],
                seeds=[ids[name] for name in request.seeds],
                wrt=[ids[name] for name in request.wrt],
                packed_nbytes=max(0, self.packed_limit - sum(self.packed_nbytes().values())),
            )
        memory = lowered.plan.describe()["memory"]
        with self._lock:
            self._nbytes[request] = int(memory["arena"])
        return lowered

    def _give_back(self, key: Tuple[Request, int], lowered: Lowered) -> None:
        with self._lock:
            self._idle.setdefault(key, []).append(lowered)
            self._idle.move_to_end(key)
            while len(self._idle) > 1 and self._idle_nbytes() > self._idle_limit:
                self._idle.popitem(last=False)

    def _idle_nbytes(self) -> int:
        return sum(self._nbytes[request] * len(plans) for (request, _), plans in self._idle.items())


def _checked_nbytes(packed_nbytes: int) -> int:
    try:
        nbytes = operator.index(packed_nbytes)
    except TypeError:
        raise TypeError(f"packed_nbytes must be a number of bytes, not {packed_nbytes!r}") from None
    if nbytes < 0:
        raise ValueError(f"packed_nbytes must not be negative, and is {nbytes}")
    return min(nbytes, sys.maxsize)
