"""Scores of a confusion matrix, each a `keras.metrics.Metric`.

The matrix is summed over the whole data set before anything is divided. A mean of the
scores of batches or images, which some packages give the same name, is another number
and depends on the batch size. Before the first update scores are 0, and class means
follow `absent`.
"""

import keras
import numpy as np

from keras_seg.labels import Tensor
from keras_seg.metrics import _formulas as formulas
from keras_seg.metrics._class_mean import ClassMean
from keras_seg.metrics._confusion import ConfusionMatrixMetric


@keras.saving.register_keras_serializable(package="keras_seg")
class MeanIoU(ClassMean):
    """Intersection over union, averaged over the classes.

        mean over c of tp_c / (tp_c + fp_c + fn_c)

        tp_c  pixels that are class c in truth and prediction
        fp_c  pixels that are class c in the prediction only
        fn_c  pixels that are class c in the truth only

    Pixels are those of the whole data set; a class is absent where all three are 0.
    Pixels whose label or prediction means nothing (NaN, say) aren't counted here but as
    `invalid_pixels`.

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Label of the ignored pixels.
        absent: What an absent class counts in the mean: "skip" (it is left out, as in
            Keras and the FCN authors' code), "zero", "one" or "nan".
        name: Name of the metric in the logs; None means "mean_iou".
        dtype: Type of the result; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, logits or probabilities, or
            int ids `[batch, height, width]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them, an
            unknown `absent`, predictions of another size or number of classes, or a
            `sample_weight`.

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

    def quotients(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        return formulas.iou(matrix)

    def class_iou(self) -> np.ndarray:
        """IoU of each class, float64 `[num_classes]`, NaN where it is absent."""
        # In NumPy, as JAX has no float64 unless asked for.
        matrix = self.confusion_matrix
        hits = np.diag(matrix)
        with np.errstate(invalid="ignore"):
            return hits / (matrix.sum(0) + matrix.sum(1) - hits)


@keras.saving.register_keras_serializable(package="keras_seg")
class PixelAccuracy(ConfusionMatrixMetric):
    """Share of the labelled pixels whose class is predicted right.

        sum_c tp_c / sum_c (tp_c + fn_c)

        tp_c  pixels that are class c in truth and prediction
        fn_c  pixels that are class c in the truth only

    Pixels are those of the whole data set. The share of each class, averaged over the
    classes, is `MeanAccuracy`.
    Pixels whose label or prediction means nothing (NaN, say) aren't counted here but as
    `invalid_pixels`.

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Label of the ignored pixels.
        name: Name of the metric in the logs; None means "pixel_accuracy".
        dtype: Type of the result; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, logits or probabilities, or
            int ids `[batch, height, width]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them,
            predictions of another size or number of classes, or a `sample_weight`.

    Example:
        >>> metric = PixelAccuracy(num_classes=2)
        >>> metric.update_state([[[0, 0, 1, 1, 255]]], [[[0, 1, 1, 1, 1]]])
        >>> float(metric.result())
        0.75
    """

    default_name = "pixel_accuracy"

    def of_matrix(self, matrix: Tensor) -> Tensor:
        return formulas.pixel_accuracy(matrix)


@keras.saving.register_keras_serializable(package="keras_seg")
class MeanAccuracy(ClassMean):
    """Share of each class's pixels that are found, averaged over the classes.

        mean over c of tp_c / (tp_c + fn_c)

        tp_c  pixels that are class c in truth and prediction
        fn_c  pixels that are class c in the truth only

    Pixels are those of the whole data set; a class is absent where the truth has no
    pixel of it.
    Pixels whose label or prediction means nothing (NaN, say) aren't counted here but as
    `invalid_pixels`.

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Label of the ignored pixels.
        absent: What an absent class counts in the mean: "skip" (it is left out, as in
            Keras and the FCN authors' code), "zero", "one" or "nan".
        name: Name of the metric in the logs; None means "mean_accuracy".
        dtype: Type of the result; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, logits or probabilities, or
            int ids `[batch, height, width]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them, an
            unknown `absent`, predictions of another size or number of classes, or a
            `sample_weight`.

    Example:
        >>> metric = MeanAccuracy(num_classes=2)
        >>> metric.update_state([[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]])
        >>> float(metric.result())  # (1/2 + 1) / 2
        0.75
    """

    default_name = "mean_accuracy"

    def quotients(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        return formulas.accuracy(matrix)


@keras.saving.register_keras_serializable(package="keras_seg")
class FrequencyWeightedIoU(ConfusionMatrixMetric):
    """Intersection over union of the classes, weighted by their true pixels.

        sum_c (tp_c + fn_c) tp_c / (tp_c + fp_c + fn_c)  /  sum_c (tp_c + fn_c)

        tp_c  pixels that are class c in truth and prediction
        fp_c  pixels that are class c in the prediction only
        fn_c  pixels that are class c in the truth only

    Pixels are those of the whole data set.
    Pixels whose label or prediction means nothing (NaN, say) aren't counted here but as
    `invalid_pixels`.

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Label of the ignored pixels.
        name: Name of the metric in the logs; None means "frequency_weighted_iou".
        dtype: Type of the result; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, logits or probabilities, or
            int ids `[batch, height, width]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them,
            predictions of another size or number of classes, or a `sample_weight`.

    Example:
        >>> metric = FrequencyWeightedIoU(num_classes=2)
        >>> metric.update_state([[[0, 0, 0, 1]]], [[[0, 0, 1, 1]]])
        >>> round(float(metric.result()), 4)  # 3/4 * 2/3 + 1/4 * 1/2
        0.625
    """

    default_name = "frequency_weighted_iou"

    def of_matrix(self, matrix: Tensor) -> Tensor:
        return formulas.frequency_weighted_iou(matrix)
