"""What all losses share: the labels' door, weights of pixels, sums, and replicas."""

import warnings
from typing import Any

import keras
from keras import ops

from keras_seg.labels import IGNORE, check_labels, check_num_classes, fit_masks


class SegmentationLoss(keras.losses.Loss):
    """A loss on logits, for masks with unlabelled pixels.

    A subclass defines `call(label, y_pred, weight)`: class ids of int32
    `[batch, height, width]`, 0 where there is none; predictions in the loss's dtype;
    and weights `[batch, height, width]`, 0 where there is no label and else the
    `sample_weight`, or 1. It returns this replica's share of the loss, a scalar.

    Losses can be added and multiplied by numbers: `0.5 * Dice() + Lovasz()` is a loss.
    """

    default_name: str

    def __init__(
        self,
        *,
        ignore: int = IGNORE,
        from_logits: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name or self.default_name, dtype=dtype or "float32")
        self.ignore = ignore
        self.from_logits = from_logits

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Not Keras's __call__: it would multiply the map of weights onto the mean
        # (and turn labels into floats on the way).
        with keras.name_scope(self.name):
            y_pred = ops.convert_to_tensor(y_pred)
            y_true = fit_masks(ops.convert_to_tensor(y_true), ops.shape(y_pred)[:-1])
            num_classes = check_num_classes(y_pred.shape[-1], ignore=self.ignore)
            if self.from_logits:
                y_pred = _before_softmax(y_pred, self.name)
            y_pred = ops.cast(y_pred, self.dtype)
            if not self.from_logits:
                _check_probabilities(y_pred)
            labelled = check_labels(y_true, num_classes, ignore=self.ignore)
            label = ops.where(labelled, ops.cast(y_true, "int32"), 0)
            weight = ops.cast(labelled, y_pred.dtype)
            if sample_weight is not None:
                weight = weight * _as_map(ops.cast(sample_weight, y_pred.dtype), weight)
            return self.call(label, y_pred, weight)

    def call(self, label: Any, y_pred: Any, weight: Any) -> Any:
        raise NotImplementedError

    def cross_entropy(self, label: Any, y_pred: Any) -> Any:
        """-log p of each pixel's class, `[batch, height, width]`."""
        return keras.losses.sparse_categorical_crossentropy(
            label, y_pred, from_logits=self.from_logits
        )

    def probabilities(self, y_pred: Any) -> Any:
        """Probability of each class, `[batch, height, width, num_classes]`."""
        return ops.softmax(y_pred) if self.from_logits else y_pred

    def get_config(self) -> dict:
        return {
            "ignore": self.ignore,
            "from_logits": self.from_logits,
            "name": self.name,
            "dtype": self.dtype,
        }

    def __add__(self, other: Any) -> "Sum":
        return Sum([self], [1.0]) + other

    def __mul__(self, factor: float) -> "Sum":
        return Sum([self], [factor])

    __rmul__ = __mul__


