"""The folder of a run: files that say all that the next command needs to know."""

import contextlib
import datetime
import math
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_seg
from keras_seg.data import Source
from keras_seg.files import check_folder_path, check_unlocked, locked, write_json
from keras_seg.inference import Scores
from keras_seg.training.callbacks import BestModel, Validate
from keras_seg.training.run_files import (
    CHECKPOINTS,
    CURVES,
    FILES,
    FOLDERS,
    HISTORY,
    METRICS,
    MODEL,
    RUN,
    SAVED_MODEL,
    TENSORBOARD,
    odd_files,
    read_run,
)
from keras_seg.visualize import curves

_LOCK = ".train.lock"


def check_folder(out: Path, *, overwrite: bool = False) -> None:
    """Raise if a run may not be written to a folder; nothing is changed.

    A folder may hold files of other names. Of the names that a run writes it may have
    those of a run without a model, and with `overwrite` those of any run.

    Args:
        out: The folder, which needn't exist.
        overwrite: Whether the files of an earlier run may be replaced.

    Raises:
        BlockingIOError: if another training writes there.
        FileExistsError: if there are files that may not be replaced.
        NotADirectoryError: if it, or a folder that it is in, is a file.
    """
    check_folder_path(out)
    with _names_training(out):
        check_unlocked(out / _LOCK)
    found = [name for name in (*FILES, *FOLDERS) if os.path.lexists(out / name)]
    if not found:
        return
    odd = odd_files(out)
    if odd and RUN in found:
        raise FileExistsError(f"{odd} Choose another --out.")
    try:
        read_run(out)
    except (ValueError, OSError):
        damaged = "isn't a run's" if RUN in found else "isn't there"
        raise FileExistsError(
            f"Expected an empty folder, or that of a run. Received: {out} with "
            f"{', '.join(found)}, which training would replace, though {RUN} "
            f"{damaged}. Choose another --out, or move these files."
        ) from None
    models = [name for name in (MODEL, SAVED_MODEL) if name in found]
    if models and not overwrite:
        raise FileExistsError(
            f"Expected no model in {out}. Received: {out / models[0]}. Choose another "
            "--out, or add --overwrite."
        )


@contextlib.contextmanager
def claimed_folder(
    out: Path, *, overwrite: bool = False, resume: bool = False
) -> Iterator[Path]:
    """Make a folder this process's alone for as long as it trains.

    Files of an earlier run that may be replaced are removed; see `check_folder`.

    Args:
        out: The folder, made if it isn't there.
        overwrite: Whether the files of an earlier run may be replaced.
        resume: Whether the run in the folder goes on, so that its files stay.

    Yields:
        The folder.

    Raises:
        BlockingIOError: if another training writes there.
        FileExistsError: if there are files that may not be replaced.
    """
    if not resume:
        check_folder(out, overwrite=overwrite)
        out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with _names_training(out):
            stack.enter_context(locked(out / _LOCK))
        if not resume:
            _remove_earlier(out)
        yield out


@contextlib.contextmanager
def _names_training(out: Path) -> Iterator[None]:
    try:
        yield
    except BlockingIOError as error:
        raise BlockingIOError(
            f"Expected a folder that no training writes to. Received: {out}, which "
            f"belongs to {error.strerror}. Wait for it, or choose another --out."
        ) from None


def _remove_earlier(out: Path) -> None:
    for name in (*FILES, *(path.name for path in out.glob(".*.writing*"))):
        path = out / name
        if path.is_dir():  # an export that a killed run left behind
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for folder in (CHECKPOINTS, TENSORBOARD):
        shutil.rmtree(out / folder, ignore_errors=True)
    if (out / SAVED_MODEL).is_symlink():
        (out / SAVED_MODEL).unlink()
    elif (out / SAVED_MODEL).exists():
        shutil.rmtree(out / SAVED_MODEL)


def free_folder(parent: Path, name: str) -> Path:
    """Name a folder that doesn't exist yet: `name`, or `name-2`, `name-3`, ..."""
    out, number = parent / name, 2
    while out.exists():
        out = parent / f"{name}-{number}"
        number += 1
    return out


