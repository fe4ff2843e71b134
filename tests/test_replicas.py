"""Losses and metrics on several devices, in processes of their own: devices are split
before TensorFlow or JAX starts.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

# A model with one output for each kind of loss, so that one training tells of all.
TRAINING = """
import json
import keras, numpy as np
from keras_seg.losses import *
from keras_seg.metrics import MeanIoU

weights = [0.5, 2.0, 1.0, 3.0]
losses = {
    "weighted_cross_entropy": WeightedCrossEntropy(weights, label_smoothing=0.1),
    "top_k": TopKCrossEntropy(0.3, weights),
    "tversky": Tversky(),
    "sum": 0.5 * Dice() + WeightedCrossEntropy(weights),
    "lovasz": Lovasz(),
    "boundary_f1": BoundaryF1(),
}

def built(**options):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    convs = {name: keras.layers.Conv2D(4, 3, padding="same", name=name)
             for name in losses}
    model = keras.Model(image, {name: conv(image) for name, conv in convs.items()})
    metrics = {"tversky": MeanIoU(4)}
    sgd = keras.optimizers.SGD(0.5)
    model.compile(sgd, loss=losses, metrics=metrics, **options)
    return model

def results(model, logs):
    of_losses = {
        name: [w.tolist() for w in model.get_layer(name).get_weights()]
        for name in losses
    }
    score = logs["tversky_mean_iou"]
    return {"loss": logs["loss"], "mean_iou": score, "weights": of_losses}

# The first images of each batch are almost without labels, so that replicas have
# unequal shares; the last batch has 3 images.
rng = np.random.default_rng(0)
images = rng.normal(size=(11, 8, 8, 3)).astype("float32")
masks = rng.integers(0, 4, (3, 256))
masks[:, :230] = 255
masks = masks.reshape(12, 8, 8)[:11]
masks[-1, :2] = 1
"""

REPLICAS = (
    TRAINING
    + """
import tensorflow as tf
from keras_seg.training import optimizer

(cpu,) = tf.config.list_physical_devices("CPU")
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert mirrored.num_replicas_in_sync == 2

def train(strategy, **options):
    with strategy.scope():
        model = built(**options)
    targets = {name: masks for name in losses}
    data = tf.data.Dataset.from_tensor_slices((images, targets)).batch(4)
    return results(model, model.fit(data, verbose=0).history)

# Three steps are taken sooner than traced.
one_device = tf.distribute.get_strategy()
strategies = {"one": one_device, "several": mirrored}
found = {name: train(x, run_eagerly=True) for name, x in strategies.items()}

def train_clipped(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, keras.layers.Conv2D(4, 1)(image))
        made = optimizer(model, 0.5, steps=3, name="sgd", clip=0.01, ema=0.5)
        eagerly = strategy is one_device
        model.compile(made, WeightedCrossEntropy(), run_eagerly=eagerly)
    labels = masks % 255  # so that each replica has a gradient
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    model.fit(data, verbose=0)
    return model.get_weights()[0].tolist()

found["clipped"] = [train_clipped(strategy) for strategy in (one_device, mirrored)]
try:
    with mirrored.scope():
        optimizer(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), 0.5,
                  steps=8, accumulate=2)
except ValueError as error:
    found["refused"] = str(error)

with mirrored.scope():
    metric = MeanIoU(2)
    metric.add_matrix([[7, 1], [1, 3]])
metric.add_matrix([[2**40 + 1, 0], [0, 0]])
metric.update_state(np.array([[[0, 0, 0, 1]]]), np.array([[[0, 0, 0, 1]]]))
found["outside"] = metric.confusion_matrix.tolist()
print("RESULTS", json.dumps(found))
"""
)

SHARDS = (
    TRAINING
    + """
def train(distribution):
    keras.distribution.set_distribution(distribution)
    model = built()
    # 8 images: each of the shards gets one.
    targets = {name: masks[:8] for name in losses}
    logs = model.fit(
        images[:8], targets, batch_size=8, epochs=2, shuffle=False, verbose=0
    )
    return results(model, logs.history)

parallel = keras.distribution.DataParallel()
assert parallel.device_mesh.devices.size == 8
found = {"one": train(None), "several": train(parallel)}

import keras_seg

source = keras_seg.data.shapes(3, size=(9, 14))
found["scores"] = []
for distribution in (None, parallel):
    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    model = keras_seg.unet(6, widths=(2, 4))
    scores = keras_seg.evaluate(model, source)
    mask = keras_seg.predict_mask(model, source[0][0])
    found["scores"].append([scores.confusion_matrix.tolist(), mask.tolist()])
assert len(model.variables[0].value.sharding.device_set) == 8
print("RESULTS", json.dumps(found))
"""
)


def printed_by(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("RESULTS")[1])


def assert_same_steps(found):
    """Each loss is told from the others by the weights of its own output."""
    one, several = found["one"], found["several"]
    for loss, weights in one["weights"].items():
        assert np.any(weights[1]), loss  # the bias, which starts at 0
        for a, b in zip(weights, several["weights"][loss], strict=True):
            np.testing.assert_allclose(b, a, atol=1e-5, err_msg=loss)
    np.testing.assert_allclose(several["loss"], one["loss"], rtol=1e-5)
    np.testing.assert_allclose(several["mean_iou"], one["mean_iou"], rtol=1e-6)


# One test for each process, as each worker would start its own.
@pytest.mark.slow
def test_two_replicas_take_the_steps_of_one_device_and_lose_no_pixel():
    found = printed_by(REPLICAS, KERAS_BACKEND="tensorflow")
    assert_same_steps(found)
    assert found["outside"] == [[2**40 + 11, 1], [1, 4]]
    one, several = found["clipped"]  # by the norm over both replicas
    np.testing.assert_allclose(several, one, atol=1e-6)
    assert "Expected `accumulate` to be 1 with 2 replicas" in found["refused"]


@pytest.mark.slow
def test_eight_shards_take_the_steps_of_one_device():
    pytest.importorskip("jax", reason="JAX isn't installed")
    flags = "--xla_force_host_platform_device_count=8"
    found = printed_by(SHARDS, KERAS_BACKEND="jax", XLA_FLAGS=flags)
    assert_same_steps(found)
    one, several = found["scores"]
    assert one == several
