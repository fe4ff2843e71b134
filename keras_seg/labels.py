"""What a tensor means, in one place. Every module relies on this table.

| tensor | dtype | shape | meaning |
|---|---|---|---|
| image | uint8, uint16 or float32 | [H, W, C] | RGB, or any channels, in a range |
| mask | int32, or uint8 in storage | [H, W] | class id, or `IGNORE` |
| logits | float32, whatever the policy | [H, W, num_classes] | unnormalized |
| features | floats, by level: "P1" ... "P5" | [H / 2^k, W / 2^k, channels] | level k |

Masks hold ids everywhere, nothing is one-hot. Two classes are two logits.
"""

from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from keras_seg.arguments import check_integer
from keras_seg.assertions import require

__all__ = [
    "IGNORE",
    "DType",
    "Features",
    "FilePath",
    "Image",
    "Index",
    "Logits",
    "Mask",
    "PixelWeights",
    "Tensor",
    "ValueRange",
    "Window",
    "check_labels",
    "check_num_classes",
    "check_value_range",
    "shown_range",
]

#: uint8, uint16 or float32 `[height, width, channels]`: an array or a tensor.
Image: TypeAlias = Any
#: Integers `[height, width]`: class ids, or `IGNORE`; an array or a tensor.
Mask: TypeAlias = Any
#: Float32 `[height, width, num_classes]`, unnormalized: an array or a tensor.
Logits: TypeAlias = Any
#: Any numbers: an array, or a tensor of any backend.
Tensor: TypeAlias = Any
#: Weights in a loss or metric: one per image or per pixel, or None for 1 everywhere.
PixelWeights: TypeAlias = Any
#: Which example: an integer, or an int64 scalar inside tf.data.
Index: TypeAlias = Any
#: Where a file is: a string, or a string tensor inside tf.data.
FilePath: TypeAlias = Any
#: Top, left, height and width of a part of an image, int32 `[4]`, or None for all.
Window: TypeAlias = Any
#: (low, high) of images, black and white: numbers, or tuples with one per channel.
ValueRange: TypeAlias = Any
#: What Keras takes as `dtype`: a name, a `keras.DTypePolicy`, or None for its default.
DType: TypeAlias = Any
#: Maps `[height / 2^k, width / 2^k, channels]` of an image by level "Pk".
Features: TypeAlias = dict[str, Any]

#: The id of an ignored pixel: the border of an object, or padding.
IGNORE = 255


def check_num_classes(num_classes: int, *, ignore: int | None = None) -> int:
    """Return `num_classes` as an int if it is a valid number of classes.

    Args:
        num_classes: Number of classes, the background among them.
        ignore: Id of the ignored pixels, which no class may have. None where no
            labels are read.

    Raises:
        ValueError: for fewer than two classes, or if `ignore` is one of them.

    Example:
        >>> check_num_classes(21, ignore=255)
        21
    """
    count = check_integer("num_classes", num_classes)
    if ignore is not None:
        check_integer("ignore", ignore)
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


def check_value_range(value_range: Any, *, channels: int | None = None) -> Any:
    """Return a value range as two numbers, or as two tuples of one per channel.

    Args:
        value_range: (low, high): two numbers, or two sequences of one per channel.
        channels: Of the images, where they are known.

    Raises:
        ValueError: unless low is below high, both finite, for each channel.

    Example:
        >>> check_value_range((0, 4095)), check_value_range([[0, 10], [1, 50.5]])
        ((0, 4095), ((0, 10), (1, 50.5)))
    """
    try:
        low, high = (np.asarray(side, np.float64) for side in value_range)
        low, high = np.broadcast_arrays(low, high)
        fits = low.ndim <= 1 and bool(np.all(np.isfinite([low, high])))
        fits = fits and low.size > 0 and bool(np.all(low < high))
    except (TypeError, ValueError):
        fits = False
    if not fits or isinstance(value_range, str):
        hint = ""
        if value_range == "percentiles":  # a word of the command line
            hint = (
                ". Measure it: source.with_value_range(keras_seg.data.statistics("
                "source).percentile_range(0.5, 99.5), outside='keep')"
            )
        raise ValueError(
            "Expected `value_range` to be (low, high), low below high: two numbers, "
            f"or two lists of one number per channel. Received: {value_range!r}{hint}"
        )
    if low.ndim and channels not in (None, low.size):
        raise ValueError(
            f"Expected `value_range` of {channels} channels, or two numbers for all. "
            f"Received: {low.size} pairs"
        )
    # float32 is what images are; whole numbers are shown without a point.
    return tuple(
        tuple(map(_plain, side)) if side.ndim else _plain(side) for side in (low, high)
    )


def shown_range(value_range: ValueRange) -> str:
    """A range as messages show it.

    Example:
        >>> shown_range((0, 4095)), shown_range(((0, 10), (1, 12.5)))
        ('0..4095', '0..1, 10..12.5')
    """
    pairs = zip(*map(np.atleast_1d, np.broadcast_arrays(*value_range)), strict=True)
    return ", ".join(dict.fromkeys(f"{low:.6g}..{high:.6g}" for low, high in pairs))


