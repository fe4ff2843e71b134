"""Keras's callbacks know, in their default `mode="auto"`, that scores should rise."""

import keras
import numpy as np
import pytest

from keras_seg.losses import Dice
from keras_seg.metrics import (
    BoundaryIoU,
    ClassIoU,
    FrequencyWeightedIoU,
    MeanAccuracy,
    MeanDice,
    MeanIoU,
    PixelAccuracy,
    SegmentationScores,
)

#: What is monitored, and the metric that puts it into the logs.
MONITORED = {
    "val_mean_iou": MeanIoU(2),
    "val_pixel_accuracy": PixelAccuracy(2),
    "val_mean_accuracy": MeanAccuracy(2),
    "val_frequency_weighted_iou": FrequencyWeightedIoU(2),
    "val_mean_dice": SegmentationScores(2),
    "val_iou/cat": ClassIoU(2, class_names=["ground", "cat"]),
    "val_iou/1": SegmentationScores(2, per_class=True),
    "val_boundary_iou": BoundaryIoU(2, distance=1),
    "val_mine": MeanDice(2, name="mine"),
}


def compiled(metric):
    """A model whose logits are its images."""
    images = keras.Input((6, 6, 2))
    model = keras.Model(images, keras.layers.Identity()(images))
    model.compile("sgd", loss=Dice(), metrics=[metric])
    return model


class Logs(keras.callbacks.Callback):
    """Puts numbers into the logs of each epoch, before other callbacks see them."""

    def __init__(self, monitor, values):
        super().__init__()
        self.monitor, self.values = monitor, values

    def on_epoch_end(self, epoch, logs=None):
        logs[self.monitor] = self.values[epoch]


def fit(monitor, metric, values, callback):
    model = compiled(metric)
    x, y = np.zeros((1, 6, 6, 2), "float32"), np.zeros((1, 6, 6), int)
    y[:, 2:4] = 1
    return model.fit(
        x,
        y,
        validation_data=(x, y),
        epochs=len(values),
        callbacks=[Logs(monitor, values), callback],
        verbose=0,
    )


@pytest.mark.parametrize(("monitor", "metric"), MONITORED.items(), ids=MONITORED)
def test_the_best_epoch_is_that_of_the_highest_score(monitor, metric):
    stop = keras.callbacks.EarlyStopping(monitor, patience=5)
    history = fit(monitor, metric, [0.2, 0.8, 0.5], stop).history
    assert monitor in history  # under this name the metric reports
    assert stop.best == 0.8


@pytest.mark.parametrize("monitor", ["val_mean_dice", "val_iou/cat"])
def test_checkpoints_keep_the_epoch_of_the_highest_score(monitor, tmp_path):
    path = tmp_path / "{epoch}.keras"
    keep = keras.callbacks.ModelCheckpoint(path, monitor=monitor, save_best_only=True)
    fit(monitor, MONITORED[monitor], [0.2, 0.8, 0.5], keep)
    assert {p.stem for p in tmp_path.iterdir()} == {"1", "2"}


def test_the_learning_rate_falls_when_a_score_stops_rising():
    reduce = keras.callbacks.ReduceLROnPlateau("val_mean_iou", patience=2, cooldown=9)
    scores = [0.2, 0.4, 0.6, 0.5, 0.5, 0.5]
    history = fit("val_mean_iou", MeanIoU(2), scores, reduce).history
    np.testing.assert_allclose(history["learning_rate"], [0.01] * 5 + [0.001])


def test_less_of_a_loss_is_better():
    stop = keras.callbacks.EarlyStopping("val_loss", patience=5)
    fit("val_loss", MeanIoU(2), [0.5, 0.2, 0.8], stop)
    assert stop.best == 0.2


def test_a_loaded_model_knows_the_direction_too(tmp_path):
    model = compiled(SegmentationScores(2, per_class=True))
    x, y = np.zeros((1, 6, 6, 2), "float32"), np.zeros((1, 6, 6), int)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    stop = keras.callbacks.EarlyStopping("val_iou/1", patience=5)
    logs = Logs("val_iou/1", [0.2, 0.8, 0.5])
    data = {"x": x, "y": y, "validation_data": (x, y)}
    loaded.fit(**data, epochs=3, callbacks=[logs, stop], verbose=0)
    assert stop.best == 0.8
