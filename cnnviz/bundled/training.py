"""The training loop of the bundled network, on cnnviz's own kernels.

Adam (Kingma & Ba 2015, algorithm 1, with the decoupled weight decay of Loshchilov & Hutter 2019) on the
cross-entropy of fresh pictures: each epoch draws its own, from plain ones to the full clutter, so that the
network learns outlines before it learns to ignore textures. No batch normalisation, and so no statistics to
fold away: the first layer outputs are standardised once, by scaling the initial weights.

One seed gives one result, bit for bit, on one kind of CPU, whatever the number of threads and however often
the training was interrupted and resumed.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from .network import STAGES, TrainingPlan, as_input, initial_parameters, training_plan
from .pictures import CLASSES, Drawn, draw
from .state import TrainingRecipe, TrainingState, load_checkpoint, save_checkpoint

Array = NDArray[np.float32]
Images = NDArray[np.uint8]

# TRAINING_SEEDS is the first seed of training pictures: so large that `draw(n, seed=0)` never draws them.
TRAINING_SEEDS = 10**9


def train(
    recipe: TrainingRecipe,
    *,
    checkpoint: Optional[Path] = None,
    stop_after: Optional[int] = None,
    progress: bool = True,
) -> TrainingState:
    """Train the network.

    Parameters
    ----------
    recipe : TrainingRecipe
    checkpoint : path, optional
        File written after each epoch; when it exists, training continues from it.
    stop_after : int, optional
        Total number of epochs after which to return, as if interrupted.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    TrainingState

    Raises
    ------
    ValueError
        If the checkpoint belongs to another recipe.
    """
    state = load_checkpoint(checkpoint, recipe) if checkpoint and checkpoint.exists() else None
    state = state or begin(recipe)
    trainer = training_plan(state.parameters, recipe.batch)
    last = min(recipe.epochs, stop_after if stop_after is not None else recipe.epochs)
    for epoch, images, wanted in _epochs_of_pictures(recipe, state.epoch, last):
        _train_epoch(recipe, state, trainer, images, wanted, progress)
        state.epoch = epoch + 1
        if checkpoint:
            save_checkpoint(checkpoint, state, recipe)
    return state


def begin(recipe: TrainingRecipe) -> TrainingState:
    """Return the state before the first step."""
    rng = np.random.default_rng(recipe.seed)
    parameters = initial_parameters(rng)
    images, _ = pictures_of_epoch(recipe, 0)
    standardise(parameters, as_input(images[: recipe.batch]))
    zeros = {name: np.zeros_like(array) for name, array in parameters.items()}
    return TrainingState(parameters, zeros, {name: array.copy() for name, array in zeros.items()}, rng)


def standardise(parameters: Dict[str, Array], x: Array) -> None:
    """Scale and shift each convolution so that its outputs on `x` have mean 0 and deviation 1 per channel.

    The data-dependent initialisation of Salimans & Kingma 2016, section 3; the classifier's inputs likewise.
    """
    network = training_plan(parameters, len(x))
    for stage in STAGES:
        network.plan.forward([x])
        outputs = network.plan.read(network.values["conv" + stage.name])
        _rescale(parameters, "conv" + stage.name, outputs.mean((0, 2, 3)), outputs.std((0, 2, 3)))
        for part in ("weight", "bias"):
            network.constants[f"conv{stage.name}.{part}"].changed()
    network.plan.forward([x])
    features = network.plan.read(network.values["average"])[:, :, 0, 0]
    weight, bias = parameters["classifier.weight"], parameters["classifier.bias"]
    weight /= features.std(0) + np.float32(1e-3)
    bias[:] = -(weight @ features.mean(0))


def _rescale(parameters: Dict[str, Array], layer: str, mean: Array, deviation: Array) -> None:
    weight, bias = parameters[layer + ".weight"], parameters[layer + ".bias"]
    weight /= deviation[:, None, None, None]
    bias[:] = (bias - mean) / deviation


def pictures_of_epoch(recipe: TrainingRecipe, epoch: int) -> Tuple[Images, Array]:
    """Draw an epoch's pictures; return them and the target probability of each class.

    In epochs with much clutter a quarter of the pictures shows two objects, with a target probability of 0.5
    for each: the network learns to find both, and its maps to tell them apart.
    """
    clutter = recipe.clutter_at(epoch)
    pairs = recipe.pictures // 4 if clutter >= 0.5 else 0
    sets = [(recipe.pictures - pairs, None if clutter > 0 else 1), (pairs, 2)]
    drawn = [
        draw(n, TRAINING_SEEDS + 2 * recipe.seed + i, objects=objects, clutter=clutter, start=n * epoch)
        for i, (n, objects) in enumerate(sets)
    ]
    images = np.concatenate([part.images for part in drawn])
    return images, np.concatenate([wanted_probabilities(part, pair=i == 1) for i, part in enumerate(drawn)])


def wanted_probabilities(drawn: Drawn, *, pair: bool) -> Array:
    """Target probabilities, n,classes: 1 for the object's class, or 0.5 for each of the two in a pair."""
    wanted = np.zeros((len(drawn), len(CLASSES)), np.float32)
    rows = np.arange(len(drawn))
    wanted[rows, drawn.labels] = 0.5 if pair else 1
    if pair:
        wanted[rows, drawn.other_labels] = 0.5
    return wanted


