"""The examples that a run was validated on, or another split of its data."""

import argparse
from typing import Any, NamedTuple

from keras_seg.cli.data_options import DataOptions, data_source
from keras_seg.cli.dataset_options import PATHS
from keras_seg.data import Source
from keras_seg.training.run_files import read_run


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
    """Open the split that the options of a command name."""
    read_run(options.run)
    run = read_run(options.run, DataOptions)
    run |= {k: v for k, v in vars(options).items() if k in PATHS and v is not None}
    validated = run["val_split"] or "val"
    split = options.split or validated
    if options.split and run["data"] in ("voc", "coco"):
        run |= {"train_split": None, "val_split": None}  # "train" is that of the set
    source = data_source(run, options.split or "val")
    return RunData(run, source, split, None if split == validated else split)
