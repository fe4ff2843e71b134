"""Losses of regions: how far soft masks overlap, class by class, over the batch.

Every class that occurs in the truth counts alike, however few its pixels. Sums run over
the batch, on all replicas. Classes that the truth of a batch lacks are left out of the
mean; a batch without labels has loss 0. There is no smoothing term: a class that counts
has a pixel, so nothing is divided by 0.
"""

from typing import Any

import keras
from keras import ops

from keras_seg.labels import IGNORE
from keras_seg.losses.base import (
    SegmentationLoss,
    mean_of_present,
    sum_over_replicas,
)


class _RegionLoss(SegmentationLoss):
    """Mean over the present classes of a function of tp, fp and fn."""

    def call(self, label: Any, y_pred: Any, weight: Any) -> Any:
        p = self.probabilities(y_pred)
        num_classes = p.shape[-1]
        y = ops.one_hot(label, num_classes, dtype=p.dtype) * weight[..., None]
        pixels = tuple(range(len(p.shape) - 1))
        sums = ops.stack(
            [
                ops.sum(p * y, axis=pixels),
                ops.sum(p * weight[..., None], axis=pixels),
                ops.sum(y, axis=pixels),
            ]
        )
        tp, predicted, true = ops.unstack(sum_over_replicas(sums), 3)
        loss = self.of_class(tp, predicted - tp, true - tp)
        return mean_of_present(loss, true)

    def of_class(self, tp: Any, fp: Any, fn: Any) -> Any:
        """Loss of each class."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_seg")
class Dice(_RegionLoss):
    """Soft Dice loss, the mean over the classes present in the truth.

        loss_c = 1 - 2 tp_c / (2 tp_c + fp_c + fn_c)

    with tp_c = sum s p_c y_c, fp_c = sum s p_c (1 - y_c), fn_c = sum s (1 - p_c) y_c
    over the labelled pixels of the batch: p the probabilities, y the truth (1 or 0), s
    the `sample_weight` (1 if there is none). Milletari, Navab and Ahmadi, "V-Net", 3DV
    2016, https://arxiv.org/abs/1606.04797, section 3, without squares.

    Args:
        ignore: Label of the pixels to leave out.
        from_logits: Whether predictions are logits, or probabilities.
        name: Name of the loss; None means its usual one.
        dtype: Of the computation; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`

    Example:
        >>> import numpy as np
        >>> labels, logits = np.array([[[0, 0, 1, 255]]]), np.zeros((1, 1, 4, 2))
        >>> round(float(Dice()(labels, logits)), 4)  # 1 - (2/3.5 + 1/2.5) / 2
        0.5143
    """

    default_name = "dice"

    def of_class(self, tp: Any, fp: Any, fn: Any) -> Any:
        return 1 - ops.divide_no_nan(2 * tp, 2 * tp + fp + fn)


@keras.saving.register_keras_serializable(package="keras_seg")
class Jaccard(_RegionLoss):
    """Soft Jaccard (IoU) loss, the mean over the classes present in the truth.

        loss_c = 1 - tp_c / (tp_c + fp_c + fn_c)

    with tp_c = sum s p_c y_c, fp_c = sum s p_c (1 - y_c), fn_c = sum s (1 - p_c) y_c
    over the labelled pixels of the batch: p the probabilities, y the truth (1 or 0), s
    the `sample_weight` (1 if there is none). Rahman and Wang, "Optimizing Intersection-
    Over-Union in Deep Neural Networks for Image Segmentation", ISVC 2016.

    Args:
        ignore: Label of the pixels to leave out.
        from_logits: Whether predictions are logits, or probabilities.
        name: Name of the loss; None means its usual one.
        dtype: Of the computation; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`

    Example:
        >>> import numpy as np
        >>> labels, logits = np.array([[[0, 0, 1, 255]]]), np.zeros((1, 1, 4, 2))
        >>> round(float(Jaccard()(labels, logits)), 4)  # 1 - (1/2.5 + 0.5/2) / 2
        0.675
    """

    default_name = "jaccard"

    def of_class(self, tp: Any, fp: Any, fn: Any) -> Any:
        return 1 - ops.divide_no_nan(tp, tp + fp + fn)


@keras.saving.register_keras_serializable(package="keras_seg")
class Tversky(_RegionLoss):
    """Tversky loss, the mean over the classes present in the truth.

        loss_c = (1 - tp_c / (tp_c + alpha fp_c + beta fn_c)) ^ (1 / gamma)

    with tp_c = sum s p_c y_c, fp_c = sum s p_c (1 - y_c), fn_c = sum s (1 - p_c) y_c
    over the labelled pixels of the batch: p the probabilities, y the truth (1 or 0), s
    the `sample_weight` (1 if there is none). A beta above alpha makes missed pixels
    dearer than false ones. Salehi, Erdogmus and Gholipour, "Tversky loss function for
    image segmentation using 3D fully convolutional networks", MLMI 2017,
    https://arxiv.org/abs/1706.05721, equation 3. With gamma above 1 it is the focal
    Tversky loss of Abraham and Khan, ISBI 2019, https://arxiv.org/abs/1810.07842,
    equation 4 (they take 4/3), which turns to the classes that are still bad.

    Args:
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        gamma: 1 for the plain Tversky loss.
        ignore: Label of the pixels to leave out.
        from_logits: Whether predictions are logits, or probabilities.
        name: Name of the loss; None means its usual one.
        dtype: Of the computation; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`

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
        dtype: Any = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        if not (alpha >= 0 and beta >= 0 and gamma > 0):
            raise ValueError(
                "Expected `alpha` and `beta` to be 0 or more and `gamma` above 0. "
                f"Received: {alpha}, {beta}, {gamma}"
            )
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma

    def of_class(self, tp: Any, fp: Any, fn: Any) -> Any:
        index = ops.divide_no_nan(tp, tp + self.alpha * fp + self.beta * fn)
        if self.gamma == 1:
            return 1 - index
        # Not 0, where a root has no gradient.
        return ops.maximum(1 - index, 1e-7) ** (1 / self.gamma)

    def get_config(self) -> dict:
        own = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        return super().get_config() | own
