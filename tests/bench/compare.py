"""cnnviz against PyTorch and ONNX Runtime: same weights, same threads, interleaved, medians.

    python tests/bench/compare.py --quick
    python tests/bench/compare.py --json compare.json > compare.md
    python tests/bench/compare.py --networks resnet18,squeezenet --threads 1 --batch 1,8 --what passes

Parameters are frozen; "gradient" is forward and the gradient of one score with respect to the images. The
fastest of PyTorch's settings counts. Results are compared before anything is timed. Ratios are the speed-up,
or the saving of memory, of cnnviz; absolute times mean nothing on a machine that other programs use too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any, Dict, Iterator, List, Optional, Sequence

from contenders import COMPILED, TORCH, UNPACKED, best_of, environment
from networks import NETWORKS
from timing import cpu_name

HERE = Path(__file__).resolve().parent
WHAT = ("passes", "memory", "techniques")

Record = Dict[str, Any]


def jobs(options: argparse.Namespace) -> Iterator[Record]:
    """The measurements that the options ask for, each for a process of its own."""
    for network in options.networks:
        for threads in options.threads:
            for batch in options.batch:
                job = {"network": network, "threads": threads, "batch": batch, "rounds": options.rounds}
                job["first_cpu"] = options.first_cpu
                if "passes" in options.what and _affordable(network, batch):
                    rivals = [*TORCH, *(COMPILED if options.compile else ())]
                    yield {**job, "kind": "passes", "contenders": ["cnnviz", *rivals, "onnxruntime"]}
        if "memory" in options.what:
            for name in ("cnnviz", UNPACKED, *TORCH):
                job = {"network": network, "threads": 1, "batch": 1, "first_cpu": options.first_cpu}
                yield {**job, "kind": "memory", "contenders": [name]}
    if "techniques" in options.what:
        for threads in options.threads:
            job = {"threads": threads, "rounds": options.rounds, "first_cpu": options.first_cpu}
            yield {**job, "kind": "techniques", "steps": options.steps}


def _affordable(network: str, batch: int) -> bool:
    """False for batches of 512 x 512 images: eight take PyTorch half a minute a pass, at the ratio of one."""
    return not (network == "vgg19_features" and batch > 1)


def run(job: Record) -> Record:
    """The job together with its result, or with its error message."""
    shown = " ".join(str(job[key]) for key in ("kind", "network", "contenders") if key in job)
    print(f"{shown}, {job['threads']} threads, batch {job.get('batch', 1)}", file=sys.stderr, flush=True)
    command = [sys.executable, str(HERE / "measure.py"), json.dumps(job)]
    variables = {**os.environ, **environment(job["threads"])}
    finished = subprocess.run(command, env=variables, capture_output=True, text=True)
    if finished.returncode != 0:
        why = (finished.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"  FAILED: {why}", file=sys.stderr)
        return {**job, "failed": why}
    return {**job, **json.loads(finished.stdout.splitlines()[-1])}


def passes_table(records: Sequence[Record]) -> List[str]:
    """The lines of the table, one for each network, number of threads and batch."""
    lines = [
        "| network | threads | batch | gradient ms | PyTorch ms | × | forward ms | PyTorch × "
        "| ONNX Runtime × | gradient, share of FMA peak | of sgemm |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        gradient, forward = _medians(record["gradient"]), _medians(record["forward"])
        best = best_of(gradient) or ""
        # Backward to the images costs as many multiply-adds as forward; Winograd's kernels need fewer.
        rate = 4e-9 * record["macs"] / gradient["cnnviz"]
        peaks = record["peaks"]
        cells = [
            record["network"],
            record["threads"],
            record["batch"],
            f"{1e3 * gradient['cnnviz']:.1f}",
            f"{1e3 * gradient[best]:.1f} ({_setting(best)})",
            f"**{gradient[best] / gradient['cnnviz']:.2f}**",
            f"{1e3 * forward['cnnviz']:.1f}",
            f"{forward[best_of(forward) or ''] / forward['cnnviz']:.2f}",
            f"{forward['onnxruntime'] / forward['cnnviz']:.2f}",
            f"{rate / peaks['fma']:.2f}" if peaks["fma"] else "",
            f"{rate / peaks['sgemm']:.2f}",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def memory_table(records: Sequence[Record]) -> List[str]:
    """The lines of the table, one for each network; the smaller of PyTorch's settings counts."""
    lines = [
        "| network | cnnviz MB | packed_nbytes=0 MB | PyTorch MB | cnnviz × | packed_nbytes=0 × |",
        "|---|---|---|---|---|---|",
    ]
    sizes: Dict[str, Dict[str, int]] = {}
    for record in records:
        sizes.setdefault(record["network"], {})[record["contenders"][0]] = record["nbytes"]
    for network, found in sizes.items():
        if set(found) == {"cnnviz", UNPACKED, *TORCH}:
            best, ours = min(found[name] for name in TORCH), [found["cnnviz"], found[UNPACKED]]
            cells = [f"{nbytes / 1e6:.0f}" for nbytes in (*ours, best)]
            cells += [f"{best / nbytes:.2f}" for nbytes in ours]
            lines.append(f"| {network} | {' | '.join(cells)} |")
    return lines


