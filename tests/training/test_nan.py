"""A loss that isn't finite ends training with the names of what was read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg.data import arrays
from keras_seg.training import StopOnNaN
from keras_seg.training.callbacks import BestModel

EXAMPLES = 11


@pytest.fixture(scope="module")
def source():
    """Example k is all k, and so named."""
    images = np.zeros((EXAMPLES, 4, 4, 3), np.uint8)
    images += np.arange(EXAMPLES, dtype=np.uint8)[:, None, None, None]
    masks = np.zeros((EXAMPLES, 4, 4), np.uint8)
    return arrays(images, masks, class_names=["a", "b"])


def model_that_fails(value, example=7, after=0, **compiled):
    """A model whose loss is `value` for batches with an example, after some steps."""
    image = keras.Input((4, 4, 3))
    steps = keras.layers.Identity()(image)
    model = keras.Model(image, keras.layers.Conv2D(3, 1, use_bias=False)(steps))

    class Loss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            is_there = tf.reduce_any(tf.equal(y_true, example))
            is_late = model.optimizer.iterations >= after
            bad = tf.where(is_there & is_late, value, 0.0)
            return tf.reduce_mean(tf.square(y_pred)) * 0 + bad

    model.compile(keras.optimizers.SGD(0.0), Loss(), jit_compile=False, **compiled)
    return model


def read_by(batches, skip, count):
    """Examples of each of some batches."""
    images = [image.numpy() for image, _ in batches.skip(skip).take(count)]
    return [image[:, 0, 0, 0].tolist() for image in images]


def fit(model, batches, callbacks, **arguments):
    """Train on batches whose labels are the images: the loss sees which they are."""
    labelled = batches.map(lambda image, mask: (image, tf.cast(image, tf.float32)))
    model.fit(labelled, callbacks=callbacks, verbose=0, shuffle=False, **arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("first_step", [0, 5])
def test_the_step_and_the_examples_are_named(value, first_step, source):
    arguments = {"batch_size": 3, "shuffle": True, "seed": 4, "repeat": True}
    batches = source.batches(size=(4, 4), first_step=first_step, **arguments)
    read = read_by(batches, 0, 20)
    late = 9  # in the second epoch, of steps 7 to 13, or later
    bad = next(k for k in range(late, 20) if 7 in read[k])
    stop = StopOnNaN(source, first_step=first_step, **arguments)
    model = model_that_fails(value, after=late)
    with pytest.raises(ValueError, match="finite loss") as error:
        fit(model, batches, [stop], steps_per_epoch=7, epochs=3)
    names = ", ".join(dict.fromkeys(str(source.names[k]) for k in read[bad]))
    step, epoch = bad % 7 + 1, bad // 7 + 1
    assert f"{value} at step {step} of epoch {epoch}, whose batch has {names}. " in str(
        error.value
    )
    assert "`learning_rate` too high" in str(error.value)


def test_epochs_that_end_are_followed(source):
    arguments = {"batch_size": 3, "shuffle": True, "seed": 4}
    read = []
    for epoch in (2, 3):
        batches = source.batches(size=(4, 4), first_epoch=epoch, **arguments)
        read += read_by(batches, 0, 4)
    bad = next(k for k in range(4, 8) if 7 in read[k])
    stop = StopOnNaN(source, first_epoch=2, **arguments)
    batches = source.batches(size=(4, 4), first_epoch=2, **arguments)
    with pytest.raises(ValueError, match="finite loss") as error:
        fit(model_that_fails(np.nan, after=4), batches, [stop], epochs=3)
    names = ", ".join(str(source.names[k]) for k in read[bad])
    assert f"step {bad - 3} of epoch 2, whose batch has {names}. " in str(error.value)


def test_steps_of_one_call_are_named_together(source):
    arguments = {"batch_size": 1, "repeat": True}
    batches = source.batches(size=(4, 4), **arguments)
    stop = StopOnNaN(source, **arguments)
    model = model_that_fails(np.nan, steps_per_execution=3)
    with pytest.raises(ValueError, match="one of steps 7 to 9 of epoch 1") as error:
        fit(model, batches, [stop], steps_per_epoch=12)
    names = ", ".join(str(name) for name in source.names[6:9])
    assert f"whose batch has {names}. " in str(error.value)


def test_the_first_bad_step_is_named_also_where_threads_tell_of_a_later_one_first():
    stop = StopOnNaN()
    stop.on_train_begin()
    stop.on_epoch_begin(0)
    for batch in range(3):
        stop.on_train_batch_begin(batch)
    stop.on_train_batch_end(2, {"loss": np.nan})
    stop.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(ValueError, match="at step 2 of epoch 1"):
        stop.on_train_batch_end(1, {"loss": np.nan})


def test_looking_at_the_loss_does_not_wait_for_the_device(monkeypatch):
    # On backends where Keras can leave it to a thread: JAX, not TensorFlow.
    monkeypatch.setattr(
        "keras.src.callbacks.callback_list.backend.IS_THREAD_SAFE", True
    )
    callbacks = StopOnNaN(), keras.callbacks.TerminateOnNaN()
    in_thread = [keras.callbacks.CallbackList([one])._async_train for one in callbacks]
    assert in_thread == [True, False]


def test_a_model_of_nan_with_a_finite_loss_is_not_kept(source, tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:  # after the model was kept
                kernel = self.model.layers[-1].kernel
                kernel.assign(kernel * np.nan)

    def hidden(y_true, y_pred):  # as in convolutions that make NaN 0
        return tf.where(tf.math.is_nan(y_pred), 0.0, y_pred * 0.0)

    model = model_that_fails(0.0)
    model.compile("sgd", hidden, jit_compile=False)
    best = BestModel(tmp_path / "model.keras", monitor="loss")
    batches = source.batches(3, size=(4, 4), repeat=True)
    with pytest.raises(ValueError, match=r"infinity in .*kernel after epoch 2"):
        fit(model, batches, [StopOnNaN(), best, Break()], steps_per_epoch=2, epochs=3)
    kept = keras.saving.load_model(best.path, compile=False)
    assert best.epoch == 1
    assert np.isfinite(kept.get_weights()[0]).all()


def test_a_training_that_is_well_ends_as_without_it(source):
    batches = source.batches(3, size=(4, 4), repeat=True)
    stop = StopOnNaN(source, batch_size=3, repeat=True)
    model = model_that_fails(np.nan, example=99)
    fit(model, batches, [stop], steps_per_epoch=4, epochs=2)
    assert int(model.optimizer.iterations) == 8
