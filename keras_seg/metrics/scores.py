"""Scores of a confusion matrix.

The matrix is summed over the whole data set before anything is divided: a mean of the
scores of batches or images, which some packages give the same name, is another number
and depends on the batch size. Before any pixel is counted a score is 0, a mean over the
classes what `absent` says. `MeanIoU` says what the arguments are that all have.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.labels import IGNORE
from keras_seg.metrics.counts import (
    ABSENT,
    ConfusionMatrixMetric,
    bincount,
    mean_of_classes,
)


def _parts(matrix: Any) -> tuple[Any, Any, Any]:
    """tp, fp and fn of each class."""
    tp = ops.diagonal(matrix, axis1=-2, axis2=-1)
    return tp, ops.sum(matrix, -2) - tp, ops.sum(matrix, -1) - tp


def _iou(tp: Any, fp: Any, fn: Any) -> Any:
    """IoU of each class, 0 where it is absent."""
    return ops.divide_no_nan(tp, tp + fp + fn)


def _mean_iou(matrix: Any, absent: str) -> Any:
    tp, fp, fn = _parts(matrix)
    return mean_of_classes(tp, tp + fp + fn, absent)


def _mean_dice(matrix: Any, absent: str) -> Any:
    tp, fp, fn = _parts(matrix)
    return mean_of_classes(2 * tp, 2 * tp + fp + fn, absent)


def _mean_accuracy(matrix: Any, absent: str) -> Any:
    tp, _, fn = _parts(matrix)
    return mean_of_classes(tp, tp + fn, absent)


def _pixel_accuracy(matrix: Any) -> Any:
    tp, _, fn = _parts(matrix)
    return ops.divide_no_nan(ops.sum(tp), ops.sum(tp + fn))


def _frequency_weighted_iou(matrix: Any) -> Any:
    tp, fp, fn = _parts(matrix)
    iou = _iou(tp, fp, fn)
    # Both sums in one order: else a perfect score may be 1.0000001.
    return ops.divide_no_nan(ops.sum((tp + fn) * iou), ops.sum(tp + fn))


def _class_iou(matrix: Any, class_names: Sequence[str], absent: str) -> dict[str, Any]:
    """IoU of each class under "iou/NAME", NaN for an absent one that is skipped."""
    tp, fp, fn = _parts(matrix)
    value = float("nan") if absent == "skip" else ABSENT[absent]
    iou = ops.where(tp + fp + fn > 0, _iou(tp, fp, fn), value)
    return {f"iou/{name}": iou[c] for c, name in enumerate(class_names)}


@keras.saving.register_keras_serializable(package="keras_seg")
class MeanIoU(ConfusionMatrixMetric):
    """Intersection over union, averaged over the classes.

        mean over c of tp_c / (tp_c + fp_c + fn_c)

    where tp_c, fp_c and fn_c are the pixels of the data set that are class c in truth
    and prediction, in the prediction only, and in the truth only. A class is absent
    where all three are 0.

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Label of the pixels to leave out.
        absent: What a class that doesn't occur counts in the mean: "skip" (it isn't
            there, as in Keras and the FCN authors' score), "zero", "one" or "nan".
        from_logits: Whether predictions are logits. Their largest is the same class as
            the largest probability; the argument is that of the losses.
        name: Name of the metric in the logs; None means "mean_iou".
        dtype: Of the result.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, or int ids
            `[batch, height, width]`

    Raises:
        ValueError: for fewer than two classes, an unknown `absent`, predictions of
            another size or number of classes, or a `sample_weight`.

    Example:
        >>> metric = MeanIoU(num_classes=2)
        >>> metric.update_state([[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]])
        >>> float(metric.result())  # 1/2 for both classes
        0.5
        >>> metric.confusion_matrix
        array([[1, 1],
               [0, 1]])
        >>> metric.ignored_pixels
        1
    """

    default_name = "mean_iou"

    def score(self, matrix: Any) -> Any:
        return _mean_iou(matrix, self.absent)

    def class_iou(self) -> np.ndarray:
        """IoU of each class, float64 `[num_classes]`, NaN where it is absent."""
        matrix = self.confusion_matrix.astype(np.float64)
        intersection = np.diag(matrix)
        union = matrix.sum(0) + matrix.sum(1) - intersection
        return np.divide(
            intersection, union, out=np.full_like(union, np.nan), where=union > 0
        )


@keras.saving.register_keras_serializable(package="keras_seg")
class PixelAccuracy(ConfusionMatrixMetric):
    """Share of the labelled pixels whose class is predicted right.

        sum over c of tp_c / pixels with a label

    with tp and fn as in `MeanIoU`, which also says what the arguments are; `absent`
    makes no difference.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, or int ids
            `[batch, height, width]`

    Example:
        >>> metric = PixelAccuracy(num_classes=2)
        >>> metric.update_state([[[0, 0, 1, 1, 255]]], [[[0, 1, 1, 1, 1]]])
        >>> float(metric.result())
        0.75
    """

    default_name = "pixel_accuracy"

    def score(self, matrix: Any) -> Any:
        return _pixel_accuracy(matrix)


@keras.saving.register_keras_serializable(package="keras_seg")
class MeanAccuracy(ConfusionMatrixMetric):
    """Share of each class's pixels that are found, averaged over the classes.

        mean over c of tp_c / (tp_c + fn_c)

    with tp and fn as in `MeanIoU`, which also says what the arguments are. A class is
    absent where the truth has no pixel of it.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, or int ids
            `[batch, height, width]`

    Example:
        >>> metric = MeanAccuracy(num_classes=2)
        >>> metric.update_state([[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]])
        >>> float(metric.result())  # (1/2 + 1) / 2
        0.75
    """

    default_name = "mean_accuracy"

    def score(self, matrix: Any) -> Any:
        return _mean_accuracy(matrix, self.absent)


@keras.saving.register_keras_serializable(package="keras_seg")
class FrequencyWeightedIoU(ConfusionMatrixMetric):
    """Intersection over union, averaged over the labelled pixels' classes.

        sum over c of (tp_c + fn_c) IoU_c / pixels with a label

    with tp, fn and IoU as in `MeanIoU`, which also says what the arguments are;
    `absent` makes no difference.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, or int ids
            `[batch, height, width]`

    Example:
        >>> metric = FrequencyWeightedIoU(num_classes=2)
        >>> metric.update_state([[[0, 0, 0, 1]]], [[[0, 0, 1, 1]]])
        >>> round(float(metric.result()), 4)  # 3/4 * 2/3 + 1/4 * 1/2
        0.625
    """

    default_name = "frequency_weighted_iou"

    def score(self, matrix: Any) -> Any:
        return _frequency_weighted_iou(matrix)


@keras.saving.register_keras_serializable(package="keras_seg")
class MeanDice(ConfusionMatrixMetric):
    """Dice coefficient, averaged over the classes.

        mean over c of 2 tp_c / (2 tp_c + fp_c + fn_c)

    with tp, fp and fn as in `MeanIoU`; a class is absent where all three are 0. With
    `per_image=True` it is another number, the usual one in medicine: the mean over
    images of the mean over the classes of each image, called "mean_dice_per_image". An
    image without labelled pixels isn't counted there.

    Args:
        num_classes: As for `MeanIoU`, and so are the arguments not named here.
        per_image: Whether to average over images, instead of counting pixels of all.
        ignore: As for `MeanIoU`.
        absent: As for `MeanIoU`.
        from_logits: As for `MeanIoU`.
        name: Name in the logs; None means "mean_dice" or "mean_dice_per_image".
        dtype: As for `MeanIoU`.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, or int ids
            `[batch, height, width]`

    Example:
        >>> metric = MeanDice(num_classes=2)
        >>> metric.update_state([[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]])
        >>> round(float(metric.result()), 4)  # 2/3 for both classes
        0.6667
    """

    def __init__(
        self,
        num_classes: int,
        *,
        per_image: bool = False,
        ignore: int = IGNORE,
        absent: str = "skip",
        from_logits: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(
            num_classes,
            ignore=ignore,
            absent=absent,
            from_logits=from_logits,
            name=name or ("mean_dice_per_image" if per_image else "mean_dice"),
            dtype=dtype,
        )
        self.per_image = per_image
        if per_image:
            self._sum = self.add_variable((), "zeros", name="sum")
            self._images = self.add_variable((), "zeros", name="images")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the pixels of a batch; see `MeanIoU.update_state`."""
        if not self.per_image:
            super().update_state(y_true, y_pred, sample_weight)
            return
        n = self.num_classes
        cells = self.cells(y_true, y_pred, sample_weight)
        images = ops.shape(cells)[0]
        counts = bincount(ops.reshape(cells, (images, -1)), n * n + 2)
        self.add_counts(ops.sum(counts, axis=0))

        matrices = ops.cast(counts[:, : n * n], self.dtype)
        matrices = ops.reshape(matrices, (images, n, n))
        labelled = ops.sum(matrices, axis=(1, 2)) > 0
        dice = ops.where(labelled, _mean_dice(matrices, self.absent), 0.0)
        self._sum.assign(self._sum + ops.sum(dice))
        self._images.assign(self._images + ops.sum(ops.cast(labelled, self.dtype)))

    def add_matrix(self, matrix: Any) -> None:
        """Add the counts of a confusion matrix made elsewhere; not per image."""
        if self.per_image:
            raise ValueError("Expected images, not a matrix, with per_image=True.")
        super().add_matrix(matrix)

    def result(self) -> Any:
        """Return the score of all pixels counted so far."""
        if self.per_image:
            return ops.divide_no_nan(self._sum, self._images)
        return super().result()

    def score(self, matrix: Any) -> Any:
        return _mean_dice(matrix, self.absent)

    def get_config(self) -> dict:
        return super().get_config() | {"per_image": self.per_image}


