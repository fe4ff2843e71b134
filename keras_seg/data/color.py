"""Brightness, contrast and saturation: together one linear map per pixel."""

import numpy as np
import tensorflow as tf

from keras_seg.labels import Image, Tensor

# Luminance of red, green and blue (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)


def color_map(
    brightness: Tensor, contrast: Tensor, saturation: Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Combine three factors into one linear map, x' = x matrix + offset.

        x' = b (c (s x + (1 - s) grey(x)) + (1 - c) 127.5)

    where

        b  brightness: 0 is black
        c  contrast: 0 is a flat grey of 127.5
        s  saturation: 0 is grey(x), the luminance of ITU-R BT.601

    Returns:
        matrix `[3, 3]` and offset, a scalar, float32.
    """
    grey = np.repeat(np.array([_LUMINANCE], np.float32).T, 3, axis=1)
    matrix = saturation * (np.eye(3, dtype=np.float32) - grey) + grey
    offset = brightness * (1 - contrast) * 127.5
    return brightness * contrast * matrix, offset


def recolor(image: Image, matrix: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Apply a colour map without clipping: float32."""
    pixels = tf.reshape(tf.cast(image, tf.float32), (-1, 3))
    return tf.reshape(tf.matmul(pixels, matrix) + offset, tf.shape(image))
