"""Metrics: one exact confusion matrix, and the scores that come from it.

The matrix is summed over the whole data set before anything is divided. A mean of
the scores of batches or images, which some packages give the same name, is another
number, and depends on the batch size.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.labels import IGNORE, check_num_classes

# Counts are kept as high * 2**20 + low: exact far beyond 2**32 pixels where integers
# have 32 bits (JAX), also after the counts of a thousand replicas were added up.
_CARRY = 2**20


class _ConfusionMatrixMetric(keras.metrics.Metric):
    """A metric that counts pixels by their true and their predicted class."""

    def __init__(
        self,
        num_classes: int,
        *,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.num_classes = check_num_classes(num_classes, ignore=ignore)
        self.ignore = ignore
        self.from_logits = from_logits
        # The matrix, row after row, then the ignored pixels, then the invalid ones.
        # "int" has 64 bits on TensorFlow, whose GPUs hold no 32-bit variables.
        size = self.num_classes**2 + 2
        self._low = self.add_variable((size,), "zeros", dtype="int", name="low")
        self._high = self.add_variable((size,), "zeros", dtype="int", name="high")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the pixels of a batch.

        Args:
            y_true: Masks, int `[batch, height, width]`, or with a last axis of 1.
            y_pred: Logits or probabilities, float `[batch, height, width,
                num_classes]`, or ids, int `[batch, height, width]`.
            sample_weight: Must be None: pixels are counted, not weighed.
        """
        if sample_weight is not None:
            raise ValueError(
                f"{self.name} counts pixels and takes no `sample_weight`. Give it to "
                "compile as one of `metrics`, not of `weighted_metrics`."
            )
        y_true = _as_ids(y_true)
        y_pred = self._to_ids(y_pred, y_true)
        if len(y_true.shape) == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
        self._check_sizes(y_true, y_pred)

        n = self.num_classes
        known = (y_true >= 0) & (y_true < n) & (y_pred >= 0) & (y_pred < n)
        cell = ops.cast(y_true, "int32") * n + ops.cast(y_pred, "int32")
        cell = ops.where(known, cell, n * n + 1)
        cell = ops.where(y_true == self.ignore, n * n, cell)
        self._add(_bincount(ops.reshape(cell, (-1,)), n * n + 2))

    def add_matrix(self, matrix: Any) -> None:
        """Add the counts of a confusion matrix made elsewhere.

        Args:
            matrix: Integers `[num_classes, num_classes]`, rows truth, columns
                prediction; also beyond 2**32.
        """
        counts = np.asarray(matrix)
        n = self.num_classes
        if counts.shape != (n, n) or counts.dtype.kind not in "iu" or counts.min() < 0:
            raise ValueError(
                f"Expected `matrix` to be {n} x {n} integers, 0 or more. Received: "
                f"shape {counts.shape}, {counts.dtype}"
            )
        counts = np.append(counts.ravel().astype(np.int64), [0, 0])
        self._high.assign(self._high + ops.cast(counts // _CARRY, self._high.dtype))
        self._add(counts % _CARRY)

    def result(self) -> Any:
        """Return the score of all pixels counted so far."""
        n = self.num_classes
        counts = ops.cast(self._high, self.dtype) * _CARRY
        counts += ops.cast(self._low, self.dtype)
        return self.score(ops.reshape(counts[: n * n], (n, n)))

    def score(self, matrix: Any) -> Any:
        """Return the score of a confusion matrix of floats."""
        raise NotImplementedError

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Pixels by true class (rows) and predicted class (columns), int64."""
        return self._counts()[:-2].reshape(self.num_classes, self.num_classes)

    @property
    def ignored_pixels(self) -> int:
        """Pixels whose label is `ignore`."""
        return int(self._counts()[-2])

    @property
    def invalid_pixels(self) -> int:
        """Pixels whose label or prediction is neither a class nor `ignore`."""
        return int(self._counts()[-1])

    def get_config(self) -> dict:
        return {
            "num_classes": self.num_classes,
            "ignore": self.ignore,
            "from_logits": self.from_logits,
            "name": self.name,
        }

    def _add(self, counts: Any) -> None:
        low = self._low + ops.cast(counts, self._low.dtype)
        self._high.assign(self._high + low // _CARRY)
        self._low.assign(low % _CARRY)

    def _counts(self) -> np.ndarray:
        high = ops.convert_to_numpy(self._high).astype(np.int64)
        return high * _CARRY + ops.convert_to_numpy(self._low).astype(np.int64)

    def _to_ids(self, y_pred: Any, y_true: Any) -> Any:
        y_pred = ops.convert_to_tensor(y_pred)
        if "float" not in keras.backend.standardize_dtype(y_pred.dtype):
            y_pred = _as_ids(y_pred)
            return ops.squeeze(y_pred, -1) if len(y_pred.shape) == 4 else y_pred
        if y_pred.shape[-1] != self.num_classes:
            raise ValueError(
                f"Expected predictions of {self.num_classes} classes on the last axis. "
                f"Received: {tuple(y_pred.shape)} for masks {tuple(y_true.shape)}"
            )
        return ops.cast(ops.argmax(y_pred, axis=-1), "int32")

    def _check_sizes(self, y_true: Any, y_pred: Any) -> None:
        truth, prediction = tuple(y_true.shape), tuple(y_pred.shape)
        if len(truth) != len(prediction) or any(
            t != p for t, p in zip(truth, prediction, strict=True) if None not in (t, p)
        ):
            raise ValueError(
                "Expected predictions of the size of the masks. Received: masks "
                f"{truth}, predictions {prediction}"
            )


@keras.saving.register_keras_serializable(package="keras_seg")
class MeanIoU(_ConfusionMatrixMetric):
    """Intersection over union, averaged over the classes.

        IoU_c = tp_c / (tp_c + fp_c + fn_c)

    where tp_c, fp_c and fn_c count the pixels of the data set that are class c in
    truth and prediction, in the prediction only, and in the truth only. A class is
    absent where all three are 0. Before any pixel is counted the result is 0.

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Label of the pixels to leave out.
        absent: What an absent class counts in the mean: "skip" (it isn't there, as in
            Keras and the FCN authors' score), "zero", "one" or "nan".
        from_logits: Whether predictions are logits. Their largest is the same class as
            the largest probability; the argument is that of the losses.
        name: Name of the metric in the logs.
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

    def __init__(
        self,
        num_classes: int,
        *,
        ignore: int = IGNORE,
        absent: str = "skip",
        from_logits: bool = True,
        name: str = "mean_iou",
        dtype: Any = None,
    ):
        super().__init__(
            num_classes, ignore=ignore, from_logits=from_logits, name=name, dtype=dtype
        )
        if absent not in _ABSENT:
            raise ValueError(
                f"Expected `absent` to be one of {list(_ABSENT)}. Received: {absent!r}"
            )
        self.absent = absent

    def score(self, matrix: Any) -> Any:
        intersection = ops.diagonal(matrix)
        union = ops.sum(matrix, 0) + ops.sum(matrix, 1) - intersection
        iou = ops.divide_no_nan(intersection, union)
        present = union > 0
        if self.absent == "skip":
            return ops.divide_no_nan(
                ops.sum(iou), ops.sum(ops.cast(present, iou.dtype))
            )
        return ops.mean(ops.where(present, iou, _ABSENT[self.absent]))

    def class_iou(self) -> np.ndarray:
        """IoU of each class, float64 `[num_classes]`, NaN where it is absent."""
        matrix = self.confusion_matrix.astype(np.float64)
        intersection = np.diag(matrix)
        union = matrix.sum(0) + matrix.sum(1) - intersection
        return np.divide(
            intersection, union, out=np.full_like(union, np.nan), where=union > 0
        )

    def get_config(self) -> dict:
        return super().get_config() | {"absent": self.absent}


_ABSENT = {"skip": None, "zero": 0.0, "one": 1.0, "nan": float("nan")}


@keras.saving.register_keras_serializable(package="keras_seg")
class PixelAccuracy(_ConfusionMatrixMetric):
    """Share of the labelled pixels whose class is predicted right.

        accuracy = sum_c tp_c / pixels with a label

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Label of the pixels to leave out.
        from_logits: As for `MeanIoU`.
        name: Name of the metric in the logs.
        dtype: Of the result.

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

    def __init__(
        self,
        num_classes: int,
        *,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str = "pixel_accuracy",
        dtype: Any = None,
    ):
        super().__init__(
            num_classes, ignore=ignore, from_logits=from_logits, name=name, dtype=dtype
        )

    def score(self, matrix: Any) -> Any:
        return ops.divide_no_nan(ops.trace(matrix), ops.sum(matrix))


def _as_ids(x: Any) -> Any:
    """Integers, of 64 bits where they come so: none becomes another when it is cast."""
    x = ops.convert_to_tensor(x)
    wide = keras.backend.standardize_dtype(x.dtype) in ("int64", "uint32")
    return x if wide else ops.cast(x, "int32")


def _bincount(x: Any, size: int) -> Any:
    """How often each of 0..size - 1 occurs."""
    if keras.backend.backend() == "tensorflow":
        # 20 times faster than segment_sum on a CPU in graph mode, and XLA takes it.
        import tensorflow as tf

        return tf.raw_ops.DenseBincount(
            input=x, size=size, weights=tf.constant([], tf.int32)
        )
    return ops.segment_sum(ops.ones_like(x), x, num_segments=size)
