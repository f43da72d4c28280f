"""Time of a forward pass and of a gradient, by the memory allowed for packed weights (packed_nbytes).

python tests/bench/budgets.py
python tests/bench/budgets.py --networks vgg16 --mib 0,64 --rounds 31 --threads 2

Runs are interleaved. The table has ratios to the time with all weights packed: medians over rounds of the
ratio within a round.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median
from typing import Callable, Dict, List, Optional, Sequence

from networks import NETWORKS
from timing import interleaved, pin

import cnnviz
from cnnviz.model.plan_pool import PACKED_NBYTES

UNBOUNDED = sys.maxsize
TARGET = 7


def measure(network: str, budgets: Sequence[int], rounds: int) -> List[str]:
    """The lines of the table, one for each budget."""
    made = NETWORKS[network]()
    x = made.images(1)
    models = {n: cnnviz.load(made.proto, preprocessing="imagenet", packed_nbytes=n) for n in budgets}
    forward: Dict[str, Callable[[], object]] = {}
    gradient: Dict[str, Callable[[], object]] = {}
    for nbytes, model in models.items():
        forward[str(nbytes)] = lambda model=model: model.forward(x)  # type: ignore[misc]
        gradient[str(nbytes)] = lambda model=model: model.gradient(x, TARGET)  # type: ignore[misc]
    times = [interleaved(runs, rounds) for runs in (forward, gradient)]
    lines = []
    for nbytes, model in models.items():
        ratios = [median(_over(found, str(nbytes), str(UNBOUNDED))) for found in times]
        packed = sum(model._pool.packed_usage().values()) / 1e6
        budget = "-" if nbytes == UNBOUNDED else f"{nbytes >> 20} MiB"
        lines.append(f"| {network} | {budget} | {packed:.0f} | {ratios[0]:.3f} | {ratios[1]:.3f} |")
    return lines


def _over(times: Dict[str, List[float]], name: str, base: str) -> List[float]:
    return [a / b for a, b in zip(times[name], times[base])]


def _numbers(text: str) -> List[int]:
    return [int(part) << 20 for part in text.split(",")]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="vgg16,resnet18,squeezenet")
    default = [0, 32 << 20, 96 << 20, PACKED_NBYTES]
    parser.add_argument(
        "--mib", type=_numbers, default=default, help="budgets in MiB; an unbounded one is added"
    )
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--first-cpu", type=int, default=0, help="first CPU to pin to")
    options = parser.parse_args(arguments)
    pin(options.threads, options.first_cpu)
    cnnviz.set_num_threads(options.threads)
    print("| network | packed_nbytes | packed MB | forward | gradient |\n|---|---|---|---|---|")
    for network in options.networks.split(","):
        print("\n".join(measure(network, [*options.mib, UNBOUNDED], options.rounds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
