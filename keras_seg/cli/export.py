"""What `keras-seg export` does."""

import argparse

import numpy as np

import keras_seg
from keras_seg.cli.data_options import DataOptions, data_source
from keras_seg.cli.image_options import bands_of
from keras_seg.cli.output import Output
from keras_seg.cli.run_data import new_paths, path_words
from keras_seg.exports.checks import check_request
from keras_seg.training.run_files import load_model, read_run

# Training images that ranges of int8 are measured by.
_IMAGES = 100


def export(options: argparse.Namespace) -> None:
    """Export a run's model; see `keras-seg export --help`."""
    run = read_run(options.run)
    # Before the model and the images to measure by, which take their time.
    check_request(
        options.out,
        format=options.format,
        quantize=options.quantize,
        overwrite=options.overwrite,
    )
    output = Output(json=options.json)
    examples = _examples(options)
    if examples:
        slow = ", which takes minutes" if options.format == "litert" else ""
        output.say(f"Measuring on {len(examples)} training images{slow}")
    written = keras_seg.export(
        load_model(options.run),
        options.out,
        format=options.format,
        quantize=options.quantize,
        examples=examples,
        size=options.size,
        class_names=run["class_names"],
        palette=run["palette"],
        dtype=run.get("image", {}).get("dtype"),
        bands=bands_of(run),
        overwrite=options.overwrite,
    )
    result = {"export": str(options.out), "format": options.format}
    then = ["evaluate", options.run, "--export", options.out, *path_words(options)]
    output.done(result, f"Wrote {written}", then)


def _examples(options: argparse.Namespace) -> list[np.ndarray] | None:
    """Images of the run's training split, from all over it."""
    count = options.calibration or (_IMAGES if options.quantize == "int8" else 0)
    if not count:
        return None
    run = read_run(options.run, DataOptions) | new_paths(options)
    try:
        source = data_source(run, "train")
    except (ValueError, OSError) as error:
        what = "--quantize int8" if options.quantize == "int8" else "--calibration"
        raise ValueError(
            f"Expected the run's training images, on which {what} measures. {error}"
        ) from None
    chosen = np.linspace(0, len(source) - 1, min(count, len(source))).astype(int)
    return [source[int(k)][0] for k in chosen]
