"""The examples that a run was validated on, or another split of its data."""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_seg.cli.data_options import DataOptions, data_source
from keras_seg.cli.dataset_options import PATHS
from keras_seg.data import Source
from keras_seg.data.readers.files import listed
from keras_seg.training.run_files import RUN, read_run


class RunData(NamedTuple):
    """A split of a run's data.

    Attributes:
        options: What run.json says, with new paths where data has moved.
        source: The examples.
        split: What the split is called.
        other: The same, None if the run was validated on it: for names of files.
    """

    options: dict[str, Any]
    source: Source
    split: str
    other: str | None


def run_data(options: argparse.Namespace) -> RunData:
    """Open the split that the options of a command name.

    Raises:
        ValueError: for examples of other classes than the run's.
    """
    class_names = read_run(options.run)["class_names"]
    run = read_run(options.run, DataOptions) | new_paths(options)
    validated = run["val_split"] or "val"
    split = options.split or validated
    if options.split and run["data"] in ("voc", "coco"):
        run |= {"train_split": None, "val_split": None}  # "train" is that of the set
    source = data_source(run, options.split or "val")
    difference = class_difference(class_names, source.class_names)
    if difference:
        raise ValueError(
            f"Expected examples of the run's classes, which {options.run / RUN} names. "
            f"Received: {difference}. Likely cause: there are other data in the place "
            "of those that it was trained on."
        )
    return RunData(run, source, split, None if split == validated else split)


def new_paths(options: argparse.Namespace) -> dict[str, str]:
    """The paths that a command gives for data that have moved, by option."""
    given = vars(options)
    return {name: given[name] for name in PATHS if given.get(name) is not None}


def class_difference(expected: Sequence[str], found: Sequence[str]) -> str:
    """How classes differ from those of a run, in words; nothing if they don't."""
    if len(found) != len(expected):
        return f"{len(found)} classes in place of {len(expected)}: {listed(found)}"
    for number, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
        if ours != theirs:
            return f"class {number} is {theirs!r} in place of {ours!r}"
    return ""


def path_words(options: argparse.Namespace) -> list[str]:
    """The same paths as words of another command."""
    return [word for k, path in new_paths(options).items() for word in (f"--{k}", path)]
