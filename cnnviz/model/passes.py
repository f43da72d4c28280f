"""Forward and backward passes of a batch: cut into pieces, each run on a plan that a pool lends."""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.gradients import (
    Gradient,
    batch_back,
    batch_first,
    joined,
    joined_gradients,
    seeds_by_value,
)
from cnnviz.model.inputs import Feeds
from cnnviz.model.plan_pool import PlanPool, Request
from cnnviz.objectives import Objective

Array = NDArray[np.float32]

# The largest number of images of one pass: more leave the caches, fewer read large weights too often
# (tests/bench/chunks.py).
MOST_IMAGES = 4
# The largest arena of one pass; a pass of one image may take more.
BUDGET_NBYTES = 2**30


def pieces(pool: PlanPool, feeds: Feeds, request: Request) -> Iterator[Tuple[Feeds, int, int]]:
    """Cut a batch into pieces, so that plans stay small: each piece with its first index and its end.

    Results do not depend on the cut. The images of a batch that the network would mix run one by one.
    """
    count = len(feeds.x)
    step = min(count, MOST_IMAGES)
    if step > 1:
        one = pool.nbytes(request._replace(shape=(1, *request.shape[1:])))
        step = max(1, min(step, BUDGET_NBYTES // max(one, 1)))
    if step > 1 and pool.mixing(request) is not None:
        step = 1
    for start in range(0, count, step):
        stop = min(start + step, count)
        yield feeds.cut(start, stop), start, stop


def run_forward(pool: PlanPool, feeds: Feeds, request: Request) -> Dict[str, Array]:
    """Return the values that `request` keeps, for a whole batch, along the axis of the network."""
    parts = [_forward(pool, piece, request) for piece, _, _ in pieces(pool, feeds, request)]
    if len(parts) == 1:
        return parts[0]
    count = len(feeds.x)
    images = 1 if len(parts) == count else count
    axes = {name: _axis(pool, request, name, array, images) for name, array in parts[0].items()}
    return {name: joined([part[name] for part in parts], axes[name]) for name in request.keep}


def _forward(pool: PlanPool, feeds: Feeds, request: Request) -> Dict[str, Array]:
    with pool.lend(request._replace(shape=feeds.x.shape)) as lowered:
        lowered.plan.forward([feeds.x, *feeds.others.values()])
        return {name: lowered.plan.read(lowered.values[name]) for name in request.keep}


def _axis(pool: PlanPool, request: Request, name: str, array: Array, images: int) -> int:
    """The axis of the images in a value, the first one where it has several rows for each image."""
    if images == 1 and array.shape[:1] == (1,):
        return 0
    return pool.batch_axis(request, name, array.shape) or 0


def check_rows(name: str, array: Array, images: int) -> None:
    """Raise ValueError unless a layer has one row for each image of a batch."""
    if array.shape[:1] != (images,):
        rows = len(array) if array.ndim else "no"
        raise ValueError(
            f"layer {name!r} has {rows} rows for {images} images: "
            "the network mixes the images of a batch, give them one by one"
        )


def run_backward(
    pool: PlanPool,
    feeds: Feeds,
    objectives: Sequence[Objective],
    wrt: Tuple[str, ...],
    values: Mapping[str, str],
    request: Request,
    relu: str,
) -> List[Gradient]:
    """Differentiate objectives of a whole batch after one forward pass: a gradient for each objective.

    Parameters
    ----------
    pool : PlanPool
    feeds : Feeds
    objectives : sequence of Objective
        The objectives, each of the whole batch.
    wrt : tuple of str
        The names, as the caller gave them, of the values to differentiate by.
    values : mapping of str to str
        The value of the graph for each name that an objective reads or that is in `wrt`.
    request : Request
        Made by `gradient_request` from the same names.
    relu : str
        The backward rule of rectifiers.
    """
    parts = [
        _backward(
            pool,
            piece,
            objectives if len(piece.x) == len(feeds.x) else [goal.take(start, stop) for goal in objectives],
            wrt,
            values,
            request,
            relu,
        )
        for piece, start, stop in pieces(pool, feeds, request)
    ]
    return parts[0] if len(parts) == 1 else [joined_gradients(each) for each in zip(*parts)]


def _backward(
    pool: PlanPool,
    feeds: Feeds,
    objectives: Sequence[Objective],
    wrt: Tuple[str, ...],
    values: Mapping[str, str],
    request: Request,
    relu: str,
) -> List[Gradient]:
    found = []
    count = len(feeds.x)
    with pool.lend(request._replace(shape=feeds.x.shape)) as lowered:
        plan, ids = lowered.plan, lowered.values
        plan.forward([feeds.x, *feeds.others.values()])
        fed = dict(zip(lowered.inputs, (feeds.x, *feeds.others.values())))
        kept = {value: plan.read(ids[value]) for value in request.keep}
        axes = {value: _axis(pool, request, value, array, count) for value, array in kept.items()}
        kept = {value: batch_first(array, axes[value]) for value, array in kept.items()}
        for goal in objectives:
            given = {name: {**fed, **kept}[values[name]] for name in goal.layers}
            for name, array in given.items():
                check_rows(name, array, count)
            value, cotangents = goal.evaluate(given)
            moved = {name: batch_back(array, axes.get(values[name], 0)) for name, array in cotangents.items()}
            plan.backward(seeds_by_value(moved, values, ids), relu=relu)
            gradients = {
                name: batch_first(plan.gradient(ids[values[name]]), axes.get(values[name], 0)) for name in wrt
            }
            for name in wrt:
                if values[name] in fed:
                    check_rows(name, gradients[name], count)
            read = (*goal.layers, *wrt)
            activations = {name: kept[values[name]] for name in read if values[name] in kept}
            found.append(Gradient(value, gradients, activations))
    return found
