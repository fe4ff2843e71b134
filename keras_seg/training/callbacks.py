"""Callbacks for `fit`: keep the best model, validate on whole images, write history."""

import csv
import json
import math
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras

from keras_seg.arguments import check_integer, is_whole
from keras_seg.data import Source
from keras_seg.files import written_aside
from keras_seg.inference import Scores, evaluate
from keras_seg.inference.one_device import without_distribution

# Words in the names of numbers that get smaller, or larger, while a model gets better.
_SMALLER = ("loss", "error", "mae", "mse", "rmse", "entropy", "divergence")
_LARGER = ("acc", "iou", "dice", "f1", "auc", "precision", "recall")


class BestModel(keras.callbacks.Callback):
    """Keep the model of the best epoch in a file that is always whole.

    `keras.callbacks.ModelCheckpoint` writes into the file itself, so a run that is
    killed while it saves leaves half of one. This callback writes aside and renames.
    The score is kept in the file (as the comment of the zip archive that a `.keras`
    file is), so a later run with the same path replaces it only by a better model.

    Args:
        path: File to keep, `.keras`.
        monitor: Name in the logs of `fit`. Epochs without validation are passed over.
        mode: "max" if a larger value is better, "min" if a smaller one is. "auto"
            reads it off the compiled metric of this name, or off the name: "val_loss"
            is smaller, "val_mean_iou" larger when better.
        overwrite: Whether to forget the score of a model that `path` holds already. A
            file without a score is replaced in any case.

    Attributes:
        best: The value of `monitor` of the kept model, None if none is kept yet.
        epoch: The epoch of the kept model, counted from 1; None if none is kept yet.

    Raises:
        ValueError: for another suffix, another `mode`, or a file that was kept by
            another `monitor`; at the end of an epoch whose logs have no such name, or
            if "auto" doesn't know its direction.

    Example:
        >>> BestModel("model.keras", monitor="val_loss", mode="min").best is None
        True
    """

    def __init__(
        self,
        path: str | os.PathLike,
        monitor: str = "val_mean_iou",
        mode: str = "auto",
        *,
        overwrite: bool = False,
    ):
        super().__init__()
        self.path = Path(path)
        if self.path.suffix != ".keras":
            raise ValueError(f"Expected a path that ends in .keras. Received: {path}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(
                f"Expected `mode` to be 'auto', 'min' or 'max'. Received: {mode!r}"
            )
        self.monitor = monitor
        self.mode = mode
        self.best: float | None = None
        self.epoch: int | None = None
        kept = {} if overwrite else _score_in(self.path)
        if kept:
            if kept["monitor"] != monitor:
                raise ValueError(
                    f"{path}: Expected a model that was kept for its {monitor!r}. "
                    f"Received: one kept for {kept['monitor']!r}. Choose another path, "
                    "or overwrite=True."
                )
            self.best, self.epoch = kept["value"], kept["epoch"]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if self.monitor not in logs:
            validated = any(name.startswith("val_") for name in logs)
            if self.monitor.startswith("val_") and not validated:
                return  # as in every other epoch with validation_freq=2
            raise ValueError(
                f"Expected {self.monitor!r} in the logs. Received: "
                f"{', '.join(sorted(logs))}. Give the metric to `compile`, or this "
                "callback another `monitor`."
            )
        value = float(logs[self.monitor])
        if self._is_better(value):
            score = {"monitor": self.monitor, "value": value, "epoch": epoch + 1}
            with written_aside(self.path, sync=True) as aside:
                with without_distribution():  # Keras makes variables as it saves
                    self.model.save(aside)
                with zipfile.ZipFile(aside, "a") as archive:
                    archive.comment = json.dumps({"keras_seg.best": score}).encode()
            self.best, self.epoch = value, epoch + 1

    def _is_better(self, value: float) -> bool:
        if self.best is None or (math.isnan(self.best) and not math.isnan(value)):
            return True
        sign = 1 if self._direction() == "max" else -1
        return sign * value > sign * self.best  # never for NaN

    def _direction(self) -> str:
        if self.mode != "auto":
            return self.mode
        name = self.monitor.removeprefix("val_")
        for metric in _metrics_in(self.model):
            direction = getattr(metric, "_direction", None)  # as Keras's callbacks do
            if metric.name == name and direction in ("up", "down"):
                return "max" if direction == "up" else "min"
        for mode, words in (("min", _SMALLER), ("max", _LARGER)):
            if any(word in name for word in words):
                return mode
        raise ValueError(
            f"Expected `mode` to be 'min' or 'max' for {self.monitor!r}. Received: "
            "'auto', and no compiled metric of this name says which is better."
        )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.best is None:
            warnings.warn(
                f"No model was kept in {self.path}: no epoch had {self.monitor!r} in "
                "its logs. Give `fit` its validation_data.",
                stacklevel=2,
            )


