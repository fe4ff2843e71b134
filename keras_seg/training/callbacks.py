"""What `fit` lacks."""

import math
import os
import warnings
from pathlib import Path
from typing import Any

import keras

from keras_seg.files import save_model


class BestModel(keras.callbacks.Callback):
    """Keep the model of the best epoch in a file that is always whole.

    `keras.callbacks.ModelCheckpoint` writes into the file itself, so a run that is
    killed while it saves leaves half of one. This one writes aside and renames.

    Args:
        path: File to keep, `.keras`.
        monitor: Name in the logs; larger is better. Epochs without validation are
            passed over.

    Attributes:
        best: The value of `monitor` of the kept model, None if none is kept yet.

    Raises:
        ValueError: for another suffix; at the end of an epoch whose logs have no such
            name.
    """

    def __init__(self, path: str | os.PathLike, monitor: str = "val_mean_iou"):
        super().__init__()
        self.path = Path(path)
        if self.path.suffix != ".keras":
            raise ValueError(f"Expected a path that ends in .keras. Received: {path}")
        self.monitor = monitor
        self.best: float | None = None

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
        if self.best is None or value > self.best or math.isnan(self.best):
            save_model(self.model, self.path)
            self.best = value

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.best is None:
            warnings.warn(
                f"No model was kept in {self.path}: no epoch had {self.monitor!r} in "
                "its logs. Give `fit` its validation_data.",
                stacklevel=2,
            )


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
