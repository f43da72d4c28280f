"""Interleaved timing, and the peak rates of the machine."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, Mapping, Sequence

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# A run of LONG_RUN seconds or more is measured without warming up caches and thread pools first.
LONG_RUN = 0.3
# A visit repeats shorter runs for VISIT seconds.
VISIT = 0.06
# PAUSE is long enough for the workers of the contender before to fall asleep: ONNX Runtime's still spin after
# 10 ms, and no longer after 50.
PAUSE = 0.06

Times = Dict[str, List[float]]


def interleaved(contenders: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Seconds of every contender in every round; each round begins with another contender."""
    times: Times = {name: [] for name in contenders}
    once = {name: _seconds(run) for name, run in contenders.items()}
    names = list(contenders)
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(_visit(contenders[name], once[name]))
    return times


def _visit(run: Callable[[], object], guess: float) -> float:
    time.sleep(PAUSE)
    if guess >= LONG_RUN:
        return _seconds(run)
    _seconds(run)
    return median(_seconds(run) for _ in range(max(1, min(20, int(VISIT / guess)))))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Machine:
    """The peak rates of this machine in GFLOP/s, over `threads` threads.

    They are measured between the contenders, so that other programs disturb them equally.
    """

    SGEMM_SIZE = 1024

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.peak = _peak_function()
        rng = np.random.default_rng(0)
        self.a, self.b = rng.standard_normal((2, self.SGEMM_SIZE, self.SGEMM_SIZE), dtype=np.float32)

    def fma(self) -> float:
        """Fused multiply-adds in registers only; ctypes releases the GIL."""
        with ThreadPoolExecutor(self.threads) as pool:
            return sum(pool.map(lambda _: self.peak(), range(self.threads)))

    def sgemm(self) -> float:
        """One square product by NumPy's BLAS, whose number of threads the environment sets."""
        return 2e-9 * self.SGEMM_SIZE**3 / _seconds(lambda: self.a @ self.b)

    def rates(self, rounds: int) -> Dict[str, float]:
        """The best of several measurements each: a peak is an undisturbed one."""
        return {
            "fma": max(self.fma() for _ in range(rounds)),
            "sgemm": max(self.sgemm() for _ in range(rounds)),
        }


def _peak_function() -> Callable[[], float]:
    """The widest peak_*.c that this machine runs, compiled on the spot; 0 where there is none."""
    flags = _cpu_flags()
    for tier, needed, options in (
        ("avx512", "avx512f", ["-mavx512f", "-mfma"]),
        ("avx2", "fma", ["-mavx2", "-mfma"]),
    ):
        if needed in flags:
            return _compiled_peak(tier, options)
    return lambda: 0.0


def _compiled_peak(tier: str, options: Sequence[str]) -> Callable[[], float]:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        source = HERE / f"peak_{tier}.c"
        include = [f"-I{ROOT / 'csrc'}", f"-I{HERE}"]
        command = ["cc", "-O2", "-shared", "-fPIC", *options, *include, str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        function = getattr(ctypes.CDLL(str(library)), f"bench_peak_{tier}")
    function.restype = ctypes.c_double
    return function  # type: ignore[no-any-return]


def _cpu_flags() -> Sequence[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def pin(threads: int, first: int = 0) -> None:
    """Pin this process, and every thread that it makes, to `threads` CPUs from the CPU number `first` on."""
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, available[first : first + threads])
