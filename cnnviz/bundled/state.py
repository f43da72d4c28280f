"""A training's recipe, its state after an epoch, and checkpoints, from which it resumes bit for bit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class TrainingRecipe:
    """The settings that the trained weights depend on.

    Attributes
    ----------
    seed : int
    epochs : int
        An epoch draws `pictures` new pictures and passes over them `passes` times, flipped, turned and
        recoloured differently each time.
    plain, ramp : float
        Shares of the epochs with plain pictures, and with clutter rising from none to all.
    batch : int
    rate, weight_decay : float
        Adam's learning rate and weight decay; the rate warms up over `warmup` steps and then falls to zero
        along half a cosine.
    """

    seed: int = 0
    epochs: int = 64
    pictures: int = 4000
    passes: int = 2
    plain: float = 0.1
    ramp: float = 0.2
    batch: int = 32
    rate: float = 5e-3
    weight_decay: float = 1e-4
    warmup: int = 100

    def __str__(self) -> str:
        """The text in the ONNX file's metadata: ``Recipe(seed=0, ...)``, as the shipped file has it."""
        return repr(self).replace("Training", "", 1)

    @property
    def steps_per_epoch(self) -> int:
        """Weight updates in an epoch."""
        return self.pictures * self.passes // self.batch

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        progress = step / (self.epochs * self.steps_per_epoch)
        return self.rate * min(1, (step + 1) / self.warmup) * 0.5 * (1 + float(np.cos(np.pi * progress)))

    def clutter_at(self, epoch: int) -> float:
        """Share of the clutter in an epoch's pictures."""
        return float(np.clip((epoch / self.epochs - self.plain) / max(self.ramp, 1e-9), 0, 1))


@dataclass
class TrainingState:
    """Parameters, Adam's moments, generator and counters: all that a training needs to continue."""

    parameters: Dict[str, Array]
    first_moments: Dict[str, Array]
    second_moments: Dict[str, Array]
    rng: np.random.Generator
    epoch: int = 0
    step: int = 0
    history: List[Dict[str, float]] = field(default_factory=list)


def save_checkpoint(path: Path, state: TrainingState, recipe: TrainingRecipe) -> None:
    """Write a checkpoint; an interrupted write leaves the previous file as it was."""
    facts = {
        "recipe": asdict(recipe),
        "rng": state.rng.bit_generator.state,
        "epoch": state.epoch,
        "step": state.step,
        "history": state.history,
    }
    arrays = {"parameters": state.parameters, "first": state.first_moments, "second": state.second_moments}
    flat: Dict[str, Any] = {
        f"{kind}/{name}": array for kind, group in arrays.items() for name, array in group.items()
    }
    unfinished = path.with_name(path.name + ".part")
    with open(unfinished, "wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **flat)
    unfinished.replace(path)


def load_checkpoint(path: Path, recipe: TrainingRecipe) -> TrainingState:
    """Read a state back from a checkpoint.

    Raises
    ------
    ValueError
        If the checkpoint was written for another recipe.
    """
    with np.load(path) as file:
        facts: Dict[str, Any] = json.loads(str(file["facts"]))
        if facts["recipe"] != asdict(recipe):
            raise ValueError(
                f"{path} is a checkpoint of another recipe: {facts['recipe']}, not {asdict(recipe)}; "
                "delete it or pass another --checkpoint"
            )
        groups: Dict[str, Dict[str, Array]] = {"parameters": {}, "first": {}, "second": {}}
        for key in file.files:
            kind, _, name = key.partition("/")
            if name:
                groups[kind][name] = file[key]
    rng = np.random.default_rng()
    rng.bit_generator.state = facts["rng"]
    moments = groups["first"], groups["second"]
    return TrainingState(groups["parameters"], *moments, rng, facts["epoch"], facts["step"], facts["history"])
