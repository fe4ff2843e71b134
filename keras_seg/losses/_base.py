"""The base class of all losses: input checks, pixel weights, division by replicas."""

import inspect
from numbers import Real
from typing import Any

import keras
from keras import ops

from keras_seg.arguments import check_integer
from keras_seg.labels import (
    IGNORE,
    DType,
    Logits,
    Mask,
    PixelWeights,
    Tensor,
    check_labels,
    check_num_classes,
    fit_masks,
)
from keras_seg.losses._checks import check_probabilities, logits_before_softmax
from keras_seg.losses._replicas import number_of_replicas
from keras_seg.losses._weights import nan_if_any_is, pixel_weights

# A cross-entropy is at most this, so that sums of it are finite. Only logits that
# are further apart come here, and their difference may be beyond float32.
_LARGEST = 1e25


class SegmentationLoss(keras.losses.Loss):
    """A loss on logits, for masks with ignored pixels.

    A subclass defines `default_name` and `of_pixels(label, y_pred, weight)`, which
    returns the loss of the whole batch, a scalar. Losses can be added and multiplied by
    numbers: `0.5 * Dice() + Lovasz()` is a loss.

    Args:
        ignore: Label of the ignored pixels.
        from_logits: Whether predictions are logits, or else probabilities.
        name: Name of the loss; None means `default_name`.
        dtype: Type in which the loss is computed; None means float32.

    Example:
        >>> class MeanError(SegmentationLoss):
        ...     default_name = "mean_error"
        ...
        ...     def of_pixels(self, label, y_pred, weight):
        ...         error = 1 - ops.exp(-self.cross_entropy(label, y_pred))
        ...         return ops.sum(weight * error) / ops.sum(weight)
        >>> round(float(MeanError()([[[0, 1, 255]]], ops.zeros((1, 1, 3, 4)))), 4)
        0.75
    """

    default_name: str

    def __init__(
        self,
        *,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str | None = None,
        dtype: DType = None,
    ):
        super().__init__(name=name or self.default_name, dtype=dtype or "float32")
        self.ignore = check_integer("ignore", ignore)
        self.from_logits = from_logits

    def __call__(
        self, y_true: Mask, y_pred: Logits, sample_weight: PixelWeights = None
    ) -> Tensor:
        # Not Keras's __call__: it would multiply the map of weights onto the mean
        # (and turn labels into floats on the way).
        with keras.name_scope(self.name):
            y_pred = ops.convert_to_tensor(y_pred)
            y_true = fit_masks(ops.convert_to_tensor(y_true), ops.shape(y_pred)[:-1])
            num_classes = check_num_classes(y_pred.shape[-1], ignore=self.ignore)
            if self.from_logits:
                y_pred = logits_before_softmax(y_pred, self.name)
            y_pred = ops.cast(y_pred, self.dtype)
            if not self.from_logits:
                check_probabilities(y_pred)
            labelled = check_labels(y_true, num_classes, ignore=self.ignore)
            label = ops.where(labelled, ops.cast(y_true, "int32"), 0)
            weight = pixel_weights(sample_weight, labelled, y_pred.dtype)
            loss = self.of_pixels(label, y_pred, weight)
            if sample_weight is not None:
                loss = nan_if_any_is(weight, loss)
            # Keras adds up what the replicas give, and all give the same.
            return loss / number_of_replicas()

    def of_pixels(self, label: Mask, y_pred: Logits, weight: Tensor) -> Tensor:
        """Return the loss of the pixels of a batch, a scalar.

        Under `tf.distribute` the batch is that of all replicas: sums over pixels have
        to be added up over replicas, and every replica returns the same number.

        Args:
            label: int32 `[batch, height, width]`, 0 where the pixel is ignored.
            y_pred: Float `[batch, height, width, num_classes]`, in the dtype of the
                loss; logits, or probabilities if `from_logits` is False.
            weight: Float `[batch, height, width]`, 0 where the pixel is ignored, else
                its `sample_weight`, or 1.
        """
        raise NotImplementedError(
            f"Expected {type(self).__name__} to define `of_pixels(label, y_pred, "
            "weight)`. Likely cause: it defines `call`, the former name."
        )

    def cross_entropy(self, label: Mask, y_pred: Logits) -> Tensor:
        """-log p of each pixel's class, `[batch, height, width]`, at most 1e25."""
        if self.from_logits and keras.backend.backend() != "tensorflow":
            # Keras multiplies by one-hot labels there: 0 times infinity.
            log_p = ops.log_softmax(y_pred)
            loss = -ops.take_along_axis(log_p, label[..., None], axis=-1)[..., 0]
        else:
            loss = keras.losses.sparse_categorical_crossentropy(
                label, y_pred, from_logits=self.from_logits
            )
        return ops.where(loss > _LARGEST, _LARGEST, loss)

    def mean_cross_entropy(self, y_pred: Logits) -> Tensor:
        """Mean of -log p over the classes, `[batch, height, width]`."""
        if self.from_logits:
            loss = -ops.log_softmax(y_pred)
        else:
            loss = -ops.log(ops.maximum(y_pred, keras.config.epsilon()))
        return ops.mean(ops.where(loss > _LARGEST, _LARGEST, loss), axis=-1)

    def probabilities(self, y_pred: Logits) -> Tensor:
        """Probability of each class, `[batch, height, width, num_classes]`."""
        return ops.softmax(y_pred) if self.from_logits else y_pred

    def get_config(self) -> dict:
        config = super().get_config()
        # There is one way to reduce a batch: a mean over its labelled pixels.
        del config["reduction"]
        own = {"ignore": self.ignore, "from_logits": self.from_logits}
        return config | own | {"dtype": self.dtype}

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.items()
        usual = {name: parameter.default for name, parameter in parameters}
        usual |= {"name": self.default_name, "dtype": "float32"}
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if value != usual.get(name)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __add__(self, other: Any) -> Any:
        return self * 1.0 + other

    def __mul__(self, factor: float) -> Any:
        from keras_seg.losses._sum import Sum

        return Sum([self], [factor]) if isinstance(factor, Real) else NotImplemented

    __rmul__ = __mul__