def _plain(number: Any) -> int | float:
    # Beyond 2**53 all floats are whole, and from 2**63 on too large for 64 bits.
    is_whole = abs(number) < 2**53 and number == int(number)
    return int(number) if is_whole else float(number)


def check_labels(labels: Mask, num_classes: int, *, ignore: int = IGNORE) -> Any:
    """Tell labelled pixels from ignored ones, and refuse labels that are neither.

    A label is either a class id, 0..num_classes - 1, or `ignore`. Any other one is an
    error, in TensorFlow's graphs too. XLA drops such checks, and what JAX traces has
    none: there the pixel counts as not labelled, so that no stray label ever reaches a
    loss.

    Args:
        labels: Tensor of integers, of any shape. Floats are labels if they are whole.
        num_classes: Number of classes.
        ignore: Label of the ignored pixels.

    Returns:
        Tensor of bools: which pixels are labelled with a class.

    Raises:
        ValueError: for a label that is neither, on TensorFlow and JAX. It names the
            smallest and the largest of them. In TensorFlow's graphs it is a
            `tf.errors.InvalidArgumentError`.

    Example:
        >>> import numpy as np
        >>> check_labels(np.array([0, 20, 255]), num_classes=21).numpy()
        array([ True,  True, False])
    """
    labels = ops.convert_to_tensor(labels)
    ids = as_ids(labels)
    labelled = ops.logical_and(ids >= 0, ids < num_classes)
    _refuse_stray(labels, ids, labelled, num_classes, ignore)
    return labelled


def _refuse_stray(
    labels: Any, ids: Any, labelled: Any, num_classes: int, ignore: int
) -> None:
    stray = ops.logical_not(ops.logical_or(labelled, ops.equal(ids, ignore)))
    # Shown as they were given, without a tensor whose size XLA can't know.
    shown: Any = ids
    limits: Any = np.iinfo(keras.backend.standardize_dtype(ids.dtype))
    if "float" in keras.backend.standardize_dtype(labels.dtype):
        shown, limits = ops.cast(labels, "float32"), np.finfo("float32")
    require(
        ops.logical_not(ops.any(stray)),
        f"Expected labels 0..{num_classes - 1}, or {ignore} where a pixel is ignored. "
        "Received labels from {} to {}. Likely causes: num_classes too small; ids that "
        "start at 1; a palette mask read as grey or RGB, or scaled to 0..1; another "
        "value than `ignore` for ignored pixels.",
        ops.min(ops.where(stray, shown, limits.max)),
        ops.max(ops.where(stray, shown, limits.min)),
    )


def as_ids(labels: Mask) -> Any:
    """Labels as integers: of 32 bits, or of 64 where 32 might not hold them.

    A label that isn't whole becomes one that is no class.

    Example:
        >>> as_ids(ops.convert_to_tensor([2.0, 0.5])).numpy()
        array([          2, -2147483648], dtype=int32)
    """
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if dtype in ("int64", "uint32"):
        return labels
    if dtype == "uint64":
        return ops.cast(labels, "int64")
    if "float" in dtype:
        return ops.where(
            labels == ops.floor(labels), ops.cast(labels, "int32"), -(2**31)
        )
    return ops.cast(labels, "int32")


def fit_masks(masks: Mask, size: tuple) -> Mask:
    """Return masks without a last axis of 1, if they are as large as predictions.

    Args:
        masks: Tensor `[batch, height, width]`, or with a last axis of 1.
        size: `ops.shape` of the predictions, without their classes.

    Raises:
        ValueError: if the sizes differ.
        tf.errors.InvalidArgumentError: if they differ where only the graph sees them.

    Example:
        >>> fit_masks(ops.zeros((2, 30, 40, 1)), (2, 30, 40)).shape
        TensorShape([2, 30, 40])
    """
    if getattr(masks.shape, "rank", 0) is None:
        raise ValueError(
            "Expected masks `[batch, height, width]`. Received: a tensor of unknown "
            "rank. Set it in the pipeline: mask.set_shape([None, None])."
        )
    if len(masks.shape) == len(size) + 1 and masks.shape[-1] == 1:
        masks = ops.squeeze(masks, -1)
    received = ops.shape(masks)
    pairs = list(zip(received, size, strict=False))
    if len(received) != len(size) or any(
        a != b for a, b in pairs if isinstance(a, int) and isinstance(b, int)
    ):
        known = [
            tuple(n if isinstance(n, int) else None for n in x)
            for x in (received, size)
        ]
        cause = ""
        if len(received) == len(size) + 1:
            cause = (
                ". Likely cause: one-hot masks. Make ids of them: "
                "masks.argmax(-1) in NumPy, tf.argmax(mask, -1) in the pipeline."
            )
        raise ValueError(
            "Expected masks `[batch, height, width]` of the size of the predictions. "
            f"Received: masks {known[0]}, predictions {known[1]}{cause}"
        )
    for a, b in pairs:
        if not (isinstance(a, int) and isinstance(b, int)):
            # Only TensorFlow has sizes that aren't known. Without this an axis of 1
            # would be broadcast.
            import tensorflow as tf

            tf.debugging.assert_equal(
                a, b, "Expected masks of the size of the predictions. Received:"
            )
    return masks


def __dir__() -> list[str]:
    return __all__
