"""What `keras-seg export` does."""

import argparse

import numpy as np

import keras_seg
from keras_seg.cli.data_options import DataOptions, data_source
from keras_seg.cli.dataset_options import PATHS
from keras_seg.cli.image_options import bands_of
from keras_seg.cli.output import Output
from keras_seg.training.run_files import load_model, read_run

# Training images that ranges of int8 are measured by.
_IMAGES = 100


def export(options: argparse.Namespace) -> None:
    """Export a run's model; see `keras-seg export --help`."""
    run = read_run(options.run)
    if options.out.exists() and not options.overwrite:
        raise FileExistsError(
            f"Expected nothing at {options.out}. Choose another --out, or add "
            "--overwrite."
        )
    written = keras_seg.export(
        load_model(options.run),
        options.out,
        format=options.format,
        quantize=options.quantize,
        examples=_examples(options),
        size=options.size,
        class_names=run["class_names"],
        palette=run["palette"],
        dtype=run.get("image", {}).get("dtype"),
        bands=bands_of(run),
        overwrite=options.overwrite,
    )
    result = {"export": str(options.out), "format": options.format}
    then = ["evaluate", options.run, "--export", options.out]
    Output(json=options.json).done(result, f"Wrote {written}", then)


def _examples(options: argparse.Namespace) -> list[np.ndarray] | None:
    """Images of the run's training split, from all over it."""
    count = options.calibration or (_IMAGES if options.quantize == "int8" else 0)
    if not count:
        return None
    run = read_run(options.run, DataOptions)
    run |= {k: v for k, v in vars(options).items() if k in PATHS and v is not None}
    source = data_source(run, "train")
    chosen = np.linspace(0, len(source) - 1, min(count, len(source))).astype(int)
    return [source[int(k)][0] for k in chosen]
