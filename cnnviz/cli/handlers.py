"""The commands: each takes the parsed arguments, does its work, and prints one line for each file."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any, Callable, Dict

from cnnviz.cli.output import say
from cnnviz.cli.targets import labels_of, target_of


def _load(arguments: argparse.Namespace) -> Any:
    import cnnviz

    # The size of `cnnviz style` is that of its result.
    options = {"size": arguments.network_size} if "network_size" in arguments else {}
    return cnnviz.load(
        arguments.model,
        preprocessing=arguments.preprocessing,
        labels=labels_of(arguments.labels),
        outputs=arguments.outputs,
        **options,
    )


def _output(arguments: argparse.Namespace, name: str, kind: Any) -> str:
    """Return the path of the output, after a check that a result of this kind can be written there."""
    from cnnviz.results.results import check_path

    output: str = arguments.output or name
    check_path(output, kind)
    return output


def attribute(arguments: argparse.Namespace) -> None:
    """Make an attribution and save it."""
    import cnnviz

    output = _output(arguments, f"{Path(arguments.image).stem}-{arguments.method}.png", cnnviz.Attribution)
    model = _load(arguments)
    method: Callable[..., Any] = getattr(cnnviz, arguments.method.replace("-", "_"))
    options = {name: getattr(arguments, name) for name in ("layer", "relu") if name in arguments}
    result = method(model, arguments.image, target_of(model, arguments.target), **options)
    result.save(output)
    layer = f" at {result.layer}" if result.layer else ""
    flags = f" ({', '.join(result.flags)})" if result.flags else ""
    say(f"{output}: {arguments.method}{layer} of {result.label!r}, score {result.score:.4g}{flags}")


def style(arguments: argparse.Namespace) -> None:
    """Transfer the style of pictures and save the result."""
    import cnnviz

    output = _output(arguments, f"{Path(arguments.image).stem}-style.png", cnnviz.Synthesis)
    result = cnnviz.style_transfer(
        _load(arguments),
        arguments.image,
        arguments.styles,
        size=arguments.size,
        style_weight=arguments.style_weight,
        scales=arguments.scales,
        colors="content" if arguments.keep_colors else "style",
        **_run_options(arguments, output),
    )
    losses = result.history["value"]
    found = f", loss {losses[0]:.4g} -> {losses[-1]:.4g}" if len(losses) else ""
    _finish(result, output, "done", found)


def fool(arguments: argparse.Namespace) -> None:
    """Make a fooling image and save it."""
    import cnnviz
    from cnnviz.results.files import lossy

    output = _output(arguments, f"{Path(arguments.image or 'noise').stem}-fool.png", cnnviz.Synthesis)
    if lossy(output):
        raise ValueError(f"{output!r}: {lossy(output)}")
    model = _load(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a picture that does not fool is reported below
        result = cnnviz.fooling_image(
            model,
            arguments.image,
            target_of(model, arguments.target),
            confidence=arguments.confidence,
            **_run_options(arguments, output),
        )
    report = result.report
    before = f", was {report['original_label']!r}" if "original_label" in report else ""
    size = f", changed by at most {255 * report['linf']:.0f} of 255 levels" if "linf" in report else ""
    found = f": {report['predicted_label']!r} {report['confidence']:.1%}{before}{size}"
    _finish(result, output, "fools" if report["fools"] else "does not fool yet", found)


def class_(arguments: argparse.Namespace) -> None:
    """Make a class visualization and save it."""
    import cnnviz
    from cnnviz.pictures.batch import listed

    output = _output(arguments, f"{arguments.targets[0].replace(' ', '_')}-class.png", cnnviz.Synthesis)
    model = _load(arguments)
    targets = [target_of(model, target) for target in arguments.targets]
    # An objective is asked alone: it is no class, and has no probability.
    result = cnnviz.class_visualization(
        model, targets[0] if len(targets) == 1 else targets, **_run_options(arguments, output)
    )
    labels = listed(result.report["label"])
    shares = listed(result.report["probability"]) if "probability" in result.report else [None] * len(labels)
    found = ", ".join(
        repr(label) if share is None else f"{label!r} {share:.1%}" for label, share in zip(labels, shares)
    )
    _finish(result, output, "done", f": {found}")


def _run_options(arguments: argparse.Namespace, output: str) -> Dict[str, Any]:
    """The options of every run; only an animation keeps frames."""
    options = {name: getattr(arguments, name) for name in ("preset", "steps", "seed")}
    return {**options, "keep_every": 4 if output.lower().endswith(".gif") else 0}


def _finish(result: Any, output: str, ended: str, found: str) -> None:
    result.save(output)
    made = max(len(result.history["value"]) - 1, 0)
    say(f"{output}: {'interrupted' if result.interrupted else ended} after {made} steps{found}")


def demo(arguments: argparse.Namespace) -> None:
    """Make the page of all six visualizations."""
    import matplotlib

    from cnnviz.demo import demo

    matplotlib.use("Agg")  # pictures go into files: no window, also where there is a display
    index = demo(
        arguments.output,
        model=arguments.model,
        image=arguments.image,
        preprocessing=arguments.preprocessing,
        labels=arguments.labels,
        say=say,
    )
    say(f"the page with all pictures and their code: {index.resolve().as_uri()}")


def evaluate(arguments: argparse.Namespace) -> None:
    """Print a row of measures for each technique and control."""
    from cnnviz.evaluation.pointing import CONTROLS, TECHNIQUES, evaluate

    model = _load(arguments)
    head = "| | points at it | energy on it | of two: points at it | energy on it | on the other | ratio |\n"
    head += "|---|---|---|---|---|---|---|\n"
    for name in (*TECHNIQUES, *CONTROLS):
        alone, pair = (
            evaluate(model, name, n=arguments.pictures, seed=arguments.seed, objects=objects)
            for objects in (1, 2)
        )
        shares = [alone.pointing, alone.energy, pair.pointing, pair.energy, pair.other_energy]
        cells = [name, *(f"{share.mean():.1%}" for share in shares), f"{pair.ratio:.1f}"]
        say(f"{head}| {' | '.join(cells)} |")
        head = ""


def info(arguments: argparse.Namespace) -> None:
    """Describe the network, or classify a picture by each output that answers for a whole picture."""
    import cnnviz

    model = _load(arguments)
    if arguments.image is None:
        say(model.summary())
        cnnviz.show_config()
        return
    answering = [name for name in model.outputs if model.output(name).head.answer.predicts]
    for name in answering or model.outputs[:1]:
        of = f"{name}: " if len(answering) > 1 else ""
        for prediction in model.predict(arguments.image, output=name):
            share = prediction.probability
            found = f"{prediction.score:g}" if share is None else f"{share:7.2%}"
            say(f"{of}{found}  {prediction.label} ({prediction.index})")


def models(arguments: argparse.Namespace) -> None:
    """List the networks of the zoo."""
    from cnnviz.loading.zoo import zoo

    for name, entry in zoo().items():
        say(f"{name:<14} {entry.nbytes / 1e6:6.1f} MB  {entry.preprocessing:<9} {entry.licence}")
