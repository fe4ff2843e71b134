"""Exact counts: what all metrics of this package are made of."""

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.labels import DType, Tensor

# Counts are kept as high * 2**20 + low: exact far beyond 2**32 pixels where integers
# have 32 bits (JAX), also after the counts of a thousand replicas were added up.
_CARRY = 2**20


class ExactCounts(keras.metrics.Metric):
    """A metric that keeps a row of exact counts.

    Args:
        size: How many counts.
        name: Name of the metric in the logs.
        dtype: Type of the result; None means float32.
    """

    # Keras's callbacks read it for `mode="auto"`: more is better.
    _direction = "up"

    def __init__(self, size: int, *, name: str | None = None, dtype: DType = None):
        super().__init__(name=name, dtype=dtype)
        # "int" has 64 bits on TensorFlow, whose GPUs hold no 32-bit variables.
        self._low = self.add_variable((size,), "zeros", dtype="int", name="low")
        self._high = self.add_variable((size,), "zeros", dtype="int", name="high")

    def add_counts(self, counts: Tensor) -> None:
        """Add non-negative counts below 2**31 - 2**20, those of a batch."""
        self._add(0, counts)

    def add_large_counts(self, counts: np.ndarray) -> None:
        """Add non-negative counts of int64."""
        self._add(counts // _CARRY, counts % _CARRY)

    def _add(self, high: Tensor, low: Tensor) -> None:
        strategy = _strategy_outside_of(self._low)
        if strategy is None:
            self._add_here(high, low)
            return

        def add_on_first_replica() -> None:
            import tensorflow as tf

            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            only = ops.cast(ops.equal(replica, 0), self._low.dtype)
            self._add_here(only * high, only * ops.cast(low, self._low.dtype))

        strategy.run(add_on_first_replica)

    def _add_here(self, high: Tensor, low: Tensor) -> None:
        low = self._low + ops.cast(low, self._low.dtype)
        high = ops.cast(high, self._high.dtype)
        self._high.assign(self._high + high + low // _CARRY)
        self._low.assign(low % _CARRY)

    def counts(self) -> np.ndarray:
        """The counts, int64."""
        high = ops.convert_to_numpy(self._high).astype(np.int64)
        return high * _CARRY + ops.convert_to_numpy(self._low).astype(np.int64)

    def float_counts(self) -> Tensor:
        """The counts as floats of the metric's dtype, to calculate with."""
        high, low = (ops.cast(x, self.dtype) for x in (self._high, self._low))
        return high * _CARRY + low


def _strategy_outside_of(variable: Any) -> Any:
    """The strategy whose replicas share a variable, if this runs outside of them.

    There TensorFlow would give each replica an equal part of what is assigned, cut off
    to an integer. `fit` and `evaluate` run inside.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    strategy = getattr(variable.value, "distribute_strategy", None)
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return None
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return strategy if replica is None or replica.strategy is not strategy else None


def bincount(x: Tensor, size: int) -> Tensor:
    """How often each of 0..size - 1 occurs in each row of `x`: int `[rows, size]`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # 20 times faster than segment_sum on a CPU in graph mode, and XLA takes it. On
        # a GPU it refuses deterministic ops.
        place = tf.device("CPU") if _is_deterministic() else contextlib.nullcontext()
        with place:
            return tf.raw_ops.DenseBincount(
                input=x, size=size, weights=tf.constant([], tf.int32)
            )
    rows = ops.shape(x)[0]
    x = ops.reshape(x + size * ops.arange(rows)[:, None], (-1,))
    counts = ops.segment_sum(ops.ones_like(x), x, num_segments=rows * size)
    return ops.reshape(counts, (rows, size))


def _is_deterministic() -> bool:
    """Whether `tf.config.experimental.enable_op_determinism` was called."""
    from tensorflow.python.framework import config  # it has no public name

    return bool(config.is_op_determinism_enabled())
