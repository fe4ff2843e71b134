"""The Lovasz-softmax loss: a convex surrogate of the Jaccard index.

Berman, Rannen Triki and Blaschko, "The Lovasz-Softmax loss: A tractable surrogate for
the optimization of the intersection-over-union measure in neural networks", CVPR 2018,
https://arxiv.org/abs/1705.08790, section 3 and algorithm 1.
"""

import keras
from keras import ops

from keras_seg.labels import Logits, Mask, Tensor
from keras_seg.losses._base import SegmentationLoss
from keras_seg.losses._pixels import mean_of_present, running_sum, sum_of_pixels
from keras_seg.losses._replicas import gather_over_replicas


@keras.saving.register_keras_serializable(package="keras_seg")
class Lovasz(SegmentationLoss):
    """Lovasz-softmax loss, the mean over the classes present in the truth.

        loss_c = sum_i m_i (J_i - J_(i-1)),    J_0 = 0
        J_i    = 1 - I_i / U_i
        I_i    = sum_(j > i) s_j y_j
        U_i    = sum_j s_j y_j  +  sum_(j <= i) s_j (1 - y_j)

        i    a labelled pixel of the batch, on all replicas; in order of m_i, the
             largest first
        m_i  |y_i - q_i|, the error of the pixel
        y_i  1 if its label is class c, else 0
        q_i  its probability of class c
        s_i  its `sample_weight`, 1 if there is none

    Of predictions that are certain it is 1 minus the IoU of each class. A batch without
    labelled pixels has loss 0. It sorts all pixels for each class, which is slow and
    takes memory: on a CPU, TensorFlow keeps about eight numbers per pixel and class.

    Args:
        ignore: Label of the ignored pixels.
        from_logits: Whether predictions are logits, or else probabilities.
        name: Name of the loss; None means "lovasz".
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
        >>> float(Lovasz()(labels, logits))  # all are wrong by 1/2
        0.5
    """

    default_name = "lovasz"

    def of_pixels(self, label: Mask, y_pred: Logits, weight: Tensor) -> Tensor:
        num_classes = y_pred.shape[-1]
        q = ops.reshape(self.probabilities(y_pred), (-1, num_classes))
        label, weight = ops.reshape(label, (-1,)), ops.reshape(weight, (-1,))
        q, label, weight = (gather_over_replicas(x) for x in (q, label, weight))
        y = ops.one_hot(label, num_classes, dtype=q.dtype)

        # Classes first. Pixels of no weight have no error, so they come last.
        counted = ops.cast(weight > 0, q.dtype)
        error = ops.transpose(ops.abs(y - q) * counted[:, None])
        hit = ops.transpose(y * weight[:, None])
        miss = weight[None] - hit

        order = ops.argsort(-ops.stop_gradient(error), axis=-1)
        error, hit, miss = (
            ops.take_along_axis(x, order, -1) for x in (error, hit, miss)
        )
        hits = running_sum(hit)
        true = hits[:, -1:]
        intersection, union = true - hits, true + running_sum(miss)
        # J_i - J_(i-1), without the difference of two numbers that are almost equal.
        step = hit + ops.divide_no_nan(intersection * miss, union - miss)
        loss = error * ops.divide_no_nan(step, union)
        loss = sum_of_pixels(ops.transpose(loss)[None, None])
        return mean_of_present(loss, true[:, 0])
