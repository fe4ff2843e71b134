"""Losses and metrics of 8 x 512 x 512 pixels and 21 classes, as graphs."""

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

SHAPE, CLASSES = (8, 512, 512), 21


def arrays(*, ignored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Masks, of which a tenth may be ignored, and logits."""
    rng = np.random.default_rng(0)
    masks = rng.integers(0, CLASSES, SHAPE)
    logits = rng.normal(size=(*SHAPE, CLASSES)).astype(np.float32)
    return np.where(rng.random(SHAPE) < 0.1 * ignored, 255, masks), logits


def gigabytes(times: int) -> float:
    """What it takes to read all logits, or (twice) to write a gradient of them too."""
    return times * 4 * math.prod(SHAPE) * CLASSES / 1e9


def our_loss(name: str) -> Callable[[], Any]:
    """A loss of ours and its gradient."""
    import keras_seg

    loss = getattr(keras_seg.losses, name)(**_weights(name))
    return _gradient(loss, ignored=True)


def loss_of_keras() -> Callable[[], Any]:
    """Keras's cross-entropy, which ignores nothing."""
    import keras

    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _gradient(plain, ignored=False)


def loss_of_torch() -> Callable[[], Any]:
    """PyTorch's cross-entropy and its gradient."""
    import torch

    weight = torch.linspace(0.5, 2, CLASSES)
    return _backward(torch.nn.CrossEntropyLoss(weight, ignore_index=255))


def loss_of_smp(name: str) -> Callable[[], Any]:
    """A loss of segmentation_models_pytorch and its gradient.

    `FocalLoss` has a formula of its own: for each class, the focal loss of a sigmoid.
    """
    import segmentation_models_pytorch as smp

    loss = getattr(smp.losses, f"{name}Loss")
    return _backward(loss("multiclass", ignore_index=255, **_weights(name)))


def our_metric(name: str) -> Callable[[], Any]:
    """`update_state` of a metric of ours."""
    import keras_seg

    return _update(getattr(keras_seg.metrics, name)(CLASSES), ignored=True)


def metric_of_keras() -> Callable[[], Any]:
    """Keras's MeanIoU, of logits, which ignores nothing."""
    import keras

    return _update(keras.metrics.MeanIoU(CLASSES, sparse_y_pred=False), ignored=False)


def metric_of_torch() -> Callable[[], Any]:
    """MeanIoU of torchmetrics: its confusion matrix of the classes by argmax."""
    import torch
    import torchmetrics

    torch.set_num_threads(os.cpu_count() or 1)
    masks, logits = map(torch.from_numpy, arrays(ignored=True))
    kind = {"task": "multiclass", "num_classes": CLASSES, "ignore_index": 255}
    metric = torchmetrics.JaccardIndex(**kind)
    scores = logits.permute(0, 3, 1, 2)
    return lambda: metric.update(scores, masks)


def argmax() -> Callable[[], Any]:
    """The class of each pixel, and no more: what a metric can't do without."""
    import tensorflow as tf

    logits = tf.constant(arrays(ignored=False)[1])
    graph = tf.function(lambda: tf.argmax(logits, -1))

    def run() -> None:
        graph().numpy()

    return run


def _weights(name: str) -> dict[str, list[float]]:
    """Weights of classes, where both sides take some."""
    weighted = name in ("WeightedCrossEntropy", "Focal")
    return {"class_weights": np.linspace(0.5, 2, CLASSES).tolist()} if weighted else {}


def _backward(loss: Callable) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    masks, logits = map(torch.from_numpy, arrays(ignored=True))
    leaf = logits.permute(0, 3, 1, 2).requires_grad_()  # channels last

    def run() -> None:
        leaf.grad = None
        loss(leaf, masks).backward()

    return run


def _gradient(loss: Callable, *, ignored: bool) -> Callable[[], Any]:
    import tensorflow as tf

    masks, logits = arrays(ignored=ignored)
    masks, logits = tf.constant(masks, tf.int32), tf.constant(logits)

    @tf.function
    def graph() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(masks, logits)
        return value, tape.gradient(value, logits)

    def run() -> None:
        graph()[0].numpy()

    return run


def _update(metric: Any, *, ignored: bool) -> Callable[[], Any]:
    import tensorflow as tf

    masks, logits = arrays(ignored=ignored)
    masks, logits = tf.constant(masks, tf.int32), tf.constant(logits)

    @tf.function
    def graph() -> tf.Tensor:
        metric.update_state(masks, logits)
        return tf.constant(0)

    def run() -> None:
        graph().numpy()

    return run
