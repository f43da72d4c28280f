"""Ctrl-C ends a long pass at once, and the model can be used again."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, List

import numpy as np
import pytest
from toy_networks import small_classifier

import cnnviz

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
