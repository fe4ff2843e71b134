"""Batch normalization: the formulas of the paper, in one operation."""

import keras
import numpy as np
import pytest

from keras_seg.models.batch_normalization import BatchNormalization

SHAPES = [(3, 5, 7, 4), (2, 1, 1, 4), (1, 1, 1, 4)]


def pixels(shape):
    return np.random.default_rng(0).normal(2, 3, shape).astype(np.float32)


def layer_of(shape, **options):
    """A layer with weights of its own, built."""
    rng = np.random.default_rng(1)
    layer = BatchNormalization(epsilon=1e-5, momentum=0.75, **options)
    layer.build(shape)
    for variable in layer.weights:
        variable.assign(rng.uniform(0.5, 2, variable.shape))
    return layer


@pytest.mark.parametrize("shape", SHAPES)
def test_training_is_the_papers_algorithm_1(shape):
    layer, x = layer_of(shape), pixels(shape)
    gamma, beta, old_mean, old_variance = (w.numpy() for w in layer.weights)
    found = layer(x, training=True)

    exact = x.astype(np.float64)
    mean, variance = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    expected = gamma * (exact - mean) / np.sqrt(variance + 1e-5) + beta
    np.testing.assert_allclose(found, expected, atol=1e-4)
    moving_mean, moving_variance = (w.numpy() for w in layer.weights[2:])
    np.testing.assert_allclose(moving_mean, 0.75 * old_mean + 0.25 * mean, rtol=1e-6)
    np.testing.assert_allclose(
        moving_variance, 0.75 * old_variance + 0.25 * variance, rtol=1e-5
    )


def test_its_gradients_are_those_of_keras_own_layer():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow")
    import tensorflow as tf

    shape = SHAPES[0]
    x, weight = tf.constant(pixels(shape)), pixels(shape)
    found = []
    ours, theirs = layer_of(shape), keras.layers.BatchNormalization(epsilon=1e-5)
    theirs.build(shape)
    theirs.set_weights(ours.get_weights())
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(weight * layer(x, training=True) ** 2)
        found.append(tape.gradient(loss, [x, *layer.trainable_variables]))
    for one, other in zip(*found, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one, other, atol=1e-4 * scale)


def test_training_is_one_operation_of_tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the operation is TensorFlow's")
    import tensorflow as tf

    def operations(**options):
        layer = layer_of(SHAPES[0], **options)
        step = tf.function(lambda x: layer(x, training=True))
        graph = step.get_concrete_function(tf.TensorSpec(SHAPES[0])).graph
        return {operation.type for operation in graph.get_operations()}

    assert "FusedBatchNormV3" in operations()
    assert "Mean" not in operations()
    # What the operation can't do is done as Keras does it.
    for options in ({"scale": False}, {"axis": 1}, {"synchronized": True}):
        assert "FusedBatchNormV3" not in operations(**options), options


def test_without_training_it_is_keras_own_layer():
    layer, x = layer_of(SHAPES[0]), pixels(SHAPES[0])
    gamma, beta, mean, variance = (w.numpy() for w in layer.weights)
    expected = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-4)
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), layer(x))
    np.testing.assert_array_equal(layer.moving_mean, mean)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_in_mixed_precision_statistics_are_float32(dtype):
    shape = SHAPES[0]
    layer, x = layer_of(shape, dtype=dtype), pixels(shape)
    layer.moving_mean.assign(np.zeros(4))
    found = layer(x, training=True)
    assert keras.backend.standardize_dtype(found.dtype) == dtype.removeprefix("mixed_")
    # Images are rounded to half precision, then averaged in full.
    rounded = keras.ops.convert_to_numpy(
        keras.ops.cast(keras.ops.cast(x, found.dtype), "float32")
    )
    np.testing.assert_allclose(
        layer.moving_mean.numpy(), 0.25 * rounded.mean((0, 1, 2)), rtol=1e-5
    )
