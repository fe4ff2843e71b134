"""The Lovasz-softmax loss: a convex stand-in for the Jaccard index itself.

Berman, Rannen Triki and Blaschko, "The Lovasz-Softmax loss: A tractable surrogate for
the optimization of the intersection-over-union measure in neural networks", CVPR 2018,
https://arxiv.org/abs/1705.08790, section 3 and algorithm 1.
"""

from typing import Any

import keras
from keras import ops

from keras_seg.losses.base import (
    SegmentationLoss,
    gather_over_replicas,
    mean_of_present,
)


@keras.saving.register_keras_serializable(package="keras_seg")
class Lovasz(SegmentationLoss):
    """Lovasz-softmax loss, the mean over the classes present in the batch.

        loss_c = sum_i m_(i) (J_i - J_(i-1)),    m = |y_c - p_c|, largest first
        J_i = 1 - (P - sum_(j<=i) s y) / (P + sum_(j<=i) s (1 - y)),    P = sum s y

    where y is 1 on pixels of class c and s the weight of a pixel: J_i is the Jaccard
    loss if just the i worst pixels were wrong. It takes a sort of the batch for each
    class. Under `tf.distribute` each replica gathers and sorts the pixels of all.

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
        >>> float(Lovasz()(labels, logits))  # all are wrong by 1/2
        0.5
    """

    default_name = "lovasz"

    def call(self, label: Any, y_pred: Any, weight: Any) -> Any:
        num_classes = y_pred.shape[-1]
        p = ops.reshape(self.probabilities(y_pred), (-1, num_classes))
        label, weight = ops.reshape(label, (-1,)), ops.reshape(weight, (-1,))
        p, label, weight = (gather_over_replicas(x) for x in (p, label, weight))
        y = ops.one_hot(label, num_classes, dtype=p.dtype)

        # Classes first. Pixels of no weight have no error, so they come last.
        counted = ops.cast(weight > 0, p.dtype)
        error = ops.transpose(ops.abs(y - p) * counted[:, None])
        y = ops.transpose(y * weight[:, None])
        rest = weight[None] - y

        order = ops.argsort(-ops.stop_gradient(error), axis=-1)
        error, y, rest = (ops.take_along_axis(x, order, -1) for x in (error, y, rest))
        total = ops.sum(y, axis=-1, keepdims=True)
        union = total + ops.cumsum(rest, axis=-1)
        jaccard = 1 - ops.divide_no_nan(total - ops.cumsum(y, axis=-1), union)
        before = ops.pad(jaccard[:, :-1], [[0, 0], [1, 0]])
        loss = ops.sum(error * (jaccard - before), axis=-1)
        return mean_of_present(loss, total[:, 0])
