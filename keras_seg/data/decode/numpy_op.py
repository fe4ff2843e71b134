"""NumPy functions as TensorFlow ops, in tf.data and in eager mode."""

from typing import Any

import tensorflow as tf


def numpy_op(function: Any, index: Any, dtype: tf.DType, shape: tuple) -> tf.Tensor:
    """Call a function of an index that returns an array, also inside tf.data."""
    if tf.executing_eagerly():  # errors keep their type
        return tf.convert_to_tensor(function(int(index)), dtype)
    array = tf.numpy_function(function, [index], dtype, stateful=False)
    return tf.ensure_shape(array, shape)
