"""Labels of classes, and the lookup of a class by its label."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Sequence, Union, overload

from cnnviz.one_line import shortened

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_IMAGENET_FILE = Path(__file__).with_name("imagenet.txt")

LabelsLike = Union[None, str, "os.PathLike[str]", Sequence[str]]
#: The labels of the first output, or those of several outputs by name.
LabelsByOutput = Union[LabelsLike, Mapping[str, LabelsLike]]


class Labels(Sequence[str]):
    """The names of a network's classes, in the order of its outputs.

    Parameters
    ----------
    names : sequence of str
    ids : sequence of str, optional
        A second name of each class that `find` finds too, such as ImageNet's WordNet ids.
    """

    def __init__(self, names: Sequence[str], ids: Optional[Sequence[str]] = None) -> None:
        self._names = tuple(names)
        self._ids = tuple(ids) if ids is not None else ()

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: Union[int, slice]) -> Union[str, Sequence[str]]:
        return self._names[index]

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labels) and self._names == other._names

    def __hash__(self) -> int:
        return hash(self._names)

    def __repr__(self) -> str:
        more = ", ..." if len(self) > 3 else ""
        return f"Labels({len(self)}: {', '.join(map(shortened, self._names[:3]))}{more})"

    def find(self, name: str, *, argument: str = "target") -> int:
        """Return the index of the class called `name`.

        An exact match counts first; then a match up to case and to the space, hyphen or underscore between
        words; then a class in whose name the words occur.

        Raises
        ------
        ValueError
            When no class or more than one matches; the message lists the candidates.
        """
        wanted = folded(name)
        plain = [folded(label) for label in self._names]
        matches = [i for i, label in enumerate(self._names) if label == name]
        if not matches:
            matches = [i for i, label in enumerate(plain) if label == wanted]
        if not matches and name in self._ids:
            matches = [self._ids.index(name)]
        if not matches and wanted:
            matches = [i for i, label in enumerate(plain) if f" {wanted} " in f" {label} "]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ValueError(f"{argument} {name!r} matches {len(matches)} classes: {self._listed(matches)}")
        close = difflib.get_close_matches(wanted, plain, n=5, cutoff=0.6)
        near = [i for i, label in enumerate(plain) if label in close or (wanted and wanted in label)]
        hint = f"; did you mean {self._listed(near)}?" if near else f" ({len(self)} classes)"
        raise ValueError(f"{argument} {name!r} is not the label of a class{hint}")

    def _listed(self, indices: Sequence[int]) -> str:
        shown = [f"{self._names[i]!r} ({i})" for i in indices[:12]]
        return ", ".join(shown) + (", ..." if len(indices) > 12 else "")


def imagenet() -> Labels:
    """Return the 1000 classes of ILSVRC-2012, in the order of their sorted WordNet ids."""
    rows = [line.split("\t") for line in _IMAGENET_FILE.read_text("utf-8").splitlines() if line[0] != "#"]
    return Labels([name for _, name in rows], [wordnet_id for wordnet_id, _ in rows])


def as_labels(labels: LabelsLike, classes: int) -> Labels:
    """Resolve the labels of a network with `classes` classes.

    Parameters
    ----------
    labels : None, "imagenet", "cifar10", path or sequence of str
        None guesses from the number of classes: 1000 are ImageNet's, 1001 the same after a background class;
        any other number gets "class 0", "class 1", ... A file has one label to a line; lines that are WordNet
        ids get ImageNet's names.

    Raises
    ------
    ValueError
        When the number of labels is not that of the classes.
    """
    if labels is None:
        found = _guessed(classes)
    elif isinstance(labels, Labels):
        found = labels
    elif labels == "imagenet":
        found = _guessed(classes) if classes == 1001 else imagenet()
    elif labels == "cifar10":
        found = Labels(CIFAR10)
    elif isinstance(labels, (str, os.PathLike)):
        found = _from_file(Path(labels))
    else:
        found = _from_names([str(label) for label in labels])
    if len(found) != classes:
        raise ValueError(f"labels has {len(found)} names, the network has {classes} classes")
    return found


def _guessed(classes: int) -> Labels:
    if classes in (1000, 1001):
        known = imagenet()
        before = ["background"] if classes == 1001 else []
        return Labels([*before, *known], [*before, *known._ids])
    return Labels([f"class {i}" for i in range(classes)])


def _from_file(path: Path) -> Labels:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"labels: {str(path)!r} is neither a file nor one of 'imagenet', 'cifar10'"
        ) from None
    return _from_names([line.strip() for line in text.splitlines() if line.strip()])


def _from_names(names: List[str]) -> Labels:
    if all(re.fullmatch(r"n\d{8}", name) for name in names):
        known = imagenet()
        by_id = dict(zip(known._ids, known))
        return Labels([by_id.get(name, name) for name in names], names)
    return Labels(names)


def folded(name: str) -> str:
    """Return a label in small letters, with one space between its words."""
    return re.sub(r"[\s_\-]+", " ", name).strip().lower()
