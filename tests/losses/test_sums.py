"""Sums over many pixels: float32 numbers that are added one by one lose percents."""

import functools

import keras
import numpy as np
import pytest

from keras_seg.losses import (
    BoundaryF1,
    Dice,
    Focal,
    Jaccard,
    Lovasz,
    TopKCrossEntropy,
    Tversky,
    WeightedCrossEntropy,
)
from keras_seg.losses._pixels import running_sum, sum_of_pixels
from tests.losses.formulas import (
    DICE,
    JACCARD,
    boundary_f1,
    cross_entropy,
    lovasz,
    region,
)

LOSSES = {
    "dice": (Dice(), DICE),
    "jaccard": (Jaccard(), JACCARD),
    "tversky": (
        Tversky(0.3, 0.7),
        region(lambda tp, fp, fn: 1 - tp / (tp + 0.3 * fp + 0.7 * fn)),
    ),
    "weighted_cross_entropy": (
        WeightedCrossEntropy([1.0, 3.0]),
        lambda y, z, s: cross_entropy(y, z, s, weights=[1.0, 3.0]),
    ),
    "lovasz": (Lovasz(), lovasz),
    "focal": (
        Focal(),
        lambda y, z, s: cross_entropy(y, z, s, gamma=2.0, weights=None),
    ),
    "top_k": (
        TopKCrossEntropy(0.25),
        lambda y, z, s: cross_entropy(y, z, s, fraction=0.25, weights=None),
    ),
    "boundary_f1": (BoundaryF1(), boundary_f1),
}
FAST = ("dice", "jaccard", "tversky", "weighted_cross_entropy", "lovasz")


def rare_object(*shape):
    """Labels with 2 % of class 1, logits that are mostly right, and weights."""
    rng = np.random.default_rng(0)
    y = (rng.random(shape) < 0.02).astype("int32")
    logit = np.where(y == 1, 4, -5) + rng.normal(0, 0.5, shape)
    z = np.stack([np.zeros(shape), logit], -1).astype("float32")
    return y, z, rng.uniform(0.1, 2, shape).astype("float32")


@functools.cache
def two_million_pixels():
    return rare_object(8, 512, 512)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_a_loss_of_two_million_pixels_is_that_of_float64(name):
    loss, formula = LOSSES[name]
    y, z, s = two_million_pixels()
    np.testing.assert_allclose(loss(y, z, s), formula(y, z, s), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_64_images_of_1024_is_that_of_float64(name):
    # 64 copies of an image have the loss of one: sums grow, their quotients don't.
    loss, formula = LOSSES[name]
    y, z, s = rare_object(1, 1024, 1024)
    copies = [keras.ops.tile(x, [64] + [1] * (x.ndim - 1)) for x in (y, z, s)]
    np.testing.assert_allclose(loss(*copies), formula(y, z, s), rtol=1e-5)


def as_called(function, how):
    """`function` in eager mode, or compiled."""
    if how == "eager":
        return function
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=how == "xla")


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
@pytest.mark.parametrize("shape", [(1, 2048, 1024), (3, 7, 100_003), (2, 2**20, 1, 1)])
def test_sums_over_pixels_are_right_to_1e_5(how, shape):
    x = np.full(shape, 0.1, "float32")
    x[0, :3] = 7.0
    found = as_called(sum_of_pixels, how)(keras.ops.convert_to_tensor(x))
    expected = x.astype("float64").sum((0, 1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (1, 1, 128), (1, 1, 129, 3)])
def test_sums_over_few_pixels_count_each_once(shape):
    x = np.arange(1, 1 + np.prod(shape), dtype="float32").reshape(shape)
    found = sum_of_pixels(keras.ops.convert_to_tensor(x))
    np.testing.assert_allclose(found, x.sum((0, 1, 2)), rtol=1e-6)


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_running_sums_are_right_to_1e_5(how):
    x = np.full((2, 2**21), 0.1, "float32")
    found = as_called(running_sum, how)(keras.ops.convert_to_tensor(x))
    expected = x.astype("float64").cumsum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
