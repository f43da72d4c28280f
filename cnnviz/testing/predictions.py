"""Assertions that a prediction holds, under small changes too, and that two networks agree."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.model import Model
from cnnviz.objectives.base import ClassLike
from cnnviz.objectives.scores import lead
from cnnviz.pictures.image import ImageLike, ImagesLike, as_float
from cnnviz.pictures.preprocessed import Fed, Preprocessed

from .evidence import Panel, failure, ranked

Picture = NDArray[np.float32]  # H,W,3, RGB from 0 to 1
Change = Callable[[Picture], Picture]


def _shifted(rows: int, columns: int) -> Change:
    """Move the picture by whole pixels, repeating its border."""

    def change(picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        from_rows = np.clip(np.arange(height) - rows, 0, height - 1)
        from_columns = np.clip(np.arange(width) - columns, 0, width - 1)
        return picture[from_rows][:, from_columns]

    return change


def _noisy(picture: Picture) -> Picture:
    noise = np.random.default_rng(0).standard_normal(picture.shape, dtype=np.float32)
    return np.clip(picture + np.float32(4 / 255) * noise, 0, 1)


def _blurred(picture: Picture) -> Picture:
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4, np.float32)


#: CHANGES are small changes of a picture by name; none of them changes the class of the object.
CHANGES: Mapping[str, Change] = {
    "brighter": lambda picture: np.clip(picture * np.float32(1.1), 0, 1),
    "darker": lambda picture: picture * np.float32(0.9),
    "less contrast": lambda picture: np.float32(0.5) + np.float32(0.85) * (picture - np.float32(0.5)),
    "noise": _noisy,
    "blur": _blurred,
    "shift down": _shifted(2, 0),
    "shift right": _shifted(0, 2),
    "mirror": lambda picture: picture[:, ::-1],
}

Changes = Union[None, Sequence[str], Mapping[str, Change]]


def assert_prediction(
    model: Model,
    image: ImageLike,
    label: ClassLike,
    *,
    margin: float = 0.0,
    changes: Changes = None,
) -> None:
    """Assert that a network predicts a class for a picture, also after small changes.

    Parameters
    ----------
    model : Model
    image : path, PIL image, array H,W,3, `Preprocessed`, or a mapping for a network of several inputs
        Changes are made to the picture of a preprocessed input.
    label : str or int
        The class that must have the highest score; of a segmenter, the one that covers most places, by the
        shares of the places as scores.
    margin : float
        The least lead of its score over the next one, before a softmax or sigmoid.
    changes : sequence of str, or mapping of str to callable, optional
        Changes of the picture (float H,W,3 from 0 to 1), applied one at a time; the prediction must hold
        after each. Names are those of `CHANGES`.

    Raises
    ------
    AssertionError
        With every picture that failed, the scores, and a picture of both.
    ValueError
        When the class or a change is unknown, or the network has no classes.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    model.need_classes()
    wanted = model.class_index(label)
    alone: Any
    model, alone = model.split(image)
    fed = model.preprocessing.feed_of(alone) if isinstance(alone, Preprocessed) else None
    picture = as_float(model.preprocessing.read_one(alone)) if fed is None else _only(fed)
    named: Dict[str, Change] = {"as it is": lambda unchanged: unchanged, **_chosen(changes)}
    pictures = [np.ascontiguousarray(change(picture), dtype=np.float32) for change in named.values()]
    shown = [model.preprocess(model.preprocessing.in_units(one)) for one in pictures]
    if fed is not None:
        shown[0] = fed.x  # as it is
    scores = np.concatenate([model.scores(x) for x in shown])
    scores = model.head.answer.rows(scores)
    margins, _ = lead(scores, np.full(len(scores), wanted))
    # Comparisons with NaN are false, so that a NaN score is wrong.
    right = (margins >= margin) & ((margins > 0) | (margin < 0))
    wrong = np.flatnonzero(~right).tolist()
    if wrong:
        name = str(model.labels[wanted])
        lines = [_answer(model, list(named)[i], scores[i], wanted, float(margins[i])) for i in wrong]
        asked = f"expected {name!r}, ahead by {'more than 0' if margin == 0 else margin}"
        head = f"{model.name} fails on {len(wrong)} of {len(pictures)} pictures: {asked}"
        raise failure(
            "prediction", "\n  ".join([head, *lines]), _panels(model, pictures, named, scores, wrong, wanted)
        )


def _only(fed: Fed) -> Picture:
    """The picture of an input that is preprocessed already, and is not a batch of several."""
    if len(fed.x) > 1:
        raise ValueError(f"image has {len(fed.x)} pictures, but one is asked about")
    return fed.pictures[0]


def _answer(model: Model, name: str, scores: NDArray[np.float64], wanted: int, margin: float) -> str:
    best = int(scores.argmax())
    verdict = f"{str(model.labels[best])!r} {scores[best]:.3f}" if best != wanted else "right"
    if np.isnan(scores).any():
        verdict = f"{np.isnan(scores).sum()} of {len(scores)} scores are NaN"
    return f"{name}: {verdict}; {str(model.labels[wanted])!r} {scores[wanted]:.3f}, margin {margin:+.3f}"


