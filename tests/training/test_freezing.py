"""Encoders that are frozen for some epochs."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.data import shapes
from keras_seg.losses import WeightedCrossEntropy
from keras_seg.training import FreezeEncoder, optimizer
from tests.models.backbones import tiny


def net(*, run_eagerly=None):
    model = keras_seg.unet(6, encoder=tiny(), widths=(4, 4, 4, 4, 4))
    made = optimizer(model, 0.01, steps=12, encoder_rate=1)
    made.build(model.trainable_variables)
    model.compile(made, WeightedCrossEntropy(), run_eagerly=run_eagerly)
    return model


class Changes(keras.callbacks.Callback):
    """Which variables of the encoder, and of the rest, an epoch changed."""

    def __init__(self):
        super().__init__()
        self.changed = []

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.values()

    def on_epoch_end(self, epoch, logs=None):
        after = self.values()
        changed = {k for k in after if not np.array_equal(after[k], self.before[k])}
        self.changed.append(changed)

    def values(self):
        return {v.path: np.array(v.numpy()) for v in self.model.variables}


def fit(callback, *, initial_epoch=0, **compiled):
    model, changes = net(**compiled), Changes()
    batches = shapes(8, size=(32, 32)).batches(2, repeat=True)
    model.fit(
        batches,
        epochs=3,
        initial_epoch=initial_epoch,
        steps_per_epoch=2,
        callbacks=[callback, changes],
        verbose=0,
    )
    return model, changes.changed


def encoder(paths):
    return {path for path in paths if path.startswith("encoder/")}


@pytest.mark.slow
def test_the_encoder_stays_for_some_epochs_and_then_learns():
    model, changed = fit(FreezeEncoder(2, batch_normalization=True))
    assert [len(encoder(epoch)) for epoch in changed] == [0, 0, 5 * 6]
    others = {v.path for v in model.trainable_variables} - encoder(changed[2])
    assert all(others <= epoch for epoch in changed)


def test_its_batch_normalization_can_stay_for_good():
    # Eagerly, since two graphs take seconds; those are in the test above.
    freeze = FreezeEncoder(1)
    _, changed = fit(freeze, run_eagerly=keras.backend.backend() == "tensorflow")
    assert not encoder(changed[0])
    kinds = {path.split("/")[-1] for path in encoder(changed[2])}
    assert kinds == {"kernel", "bias"}


@pytest.mark.slow  # two trainings more
def test_training_that_continues_later_does_not_freeze_it_again():
    freeze = FreezeEncoder(2, batch_normalization=True)
    _, (changed,) = fit(freeze, initial_epoch=2)
    assert len(encoder(changed)) == 5 * 6


def test_what_can_not_be_frozen_is_refused():
    with pytest.raises(ValueError, match="`epochs` to be 1 or more"):
        FreezeEncoder(0)
    model = keras_seg.unet(6, widths=(4, 4))
    callback = FreezeEncoder(1)
    callback.set_model(model)
    with pytest.raises(ValueError, match="has no layer 'encoder'"):
        callback.on_train_begin()
    model = keras_seg.unet(6, encoder=tiny(), widths=(4, 4, 4, 4, 4))
    model.compile("sgd", "mse")
    callback.set_model(model)
    on_jax = keras.backend.backend() == "jax"
    message = "of `training.optimizer`.*SGD" if on_jax else "built for all variables"
    with pytest.raises(ValueError, match=message):
        callback.on_train_begin()
    averaged = optimizer(model, 0.01, steps=12, ema=0.9)
    averaged.build(model.trainable_variables)
    model.compile(averaged, "mse")
    if on_jax:
        with pytest.raises(ValueError, match="AdamW with `ema`"):
            callback.on_train_begin()
    else:
        callback.on_train_begin()


@pytest.mark.slow
def test_all_of_this_holds_on_jax():
    pytest.importorskip("jax")
    command = [sys.executable, "-m", "pytest", __file__, "-n", "0", "-q"]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