class _NamedClasses(ConfusionMatrixMetric):
    """A metric that knows what its classes are called."""

    def __init__(
        self, num_classes: int, *, class_names: Sequence[str] | None, **kwargs: Any
    ):
        super().__init__(num_classes, **kwargs)
        names = class_names
        if names is None:
            names = [str(c) for c in range(self.num_classes)]
        if len(names) != self.num_classes or len(set(names)) != len(names):
            raise ValueError(
                f"Expected `class_names` to be {num_classes} names that differ. "
                f"Received: {class_names}"
            )
        self.class_names = list(names)

    def get_config(self) -> dict:
        return super().get_config() | {"class_names": self.class_names}


@keras.saving.register_keras_serializable(package="keras_seg")
class ClassIoU(_NamedClasses):
    """Intersection over union of each class, in the logs as "iou/NAME".

        tp_c / (tp_c + fp_c + fn_c)

    with tp, fp and fn as in `MeanIoU`.

    Args:
        num_classes: As for `MeanIoU`, and so are the arguments not named here.
        class_names: A name per class; None means their ids.
        ignore: As for `MeanIoU`.
        absent: What the logs have for a class that doesn't occur: "skip" and "nan" mean
            NaN, "zero" 0, "one" 1.
        from_logits: As for `MeanIoU`.
        name: Name of the metric; the logs have "iou/NAME".
        dtype: As for `MeanIoU`.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, or int ids
            `[batch, height, width]`

    Example:
        >>> metric = ClassIoU(num_classes=2, class_names=["ground", "cat"])
        >>> metric.update_state([[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]])
        >>> {name: float(iou) for name, iou in metric.result().items()}
        {'iou/ground': 0.5, 'iou/cat': 0.5}
    """

    def __init__(
        self,
        num_classes: int,
        *,
        class_names: Sequence[str] | None = None,
        ignore: int = IGNORE,
        absent: str = "skip",
        from_logits: bool = True,
        name: str = "class_iou",
        dtype: Any = None,
    ):
        super().__init__(
            num_classes,
            class_names=class_names,
            ignore=ignore,
            absent=absent,
            from_logits=from_logits,
            name=name,
            dtype=dtype,
        )

    def score(self, matrix: Any) -> Any:
        return _class_iou(matrix, self.class_names, self.absent)


