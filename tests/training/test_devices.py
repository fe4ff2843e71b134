"""Two devices train, and score, as one does; in a process of its own, since TensorFlow
splits the CPU before it uses it.
"""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seg
from keras_seg.inference.one_device import predict_on_batch
from keras_seg.training.devices import mirrored, synchronize_batch_normalization

CODE = """
import json, sys
import keras, numpy as np, tensorflow as tf
import keras_seg
from keras_seg.data import shapes
from keras_seg.losses import WeightedCrossEntropy
from keras_seg.training import optimizer
from keras_seg.training.devices import mirrored, synchronize_batch_normalization

two, one = mirrored(2), mirrored(1)
assert two.num_replicas_in_sync == 2
STEPS = 4
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (4 * STEPS, 32, 32, 3), np.uint8)
masks = rng.integers(0, 6, (4 * STEPS, 32, 32))
masks[::4, 3:] = 255  # so the first device of each batch has fewer labelled pixels
batches = tf.data.Dataset.from_tensor_slices((images, masks)).batch(4)

def backbone():
    # No bias before a normalization, which takes it off again: its gradient is
    # rounding alone, of which Adam makes whole steps.
    x = image = keras.Input((None, None, 3))
    for k, width in enumerate((4, 4, 4, 4, 4), start=1):
        x = keras.layers.Conv2D(
            width, 3, strides=2, padding="same", use_bias=False, name=f"conv{k}"
        )(x)
        x = keras.layers.BatchNormalization(name=f"norm{k}")(x)
        x = keras.layers.ReLU(name=f"relu{k}")(x)
    return keras.Model(image, x)

def trained(strategy, synchronized=True, **arguments):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = keras_seg.unet(6, encoder=backbone(), widths=(4, 4, 4, 4, 4))
        if synchronized:
            synchronize_batch_normalization(model)
        made = optimizer(model, 1e-3, steps=STEPS + 1, clip=0.5, **arguments)
        model.compile(made, WeightedCrossEntropy(), jit_compile=False)
    model.fit(batches, verbose=0)
    return model

def arrays(model):
    return {v.path: np.asarray(v.numpy()).tolist() for v in model.variables}

def difference(model, other):
    pairs = zip(model.trainable_variables, other.trainable_variables, strict=True)
    return max(float(np.abs(a.numpy() - b.numpy()).max()) for a, b in pairs)
"""

SCORES = """
model, other = trained(two), trained(one)
found = {"adamw": [arrays(model), arrays(other)]}
found["each its own"] = difference(trained(two, synchronized=False), other)

source = shapes(5, size=(33, 40))
with one.scope():
    other.set_weights(model.get_weights())
found["scores"] = []
for strategy in (one, two):
    with strategy.scope():  # also inside of it, as callbacks of `fit` may be
        scores = [keras_seg.evaluate(x, source) for x in (model, other)]
    matrices = [x.confusion_matrix.tolist() for x in scores]
    found["scores"].append([matrices, [x.loss for x in scores]])
image = source[0][0]
found["masks"] = [keras_seg.predict_mask(x, image).tolist() for x in (model, other)]
model.save(sys.argv[1])
print("RESULTS", json.dumps(found))
"""

OPTIMIZERS = """
found = {}
for name, schedule, warmup in (
    ("adam", "cosine", 2), ("sgd", "poly", 1), ("adamw", "constant", 0)
):
    arguments = {"name": name, "schedule": schedule, "warmup": warmup}
    arguments |= {"weight_decay": 0.01, "encoder_rate": 0.3}
    pair = [trained(strategy, **arguments) for strategy in (two, one)]
    found[name] = [arrays(model) for model in pair]
print("RESULTS", json.dumps(found))
"""


def printed_by(code, *arguments):
    root = os.path.dirname(keras_seg.__path__[0])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", CODE + code, *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("RESULTS")[1])


def assert_same_weights(found):
    several, one = found
    assert several.keys() == one.keys()
    for path, expected in one.items():
        message = f"{path} of {len(one)} variables"
        np.testing.assert_allclose(
            several[path], expected, rtol=1e-5, atol=1e-5, err_msg=message
        )


# One test for each process, as each worker would start its own.
@pytest.mark.slow
def test_two_devices_train_and_score_as_one(tmp_path):
    found = printed_by(SCORES, tmp_path / "model.keras")
    assert_same_weights(found["adamw"])
    assert found["each its own"] > 1e-3  # without synchronization
    for matrices, losses in found["scores"]:
        assert matrices[0] == matrices[1]
        assert losses[0] == losses[1]
        assert np.sum(matrices[0]) > 4 * 33 * 40  # of 5 images, once each
    assert found["masks"][0] == found["masks"][1]
    saved = keras.saving.load_model(tmp_path / "model.keras")
    norms = [
        layer
        for layer in saved._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert norms
    assert not any(layer.synchronized for layer in norms)


@pytest.mark.slow
def test_each_optimizer_takes_the_steps_of_one_device():
    for pair in printed_by(OPTIMIZERS).values():
        assert_same_weights(pair)


def test_one_device_needs_no_strategy():
    assert mirrored(1) is tf.distribute.get_strategy()


def test_more_devices_than_there_are_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(ValueError, match=r"from 1 to 2, the cores .* Received: 3"):
        mirrored(3)
    gpus = {"GPU": ["one", "two", "three", "four"]}
    monkeypatch.setattr(tf.config, "list_physical_devices", gpus.get)
    with pytest.raises(ValueError, match=r"from 1 to 4, the GPUs .* Received: 5"):
        mirrored(5)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"to be 1 on jax.*DataParallel"):
        mirrored(2)


def test_statistics_of_one_device_are_those_of_keras():
    rng = np.random.default_rng(0)
    x = rng.normal(100, 0.1, (2, 5, 7, 3)).astype("float32")
    layer = keras.layers.BatchNormalization(momentum=0.0)
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    synchronize_batch_normalization(model)
    model(x, training=True)
    axes, exact = (0, 1, 2), x.astype(float)
    np.testing.assert_allclose(layer.moving_mean, exact.mean(axes), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, exact.var(axes), rtol=1e-3)


def test_a_model_without_replicas_predicts_as_keras_does():
    model = keras_seg.unet(3, widths=(2, 4))
    images = np.zeros((2, 8, 8, 3), np.uint8)
    outputs = predict_on_batch(model, images)
    np.testing.assert_array_equal(outputs, model.predict_on_batch(images))


def test_a_model_is_traced_once_for_images_of_all_sizes():
    class Counter(keras.layers.Layer):
        calls = 0

        def call(self, x):
            Counter.calls += 1
            return x

    image = keras.Input((None, None, 3))
    model = keras.Model(image, Counter()(image))
    Counter.calls = 0
    for size in ((2, 8, 8), (1, 8, 8), (3, 5, 8), (2, 6, 7)):
        images = np.full((*size, 3), 200, np.uint8)
        np.testing.assert_array_equal(predict_on_batch(model, images), images)
    if keras.backend.backend() == "tensorflow":
        assert Counter.calls == 1
    predict_on_batch(model, np.full((1, 2, 2, 3), 0.5, np.float32))  # another dtype
    model.compile(run_eagerly=True)
    before = Counter.calls
    for _ in range(2):
        predict_on_batch(model, images)
    assert Counter.calls == before + 2
