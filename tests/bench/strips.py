"""Time of the portable convolution's forward pass, by the size of its strips.

    python tests/bench/strips.py --threads 1
    python tests/bench/strips.py --strips 1M/64M/128 2M/64M/128 whole

A strip is NBYTES/FLOPS/WIDTH, the three constants of kernels/portable/conv_gemm.c; "whole" is im2col of the
whole picture. Every choice is compiled anew, all run in turns, and the lower quartile is shown. The bundled
OpenBLAS must be in place: `python setup.py build_ext --inplace`.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import subprocess
import tempfile
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Callable, Dict, List

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=off", "-shared", "-fPIC", f"-I{CSRC}"]
RUNTIME = [
    CSRC / "runtime" / f"{name}.c"
    for name in ["threads", "thread_count", "blas", "gemm", "error", "alloc", "cpu", "types"]
]
PORTABLE = CSRC / "kernels" / "portable"
KERNELS = [PORTABLE / f"{name}.c" for name in ["conv", "conv_depthwise", "im2col"]]
KERNELS.append(CSRC / "kernels" / "split.c")
UNITS = {"K": 1 << 10, "M": 1 << 20}

# Layers of VGG-16, ResNet and SqueezeNet: input channels, output channels, extent, kernel, stride, pad.
LAYERS = [
    (3, 64, 224, 3, 1, 1),
    (64, 64, 224, 3, 1, 1),
    (128, 128, 112, 3, 1, 1),
    (256, 256, 56, 3, 1, 1),
    (512, 512, 28, 3, 1, 1),
    (512, 512, 14, 3, 1, 1),
    (48, 192, 13, 3, 1, 1),
    (3, 64, 224, 7, 2, 3),
    (256, 1024, 14, 1, 1, 0),
    (64, 256, 56, 1, 1, 0),
]
STRIPS = ["1M/64M/128", "1M/16M/128", "1M/1024M/64", "1M/1024M/128", "2M/1024M/128", "8M/1024M/128", "whole"]


def number(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text)


def compile_with(strip: str, folder: Path) -> ctypes.CDLL:
    values = [1 << 60, 1 << 60, 1] if strip == "whole" else [number(part) for part in strip.split("/")]
    source = (PORTABLE / "conv_gemm.c").read_text()
    for name, value in zip(("STRIP_NBYTES", "STRIP_FLOPS", "STRIP_MIN_WIDTH"), values):
        source, found = re.subn(rf"#define {name} .*", f"#define {name} ((int64_t){value})", source)
        assert found == 1, name
    stem = strip.replace("/", "_")
    (folder / f"{stem}.c").write_text(source)
    sources = [str(path) for path in [folder / f"{stem}.c", *KERNELS]]
    subprocess.run(["cc", *FLAGS, *sources, "-o", str(folder / f"{stem}.so")], check=True)
    return ctypes.CDLL(str(folder / f"{stem}.so"))


def load_runtime(folder: Path) -> None:
    library = folder / "runtime.so"
    subprocess.run(["cc", *FLAGS, *map(str, RUNTIME), "-o", str(library), "-ldl", "-lpthread"], check=True)
    runtime = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    message = ctypes.create_string_buffer(1024)
    if runtime.cnv_blas_init(b"bundled", str(ROOT / "cnnviz" / "_blas").encode(), message):
        raise SystemExit(message.value.decode())


def forward(library: ctypes.CDLL, layer: tuple, threads: int) -> Callable[[], None]:
    ic, oc, extent, k, stride, pad = layer
    out = (extent + 2 * pad - k) // stride + 1
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape, np.float32) for shape in [(ic, extent, extent), (oc, ic, k, k)])
    y = np.empty((oc, out, out), np.float32)
    shape = [1, 1, ic, oc, extent, extent, out, out, k, k, stride, stride, pad, pad, pad, pad, 1, 1]
    geometry = (ctypes.c_int64 * 18)(*shape)  # cnv_conv2d
    library.cnv_conv2d_forward_scratch.restype = ctypes.c_size_t
    step = (library.cnv_conv2d_forward_scratch(geometry) + 63) // 64 * 64
    scratch = np.empty(step * threads + 64, np.uint8)
    run = (ctypes.c_int * 16)(threads)  # cnv_run, zero but for its first member

    def call() -> None:
        arrays = [ctypes.c_void_p(a.ctypes.data) for a in (y, x, w)]
        block = ctypes.c_void_p(scratch.ctypes.data)
        library.cnv_conv2d_forward(*arrays, None, geometry, block, ctypes.c_size_t(step), run)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--strips", nargs="+", default=STRIPS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        load_runtime(Path(name))
        libraries = {strip: compile_with(strip, Path(name)) for strip in options.strips}
    print("| ms, layer | " + " | ".join(libraries) + " |\n|" + "---|" * (len(libraries) + 1))
    for layer in LAYERS:
        calls = {strip: forward(library, layer, options.threads) for strip, library in libraries.items()}
        times: Dict[str, List[float]] = {strip: [] for strip in calls}
        for strip, call in [item for _ in range(options.rounds) for item in calls.items()]:
            call()
            start = perf_counter()
            call()
            times[strip].append(1e3 * (perf_counter() - start))
        ic, oc, extent, k, stride, _ = layer
        cells = [f"{quantiles(values, n=4)[0]:.2f}" for values in times.values()]
        print(f"| {ic}->{oc} @{extent}, {k}x{k}/{stride} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