def _epochs_of_pictures(recipe: TrainingRecipe, first: int, last: int) -> Iterator[Tuple[int, Images, Array]]:
    """Yield each epoch's number and pictures; the next epoch's are drawn while the caller trains."""
    with ThreadPoolExecutor(1) as pool:
        coming: Optional[Future[Tuple[Images, Array]]] = None
        for epoch in range(first, last):
            images, wanted = coming.result() if coming else pictures_of_epoch(recipe, epoch)
            coming = pool.submit(pictures_of_epoch, recipe, epoch + 1) if epoch + 1 < last else None
            yield epoch, images, wanted


def _train_epoch(
    recipe: TrainingRecipe,
    state: TrainingState,
    network: TrainingPlan,
    images: Images,
    wanted: Array,
    progress: bool,
) -> None:
    from tqdm.auto import tqdm

    order = np.concatenate([state.rng.permutation(len(images)) for _ in range(recipe.passes)])
    batches = order[: recipe.steps_per_epoch * recipe.batch].reshape(-1, recipe.batch)
    losses, hits = [], []
    title = f"epoch {state.epoch + 1}/{recipe.epochs}"
    with tqdm(batches, desc=title, disable=not progress, leave=False, unit="step") as bar:
        for batch in bar:
            x = as_input(augmented(images[batch], state.rng))
            loss, right = _step(recipe, state, network, x, wanted[batch])
            losses.append(loss)
            hits.append(right)
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", accuracy=f"{np.mean(hits[-50:]):.3f}")
    state.history.append({"loss": float(np.mean(losses)), "accuracy": float(np.mean(hits))})
    if progress:
        tqdm.write(f"{title}: loss {np.mean(losses):.3f}, accuracy {np.mean(hits):.3f} while training")


def _step(
    recipe: TrainingRecipe, state: TrainingState, network: TrainingPlan, x: Array, wanted: Array
) -> Tuple[float, float]:
    """Update the weights from one batch; return its mean loss and its accuracy."""
    plan, values = network.plan, network.values
    plan.forward([x])
    answer = plan.read(values["log_probabilities"])
    plan.backward({values["log_probabilities"]: -wanted / np.float32(len(wanted))})
    rate = recipe.rate_at(state.step)
    state.step += 1
    for name, parameter in state.parameters.items():
        decay = recipe.weight_decay if name.endswith("weight") else 0.0
        gradient = plan.gradient(values[name])
        moments = state.first_moments[name], state.second_moments[name]
        adam_step(parameter, gradient, *moments, step=state.step, rate=rate, decay=decay)
        network.constants[name].changed()
    right = wanted[np.arange(len(wanted)), answer.argmax(1)] > 0
    return float(-(wanted * answer).sum(1).mean()), float(right.mean())


def adam_step(
    parameter: Array, gradient: Array, first: Array, second: Array, *, step: int, rate: float, decay: float
) -> None:
    """Update a parameter and its two moments in place: beta 0.9 and 0.999, epsilon 1e-8; `step` from 1 on."""
    first += np.float32(0.1) * (gradient - first)
    second += np.float32(0.001) * (gradient * gradient - second)
    mean = first / np.float32(1 - 0.9**step)
    deviation = np.sqrt(second / np.float32(1 - 0.999**step)) + np.float32(1e-8)
    parameter -= np.float32(rate) * (mean / deviation + np.float32(decay) * parameter)


def augmented(images: Images, rng: np.random.Generator) -> Images:
    """Mirror each picture, turn it by quarters, permute its channels and invert its colours, at random."""
    result = np.empty_like(images)
    for i, (turn, mirror, invert) in enumerate(rng.integers(0, (4, 2, 2), (len(images), 3))):
        changed = np.rot90(images[i][:, :: 1 - 2 * mirror], turn)[:, :, rng.permutation(3)]
        result[i] = 255 - changed if invert else changed
    return result
