"""What `fit` lacks."""

import math
import os
from pathlib import Path
from typing import Any

import keras


class BestModel(keras.callbacks.Callback):
    """Keep the model of the best epoch in a file that is always whole.

    `keras.callbacks.ModelCheckpoint` writes into the file itself, so a run that is
    killed while it saves leaves half of one. This one writes aside and renames.

    Args:
        path: File to keep, `.keras`.
        monitor: Name in the logs; larger is better.

    Attributes:
        best: The value of `monitor` of the kept model, None if none is kept yet.
    """

    def __init__(self, path: str | os.PathLike, monitor: str = "val_mean_iou"):
        super().__init__()
        self.path = Path(path)
        self.monitor = monitor
        self.best: float | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = float((logs or {})[self.monitor])
        if self.best is None or value > self.best or math.isnan(self.best):
            save_model(self.model, self.path)
            self.best = value


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Write a `.keras` file aside, then rename it: it is whole or not there."""
    path = Path(path)
    aside = path.with_name(f".{path.stem}.writing.keras")
    try:
        model.save(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