def _score_in(path: Path) -> dict[str, Any]:
    """The score that a `.keras` file was kept for; empty if it has none."""
    try:
        with zipfile.ZipFile(path) as archive:
            score = json.loads(archive.comment)["keras_seg.best"]
        return {
            "monitor": str(score["monitor"]),
            "value": float(score["value"]),
            "epoch": int(score["epoch"]),
        }
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError):
        return {}


class Validate(keras.callbacks.Callback):
    """Score whole images at the end of epochs, and put the scores into the logs.

    The scores are those of `keras_seg.evaluate`, so they are also those of the masks
    that `predict_mask` gives: images have their own size, and no padding. They are in
    the logs as "val_loss", "val_mean_iou", "val_pixel_accuracy" and so on, for the
    callbacks that follow this one.

    Args:
        source: Examples to validate on.
        every: Number of epochs from one validation to the next. The last epoch is
            always validated.
        progress: Function that is called with the number of images scored so far.

    Attributes:
        scores: What the last validation found, None before the first one.

    Example:
        model.fit(
            batches,
            epochs=50,
            callbacks=[Validate(val), BestModel("model.keras")],
        )
    """

    def __init__(self, source: Source, *, every: int = 1, progress: Any = None):
        super().__init__()
        if not is_whole(every, 1):
            raise ValueError(f"Expected `every` to be 1 or more. Received: {every!r}")
        self.source = source
        self.every = every
        self.progress = progress
        self.scores: Scores | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        is_last = epoch + 1 == self.params.get("epochs")
        if logs is None or ((epoch + 1) % self.every and not is_last):
            return
        self.scores = evaluate(self.model, self.source, progress=self.progress)
        values = self.scores.as_dict().items()
        logs.update({f"val_{name}": value for name, value in values})


class CSVHistory(keras.callbacks.Callback):
    """Write the logs of `fit` to a CSV file, a line per epoch, counted from 1.

    `keras.callbacks.CSVLogger` counts epochs from 0, while Keras counts from 1 on the
    terminal, and fixes the columns after the first epoch, which may have no validation.
    The file is always whole. A number that an epoch doesn't have is left empty.

    Args:
        path: File to write, `.csv`. What it held is replaced, but for the epochs below.
        keep_epochs: Epochs that the file has already and that are kept, when training
            continues: the `initial_epoch` of `fit`.
    """

    def __init__(self, path: str | os.PathLike, *, keep_epochs: int = 0):
        super().__init__()
        self.path = Path(path)
        self.keep_epochs = check_integer("keep_epochs", keep_epochs, 0)
        self._rows: list[dict[str, Any]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._rows = []
        if self.keep_epochs and self.path.exists():
            with open(self.path, newline="") as file:
                rows = list(csv.DictReader(file))
            self._rows = [row for row in rows if int(row["epoch"]) <= self.keep_epochs]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        self._rows.append({"epoch": epoch + 1, **numbers})
        columns = dict.fromkeys(name for row in self._rows for name in row)
        with written_aside(self.path) as aside, open(aside, "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._rows)


class StopOnInvalidLabels(keras.callbacks.Callback):
    """End training after the first epoch whose metrics counted invalid labels.

    On TensorFlow a label that is no class is an error at once, but compiled by XLA, and
    on JAX, nothing can raise: there it is left out of losses, and counted as
    `invalid_pixels` by the metrics of this package. This callback looks at them.

    Raises:
        ValueError: with the number of such pixels; `fit` ends with it.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check("training")  # what validation counted was looked at already

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._check("training")

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._check("validation")

    def _check(self, where: str) -> None:
        for metric in _metrics_in(self.model):
            invalid = getattr(metric, "invalid_pixels", 0)
            if invalid:
                metric.reset_state()  # the next evaluation begins anew
                raise ValueError(
                    f"Expected labels that are classes or {metric.ignore}. Received: "
                    f"{invalid:,} pixels of {where} with others, or whose predictions "
                    "are NaN. Likely causes: num_classes too small, ids that start at "
                    "1, or a palette mask read as grey or RGB; if the loss is NaN too, "
                    "a learning rate that is too high."
                )


def _metrics_in(model: keras.Model) -> list[Any]:
    """All metrics that a model was compiled with."""
    found: list[Any] = []
    for metric in model.metrics:
        found += getattr(metric, "metrics", None) or [metric]
    return found
