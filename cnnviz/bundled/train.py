"""Train the bundled network again: ``python -m cnnviz.bundled.train``.

Writes the ONNX file that ``cnnviz.load()`` reads, and a report. An interrupted run goes on where it stopped
when the same command is given again.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from .network import onnx_model
from .pictures import draw
from .report import Report, report
from .state import TrainingRecipe, TrainingState
from .training import train

TEST_SEED = 0  # any seed that training does not draw from
TEST_PICTURES = 4000


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Train, test, write; returns the exit status."""
    options = vars(_parser().parse_args(arguments))
    output, checkpoint = Path(options.pop("output")), options.pop("checkpoint")
    checkpoint = Path(checkpoint or output.with_suffix(".checkpoint.npz"))
    recipe = TrainingRecipe(**options)
    begun = time.monotonic()
    try:
        state = train(recipe, checkpoint=checkpoint)
    except KeyboardInterrupt:
        sys.stderr.write(f"\ninterrupted; the same command goes on from {checkpoint}\n")
        return 130
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cnnviz.bundled.train: {error}\n")
        return 2
    found = tested(state, TEST_PICTURES)
    write(output, state, recipe, found)
    sys.stdout.write(f"{found}\ntrained in {(time.monotonic() - begun) / 60:.1f} minutes; wrote {output}\n")
    return 0


def tested(state: TrainingState, pictures: int) -> Report:
    """Report on fresh pictures."""
    drawn = draw(pictures, TEST_SEED)
    return report(state.parameters, drawn, draw(pictures // 4, TEST_SEED + 1, objects=2))


def write(output: Path, state: TrainingState, recipe: TrainingRecipe, found: Report) -> None:
    """Write the ONNX file: it holds nothing that differs between two runs of one recipe."""
    metadata = {"recipe": str(recipe), "accuracy": f"{found.accuracy:.4f}"}
    output.write_bytes(onnx_model(state.parameters, metadata).SerializeToString(deterministic=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cnnviz.bundled.train", description=__doc__, epilog=_EXAMPLE, allow_abbrev=False
    )
    parser.add_argument("--output", default="shapes.onnx", help="the ONNX file (default: %(default)s)")
    parser.add_argument("--checkpoint", help="kept after each epoch (default: beside the output)")
    for setting in fields(TrainingRecipe):
        parser.add_argument("--" + setting.name.replace("_", "-"), **_option(setting.default))
    return parser


def _option(default: Any) -> Mapping[str, Any]:
    return {"type": type(default), "default": default, "help": "(default: %(default)s)"}


_EXAMPLE = "example: CNNVIZ_NUM_THREADS=2 python -m cnnviz.bundled.train --seed 1 --output second.onnx"

if __name__ == "__main__":
    sys.exit(main())
