"""Losses of single pixels: cross-entropy, and two that stress hard pixels.

Focal: Lin, Goyal, Girshick, He and Dollar, "Focal Loss for Dense Object Detection",
ICCV 2017, https://arxiv.org/abs/1708.02002, equation 5. Top-k: Wu, Shen and van den
Hengel, "Bridging Category-level and Instance-level Semantic Image Segmentation", 2016,
https://arxiv.org/abs/1605.06885, section 3.3.
"""

from collections.abc import Sequence

import keras
from keras import ops

from keras_seg.arguments import is_number
from keras_seg.labels import IGNORE, DType, Logits, Mask, Tensor
from keras_seg.losses._base import SegmentationLoss
from keras_seg.losses._pixels import mean_of_pixels, sum_of_pixels
from keras_seg.losses._replicas import gather_over_replicas
from keras_seg.losses._weights import check_class_weights, weigh_classes


@keras.saving.register_keras_serializable(package="keras_seg")
class WeightedCrossEntropy(SegmentationLoss):
    """Cross-entropy, averaged over the labelled pixels with a weight per class.

        loss = sum_p s_p w[y_p] ce_p  /  sum_p s_p w[y_p]
        ce_p = -sum_c t_pc log softmax(z_p)_c
        t_pc = (1 - e) [c = y_p] + e / num_classes

        p    a labelled pixel of the batch
        y_p  its class
        z_p  its logits
        s_p  its `sample_weight`, 1 if there is none
        w    the class weights, 1 if there are none
        e    the label smoothing

    A batch without labelled pixels has loss 0 and no gradient. Keras divides by the
    number of all pixels instead, so that a batch with many ignored pixels or rare
    classes takes smaller steps. Under `tf.distribute` sums run over all replicas.
    Without smoothing this is PyTorch's `cross_entropy(weight=w, ignore_index=ignore)`.

    Args:
        class_weights: One weight per class, 0 or more. None weighs all classes alike.
        label_smoothing: Share of each label that is spread over all classes, in
            0..1.
        ignore: Label of the ignored pixels.
        from_logits: Whether predictions are logits; False for a model that ends in
            a softmax.
        name: Name of the loss; None means "weighted_cross_entropy".
        dtype: Type in which the loss is computed; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`
        sample_weight: None, or float `[batch, height, width]`, with a last axis of 1,
            or `[batch]`

    Raises:
        ValueError: for class weights that aren't one non-negative number per class, a
            smoothing outside 0..1, fewer than two classes, an `ignore` that is one of
            them, shapes that don't fit each other, a label that is no class, or a
            sample weight that is negative or infinite. The last two are
            `tf.errors.InvalidArgumentError` in TensorFlow's graphs. Under XLA, and
            where JAX traces, such a pixel is ignored, and such a weight makes the loss
            NaN.

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
        dtype: DType = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        if not is_number(label_smoothing, 0, 1):
            raise ValueError(
                "Expected `label_smoothing` to be in 0..1. Received: "
                f"{label_smoothing!r}"
            )
        self.class_weights = check_class_weights(class_weights)
        self.label_smoothing = label_smoothing

    def of_pixels(self, label: Mask, y_pred: Logits, weight: Tensor) -> Tensor:
        weight = weigh_classes(weight, self.class_weights, label, y_pred.shape[-1])
        loss = self.cross_entropy(label, y_pred)
        if self.label_smoothing:
            loss += self.label_smoothing * (self.mean_cross_entropy(y_pred) - loss)
        return mean_of_pixels(loss, weight)

    def get_config(self) -> dict:
        return super().get_config() | {
            "class_weights": self.class_weights,
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable(package="keras_seg")
class Focal(SegmentationLoss):
    """Focal loss: cross-entropy that down-weights pixels already classified well.

        loss = sum_p s_p w[y_p] (1 - q_p)^gamma ce_p  /  sum_p s_p w[y_p]
        ce_p = -log q_p
        q_p  = softmax(z_p)[y_p]

        p    a labelled pixel of the batch, on all replicas
        y_p  its class
        z_p  its logits
        s_p  its `sample_weight`, 1 if there is none
        w    the class weights, 1 if there are none

    A batch without labelled pixels has loss 0. Lin et al., equation 5; they divide by
    the number of objects, this is a mean over pixels.

    Args:
        gamma: Focusing parameter, 0 or more; 0 is cross-entropy.
        class_weights: One weight per class, 0 or more. None weighs all classes alike.
        ignore: Label of the ignored pixels.
        from_logits: Whether predictions are logits, or else probabilities.
        name: Name of the loss; None means "focal".
        dtype: Type in which the loss is computed; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`
        sample_weight: None, or float `[batch, height, width]`, with a last axis of 1,
            or `[batch]`

    Raises:
        ValueError: for a negative gamma, class weights that aren't one non-negative
            number per class, fewer than two classes, an `ignore` that is one of them,
            shapes that don't fit each other, a label that is no class, or a sample
            weight that is negative or infinite. The last two are
            `tf.errors.InvalidArgumentError` in TensorFlow's graphs. Under XLA, and
            where JAX traces, such a pixel is ignored, and such a weight makes the loss
            NaN.

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
        dtype: DType = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        if not is_number(gamma, 0):
            raise ValueError(f"Expected `gamma` to be 0 or more. Received: {gamma!r}")
        self.gamma = gamma
        self.class_weights = check_class_weights(class_weights)

    def of_pixels(self, label: Mask, y_pred: Logits, weight: Tensor) -> Tensor:
        weight = weigh_classes(weight, self.class_weights, label, y_pred.shape[-1])
        cross_entropy = self.cross_entropy(label, y_pred)
        # Not 0, where a power below 1 has no gradient.
        wrong = ops.maximum(-ops.expm1(-cross_entropy), 1e-7)
        return mean_of_pixels(wrong**self.gamma * cross_entropy, weight)

    def get_config(self) -> dict:
        own = {"gamma": self.gamma, "class_weights": self.class_weights}
        return super().get_config() | own


@keras.saving.register_keras_serializable(package="keras_seg")
class TopKCrossEntropy(SegmentationLoss):
    """Cross-entropy of the hardest pixels only (online hard example mining).

        loss = sum_{p in K} s_p w[y_p] ce_p  /  sum_{p in K} s_p w[y_p]
        ce_p = -log softmax(z_p)[y_p]

        K    the labelled pixels of the batch, on all replicas, with the largest ce_p:
             a fraction of them, rounded up
        y_p  the class of pixel p
        z_p  its logits
        s_p  its `sample_weight`, 1 if there is none
        w    the class weights, 1 if there are none

    A batch without labelled pixels has loss 0. Wu et al., section 3.3.

    Args:
        fraction: Share of the labelled pixels to learn from, above 0, up to 1.
        class_weights: One weight per class, 0 or more. None weighs all classes alike.
        ignore: Label of the ignored pixels.
        from_logits: Whether predictions are logits, or else probabilities.
        name: Name of the loss; None means "top_k_cross_entropy".
        dtype: Type in which the loss is computed; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`
        sample_weight: None, or float `[batch, height, width]`, with a last axis of 1,
            or `[batch]`

    Raises:
        ValueError: for a fraction outside of 0..1, class weights that aren't one
            non-negative number per class, fewer than two classes, an `ignore` that is
            one of them, shapes that don't fit each other, a label that is no class, or
            a sample weight that is negative or infinite. The last two are
            `tf.errors.InvalidArgumentError` in TensorFlow's graphs. Under XLA, and
            where JAX traces, such a pixel is ignored, and such a weight makes the loss
            NaN.

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
        dtype: DType = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        if not (is_number(fraction, 0, 1) and fraction):
            raise ValueError(
                f"Expected `fraction` to be above 0 and up to 1. Received: {fraction}"
            )
        self.fraction = fraction
        self.class_weights = check_class_weights(class_weights)

    def of_pixels(self, label: Mask, y_pred: Logits, weight: Tensor) -> Tensor:
        counted = ops.reshape(ops.cast(weight > 0, y_pred.dtype), (-1,))
        weight = weigh_classes(weight, self.class_weights, label, y_pred.shape[-1])
        cross_entropy = ops.reshape(self.cross_entropy(label, y_pred), (-1,))
        weight = ops.reshape(weight, (-1,))
        counted, weight, cross_entropy = (
            gather_over_replicas(x) for x in (counted, weight, cross_entropy)
        )

        # Hardest first, ignored pixels last.
        rank = ops.where(counted > 0, ops.stop_gradient(cross_entropy), -1.0)
        order = ops.argsort(-rank)
        number = ops.cast(ops.sum(ops.cast(counted, "int32")), y_pred.dtype)
        # A little less, so that 0.3 of 50 pixels are 15 of them in float32 too.
        limit = ops.maximum(ops.ceil(self.fraction * number - 1e-3), 1.0)
        place = ops.arange(ops.shape(order)[0], dtype="int32")
        kept = ops.cast(place < ops.cast(limit, "int32"), y_pred.dtype)
        weight = kept * ops.take(weight, order)
        loss = weight * ops.take(cross_entropy, order)
        loss, weight = (sum_of_pixels(x[None, None]) for x in (loss, weight))
        return ops.divide_no_nan(loss, weight)

    def get_config(self) -> dict:
        own = {"fraction": self.fraction, "class_weights": self.class_weights}
        return super().get_config() | own
