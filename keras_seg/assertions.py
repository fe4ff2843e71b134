"""Checks of the values of tensors: errors when eager, assertions in graphs."""

import itertools
from typing import Any

import keras
import numpy as np


def require(condition: Any, message: str, *numbers: Any) -> None:
    """Raise unless a condition holds, where its value can be known.

    Args:
        condition: Scalar tensor of bool.
        message: What the error says, with `{}` in place of each number.
        *numbers: Scalar tensors.

    Raises:
        ValueError: if the condition doesn't hold, outside of graphs.
        tf.errors.InvalidArgumentError: in TensorFlow's graphs, once they run. XLA drops
            the check; a function that JAX traces has none, nor has PyTorch.

    Example:
        >>> require(keras.ops.equal(1, 2), "Expected 2. Received: {}", 1)
        Traceback (most recent call last):
        ValueError: Expected 2. Received: 1
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            # TensorFlow puts each part into brackets.
            first, *others = (x.lstrip(". ").rstrip() for x in message.split("{}"))
            pairs = zip(numbers, others, strict=True)
            tf.debugging.Assert(condition, [first, *itertools.chain(*pairs)])
            return
    elif keras.backend.backend() == "jax":
        import jax

        if isinstance(condition, jax.core.Tracer):
            return
    else:
        return
    if not bool(condition):
        raise ValueError(message.format(*map(_shown, numbers)))


def _shown(number: Any) -> str:
    value = np.asarray(number).item()
    return f"{value:.7g}" if isinstance(value, float) else str(value)
