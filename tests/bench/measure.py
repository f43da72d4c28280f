"""One measurement in a process of its own, which compare.py starts with a JSON job; prints a JSON result.

Each measurement has its own process, because thread pools, affinity and peak memory belong to a process.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Callable, Dict, List

from contenders import Contender, make, relative_error
from networks import NETWORKS
from resident import peak, peak_reset, trimmed
from timing import Machine, Times, interleaved, pin

# The tolerances leave room for ReLUs and pools near a tie, which two float32 programs may decide differently;
# a wrong kernel is off by far more.
FORWARD_TOLERANCE = 1e-3
GRADIENT_TOLERANCE = 5e-2

Job = Dict[str, Any]


def passes(job: Job) -> Dict[str, Any]:
    """Forward, and forward with the image gradient, of all contenders, interleaved."""
    network = NETWORKS[job["network"]]()
    x = network.images(job["batch"])
    machine = Machine(job["threads"])
    contenders = {name: make(name, network, job["threads"]) for name in job["contenders"]}
    fed = {name: contender.feed(x) for name, contender in contenders.items()}
    rates = [machine.rates(job["rounds"])]
    result: Dict[str, Any] = {"errors": _disagreement(contenders, fed)}
    for what in ("forward", "gradient"):
        runs = {
            name: _bound(getattr(contender, what), fed[name])
            for name, contender in contenders.items()
            if what == "forward" or name != "onnxruntime"
        }
        result[what] = interleaved(runs, job["rounds"])
        rates.append(machine.rates(job["rounds"]))
    result["peaks"] = {name: max(rate[name] for rate in rates) for name in rates[0]}
    result["macs"] = network.macs * job["batch"]
    return result


def _bound(run: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
    return lambda: run(x)


def _disagreement(contenders: Dict[str, Contender], fed: Dict[str, Any]) -> Dict[str, Dict[str, float]]:
    """Relative L2 distance of every contender from the first; too much of it ends the measurement."""
    errors: Dict[str, Dict[str, float]] = {}
    for what, tolerance in (("forward", FORWARD_TOLERANCE), ("gradient", GRADIENT_TOLERANCE)):
        able = {n: c for n, c in contenders.items() if what == "forward" or n != "onnxruntime"}
        results = {name: c.numpy(getattr(c, what)(fed[name])) for name, c in able.items()}
        first = next(iter(results))
        errors[what] = {name: relative_error(found, results[first]) for name, found in results.items()}
        wrong = {name: error for name, error in errors[what].items() if not error <= tolerance}
        if wrong:
            raise SystemExit(f"{what}: results differ from {first}'s by {wrong}, more than {tolerance}")
    return errors


def memory(job: Job) -> Dict[str, Any]:
    """Peak bytes of a forward pass, then image gradients, above the loaded network, of one contender."""
    network = NETWORKS[job["network"]]()
    (name,) = job["contenders"]
    contender = make(name, network, job["threads"])
    x = contender.feed(network.images(job["batch"]))
    network.proto.Clear()
    before = trimmed()
    peak_reset()
    contender.forward(x)
    for _ in range(2):
        contender.gradient(x)
    return {"nbytes": peak() - before, "resident": before}


def techniques(job: Job) -> Dict[str, Any]:
    """Whole techniques, as a user calls them, against the loops that a PyTorch user writes."""
    import techniques as loops

    times: Dict[str, Times] = {}
    for name, pair in loops.pairs(job).items():
        times[name] = interleaved(pair, job["rounds"])
    return {"techniques": times}


KINDS: Dict[str, Callable[[Job], Dict[str, Any]]] = {
    "passes": passes,
    "memory": memory,
    "techniques": techniques,
}


def main(arguments: List[str]) -> int:
    job = json.loads(arguments[0])
    pin(job["threads"], job.get("first_cpu", 0))
    print(json.dumps(KINDS[job["kind"]](job)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
