"""What `keras-seg prepare` does."""

import argparse

from keras_seg import data
from keras_seg.cli.data_options import SPLIT, data_source


def prepare(options: argparse.Namespace) -> None:
    """Write a data set as folders; see `keras-seg prepare --help`."""
    for split in ("train", "val"):
        source = data_source(vars(options), split)
        print(f"{split}: {len(source)} examples to {options.out / split}")
        data.prepare(source, options.out / split)
    images, masks = (f"{options.out / SPLIT / kind}" for kind in ("images", "masks"))
    print(f"\nRead them with --data folder --images '{images}' --masks '{masks}'")
