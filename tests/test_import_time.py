"""`import cnnviz` takes almost no time, and loading its core takes NumPy's import and little more."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

LIMIT_MS = 30.0
RUNS = 9

# LAZY packages are imported where they are used, and never by the package or the core.
LAZY = ["matplotlib", "scipy", "onnx", "PIL", "pooch", "tqdm", "torch", "pytest"]

# CPU time, so that a busy machine does not fail the test; the clock starts when NumPy is there.
MEASURE = """
import sys, time
import numpy
start = time.process_time()
import cnnviz
cnnviz.get_num_threads()
print(1e3 * (time.process_time() - start))
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def import_in_fresh_process(folder: Path) -> tuple:
    finished = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=folder, stdout=subprocess.PIPE, check=True, text=True
    )
    cost, modules = finished.stdout.splitlines()
    return float(cost), set(modules.split())


def test_the_core_costs_numpy_and_at_most_30_ms(tmp_path: Path) -> None:
    import_in_fresh_process(tmp_path)  # bytecode and page cache
    costs = [import_in_fresh_process(tmp_path)[0] for _ in range(RUNS)]
    median = statistics.median(costs)
    assert median <= LIMIT_MS, f"median {median:.1f} ms of {[round(cost, 1) for cost in costs]}"


def test_the_core_leaves_heavy_packages_alone(tmp_path: Path) -> None:
    loaded = import_in_fresh_process(tmp_path)[1]
    assert loaded.isdisjoint(LAZY), sorted(loaded.intersection(LAZY))


def test_import_loads_not_even_numpy(tmp_path: Path) -> None:
    code = "import sys, cnnviz; print(sorted({'numpy', 'cnnviz._core', 'cnnviz._config'} & set(sys.modules)))"
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, check=True, text=True
    )
    assert finished.stdout == "[]\n"
