"""Losses of pixels: cross-entropy, and what weighs the hard pixels more."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_seg.labels import IGNORE
from keras_seg.losses.base import (
    SegmentationLoss,
    check_class_weights,
    gather_over_replicas,
    share_of_replica,
    weigh_classes,
    weighted_mean,
)


@keras.saving.register_keras_serializable(package="keras_seg")
class WeightedCrossEntropy(SegmentationLoss):
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
        name: Name of the loss; None means its usual one.
        dtype: Of the computation; None means float32.

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

    default_name = "weighted_cross_entropy"

    def __init__(
        self,
        class_weights: Sequence[float] | None = None,
        *,
        label_smoothing: float = 0.0,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                f"Expected `label_smoothing` to be in 0..1. Received: {label_smoothing}"
            )
        self.class_weights = check_class_weights(class_weights)
        self.label_smoothing = label_smoothing

    def call(self, label: Any, y_pred: Any, weight: Any) -> Any:
        weight = weigh_classes(weight, self.class_weights, label, y_pred.shape[-1])
        cross_entropy = self.cross_entropy(label, y_pred)
        if self.label_smoothing:
            everywhere = self._cross_entropy_with_all(y_pred)
            cross_entropy += self.label_smoothing * (everywhere - cross_entropy)
        return weighted_mean(cross_entropy, weight)

    def _cross_entropy_with_all(self, y_pred: Any) -> Any:
        """Cross-entropy with the label that finds all classes equally likely."""
        if self.from_logits:
            return -ops.mean(ops.log_softmax(y_pred), axis=-1)
        return -ops.mean(ops.log(ops.maximum(y_pred, keras.config.epsilon())), axis=-1)

    def get_config(self) -> dict:
        return super().get_config() | {
            "class_weights": self.class_weights,
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable(package="keras_seg")
class Focal(SegmentationLoss):
    """Focal loss: cross-entropy that turns away from pixels that are right already.

        loss = sum_p s[p] w[y_p] (1 - q_p)^gamma ce_p  /  sum_p s[p] w[y_p]
        ce_p = -log q_p,    q_p = softmax(z_p)_{y_p}

    where p runs over the labelled pixels of the batch, on all replicas, z are the
    logits, w the class weights and s the `sample_weight` map. A batch without labels
    has loss 0. Lin, Goyal, Girshick, He and Dollar, "Focal Loss for Dense Object
    Detection", ICCV 2017, https://arxiv.org/abs/1708.02002, equation 5; they divide by
    the number of objects, this is a mean over pixels.

    Args:
        gamma: How far to turn away, 0 or more; 0 is cross-entropy.
        class_weights: One weight per class, 0 or more. None weighs all classes alike.
        ignore: Label of the pixels to leave out.
        from_logits: Whether predictions are logits, or probabilities.
        name: Name of the loss; None means its usual one.
        dtype: Of the computation; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`

    Example:
        >>> import numpy as np
        >>> labels, logits = np.array([[[0, 1, 255]]]), np.zeros((1, 1, 3, 2))
        >>> round(float(Focal()(labels, logits)), 4)  # (1/2)^2 log 2
        0.1733
    """

    default_name = "focal"

    def __init__(
        self,
        gamma: float = 2.0,
        class_weights: Sequence[float] | None = None,
        *,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        if not gamma >= 0:
            raise ValueError(f"Expected `gamma` to be 0 or more. Received: {gamma}")
        self.gamma = gamma
        self.class_weights = check_class_weights(class_weights)

    def call(self, label: Any, y_pred: Any, weight: Any) -> Any:
        weight = weigh_classes(weight, self.class_weights, label, y_pred.shape[-1])
        cross_entropy = self.cross_entropy(label, y_pred)
        # Not 0, where a power below 1 has no gradient.
        wrong = ops.maximum(-ops.expm1(-cross_entropy), 1e-7)
        return weighted_mean(wrong**self.gamma * cross_entropy, weight)

    def get_config(self) -> dict:
        own = {"gamma": self.gamma, "class_weights": self.class_weights}
        return super().get_config() | own


@keras.saving.register_keras_serializable(package="keras_seg")
class TopKCrossEntropy(SegmentationLoss):
    """Cross-entropy of the hardest pixels only (online hard example mining).

        loss = sum_{p in K} s[p] w[y_p] ce_p  /  sum_{p in K} s[p] w[y_p]

    where K are the labelled pixels of the batch with the largest ce_p = -log
    softmax(z_p)_{y_p}, a fraction of them, rounded up. A batch without labels has loss
    0. Under `tf.distribute` the batch is that of all replicas, here as well. Wu, Shen
    and van den Hengel, "Bridging Category-level and Instance-level Semantic Image
    Segmentation", 2016, https://arxiv.org/abs/1605.06885, section 3.3.

    Args:
        fraction: Of the labelled pixels to learn from, above 0, up to 1.
        class_weights: One weight per class, 0 or more. None weighs all classes alike.
        ignore: Label of the pixels to leave out.
        from_logits: Whether predictions are logits, or probabilities.
        name: Name of the loss; None means its usual one.
        dtype: Of the computation; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`

    Example:
        >>> import numpy as np
        >>> labels = np.array([[[0, 0, 255]]])
        >>> logits = np.array([[[[9.0, 0.0], [0.0, 0.0], [0.0, 9.0]]]])
        >>> round(float(TopKCrossEntropy(0.5)(labels, logits)), 4)  # log 2, the harder
        0.6931
    """

    default_name = "top_k_cross_entropy"

    def __init__(
        self,
        fraction: float = 0.25,
        class_weights: Sequence[float] | None = None,
        *,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        if not 0 < fraction <= 1:
            raise ValueError(
                f"Expected `fraction` to be above 0 and up to 1. Received: {fraction}"
            )
        self.fraction = fraction
        self.class_weights = check_class_weights(class_weights)

    def call(self, label: Any, y_pred: Any, weight: Any) -> Any:
        counted = ops.reshape(ops.cast(weight > 0, y_pred.dtype), (-1,))
        weight = weigh_classes(weight, self.class_weights, label, y_pred.shape[-1])
        cross_entropy = ops.reshape(self.cross_entropy(label, y_pred), (-1,))
        weight = ops.reshape(weight, (-1,))
        counted, weight, cross_entropy = (
            gather_over_replicas(x) for x in (counted, weight, cross_entropy)
        )

        # Hardest first, pixels without a label last.
        rank = ops.where(counted > 0, ops.stop_gradient(cross_entropy), -1.0)
        order = ops.argsort(-rank)
        number = ops.sum(counted)
        # A little less, so that 0.3 of 50 pixels are 15 of them in float32 too.
        limit = ops.maximum(ops.ceil(self.fraction * number - 1e-3), 1.0)
        place = ops.arange(ops.shape(order)[0], dtype="int32")
        kept = ops.cast(place < ops.cast(limit, "int32"), y_pred.dtype)
        weight = kept * ops.take(weight, order)
        loss = ops.sum(weight * ops.take(cross_entropy, order))
        return share_of_replica(ops.divide_no_nan(loss, ops.sum(weight)))

    def get_config(self) -> dict:
        own = {"fraction": self.fraction, "class_weights": self.class_weights}
        return super().get_config() | own
