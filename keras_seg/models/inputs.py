"""How images come into a model: their range, and a check that it is theirs."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_seg.labels import Image, ValueRange, check_value_range, shown_range

# Images whose mean is so many ranges below black or above white have another range.
_FAR = 1


def image_input(
    input_shape: tuple[int | None, int | None, int],
    value_range: ValueRange = (0, 255),
) -> tuple[Image, Image]:
    """Make the input of a model.

    Args:
        input_shape: Height, width and channels of the images.
        value_range: (low, high) of the images: numbers, or one for each channel.

    Returns:
        The symbolic image, and the same in 0..255, which is what follows takes.

    Raises:
        ValueError: for a range that isn't one, or of another number of channels.
    """
    low, high = check_value_range(value_range, channels=input_shape[-1])
    image = keras.Input(input_shape, name="image")
    if (low, high) == (0, 255):
        return image, CheckRange(name="range")(image)
    return image, FromValueRange(low, high, name="value_range")(image)


def value_range_of(model: keras.Model) -> ValueRange:
    """The (low, high) of the images that a model takes.

    Example:
        >>> image, pixels = image_input((None, None, 3), (0, 4095))
        >>> value_range_of(keras.Model(image, pixels))
        (0, 4095)
    """
    for layer in model.layers:
        if isinstance(layer, FromValueRange):
            return layer.low, layer.high
    return 0, 255


@keras.saving.register_keras_serializable(package="keras_seg")
class CheckRange(layers.Layer):
    """Refuse, while training, images that aren't in 0..255 but were scaled before.

    Those whose values all are at most 1 and not whole, and those with negative values
    and none above 10: what other packages want. Models normalize images themselves, so
    they would learn from images that are nearly one colour. It costs two passes over
    the images of a step, and nothing outside of training. XLA and JAX drop the check.

    Args:
        **kwargs: Of `keras.layers.Layer`.

    Raises:
        tf.errors.InvalidArgumentError: while training on TensorFlow.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**({"autocast": False} | kwargs))

    def call(self, x: Any, training: bool = False) -> Any:
        if training and keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            low, high = tf.reduce_min(x), tf.reduce_max(x)
            whole = tf.reduce_all(tf.equal(x, tf.round(x)))
            small = tf.logical_and(high <= 1, tf.logical_not(whole))
            centred = tf.logical_and(low < 0, high < 10)
            tf.debugging.Assert(
                tf.logical_not(tf.logical_or(small, centred)),
                [
                    "Expected images in 0..255. Received images from",
                    low,
                    "to",
                    high,
                    "The model normalizes images itself: leave out what scales them, "
                    "or multiply images of 0..1 by 255. A model of images in another "
                    "range is built with value_range=(low, high).",
                ],
            )
        return x

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


@keras.saving.register_keras_serializable(package="keras_seg")
class FromValueRange(layers.Layer):
    """Map images from their range to 0..255, in float32 under every policy.

    Values outside of the range go on outside of 0..255. While training on TensorFlow,
    images of another range are refused: those whose mean is far outside of this one,
    and those whose values are fractions within a 255th of it, as of 0..1. XLA and JAX
    drop the check.

    Args:
        low: What becomes 0: a number, or one for each channel.
        high: What becomes 255, likewise.
        **kwargs: Of `keras.layers.Layer`.

    Raises:
        tf.errors.InvalidArgumentError: while training on TensorFlow.

    Example:
        >>> FromValueRange(0, 4095)(np.array([[[[0], [4095]]]])).numpy().tolist()
        [[[[0.0], [255.0]]]]
    """

    def __init__(self, low: Any, high: Any, **kwargs: Any):
        super().__init__(**({"autocast": False} | kwargs))
        self.low, self.high = check_value_range((low, high))

    def call(self, x: Any, training: bool = False) -> Any:
        x = ops.cast(x, "float32")
        low, high = np.float32(self.low), np.float32(self.high)
        if training and keras.backend.backend() == "tensorflow":
            self._check(x, low, high)
        return (x - low) * (np.float32(255) / (high - low))

    def _check(self, x: Any, low: Any, high: Any) -> None:
        import tensorflow as tf

        mean = tf.reduce_mean((x - low) / (high - low))
        far = tf.abs(mean - 0.5) > 0.5 + _FAR
        fractions = tf.reduce_any(x != tf.round(x))
        small = tf.reduce_all((x - low) * 255 <= high - low) & (tf.reduce_min(x) >= 0)
        tf.debugging.Assert(
            ~(far | (small & fractions)),
            [
                f"Expected images in {shown_range((self.low, self.high))}, the range "
                "of the model. Received images from",
                tf.reduce_min(x),
                "to",
                tf.reduce_max(x),
                "The model scales images itself: leave out what scales them, or build "
                "it with the range that they have.",
            ],
        )

    def compute_output_spec(self, x: Any, training: bool = False) -> Any:
        return keras.KerasTensor(x.shape, "float32")

    def get_config(self) -> dict:
        return super().get_config() | {"low": self.low, "high": self.high}
