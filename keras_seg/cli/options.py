"""The options of all commands, and what they mean.

Nothing here waits for TensorFlow: `--help` and mistyped options are answered at once.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import keras_seg
from keras_seg.cli.dataset_options import add_dataset_options
from keras_seg.cli.option_types import (
    picture,
)
from keras_seg.cli.run_options import add_json, add_run_commands
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
    add_json(add)
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
    add_json(command.add_argument)

    add_run_commands(add_command)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are short, and suggest what a mistyped word meant.

    The usage, which argparse puts before them, would fill the screen.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = _with_negative_values(sys.argv[1:] if args is None else args)
        options, rest = super().parse_known_args(words, namespace)
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


def _with_negative_values(words: Sequence[str]) -> list[str]:
    """Words in which `--value-range -1,1` is one: argparse takes -1,1 for an option.

    Example:
        >>> _with_negative_values(["inspect", "--value-range", "-1,1", "--binary"])
        ['inspect', '--value-range=-1,1', '--binary']
    """
    joined: list[str] = []
    for word in words:
        if re.match(r"-\.?\d", word) and joined and joined[-1].startswith("--"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _nearest(word: str, known: Sequence[str], dashes: str = "") -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f". Did you mean {dashes}{near[0]}?" if near else ""


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help with default values, where there is one to tell."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)
