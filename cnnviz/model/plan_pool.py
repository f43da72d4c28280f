"""A pool of plans: a network specialised to the shape and the request of a call, made once and lent out."""

from __future__ import annotations

import operator
import sys
from collections import OrderedDict
from contextlib import contextmanager
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from cnnviz._config import _core
from cnnviz.fork_lock import ForkLock
from cnnviz.graph.entry import input_shapes
from cnnviz.graph.graph import Graph, Tensor, prune
from cnnviz.lowering.lower import Lowered, MixedBatchError, lower
from cnnviz.lowering.weights import Weights
from cnnviz.model.layers import lone_axis

# The default limits on the memory of packed weights; docs/decisions/packed-weights.md has the cost of less.
# A network of _BUSY_MACS multiply-adds uses each weight so often that packing gains next to nothing.
PACKED_NBYTES = 192 << 20
BUSY_PACKED_NBYTES = 8 << 20
_BUSY_MACS = 8 * 10**9
# The largest number of plans of a workspace, each of some hundred kB; the longest unused one is dropped.
_MOST_PLANS = 16


class Request(NamedTuple):
    """What a plan is prepared for: the shape of the picture's input, and values by name."""

    shape: Tuple[int, ...]
    keep: Tuple[str, ...]
    seeds: Tuple[str, ...] = ()
    wrt: Tuple[str, ...] = ()

    @property
    def values(self) -> Tuple[str, ...]:
        """All these values, each once."""
        return tuple(dict.fromkeys((*self.keep, *self.seeds, *self.wrt)))


Key = Tuple[Request, int]  # the request and the number of threads


class _Workspace:
    """Plans that share the memory of their passes, which is as large as the largest of them needs."""

    def __init__(self) -> None:
        self.plans: OrderedDict[Key, Lowered] = OrderedDict()
        self.nbytes = 0


