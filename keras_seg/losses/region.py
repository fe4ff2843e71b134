"""Losses of regions: how far soft masks overlap, class by class, over the batch.

All classes that occur in the truth of a batch count alike, however few their pixels;
the others are left out of the mean. A batch without labelled pixels has loss 0. There
is no smoothing term: a class that counts has a pixel, so nothing is divided by 0.

Dice: Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, https://arxiv.org/abs/1606.04797,
section 3. Jaccard: Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural
Networks for Image Segmentation", ISVC 2016. Tversky: Salehi, Erdogmus and Gholipour,
"Tversky loss function for image segmentation using 3D fully convolutional networks",
MLMI 2017, https://arxiv.org/abs/1706.05721, equation 3. Focal Tversky: Abraham and
Khan, ISBI 2019, https://arxiv.org/abs/1810.07842, equation 4.
"""

import keras
from keras import ops

from keras_seg.arguments import is_number
from keras_seg.labels import IGNORE, DType, Logits, Mask, Tensor
from keras_seg.losses._base import SegmentationLoss
from keras_seg.losses._pixels import mean_of_present, sum_of_pixels
from keras_seg.losses._replicas import sum_over_replicas


class _RegionLoss(SegmentationLoss):
    """Mean over the present classes of a function of tp, fp and fn."""

    def of_pixels(self, label: Mask, y_pred: Logits, weight: Tensor) -> Tensor:
        q = self.probabilities(y_pred)
        y = ops.one_hot(label, q.shape[-1], dtype=q.dtype)
        sq, sy = q * weight[..., None], y * weight[..., None]
        sums = ops.stack([sum_of_pixels(x) for x in (sq * y, sq, sy)])
        tp, predicted, true = ops.unstack(sum_over_replicas(sums), 3)
        loss = self.of_classes(tp, predicted - tp, true - tp)
        return mean_of_present(loss, true)

    def of_classes(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        """Return the loss of each class, `[num_classes]`."""
        raise NotImplementedError  # each loss has its own


@keras.saving.register_keras_serializable(package="keras_seg")
class Dice(_RegionLoss):
    """Soft Dice loss, the mean over the classes present in the truth.

        loss_c = 1 - 2 tp_c / (2 tp_c + fp_c + fn_c)
        tp_c = sum_p s_p q_pc [y_p = c]
        fp_c = sum_p s_p q_pc [y_p != c]
        fn_c = sum_p s_p (1 - q_pc) [y_p = c]

        p     a labelled pixel of the batch, on all replicas
        y_p   its class
        q_pc  its probability of class c
        s_p   its `sample_weight`, 1 if there is none

    Milletari et al., section 3, without squares.

    Args:
        ignore: Label of the ignored pixels.
        from_logits: Whether predictions are logits, or else probabilities.
        name: Name of the loss; None means "dice".
        dtype: Type in which the loss is computed; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`
        sample_weight: None, or float `[batch, height, width]`, with a last axis of 1,
            or `[batch]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them, shapes
            that don't fit each other, a label that is no class, or a sample weight that
            is negative or infinite. The last two are `tf.errors.InvalidArgumentError`
            in TensorFlow's graphs. Under XLA, and where JAX traces, such a pixel is
            ignored, and such a weight makes the loss NaN.

    Example:
        >>> import numpy as np
        >>> labels, logits = np.array([[[0, 0, 1, 255]]]), np.zeros((1, 1, 4, 2))
        >>> round(float(Dice()(labels, logits)), 4)  # 1 - (2/3.5 + 1/2.5) / 2
        0.5143
    """

    default_name = "dice"

    def of_classes(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        return 1 - ops.divide_no_nan(2 * tp, 2 * tp + fp + fn)


@keras.saving.register_keras_serializable(package="keras_seg")
class Jaccard(_RegionLoss):
    """Soft Jaccard (IoU) loss, the mean over the classes present in the truth.

        loss_c = 1 - tp_c / (tp_c + fp_c + fn_c)
        tp_c = sum_p s_p q_pc [y_p = c]
        fp_c = sum_p s_p q_pc [y_p != c]
        fn_c = sum_p s_p (1 - q_pc) [y_p = c]

        p     a labelled pixel of the batch, on all replicas
        y_p   its class
        q_pc  its probability of class c
        s_p   its `sample_weight`, 1 if there is none

    Rahman and Wang, section 3.

    Args:
        ignore: Label of the ignored pixels.
        from_logits: Whether predictions are logits, or else probabilities.
        name: Name of the loss; None means "jaccard".
        dtype: Type in which the loss is computed; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`
        sample_weight: None, or float `[batch, height, width]`, with a last axis of 1,
            or `[batch]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them, shapes
            that don't fit each other, a label that is no class, or a sample weight that
            is negative or infinite. The last two are `tf.errors.InvalidArgumentError`
            in TensorFlow's graphs. Under XLA, and where JAX traces, such a pixel is
            ignored, and such a weight makes the loss NaN.

    Example:
        >>> import numpy as np
        >>> labels, logits = np.array([[[0, 0, 1, 255]]]), np.zeros((1, 1, 4, 2))
        >>> round(float(Jaccard()(labels, logits)), 4)  # 1 - (1/2.5 + 0.5/2) / 2
        0.675
    """

    default_name = "jaccard"

    def of_classes(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        return 1 - ops.divide_no_nan(tp, tp + fp + fn)


@keras.saving.register_keras_serializable(package="keras_seg")
class Tversky(_RegionLoss):
    """Tversky loss, the mean over the classes present in the truth.

        loss_c = (1 - tp_c / (tp_c + alpha fp_c + beta fn_c)) ^ (1 / gamma)
        tp_c = sum_p s_p q_pc [y_p = c]
        fp_c = sum_p s_p q_pc [y_p != c]
        fn_c = sum_p s_p (1 - q_pc) [y_p = c]

        p     a labelled pixel of the batch, on all replicas
        y_p   its class
        q_pc  its probability of class c
        s_p   its `sample_weight`, 1 if there is none

    With beta > alpha, false negatives cost more than false positives. With gamma > 1 it
    is the focal Tversky loss, which stresses classes with a low index. Salehi et al.,
    equation 3; Abraham and Khan, equation 4, with gamma = 4/3.

    Args:
        alpha: Weight of false positives, 0 or more.
        beta: Weight of false negatives, 0 or more.
        gamma: Focusing parameter, above 0; 1 is the plain Tversky loss.
        ignore: Label of the ignored pixels.
        from_logits: Whether predictions are logits, or else probabilities.
        name: Name of the loss; None means "tversky".
        dtype: Type in which the loss is computed; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`
        sample_weight: None, or float `[batch, height, width]`, with a last axis of 1,
            or `[batch]`

    Raises:
        ValueError: for a negative alpha or beta, a gamma of 0 or less, fewer than two
            classes, an `ignore` that is one of them, shapes that don't fit each other,
            a label that is no class, or a sample weight that is negative or infinite.
            The last two are `tf.errors.InvalidArgumentError` in TensorFlow's graphs.
            Under XLA, and where JAX traces, such a pixel is ignored, and such a weight
            makes the loss NaN.

    Example:
        >>> import numpy as np
        >>> labels, logits = np.array([[[0, 0, 1, 255]]]), np.zeros((1, 1, 4, 2))
        >>> round(float(Tversky(1.0, 1.0)(labels, logits)), 4)  # the Jaccard loss
        0.675
    """

    default_name = "tversky"

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        *,
        gamma: float = 1.0,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str | None = None,
        dtype: DType = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        in_range = all(is_number(number, 0) for number in (alpha, beta, gamma))
        if not (in_range and gamma):
            raise ValueError(
                "Expected `alpha` and `beta` to be 0 or more and `gamma` above 0. "
                f"Received: {alpha!r}, {beta!r}, {gamma!r}"
            )
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma

    def of_classes(self, tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
        index = ops.divide_no_nan(tp, tp + self.alpha * fp + self.beta * fn)
        if self.gamma == 1:
            return 1 - index
        # Not 0, where a root has no gradient.
        return ops.maximum(1 - index, 1e-7) ** (1 / self.gamma)

    def get_config(self) -> dict:
        own = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        return super().get_config() | own
