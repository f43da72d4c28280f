"""The arguments of the command line: each command with its options, their defaults and an example."""

from __future__ import annotations

import argparse
import sys
from typing import Any, List, NoReturn

from cnnviz._version import __version__
from cnnviz.cli import handlers
from cnnviz.cli.output import fail
from cnnviz.cli.targets import names_of, size_of

_DEFAULT = "(default: %(default)s)"  # argparse fills in the option's default
_CLASS = "label, index, OUTPUT=CLASS, or LAYER[i,j] for one number of a layer"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.exit(fail(f"{message} (try: {self.prog} --help)", 2))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; it sets `handler`, the function that runs the command."""
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
    guided.add_argument(
        "--rule", dest="relu", choices=rules, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    _add_fool(commands)
    _add_style(commands)
    _add_class(commands)
    _add_evaluate(commands)
    _add_info(commands)
    models = _command(commands, "models", "list the networks that --model knows by name", "cnnviz models")
    models.set_defaults(handler=handlers.models)
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


def _add_model_arguments(
    command: argparse.ArgumentParser, *, size: bool = True, outputs: bool = True
) -> None:
    add = command.add_argument
    add("--model", metavar="NET", help="ONNX file, or a name from `cnnviz models` (default: the bundled one)")
    presets = ("imagenet", "caffe", "tf", "unit")
    known = "(default: the network's own where known"
    normalisation = f"normalisation of the network's input {known}, else imagenet)"
    add("--preprocessing", choices=presets, help=normalisation)
    file = "text file with the name of one class on each line"
    if not outputs:
        add("--labels", metavar="FILE", help=f"{file} {known})")
        return
    several = "OUTPUT=FILE for each of several outputs"
    add("--labels", metavar="FILE", action="append", help=f"{file}; {several} {known})")
    first = "layers to take for the network's outputs, of which the first is asked (default: the file's)"
    add("--outputs", metavar="NAME,NAME", type=names_of, help=first)
    if size:
        free = "size of the pictures where the file leaves it open (default: 224, or one that fits)"
        add("--size", metavar="HxW", dest="network_size", type=size_of, help=free)


def _add_attribution(commands: Any, name: str, text: str, example: str) -> argparse.ArgumentParser:
    command = _command(commands, name, text, example)
    add = command.add_argument
    add("image", metavar="IMAGE", help="picture to explain")
    _add_model_arguments(command)
    add("--target", metavar="CLASS", help=f"class to explain: {_CLASS} (default: the predicted class)")
    output = f"file to write: a picture, or .npz for the arrays (default: IMAGE-{name}.png)"
    add("-o", "--output", metavar="OUT", help=output)
    command.set_defaults(handler=handlers.attribute, method=name)
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
        help="class to reach: label, index, or OUTPUT=CLASS (default: any but the predicted one)",
    )
    add("--preset", default="margin", help=f"recipe: margin, cs231n or nguyen {_DEFAULT}")
    add("--confidence", type=float, metavar="P", help="probability to reach, 0 to 1 (default: the preset's)")
    _add_run_arguments(command, "IMAGE-fool.png")
    command.set_defaults(handler=handlers.fool)


def _add_class(commands: Any) -> None:
    command = _command(
        commands,
        "class",
        "make a picture that maximises the score of a class",
        "cnnviz class flamingo --model squeezenet1.1 --steps 128 -o flamingo.png",
    )
    add = command.add_argument
    add("targets", metavar="CLASS", nargs="+", help=f"{_CLASS}; several classes give pictures side by side")
    _add_model_arguments(command)
    add("--preset", default="default", help=f"recipe: default, cs231n, simonyan or yosinski {_DEFAULT}")
    _add_run_arguments(command, "CLASS-class.png")
    command.set_defaults(handler=handlers.class_)


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
    _add_model_arguments(command, size=False)
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
    command.set_defaults(handler=handlers.style)


def _add_demo(commands: Any) -> None:
    command = _command(
        commands,
        "demo",
        "make all six visualizations of a network, and a page that shows them",
        "cnnviz demo --model squeezenet1.1 --image cat.jpg --output cat",
    )
    add = command.add_argument
    _add_model_arguments(command, outputs=False)
    add("--image", help="picture to explain (default: a photograph that comes with matplotlib)")
    output = f"folder to write to {_DEFAULT}"
    add("-o", "--output", metavar="FOLDER", default="cnnviz-demo", help=output)
    command.set_defaults(handler=handlers.demo)


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
    command.set_defaults(handler=handlers.evaluate)


def _add_info(commands: Any) -> None:
    command = _command(
        commands,
        "info",
        "describe a network, or classify a picture with it",
        "cnnviz info cat.jpg --model squeezenet1.1",
    )
    command.add_argument("image", metavar="IMAGE", nargs="?", help="picture to classify")
    _add_model_arguments(command)
    command.set_defaults(handler=handlers.info)


def command_names() -> List[str]:
    """Return the names of the commands."""
    actions = [a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return list(actions[0].choices)
