"""The preprocessing and the labels that an ONNX file carries in its metadata_props.

ONNX has no field for either. A file that carries the two keys below, as JSON, needs neither argument of
`cnnviz.load`::

    cnnviz.preprocessing  {"size": [96, 96], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    cnnviz.labels         ["circle", "square", "triangle"]

The keys of the first are the arguments of `cnnviz.Preprocessing`; those left out have its defaults.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Dict, List, Mapping, Optional, Sequence

from cnnviz.errors import ModelFormatError
from cnnviz.pictures.preprocessing import Preprocessing

PREPROCESSING = "cnnviz.preprocessing"
LABELS = "cnnviz.labels"


def metadata_of(preprocessing: Preprocessing, labels: Sequence[str]) -> Dict[str, str]:
    """Return the entries that make a file carry its preprocessing and labels."""
    return {PREPROCESSING: json.dumps(asdict(preprocessing)), LABELS: json.dumps(list(labels))}


def preprocessing_in(metadata: Mapping[str, str]) -> Optional[Preprocessing]:
    """Return the preprocessing that a file carries, None when it carries none.

    Raises
    ------
    ModelFormatError
        When the entry is not JSON, or not arguments of `Preprocessing`.
    """
    if PREPROCESSING not in metadata:
        return None
    arguments: Any = _json(metadata, PREPROCESSING)
    if not isinstance(arguments, dict):
        raise ModelFormatError(f"metadata {PREPROCESSING} must be a JSON object, not {arguments!r}")
    for name, value in arguments.items():
        arguments[name] = tuple(value) if isinstance(value, list) else value
    try:
        return Preprocessing(**arguments)
    except (TypeError, ValueError) as error:
        raise ModelFormatError(f"metadata {PREPROCESSING}: {error}") from error


def labels_in(metadata: Mapping[str, str]) -> Optional[List[str]]:
    """Return the labels that a file carries, None when it carries none.

    Raises
    ------
    ModelFormatError
        When the entry is not a JSON list of strings.
    """
    if LABELS not in metadata:
        return None
    labels = _json(metadata, LABELS)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ModelFormatError(f"metadata {LABELS} must be a JSON list of strings, not {labels!r:.80}")
    return labels


def _json(metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(metadata[key])
    except ValueError as error:
        raise ModelFormatError(f"metadata {key} is not JSON: {error}") from error
