"""A model as it is served: raw images in, class ids and probabilities out."""

from typing import Any

import keras
import tensorflow as tf

from keras_seg.labels import IGNORE
from keras_seg.models.inputs import value_range_of
from keras_seg.models.outputs import count_classes, ends_in_softmax

# TensorFlow's largest float32: what is above it, or no number, isn't finite.
_LARGEST = tf.float32.max


class Served:
    """The two functions that every export has.

    Args:
        model: A model from images to logits or probabilities, of 2 to 255 classes.
        size: (height, width) of the images, where they aren't free. A model's own fixed
            size goes first.
        dtype: Of the images: "uint8", "uint16" or "float32".
        in_bytes: Whether scores will be whole numbers: those are never NaN, and what
            asks for it would be rounded to bytes too.

    Attributes:
        model: The model.
        num_classes: Its number of classes.
        image: What the functions take: `[batch, height, width, channels]`.
        value_range: (low, high) of the images.

    Raises:
        ValueError: for a model that can't be served.
    """

    def __init__(
        self,
        model: keras.Model,
        size: tuple[int, int] | None = None,
        dtype: str = "uint8",
        *,
        in_bytes: bool = False,
    ):
        self.model = model
        self._in_bytes = in_bytes
        self.num_classes = count_classes(model, at_most=255)
        self._finished = ends_in_softmax(model)
        *sides, channels = model.input_shape[1:]
        sides = [
            own or side for own, side in zip(sides, size or (None, None), strict=True)
        ]
        self.image = tf.TensorSpec((None, *sides, channels), dtype, name="image")
        self.value_range = value_range_of(model)

    @property
    def input_shape(self) -> tuple[int | None, int | None, int]:
        """(height, width, channels); None is any height or width."""
        return tuple(self.image.shape[1:])

    def mask(self, image: Any) -> dict[str, Any]:
        """`mask`: ids, uint8 `[batch, height, width]`, `IGNORE` where there is NaN."""
        return {"mask": self._ids(self._scores(image))}

    def probabilities(self, image: Any) -> dict[str, Any]:
        """`probabilities`: float32 `[batch, height, width, num_classes]`."""
        return {"probabilities": self._likely(self._scores(image))}

    def both(self, image: Any) -> dict[str, Any]:
        """`mask` and `probabilities`."""
        scores = self._scores(image)
        return {"mask": self._ids(scores), "probabilities": self._likely(scores)}

    def _scores(self, image: Any) -> Any:
        scores = self.model(tf.cast(image, tf.float32), training=False)
        return tf.cast(scores, tf.float32)

    def _likely(self, scores: Any) -> Any:
        return scores if self._finished else tf.nn.softmax(scores)

    def _ids(self, scores: Any) -> Any:
        """The largest score of each pixel.

        Of the scores, not of probabilities: in half precision and in bytes many of
        those are equal. Finite is what isn't above the largest number, since neither
        ONNX nor LiteRT has an operation for it. (Minus infinity is fine: a class that
        can't be.)
        """
        ids = tf.argmax(scores, axis=-1, output_type=tf.int32)
        if not self._in_bytes:
            is_number = tf.reduce_all(scores <= _LARGEST, axis=-1)
            ids = tf.where(is_number, ids, IGNORE)
        return tf.cast(ids, tf.uint8)  # last: LiteRT can't choose between bytes
