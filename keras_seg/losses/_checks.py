"""Checks whether predictions are what `from_logits` says."""

import warnings

import keras
from keras import ops

from keras_seg.assertions import require
from keras_seg.labels import Logits


def logits_before_softmax(y_pred: Logits, name: str) -> Logits:
    """Logits: `y_pred`, or what a softmax in a TensorFlow graph made it from."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.is_symbolic_tensor(y_pred) and y_pred.op.type == "Softmax":
            # As Keras's own cross-entropy does it.
            warnings.warn(
                f"{name} has from_logits=True, but the predictions come out of a "
                "softmax. Its input is taken as the logits: use from_logits=False.",
                stacklevel=3,
            )
            return y_pred.op.inputs[0]
    return y_pred


def check_probabilities(y_pred: Logits) -> None:
    """Refuse logits where probabilities are expected; XLA drops the check."""
    # Not true of NaN: that is another fault, and shows in the loss.
    stray = ops.logical_or(y_pred < -0.01, y_pred > 1.01)
    require(
        ops.logical_not(ops.any(stray)),
        "Expected probabilities, 0..1, with from_logits=False. Received a value of "
        "this size: {}. Likely cause: the model gives logits. Then use "
        'from_logits=True, or build it with activation="softmax".',
        ops.max(ops.where(stray, ops.absolute(y_pred), 0)),
    )
