"""The sizes of images that an unpadded U-Net can take."""

from typing import Any

import keras
from keras import layers, ops

from keras_seg.labels import Image


def is_valid_size(side: int, levels: int) -> bool:
    """Whether unpadded convolutions and `levels` pools leave no pixel over.

    Example:
        >>> [side for side in range(550, 600) if is_valid_size(side, levels=4)]
        [556, 572, 588]
    """
    for _ in range(levels):
        side -= 4
        if side < 2 or side % 2:
            return False
        side //= 2
    out = side - 4
    for _ in range(levels):
        out = 2 * out - 4
    return side > 4 and out > 0


def check_valid_size(side: int, levels: int) -> None:
    """Raise unless an unpadded U-Net can take this height or width."""
    if is_valid_size(side, levels):
        return
    fits = (is_valid_size(s, levels) for s in range(side, 0, -1))
    below = side - next((i for i, ok in enumerate(fits) if ok), side)
    above = next(s for s in range(side, 2**62) if is_valid_size(s, levels))
    nearest = f"{below} and {above}" if below else f"{above}"
    raise ValueError(
        "Expected height and width that an unpadded U-Net can halve and double "
        f"without loss. Received: {side}. Nearest: {nearest}."
    )


@keras.saving.register_keras_serializable(package="keras_seg")
class RequireValidSize(layers.Layer):
    """Let images through whose height and width an unpadded U-Net can take.

    Args:
        levels: Number of pools.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(self, levels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.levels = levels

    def call(self, x: Any) -> Any:
        for side in ops.shape(x)[1:3]:
            if isinstance(side, int):
                check_valid_size(side, self.levels)
            elif side is not None:
                x = self._assert(x, side)
        return x

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        for side in input_shape[1:3]:
            if side is not None:
                check_valid_size(side, self.levels)
        return input_shape

    def get_config(self) -> dict:
        return super().get_config() | {"levels": self.levels}

    def _assert(self, x: Any, side: Any) -> Any:
        """Check a size that only TensorFlow's graph will know."""
        import tensorflow as tf

        step = 2**self.levels
        first = next(s for s in range(1, 2**62) if is_valid_size(s, self.levels))
        fits = tf.logical_and(side >= first, tf.equal((side - first) % step, 0))
        below = tf.maximum(first, side - (side - first) % step)
        message = f"Expected height and width {step} k + {first}. Received:"
        data = [message, side, "Nearest:", below, "and", below + step]
        with tf.control_dependencies([tf.debugging.Assert(fits, data)]):
            return tf.identity(x)


def require_valid_size(image: Image, levels: int) -> Image:
    """A symbolic image, checked now where its size is known, else once it is.

    Keras would put a page around an error that a layer raises.
    """
    for side in image.shape[1:3]:
        if side is not None:
            check_valid_size(side, levels)
    return RequireValidSize(levels, name="valid_size")(image)
