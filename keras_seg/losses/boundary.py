"""A loss of boundaries: whether they are where they should be.

Bokhovkin and Burnaev, "Boundary Loss for Remote Sensing Imagery Semantic Segmentation",
ISNN 2019, https://arxiv.org/abs/1905.07852, section 3.
"""

import keras
from keras import ops

from keras_seg.arguments import is_whole
from keras_seg.labels import IGNORE, DType, Logits, Mask, Tensor
from keras_seg.losses._base import SegmentationLoss
from keras_seg.losses._pixels import mean_of_present, sum_of_pixels
from keras_seg.losses._replicas import sum_over_replicas


@keras.saving.register_keras_serializable(package="keras_seg")
class BoundaryF1(SegmentationLoss):
    """One minus the F1 score of soft boundaries, the mean over the classes.

        loss_c = 1 - 2 P_c R_c / (P_c + R_c)
        P_c    = sum_p s_p b(q_c) pool(b(y_c), reach) / sum_p s_p b(q_c)
        R_c    = sum_p s_p b(y_c) pool(b(q_c), reach) / sum_p s_p b(y_c)
        b(x)   = pool(1 - x, width) - (1 - x)

        p          a labelled pixel of the batch, on all replicas
        y_c        the true mask of class c: 1 or 0
        q_c        its predicted mask: probabilities
        s_p        the `sample_weight`, 1 if there is none
        b(x)       the inner boundary of a soft mask x
        pool(x, k) the largest of the k x k pixels around each one

    A boundary counts as found if the other one is within `reach`. Ignored pixels are 1
    in all masks, so that no region ends there. Add it to a loss of pixels, as in
    `WeightedCrossEntropy() + 0.5 * BoundaryF1()`: alone it doesn't say which side of a
    boundary belongs to which class. A class without a boundary in the truth is left out
    of the mean; a batch without any boundary has loss 0.

    Args:
        width: Side of the window that makes boundaries, in pixels; odd, 3 or more.
        reach: Side of the window in which a boundary is found, in pixels; odd.
        ignore: Label of the ignored pixels.
        from_logits: Whether predictions are logits, or else probabilities.
        name: Name of the loss; None means "boundary_f1".
        dtype: Type in which the loss is computed; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`
        sample_weight: None, or float `[batch, height, width]`, with a last axis of 1,
            or `[batch]`

    Raises:
        ValueError: for windows that aren't odd, fewer than two classes, an `ignore`
            that is one of them, shapes that don't fit each other, a label that is no
            class, or a sample weight that is negative or infinite. The last two are
            `tf.errors.InvalidArgumentError` in TensorFlow's graphs. Under XLA, and
            where JAX traces, such a pixel is ignored, and such a weight makes the loss
            NaN.

    Example:
        >>> import numpy as np
        >>> labels = np.array([[[0, 0, 1, 1, 1]] * 5])
        >>> right = 20.0 * np.eye(2)[labels]
        >>> float(BoundaryF1()(labels, right)) < 1e-6
        True
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
        dtype: DType = None,
    ):
        super().__init__(ignore=ignore, from_logits=from_logits, name=name, dtype=dtype)
        for side, least in ((width, 3), (reach, 1)):
            if not (is_whole(side, least) and side % 2):
                raise ValueError(
                    "Expected `width` and `reach` to be odd numbers of pixels, 3 and 1 "
                    f"or more. Received: {width!r}, {reach!r}"
                )
        self.width = width
        self.reach = reach

    def of_pixels(self, label: Mask, y_pred: Logits, weight: Tensor) -> Tensor:
        q = self.probabilities(y_pred)
        y = ops.one_hot(label, q.shape[-1], dtype=q.dtype)
        weight = weight[..., None]
        labelled = ops.cast(weight > 0, q.dtype)
        # No region ends at an ignored pixel: it is inside of whatever it touches.
        true = labelled * self._boundary(y * labelled + (1 - labelled))
        found = labelled * self._boundary(q * labelled + (1 - labelled))

        sums = ops.stack(
            [
                sum_of_pixels(weight * found * _pool(true, self.reach)),
                sum_of_pixels(weight * found),
                sum_of_pixels(weight * true * _pool(found, self.reach)),
                sum_of_pixels(weight * true),
            ]
        )
        hit, all_found, met, all_true = ops.unstack(sum_over_replicas(sums), 4)
        precision = ops.divide_no_nan(hit, all_found)
        recall = ops.divide_no_nan(met, all_true)
        f1 = ops.divide_no_nan(2 * precision * recall, precision + recall)
        return mean_of_present(1 - f1, all_true)

    def _boundary(self, x: Tensor) -> Tensor:
        return _pool(1 - x, self.width) - (1 - x)

    def get_config(self) -> dict:
        return super().get_config() | {"width": self.width, "reach": self.reach}


def _pool(x: Tensor, size: int) -> Tensor:
    """The largest of the size x size pixels around each one that are in the image."""
    return ops.max_pool(x, size, strides=1, padding="same")
