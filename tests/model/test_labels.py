"""Labels are found in several spellings, and an ambiguous or unknown one is answered with candidates."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnviz.model.labels import CIFAR10, Labels, as_labels, imagenet

KNOWN = (
    (0, "tench"),
    (281, "tabby"),
    (282, "tiger cat"),
    (243, "bull mastiff"),
    (258, "Samoyed"),
    (953, "pineapple"),
    (999, "toilet tissue"),
)


@pytest.mark.parametrize(("index", "name"), KNOWN)
def test_imagenet(index: int, name: str) -> None:
    labels = imagenet()
    assert len(labels) == 1000
    assert labels[index] == name
    assert labels.find(name) == index


@pytest.mark.parametrize(
    ("typed", "index"),
    [
        ("TABBY", 281),
        ("tiger_cat", 282),
        ("great-white shark", 2),
        ("samoyed", 258),
        ("n02123045", 281),
        ("mastiff", None),
        ("cardigan", 474),
        ("Cardigan", 264),
        ("macaw", 88),
        ("hammerhead", 4),
    ],
)
def test_spelling_is_forgiven(typed: str, index: int) -> None:
    if index is None:
        with pytest.raises(ValueError, match=r"2 classes: 'bull mastiff' \(243\), 'Tibetan mastiff' \(244\)"):
            imagenet().find(typed)
    else:
        assert imagenet().find(typed) == index


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("crane", r"target 'crane' matches 2 classes: 'crane' \(134\), 'crane' \(517\)"),
        ("tabbi", r"did you mean 'tabby' \(281\)\?"),
        ("xyzzy", r"'xyzzy' is not the label of a class \(1000 classes\)"),
        ("", "not the label of a class"),
    ],
)
def test_candidates_are_listed(typed: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        imagenet().find(typed)


def test_labels_follow_from_the_number_of_classes() -> None:
    assert as_labels(None, 1000)[281] == "tabby"
    with_background = as_labels(None, 1001)
    assert with_background[0] == "background"
    assert with_background[282] == "tabby"
    assert with_background.find("n02123045") == 282
    assert list(as_labels(None, 3)) == ["class 0", "class 1", "class 2"]
    assert list(as_labels("cifar10", 10)) == list(CIFAR10)
    assert as_labels("imagenet", 1001) == with_background
    assert list(as_labels(None, 0)) == []


def test_labels_of_the_users_own(tmp_path: Path) -> None:
    assert list(as_labels(["cat", "dog"], 2)) == ["cat", "dog"]
    file = tmp_path / "names.txt"
    file.write_text("cat\ndog\n\n")
    assert list(as_labels(file, 2)) == ["cat", "dog"]
    assert list(as_labels(["n02123045", "n02111889"], 2)) == ["tabby", "Samoyed"]
    own = Labels(["cat", "dog"])
    assert as_labels(own, 2) is own


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labels has 2 names, the network has 3 classes"):
        as_labels(["cat", "dog"], 3)
    with pytest.raises(ValueError, match="labels has 10 names, the network has 1000 classes"):
        as_labels("cifar10", 1000)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        as_labels(tmp_path / "nowhere.txt", 3)
