"""Targets, labels, sizes and outputs as they are written on the command line."""

from __future__ import annotations

import argparse
import os
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

_SIZE = re.compile(r"(\d+)(?:x(\d+))?", re.ASCII)
_NUMBER = re.compile(r"(.+)\[(\d+(?:,\d+)*)\]", re.ASCII)


def target_of(model: Any, text: Optional[str]) -> Any:
    """Return the target of `text`: a class by label or index, OUTPUT=CLASS, or LAYER[i,j], one number.

    A label counts first, whatever is in it. OUTPUT= without a class is the predicted class of the output.
    """
    if text is None or text in model.labels:
        return text
    if text.isdigit():
        return int(text)
    output, equals, label = text.partition("=")
    if equals and output in model.outputs:
        return {output: (int(label) if label.isdigit() else label) if label else None}
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    from cnnviz.objectives import Score

    model.layers.resolve(number[1])
    return Score(number[1], tuple(map(int, number[2].split(","))))


def labels_of(given: Optional[Sequence[str]]) -> Union[str, Dict[str, str], None]:
    """Return the labels of FILE, or of OUTPUT=FILE, given once for each output."""
    if not given:
        return None
    if len(given) == 1 and ("=" not in given[0] or os.path.exists(given[0])):
        return given[0]
    pairs = [one.partition("=") for one in given]
    for output, equals, file in pairs:
        if not (output and equals and file):
            raise ValueError(f"--labels {output}: several files need their outputs, as OUTPUT=FILE")
    return {output: file for output, _, file in pairs}


def size_of(text: str) -> Tuple[int, int]:
    """Return height and width of HEIGHTxWIDTH, or of one number for both."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 320x320")
    return int(found[1]), int(found[2] or found[1])


def names_of(text: str) -> List[str]:
    """Return the names of NAME,NAME."""
    return [name for name in text.split(",") if name]
