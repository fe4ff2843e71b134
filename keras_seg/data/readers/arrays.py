"""Images and masks that are in memory already."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.checks import check_same_size
from keras_seg.data.decode.numpy_op import numpy_op
from keras_seg.data.source import Source
from keras_seg.labels import ValueRange


def arrays(
    images: Any,
    masks: Any,
    *,
    class_names: Sequence[str],
    value_range: ValueRange | None = None,
    outside: str = "error",
    nodata: float | None = None,
) -> Source:
    """Make a Source of NumPy arrays, of any number of channels.

    Args:
        images: Array `[n, height, width, channels]`, or a sequence of arrays
            `[height, width, channels]` of one number of channels and one dtype: uint8,
            uint16 or floats, and with a `value_range` other integers too.
        masks: Integers `[n, height, width]`, or a sequence of arrays `[height, width]`:
            class ids, or 255 for ignored pixels.
        class_names: A name per class id.
        value_range: (low, high) of the images, as of `Source`. None means what 8 and 16
            bits hold, and (0, 255) for floats.
        outside: What values outside of it are: "error" or "keep".
        nodata: The value of pixels without data, as of `Source`; NaN for those that are
            no numbers.

    Returns:
        A Source. The arrays aren't copied.

    Raises:
        ValueError: for shapes or dtypes that don't fit, or values outside of the range.

    Example:
        >>> image = np.zeros((5, 7, 4), "uint8")  # four channels
        >>> mask = np.ones((5, 7), "uint8")
        >>> source = arrays([image], [mask], class_names=["field", "water"])
        >>> source[0][0].shape
        (5, 7, 4)
    """
    if len(images) != len(masks) or not len(images):
        raise ValueError(
            "Expected as many images as masks, and some. Received: "
            f"{len(images)} images, {len(masks)} masks"
        )
    first = np.asarray(images[0])
    if first.ndim != 3:
        raise ValueError(
            "Expected images [height, width, channels]. Received: an image of shape "
            f"{first.shape}. Grey images need a last axis of 1: image[..., None]."
        )
    channels = first.shape[-1]

    def load_image(index: int) -> np.ndarray:
        image = np.asarray(images[index])
        if image.ndim != 3 or image.shape[-1] != channels:
            raise ValueError(
                f"Expected images [height, width, {channels}]. Received: {image.shape}"
            )
        if image.dtype != first.dtype:
            raise ValueError(
                f"Expected images of one dtype, {first.dtype}, as the first one. "
                f"Received: {image.dtype}"
            )
        return image

    def load_mask(index: int) -> np.ndarray:
        mask = np.asarray(masks[index])
        if mask.ndim != 2 or mask.dtype.kind not in "iu":
            raise ValueError(
                "Expected masks [height, width] of integers. Received: shape "
                f"{mask.shape}, {mask.dtype}"
            )
        # No id is lost in the cast: one that doesn't fit becomes one that isn't valid.
        return np.clip(mask, -1, 2**31 - 1).astype(np.int32)

    dtype = _tensor_dtype(first)
    source = Source(
        len(images),
        lambda index: numpy_op(load_image, index, dtype, (None, None, channels)),
        lambda index: numpy_op(load_mask, index, tf.int32, (None, None)),
        class_names=class_names,
        size=lambda index: np.shape(masks[index])[:2],
        origin="arrays",
        value_range=value_range,
        outside=outside,
        nodata=nodata,
    )
    # Bad arrays are errors here, not in the first epoch, as far as one example tells.
    check_same_size(load_image(0).shape[:2], load_mask(0).shape)
    source._pixels(tf.constant(0, tf.int64))
    return source


def _tensor_dtype(image: np.ndarray) -> tf.DType:
    try:
        return tf.as_dtype(image.dtype)
    except TypeError:
        raise ValueError(
            f"Expected images of numbers. Received: {image.dtype}"
        ) from None
