"""Counting pixels exactly: the confusion matrix that all scores come from."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.labels import IGNORE, as_ids, check_num_classes, fit_masks

# Counts are kept as high * 2**20 + low: exact far beyond 2**32 pixels where integers
# have 32 bits (JAX), also after the counts of a thousand replicas were added up.
_CARRY = 2**20


class ExactCounts(keras.metrics.Metric):
    """A metric that keeps a row of exact counts."""

    def __init__(self, size: int, *, name: str | None = None, dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        # "int" has 64 bits on TensorFlow, whose GPUs hold no 32-bit variables.
        self._low = self.add_variable((size,), "zeros", dtype="int", name="low")
        self._high = self.add_variable((size,), "zeros", dtype="int", name="high")

    def add_counts(self, counts: Any) -> None:
        """Add non-negative counts below 2**31 - 2**20."""
        self._add(0, counts)

    def add_large_counts(self, counts: np.ndarray) -> None:
        """Add non-negative counts of int64."""
        self._add(counts // _CARRY, counts % _CARRY)

    def _add(self, high: Any, low: Any) -> None:
        strategy = _strategy_outside_of(self._low)
        if strategy is None:
            self._add_here(high, low)
            return

        def add_on_first_replica() -> None:
            import tensorflow as tf

            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            only = ops.cast(ops.equal(replica, 0), self._low.dtype)
            self._add_here(only * high, only * ops.cast(low, self._low.dtype))

        strategy.run(add_on_first_replica)

    def _add_here(self, high: Any, low: Any) -> None:
        low = self._low + ops.cast(low, self._low.dtype)
        high = ops.cast(high, self._high.dtype)
        self._high.assign(self._high + high + low // _CARRY)
        self._low.assign(low % _CARRY)

    def counts(self) -> np.ndarray:
        """The counts, int64."""
        high = ops.convert_to_numpy(self._high).astype(np.int64)
        return high * _CARRY + ops.convert_to_numpy(self._low).astype(np.int64)

    def float_counts(self) -> Any:
        """The counts as floats of the metric's dtype, to calculate with."""
        high, low = (ops.cast(x, self.dtype) for x in (self._high, self._low))
        return high * _CARRY + low


