"""Reductions over the replicas of `tf.distribute`; elsewhere there is one replica."""

import keras

from keras_seg.labels import Tensor


def number_of_replicas() -> int:
    """How many replicas compute this loss together."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return 1 if replica is None else replica.num_replicas_in_sync


def sum_over_replicas(x: Tensor) -> Tensor:
    """The sum of `x` over all replicas, with its gradient."""
    if number_of_replicas() == 1:
        return x
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, x)


def gather_over_replicas(x: Tensor) -> Tensor:
    """`x` of all replicas, one after another on the first axis, with its gradient."""
    if number_of_replicas() == 1:
        return x
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_gather(x, axis=0)
