"""How many images one pass should take: forward and image gradient per image, by the size of the batch.

    python tests/bench/chunks.py
    python tests/bench/chunks.py --networks resnet18 --threads 2 --sizes 1,2,4,8,16,32

Sweeps over copies of a picture (SmoothGrad) and large batches are cut into chunks; this shows what a chunk
size costs, relative to images one by one, and the memory that its plan takes. Sizes take turns; medians.
"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence

from contenders import TARGET
from networks import NETWORKS
from timing import interleaved, pin

import cnnviz
from cnnviz.model import Model


def per_image(name: str, sizes: Sequence[int], rounds: int) -> List[str]:
    """One line of the table: for each size milliseconds per image, the share of size one's, and MB."""
    network = NETWORKS[name]()
    model = cnnviz.load(network.proto, preprocessing="imagenet")
    runs: Dict[str, Callable[[], object]] = {str(size): _run(model, network, size) for size in sizes}
    times = {size: median(found) for size, found in interleaved(runs, rounds).items()}
    cells = [name]
    for size in sizes:
        ms = 1e3 * times[str(size)] / size
        cells.append(
            f"{ms:.2f} ({ms / (1e3 * times[str(sizes[0])] / sizes[0]):.2f}), {_arena(model, size):.0f} MB"
        )
    return cells


def _run(model: Model, network: Any, size: int) -> Callable[[], object]:
    x = network.images(size)
    return lambda: model.gradient(x, TARGET)


def _arena(model: Model, size: int) -> float:
    """Megabytes of the plan for a batch of `size`."""
    found = [nbytes for request, nbytes in model._pool._nbytes.items() if request.shape[0] == size]
    return max(found) / 1e6


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="squeezenet,resnet18,mobilenetv2")
    parser.add_argument("--sizes", default="1,2,4,8,16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--first-cpu", type=int, default=0, help="pin from this CPU on")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    pin(options.threads, options.first_cpu)
    cnnviz.set_num_threads(options.threads)
    sizes = [int(size) for size in options.sizes.split(",")]
    print("| network | " + " | ".join(map(str, sizes)) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    for name in options.networks.split(","):
        print("| " + " | ".join(per_image(name, sizes, options.rounds)) + " |", flush=True)


if __name__ == "__main__":
    main()
