"""Boundary IoU: whether boundaries are where they should be, of large objects too.

Cheng, Girshick, Dollar, Berg and Kirillov, "Boundary IoU: Improving Object-Centric
Image Segmentation Evaluation", CVPR 2021, https://arxiv.org/abs/2103.16562, section 4.
"""

import keras
from keras import ops

from keras_seg.arguments import is_whole
from keras_seg.labels import (
    IGNORE,
    DType,
    Logits,
    Mask,
    PixelWeights,
    Tensor,
    check_num_classes,
)
from keras_seg.metrics import _formulas as formulas
from keras_seg.metrics._confusion import true_and_predicted_ids
from keras_seg.metrics._counts import ExactCounts


@keras.saving.register_keras_serializable(package="keras_seg")
class BoundaryIoU(ExactCounts):
    """Intersection over union of boundaries, averaged over the classes.

        mean over c of |T_c & P_c| / |T_c | P_c|

        T_c  true pixels of class c within `distance` of a pixel of another class, or of
             the edge of the image
        P_c  the same of the predicted pixels of class c

    Pixels are those of the whole data set; a class is absent where both are empty.
    Ignored pixels end no region and aren't counted. The paper takes 2 % of the diagonal
    of an image as distance, 15 pixels at 640 x 480.

    Args:
        num_classes: Number of classes, the background among them.
        distance: Width of the boundary band in pixels (Chebyshev distance), 1 or more.
        ignore: Label of the ignored pixels.
        absent: What an absent class counts in the mean: "skip" (it is left out, as in
            Keras and the FCN authors' code), "zero", "one" or "nan".
        name: Name of the metric in the logs.
        dtype: Type of the result; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, logits or probabilities, or
            int ids `[batch, height, width]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them, an
            unknown `absent`, a distance below 1, predictions of another
            size or number of classes, or a `sample_weight`.

    Example:
        >>> metric = BoundaryIoU(num_classes=2, distance=1)
        >>> metric.update_state([[[0, 0, 1, 1]]], [[[0, 0, 1, 1]]])
        >>> float(metric.result())
        1.0
    """

    def __init__(
        self,
        num_classes: int,
        *,
        distance: int = 15,
        ignore: int = IGNORE,
        absent: str = "skip",
        name: str = "boundary_iou",
        dtype: DType = None,
    ):
        num_classes = check_num_classes(num_classes, ignore=ignore)
        if not is_whole(distance, 1):
            raise ValueError(
                f"Expected `distance` to be 1 or more. Received: {distance!r}"
            )
        formulas.check_absent(absent)
        # Of each class, the intersection, then the union; then the invalid pixels.
        super().__init__(2 * num_classes + 1, name=name, dtype=dtype)
        self.num_classes = num_classes
        self.distance = distance
        self.ignore = ignore
        self.absent = absent

    def update_state(
        self,
        y_true: Mask,
        y_pred: Logits | Mask,
        sample_weight: PixelWeights = None,
    ) -> None:
        """Count the boundary pixels of a batch.

        Args:
            y_true: Masks, int `[batch, height, width]`, or with a last axis of 1.
            y_pred: Logits or probabilities, float `[batch, height, width,
                num_classes]`, or ids, int `[batch, height, width]`.
            sample_weight: Must be None: pixels are counted, not weighed.
        """
        y_true, y_pred = true_and_predicted_ids(
            y_true, y_pred, sample_weight, self.num_classes, self.name
        )
        labelled = (y_true >= 0) & (y_true < self.num_classes)
        known = labelled & (y_pred >= 0) & (y_pred < self.num_classes)
        invalid = ops.logical_not(known) & (y_true != self.ignore)
        labelled = labelled[..., None]
        true, predicted = self._bands(y_true, labelled), self._bands(y_pred, labelled)
        both, either = true & predicted, true | predicted
        counts = [ops.sum(ops.cast(x, "int32"), axis=(0, 1, 2)) for x in (both, either)]
        counts.append(ops.sum(ops.cast(invalid, "int32"), keepdims=True)[0, 0])
        self.add_counts(ops.concatenate(counts))

    def result(self) -> Tensor:
        """Return the score of all images counted so far."""
        counts = self.float_counts()
        n = self.num_classes
        return formulas.mean_of_classes(counts[:n], counts[n : 2 * n], self.absent)

    @property
    def invalid_pixels(self) -> int:
        """Pixels whose label or prediction means nothing.

        A label that is neither a class nor `ignore`; a predicted id that is no class;
        predicted scores with a NaN, or whose largest is infinite.
        """
        return int(self.counts()[-1])

    def get_config(self) -> dict:
        return super().get_config() | {
            "num_classes": self.num_classes,
            "distance": self.distance,
            "ignore": self.ignore,
            "absent": self.absent,
        }

    def _bands(self, y: Mask, labelled: Tensor) -> Tensor:
        """Boundary bands, bool `[batch, height, width, num_classes]`.

        A pixel is in the band of its class if any pixel in a window that reaches
        `distance` to all sides isn't of the class, or is outside of the image.
        """
        region = ops.cast(y[..., None], "int32") == ops.arange(self.num_classes)
        other = ops.cast(ops.logical_not(region) & labelled, "float32")
        d = self.distance
        sides = [[0, 0], [d, d], [d, d], [0, 0]]
        other = _pad_with_ones(other, sides)
        near = ops.max_pool(other, (2 * d + 1, 1), strides=1, padding="valid")
        near = ops.max_pool(near, (1, 2 * d + 1), strides=1, padding="valid")
        return region & labelled & (near > 0)


def _pad_with_ones(x: Tensor, sides: list[list[int]]) -> Tensor:
    return 1 - ops.pad(1 - x, sides)
