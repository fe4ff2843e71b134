"""The dilated convolution equals its formula, its gradients Keras's."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_seg.models.dilated import DilatedConv2D


def formula(x, kernel, rate):
    """y[i, j] = sum x[i + r a, j + r b] k[a, b], with zeros beyond the edges."""
    centre = [n // 2 for n in kernel.shape[:2]]
    around = [(n * r, n * r) for n, r in zip(centre, rate, strict=True)]
    padded = np.pad(x.astype(np.float64), [(0, 0), *around, (0, 0)])
    total = np.zeros((*x.shape[:3], kernel.shape[-1]))
    height, width = x.shape[1:3]
    for a, b in np.ndindex(*kernel.shape[:2]):
        top, left = a * rate[0], b * rate[1]
        total += padded[:, top : top + height, left : left + width] @ kernel[a, b]
    return total


SIZES = [(1, 1), (7, 12), (24, 5), (40, 33)]  # smaller and larger than what is seen


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False], ids=["known size", "any size"])
@pytest.mark.parametrize(
    ("kernel_size", "rate"), [(3, (12, 12)), ((3, 5), (2, 6)), (1, (3, 3))]
)
def test_a_dilated_convolution_is_its_formula(size, known, kernel_size, rate):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, 6)).astype(np.float32)
    inputs = keras.Input((*size, 6) if known else (None, None, 6))
    layer = DilatedConv2D(4, kernel_size, padding="same", dilation_rate=rate)
    model = keras.Model(inputs, layer(inputs))
    layer.bias.assign(rng.normal(size=4))
    kernel, bias = layer.get_weights()
    expected = formula(x, kernel.astype(np.float64), rate) + bias
    found = model.predict(x, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras's own there")
@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_keras_also_where_sizes_are_unknown(size):
    import tensorflow as tf

    options = {"filters": 4, "kernel_size": 3, "dilation_rate": 12, "padding": "same"}
    ours, theirs = DilatedConv2D(**options), layers.Conv2D(**options)
    for layer in (ours, theirs):
        layer.build((None, None, None, 6))
    theirs.set_weights(ours.get_weights())
    x = tf.random.normal((2, *size, 6), seed=0)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 6))])
    def of_ours(x):
        return gradients(ours, x)

    def gradients(layer, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 3)
        return tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    for found, expected in zip(of_ours(x), gradients(theirs, x), strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize(
    "options", [{"padding": "valid"}, {"padding": "same", "groups": 2}]
)
def test_other_kinds_are_left_to_keras(options):
    ours, theirs = (
        kind(4, 3, dilation_rate=2, **options)
        for kind in (DilatedConv2D, layers.Conv2D)
    )
    x = np.random.default_rng(0).normal(size=(1, 9, 9, 4)).astype(np.float32)
    ours(x), theirs(x)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_half_precision_sums_in_single_precision():
    """2048 and eight times 0.5; halves around 2048 lie 2 apart, and would lose four."""
    kernel = np.full((3, 3, 64, 1), 0.5 / 64, np.float32)
    kernel[1, 1] = 2048 / 64
    layer = DilatedConv2D(1, 3, padding="same", use_bias=False, dtype="mixed_float16")
    x = np.ones((1, 3, 3, 64), np.float32)
    layer(x)
    layer.set_weights([kernel])
    found = np.asarray(layer(x))
    assert found.dtype == np.float16
    assert found[0, 1, 1, 0] == 2052