def techniques_table(records: Sequence[Record]) -> List[str]:
    """The lines of the table, one for each technique and number of threads."""
    lines = ["| technique | threads | cnnviz s | PyTorch s | × |", "|---|---|---|---|---|"]
    for record in records:
        for name, times in record["techniques"].items():
            found = _medians(times)
            best = best_of(found) or ""
            ratio = found[best] / found["cnnviz"]
            lines.append(
                f"| {name} | {record['threads']} | {found['cnnviz']:.3f} | {found[best]:.3f} | {ratio:.2f} |"
            )
    return lines


def _medians(times: Dict[str, List[float]]) -> Dict[str, float]:
    return {name: median(seconds) for name, seconds in times.items()}


def _setting(name: str) -> str:
    return name[len("torch ") :] or "eager"


def report(records: Sequence[Record]) -> str:
    """The tables, under a line about the machine."""
    lines = [_machine(records)]
    tables = {"passes": passes_table, "memory": memory_table, "techniques": techniques_table}
    for kind, table in tables.items():
        found = [record for record in records if record["kind"] == kind and "failed" not in record]
        if found:
            lines += ["", *table(found)]
    lines += [f"FAILED: {record}" for record in records if "failed" in record]
    return "\n".join(lines)


def _machine(records: Sequence[Record]) -> str:
    peaks: Dict[int, Dict[str, float]] = {}
    for record in records:
        for name, rate in record.get("peaks", {}).items():
            known = peaks.setdefault(record["threads"], {})
            known[name] = max(known.get(name, 0.0), rate)
    rates = "; ".join(
        f"{threads} threads: FMA peak {peak['fma']:.0f} GFLOP/s, sgemm {peak['sgemm']:.0f}"
        for threads, peak in sorted(peaks.items())
    )
    return f"{cpu_name()}. {rates}. {_versions()}."


def _versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{package} {version(package)}" for package in ("torch", "onnxruntime", "numpy"))


def parse(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listed = ", ".join(NETWORKS)
    parser.add_argument("--networks", type=_names(NETWORKS), default=list(NETWORKS), help=f"any of {listed}")
    parser.add_argument("--threads", type=_numbers, default=[1, 2])
    parser.add_argument("--batch", type=_numbers, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=100, help="steps of the techniques that optimise")
    parser.add_argument("--what", type=_names(WHAT), default=list(WHAT), help=f"any of {', '.join(WHAT)}")
    parser.add_argument("--compile", action="store_true", help="also torch.compile, minutes for each network")
    parser.add_argument("--first-cpu", type=int, default=0, help="first CPU to pin to")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    parser.add_argument("--quick", action="store_true", help="batch 1, few rounds, small networks, passes")
    options = parser.parse_args(arguments)
    if options.quick:
        options.networks = ["squeezenet", "resnet18", "mobilenetv2"]
        options.batch, options.rounds, options.what = [1], 3, ["passes"]
    return options


def _numbers(text: str) -> List[int]:
    return [int(part) for part in text.split(",")]


def _names(known: Sequence[str] | Dict[str, Any]) -> Any:
    def parsed(text: str) -> List[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(known)}")
        return names

    return parsed


def main(arguments: Optional[Sequence[str]] = None) -> int:
    options = parse(arguments)
    records = []
    for job in jobs(options):
        records.append(run(job))
        if options.json:
            options.json.write_text(json.dumps(records, indent=1), encoding="utf-8")
    print(report(records))
    return 1 if any("failed" in record for record in records) else 0


if __name__ == "__main__":
    sys.exit(main())
