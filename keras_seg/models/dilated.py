"""Convolutions of pixels far apart, pixel of the kernel by pixel."""

import itertools
from typing import Any, NamedTuple

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="keras_seg")
class DilatedConv2D(layers.Conv2D):
    """Keras's dilated convolution, quicker with TensorFlow.

        y[i, j] = sum_(a, b) x[i + r a, j + r b] k[a, b]

        x  the map, 0 beyond its edges
        k  the kernel, a and b counted from its centre
        r  `dilation_rate`

    TensorFlow sorts a map into r x r small ones, each of the pixels that lie r apart,
    and a convolution of these is slow. Here each (a, b) is a product of matrices, and
    only of the pixels for which x isn't 0: with r = 24 and a map of 32 x 32 these are
    a quarter of all terms. The numbers are the same but for rounding.

    Args:
        **kwargs: Of `keras.layers.Conv2D`: an odd kernel, `padding="same"`, without
            strides or groups.

    Example:
        >>> import numpy as np
        >>> layer = DilatedConv2D(
        ...     1, (1, 3), dilation_rate=2, padding="same", kernel_initializer="ones"
        ... )
        >>> layer(np.float32([[[[1], [2], [3], [4]]]])).numpy().ravel()
        array([4., 6., 4., 6.], dtype=float32)
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if not self._is_sum_of_products():
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        kernel = ops.convert_to_tensor(kernel)
        size = [inputs.shape[k] or tf.shape(inputs)[k] for k in (1, 2)]
        total: Any = 0.0
        for place in itertools.product(*map(range, self.kernel_size)):
            rows, columns = (
                _seen(length, (k - of // 2) * rate)
                for length, k, of, rate in zip(
                    size, place, self.kernel_size, self.dilation_rate, strict=True
                )
            )
            if rows is None or columns is None:
                continue
            a, b = place
            part = inputs[:, rows.inside, columns.inside]
            part = tf.tensordot(part, kernel[a, b], 1)
            if (counts := rows.counts & columns.counts) is not True:
                part = tf.where(counts, part, 0)
            part = tf.pad(part, [(0, 0), rows.around, columns.around, (0, 0)])
            total += tf.cast(part, "float32")  # halves would lose digits
        return tf.cast(total, inputs.dtype)

    def _is_sum_of_products(self) -> bool:
        """Whether the convolution is of the kind that is computed here."""
        return (
            keras.backend.backend() == "tensorflow"
            and self.data_format == "channels_last"
            and self.padding == "same"
            and self.groups == 1
            and set(self.strides) == {1}
            and all(n % 2 for n in self.kernel_size)
        )


class _Part(NamedTuple):
    """Rows, or columns, of a map that a pixel of the kernel sees.

    Attributes:
        inside: Which.
        around: How many rows of the result lie before and after those that they add to.
        counts: False if the pixel sees none, and `inside` is one that it doesn't see.
    """

    inside: slice
    around: tuple[Any, Any]
    counts: Any


def _seen(length: Any, offset: int) -> _Part | None:
    """What a pixel of the kernel sees along a side of a map; None for nothing.

    Args:
        length: Of the side, an integer, or a scalar where only the graph knows it.
            Then one pixel stands for none: runtimes of exports fail at empty maps.
        offset: How far the pixel is from the centre of the kernel, in pixels of the
            map.
    """
    before, first = max(0, -offset), max(0, offset)
    count = length - abs(offset)
    counts = count > 0
    if not isinstance(length, int):
        before, first = (ops.minimum(n, length - 1) for n in (before, first))
        count = ops.maximum(count, 1)
    elif not counts:
        return None
    after = length - before - count
    return _Part(slice(first, first + count), (before, after), counts)