class PlanPool:
    """Lends plans of one network to any number of threads, each plan to one at a time.

    There are as many workspaces as threads that have asked at the same time. Idle ones are kept up to
    `idle_nbytes` in all, the longest unused dropped first, and at least the last one whatever its size: a
    loop over one shape must find its plan again. The packed weights of all plans together take up to
    `packed_nbytes`; results do not depend on which weights are packed.
    """

    def __init__(self, graph: Graph, idle_nbytes: int, packed_nbytes: int) -> None:
        self._graph = graph
        self._weights = Weights(graph)
        self._idle_limit = idle_nbytes
        self.packed_limit = _checked_nbytes(packed_nbytes)
        self._packing = ForkLock()
        self._idle: List[_Workspace] = []  # in the order of their last use
        self._nbytes: Dict[Request, int] = {}
        self._batches: Dict[Request, Tuple[Optional[str], Mapping[str, int]]] = {}
        self._lock = ForkLock()

    def lower(self, shape: Tuple[int, ...], values: Optional[Sequence[str]] = None) -> Lowered:
        """Build a plan without preparing it: enough to know names and shapes.

        With `values`, the plan has only the nodes that these values depend on: feature maps can be computed
        at sizes that the classifier behind them refuses.
        """
        graph = self._graph
        if values is not None:
            graph = prune(graph.replace(outputs=tuple(Tensor(name, None) for name in values)))
        return lower(graph, input_shapes(graph, shape), self._weights, apart=True)

    def mixing(self, request: Request) -> Optional[str]:
        """Return the reason why no plan for `request` takes several images, None if one does."""
        return self._batch(request)[0]

    def batch_axis(self, request: Request, value: str, extents: Tuple[int, ...]) -> Optional[int]:
        """Return the axis of the images in a value of a plan, None if it has several rows for each image.

        Where the network mixes the images of a batch, so that they run one by one, the only axis of extent 1
        serves for that of the images. `extents` are those of the value for one image.
        """
        reason, axes = self._batch(request)
        if reason is None:
            return axes.get(value)
        return lone_axis(extents)

    def batch_axes(self, shape: Tuple[int, ...]) -> Optional[Mapping[str, int]]:
        """Return the axis of the images of all values that have one, None where the network mixes them.

        `shape` is that of the input for one image.
        """
        graph = self._graph.replace(outputs=())
        try:
            return lower(graph, input_shapes(graph, (2, *shape[1:])), self._weights, apart=True).axes
        except MixedBatchError:
            return None

    def _batch(self, request: Request) -> Tuple[Optional[str], Mapping[str, int]]:
        """The reason why no plan takes several images, and else the axis of the images of the values."""
        key = request._replace(shape=(2, *request.shape[1:]))
        with self._lock:
            if key in self._batches:
                return self._batches[key]
        found: Tuple[Optional[str], Mapping[str, int]]
        try:
            axes = self.lower(key.shape, key.values).axes
            found = None, {name: axes[name] for name in key.values if name in axes}
        except MixedBatchError as error:
            found = str(error), {}
        with self._lock:
            self._batches[key] = found
        return found

    @contextmanager
    def lend(self, request: Request) -> Iterator[Lowered]:
        """Lend a plan for `request`; one whose pass failed or was interrupted is not taken back."""
        key = (request, _core.get_num_threads())
        workspace = self._take(key)
        try:
            lowered = workspace.plans.pop(key, None) or self._prepared(request, workspace)
            yield lowered
            workspace.plans[key] = lowered  # now the last one used
        finally:
            self._give_back(workspace, request)

    def packed_usage(self) -> Dict[str, int]:
        """Return the bytes of the weights packed so far, by constant."""
        return self._weights.packed_usage()

    def nbytes(self, request: Request) -> int:
        """Return the size of the arena that a plan for `request` takes."""
        with self._lock:
            known = self._nbytes.get(request)
        if known is not None:
            return known
        with self.lend(request):
            pass
        return self._nbytes[request]

    def _take(self, key: Key) -> _Workspace:
        with self._lock:
            for i in reversed(range(len(self._idle))):
                if key in self._idle[i].plans:
                    return self._idle.pop(i)
            return self._idle.pop() if self._idle else _Workspace()

    def _prepared(self, request: Request, workspace: _Workspace) -> Lowered:
        lowered = self.lower(request.shape, request.values)
        ids = lowered.values
        with self._packing:
            lowered.plan.prepare(
                keep=[ids[name] for name in request.keep],
                seeds=[ids[name] for name in request.seeds],
                wrt=[ids[name] for name in request.wrt],
                packed_nbytes=max(0, self.packed_limit - sum(self.packed_usage().values())),
                shares=next((other.plan for other in workspace.plans.values()), None),
            )
        nbytes = int(lowered.plan.describe()["memory"]["arena"])
        workspace.nbytes = max(workspace.nbytes, nbytes)
        with self._lock:
            self._nbytes[request] = nbytes
        return lowered

    def _give_back(self, workspace: _Workspace, request: Request) -> None:
        while len(workspace.plans) > _MOST_PLANS:
            workspace.plans.popitem(last=False)
        if not workspace.plans:
            return
        if workspace.nbytes > self._idle_limit and self._nbytes.get(request, 0) < workspace.nbytes:
            return  # a workspace over the limit is dropped once a request needs less
        with self._lock:
            self._idle.append(workspace)
            while len(self._idle) > 1 and sum(idle.nbytes for idle in self._idle) > self._idle_limit:
                self._idle.pop(0)


def usual_packed_nbytes(macs: int) -> int:
    """Return the default limit on packed weights, in bytes, of a network of `macs` multiply-adds."""
    return PACKED_NBYTES if macs < _BUSY_MACS else BUSY_PACKED_NBYTES


def _checked_nbytes(packed_nbytes: int) -> int:
    try:
        nbytes = operator.index(packed_nbytes)
    except TypeError:
        raise TypeError(f"packed_nbytes must be a number of bytes, not {packed_nbytes!r}") from None
    if nbytes < 0:
        raise ValueError(f"packed_nbytes must be at least 0, not {nbytes}")
    return min(nbytes, sys.maxsize)