def _strategy_outside_of(variable: Any) -> Any:
    """The strategy whose replicas share a variable, if this runs outside of them.

    There TensorFlow would give each replica an equal part of what is assigned, cut off
    to an integer. `fit` and `evaluate` run inside.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    strategy = getattr(variable.value, "distribute_strategy", None)
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return None
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return strategy if replica is None or replica.strategy is not strategy else None


class ConfusionMatrixMetric(ExactCounts):
    """A metric that counts pixels by their true and their predicted class.

    A subclass defines `score(matrix)`, from a confusion matrix of floats to a scalar
    or a dictionary of scalars, and the name that it has unless another is given.
    """

    default_name: str | None = None

    def __init__(
        self,
        num_classes: int,
        *,
        ignore: int = IGNORE,
        absent: str = "skip",
        from_logits: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ):
        num_classes = check_num_classes(num_classes, ignore=ignore)
        # The matrix, row after row, then the ignored pixels, then the invalid ones.
        super().__init__(
            num_classes**2 + 2, name=name or self.default_name, dtype=dtype
        )
        if absent not in ABSENT:
            raise ValueError(
                f"Expected `absent` to be one of {list(ABSENT)}. Received: {absent!r}"
            )
        self.num_classes = num_classes
        self.ignore = ignore
        self.absent = absent
        self.from_logits = from_logits

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the pixels of a batch.

        Args:
            y_true: Masks, int `[batch, height, width]`, or with a last axis of 1.
            y_pred: Logits or probabilities, float `[batch, height, width,
                num_classes]`, or ids, int `[batch, height, width]`.
            sample_weight: Must be None: pixels are counted, not weighed.
        """
        cell = self.cells(y_true, y_pred, sample_weight)
        self.add_counts(
            bincount(ops.reshape(cell, (1, -1)), self.num_classes**2 + 2)[0]
        )

    def cells(self, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
        """Which count each pixel belongs to, int32 `[batch, height, width]`."""
        y_true, y_pred = ids(y_true, y_pred, sample_weight, self.num_classes, self.name)
        n = self.num_classes
        known = (y_true >= 0) & (y_true < n) & (y_pred >= 0) & (y_pred < n)
        cell = ops.cast(y_true, "int32") * n + ops.cast(y_pred, "int32")
        cell = ops.where(known, cell, n * n + 1)
        return ops.where(y_true == self.ignore, n * n, cell)

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
        self.add_large_counts(np.append(counts.ravel().astype(np.int64), [0, 0]))

    def result(self) -> Any:
        """Return the score of all pixels counted so far."""
        n = self.num_classes
        return self.score(ops.reshape(self.float_counts()[: n * n], (n, n)))

    def score(self, matrix: Any) -> Any:
        """Return the score of a confusion matrix of floats."""
        raise NotImplementedError

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Pixels by true class (rows) and predicted class (columns), int64."""
        return self.counts()[:-2].reshape(self.num_classes, self.num_classes)

    @property
    def ignored_pixels(self) -> int:
        """Pixels whose label is `ignore`."""
        return int(self.counts()[-2])

    @property
    def invalid_pixels(self) -> int:
        """Pixels whose label or prediction is neither a class nor `ignore`."""
        return int(self.counts()[-1])

    def get_config(self) -> dict:
        return {
            "num_classes": self.num_classes,
            "ignore": self.ignore,
            "absent": self.absent,
            "from_logits": self.from_logits,
            "name": self.name,
            "dtype": self.dtype,
        }


#: What an absent class counts in a mean; "skip" leaves it out.
ABSENT = {"skip": None, "zero": 0.0, "one": 1.0, "nan": float("nan")}


def mean_of_classes(hits: Any, pixels: Any, absent: str) -> Any:
    """Mean of hits / pixels over the last axis, absent where a class has no pixels."""
    ratio = ops.divide_no_nan(hits, pixels)
    present = pixels > 0
    if absent == "skip":
        number = ops.sum(ops.cast(present, ratio.dtype), -1)
        return ops.divide_no_nan(ops.sum(ratio, -1), number)
    return ops.mean(ops.where(present, ratio, ABSENT[absent]), -1)


def ids(
    y_true: Any, y_pred: Any, sample_weight: Any, num_classes: int, name: str
) -> tuple[Any, Any]:
    """True and predicted ids, int `[batch, height, width]`, of one size."""
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
        y_pred = _argmax(y_pred)
    return fit_masks(as_ids(y_true), ops.shape(y_pred)), y_pred


def _argmax(scores: Any) -> Any:
    """The largest score's place on the last axis, int32."""
    if keras.backend.backend() == "tensorflow":
        # keras.ops.argmax tells -0.0 from 0.0, in another pass over all scores.
        import tensorflow as tf

        return tf.argmax(scores, axis=-1, output_type=tf.int32)
    return ops.cast(ops.argmax(scores, axis=-1), "int32")


def bincount(x: Any, size: int) -> Any:
    """How often each of 0..size - 1 occurs in each row of `x`: int `[rows, size]`."""
    if keras.backend.backend() == "tensorflow":
        # 20 times faster than segment_sum on a CPU in graph mode, and XLA takes it.
        import tensorflow as tf

        return tf.raw_ops.DenseBincount(
            input=x, size=size, weights=tf.constant([], tf.int32)
        )
    rows = ops.shape(x)[0]
    x = ops.reshape(x + size * ops.arange(rows)[:, None], (-1,))
    counts = ops.segment_sum(ops.ones_like(x), x, num_segments=rows * size)
    return ops.reshape(counts, (rows, size))


def confusion_matrix(
    truth: Any, prediction: Any, num_classes: int, *, ignore: int = IGNORE
) -> np.ndarray:
    """Count pixels by class, in NumPy, for predictions that are there already.

    Args:
        truth: Integers of any shape: class ids, or `ignore`.
        prediction: Class ids, of the same shape.
        num_classes: Number of classes.
        ignore: Label of the pixels to leave out.

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
