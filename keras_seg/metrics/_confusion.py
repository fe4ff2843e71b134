"""The confusion matrix: pixels counted by their true and their predicted class."""

import keras
import numpy as np
from keras import ops

from keras_seg.labels import (
    IGNORE,
    DType,
    Logits,
    Mask,
    PixelWeights,
    Tensor,
    as_ids,
    check_num_classes,
    fit_masks,
)
from keras_seg.metrics._counts import ExactCounts, bincount


class ConfusionMatrixMetric(ExactCounts):
    """A metric that counts pixels by their true and their predicted class.

    A subclass defines `of_matrix(matrix)`, from a confusion matrix of floats to a
    scalar or a dictionary of scalars, and the name that it has unless another is given.

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Label of the ignored pixels.
        name: Name of the metric in the logs; None means `default_name`.
        dtype: Type of the result; None means float32.
    """

    default_name: str | None = None
    # How many counts a subclass keeps after those of pixels.
    _further_counts = 0

    def __init__(
        self,
        num_classes: int,
        *,
        ignore: int = IGNORE,
        name: str | None = None,
        dtype: DType = None,
    ):
        num_classes = check_num_classes(num_classes, ignore=ignore)
        # The matrix, row after row, then the ignored pixels, then the invalid ones.
        super().__init__(
            num_classes**2 + 2 + self._further_counts,
            name=name or self.default_name,
            dtype=dtype,
        )
        self.num_classes = num_classes
        self.ignore = ignore

    def update_state(
        self,
        y_true: Mask,
        y_pred: Logits | Mask,
        sample_weight: PixelWeights = None,
    ) -> None:
        """Count the pixels of a batch.

        Args:
            y_true: Masks, int `[batch, height, width]`, or with a last axis of 1.
            y_pred: Logits or probabilities, float `[batch, height, width,
                num_classes]`, or ids, int `[batch, height, width]`.
            sample_weight: Must be None: pixels are counted, not weighed.
        """
        cells = self.cells(y_true, y_pred, sample_weight)
        counts = bincount(ops.reshape(cells, (1, -1)), self.num_classes**2 + 2)
        self.add_counts(counts[0])

    def cells(
        self, y_true: Mask, y_pred: Logits | Mask, sample_weight: PixelWeights
    ) -> Tensor:
        """Which count each pixel belongs to, int32 `[batch, height, width]`."""
        y_true, y_pred = true_and_predicted_ids(
            y_true, y_pred, sample_weight, self.num_classes, self.name
        )
        n = self.num_classes
        known = ops.logical_and(_are_classes(y_true, n), _are_classes(y_pred, n))
        cell = ops.cast(y_true, "int32") * n + ops.cast(y_pred, "int32")
        cell = ops.where(known, cell, n * n + 1)
        return ops.where(y_true == self.ignore, n * n, cell)

    def add_matrix(self, matrix: Tensor) -> None:
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
        self.add_large_counts(np.append(counts.ravel().astype(np.int64), [0, 0]))

    def result(self) -> Tensor:
        """Return the score of all pixels counted so far."""
        n = self.num_classes
        return self.of_matrix(ops.reshape(self.float_counts()[: n * n], (n, n)))

    def of_matrix(self, matrix: Tensor) -> Tensor:
        """Return the score of a confusion matrix of floats."""
        raise NotImplementedError  # each metric has its own

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Pixels by true class (rows) and predicted class (columns), int64."""
        n = self.num_classes
        return self.counts()[: n * n].reshape(n, n)

    @property
    def ignored_pixels(self) -> int:
        """Pixels whose label is `ignore`."""
        return int(self.counts()[self.num_classes**2])

    @property
    def invalid_pixels(self) -> int:
        """Pixels whose label or prediction means nothing.

        A label that is neither a class nor `ignore`; a predicted id that is no class;
        predicted scores with a NaN, or whose largest is infinite.
        """
        return int(self.counts()[self.num_classes**2 + 1])

    def get_config(self) -> dict:
        own = {"num_classes": self.num_classes, "ignore": self.ignore}
        return super().get_config() | own


def true_and_predicted_ids(
    y_true: Mask,
    y_pred: Logits | Mask,
    sample_weight: PixelWeights,
    num_classes: int,
    name: str,
) -> tuple[Mask, Mask]:
    """True and predicted ids, int `[batch, height, width]`, of one size.

    The predicted id is -1 where logits or probabilities aren't numbers.
    """
    if sample_weight is not None:
        raise ValueError(
            f"{name} counts pixels and takes no `sample_weight`. Give it to compile as "
            "one of `metrics`, not of `weighted_metrics`."
        )
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if "float" not in keras.backend.standardize_dtype(y_pred.dtype):
        y_pred = as_ids(y_pred)
        if len(y_pred.shape) == 4 and y_pred.shape[-1] == 1:
            y_pred = ops.squeeze(y_pred, -1)
    elif y_pred.shape[-1] != num_classes:
        raise ValueError(
            f"Expected predictions of {num_classes} classes on the last axis. "
            f"Received: {tuple(y_pred.shape)} for masks {tuple(y_true.shape)}"
        )
    else:
        y_pred = _ids_of(y_pred)
    return fit_masks(as_ids(y_true), ops.shape(y_pred)), y_pred


def _are_classes(ids: Mask, num_classes: int) -> Tensor:
    """Whether ids are 0..num_classes - 1."""
    if keras.backend.backend() == "tensorflow" and ids.dtype.name == "int32":
        import tensorflow as tf

        # As unsigned numbers negative ones are large: one comparison for two.
        return tf.bitcast(ids, tf.uint32) < num_classes
    return ops.logical_and(ids >= 0, ids < num_classes)


def _ids_of(scores: Logits) -> Mask:
    """The class of the largest score, int32, -1 where scores aren't numbers."""
    if keras.backend.backend() != "tensorflow":
        return _valid_only(scores, ops.cast(ops.argmax(scores, axis=-1), "int32"))
    import tensorflow as tf

    # keras.ops.argmax tells -0.0 from 0.0, in another pass over all scores.
    largest = tf.argmax(scores, axis=-1, output_type=tf.int32)
    # One sum is finite only if all scores are, and is cheaper than a look at each.
    return tf.cond(
        tf.math.is_finite(tf.reduce_sum(scores)),
        lambda: largest,
        lambda: _valid_only(scores, largest),
    )


