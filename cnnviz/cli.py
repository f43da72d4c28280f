"""The command line: one command for each technique, one line for each error."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, Union

from cnnviz import __version__

_ERRORS = (ValueError, TypeError, OSError, MemoryError)
_DEFAULT = "(default: %(default)s)"  # argparse fills in the option's default


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return its exit status: 0, 2 for an error, 130 when interrupted."""
    arguments = _parser().parse_args(argv)
    from cnnviz.errors import CnnvizError

    try:
        arguments.handler(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of the pipe, `head` for example, has closed it: buffered output is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (CnnvizError, *_ERRORS) as error:
        return _fail(str(error) or type(error).__name__, 2)
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.exit(_fail(f"{message} (try: {self.prog} --help)", 2))


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"cnnviz: {' '.join(message.split())}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cnnviz", description="Show what a convolutional network sees.")
    parser.add_argument("--version", action="version", version=f"cnnviz {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_attribution(
        commands,
        "saliency",
        "show which pixels a score is most sensitive to",
        "cnnviz saliency cat.jpg --model squeezenet1.1 --target tabby -o cat-saliency.png",
    )
    grad_cam = _add_attribution(
        commands,
        "grad-cam",
        "show at which places the feature maps of a layer raise the score of a class",
        "cnnviz grad-cam cat.jpg --model net.onnx --preprocessing tf --target 282 -o cat.png",
    )
    grad_cam.add_argument("--layer", help="layer with feature maps (default: the last one before the scores)")
    guided = _add_attribution(
        commands,
        "guided-backprop",
        "show the patterns that excite the neurons that a score depends on",
        "cnnviz guided-backprop cat.jpg --model squeezenet1.1 -o cat-guided.png",
    )
    rules = ("guided", "deconv")
    relu = f"backward rule of ReLUs: guided backpropagation's or the DeconvNet's {_DEFAULT}"
    guided.add_argument("--relu", choices=rules, default="guided", help=relu)
    # The option's former name.
    guided.add_argument("--rule", dest="relu", choices=rules, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    _add_fool(commands)
    _add_style(commands)
    _add_class(commands)
    _add_evaluate(commands)
    _add_info(commands)
    models = _command(commands, "models", "list the networks that --model knows by name", "cnnviz models")
    models.set_defaults(handler=_models)
    return parser


def _command(commands: Any, name: str, text: str, example: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return command


def _add_model_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--model", metavar="NET", help="ONNX file, or a name from `cnnviz models` (default: the bundled one)")
    presets = ("imagenet", "caffe", "tf", "unit")
    normalisation = (
        "normalisation of the network's input (default: the network's own where known, else imagenet)"
    )
    add("--preprocessing", choices=presets, help=normalisation)
    add("--labels", metavar="FILE", help="text file with the name of one class on each line")


def _add_attribution(commands: Any, name: str, text: str, example: str) -> argparse.ArgumentParser:
    command = _command(commands, name, text, example)
    add = command.add_argument
    add("image", metavar="IMAGE", help="picture to explain")
    _add_model_arguments(command)
    add("--target", metavar="CLASS", help="class to explain, label or index (default: the predicted class)")
    output = f"file to write: a picture, or .npz for the arrays (default: IMAGE-{name}.png)"
    add("-o", "--output", metavar="OUT", help=output)
    command.set_defaults(handler=_attribute, method=name)
    return command


def _add_fool(commands: Any) -> None:
    command = _command(
        commands,
        "fool",
        "change a picture, or noise, until the network predicts another class",
        "cnnviz fool cat.jpg --target goldfish --model squeezenet1.1 -o cat-goldfish.png",
    )
    add = command.add_argument
    add("image", metavar="IMAGE", nargs="?", help="picture to change (default: noise)")
    _add_model_arguments(command)
    add(
        "--target",
        metavar="CLASS",
        help="class to reach, label or index (default: any but the predicted one)",
    )
    add("--preset", default="margin", help=f"recipe: margin, cs231n or nguyen {_DEFAULT}")
    add("--confidence", type=float, metavar="P", help="probability to reach, 0 to 1 (default: the preset's)")
    _add_run_arguments(command, "IMAGE-fool.png")
    command.set_defaults(handler=_fool)


def _add_class(commands: Any) -> None:
    command = _command(
        commands,
        "class",
        "make a picture that maximises the score of a class",
        "cnnviz class flamingo --model squeezenet1.1 --steps 128 -o flamingo.png",
    )
    add = command.add_argument
    add("targets", metavar="CLASS", nargs="+", help="label or index; several give pictures side by side")
    _add_model_arguments(command)
    add("--preset", default="default", help=f"recipe: default, cs231n, simonyan or yosinski {_DEFAULT}")
    _add_run_arguments(command, "CLASS-class.png")
    command.set_defaults(handler=_class)


def _add_run_arguments(
    command: argparse.ArgumentParser, name: str, steps: str = "largest number of steps"
) -> None:
    add = command.add_argument
    add("--steps", type=int, metavar="N", help=f"{steps} (default: the preset's)")
    add("--seed", type=int, default=0, help=f"random seed {_DEFAULT}")
    kinds = "the picture, .npz for the arrays and the checkpoint, .gif for an animation of the run"
    add("-o", "--output", metavar="OUT", help=f"file to write: {kinds} (default: {name})")


def _add_style(commands: Any) -> None:
    command = _command(
        commands,
        "style",
        "paint the content of one picture in the style of another",
        "cnnviz style house.jpg starry_night.jpg --model squeezenet1.1 --size 256 -o house-starry.png",
    )
    add = command.add_argument
    add("image", metavar="CONTENT", help="picture whose content is kept")
    add("styles", metavar="STYLE", nargs="+", help="picture whose style is taken; several are mixed")
    _add_model_arguments(command)
    published = "cs231n-composition-vii, cs231n-the-scream or cs231n-starry-night"
    add("--preset", default="default", help=f"recipe: default, gatys, johnson, {published} {_DEFAULT}")
    size = "shorter side of the result (default: the preset's, at most the content's own)"
    add("--size", type=int, metavar="PIXELS", help=size)
    add("--style-weight", type=float, metavar="W", help="weight of the style loss (default: the preset's)")
    add(
        "--scales",
        type=int,
        default=1,
        help=f"number of sizes, coarse to fine, each twice the last {_DEFAULT}",
    )
    add("--keep-colors", action="store_true", help="keep the colours of the content")
    _add_run_arguments(command, "CONTENT-style.png", steps="number of steps for each scale")
    command.set_defaults(handler=_style)


def _add_demo(commands: Any) -> None:
    command = _command(
        commands,
        "demo",
        "make all six visualizations of a network, and a page that shows them",
        "cnnviz demo --model squeezenet1.1 --image cat.jpg --output cat",
    )
    add = command.add_argument
    _add_model_arguments(command)
    add("--image", help="picture to explain (default: a photograph that comes with matplotlib)")
    output = f"folder to write to {_DEFAULT}"
    add("-o", "--output", metavar="FOLDER", default="cnnviz-demo", help=output)
    command.set_defaults(handler=_demo)


def _add_evaluate(commands: Any) -> None:
    command = _command(
        commands,
        "evaluate",
        "measure how well each attribution points at its object, on drawn pictures",
        "cnnviz evaluate --pictures 500",
    )
    add = command.add_argument
    _add_model_arguments(command)
    add("--pictures", type=int, default=200, metavar="N", help=f"number of pictures {_DEFAULT}")
    add("--seed", type=int, default=0, help=f"random seed of the pictures {_DEFAULT}")
    command.set_defaults(handler=_evaluate)


def _add_info(commands: Any) -> None:
    command = _command(
        commands,
        "info",
        "describe a network, or classify a picture with it",
        "cnnviz info cat.jpg --model squeezenet1.1",
    )
    command.add_argument("image", metavar="IMAGE", nargs="?", help="picture to classify")
    _add_model_arguments(command)
    command.set_defaults(handler=_info)


def _load(arguments: argparse.Namespace) -> Any:
    import cnnviz

    return cnnviz.load(arguments.model, preprocessing=arguments.preprocessing, labels=arguments.labels)


def _output(arguments: argparse.Namespace, name: str, kind: Any) -> str:
    """Return the path of the output, after a check that a result of this kind can be written there."""
    from cnnviz.results.results import check_path

    output: str = arguments.output or name
    check_path(output, kind)
    return output


def _attribute(arguments: argparse.Namespace) -> None:
    import cnnviz

    output = _output(arguments, f"{Path(arguments.image).stem}-{arguments.method}.png", cnnviz.Attribution)
    model = _load(arguments)
    method: Callable[..., Any] = getattr(cnnviz, arguments.method.replace("-", "_"))
    options = {name: getattr(arguments, name) for name in ("layer", "relu") if name in arguments}
    result = method(model, arguments.image, _target(arguments.target), **options)
    result.save(output)
    layer = f" at {result.layer}" if result.layer else ""
    flags = f" ({', '.join(result.flags)})" if result.flags else ""
    _say(f"{output}: {arguments.method}{layer} of {result.label!r}, score {result.score:.4g}{flags}")


def _style(arguments: argparse.Namespace) -> None:
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


def _fool(arguments: argparse.Namespace) -> None:
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
            _target(arguments.target),
            confidence=arguments.confidence,
            **_run_options(arguments, output),
        )
    report = result.report
    before = f", was {report['original_label']!r}" if "original_label" in report else ""
    size = f", changed by at most {255 * report['linf']:.0f} of 255 levels" if "linf" in report else ""
    found = f": {report['predicted_label']!r} {report['confidence']:.1%}{before}{size}"
    _finish(result, output, "fools" if report["fools"] else "does not fool yet", found)


def _class(arguments: argparse.Namespace) -> None:
    import cnnviz
    from cnnviz.pictures.batch import listed

    output = _output(arguments, f"{arguments.targets[0].replace(' ', '_')}-class.png", cnnviz.Synthesis)
    result = cnnviz.class_visualization(
        _load(arguments),
        [_class_of(target) for target in arguments.targets],
        **_run_options(arguments, output),
    )
    pairs = zip(listed(result.report["label"]), listed(result.report["probability"]))
    found = ", ".join(f"{label!r} {share:.1%}" for label, share in pairs)
    _finish(result, output, "done", f": {found}")


def _run_options(arguments: argparse.Namespace, output: str) -> Dict[str, Any]:
    """The options of every run; only an animation keeps frames."""
    options = {name: getattr(arguments, name) for name in ("preset", "steps", "seed")}
    return {**options, "keep_every": 4 if output.lower().endswith(".gif") else 0}


def _finish(result: Any, output: str, ended: str, found: str) -> None:
    result.save(output)
    made = max(len(result.history["value"]) - 1, 0)
    _say(f"{output}: {'interrupted' if result.interrupted else ended} after {made} steps{found}")


def _demo(arguments: argparse.Namespace) -> None:
    import matplotlib

    from cnnviz.demo import demo

    matplotlib.use("Agg")  # pictures go into files: no window, also where there is a display
    index = demo(
        arguments.output,
        model=arguments.model,
        image=arguments.image,
        preprocessing=arguments.preprocessing,
        labels=arguments.labels,
        say=_say,
    )
    _say(f"the page with all pictures and their code: {index.resolve().as_uri()}")


def _evaluate(arguments: argparse.Namespace) -> None:
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
        _say(f"{head}| {' | '.join(cells)} |")
        head = ""


def _info(arguments: argparse.Namespace) -> None:
    import cnnviz

    model = _load(arguments)
    if arguments.image is None:
        _say(model.summary())
        cnnviz.show_config()
        return
    for prediction in model.predict(arguments.image):
        _say(f"{prediction.probability:7.2%}  {prediction.label} ({prediction.index})")


def _models(arguments: argparse.Namespace) -> None:
    from cnnviz.loading.zoo import zoo

    for name, entry in zoo().items():
        _say(f"{name:<14} {entry.nbytes / 1e6:6.1f} MB  {entry.preprocessing:<9} {entry.licence}")


def _target(text: Optional[str]) -> Union[int, str, None]:
    return None if text is None else _class_of(text)


def _class_of(text: str) -> Union[int, str]:
    return int(text) if text.isdigit() else text


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def commands() -> List[str]:
    """Return the names of the commands."""
    actions = [a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return list(actions[0].choices)
