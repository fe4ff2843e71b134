"""Value and gradient of a loss, which each backend has in its own way."""

import functools

import keras
import numpy as np
import pytest


def differentiated(loss):
    """A function of labels, logits and weights: value and gradient in the logits."""
    if keras.backend.backend() == "jax":
        import jax

        return lambda y, z, s=None: jax.value_and_grad(lambda z: loss(y, z, s))(z)
    import tensorflow as tf

    def of(y, z, s=None):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(y, z, s)
        return value, tape.gradient(value, z)

    return of


@functools.cache
def compiled(build):
    """What `differentiated` makes, for XLA, once for all tests."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(differentiated(build()))
    import tensorflow as tf

    return tf.function(differentiated(build()), jit_compile=True)


def as_numpy(value, gradient):
    gradient = keras.ops.cast(gradient, "float32")
    return float(value), keras.ops.convert_to_numpy(gradient)


@pytest.fixture
def value_and_gradient():
    """A function of a loss, labels, logits and weights."""

    def of(loss, y, z, s=None):
        z = keras.ops.convert_to_tensor(z)
        return as_numpy(*differentiated(loss)(np.asarray(y), z, s))

    return of


@pytest.fixture
def of_xla():
    """The same, compiled, of what makes a loss."""

    def of(build, y, z, s):
        tensors = map(keras.ops.convert_to_tensor, (y, z, s))
        return as_numpy(*compiled(build)(*tensors))

    return of
