"""Training the bundled network: it learns, it repeats bit for bit, and it resumes as if never interrupted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import cnnviz
from cnnviz import bundled
from cnnviz.bundled import train as program
from cnnviz.bundled.network import as_input, initial_parameters, onnx_model, training_plan
from cnnviz.bundled.report import log_probabilities, report
from cnnviz.bundled.state import TrainingRecipe
from cnnviz.bundled.training import adam_step, augmented, begin, pictures_of_epoch, train

SHORT = TrainingRecipe(seed=1, epochs=2, pictures=24, passes=1, batch=8, plain=0.5)


def assert_same_numbers(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


@pytest.fixture(scope="module")
def shortly_trained():
    return train(SHORT, progress=False)


def test_an_interrupted_training_goes_on_bit_for_bit(shortly_trained, tmp_path):
    checkpoint = tmp_path / "half.npz"
    half = train(SHORT, checkpoint=checkpoint, stop_after=1, progress=False)
    assert half.epoch == 1
    whole = train(SHORT, checkpoint=checkpoint, progress=False)
    assert whole.epoch == 2
    assert whole.history == shortly_trained.history
    assert_same_numbers(whole.parameters, shortly_trained.parameters)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_weight(shortly_trained, threads):
    before = cnnviz.get_num_threads()
    cnnviz.set_num_threads(threads)
    try:
        again = train(dataclasses.replace(SHORT), progress=False)
    finally:
        cnnviz.set_num_threads(before)
    assert_same_numbers(again.parameters, shortly_trained.parameters)


def test_another_seed_is_another_network(shortly_trained):
    other = begin(dataclasses.replace(SHORT, seed=2))
    assert (other.parameters["conv1.weight"] != begin(SHORT).parameters["conv1.weight"]).any()


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    checkpoint = tmp_path / "other.npz"
    train(SHORT, checkpoint=checkpoint, stop_after=0, progress=False)
    train(SHORT, checkpoint=checkpoint, stop_after=1, progress=False)
    with pytest.raises(ValueError, match="is a checkpoint of another recipe"):
        train(dataclasses.replace(SHORT, rate=1e-4), checkpoint=checkpoint, progress=False)


def test_training_memorises_a_few_plain_pictures():
    recipe = TrainingRecipe(epochs=1, pictures=16, passes=120, batch=16, plain=1.0, rate=3e-3, warmup=10)
    state = train(recipe, progress=False)
    images, wanted = pictures_of_epoch(recipe, 0)
    network = training_plan(state.parameters, 16)
    network.plan.forward([as_input(images)])
    answers = network.plan.read(network.values["log_probabilities"])
    assert (answers.argmax(1) == wanted.argmax(1)).mean() > 0.9


def test_standardised_layers_have_mean_0_and_deviation_1():
    state = begin(SHORT)
    network = training_plan(state.parameters, SHORT.batch)
    images, _ = pictures_of_epoch(SHORT, 0)
    network.plan.forward([as_input(images[: SHORT.batch])])
    outputs = network.plan.read(network.values["conv5"])
    np.testing.assert_allclose(outputs.mean((0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(outputs.std((0, 2, 3)), 1, atol=1e-2)


def test_weight_gradients_agree_with_central_differences():
    """Along the gradient itself, where the change of the loss is largest and rounding smallest."""
    parameters = initial_parameters(np.random.default_rng(0))
    drawn = bundled.draw(2, seed=0)
    x, wanted = as_input(drawn.images), np.eye(12, dtype=np.float32)[drawn.labels]

    def loss(network):
        network.plan.forward([x])
        return -float((wanted * network.plan.read(network.values["log_probabilities"]).astype(float)).sum())

    network = training_plan(parameters, 2)
    loss(network)
    network.plan.backward({network.values["log_probabilities"]: -wanted})
    gradients = {name: network.plan.gradient(network.values[name]) for name in parameters}
    for name, parameter in parameters.items():
        gradient = gradients[name]
        norm = float(np.sqrt((gradient.astype(float) ** 2).sum()))
        step, start, around = 1e-2 / norm, parameter.copy(), []
        for sign in (1, -1):
            parameter[...] = start + np.float32(sign * step) * gradient
            network.constants[name].changed()
            around.append(loss(network))
        parameter[...] = start
        network.constants[name].changed()
        assert (around[0] - around[1]) / (2 * step) == pytest.approx(norm**2, rel=0.05), name


def test_the_first_step_of_adam_has_the_size_of_the_rate():
    parameter, first, second = np.zeros(2, np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)
    adam_step(parameter, np.float32([3e-3, -70]), first, second, step=1, rate=0.1, decay=0)
    np.testing.assert_allclose(parameter, [-0.1, 0.1], rtol=1e-4)


def test_augmented_pictures_keep_their_contrast_and_leave_the_originals_alone():
    images = bundled.draw(8, seed=0).images
    before = images.copy()
    changed = augmented(images, np.random.default_rng(0))
    np.testing.assert_array_equal(images, before)
    assert (changed != images).any((1, 2, 3)).sum() >= 6
    np.testing.assert_allclose(changed.std((1, 2, 3)), images.std((1, 2, 3)), rtol=1e-5)


def test_the_written_file_has_the_logits_of_the_trained_network(shortly_trained, tmp_path):
    path = tmp_path / "short.onnx"
    path.write_bytes(onnx_model(shortly_trained.parameters, {"note": "x"}).SerializeToString())
    model, drawn = cnnviz.load(path), bundled.draw(3, seed=0)
    assert list(model.labels) == list(bundled.CLASSES)
    np.testing.assert_array_equal(model.preprocess(list(drawn.images)), as_input(drawn.images))
    logits = model.forward(as_input(drawn.images)).astype(float)
    answers = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(answers, log_probabilities(shortly_trained.parameters, drawn, 2), atol=1e-4)


def test_the_report_counts(shortly_trained):
    found = report(shortly_trained.parameters, bundled.draw(20, seed=0), bundled.draw(6, seed=1, objects=2))
    assert found.confusion.sum() == 20
    assert found.accuracy == np.trace(found.confusion) / 20
    assert "of 20 pictures" in str(found)


def test_the_program_writes_the_same_file_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "TEST_PICTURES", 16)
    options = ["--epochs", "1", "--pictures", "16", "--passes", "1", "--batch", "8"]
    files = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for file in files:
        assert program.main([*options, "--output", str(file)]) == 0
        assert "of 16 pictures" in capsys.readouterr().out
    assert files[0].read_bytes() == files[1].read_bytes()
    assert program.main([*options, "--output", str(files[0]), "--seed", "5"]) == 2
    assert "is a checkpoint of another recipe" in capsys.readouterr().err
