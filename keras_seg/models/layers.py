"""What makes every input size work: enlarge by a factor, then crop to the skip.

Pools with `padding="same"` round sizes up, so what comes back up is as large as the
skip that waits for it or a little larger, and aligned with it at the top left.
"""

from typing import Any

import keras
from keras import layers, ops

from keras_seg.models.grids import resize


@keras.saving.register_keras_serializable(package="keras_seg")
class UpsampleBilinear(layers.Layer):
    """Enlarge maps by a whole factor with bilinear interpolation.

    Half-pixel centres: pixel i of the input covers pixels `i * factor` to
    `(i + 1) * factor - 1` of the output. Unlike Keras's `UpSampling2D` it also works
    in graph mode on maps whose height and width are unknown.

    Args:
        factor: How many times larger the maps become, in both directions: a power of
            two. (At others XLA's resize was seen to be wrong.)
        align_corners: Whether instead the centres of the corner pixels stay where they
            are, as in many decoders that were written for PyTorch.
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> UpsampleBilinear(2)(np.array([[[[0.0], [4.0]]]]))[0, 0, :, 0].numpy()
        array([0., 1., 3., 4.], dtype=float32)
    """

    def __init__(self, factor: int, align_corners: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = factor
        self.align_corners = align_corners

    def call(self, x: Any) -> Any:
        _, height, width, _ = ops.shape(x)
        size = (height * self.factor, width * self.factor)
        # XLA's own resize with aligned corners is right at a factor of 2. At larger
        # ones some sizes are wrong, such as 2 x 4 pixels enlarged 4 times.
        if self.align_corners and (
            self.factor > 2 or keras.backend.backend() != "tensorflow"
        ):
            return resize(x, *size, align_corners=True)
        if keras.backend.backend() == "tensorflow":
            # keras.ops.image.resize asks symbolic sizes for their truth.
            import tensorflow as tf

            if not self.align_corners:
                return ops.cast(tf.image.resize(x, size), x.dtype)
            # tf.image.resize doesn't have it; `resize` takes seven times as long.
            y = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)
            return ops.cast(y, x.dtype)
        return ops.image.resize(x, size, data_format="channels_last")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, channels = input_shape
        return (
            batch,
            None if height is None else height * self.factor,
            None if width is None else width * self.factor,
            channels,
        )

    def get_config(self) -> dict:
        return super().get_config() | {
            "factor": self.factor,
            "align_corners": self.align_corners,
        }


@keras.saving.register_keras_serializable(package="keras_seg")
class UpsampleNearest(layers.UpSampling2D):
    """Enlarge maps by a whole factor, each pixel repeated.

    `UpSampling2D(interpolation="nearest")` whose maps of unknown size stay maps of a
    known number of channels when a graph is converted to LiteRT, and become one resize
    operation there and in ONNX. Training keeps Keras's own form, whose gradient is
    deterministic on GPUs too.

    Args:
        size: How many times larger the maps become, in both directions.
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> UpsampleNearest(2)(np.array([[[[0.0], [4.0]]]]))[0, 0, :, 0].numpy()
        array([0., 0., 4., 4.], dtype=float32)
    """

    def call(self, x: Any, training: bool = False) -> Any:
        if training or keras.backend.backend() != "tensorflow":
            return super().call(x)
        import tensorflow as tf

        _, height, width, _ = ops.shape(x)
        size = (height * self.size[0], width * self.size[1])
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size)


@keras.saving.register_keras_serializable(package="keras_seg")
class CropTo(layers.Layer):
    """Crop a map to the height and width of another.

    Args:
        offset: Rows and columns to leave out at the top and left; the rest goes at the
            bottom and right. "centre" leaves out as many on both sides.
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> CropTo()(np.zeros((1, 4, 6, 2)), np.zeros((1, 3, 5, 7))).shape
        TensorShape([1, 3, 5, 2])
    """

    def __init__(self, offset: int | str = 0, **kwargs: Any):
        # Not autocast: logits stay float32 under a mixed policy.
        super().__init__(**({"autocast": False} | kwargs))
        self.offset = offset

    def call(self, x: Any, like: Any) -> Any:
        _, height, width, _ = ops.shape(like)
        batch, x_height, x_width, channels = ops.shape(x)
        top = left = self.offset
        if self.offset == "centre":
            top, left = (x_height - height) // 2, (x_width - width) // 2
        # Not x[:, ...]: ONNX would have its open end as the largest integer, in floats.
        return ops.slice(x, (0, top, left, 0), (batch, height, width, channels))

    def compute_output_spec(self, x: Any, like: Any) -> keras.KerasTensor:
        shape = (x.shape[0], *like.shape[1:3], x.shape[3])
        return keras.KerasTensor(shape, dtype=x.dtype)

    def get_config(self) -> dict:
        return super().get_config() | {"offset": self.offset}


def crop_to(x: Any, like: Any, *, name: str, offset: int | str = 0) -> Any:
    """Crop `x` to the size of `like`, by no layer at all where both are known equal."""
    size = tuple(x.shape[1:3])
    if None not in size and size == tuple(like.shape[1:3]):
        return x
    return CropTo(offset, name=name)(x, like)


@keras.saving.register_keras_serializable(package="keras_seg")
class BroadcastTo(layers.Layer):
    """Repeat a map of one pixel to the height and width of another.

    It is what bilinear interpolation makes of one pixel.

    Args:
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> BroadcastTo()(np.ones((1, 1, 1, 2)), np.zeros((1, 3, 5, 7))).shape
        TensorShape([1, 3, 5, 2])
    """

    def call(self, x: Any, like: Any) -> Any:
        batch, height, width, _ = ops.shape(like)
        return ops.broadcast_to(x, (batch, height, width, x.shape[-1]))

    def compute_output_spec(self, x: Any, like: Any) -> keras.KerasTensor:
        shape = (*like.shape[:3], x.shape[3])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_seg")
class PadToMultiple(layers.Layer):
    """Pad maps with 0 at the bottom and right to a multiple of so many pixels.

    Args:
        multiple: What height and width become multiples of.
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> PadToMultiple(32)(np.zeros((1, 32, 33, 3))).shape
        TensorShape([1, 32, 64, 3])
    """

    def __init__(self, multiple: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, x: Any) -> Any:
        _, height, width, _ = ops.shape(x)
        # Not -height % m: ONNX rounds the quotients of negative numbers the other way.
        m = self.multiple
        bottom, right = (m - height % m) % m, (m - width % m) % m
        padding = [[0, 0], [0, bottom], [0, right], [0, 0]]
        if keras.backend.backend() == "tensorflow":
            # keras.ops.pad wants sizes that are known.
            import tensorflow as tf

            padded = tf.pad(x, padding)
            if None not in padded.shape[1:3]:
                return padded
            # The converter to LiteRT forgets how many channels a padded map has.
            size = (height + bottom, width + right)
            return tf.reshape(padded, (-1, *size, x.shape[-1]))
        return ops.pad(x, padding)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, *sides, channels = input_shape
        sides = [s if s is None else s + -s % self.multiple for s in sides]
        return (batch, *sides, channels)

    def get_config(self) -> dict:
        return super().get_config() | {"multiple": self.multiple}


@keras.saving.register_keras_serializable(package="keras_seg")
class ReverseChannels(layers.Layer):
    """RGB to BGR, and back.

    Args:
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> ReverseChannels()(np.array([[[[1.0, 2.0, 3.0]]]])).numpy().tolist()
        [[[[3.0, 2.0, 1.0]]]]
    """

    def call(self, x: Any) -> Any:
        return x[..., ::-1]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape
