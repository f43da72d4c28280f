"""Damage ONNX files at random and report every undocumented error that the reader raises.

python tests/fuzz/fuzz_onnx.py --seconds 60 [--seed 0] [FILE.onnx ...]

Without files, it starts from the models of tests/reader/malformed_models.py and of ONNX's own node tests. A
file that crashes the reader is written to the current folder, so that it can become a row of that table.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import List

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lowering"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reader"))

from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights
from cnnviz.reader.onnx_file import read

LARGEST = 1 << 16  # bytes; damage to the weights of a large file finds no error


def seeds(paths: List[str]) -> List[bytes]:
    """The files that are damaged."""
    if paths:
        return [Path(path).read_bytes() for path in paths]
    from malformed_models import ROWS
    from onnx.backend.test.loader import load_model_tests
    from onnx_backend import supports

    warnings.simplefilter("ignore")  # generating ONNX's data overflows on purpose
    made = (make() for make, _, _ in ROWS.values())
    models = [data if isinstance(data, bytes) else data.SerializeToString() for data in made]
    models += [
        c.model.SerializeToString() for c in load_model_tests(kind="node") if c.model and supports(c.model)
    ]
    return [data for data in models if 0 < len(data) < LARGEST]


def damaged(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """One random edit: flipped bits, a changed byte, a cut, a repeated piece, or a piece of another file."""
    array = np.frombuffer(data, np.uint8).copy()
    where, end = np.sort(random.integers(0, array.size, size=2))
    kind = random.integers(5)
    if kind == 0:
        array[where] ^= np.uint8(1 << random.integers(8))
        return array.tobytes()
    if kind == 1:
        array[where] = random.choice(np.array([0, 1, 127, 128, 255], np.uint8))
        return array.tobytes()
    if kind == 2:
        return data[:where] + data[end:]
    if kind == 3:
        return data[:end] + data[where:]
    start = random.integers(len(other))
    return data[:where] + other[start : start + end - where] + data[end:]


def load(data: bytes) -> None:
    graph = simplify(read(data))
    lower(graph, {t.name: tuple(n or 2 for n in t.shape or ()) for t in graph.inputs}, Weights(graph))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    corpus = seeds(options.files)
    runs, loaded, slowest, found = 0, 0, 0.0, 0
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        data, other = (corpus[i] for i in random.integers(len(corpus), size=2))
        for _ in range(random.integers(1, 4)):
            data = damaged(data, other, random) or b"\0"
        start = time.monotonic()
        try:
            load(data)
            loaded += 1
        except ValueError:  # a CnnvizError, or a plain one for a free size that does not fit
            pass
        except Exception as error:
            found += 1
            path = Path(f"fuzz-{options.seed}-{runs}.onnx")
            path.write_bytes(data)
            sys.stdout.write(f"{path}: {type(error).__name__}: {error}\n")
        runs += 1
        slowest = max(slowest, time.monotonic() - start)
    sys.stdout.write(f"{runs} files, {loaded} loaded, {found} undocumented errors, slowest {slowest:.2f} s\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
