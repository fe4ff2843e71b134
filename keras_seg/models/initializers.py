"""Starts of weights that Keras lacks."""

from typing import Any

import keras
import numpy as np
from keras import ops


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
