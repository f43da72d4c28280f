"""Train the bundled network again: ``python -m cnnviz.bundled.train``.

Writes the ONNX file that ``cnnviz.load()`` reads, and prints a test report. After an interruption, the same
command continues from the checkpoint of the last whole epoch.
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

TEST_SEED = 0  # not a seed of training pictures, which start at training.TRAINING_SEEDS
TEST_PICTURES = 4000


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Train and test the network, write its file, and return the exit status."""
    options = vars(_parser().parse_args(arguments))
    output, checkpoint = Path(options.pop("output")), options.pop("checkpoint")
    checkpoint = Path(checkpoint or output.with_suffix(".checkpoint.npz"))
    recipe = TrainingRecipe(**options)
    begun = time.monotonic()
    try:
        state = train(recipe, checkpoint=checkpoint)
    except KeyboardInterrupt:
        sys.stderr.write(f"\ninterrupted; the same command continues from {checkpoint}\n")
        return 130
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cnnviz.bundled.train: {error}\n")
        return 2
    found = tested(state, TEST_PICTURES)
    write(output, state, recipe, found)
    sys.stdout.write(f"{found}\ntrained in {(time.monotonic() - begun) / 60:.1f} minutes; wrote {output}\n")
    return 0


def tested(state: TrainingState, pictures: int) -> Report:
    """Return the report on pictures that training has not drawn."""
    drawn = draw(pictures, TEST_SEED)
    return report(state.parameters, drawn, draw(pictures // 4, TEST_SEED + 1, objects=2))


def write(output: Path, state: TrainingState, recipe: TrainingRecipe, found: Report) -> None:
    """Write the ONNX file, which is the same, byte for byte, for every run of one recipe."""
    metadata = {"recipe": str(recipe), "accuracy": f"{found.accuracy:.4f}"}
    output.write_bytes(onnx_model(state.parameters, metadata).SerializeToString(deterministic=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cnnviz.bundled.train", description=__doc__, epilog=_EXAMPLE, allow_abbrev=False
    )
    parser.add_argument("--output", default="shapes.onnx", help="ONNX file to write (default: %(default)s)")
    parser.add_argument("--checkpoint", help="file written after each epoch (default: beside the output)")
    for setting in fields(TrainingRecipe):
        parser.add_argument(
            "--" + setting.name.replace("_", "-"), **_option(setting.default, _HELP[setting.name])
        )
    return parser


def _option(default: Any, text: str) -> Mapping[str, Any]:
    return {"type": type(default), "default": default, "help": f"{text} (default: %(default)s)"}


_HELP: Mapping[str, str] = {
    "seed": "random seed of the weights and the pictures",
    "epochs": "number of epochs",
    "pictures": "number of pictures drawn for each epoch",
    "passes": "number of passes over an epoch's pictures",
    "plain": "share of the epochs with plain pictures, at the beginning",
    "ramp": "share of the epochs in which clutter rises from none to all",
    "batch": "batch size",
    "rate": "largest learning rate",
    "weight_decay": "weight decay of convolutions and classifier",
    "warmup": "number of steps until the largest learning rate",
}
_EXAMPLE = "example: CNNVIZ_NUM_THREADS=2 python -m cnnviz.bundled.train --seed 1 --output second.onnx"

if __name__ == "__main__":
    sys.exit(main())
