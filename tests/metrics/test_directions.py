"""Keras's callbacks in `mode="auto"`: they keep the best epoch of every score."""

import keras
import numpy as np
import pytest

from keras_seg.losses import Dice, WeightedCrossEntropy
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

CLASSES = 3
RNG = np.random.default_rng(0)
MASKS = RNG.integers(0, CLASSES, (2, 6, 6))
IMAGES = np.eye(CLASSES, dtype="float32")[MASKS]
# What images are multiplied by in each epoch: masks of the first class only, the right
# ones, wrong ones. Neither the first nor the last epoch is the best.
ONE_CLASS = np.eye(CLASSES)[[0, 0, 0]]
RIGHT = np.eye(CLASSES)
WRONG = np.roll(RIGHT, 1, axis=1)

OF_CLASSES = ["iou/sky", "iou/sea", "iou/land"]
SCORES = [
    "mean_iou",
    "pixel_accuracy",
    "mean_accuracy",
    "frequency_weighted_iou",
    "mean_dice",
]
# Two models: in one, each score is a metric of its own.
SINGLE = [
    MeanIoU(CLASSES),
    PixelAccuracy(CLASSES),
    MeanAccuracy(CLASSES),
    FrequencyWeightedIoU(CLASSES),
    MeanDice(CLASSES),
    MeanDice(CLASSES, per_image=True),
    BoundaryIoU(CLASSES, distance=1),
    ClassIoU(CLASSES, class_names=["sky", "sea", "land"]),
]
JOINT = [
    SegmentationScores(CLASSES, class_names=["sky", "sea", "land"], per_class=True)
]
NAMES = {
    "single": [*SCORES, "mean_dice_per_image", "boundary_iou", *OF_CLASSES],
    "joint": [*SCORES, *OF_CLASSES],
}


class Plan(keras.callbacks.Callback):
    """Sets the only weights at the start of each epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        weights = [ONE_CLASS, RIGHT, WRONG][epoch]
        self.model.layers[-1].kernel.assign(5.0 * weights)


def compiled(metrics):
    dense = keras.layers.Dense(CLASSES, use_bias=False)
    model = keras.Sequential([keras.Input((6, 6, CLASSES)), dense])
    loss = WeightedCrossEntropy() + 0.5 * Dice()
    model.compile(keras.optimizers.SGD(0.0), loss=loss, metrics=metrics)
    return model


@pytest.mark.parametrize(
    ("kind", "loaded"),
    [
        ("joint", True),
        *(
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in [("single", True), ("joint", False)]
        ),
    ],
)
def test_callbacks_keep_the_best_epoch_of_every_score(kind, loaded, tmp_path):
    model = compiled(SINGLE if kind == "single" else JOINT)
    if loaded:
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    names = ["loss", *NAMES[kind]]
    monitored = ["loss", names[-1], *(f"val_{name}" for name in names)]
    stop, keep, reduce = {}, {}, {}
    for k, name in enumerate(monitored):
        stop[name] = keras.callbacks.EarlyStopping(name, patience=9)
        keep[name] = keras.callbacks.ModelCheckpoint(
            tmp_path / f"{k}.{{epoch}}.weights.h5",
            name,
            save_best_only=True,
            save_weights_only=True,
        )
        reduce[name] = keras.callbacks.ReduceLROnPlateau(name, patience=9)
    callbacks = [Plan(), *stop.values(), *keep.values(), *reduce.values()]
    history = model.fit(
        IMAGES,
        MASKS,
        epochs=3,
        validation_data=(IMAGES, MASKS),
        callbacks=callbacks,
        verbose=0,
    ).history
    assert set(history) == {*names, *monitored, "learning_rate"}
    for k, name in enumerate(monitored):
        best = min if name.endswith("loss") else max
        assert best(history[name]) == history[name][1], name
        assert history[name][1] not in history[name][::2], name
        assert stop[name].best_epoch == 1, name
        assert reduce[name].best == history[name][1], name
        kept = sorted(tmp_path.glob(f"{k}.*.h5"))
        # Epochs counted from 1: the third is no better.
        assert [path.name for path in kept] == [f"{k}.{n}.weights.h5" for n in (1, 2)]
