"""What `keras-seg export` does."""

import argparse

import keras_seg
from keras_seg.cli.output import Output
from keras_seg.training.run_files import load_model, read_run


def export(options: argparse.Namespace) -> None:
    """Export a run's model; see `keras-seg export --help`."""
    run = read_run(options.run)
    if options.out.exists() and not options.overwrite:
        raise FileExistsError(
            f"Expected nothing at {options.out}. Choose another --out, or add "
            "--overwrite."
        )
    keras_seg.export(
        load_model(options.run),
        options.out,
        format=options.format,
        class_names=run["class_names"],
        overwrite=options.overwrite,
    )
    result = {"export": str(options.out), "format": options.format}
    then = ["evaluate", options.run, "--export", options.out]
    Output(json=options.json).done(result, f"Wrote {options.out}", then)
