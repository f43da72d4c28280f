"""A file can carry its preprocessing and labels; the arguments of `load` override them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import cnnviz
from cnnviz.bundled.network import initial_parameters, onnx_model
from cnnviz.model.metadata import LABELS, PREPROCESSING, labels_in, metadata_of, preprocessing_in


@pytest.fixture(scope="module")
def parameters():
    return initial_parameters(np.random.default_rng(0))


def test_metadata_is_read_back_as_written():
    written = cnnviz.Preprocessing(size=(8, 9), crop=0.9, channel_order="BGR", mean=(1.0, 2.0, 3.0), std=2.0)
    metadata = metadata_of(written, ["a", "b"])
    assert preprocessing_in(metadata) == written
    assert labels_in(metadata) == ["a", "b"]
    assert preprocessing_in({}) is None
    assert labels_in({}) is None


def test_arguments_of_load_override_the_metadata(parameters):
    data = onnx_model(parameters, {}).SerializeToString()
    model = cnnviz.load(data)
    assert (model.labels[0], model.preprocessing.name) == ("circle", "shapes")
    assert model.preprocessing.size == (96, 96)
    other = cnnviz.load(data, preprocessing="tf", labels=[str(i) for i in range(12)])
    assert (other.labels[0], other.preprocessing.name) == ("0", "tf")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (PREPROCESSING, "{", "is not JSON"),
        (PREPROCESSING, "[1]", "must be a JSON object"),
        (PREPROCESSING, '{"colour": 1}', "colour"),
        (PREPROCESSING, '{"std": 0}', "std must be positive"),
        (LABELS, '"circle"', "must be a JSON list of strings"),
        (LABELS, "[1, 2]", "must be a JSON list of strings"),
    ],
)
def test_malformed_entries_are_refused_by_name(parameters, key, value, says):
    model = onnx_model(parameters, {})
    onnx.helper.set_model_props(model, {key: value})
    with pytest.raises(cnnviz.ModelFormatError, match=f"metadata {key}.*{says}"):
        cnnviz.load(model.SerializeToString())
