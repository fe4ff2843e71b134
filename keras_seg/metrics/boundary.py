"""Boundary IoU: whether outlines are where they should be, on large objects too.

Cheng, Girshick, Dollar, Berg and Kirillov, "Boundary IoU: Improving Object-Centric
Image Segmentation Evaluation", CVPR 2021, https://arxiv.org/abs/2103.16562, section 4.
"""

from typing import Any

import keras
from keras import ops

from keras_seg.labels import IGNORE, check_num_classes
from keras_seg.metrics.counts import ABSENT, ExactCounts, ids, mean_of_classes


@keras.saving.register_keras_serializable(package="keras_seg")
class BoundaryIoU(ExactCounts):
    """Intersection over union of the rims of regions, averaged over the classes.

        mean over c of |T_c & P_c| / |T_c | P_c|

    where T_c and P_c are the pixels of class c, in truth and prediction, that are
    within `distance` of a pixel of another class or of the edge of the image, counted
    over the data set. Pixels without a label end no region and aren't counted.

    The paper takes 2 % of the diagonal of COCO's images as distance, 15 pixels at
    640 x 480; give what fits yours.

    Args:
        num_classes: Number of classes, the background among them.
        distance: Width of the rims in pixels, in king's moves.
        ignore: Label of the pixels to leave out.
        absent: What a class that doesn't occur counts in the mean: "skip", "zero",
            "one" or "nan".
        from_logits: Whether predictions are logits; it makes no difference.
        name: Name of the metric in the logs.
        dtype: Of the result.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, or int ids
            `[batch, height, width]`

    Raises:
        ValueError: as for `MeanIoU`, and for a distance below 1.

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
        from_logits: bool = True,
        name: str = "boundary_iou",
        dtype: Any = None,
    ):
        num_classes = check_num_classes(num_classes, ignore=ignore)
        if distance < 1:
            raise ValueError(
                f"Expected `distance` to be 1 or more. Received: {distance}"
            )
        if absent not in ABSENT:
            raise ValueError(
                f"Expected `absent` to be one of {list(ABSENT)}. Received: {absent!r}"
            )
        # Of each class, the intersection, then the union; then the invalid pixels.
        super().__init__(2 * num_classes + 1, name=name, dtype=dtype)
        self.num_classes = num_classes
        self.distance = distance
        self.ignore = ignore
        self.absent = absent
        self.from_logits = from_logits

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the rims of a batch; arguments are those of `MeanIoU.update_state`."""
        y_true, y_pred = ids(y_true, y_pred, sample_weight, self.num_classes, self.name)
        labelled = (y_true >= 0) & (y_true < self.num_classes)
        known = labelled & (y_pred >= 0) & (y_pred < self.num_classes)
        invalid = ops.logical_not(known) & (y_true != self.ignore)
        labelled = labelled[..., None]
        true, predicted = self._rims(y_true, labelled), self._rims(y_pred, labelled)
        both, either = true & predicted, true | predicted
        counts = [ops.sum(ops.cast(x, "int32"), axis=(0, 1, 2)) for x in (both, either)]
        counts.append(ops.sum(ops.cast(invalid, "int32"), keepdims=True)[0, 0])
        self.add_counts(ops.concatenate(counts))

    def result(self) -> Any:
        """Return the score of all images counted so far."""
        counts = self.float_counts()
        n = self.num_classes
        return mean_of_classes(counts[:n], counts[n : 2 * n], self.absent)

    @property
    def invalid_pixels(self) -> int:
        """Pixels whose label or prediction is neither a class nor `ignore`."""
        return int(self.counts()[-1])

    def get_config(self) -> dict:
        return {
            "num_classes": self.num_classes,
            "distance": self.distance,
            "ignore": self.ignore,
            "absent": self.absent,
            "from_logits": self.from_logits,
            "name": self.name,
            "dtype": self.dtype,
        }

    def _rims(self, y: Any, labelled: Any) -> Any:
        """Where each class is near its own end, bool `[batch, height, width, classes]`.

        Another class is near where the largest of what isn't this class is 1, in a
        window that reaches `distance` to all sides; outside of the image is 1.
        """
        region = ops.cast(y[..., None], "int32") == ops.arange(self.num_classes)
        other = ops.cast(ops.logical_not(region) & labelled, "float32")
        d = self.distance
        sides = [[0, 0], [d, d], [d, d], [0, 0]]
        other = _pad_with_ones(other, sides)
        near = ops.max_pool(other, (2 * d + 1, 1), strides=1, padding="valid")
        near = ops.max_pool(near, (1, 2 * d + 1), strides=1, padding="valid")
        return region & labelled & (near > 0)


def _pad_with_ones(x: Any, sides: list[list[int]]) -> Any:
    return 1 - ops.pad(1 - x, sides)