@keras.saving.register_keras_serializable(package="keras_seg")
class SegmentationScores(_NamedClasses):
    """All scores of this module, by their names, from one matrix.

    The logs of `fit` have mean_iou, pixel_accuracy, mean_accuracy,
    frequency_weighted_iou and mean_dice, for the cost of one of them.

    Args:
        num_classes: As for `MeanIoU`, and so are the arguments not named here.
        class_names: A name per class; None means their ids.
        per_class: Whether the logs also have "iou/NAME" of each class.
        ignore: As for `MeanIoU`.
        absent: As for `MeanIoU`.
        from_logits: As for `MeanIoU`.
        name: Name of the metric; the logs have those of its scores.
        dtype: As for `MeanIoU`.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, or int ids
            `[batch, height, width]`

    Example:
        >>> metric = SegmentationScores(num_classes=2)
        >>> metric.update_state([[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]])
        >>> {name: round(float(score), 2) for name, score in metric.result().items()}
        {'mean_iou': 0.5, 'pixel_accuracy': 0.67, 'mean_accuracy': 0.75,
         'frequency_weighted_iou': 0.5, 'mean_dice': 0.67}
    """

    def __init__(
        self,
        num_classes: int,
        *,
        class_names: Sequence[str] | None = None,
        per_class: bool = False,
        ignore: int = IGNORE,
        absent: str = "skip",
        from_logits: bool = True,
        name: str = "segmentation_scores",
        dtype: Any = None,
    ):
        super().__init__(
            num_classes,
            class_names=class_names,
            ignore=ignore,
            absent=absent,
            from_logits=from_logits,
            name=name,
            dtype=dtype,
        )
        self.per_class = per_class

    def score(self, matrix: Any) -> Any:
        scores = {
            "mean_iou": _mean_iou(matrix, self.absent),
            "pixel_accuracy": _pixel_accuracy(matrix),
            "mean_accuracy": _mean_accuracy(matrix, self.absent),
            "frequency_weighted_iou": _frequency_weighted_iou(matrix),
            "mean_dice": _mean_dice(matrix, self.absent),
        }
        if self.per_class:
            scores |= _class_iou(matrix, self.class_names, self.absent)
        return scores

    def get_config(self) -> dict:
        return super().get_config() | {"per_class": self.per_class}
