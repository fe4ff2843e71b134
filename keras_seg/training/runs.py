"""The folder of a run: files that say all that the next command needs to know."""

import argparse
import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_seg
from keras_seg.cli import PATHS
from keras_seg.cli.data_options import SPLIT
from keras_seg.data import Source

# Everything that train writes into a run's folder.
RUN, MODEL, HISTORY = "run.json", "model.keras", "history.csv"
CURVES, SAMPLES, SAVED_MODEL = "curves.png", "samples.png", "saved_model"
METRICS = "metrics.json"


def claim_folder(options: argparse.Namespace) -> Path:
    """An empty folder for the run, or one that may be written over."""
    out = options.out
    if out is None:
        first = out = Path("runs") / f"{options.data}-{options.model}"
        number = 2
        while out.exists():
            out = first.with_name(f"{first.name}-{number}")
            number += 1
    elif not options.overwrite:
        for name in (MODEL, SAVED_MODEL):
            if (out / name).exists():
                raise FileExistsError(
                    f"Expected no model in {out}. Received: {out / name}. Choose "
                    "another --out, or add --overwrite."
                )
    out.mkdir(parents=True, exist_ok=True)
    for name in (MODEL, RUN, HISTORY, CURVES, SAMPLES, METRICS):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / SAVED_MODEL, ignore_errors=True)
    return out


def describe(
    options: argparse.Namespace, size: int, steps: int, source: Source
) -> dict[str, Any]:
    """What run.json says."""
    given = {k: v for k, v in vars(options).items() if k not in ("command", "out")}
    files = list(PATHS)  # the next command may be given elsewhere
    if options.data == "folder":
        if SPLIT not in f"{options.images}{options.masks}":
            files += ["train_split", "val_split"]
        if given["names"] is not None and os.path.isfile(given["names"]):
            files.append("names")
    for name in files:
        if given[name] is not None and "://" not in given[name]:
            given[name] = os.path.abspath(given[name])
    return given | {
        "size": size,
        "steps_per_epoch": steps,
        "class_names": list(source.class_names),
        "palette": source.palette.tolist(),
        "versions": {
            "keras_seg": keras_seg.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def read_run(run: Path) -> dict[str, Any]:
    """What run.json of a folder says."""
    try:
        return json.loads((run / RUN).read_text())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"Expected the folder of a run, with {RUN}. Received: {run}"
        ) from None


def load_model(run: Path) -> keras.Model:
    """Load the model of a run."""
    path = run / MODEL
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a trained model at {path}. Has the run been cut off?"
        )
    return keras.models.load_model(path, compile=False)
