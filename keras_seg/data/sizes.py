"""Examples of many sizes -> the size of a batch: padding, random crops."""

from typing import Any

import tensorflow as tf

from keras_seg.data.checks import require
from keras_seg.labels import IGNORE, Image, Mask, Tensor


def pad_to(
    image: Image,
    mask: Mask,
    size: tuple[int, int] | None,
    padding: Any = 0,
    *,
    multiple_of: int = 32,
) -> tuple[Image, Mask]:
    """Pad an example at the bottom and right, the mask with IGNORE.

    Args:
        image: `[h, w, C]`, not larger than `size`.
        mask: `[h, w]`.
        size: (height, width) to pad to. None for the next multiples, so that there are
            few sizes to compile for.
        padding: What the image is padded with.
        multiple_of: Of how many pixels these are multiples.
    """
    if size is None:
        room = -tf.shape(mask) % multiple_of
    else:
        # Nothing is cut off here, but for a size that is known when this is traced,
        # before `require_fits` can speak.
        if None not in mask.shape:
            image, mask = image[: size[0], : size[1]], mask[: size[0], : size[1]]
        room = tf.maximum(size - tf.shape(mask), 0)
    channels = image.shape[-1]  # known, whatever TensorFlow makes of the paddings
    paddings = tf.stack([tf.zeros_like(room), room], axis=1)
    mask = tf.pad(mask, paddings, constant_values=IGNORE)
    paddings = tf.concat([paddings, [[0, 0]]], axis=0)
    image = tf.pad(image, paddings, constant_values=tf.cast(padding, image.dtype))
    sides = (None, None) if size is None else size
    return tf.ensure_shape(image, (*sides, channels)), tf.ensure_shape(mask, sides)


def require_fits(image_size: Tensor, size: tuple[int, int]) -> None:
    """Raise if a (height, width) is larger than the size of the batch."""
    height, width = image_size[0], image_size[1]
    require(
        (height <= size[0]) & (width <= size[1]),
        lambda: (
            f"Expected images of at most {size[0]} x {size[1]}, the `size` of the "
            f"batches. Received: {int(height)} x {int(width)}. Choose a larger `size`, "
            "an `augment` that crops, or `letterbox=True`, which shrinks."
        ),
    )


def random_crop(
    image: Image, mask: Mask, size: tuple[int, int], seed: Tensor
) -> tuple[Image, Mask]:
    """Crop what is larger than `size`, image and mask at the same place."""
    sides = tf.shape(mask)
    room = tf.cast(tf.maximum(sides - size, 0) + 1, tf.float32)
    corner = tf.cast(tf.random.stateless_uniform([2], seed) * room, tf.int32)
    top, left = tf.unstack(tf.minimum(corner, tf.maximum(sides - size, 0)))
    bottom, right = top + size[0], left + size[1]
    return image[top:bottom, left:right], mask[top:bottom, left:right]
