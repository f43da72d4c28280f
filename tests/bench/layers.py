"""Time of forward and image gradient, node by node: the best of several passes for each node.

python tests/bench/layers.py --threads 1 --top 12 squeezenet resnet18
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from contenders import Ours
from networks import NETWORKS, Network
from timing import pin

import cnnviz
from cnnviz._config import _core
from cnnviz.lowering.lower import lower
from cnnviz.lowering.weights import Weights


class Row(NamedTuple):
    name: str
    shape: Tuple[int, ...]
    kernel: str
    forward: float
    backward: float

    @property
    def seconds(self) -> float:
        return self.forward + self.backward


def rows(network: Network, passes: int) -> List[Row]:
    """Every node that runs, slowest first."""
    ours = Ours(network)
    graph = ours.model.graph
    lowered = lower(graph, {graph.inputs[0].name: (1, 3, network.size, network.size)}, Weights(graph))
    top, image = lowered.values[ours.model.logits_name], lowered.values[ours.model.input_name]
    plan = lowered.plan
    plan.prepare(seeds=[top], wrt=[image])
    x = network.images(1)
    cotangent = ours.model.forward(x)
    best: Dict[str, Row] = {}
    for _ in range(passes):
        plan.forward([x])
        plan.backward({top: cotangent})
        for row in _timed(plan):
            best[row.name] = _faster(row, best.get(row.name, row))
    return sorted(best.values(), key=lambda row: row.seconds, reverse=True)


def _timed(plan: _core.Plan) -> List[Row]:
    nodes: Any = plan.describe()["nodes"]
    return [
        Row(node["name"], node["shape"], node["kernel"], node["forward_seconds"], node["backward_seconds"])
        for node in nodes
        if node["forward_seconds"] + node["backward_seconds"] > 0
    ]


def _faster(a: Row, b: Row) -> Row:
    return a._replace(forward=min(a.forward, b.forward), backward=min(a.backward, b.backward))


def table(name: str, found: Sequence[Row], top: int) -> str:
    total = sum(row.seconds for row in found)
    lines = [f"{name}: {1e3 * total:.2f} ms", "  forward backward  share  shape, kernel, node"]
    for row in found[:top]:
        shape = "x".join(map(str, row.shape))
        lines.append(
            f"  {1e3 * row.forward:7.2f}  {1e3 * row.backward:7.2f}  {row.seconds / total:5.1%}  "
            f"{shape}, {row.kernel}, {row.name}"
        )
    return "\n".join(lines)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="network", default=["squeezenet"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=9)
    parser.add_argument("--top", type=int, default=12)
    options = parser.parse_args(arguments)
    pin(options.threads)
    cnnviz.set_num_threads(options.threads)
    for name in options.networks:
        print(table(name, rows(NETWORKS[name](), options.passes), options.top))
    return 0


if __name__ == "__main__":
    sys.exit(main())