def _valid_only(scores: Logits, largest: Mask) -> Mask:
    """-1 for pixels with a NaN, or whose largest score isn't finite.

    A score of -inf is a class that a model rules out, if another class is finite.
    """
    number = ops.logical_not(ops.any(ops.isnan(scores), axis=-1))
    valid = ops.logical_and(number, ops.isfinite(ops.max(scores, axis=-1)))
    return ops.where(valid, largest, -1)


def confusion_matrix(
    truth: Mask, prediction: Mask, num_classes: int, *, ignore: int = IGNORE
) -> np.ndarray:
    """Count the pixels of masks by true and predicted class, in NumPy.

    Args:
        truth: Integers of any shape: class ids, or `ignore`.
        prediction: Class ids, of the same shape.
        num_classes: Number of classes.
        ignore: Label of the ignored pixels.

    Returns:
        int64 `[num_classes, num_classes]`, rows truth, columns prediction; what
        `add_matrix` of a metric takes.

    Raises:
        ValueError: for shapes that differ, or an id that is no class.

    Example:
        >>> confusion_matrix([0, 0, 1, 255], [0, 1, 1, 1], num_classes=2)
        array([[1, 1],
               [0, 1]])
    """
    num_classes = check_num_classes(num_classes, ignore=ignore)
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(
            "Expected truth and prediction of one shape. Received: "
            f"{truth.shape}, {prediction.shape}"
        )
    for what, found in (("truth", truth), ("prediction", prediction)):
        if found.dtype.kind not in "iub":
            raise ValueError(
                f"Expected integers in the {what}. Received: {found.dtype}"
            )
    labelled = truth != ignore
    truth, prediction = truth[labelled], prediction[labelled]
    for what, found in (("truth", truth), ("prediction", prediction)):
        stray = np.unique(found[(found < 0) | (found >= num_classes)])
        if stray.size:
            raise ValueError(
                f"Expected class ids 0..{num_classes - 1} in the {what}. Received: "
                f"{stray[:8].tolist()}"
            )
    cells = truth.astype(np.int64) * num_classes + prediction.astype(np.int64)
    counts = np.bincount(cells.ravel(), minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)
