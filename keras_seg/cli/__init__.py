"""The command `keras-seg`.

Here are the options of all commands, and what they mean. What a command does is in the
file of its name, which is imported once the options are known to be right: so `--help`
and a mistyped option are answered without waiting for TensorFlow.
"""

import argparse
import contextlib
import importlib
import math
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras_seg
from keras_seg.cli import interrupt
from keras_seg.cli.messages import translated, with_arguments

MODELS = ("unet", "fcn32s", "fcn16s", "fcn8s")
DATA = ("shapes", "voc", "coco", "folder")
#: Options that are paths.
PATHS = ("root", "sbd", "images", "annotations", "masks", "colors")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "train":
        options.given = _given(arguments)
    command, verbose = (vars(options).pop(name) for name in ("command", "verbose"))
    try:
        with contextlib.nullcontext() if verbose else _silence():
            if not hasattr(keras_seg, "unet"):  # it has waited for this
                importlib.reload(keras_seg)
            module = importlib.import_module(f"keras_seg.cli.{command}")
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning(options, warnings.showwarning)
            return getattr(module, command)(options) or 0
    except KeyboardInterrupt:
        if interrupt.received() is None:  # else that was said when it came
            print("\nInterrupted.", file=sys.stderr)
        return 128 + (interrupt.received() or signal.SIGINT)
    except Exception as error:
        if verbose:
            traceback.print_exc()
        words = sys.argv[1:] if arguments is None else arguments
        print(f"\nkeras-seg: error: {_advice(error, options, words)}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Import TensorFlow without what it writes about GPUs and processors.

    Its libraries write to file descriptor 2, where Python can't filter. The descriptor
    is a file for a while, shown only if the import fails; the messages that come later
    are turned off by TensorFlow's own variable. Its errors are exceptions.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules:
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def _show_warning(options: argparse.Namespace, others: Any) -> Any:
    """Make warnings to the user plain sentences; other kinds stay as they are."""

    def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
        if category is not UserWarning:
            others(message, category, *where, **more)
            return
        text = translated(str(message), vars(options))
        print(f"Note: {text}", file=sys.stderr)

    return show


def _advice(error: Exception, options: argparse.Namespace, words: Sequence[str]) -> str:
    """What an error says, in terms of options, and the command that would mend it."""
    text = translated(_sentence(error), vars(options))
    changes = getattr(error, "arguments", None)
    return f"{text}\nTry: {with_arguments(words, changes)}" if changes else text


def _sentence(error: Exception) -> str:
    """What an error says, and what it is where that isn't said."""
    if isinstance(error, (ValueError, OSError, ImportError, RuntimeError)):
        return str(error) or type(error).__name__
    # Not at the head of the file: TensorFlow may be what couldn't be imported.
    from keras_seg.data.checks import cause_of, reason

    cause = cause_of(error)
    if cause is not error:
        return str(cause)
    return f"{type(error).__name__}: {reason(error)}\n(--verbose shows more.)"


def _given(arguments: Sequence[str] | None) -> set[str]:
    """Names of the options that are on the command line, also with a default value."""
    parser = _parser()
    commands = next(
        x for x in parser._actions if isinstance(x, argparse._SubParsersAction)
    )
    for command in commands.choices.values():
        for action in command._actions:
            action.default = argparse.SUPPRESS
    return set(vars(parser.parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-seg", description="Semantic segmentation in Keras."
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
    _add_data_options(command)
    add = command.add_argument_group("model").add_argument
    add("--model", choices=MODELS, default="unet", help="architecture")
    add(
        "--widths",
        type=_widths,
        metavar="N,N,...",
        help="unet: filters per level, from full resolution down (default: "
        "16,32,64,128; with --encoder 16,32,64,128,256)",
    )
    add(
        "--encoder",
        metavar="NAME",
        help="unet: backbone in place of its own encoder: efficientnet_lite0, "
        "resnet50, or another of keras.applications",
    )
    add(
        "--encoder-weights",
        metavar="W",
        help="initial weights of the encoder (fcn: of its VGG16): imagenet, or a file",
    )
    add(
        "--weights",
        metavar="W",
        help="initial weights of the whole model: a file (.keras; fcn: .caffemodel "
        "too), or the folder of a run",
    )
    add(
        "--freeze-encoder",
        action="store_true",
        help="train only the decoder; the encoder's weights and batch-norm statistics "
        "stay as they are",
    )
    add(
        "--normalization",
        choices=("none", "batch", "group"),
        help="unet: normalization layers (default: batch)",
    )
    add(
        "--upsampling",
        choices=("transpose", "bilinear", "nearest"),
        help="upsampling method of the decoder (default: nearest with --encoder, else "
        "transpose)",
    )
    add = command.add_argument_group("training").add_argument
    add(
        "--size",
        type=_side,
        metavar="PIXELS",
        help="height and width of the training crops (default: 64 for shapes, else "
        "256)",
    )
    add(
        "--scale",
        type=_scale,
        metavar="LOW,HIGH",
        help="range of the random factor that images are resized by before cropping "
        "(default: 0.8,1.25 for shapes, else 0.5,2)",
    )
    add(
        "--batch-size",
        type=_positive,
        metavar="N",
        help="crops per step (default: 16 for shapes, else 8)",
    )
    add("--epochs", type=_positive, default=10, metavar="N", help="number of epochs")
    add(
        "--steps-per-epoch",
        type=_positive,
        metavar="N",
        help="training steps per epoch (default: number of images / batch size)",
    )
    add(
        "--validate-every",
        type=_positive,
        default=1,
        metavar="N",
        help="epochs from one validation to the next; the last epoch is validated too",
    )
    add(
        "--val-images",
        type=_positive,
        metavar="N",
        help="validate on N images, spread over the split and the same in each epoch "
        "(default: all); the final scores are of all",
    )
    add(
        "--learning-rate",
        type=_learning_rate,
        metavar="X",
        help="highest learning rate of Adam, after a short warm-up; then it falls to 0 "
        "along half a cosine (default: 0.003 for shapes, else 0.001)",
    )
    add("--seed", type=_seed, default=0, metavar="N", help="random seed")
    add(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="Keras dtype policy",
    )
    add = command.add_argument_group("output").add_argument
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the model, its scores and pictures (default: "
        "runs/DATA-MODEL, with a number if it exists)",
    )
    add("--overwrite", action="store_true", help="replace an earlier run in --out")
    add(
        "--resume",
        type=_run_folder,
        metavar="RUN",
        help="continue a run that was interrupted, with its options, from its last "
        "whole epoch",
    )

    command = add_command(
        "inspect",
        "Find problems in a data set before training on it. Reads every image and "
        "mask. The exit status is 1 if training would fail or learn something wrong.",
    )
    _add_data_options(command)
    add = command.add_argument_group("output").add_argument
    add("--json", action="store_true", help="print the report as JSON")
    add(
        "--sheet",
        type=_picture,
        metavar="FILE",
        help="write a picture (.png or .jpg) with examples of each class",
    )

    command = add_command(
        "prepare",
        "Convert a data set to folders of images and label PNGs, which read faster. "
        "If it is interrupted, run it again and it continues.",
    )
    _add_data_options(command)
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write to: DIR/train and DIR/val",
    )

    command = add_command("evaluate", "Score a trained model. Prints IoU by class.")
    _add_run(command)
    command.add_argument(
        "--split", help="split to score (default: the one the run was validated on)"
    )
    for name in PATHS:
        command.add_argument(
            f"--{name}",
            metavar="PATH",
            help="new path, if the data has moved since training",
        )

    command = add_command(
        "predict",
        "Predict masks of image files. For each image it writes a PNG of class ids, "
        "and an overlay: the photo with the classes in colour, class 0 left as it is. "
        "Images that can't be read are listed, and the others are done.",
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
        type=_positive,
        default=8,
        metavar="N",
        help="images of the same size that are predicted together",
    )

    command = add_command("export", "Export a trained model for serving.")
    _add_run(command)
    add = command.add_argument
    add(
        "--format",
        choices=("saved_model",),
        default="saved_model",
        help="format to export to",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add("--overwrite", action="store_true", help="replace DIR if it exists")
    return parser


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "run",
        type=_run_folder,
        metavar="RUN",
        help="folder that `keras-seg train` wrote, or the model.keras in it",
    )


def _add_data_options(command: argparse.ArgumentParser) -> None:
    """Let a command have the options that name a data set."""
    add = command.add_argument_group("data set").add_argument
    add("--data", choices=DATA, default="shapes", help="kind of data set")
    add(
        "--root",
        metavar="PATH",
        help="voc: the folder VOCdevkit/VOC2012; coco: the folder with annotations/",
    )
    add(
        "--classes",
        metavar="C",
        help="coco: voc (its 20 classes), coco (all of the file), or names: cat,dog "
        "(default: voc with --root, else coco)",
    )
    add(
        "--annotations",
        metavar="FILE",
        help="coco: JSON file that a tool exported, with --images in place of --root; "
        "{split} in a path stands for train and val",
    )
    add(
        "--crowd",
        choices=("ignore", "object"),
        help="coco: what annotations with iscrowd=1 are: ignored pixels (default), or "
        "objects, as in CVAT's masks",
    )
    add(
        "--overlap",
        choices=("ignore", "smallest"),
        help="coco: pixels of two objects are ignored (default), or the smaller one's",
    )
    add(
        "--boxes",
        choices=("error", "ignore"),
        help="coco: boxes without an outline are an error (default), or ignored pixels",
    )
    add(
        "--min-area",
        type=_area,
        metavar="N",
        help="coco: leave out images whose objects have no more pixels than N in all",
    )
    add(
        "--sbd",
        metavar="PATH",
        help="voc: SBD's folder dataset/cls, for --train-split train_aug",
    )
    add(
        "--images",
        metavar="PATH",
        help="folder, coco: the images: a folder, or a pattern 'PATH/*_image.png'",
    )
    add(
        "--masks",
        metavar="PATH",
        help="folder: the masks, likewise; {split} in a path stands for train and val",
    )
    add(
        "--names",
        metavar="N",
        help="folder: class names, comma-separated, or a text file with one a line",
    )
    add(
        "--ignore",
        metavar="IDS",
        help="folder: ids of pixels to ignore, as 0,255 (default: 255, unless --ids "
        "has it)",
    )
    add(
        "--ids",
        metavar="IDS",
        help="folder: ids of each class in the masks, as 0,255; several ids of one "
        "class: 0,1-255 or 0,1+7 (default: 0,1,...)",
    )
    add(
        "--colors",
        metavar="FILE",
        help="folder: text file with the colour of each id, 'R G B name' a line, for "
        "masks in RGB",
    )
    add(
        "--channels",
        type=_positive,
        metavar="N",
        help="folder: channels of the images (default: those of the first one); 3 "
        "makes RGB of grey images and leaves out alpha",
    )
    add(
        "--train-split",
        metavar="S",
        help="split to train on (default: train); folder: a text file of stems",
    )
    add(
        "--val-split",
        metavar="S",
        help="split to validate on (default: val); folder: a text file of stems",
    )


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help with default values, where there is one to tell."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def _run_folder(text: str) -> Path:
    """The folder of a run, also where its model is named."""
    path = Path(text)
    return path.parent if path.name == "model.keras" and path.is_file() else path


def _picture(text: str) -> str:
    if not text.lower().endswith((".png", ".jpg", ".jpeg")):
        raise argparse.ArgumentTypeError(
            f"expected a name that ends in .png or .jpg, received {text}"
        )
    return text


def _whole(text: str, low: int, high: int) -> int:
    # isascii: int() takes digits of every script; the length keeps it quick
    is_number = text.isascii() and text.isdecimal() and len(text) < 20
    if not is_number or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {low} to {high}, received {text}"
        )
    return int(text)


def _positive(text: str) -> int:
    return _whole(text, 1, 1_000_000)


def _side(text: str) -> int:
    return _whole(text, 1, 16_384)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**32 - 1)  # what NumPy takes


def _learning_rate(text: str) -> float:
    value = _float(text)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(
            f"expected a number above 0, at most 1000, as 0.001, received {text}"
        )
    return value


def _area(text: str) -> float:
    value = _float(text)
    if not 0 <= value < 1e12:
        raise argparse.ArgumentTypeError(
            f"expected a number of pixels, 0 or more, received {text}"
        )
    return value


def _float(text: str) -> float:
    """The number that a word says, NaN if it says none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _scale(text: str) -> tuple[float, float]:
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        low = high = 0.0
    if not 0.01 <= low <= high <= 100:
        raise argparse.ArgumentTypeError(
            "expected two numbers with 0.01 <= low <= high <= 100, as 0.5,2, received "
            f"{text}"
        )
    return low, high


def _widths(text: str) -> tuple[int, ...]:
    return tuple(_whole(word, 1, 16_384) for word in text.split(","))
