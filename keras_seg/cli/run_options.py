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
        help="number of images to show: five sevenths are those with the largest loss, "
        "the rest typical ones",
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
        "For a TIFF that is georeferenced or has over 67 million pixels, it writes a "
        "GeoTIFF of class ids with the coordinates of the image. "
        "EXIF orientation is not applied: a mask matches the stored pixels. "
        "Images that can't be read are listed, the others are predicted, and the exit "
        "status is 1.",
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
        help="number of images of the same size predicted together",
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
        help="skip images whose results are already in DIR",
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
        help="store weights in this type instead of float32 (int8: activations too), "
        "with --format onnx or litert",
    )
    add(
        "--calibration",
        type=positive,
        metavar="N",
        help="number of training images from which --quantize int8 takes ranges "
        "(default: 100), and on which masks are compared with the model's",
    )
    add(
        "--size",
        type=height_width,
        metavar="H,W",
        help="fix the height and width of its input images (default: any size)",
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
        help=f"{verb} this SavedModel, ONNX or LiteRT file instead of the run's model",
    )


def _add_passes(command: argparse.ArgumentParser) -> None:
    """Let a command have the options for tiles and averaged predictions."""
    add = command.add_argument_group("large images, better masks").add_argument
    add(
        "--tile",
        type=positive,
        metavar="N",
        help="predict in tiles of N x N pixels (default: whole images if they fit into "
        "memory, else tiles that fit)",
    )
    add(
        "--overlap",
        type=overlap,
        default=0.25,
        metavar="F",
        help="fraction by which neighbouring tiles overlap; predictions are blended "
        "there",
    )
    add(
        "--flips",
        action="store_true",
        help="average predictions with those of the mirrored image: twice the time",
    )
    add(
        "--scales",
        type=scales,
        default="1",
        metavar="F,F,..",
        help="average predictions over image scales, as 0.75,1,1.25",
    )
