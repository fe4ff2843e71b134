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
        factor: How many times larger the maps become, in both directions: a power of
            two. (At others XLA's resize was seen to be wrong.)
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
    """Crop a map to the height and width of another.

    Args:
        offset: Rows and columns to leave out at the top and left; the rest goes at the
            bottom and right. "centre" leaves out as many on both sides.
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> CropTo()(np.zeros((1, 4, 6, 2)), np.zeros((1, 3, 5, 7))).shape
        TensorShape([1, 3, 5, 2])
    """

    def __init__(self, offset: int | str = 0, **kwargs: Any):
        # Not autocast: logits stay float32 under a mixed policy.
        super().__init__(**({"autocast": False} | kwargs))
        self.offset = offset

    def call(self, x: Any, like: Any) -> Any:
        _, height, width, _ = ops.shape(like)
        top = left = self.offset
        if self.offset == "centre":
            _, x_height, x_width, _ = ops.shape(x)
            top, left = (x_height - height) // 2, (x_width - width) // 2
        return x[:, top : top + height, left : left + width]

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


def logits_of(scores: Any, activation: Any) -> Any:
    """Scores in float32 under every policy: a model's output."""
    return layers.Activation(
        activation or "linear",
        dtype="float32",
        name="probabilities" if activation else "logits",
    )(scores)


@keras.saving.register_keras_serializable(package="keras_seg")
class PadToMultiple(layers.Layer):
    """Pad maps with 0 at the bottom and right to a multiple of so many pixels.

    Args:
        multiple: What height and width become multiples of.
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> PadToMultiple(32)(np.zeros((1, 32, 33, 3))).shape
        TensorShape([1, 32, 64, 3])
    """

    def __init__(self, multiple: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, x: Any) -> Any:
        _, height, width, _ = ops.shape(x)
        bottom, right = -height % self.multiple, -width % self.multiple
        padding = [[0, 0], [0, bottom], [0, right], [0, 0]]
        if keras.backend.backend() == "tensorflow":
            # keras.ops.pad wants sizes that are known.
            import tensorflow as tf

            return tf.pad(x, padding)
        return ops.pad(x, padding)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, *sides, channels = input_shape
        sides = [s if s is None else s + -s % self.multiple for s in sides]
        return (batch, *sides, channels)

    def get_config(self) -> dict:
        return super().get_config() | {"multiple": self.multiple}


@keras.saving.register_keras_serializable(package="keras_seg")
class CheckRange(layers.Layer):
    """Refuse, while training, images that aren't in 0..255 but were scaled before.

    Those whose values all are at most 1 and not whole, and those with negative values
    and none above 10: what other packages want. Models normalise images themselves, so
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
                    "The model normalises images itself: leave out what scales them, "
                    "or multiply images of 0..1 by 255.",
                ],
            )
        return x

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


@keras.saving.register_keras_serializable(package="keras_seg")
class ReverseChannels(layers.Layer):
    """RGB to BGR, and back.

    Args:
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> ReverseChannels()(np.array([[[[1.0, 2.0, 3.0]]]])).numpy().tolist()
        [[[[3.0, 2.0, 1.0]]]]
    """

    def call(self, x: Any) -> Any:
        return x[..., ::-1]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


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
                self._check(side)
            elif side is not None:
                x = self._assert(x, side)
        return x

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        for side in input_shape[1:3]:
            if side is not None:
                self._check(side)
        return input_shape

    def get_config(self) -> dict:
        return super().get_config() | {"levels": self.levels}

    def _check(self, side: int) -> None:
        if is_valid_size(side, self.levels):
            return
        fits = (is_valid_size(s, self.levels) for s in range(side, 0, -1))
        below = side - next((i for i, ok in enumerate(fits) if ok), side)
        above = next(s for s in range(side, 2**62) if is_valid_size(s, self.levels))
        nearest = f"{below} and {above}" if below else f"{above}"
        raise ValueError(
            "Expected height and width that an unpadded U-Net can halve and double "
            f"without loss. Received: {side}. Nearest: {nearest}."
        )

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
    shape = tuple(input_shape) if isinstance(input_shape, list | tuple) else ()
    sides_fit = all(side is None or is_positive(side) for side in shape[:2])
    if len(shape) != 3 or not sides_fit or not is_positive(shape[2]):
        raise ValueError(
            "Expected `input_shape` to be (height, width, channels), where height and "
            f"width may be None. Received: {input_shape}"
        )
    return shape


def check_word(argument: str, word: Any, words: tuple) -> None:
    """Raise unless `word` is one of those that the argument knows."""
    if word not in words:
        expected = ", ".join(repr(known) for known in words)
        raise ValueError(f"Expected `{argument}` to be {expected}. Received: {word!r}")


def check_share(argument: str, share: Any) -> None:
    """Raise unless this is a share of activations to drop: 0 or more, below 1."""
    is_number = isinstance(share, int | float | np.number) and share is not True
    if not (is_number and 0 <= share < 1):
        raise ValueError(
            f"Expected `{argument}` to be 0 or more and below 1. Received: {share!r}"
        )


def is_positive(number: Any) -> bool:
    """Whether this is an integer of 1 or more."""
    is_integer = isinstance(number, int | np.integer) and number is not True
    return is_integer and bool(number > 0)
