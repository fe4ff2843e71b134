"""Weights of RGB nets for images of another number of channels.

Only what sees the image itself changes: the first kernel, and the mean and deviation
that images are normalized by. The kernel is repeated and rescaled as
segmentation_models_pytorch does it (`patch_first_conv` of its encoders).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import layers

#: Layers that filter each channel on its own, which have no sum to rescale.
_PER_CHANNEL = (layers.DepthwiseConv2D, layers.SeparableConv2D)


def repeat_kernel(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Repeat the kernel of an RGB net over other channels.

        1 channel:   K'[:, :, 0] = K[:, :, 0] + K[:, :, 1] + K[:, :, 2]
        n channels:  K'[:, :, i] = 3 / n * K[:, :, i mod 3]

    So the channels are taken as red, green, blue, red, ..., and the sums keep their
    size. An image with three equal channels gives what its one channel gives, and one
    of six channels, RGB twice, gives what RGB gives.

    Args:
        kernel: `[height, width, 3, filters]`.
        channels: The number of channels, n.

    Returns:
        `[height, width, channels, filters]`.

    Example:
        >>> kernel = np.array([2.0, 4.0, 8.0]).reshape(1, 1, 3, 1)
        >>> repeat_kernel(kernel, 1).ravel().tolist()
        [14.0]
        >>> repeat_kernel(kernel, 4).ravel().tolist()
        [1.5, 3.0, 6.0, 1.5]
    """
    if channels == 3:
        return kernel
    if channels == 1:
        return kernel.sum(2, keepdims=True)
    return kernel[:, :, np.arange(channels) % 3] * (3 / channels)


def repeat_numbers(numbers: Sequence[float] | np.ndarray, channels: int) -> np.ndarray:
    """Repeat red's, green's and blue's number over other channels; grey's is the mean.

    Args:
        numbers: Three numbers: means of the channels, or deviations.
        channels: The number of channels.

    Example:
        >>> repeat_numbers([3.0, 6.0, 9.0], 4).tolist(), repeat_numbers([3, 6, 9], 1)
        ([3.0, 6.0, 9.0, 3.0], array([6.]))
    """
    values = np.asarray(numbers, np.float64)
    if channels == 1:
        return values.mean(keepdims=True)
    return values[np.arange(channels) % 3]


def fit_channels(
    layer: Any, values: Sequence[np.ndarray], *, reverse: bool = False
) -> list[np.ndarray]:
    """Weights of a layer of an RGB net, for that layer in a net of other channels.

    Args:
        layer: The layer of the net of other channels.
        values: Weights of the layer of the RGB net.
        reverse: Whether the RGB net takes its channels as blue, green, red.

    Returns:
        Weights with the shapes of the layer's where only channels differ; others as
        they are.

    Raises:
        ValueError: for a layer that filters each channel on its own.

    Example:
        >>> layer = layers.Conv2D(2, 1, name="conv")
        >>> layer.build((None, 8, 8, 1))
        >>> kernel, bias = fit_channels(layer, [np.ones((1, 1, 3, 2)), np.zeros(2)])
        >>> kernel.tolist(), bias.tolist()
        ([[[[3.0, 3.0]]]], [0.0, 0.0])
    """
    shapes = [tuple(weight.shape) for weight in layer.weights]
    if len(values) != len(shapes):  # which `assign` tells
        return list(values)
    if isinstance(layer, layers.Normalization) and values[0].size == 3 != shapes[0][0]:
        order = slice(None, None, -1 if reverse else 1)
        mean, variance, count = values  # as EfficientNet has them
        channels = shapes[0][0]
        deviation = repeat_numbers(np.sqrt(variance)[order], channels)
        return [repeat_numbers(mean[order], channels), deviation**2, count]
    return [
        _fitted(layer, value, shape, reverse)
        for value, shape in zip(values, shapes, strict=True)
    ]


def _fitted(
    layer: Any, value: np.ndarray, shape: tuple[int, ...], reverse: bool
) -> np.ndarray:
    if value.ndim != 4 or value.shape[2] != 3 or len(shape) != 4:
        return value
    if value.shape == shape or (*value.shape[:2], value.shape[3]) != (
        *shape[:2],
        shape[3],
    ):
        return value
    if isinstance(layer, _PER_CHANNEL):
        raise ValueError(
            "Expected a net whose first layer sums over the channels, for images of "
            f"{shape[2]} channels. Received: {layer.name!r}, which filters each on its "
            "own. Try: images of 3 channels, or another encoder."
        )
    return repeat_kernel(value[:, :, ::-1] if reverse else value, shape[2])
