"""A loss of boundaries: whether outlines are where they should be.

Bokhovkin and Burnaev, "Boundary Loss for Remote Sensing Imagery Semantic Segmentation",
ISNN 2019, https://arxiv.org/abs/1905.07852, section 3.
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


@keras.saving.register_keras_serializable(package="keras_seg")
class BoundaryF1(SegmentationLoss):
    """One minus the F1 score of soft boundaries, the mean over the classes present.

        b(x) = pool(1 - x, width) - (1 - x)       the inner boundary of a soft mask x
        P_c  = sum s b(p_c) pool(b(y_c), reach) / sum s b(p_c)
        R_c  = sum s b(y_c) pool(b(p_c), reach) / sum s b(y_c)
        loss_c = 1 - 2 P_c R_c / (P_c + R_c)

    where p are the probabilities, y is the truth (1 or 0), pool(x, k) the largest of
    the k x k pixels round each, s the `sample_weight` (1 if there is none), and sums
    run over the labelled pixels of the batch, on all replicas. Where there is no label,
    y and p are 1 in every class, and b is 0: nothing ends there. A boundary counts as
    found if the other one is within reach.
    Give it with a loss of pixels (`WeightedCrossEntropy() + 0.5 * BoundaryF1()`): alone
    it doesn't say which side of an outline is which. A class without a boundary in the
    truth is left out; a batch without any has loss 0.

    Args:
        width: Side of the window that makes boundaries, odd, 3 or more.
        reach: Side of the window in which a boundary is found, odd.
        ignore: Label of the pixels to leave out.
        from_logits: Whether predictions are logits, or probabilities.
        name: Name of the loss; None means its usual one.
        dtype: Of the computation; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`

    Example:
        >>> import numpy as np
        >>> labels = np.array([[[0, 0, 1, 1, 1]] * 5])
        >>> right = 20.0 * np.eye(2)[labels]
        >>> round(float(BoundaryF1()(labels, right)), 4)
        0.0
    """

    default_name = "boundary_f1"

    def __init__(
        self,
        *,
        width: int = 3,
        reach: int = 5,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        for side, least in ((width, 3), (reach, 1)):
            if not (isinstance(side, int) and side >= least and side % 2):
                raise ValueError(
                    "Expected `width` and `reach` to be odd numbers of pixels, 3 and 1 "
                    f"or more. Received: {width}, {reach}"
                )
        self.width = width
        self.reach = reach

    def call(self, label: Any, y_pred: Any, weight: Any) -> Any:
        p = self.probabilities(y_pred)
        y = ops.one_hot(label, p.shape[-1], dtype=p.dtype)
        weight = weight[..., None]
        labelled = ops.cast(weight > 0, p.dtype)
        # Where there is no label nothing ends: it is inside of whatever it touches.
        true = labelled * self._boundary(y * labelled + (1 - labelled))
        found = labelled * self._boundary(p * labelled + (1 - labelled))

        axes = (0, 1, 2)
        sums = ops.stack(
            [
                ops.sum(weight * found * _pool(true, self.reach), axis=axes),
                ops.sum(weight * found, axis=axes),
                ops.sum(weight * true * _pool(found, self.reach), axis=axes),
                ops.sum(weight * true, axis=axes),
            ]
        )
        hit, all_found, met, all_true = ops.unstack(sum_over_replicas(sums), 4)
        precision = ops.divide_no_nan(hit, all_found)
        recall = ops.divide_no_nan(met, all_true)
        f1 = ops.divide_no_nan(2 * precision * recall, precision + recall)
        return mean_of_present(1 - f1, all_true)

    def _boundary(self, x: Any) -> Any:
        return _pool(1 - x, self.width) - (1 - x)

    def get_config(self) -> dict:
        return super().get_config() | {"width": self.width, "reach": self.reach}


def _pool(x: Any, size: int) -> Any:
    """The largest of size x size pixels round each; what lies outside doesn't count."""
    return ops.max_pool(x, size, strides=1, padding="same")
