"""What `keras-seg report` does."""

import argparse
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

import keras_seg
from keras_seg.cli import interrupt
from keras_seg.cli.data_options import data_source
from keras_seg.cli.earlier import command_of
from keras_seg.cli.output import Output
from keras_seg.cli.run_data import run_data
from keras_seg.data import Source
from keras_seg.inference import Scores
from keras_seg.terminal import progress
from keras_seg.training.pictures import run_report
from keras_seg.training.run_files import (
    METRICS,
    REPORT,
    file_of_split,
    load_model,
    read_run,
    read_scores,
)
from keras_seg.training.runs import write_scores


def report(options: argparse.Namespace) -> None:
    """Write a page about a run; see `keras-seg report --help`."""
    output = Output(json=options.json)
    data = run_data(options)
    out = options.out or file_of_split(options.run, REPORT, data.other)
    _check_out(options)
    run = read_run(options.run)
    model = load_model(options.run)
    metrics = file_of_split(options.run, METRICS, data.other)
    scores = _scores(metrics, model, data.source, data.split, output)
    shown = min(options.show, len(data.source))
    bar = progress(shown, "image", "Drawing images", verbose=output.is_talking)
    run_report(
        options.run,
        out,
        model,
        data.source,
        scores,
        training=_training(data.options, output),
        command=command_of(run),
        split=data.split,
        images=options.show,
        progress=bar.update,
    )
    result = {"report": str(out), "metrics": str(metrics), "split": data.split}
    result |= {name: scores[name] for name in ("images", "mean_iou", "pixel_accuracy")}
    then = ["predict", options.run, "IMAGE", "--out", "DIR"]
    output.done(result, f"\nWrote {out}", then)


def report_training(
    run: Path,
    model: keras.Model,
    training: Source,
    validation: Source,
    scores: Scores,
    output: Output,
) -> None:
    """Write the report of a training; one that got this far doesn't fail because of it.

    Args:
        run: The folder of the run.
        model: Its best model.
        training: The examples that it was trained on.
        validation: The examples that it was scored on.
        scores: Its scores.
        output: What says that there is no report.
    """
    content = read_run(run)
    try:
        run_report(
            run,
            run / REPORT,
            model,
            validation,
            scores,
            training=training,
            command=command_of(content),
            split=content["val_split"] or "val",
            progress=lambda _: interrupt.check(),
        )
    except Exception as error:
        command = shlex.join(["keras-seg", "report", str(run)])
        output.note(f"The report wasn't written: {error}\nTry: {command}")


def _check_out(options: argparse.Namespace) -> None:
    """Raise if a file may not be written; the report of a run is always replaced."""
    path = options.out
    if path is None:
        return
    if os.path.lexists(path) and not (options.overwrite and path.is_file()):
        raise FileExistsError(
            f"Expected nothing at {path}. Choose another --out, or add --overwrite."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Expected --out in a folder that exists. Received: {path}"
        )


def _scores(
    path: Path, model: keras.Model, source: Source, split: str, output: Output
) -> Mapping[str, Any]:
    """The scores in a file; without one, or of other images, those of the model now."""
    if path.is_file():
        scores = read_scores(path)
        names = sorted(row["name"] for row in scores["images_by_loss"])
        if names == sorted(map(str, source.names)):
            return scores
        output.note(f"{path} has scores of other images. The model is scored again.")
    bar = progress(len(source), "image", f"Scoring {split}", verbose=output.is_talking)
    write_scores(keras_seg.evaluate(model, source, progress=bar.update), path, split)
    return read_scores(path)


def _training(run: dict[str, Any], output: Output) -> Source | None:
    """The examples that a run was trained on, if they are still there."""
    try:
        return data_source(run, "train")
    except (ValueError, OSError) as error:
        output.note(f"Note: the page has no facts of the training images: {error}")
        return None