@keras.saving.register_keras_serializable(package="keras_seg")
class Sum(keras.losses.Loss):
    """A weighted sum of losses; what `0.5 * Dice() + WeightedCrossEntropy()` makes.

    Args:
        losses: Losses of this package.
        factors: A number for each.
        name: Name of the loss; None means its usual one.

    Example:
        >>> from keras_seg.losses import Dice, WeightedCrossEntropy
        >>> loss = 0.5 * Dice() + WeightedCrossEntropy()
        >>> [part.name for part in loss.losses], loss.factors
        (['dice', 'weighted_cross_entropy'], [0.5, 1.0])
    """

    def __init__(
        self,
        losses: list[SegmentationLoss],
        factors: list[float],
        *,
        name: str = "sum",
    ):
        super().__init__(name=name)
        self.losses = list(losses)
        self.factors = [float(factor) for factor in factors]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return sum(
            factor * loss(y_true, y_pred, sample_weight)
            for factor, loss in zip(self.factors, self.losses, strict=True)
        )

    def get_config(self) -> dict:
        return {
            "losses": [keras.saving.serialize_keras_object(x) for x in self.losses],
            "factors": self.factors,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Sum":
        losses = [keras.saving.deserialize_keras_object(x) for x in config["losses"]]
        return cls(**(config | {"losses": losses}))

    def __add__(self, other: Any) -> "Sum":
        if isinstance(other, SegmentationLoss):
            other = Sum([other], [1.0])
        if not isinstance(other, Sum):
            return NotImplemented
        return Sum(self.losses + other.losses, self.factors + other.factors)

    def __mul__(self, factor: float) -> "Sum":
        return Sum(self.losses, [factor * own for own in self.factors])

    __rmul__ = __mul__


def _before_softmax(y_pred: Any, name: str) -> Any:
    """Logits: `y_pred`, or what a softmax in a TensorFlow graph made it from."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.is_symbolic_tensor(y_pred) and y_pred.op.type == "Softmax":
            # As Keras's own cross-entropy does it.
            warnings.warn(
                f"{name} has from_logits=True, but the predictions come out of a "
                "softmax. What went into it is taken: use from_logits=False.",
                stacklevel=3,
            )
            return y_pred.op.inputs[0]
    return y_pred


def _check_probabilities(y_pred: Any) -> None:
    """Refuse logits where probabilities are expected; XLA and JAX can't raise."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    # Not true of NaN: that is another fault, and shows in the loss.
    stray = tf.logical_or(y_pred < -0.01, y_pred > 1.01)
    example = tf.reduce_max(tf.where(stray, tf.abs(y_pred), 0))
    tf.debugging.Assert(
        tf.logical_not(tf.reduce_any(stray)),
        [
            "Expected probabilities, 0..1, with from_logits=False. Received a value of "
            "this size:",
            example,
            "Likely cause: the model gives logits. Then use from_logits=True, or "
            'build it with activation="softmax".',
        ],
    )


def check_class_weights(class_weights: Any) -> list[float] | None:
    """Return class weights as floats if they are finite and 0 or more."""
    if class_weights is None:
        return None
    weights = [float(weight) for weight in class_weights]
    if not all(0 <= weight < float("inf") for weight in weights):
        raise ValueError(
            "Expected `class_weights` to be finite and 0 or more. Received: "
            f"{class_weights}"
        )
    return weights


def weigh_classes(
    weight: Any, class_weights: list[float] | None, label: Any, n: int
) -> Any:
    """Multiply the weight of each pixel by that of its class, of n."""
    if class_weights is None:
        return weight
    if len(class_weights) != n:
        raise ValueError(
            "Expected `class_weights` to have one weight per class. Received: "
            f"{len(class_weights)} weights for {n} classes."
        )
    return weight * ops.take(ops.convert_to_tensor(class_weights, weight.dtype), label)


def weighted_mean(x: Any, weight: Any) -> Any:
    """This replica's share of sum(weight x) / sum(weight) over all replicas.

    Keras adds up what replicas give. All give the same, however unequal their shares
    of void: what Keras logs is then right for a last batch of unequal parts as well.
    """
    sums = sum_over_replicas(ops.stack([ops.sum(weight * x), ops.sum(weight)]))
    return share_of_replica(ops.divide_no_nan(sums[0], sums[1]))


def mean_of_present(loss: Any, pixels: Any) -> Any:
    """This replica's share of the mean of `loss` over the classes that have pixels."""
    present = ops.cast(pixels > 0, loss.dtype)
    mean = ops.divide_no_nan(ops.sum(present * loss), ops.sum(present))
    return share_of_replica(mean)


def sum_over_replicas(x: Any) -> Any:
    """The sum of `x` over the replicas of `tf.distribute`; `x` where there are none."""
    if _replicas() > 1:
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, x)
    return x


def gather_over_replicas(x: Any) -> Any:
    """`x` of all replicas, one after another on the first axis, with its gradient."""
    if _replicas() > 1:
        import tensorflow as tf

        return tf.distribute.get_replica_context().all_gather(x, axis=0)
    return x


def share_of_replica(loss: Any) -> Any:
    """A loss that all replicas know, as the part of it that one contributes."""
    return loss / _replicas()


def _replicas() -> int:
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return 1 if replica is None else replica.num_replicas_in_sync


def _as_map(sample_weight: Any, weight: Any) -> Any:
    """Weights that broadcast to `weight`, `[batch, height, width]`."""
    given = tuple(sample_weight.shape)
    if len(given) == 1:
        sample_weight = sample_weight[:, None, None]
    elif len(given) == 4 and given[-1] == 1:
        sample_weight = ops.squeeze(sample_weight, -1)
    if len(sample_weight.shape) not in (0, 3) or any(
        s not in (1, w, None) and w is not None
        for s, w in zip(sample_weight.shape, weight.shape, strict=False)
    ):
        raise ValueError(
            "Expected `sample_weight` to be `[batch, height, width]`, or that with a "
            f"last axis of 1, or `[batch]`. Received: {given} for masks "
            f"{tuple(weight.shape)}"
        )
    return sample_weight
