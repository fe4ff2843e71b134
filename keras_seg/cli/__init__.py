"""The command `keras-seg`.

Here are the options of all commands, and what they mean. What a command does is in the
file of its name, which is imported once the options are known to be right: so `--help`
and a mistyped option are answered without waiting for TensorFlow.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import keras_seg

MODELS = ("unet", "fcn32s", "fcn16s", "fcn8s")
DATA = ("shapes", "voc", "coco", "folder")
#: Options that are paths.
PATHS = ("root", "sbd", "images", "masks", "colors")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    command = importlib.import_module(f"keras_seg.cli.{options.command}")
    import tensorflow as tf

    try:
        return getattr(command, options.command)(options) or 0
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, RuntimeError, tf.errors.OpError) as error:
        print(f"\nkeras-seg: error: {_plain(error)}", file=sys.stderr)
        return 1


def _plain(error: Exception) -> str:
    """The sentence of an error, out of what TensorFlow and Python put around it."""
    from keras_seg.data.checks import reason

    text = reason(error)
    if "ValueError: " in text:  # raised while reading, inside tf.data
        text = text.split("ValueError: ", 1)[1].split("\nTraceback", 1)[0]
    return text.split("\n\n")[0].strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-seg", description="Semantic segmentation in Keras."
    )
    parser.add_argument("--version", action="version", version=keras_seg.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "train",
        help="train a model",
        description="Train a model, keep the best, score it, picture it, export it.",
        formatter_class=_Help,
    )
    command.set_defaults(command="train")
    add = command.add_argument
    _add_data_options(command)
    add("--model", choices=MODELS, default="unet", help="network")
    add("--widths", type=_widths, help="of unet's levels (16,32,64,128)")
    add("--encoder", metavar="NAME", help="backbone of unet: resnet50, ...")
    add("--weights", metavar="W", help="to start from: imagenet, or a file")
    add("--freeze-encoder", action="store_true", help="learn what joins it only")
    add(
        "--normalization",
        choices=("none", "batch", "group"),
        help="of unet (batch with an encoder, else none)",
    )
    add(
        "--upsampling",
        choices=("transpose", "bilinear", "nearest"),
        default="transpose",
        help="how maps come back up",
    )
    add(
        "--size",
        type=_positive,
        metavar="PIXELS",
        help="side of the training crops (64 for shapes, 256 otherwise)",
    )
    add(
        "--scale",
        type=_scale,
        default="0.5,2",
        metavar="LOW,HIGH",
        help="by which images are scaled before they are cropped",
    )
    add("--batch-size", type=_positive, default=8, metavar="N", help="crops per step")
    add("--epochs", type=_positive, default=10, metavar="N", help="epochs")
    add(
        "--steps-per-epoch",
        type=_positive,
        metavar="N",
        help="steps of an epoch (images / batch size)",
    )
    add("--learning-rate", type=float, default=1e-3, metavar="X", help="of Adam")
    add("--seed", type=int, default=0, metavar="N", help="of all that is random")
    add(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="dtype policy",
    )
    add("--out", type=Path, help="folder of the run (runs/DATA-MODEL)")
    add("--overwrite", action="store_true", help="write over a run in --out")

    command = commands.add_parser(
        "inspect",
        help="tell what is wrong with a data set",
        description="Look at every example of a data set and tell what is wrong with "
        "it. The exit status is 1 if training would go wrong.",
        formatter_class=_Help,
    )
    command.set_defaults(command="inspect")
    _add_data_options(command)
    command.add_argument("--json", action="store_true", help="for scripts")
    command.add_argument(
        "--sheet", default="contact_sheet.png", metavar="FILE", help="pictures"
    )

    command = commands.add_parser(
        "prepare",
        help="write a data set as folders that are quick to read",
        description="Write train and val of a data set as folders of images and label "
        "PNGs. Stopped and started again, it goes on.",
    )
    command.set_defaults(command="prepare")
    _add_data_options(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR")

    command = commands.add_parser("evaluate", help="score a trained model")
    command.set_defaults(command="evaluate")
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    command.add_argument("--split", help="split to score (that of validation)")
    for name in PATHS:
        command.add_argument(f"--{name}", metavar="PATH", help="if it has moved")

    command = commands.add_parser("predict", help="predict masks of image files")
    command.set_defaults(command="predict")
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    command.add_argument("image", type=Path, metavar="IMAGE", nargs="+")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")

    command = commands.add_parser("export", help="export a trained model")
    command.set_defaults(command="export")
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    command.add_argument("--format", choices=("saved_model",), default="saved_model")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--overwrite", action="store_true", help="replace DIR")
    return parser


def _add_data_options(command: argparse.ArgumentParser) -> None:
    """Let a command have the options that name a data set."""
    add = command.add_argument
    add("--data", choices=DATA, default="shapes", help="data set")
    add("--root", metavar="PATH", help="voc: .../VOCdevkit/VOC2012; coco: its folder")
    add("--classes", metavar="C", help="coco: voc (default), coco, or cat,dog")
    add("--sbd", metavar="PATH", help="voc: SBD's dataset/cls, for train_aug")
    add("--images", metavar="PATH", help="folder: images, or 'PATH/*_image.png'")
    add("--masks", metavar="PATH", help="folder: masks, or 'PATH/{split}/masks'")
    add("--names", metavar="N", help="folder: of the classes, in a row or a text file")
    add("--ignore", metavar="IDS", help="folder: ids without a label (255)")
    add("--ids", metavar="IDS", help="folder: id of each class in the masks (0,1,...)")
    add("--colors", metavar="FILE", help="folder: of ids in RGB masks, 'R G B' a line")
    add("--train-split", metavar="S", help="to learn from: train, ...; folder: a list")
    add("--val-split", metavar="S", help="to validate on: val, ...; folder: a list")


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help with default values, where there is one to tell."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {text}")
    return value


def _scale(text: str) -> tuple[float, float]:
    low, high = (float(word) for word in text.split(","))
    if not 0 < low <= high:
        raise argparse.ArgumentTypeError(f"expected 0 < low <= high, received {text}")
    return low, high


def _widths(text: str) -> tuple[int, ...]:
    return tuple(_positive(word) for word in text.split(","))