def _panels(
    model: Model,
    pictures: Sequence[Picture],
    named: Mapping[str, Change],
    scores: NDArray[np.float64],
    wrong: Sequence[int],
    wanted: int,
) -> List[Panel]:
    first, names = wrong[0], list(named)
    expected, got = str(model.labels[wanted]), str(model.labels[int(scores[first].argmax())])
    values, labels = ranked(scores[first], model.labels, wanted)
    bars = Panel(f"scores, {names[first]}", values, labels)
    if first == 0:
        return [Panel(f"as it is: expected {expected}, got {got}", pictures[0]), bars]
    panels = [
        Panel(f"expected: {expected}", pictures[0]),
        Panel(f"{names[first]}: got {got}", pictures[first]),
    ]
    if same_shape(pictures, first):
        panels.append(Panel("difference", np.abs(pictures[first] - pictures[0]).max(2)))
    return [*panels, bars]


def same_shape(pictures: Sequence[Picture], i: int) -> bool:
    """Whether a change has kept the picture's size."""
    return pictures[i].shape == pictures[0].shape


def _chosen(changes: Changes) -> Dict[str, Change]:
    if changes is None:
        return {}
    if isinstance(changes, Mapping):
        return dict(changes)
    names = [changes] if isinstance(changes, str) else list(changes)
    unknown = [name for name in names if name not in CHANGES]
    if unknown:
        raise ValueError(f"changes: no change {unknown[0]!r}; there are {', '.join(CHANGES)}")
    return {name: CHANGES[name] for name in names}


def assert_models_agree(
    model: Model,
    reference: Union[Model, Callable[[NDArray[np.float32]], Any]],
    images: ImagesLike,
    *,
    rtol: float = 1e-3,
    atol: float = 1e-4,
) -> None:
    """Assert that two networks have the same scores, for example an export and its original.

    Parameters
    ----------
    model : Model
    reference : Model, or callable
        A callable takes the input of `model`, N,C,H,W, and returns scores N,classes (before or after the
        softmax, like the first output of the model's file).
    images : one picture or many
        Pictures as for `Model.preprocess`; each network applies its own preprocessing.
    rtol, atol : float
        Scores may differ by ``atol + rtol * max|scores of that picture|``.

    Raises
    ------
    AssertionError
        With the picture and class that differ most, and a picture of the scores.
    ValueError
        When the scores do not have the same shape.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    given = images
    model, images = model.split(given)
    x = model.preprocess(images)
    ours = np.asarray(model.forward(x), np.float64).reshape(len(x), -1)
    if isinstance(reference, Model):
        reference, images = reference.split(given)
        theirs: Any = reference.forward(reference.preprocess(images))
    else:
        theirs = reference(x)
    theirs = np.asarray(theirs, np.float64).reshape(len(x), -1)
    if ours.shape != theirs.shape:
        raise ValueError(f"the model's scores are {ours.shape}, the reference's {theirs.shape}")
    difference = ours - theirs
    allowed = atol + rtol * np.abs(theirs).max(1, keepdims=True)
    excess = np.abs(difference) / allowed
    if (excess <= 1).all():
        return
    row, column = (
        int(i) for i in np.unravel_index(int(np.nanargmax(np.nan_to_num(excess, nan=np.inf))), excess.shape)
    )
    lines = [
        f"{model.name} and its reference differ on {int((~(excess <= 1)).any(1).sum())} of {len(x)} pictures",
        _most(model, ours, theirs, float(allowed[row, 0]), row, column),
        f"predicted classes differ on {int((ours.argmax(1) != theirs.argmax(1)).sum())} of {len(x)}",
    ]
    raise failure("models-agree", "\n  ".join(lines), _agreement(model, x[row], ours[row], theirs[row], row))


def _most(model: Model, ours: Any, theirs: Any, allowed: float, row: int, column: int) -> str:
    label = _output_names(model, ours.shape[1])[column]
    gap = ours[row, column] - theirs[row, column]
    got = f"{ours[row, column]:.6g}, the reference's {theirs[row, column]:.6g}"
    return f"most on picture {row}, {str(label)!r}: {got}, off by {gap:+.3g} with {allowed:.3g} allowed"


def _output_names(model: Model, count: int) -> Tuple[str, ...]:
    """The labels where the output has one number for each of them, else the numbers of its places."""
    known = len(model.labels) == count
    return tuple(model.labels) if known else tuple(f"output {i}" for i in range(count))


def _agreement(model: Model, x: Any, ours: Any, theirs: Any, row: int) -> List[Panel]:
    """The picture, then bars of both scores and their difference, for the best and most different classes."""
    names = _output_names(model, len(ours))
    best = [np.argsort(-scores, kind="stable")[:4] for scores in (theirs, ours, np.abs(ours - theirs))]
    chosen = np.array(list(dict.fromkeys(int(index) for group in zip(*best) for index in group))[:8])
    chosen = chosen[np.argsort(-theirs[chosen], kind="stable")]
    labels = [names[index][:22] for index in chosen]
    both = [("expected: reference", theirs), (f"got: {model.name}", ours), ("got - expected", ours - theirs)]
    image = np.clip(model.preprocessing.inverse(x[None])[0], 0, 1)
    return [Panel(f"picture {row}", image), *(Panel(title, scores[chosen], labels) for title, scores in both)]
