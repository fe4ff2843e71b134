"""Sums and means over the pixels of a batch that keep their precision.

A float32 sum that adds one pixel after another is wrong by percents for a few million
pixels: once the sum is large, the last digits of what is added are lost.
"""

import functools
from collections.abc import Callable

import keras
from keras import ops

from keras_seg.labels import Tensor
from keras_seg.losses._replicas import sum_over_replicas

# Pixels that are added one after another in float32. All equal, they lose 4e-6 of
# their sum at most.
_BLOCK = 128


def sum_of_pixels(x: Tensor) -> Tensor:
    """Sum over batch, height and width, to a relative error below 1e-5.

    Args:
        x: Float `[batch, height, width]` or `[batch, height, width, channels]`.

    Returns:
        A scalar, or `[channels]`.
    """
    if keras.backend.backend() != "tensorflow":
        # JAX and PyTorch add in a tree.
        return ops.sum(x, axis=(0, 1, 2))
    if len(x.shape) == 3:
        return _sum_of_rows()(ops.reshape(x, (-1, 1)))[0]
    return _sum_of_rows()(ops.reshape(x, (-1, x.shape[-1])))


@functools.cache
def _sum_of_rows() -> Callable:
    """A function that sums `[rows, channels]` over the rows, in TensorFlow.

    TensorFlow adds rows one after another, and so does XLA on a CPU, which also makes
    one sum again of sums over height, then width. So blocks of rows are added in
    float32, and their few sums in float64. Slices of the flat tensor aren't copied.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def sum_of_rows(x: Tensor) -> tuple[Tensor, Callable]:
        channels = x.shape[-1]
        flat = tf.reshape(x, [-1])
        end = tf.size(flat) // (_BLOCK * channels) * (_BLOCK * channels)
        blocks = tf.reshape(flat[:end], [-1, _BLOCK, channels])
        rest = tf.reshape(flat[end:], [1, -1, channels])
        sums = [tf.reduce_sum(part, axis=1) for part in (blocks, rest)]
        total = tf.reduce_sum(tf.cast(tf.concat(sums, 0), tf.float64), axis=0)

        def gradient(upstream: Tensor) -> Tensor:
            return tf.broadcast_to(upstream, tf.shape(x))

        return tf.cast(total, x.dtype), gradient

    return sum_of_rows


def running_sum(x: Tensor) -> Tensor:
    """Sums of the first 1, 2, 3, ... numbers on the last axis; without a gradient."""
    x = ops.stop_gradient(x)
    if keras.backend.backend() != "tensorflow":
        # JAX and PyTorch add in a tree.
        return ops.cumsum(x, axis=-1)
    return ops.cast(ops.cumsum(ops.cast(x, "float64"), axis=-1), x.dtype)


def mean_of_pixels(x: Tensor, weight: Tensor) -> Tensor:
    """sum(weight x) / sum(weight) over the pixels of all replicas; 0 without weight."""
    sums = ops.stack([sum_of_pixels(weight * x), sum_of_pixels(weight)])
    sums = sum_over_replicas(sums)
    return ops.divide_no_nan(sums[0], sums[1])


def mean_of_present(loss: Tensor, pixels: Tensor) -> Tensor:
    """Mean of `loss` over the classes that have pixels; 0 if none has."""
    present = ops.cast(pixels > 0, loss.dtype)
    return ops.divide_no_nan(ops.sum(present * loss), ops.sum(present))
