"""What a tensor means, in one place. Every module relies on this table.

| tensor | dtype | shape | meaning |
|---|---|---|---|
| image | uint8, or float32 in 0..255 | [H, W, C] | RGB, or any bands |
| mask | int32, or uint8 in storage | [H, W] | class id, or `IGNORE` |
| logits | float32, whatever the policy | [H, W, num_classes] | unnormalised |

Masks hold ids everywhere, nothing is one-hot. Two classes are two logits.
"""

import operator
from typing import Any

import keras
from keras import ops

#: The id of a pixel without a label: the border of an object, or padding.
IGNORE = 255


def check_num_classes(num_classes: int, *, ignore: int | None = None) -> int:
    """Return `num_classes` as an int if so many classes can be told apart.

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Id of pixels without a label, which no class may have. None
            where no labels are read.

    Raises:
        ValueError: for fewer than two classes, or if `ignore` is one of them.

    Example:
        >>> check_num_classes(21, ignore=255)
        21
    """
    try:
        count = operator.index(num_classes)
    except TypeError:
        raise ValueError(
            f"Expected `num_classes` to be an integer. Received: {num_classes!r}"
        ) from None
    if count == 1:
        raise ValueError(
            "Expected `num_classes` to be 2 or more. Received: 1. Binary segmentation "
            "means two classes, background and object: use num_classes=2."
        )
    if count < 1:
        raise ValueError(
            f"Expected `num_classes` to be 2 or more. Received: {num_classes}"
        )
    if ignore is not None and 0 <= ignore < count:
        raise ValueError(
            f"Expected `ignore` to be no class. Received: ignore={ignore} with "
            f"num_classes={count}, whose ids are 0..{count - 1}."
        )
    return count


def check_labels(labels: Any, num_classes: int, *, ignore: int = IGNORE) -> Any:
    """Tell labelled pixels from the others, and refuse labels that mean nothing.

    A label is either a class id, 0..num_classes - 1, or `ignore`. On TensorFlow any
    other one is an error, in eager and in graph mode. XLA drops such checks, and JAX
    has none: there the pixel counts as not labelled, so that no stray label ever
    reaches a loss.

    Args:
        labels: Tensor of integers, of any shape.
        num_classes: Number of classes.
        ignore: Label of the pixels to leave out.

    Returns:
        Tensor of bools: which pixels are labelled with a class.

    Raises:
        tf.errors.InvalidArgumentError: for a label that is neither, on TensorFlow.

    Example:
        >>> import numpy as np
        >>> check_labels(np.array([0, 20, 255]), num_classes=21).numpy()
        array([ True,  True, False])
    """
    labels = ops.convert_to_tensor(labels)
    if keras.backend.standardize_dtype(labels.dtype) not in ("int64", "uint32"):
        labels = ops.cast(labels, "int32")
    labelled = ops.logical_and(labels >= 0, labels < num_classes)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        stray = tf.logical_not(tf.logical_or(labelled, tf.equal(labels, ignore)))
        # One of the stray labels, without a tensor whose size XLA can't know.
        example = tf.reduce_max(tf.where(stray, labels, labels.dtype.min))
        tf.debugging.Assert(
            tf.logical_not(tf.reduce_any(stray)),
            [
                f"Expected labels 0..{num_classes - 1}, or {ignore} where there is "
                "none. Received:",
                example,
                "Likely causes: num_classes too small; ids that start at 1; a palette "
                "mask read as grey or RGB; another value than `ignore` for unlabelled "
                "pixels.",
            ],
        )
    return labelled
