"""One geometry and one colour map per example, drawn from its seed.

The geometry is drawn before anything is decoded, so that only the pixels that are
needed are, and applied to image (bilinear) and mask (nearest) alike: they can't drift
apart.
"""

from typing import Any, NamedTuple

import tensorflow as tf

# Luminance of red, green and blue (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)


class Geometry(NamedTuple):
    """Which window of an example is used, how large it becomes, and if mirrored."""

    #: int32 (top, left, height, width) in pixels of the file.
    window: tf.Tensor
    #: int32 (height, width) that the window is resized to.
    size: tf.Tensor
    #: Whether left and right change places.
    flip: tf.Tensor

    def image(self, window: Any) -> tf.Tensor:
        """Resize and flip the pixels of the window: `[h, w, C]`, float32."""
        # Mirrored while small, and before it becomes float.
        window = tf.cond(self.flip, lambda: tf.reverse(window, [1]), lambda: window)
        return tf.image.resize(window, self.size)

    def mask(self, mask: Any) -> tf.Tensor:
        """Cut the window out of a whole mask, resize and flip it: `[h, w]`."""
        top, left, height, width = tf.unstack(self.window)
        mask = mask[top : top + height, left : left + width, None]
        mask = tf.cond(self.flip, lambda: tf.reverse(mask, [1]), lambda: mask)
        return tf.image.resize(mask, self.size, method="nearest")[..., 0]


class StandardAugmentation:
    """Scale, crop, flip and colour; see `standard_augmentation`."""

    def __init__(self, *, scale: tuple[float, float], flip: bool, color: float):
        low, high = scale
        if not 0 < low <= high:
            raise ValueError(
                "Expected `scale` to be (low, high), 0 < low <= high. Received: "
                f"{scale}"
            )
        if not 0 <= color < 1:
            raise ValueError(f"Expected `color` to be in 0..1. Received: {color}")
        self.scale = (float(low), float(high))
        self.flip = bool(flip)
        self.strength = float(color)

    def geometry(self, height: Any, width: Any, size: Any, seed: Any) -> Geometry:
        """Draw the geometry of one example.

        Args:
            height: Of the image, in pixels.
            width: Of the image, in pixels.
            size: (height, width) to crop to, or None for all of the scaled image.
            seed: Two integers.

        Returns:
            The geometry; its `size` is at most `size`, where the scaled image is
            smaller.
        """
        side = tf.stack([height, width])
        draw = tf.random.stateless_uniform([4], seed)
        # Uniform in the logarithm: half and double are equally likely.
        low, high = self.scale
        scale = low * (high / low) ** draw[0]

        whole = tf.maximum(_round(tf.cast(side, tf.float32) * scale), 1)
        crop = whole if size is None else tf.minimum(whole, size)
        window = _round(tf.cast(crop, tf.float32) / scale)
        window = tf.clip_by_value(window, 1, side)
        room = tf.cast(side - window + 1, tf.float32)
        corner = tf.minimum(tf.cast(draw[1:3] * room, tf.int32), side - window)
        flip = (draw[3] < 0.5) if self.flip else tf.constant(False)
        return Geometry(tf.concat([corner, window], 0), crop, flip)

    def color(self, image: Any, seed: Any) -> tf.Tensor:
        """Change brightness, contrast and saturation of an RGB image.

            x' = b (c (s x + (1 - s) grey(x)) + (1 - c) 127.5)

        with b, c and s drawn from 1 - color .. 1 + color: one linear map per pixel.

        Args:
            image: `[height, width, 3]` in 0..255. With other than 3 channels it is
                returned as it is.
            seed: Two integers.

        Returns:
            The image in the dtype it came in, in 0..255.
        """
        if image.shape[-1] != 3 or not self.strength:
            return image
        low, high = 1 - self.strength, 1 + self.strength
        # Another stream of numbers than the geometry's.
        seed = tf.random.experimental.stateless_fold_in(seed, 1)
        brightness, contrast, saturation = tf.unstack(
            tf.random.stateless_uniform([3], seed, low, high)
        )
        grey = tf.tile(tf.constant(_LUMINANCE)[:, None], [1, 3])
        matrix = saturation * tf.eye(3) + (1 - saturation) * grey
        offset = brightness * (1 - contrast) * 127.5

        pixels = tf.reshape(tf.cast(image, tf.float32), (-1, 3))
        pixels = tf.matmul(pixels, brightness * contrast * matrix) + offset
        return as_dtype(tf.reshape(pixels, tf.shape(image)), image.dtype)


def standard_augmentation(
    *, scale: tuple[float, float] = (0.5, 2.0), flip: bool = True, color: float = 0.3
) -> StandardAugmentation:
    """Make the usual augmentation, for `augment=` of `Source.batches`.

    Each example is scaled, cropped at random to the size of the batch (and padded at
    the bottom and right where it is smaller), mirrored with probability 1/2, and
    changed in brightness, contrast and saturation. Everything depends on the seed of
    the example alone.

    Args:
        scale: Range of the factor of height and width, uniform in its logarithm.
        flip: Whether to mirror left and right.
        color: How far brightness, contrast and saturation go from 1, in 0..1; for
            images of 3 channels.

    Raises:
        ValueError: for a range that isn't one.

    Example:
        >>> augment = standard_augmentation(scale=(2.0, 2.0), flip=False)
        >>> geometry = augment.geometry(30, 40, size=(50, 50), seed=(0, 1))
        >>> geometry.size.numpy(), geometry.window.numpy()[2:]
        (array([50, 50], dtype=int32), array([25, 25], dtype=int32))
    """
    return StandardAugmentation(scale=scale, flip=flip, color=color)


def as_dtype(image: tf.Tensor, dtype: Any) -> tf.Tensor:
    """Return pixels clipped to 0..255; rounded where `dtype` is an integer's."""
    image = tf.clip_by_value(image, 0, 255)
    return tf.cast(tf.round(image) if dtype.is_integer else image, dtype)


def _round(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(x), tf.int32)
