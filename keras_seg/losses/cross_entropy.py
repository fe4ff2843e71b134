"""Cross-entropy over the pixels that have a label."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_seg.labels import IGNORE, check_labels, check_num_classes


@keras.saving.register_keras_serializable(package="keras_seg")
class WeightedCrossEntropy(keras.losses.Loss):
    """Cross-entropy, averaged over the labelled pixels with a weight per class.

        loss = sum_p s[p] w[y_p] ce_p  /  sum_p s[p] w[y_p]
        ce_p = -sum_c t_c log softmax(z_p)_c
        t_c  = (1 - label_smoothing) [c = y_p] + label_smoothing / num_classes

    where p runs over the pixels of the batch whose label y_p isn't `ignore`, z_p are
    the logits, w the class weights and s the `sample_weight` map (1 if there is none).
    A batch without such pixels has loss 0 and no gradient.

    Keras divides by the number of pixels instead, so that a batch full of void or of
    rare classes takes smaller steps. Under `tf.distribute` the sums run over all
    replicas. Without smoothing this is PyTorch's
    `cross_entropy(weight=w, ignore_index=ignore)`.

    Args:
        class_weights: One weight per class, 0 or more. None weighs all classes alike.
        label_smoothing: Share of each label that is spread over all classes, in
            0..1.
        ignore: Label of the pixels to leave out.
        from_logits: Whether predictions are logits; False for a model that ends in
            a softmax.
        name: Name of the loss.
        dtype: Of the computation; None means float32 unless Keras is told otherwise.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`
        sample_weight: None, or float `[batch, height, width]`, with a last axis of 1,
            or `[batch]`

    Raises:
        ValueError: for class weights that aren't one non-negative number per class, a
            smoothing outside 0..1, fewer than two classes, an `ignore` that is one of
            them, or shapes that don't fit each other.
        tf.errors.InvalidArgumentError: for a label that is no class, in eager and
            graph mode on TensorFlow. Elsewhere such a pixel is left out.

    Example:
        >>> import numpy as np
        >>> labels, logits = np.array([[[0, 1, 255]]]), np.zeros((1, 1, 3, 2))
        >>> loss = WeightedCrossEntropy(class_weights=[1.0, 3.0])
        >>> round(float(loss(labels, logits)), 4)  # log 2, whatever the weights
        0.6931
    """

    def __init__(
        self,
        class_weights: Sequence[float] | None = None,
        *,
        label_smoothing: float = 0.0,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str = "weighted_cross_entropy",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        if class_weights is not None:
            class_weights = [float(weight) for weight in class_weights]
            if not all(0 <= weight < float("inf") for weight in class_weights):
                raise ValueError(
                    "Expected `class_weights` to be finite and 0 or more. Received: "
                    f"{class_weights}"
                )
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                f"Expected `label_smoothing` to be in 0..1. Received: {label_smoothing}"
            )
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.ignore = ignore
        self.from_logits = from_logits

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Not Keras's __call__: it would multiply the map of weights onto the mean
        # (and turn labels into floats on the way).
        with keras.name_scope(self.name):
            y_pred = ops.cast(y_pred, self.dtype)
            return self.call(ops.convert_to_tensor(y_true), y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true = _drop_last_axis(y_true, y_pred)
        num_classes = check_num_classes(y_pred.shape[-1], ignore=self.ignore)
        labelled = check_labels(y_true, num_classes, ignore=self.ignore)
        label = ops.where(labelled, ops.cast(y_true, "int32"), 0)

        weight = ops.cast(labelled, y_pred.dtype)
        if self.class_weights is not None:
            if len(self.class_weights) != num_classes:
                raise ValueError(
                    "Expected `class_weights` to have one weight per class. Received: "
                    f"{len(self.class_weights)} weights for {num_classes} classes."
                )
            weights = ops.convert_to_tensor(self.class_weights, y_pred.dtype)
            weight = weight * ops.take(weights, label)
        if sample_weight is not None:
            weight = weight * _as_map(ops.cast(sample_weight, y_pred.dtype))

        cross_entropy = keras.losses.sparse_categorical_crossentropy(
            label, y_pred, from_logits=self.from_logits
        )
        if self.label_smoothing:
            everywhere = _cross_entropy_with_all(y_pred, self.from_logits)
            cross_entropy += self.label_smoothing * (everywhere - cross_entropy)

        return ops.divide_no_nan(
            ops.sum(weight * cross_entropy), _sum_over_replicas(ops.sum(weight))
        )

    def get_config(self) -> dict:
        return {
            "class_weights": self.class_weights,
            "label_smoothing": self.label_smoothing,
            "ignore": self.ignore,
            "from_logits": self.from_logits,
            "name": self.name,
        }


def _drop_last_axis(y_true: Any, y_pred: Any) -> Any:
    """Labels `[batch, height, width]`, checked against the logits they belong to."""
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    expected = tuple(y_pred.shape[:-1])
    received = tuple(y_true.shape)
    if len(expected) != len(received) or any(
        e != r for e, r in zip(expected, received, strict=True) if None not in (e, r)
    ):
        raise ValueError(
            "Expected masks `[batch, height, width]` as large as the logits "
            "`[batch, height, width, num_classes]`. Received: masks "
            f"{received}, logits {tuple(y_pred.shape)}"
        )
    return y_true


def _as_map(sample_weight: Any) -> Any:
    """Weights that broadcast to `[batch, height, width]`."""
    if len(sample_weight.shape) == 1:
        return sample_weight[:, None, None]
    if len(sample_weight.shape) == 4:
        return ops.squeeze(sample_weight, -1)
    return sample_weight


def _cross_entropy_with_all(y_pred: Any, from_logits: bool) -> Any:
    """Cross-entropy with the label that finds all classes equally likely."""
    if from_logits:
        return -ops.mean(ops.log_softmax(y_pred), axis=-1)
    return -ops.mean(ops.log(ops.maximum(y_pred, keras.config.epsilon())), axis=-1)


def _sum_over_replicas(x: Any) -> Any:
    """The sum of `x` over the replicas of `tf.distribute`; `x` where there are none.

    Keras adds up the gradients of replicas. A loss that each of them divides by this
    sum is therefore one mean over all their pixels, however unequal their shares.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, x)
    return x
