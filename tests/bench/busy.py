"""Cost of a busy core: two threads on two CPUs, one of which another process keeps busy.

    python tests/bench/busy.py
    python tests/bench/busy.py --networks squeezenet,resnet18 --first-cpu 2 --rounds 15

A thread pool that waits for a worker without a CPU is slower than one thread alone. The process and its
threads may use two CPUs; a second process, pinned to one of them, computes or is stopped. The table has
medians of forward and image gradient, batch 1, in turns. The last column must be at most 1.3.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from statistics import median
from typing import Dict, Iterator, List, Optional, Sequence

from contenders import Ours
from networks import NETWORKS
from timing import pin

import cnnviz

THREADS = 2
LIMIT = 1.3
SETTLE = 0.02  # seconds after which the system's scheduler has moved threads to other CPUs
VISIT = 0.25  # seconds of passes for one measurement: several time slices of the scheduler

#: SETTINGS are pairs of a number of threads, and whether the other process computes.
SETTINGS = {
    "1 thread": (1, False),
    "2 threads": (2, False),
    "1 thread, busy": (1, True),
    "2 threads, busy": (2, True),
}


class Neighbour:
    """A process that computes on one CPU, or is stopped."""

    def __init__(self, cpu: int) -> None:
        code = f"import os\nos.sched_setaffinity(0, [{cpu}])\nwhile True: pass"
        self._process = subprocess.Popen([sys.executable, "-c", code])
        self._process.send_signal(signal.SIGSTOP)

    @contextmanager
    def computing(self, wanted: bool) -> Iterator[None]:
        if wanted:
            self._process.send_signal(signal.SIGCONT)
        time.sleep(SETTLE)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def measured(name: str, neighbour: Neighbour, rounds: int) -> Dict[str, float]:
    """Median seconds of a pass under each setting; each round begins with another setting."""
    network = NETWORKS[name]()
    contender = Ours(network)
    x = network.images(1)
    times: Dict[str, List[float]] = {setting: [] for setting in SETTINGS}
    names = list(SETTINGS)
    for i in range(rounds + 1):
        for setting in names[i % len(names) :] + names[: i % len(names)]:
            threads, busy = SETTINGS[setting]
            cnnviz.set_num_threads(threads)
            with neighbour.computing(busy):
                seconds = _mean(lambda: contender.gradient(x))
            if i > 0:  # the first round makes the plans
                times[setting].append(seconds)
    return {setting: median(found) for setting, found in times.items()}


def _mean(run: object) -> float:
    """Mean seconds of the passes that fit into VISIT seconds, after a first pass that is not counted."""
    run()  # type: ignore[operator]
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - start < VISIT:
        run()  # type: ignore[operator]
        count += 1
    return (time.perf_counter() - start) / count


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--first-cpu", type=int, default=0, help="first CPU to pin to")
    options = parser.parse_args(arguments)
    pin(THREADS, options.first_cpu)
    neighbour = Neighbour(max(os.sched_getaffinity(0)))
    worst = 0.0
    try:
        print("| network | " + " ms | ".join(SETTINGS) + " ms | 2 threads, busy / 1 thread |")
        print("|---" * (len(SETTINGS) + 2) + "|")
        for name in options.networks.split(","):
            found = measured(name, neighbour, options.rounds)
            ratio = found["2 threads, busy"] / found["1 thread"]
            worst = max(worst, ratio)
            cells = [name, *(f"{1e3 * seconds:.1f}" for seconds in found.values()), f"**{ratio:.2f}**"]
            print("| " + " | ".join(cells) + " |", flush=True)
    finally:
        neighbour.end()
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
