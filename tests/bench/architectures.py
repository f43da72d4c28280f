"""Every architecture of torchvision and timm, through `cnnviz.from_torch` and against PyTorch.

    python tests/bench/architectures.py run --out architectures.jsonl
    python tests/bench/architectures.py run --out architectures.jsonl --only resnet --again
    python tests/bench/architectures.py table architectures.jsonl > docs/architectures.md

`run` measures the networks of architectures.txt, each in a process of its own, and appends a line for each
to the file; those that the file has already are left out, unless `--again` asks for them. `table` writes the
last line of each network as Markdown.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence

from architectures_table import page
from contenders import environment

LIST = Path(__file__).with_name("architectures.txt")

Record = Dict[str, Any]


def entries() -> Iterator[Record]:
    """The networks of the list: library, family, name, size, and options of the network's maker.

    A line is `library family name size key=value ...`; a size is the side of a square, or extents with x.
    """
    for line in LIST.read_text(encoding="utf-8").splitlines():
        words = line.split("#")[0].split()
        if words:
            library, family, name, size, *options = words
            extents = [int(extent) for extent in size.split("x")]
            yield {
                "library": library,
                "family": family,
                "name": name,
                "size": extents * 2 if len(extents) == 1 else extents,
                "options": {key: json.loads(value) for key, _, value in (o.partition("=") for o in options)},
            }


def key(record: Record) -> str:
    return f"{record['library']} {record['name']}"


def read(path: Path) -> Dict[str, Record]:
    """The last record of each network in a file of JSON lines."""
    if not path.exists():
        return {}
    records = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {key(record): record for record in records}


def preload() -> Dict[str, str]:
    """Import what every network needs, once, before the processes fork; return the versions."""
    import timm
    import torch
    import torchvision
    import trial  # noqa: F401

    import cnnviz

    torch.set_num_threads(1)
    modules = {"cnnviz": cnnviz, "torch": torch, "torchvision": torchvision, "timm": timm}
    return {name: str(module.__version__) for name, module in modules.items()}


def measured(entry: Record, limit: int) -> Record:
    """The record of a network, measured in a forked process that may take `limit` seconds of its CPU."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(entry, sender, limit))
    start = time.perf_counter()
    child.start()
    sender.close()
    try:
        found = receiver.recv()
    except EOFError:
        child.join()
        late = child.exitcode == -signal.SIGXCPU
        reason = f"more than {limit} s" if late else f"the process ended with code {child.exitcode}"
        found = {"result": "timeout" if late else "crash", "reason": reason}
    child.join()
    return {**entry, **found, "wall": round(time.perf_counter() - start, 1)}


def _child(entry: Record, sender: Any, limit: int) -> None:
    from trial import Entry
    from trial import measured as trial

    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 10))
    try:
        found = trial(Entry(**{**entry, "size": tuple(entry["size"])}))
    except Exception as error:  # the network cannot be made, or PyTorch itself does not run it
        found = {"result": "crash", "reason": f"{type(error).__name__}: {error}"[:600]}
    sender.send(found)
    sender.close()


def run(options: argparse.Namespace) -> int:
    os.environ.update(environment(1))
    versions = preload()
    done = read(options.out)
    wanted = [entry for entry in entries() if not options.only or any(o in key(entry) for o in options.only)]
    for index, entry in enumerate(wanted):
        before = done.get(key(entry))
        if before is not None and not options.again and _same(before, entry):
            continue
        record = {**measured(entry, options.limit), "versions": versions}
        with open(options.out, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        shown = f"{index + 1}/{len(wanted)} {key(entry)}: {record['result']} {record.get('reason', '')}"
        print(f"{shown[:200]} ({record['wall']} s)", flush=True)
    return 0


def _same(record: Record, entry: Record) -> bool:
    return all(record[name] == value for name, value in entry.items())


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="measure the networks of the list")
    runner.add_argument("--out", type=Path, required=True, help="file of JSON lines to append to")
    runner.add_argument("--only", nargs="*", help="networks whose library and name contain one of these")
    runner.add_argument("--again", action="store_true", help="measure what the file has already too")
    runner.add_argument("--limit", type=int, default=180, help="seconds of CPU time for a network")
    table = commands.add_parser("table", help="write the results as Markdown")
    table.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "run":
        return run(options)
    found = read(options.file)
    print(page([found[key(entry)] for entry in entries() if key(entry) in found]), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
