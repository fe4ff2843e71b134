"""What `keras-seg evaluate` does."""

import argparse
from typing import Any

import keras_seg
from keras_seg.cli.data_options import DataOptions, data_source
from keras_seg.cli.dataset_options import PATHS
from keras_seg.terminal import progress
from keras_seg.training.run_files import load_model, metrics_file, read_run
from keras_seg.training.runs import write_scores

# How images go through the model by default.
_PASSES: dict[str, Any] = {
    "tile": None,
    "overlap": 0.25,
    "flips": False,
    "scales": (1.0,),
}
# Images that are listed.
_LISTED = 5


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
    model = options.export or load_model(options.run)
    bar = progress(len(source), "image", f"Scoring {split}")
    passes = {name: getattr(options, name) for name in _PASSES}
    scores = keras_seg.evaluate(
        model, source, **passes, boundary=options.boundary, progress=bar.update
    )
    print(f"\n{scores}\n\nImages with the largest loss:\n")
    for image in scores.worst_images(_LISTED):
        print(f"{image.name}: loss {image.loss:.3f}, mean IoU {image.mean_iou:.3f}")
    # What isn't the run's own score gets a file of its own.
    words = [] if options.export is None else [options.export.resolve().name]
    changed = {name: v for name, v in passes.items() if v != _PASSES[name]}
    words += [_word(name, value) for name, value in changed.items()]
    path = metrics_file(options.run, None if split == validated else split, *words)
    write_scores(scores, path, split, changed)
    print(f"\nWrote {path}")


def _word(option: str, value: Any) -> str:
    """An option and its value for the name of a file: "flips", "tile512"."""
    values = value if isinstance(value, tuple) else [value]
    return option if value is True else option + "_".join(f"{x:g}" for x in values)
