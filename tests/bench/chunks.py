"""Time of forward and image gradient for one image, by the number of images in a pass.

    python tests/bench/chunks.py
    python tests/bench/chunks.py --networks resnet18 --threads 2 --sizes 1,2,4,8,16,32

A model runs large batches, and sweeps over copies of a picture (SmoothGrad), in pieces; this shows the cost
of each size of piece. Sizes take turns. The table has lower quartiles of milliseconds per image, and their
ratio to the first size's. With one thread it is CPU time, which other programs do not add to.
"""

from __future__ import annotations

import argparse
import time
from typing import Dict, List, Optional, Sequence

import numpy as np
from contenders import TARGET
from networks import NETWORKS
from timing import pin

import cnnviz
import cnnviz.model.passes


def per_image(name: str, sizes: Sequence[int], rounds: int, threads: int) -> Dict[int, float]:
    """Seconds per image for each size."""
    network = NETWORKS[name]()
    model = cnnviz.load(network.proto, preprocessing="imagenet")
    clock = time.process_time if threads == 1 else time.perf_counter
    inputs = {size: network.images(size) for size in sizes}
    times: Dict[int, List[float]] = {size: [] for size in sizes}
    for i in range(rounds + 1):
        for size in [*sizes[i % len(sizes) :], *sizes[: i % len(sizes)]]:
            passes = max(1, max(sizes) // (2 * size))
            start = clock()
            for _ in range(passes):
                model.gradient(inputs[size], TARGET)
            if i > 0:  # the first round makes the plans
                times[size].append((clock() - start) / (passes * size))
    return {size: float(np.percentile(found, 25)) for size, found in times.items()}


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="squeezenet,resnet18,mobilenetv2")
    parser.add_argument("--sizes", default="1,2,4,8,16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--first-cpu", type=int, default=0, help="first CPU to pin to")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    pin(options.threads, options.first_cpu)
    cnnviz.set_num_threads(options.threads)
    sizes = [int(size) for size in options.sizes.split(",")]
    cnnviz.model.passes.MOST_IMAGES = max(sizes)
    print("| network | " + " | ".join(map(str, sizes)) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    for name in options.networks.split(","):
        found = per_image(name, sizes, options.rounds, options.threads)
        cells = [f"{1e3 * found[size]:.1f} ({found[size] / found[sizes[0]]:.2f})" for size in sizes]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
