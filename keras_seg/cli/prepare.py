"""What `keras-seg prepare` does."""

import argparse

from keras_seg import data
from keras_seg.cli.data_options import SPLIT, data_source
from keras_seg.cli.output import Output


def prepare(options: argparse.Namespace) -> None:
    """Write a data set as folders; see `keras-seg prepare --help`."""
    output = Output(json=options.json)
    written = {}
    for split in ("train", "val"):
        source, path = data_source(vars(options), split), options.out / split
        output.say(f"{split}: {len(source)} examples to {path}")
        data.prepare(source, path, verbose=output.is_talking)
        written[split] = {"folder": str(path), "examples": len(source)}
    images, masks = (f"{options.out / SPLIT / kind}" for kind in ("images", "masks"))
    then = ["train", "--data", "folder", "--images", images, "--masks", masks]
    output.done(written, f"\nWrote {options.out}", then)
