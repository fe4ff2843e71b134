"""The options of all commands, and what they mean.

Nothing here waits for TensorFlow: `--help` and mistyped options are answered at once.
"""

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import keras_seg
from keras_seg.cli.dataset_options import PATHS, add_dataset_options
from keras_seg.cli.option_types import (
    height_width,
    overlap,
    page,
    picture,
    port,
    positive,
    run_folder,
    scales,
)
from keras_seg.cli.train_options import add_train_options


def parser(train_defaults: Mapping[str, Any] | None = None) -> argparse.ArgumentParser:
    """Make the parser of the command line.

    Args:
        train_defaults: Values of options of `train` that aren't given, by name, in
            place of their own defaults.
    """
    parser = _Parser(
        prog="keras-seg",
        description="Semantic segmentation in Keras.",
        epilog="Exit status: 0 done; 1 an error, or inspect found a serious problem, "
        "or predict left images out; 2 mistyped options; 130 and 143 ended by Ctrl-C "
        "and SIGTERM.",
    )
    parser.add_argument("--version", action="version", version=keras_seg.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_command(name: str, description: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=description.partition(".")[0],
            description=description,
            formatter_class=_Help,
        )
        command.set_defaults(command=name)
        command.add_argument(
            "--verbose",
            action="store_true",
            help="show TensorFlow's messages (is a GPU found?) and tracebacks",
        )
        return command

    command = add_command(
        "train",
        "Train a model. Keeps the best epoch, scores it on the validation images, and "
        "exports it. Without options it trains on drawn shapes.",
    )
    add_dataset_options(command)
    add_train_options(command)
    command.set_defaults(**(train_defaults or {}))

    command = add_command(
        "inspect",
        "Find problems in a data set before training on it. Reads every image and "
        "mask. The exit status is 1 if training would fail or learn something wrong.",
    )
    add_dataset_options(command)
    add = command.add_argument_group("output").add_argument
    _add_json(add)
    add(
        "--sheet",
        type=picture,
        metavar="FILE",
        help="write a picture (.png or .jpg) with examples of each class",
    )

    command = add_command(
        "prepare",
        "Convert a data set to folders of images and label PNGs, which read faster. "
        "If it is interrupted, run it again and it continues.",
    )
    add_dataset_options(command)
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write to: DIR/train and DIR/val",
    )
    _add_json(command.add_argument)

    command = add_command("evaluate", "Score a trained model. Prints IoU by class.")
    _add_run(command)
    _add_split(command)
    _add_export(command, "score")
    command.add_argument(
        "--boundary",
        type=positive,
        metavar="N",
        help="score boundaries too: boundary IoU in a band of N pixels",
    )
    _add_json(command.add_argument)
    _add_passes(command)

    command = add_command(
        "report",
        "Write an HTML page about a run: scores, charts, the images that it gets "
        "wrong, its data and settings. Scores are those of metrics.json; a run that "
        "has none is scored first.",
    )
    _add_run(command)
    _add_split(command)
    add = command.add_argument
    add(
        "--show",
        type=positive,
        default=28,
        metavar="N",
        help="images to show: of seven the five with the largest loss, and two "
        "typical ones",
    )
    add(
        "--out",
        type=page,
        metavar="FILE",
        help="file to write, .html (default: report.html in the run's folder)",
    )
    add("--overwrite", action="store_true", help="replace FILE if it exists")
    _add_json(add)

    command = add_command(
        "predict",
        "Predict masks of image files. For each image it writes a PNG of class ids, "
        "and an overlay: the photo with the classes in colour, class 0 left as it is. "
        "Images that can't be read are listed, and the others are done; the exit "
        "status is then 1.",
    )
    _add_run(command)
    command.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="JPEG or PNG files, folders (with the folders in them), or patterns in "
        "quotes: 'photos/**/*.jpg'",
    )
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write to; images of several folders keep their folders in it",
    )
    command.add_argument(
        "--batch-size",
        type=positive,
        default=8,
        metavar="N",
        help="images of the same size that are predicted together",
    )
    add = command.add_argument
    add("--no-overlays", action="store_true", help="write masks only")
    add(
        "--probabilities",
        action="store_true",
        help="write NAME_probabilities.npz too: `probabilities`, float16 [height, "
        "width, classes], and `class_names`",
    )
    add(
        "--continue",
        action="store_true",
        dest="resume",
        help="leave out images whose files are all in DIR",
    )
    _add_json(add)
    _add_export(command, "predict with")
    _add_passes(command)

    command = add_command(
        "export",
        "Export a trained model for serving. Raw images in, class ids out. Before the "
        "file gets its name, it is compared with the model in its own runtime.",
    )
    _add_run(command)
    add = command.add_argument
    add(
        "--format",
        choices=("saved_model", "onnx", "litert"),
        default="saved_model",
        help="format to export to",
    )
    add(
        "--out",
        type=Path,
        required=True,
        metavar="PATH",
        help="folder to write; with --format onnx a file .onnx, with litert .tflite",
    )
    add("--overwrite", action="store_true", help="replace PATH if it exists")
    add(
        "--quantize",
        choices=("float16", "int8"),
        help="numbers in place of float32, with --format onnx or litert",
    )
    add(
        "--calibration",
        type=positive,
        metavar="N",
        help="training images that --quantize measures by: the ranges of int8 (default "
        "there: 100), and how many pixels keep their class",
    )
    add(
        "--size",
        type=height_width,
        metavar="H,W",
        help="the only size of images that it takes (default: any size)",
    )
    _add_paths(command)
    _add_json(add)

    command = add_command(
        "demo",
        "Show a model's masks of your photos in a browser. The page is served to this "
        "machine alone, and nothing leaves it; Ctrl-C ends it. Needs Gradio: pip "
        "install 'keras-seg[demo]'.",
    )
    command.add_argument(
        "run",
        type=run_folder,
        metavar="RUN",
        help="folder that `keras-seg train` wrote, the model.keras in it, or what "
        "`keras-seg export` wrote",
    )
    command.add_argument(
        "--port",
        type=port,
        metavar="N",
        help="port of the page (default: 7860, or the next free one)",
    )
    return parser


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "run",
        type=run_folder,
        metavar="RUN",
        help="folder that `keras-seg train` wrote, or the model.keras in it",
    )


