"""What makes every input size work: enlarge by a factor, then crop to the skip.

Pools with `padding="same"` round sizes up, so what comes back up is as large as the
skip that waits for it or a little larger, and aligned with it at the top left.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable(package="keras_seg")
class UpsampleBilinear(layers.Layer):
    """Enlarge maps by a whole factor with bilinear interpolation.

    Half-pixel centres: pixel i of the input covers pixels `i * factor` to
    `(i + 1) * factor - 1` of the output. Unlike Keras's `UpSampling2D` it also works
    in graph mode on maps whose height and width are unknown.

    Args:
        factor: How many times larger the maps become, in both directions.
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> UpsampleBilinear(2)(np.array([[[[0.0], [4.0]]]]))[0, 0, :, 0].numpy()
        array([0., 1., 3., 4.], dtype=float32)
    """

    def __init__(self, factor: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x: Any) -> Any:
        _, height, width, _ = ops.shape(x)
        size = (height * self.factor, width * self.factor)
        if keras.backend.backend() == "tensorflow":
            # keras.ops.image.resize asks symbolic sizes for their truth.
            import tensorflow as tf

            return ops.cast(tf.image.resize(x, size), x.dtype)
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
        return super().get_config() | {"factor": self.factor}


@keras.saving.register_keras_serializable(package="keras_seg")
class CropTo(layers.Layer):
    """Crop a map at the bottom and right to the height and width of another.

    Args:
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> CropTo()(np.zeros((1, 4, 6, 2)), np.zeros((1, 3, 5, 7))).shape
        TensorShape([1, 3, 5, 2])
    """

    def __init__(self, **kwargs: Any):
        # Not autocast: logits stay float32 under a mixed policy.
        super().__init__(autocast=False, **kwargs)

    def call(self, x: Any, like: Any) -> Any:
        _, height, width, _ = ops.shape(like)
        return x[:, :height, :width]

    def compute_output_spec(self, x: Any, like: Any) -> keras.KerasTensor:
        shape = (x.shape[0], *like.shape[1:3], x.shape[3])
        return keras.KerasTensor(shape, dtype=x.dtype)


def crop_to(x: Any, like: Any, *, name: str) -> Any:
    """Crop `x` to the size of `like`, by no layer at all where both are known equal."""
    size = tuple(x.shape[1:3])
    if None not in size and size == tuple(like.shape[1:3]):
        return x
    return CropTo(name=name)(x, like)


@keras.saving.register_keras_serializable(package="keras_seg")
class Bilinear(keras.initializers.Initializer):
    """Kernel of a transposed convolution that interpolates each channel bilinearly.

        k[y, x, c, c] = (1 - |y - centre| / f) * (1 - |x - centre| / f)

    with f = (size + 1) // 2, and centre = f - 1 if size is odd, f - 0.5 if it is even;
    0 between different channels. With stride f and size 2f it enlarges f times.

    Example:
        >>> Bilinear()((4, 4, 1, 1))[0, :, 0, 0].numpy()
        array([0.0625, 0.1875, 0.1875, 0.0625], dtype=float32)
    """

    def __call__(self, shape: tuple, dtype: Any = None) -> Any:
        height, width, channels_out, channels_in = shape
        diagonal = np.eye(channels_out, channels_in)
        kernel = np.einsum("y,x,oi->yxoi", _tent(height), _tent(width), diagonal)
        return ops.convert_to_tensor(kernel, dtype=dtype or keras.config.floatx())


def _tent(size: int) -> np.ndarray:
    """Weights of linear interpolation: one line of the kernel above."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    return 1 - np.abs(np.arange(size) - centre) / factor


def check_input_shape(input_shape: Any) -> tuple[int | None, int | None, int]:
    """Return `input_shape` as a tuple if it is (height, width, channels).

    Raises:
        ValueError: unless channels is positive, height and width positive or None.
    """
    shape = tuple(input_shape)
    sides_fit = all(side is None or _is_positive(side) for side in shape[:2])
    if len(shape) != 3 or not sides_fit or not _is_positive(shape[2]):
        raise ValueError(
            "Expected `input_shape` to be (height, width, channels), where height and "
            f"width may be None. Received: {input_shape}"
        )
    return shape


def check_word(argument: str, word: Any, words: tuple[str, ...]) -> None:
    """Raise unless `word` is one of those that the argument knows."""
    if word not in words:
        expected = ", ".join(repr(known) for known in words)
        raise ValueError(f"Expected `{argument}` to be {expected}. Received: {word!r}")


def _is_positive(number: Any) -> bool:
    return isinstance(number, int | np.integer) and bool(number > 0)
