"""What `keras-seg evaluate` does."""

import argparse

import keras_seg
from keras_seg.cli.data_options import DataOptions, data_source
from keras_seg.cli.options import PATHS
from keras_seg.terminal import progress
from keras_seg.training.run_files import load_model, metrics_file, read_run
from keras_seg.training.runs import write_scores


def evaluate(options: argparse.Namespace) -> None:
    """Score a run on a split; see `keras-seg evaluate --help`."""
    read_run(options.run)
    run = read_run(options.run, DataOptions)
    run |= {k: v for k, v in vars(options).items() if k in PATHS and v is not None}
    validated = run["val_split"] or "val"
    split = options.split or validated
    if options.split and run["data"] in ("voc", "coco"):
        run |= {"train_split": None, "val_split": None}  # "train" is that of the set
    source = data_source(run, options.split or "val")
    model = load_model(options.run)
    bar = progress(len(source), "image", f"Scoring {split}")
    scores = keras_seg.evaluate(model, source, progress=bar.update)
    print(f"\n{scores}")
    path = metrics_file(options.run, None if split == validated else split)
    write_scores(scores, path, split)
    print(f"\nWrote {path}")