def _add_split(command: argparse.ArgumentParser) -> None:
    """Let a command have the options that name a split of a run's data."""
    command.add_argument(
        "--split", help="split to score (default: the one the run was validated on)"
    )
    _add_paths(command)


def _add_paths(command: argparse.ArgumentParser) -> None:
    for name in PATHS:
        command.add_argument(
            f"--{name}",
            metavar="PATH",
            help="new path, if the data has moved since training",
        )


def _add_json(add: Callable[..., Any]) -> None:
    add("--json", action="store_true", help="print one JSON object and nothing else")


def _add_export(command: argparse.ArgumentParser, verb: str) -> None:
    command.add_argument(
        "--export",
        type=Path,
        metavar="PATH",
        help=f"what to {verb} in place of the run's model: a SavedModel, an ONNX or a "
        "LiteRT file",
    )


def _add_passes(command: argparse.ArgumentParser) -> None:
    """Let a command have the options of how images go through a model."""
    add = command.add_argument_group("large images, better masks").add_argument
    add(
        "--tile",
        type=positive,
        metavar="N",
        help="predict by tiles of N x N pixels (default: whole images where they fit "
        "into memory, else tiles that fit)",
    )
    add(
        "--overlap",
        type=overlap,
        default=0.25,
        metavar="F",
        help="share of a tile that the next one has too; there they are blended",
    )
    add(
        "--flips",
        action="store_true",
        help="average with mirror images: twice the time",
    )
    add(
        "--scales",
        type=scales,
        default="1",
        metavar="F,F,..",
        help="average over resized images: 0.75,1,1.25",
    )


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are short, and suggest what a mistyped word meant.

    The usage, which argparse puts before them, would fill the screen.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, rest = super().parse_known_args(args, namespace)
        if rest:  # said here, where the options of the command are known
            known = re.findall(r"--([a-z-]+)", self.format_help())
            hint = _nearest(rest[0].partition("=")[0].lstrip("-"), known, "--")
            self.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
        return options, rest

    def error(self, message: str) -> NoReturn:
        choice = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if choice is not None:
            message += _nearest(choice[1], re.findall(r"[\w-]+", choice[2]))
        self.exit(
            2, f"{self.prog}: error: {message}\n`{self.prog} --help` says more.\n"
        )


def _nearest(word: str, known: Sequence[str], dashes: str = "") -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f". Did you mean {dashes}{near[0]}?" if near else ""


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help with default values, where there is one to tell."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)