def describe(
    options: Mapping[str, Any], training: Source, validation: Source
) -> dict[str, Any]:
    """What run.json says when training starts.

    Args:
        options: All options of the run, defaults resolved.
        training: Examples to train on.
        validation: Examples to validate on.
    """
    return {
        **options,
        "examples": {"train": len(training), "validation": len(validation)},
        "image": {
            "channels": training.channels,
            "dtype": training.dtype,
            "value_range": training.value_range,
        },
        "class_names": list(training.class_names),
        "palette": training.palette.tolist(),
        "versions": {
            "keras_seg": keras_seg.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "state": "training",
        "started": now(),
    }


class RunRecord(keras.callbacks.Callback):
    """Keep run.json and metrics.json of a run true after every epoch.

    So a run that is killed says how far it came, which epoch its model is of, and how
    good that one was. It belongs after `best` and `validate` among the callbacks.

    Args:
        folder: The folder of the run.
        content: What run.json says, from `describe`.
        best: The callback that keeps the model.
        validate: The callback that validates.
        split: Name of what it validates on; None if that is a part of the split only,
            whose scores aren't written as those of the split.
        earlier: What run.json says already, when the run goes on.

    Attributes:
        scores: Those of the model that is kept, None before there is one.
    """

    def __init__(
        self,
        folder: Path,
        content: dict[str, Any],
        best: BestModel,
        validate: Validate,
        split: str | None,
        earlier: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.folder = folder
        self.scores: Scores | None = None
        earlier = earlier or {}
        self._seconds = earlier.get("seconds", 0)
        kept = ("started", "best", "epochs_done")
        self._content = content | {k: earlier[k] for k in kept if k in earlier}
        if earlier.get("epochs") == content["epochs"]:
            self._content["is_trained"] = earlier.get("is_trained", False)
        self._best, self._validate, self._split = best, validate, split
        self._started = time.monotonic()
        self._write()

    @property
    def is_trained(self) -> bool:
        """Whether all epochs are done, or it was stopped early."""
        return bool(self._content.get("is_trained"))

    @is_trained.setter
    def is_trained(self, value: bool) -> None:
        self._content["is_trained"] = value
        self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._best.epoch == epoch + 1:
            self.scores = self._validate.scores
            self._content["best"] = {"epoch": epoch + 1, **_numbers(logs)}
            if self._split is not None and self.scores is not None:
                write_scores(self.scores, self.folder / METRICS, self._split)
        self._content["epochs_done"] = epoch + 1
        self._write()

    def end(self, state: str) -> None:
        """Write curves, and the state: "finished", "interrupted" or "failed"."""
        self._content |= {"state": state, "ended": now()}
        self._write()
        if (self.folder / HISTORY).exists():
            curves(self.folder / HISTORY, self.folder / CURVES)

    def _write(self) -> None:
        seconds = self._seconds + time.monotonic() - self._started
        self._content["seconds"] = round(seconds, 1)
        write_json(self.folder / RUN, self._content)


def _numbers(logs: dict[str, Any] | None) -> dict[str, float | None]:
    """Logs as JSON has them: None for NaN and infinity."""
    values = {name: float(value) for name, value in (logs or {}).items()}
    return {k: value if math.isfinite(value) else None for k, value in values.items()}


def write_scores(
    scores: Scores, path: Path, split: str, options: Mapping[str, Any] | None = None
) -> None:
    """Write scores as JSON, with null for numbers that there aren't.

    Args:
        scores: The scores.
        path: File to write.
        split: Name of what was scored.
        options: How images went through the model, if not as they are.
    """
    content = scores.as_json() | {"split": split} | dict(options or {})
    long = ("confusion_matrix", "images_by_loss")  # after what people read
    write_json(path, content | {key: content.pop(key) for key in long})


def now() -> str:
    """Local time, as `2031-05-17T09:30:00+02:00`."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
