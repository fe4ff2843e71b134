"""Several devices that share each batch of a training, on TensorFlow.

On JAX, `keras.distribution.DataParallel` needs none of this.
"""

import functools
import os
from typing import Any

import keras
import tensorflow as tf

__all__ = ["mirrored", "synchronize_batch_normalization"]


def mirrored(devices: int) -> tf.distribute.Strategy:
    """Make the strategy in whose scope a model for several devices is built.

    Every device has a copy of the model, and computes an equal part of each batch.
    Where there is no GPU, the CPU is split into several devices. That is no faster; it
    is for trying out what will run on GPUs.

    Args:
        devices: Number of devices, the first ones of those that there are. With 1, the
            strategy is the one that TensorFlow has anyway.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        ValueError: for fewer devices than that, or a backend other than TensorFlow.
        RuntimeError: if the CPU is to be split after TensorFlow has used it.

    Example:
        with mirrored(2).scope():
            model = keras_seg.unet(21)
            synchronize_batch_normalization(model)
            model.compile("adam", keras_seg.losses.WeightedCrossEntropy())
        model.fit(source.batches(16, size=(256, 256)), epochs=10)
    """
    if devices == 1:
        return tf.distribute.get_strategy()
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Expected `devices` to be 1 on {keras.backend.backend()}. Received: "
            f"{devices}. On JAX, a script trains on all devices after "
            "keras.distribution.set_distribution(keras.distribution.DataParallel())."
        )
    kind, found = "GPU", len(tf.config.list_physical_devices("GPU"))
    where = f"the GPU{'s' * (found > 1)} that TensorFlow finds"
    if not found:
        kind, found = "CPU", os.cpu_count() or 1
        where = "the cores of the CPU, since TensorFlow finds no GPU"
    if not 1 <= devices <= found:
        raise ValueError(
            f"Expected `devices` to be from 1 to {found}, {where}. Received: {devices}"
        )
    if kind == "CPU":
        _split_cpu(devices)
    return tf.distribute.MirroredStrategy([f"{kind}:{k}" for k in range(devices)])


def _split_cpu(count: int) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    if len(tf.config.get_logical_device_configuration(cpu) or ()) < count:
        part = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [part] * count)


def synchronize_batch_normalization(model: keras.Model) -> None:
    """Let batch normalization use the statistics of the whole batch in training.

        mean = sum over all devices and pixels (x) / number of them
        variance = sum over all devices and pixels ((x - mean) ** 2) / number of them

    In Keras each device normalizes with the statistics of its own part of the batch,
    so that a model trains differently on another number of devices. With this, weights
    are those of one device but for rounding. It costs two sums over the devices for
    each layer in the forward pass, and two in the backward pass; on one device nothing.

    `BatchNormalization(synchronized=True)` of Keras has the same purpose. Its variance
    is mean(x ** 2) - mean(x) ** 2, a difference of large numbers: gradients are off by
    a thousand times the rounding, which Adam turns into other weights. Nor can a model
    that was saved with it be trained on JAX. What this function changes isn't saved.

    On JAX nothing is to be done: statistics are those of the whole batch anyway.

    Args:
        model: The model, before `fit`.
    """
    if keras.backend.backend() != "tensorflow":
        return
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._moments = functools.partial(_moments, layer._reduction_axes)
            layer.is_local = False


def _moments(axes: list[int], x: Any, mask: Any = None) -> tuple[Any, Any]:
    """Mean and variance of the batch of all replicas, as `_moments` of Keras's layer.

    Args:
        axes: The axes that they are taken over.
        x: What the layer is called with on this replica.
        mask: None: images have none.
    """
    count = tf.cast(tf.reduce_prod(tf.gather(tf.shape(x), axes)), x.dtype)
    total, count = _sum_over_replicas([tf.reduce_sum(x, axes), count])
    mean = total / count
    (squares,) = _sum_over_replicas([tf.reduce_sum(tf.square(x - mean), axes)])
    return mean, squares / count


def _sum_over_replicas(values: list[Any]) -> list[Any]:
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return values
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)
