"""Ctrl-C ends a long pass at once, and the model can be used again."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Callable, List

import numpy as np
import PIL.Image
import pytest
from matplotlib.figure import Figure
from toy_networks import small_classifier

import cnnviz
from cnnviz import plot
from cnnviz.synthesis import fooling

LIMIT_S = 0.2


def work_for_ever(model: cnnviz.Model, x: Any, verb: str) -> None:
    while True:
        if verb == "forward":
            model.forward(x)
        else:
            model.gradient(x, 3)


def seconds_to_answer(model: cnnviz.Model, x: Any, verb: str) -> float:
    pressed: List[float] = []

    def press() -> None:
        time.sleep(0.1)
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        work_for_ever(model, x, verb)
    answered = time.perf_counter()
    presser.join()
    return answered - pressed[0]


@pytest.mark.parametrize("verb", ["forward", "gradient"])
def test_an_interrupt_is_answered_within_a_fifth_of_a_second(verb: str) -> None:
    model = cnnviz.load(small_classifier(), preprocessing="unit")
    x = np.random.default_rng(0).normal(size=(48, 3, 320, 320)).astype(np.float32)
    took = [seconds_to_answer(model, x, verb) for _ in range(3)]
    assert min(took) < LIMIT_S, took  # a busy machine may hold up one of them
    np.testing.assert_array_equal(model.forward(x[:1]), model.forward(x[:2])[:1])


PICTURE = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
RUNS = {
    "fool": lambda model, **options: cnnviz.fooling_image(model, PICTURE, 3, confidence=0.999, **options),
    "fool from noise": lambda model, **options: cnnviz.fooling_image(model, None, [3, 5], **options),
    "style": lambda model, **options: cnnviz.style_transfer(model, PICTURE, PICTURE, scales=2, **options),
    "class": lambda model, **options: cnnviz.class_visualization(model, [3, 5], **options),
}
# FIRST_STAGE is the largest number of steps of the stage before the last one.
FIRST_STAGE = {"fooling_image": fooling.WAKE, "style_transfer": 3}


@pytest.mark.filterwarnings("ignore:after .* not fool:UserWarning")
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_run_stopped_before_its_first_evaluation_is_saved_and_resumed(
    run: Callable[..., cnnviz.Synthesis],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pressed(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    model = cnnviz.load(small_classifier(), preprocessing="unit")
    whole = run(model, steps=3, keep_every=2, progress=False)
    with monkeypatch.context() as held:
        held.setattr(cnnviz.Model, "gradient", pressed)
        stopped = run(model, steps=3, keep_every=2, progress=False)
    assert stopped.interrupted
    assert not stopped.converged
    assert len(stopped.history["value"]) == 0
    assert np.isfinite(stopped.image).all()
    np.testing.assert_array_equal(stopped.image, stopped.best)
    assert plot.png(stopped).startswith(b"\x89PNG")
    plot.history(stopped, ax=Figure().add_subplot())
    stopped.save(tmp_path / "x.gif")
    stopped.save(tmp_path / "x.png")
    pixels = np.asarray(PIL.Image.open(tmp_path / "x.png")).astype(float)
    shown = stopped.image if stopped.image.ndim == 3 else np.concatenate(list(stopped.image), axis=1)
    np.testing.assert_allclose(pixels / 255, shown, atol=0.5 / 255 + 1e-6)
    stopped.save(tmp_path / "x.npz")
    loaded = cnnviz.load_result(tmp_path / "x.npz")
    assert isinstance(loaded, cnnviz.Synthesis)
    stage, done = whole.settings["position"]
    steps = stage * FIRST_STAGE.get(whole.method, 0) + done
    for resumed in (stopped.resume(steps), cnnviz.resume(loaded, model, steps)):
        np.testing.assert_array_equal(resumed.image, whole.image)
        np.testing.assert_array_equal(resumed.history["value"], whole.history["value"])
