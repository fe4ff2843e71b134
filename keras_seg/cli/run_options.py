"""Options of the commands that take a run: evaluate, report, predict, export, demo.

None of them imports TensorFlow: mistyped options and --help are answered at once.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_seg.cli.dataset_options import PATHS
from keras_seg.cli.option_types import (
    height_width,
    overlap,
    page,
    port,
    positive,
    run_folder,
    scales,
)

#: From the name of a command and its description to its parser.
AddCommand = Callable[[str, str], argparse.ArgumentParser]


def add_run_commands(add_command: AddCommand) -> None:
    """Add these commands to a parser."""
    _add_evaluate_command(add_command)
    _add_report_command(add_command)
    _add_predict_command(add_command)
    _add_export_command(add_command)
    _add_demo_command(add_command)


def _add_evaluate_command(add_command: AddCommand) -> None:
    command = add_command(
        "evaluate",
        "Score a trained model. Prints IoU by class.",
    )
    _add_run(command)
    _add_split(command)
    _add_export(command, "score")
    command.add_argument(
        "--boundary",
        type=positive,
        metavar="N",
        help="score boundaries too: boundary IoU in a band of N pixels",
    )
    add_json(command.add_argument)
    _add_passes(command)


def _add_report_command(add_command: AddCommand) -> None:
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
    add_json(add)


def _add_predict_command(add_command: AddCommand) -> None:
    command = add_command(
        "predict",
        "Predict masks of image files. For each image it writes a PNG of class ids, "
        "and an overlay: the photo with the classes in colour, class 0 left as it is. "
        "For a TIFF that is georeferenced, or has over 67 million pixels, it writes a "
        "GeoTIFF of ids, with the image's coordinates. "
        "Masks have the pixels as they are stored: EXIF orientation is not applied. "
        "Images that can't be read are listed, and the others are done; the exit "
        "status is then 1.",
    )
    _add_run(command)
    command.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="image files, folders (with the folders in them), or patterns in "
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
    add_json(add)
    _add_export(command, "predict with")
    _add_passes(command)


def _add_export_command(add_command: AddCommand) -> None:
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
    add_json(add)


def _add_demo_command(add_command: AddCommand) -> None:
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


def add_json(add: Callable[..., Any]) -> None:
    """Let a command have the option that is for scripts."""
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
