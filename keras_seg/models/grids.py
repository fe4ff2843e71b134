"""Maps to grids of a few cells and back, as products with a matrix for each axis.

Unlike Keras's own layers for it, these work in graph mode on maps whose height and
width are unknown, and at every ratio of sizes.
"""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="keras_seg")
class AdaptiveAveragePool(layers.Layer):
    """The mean of each cell of a grid of n x n cells over a map.

    Cell i of n covers rows floor(i H / n) to ceil((i + 1) H / n) - 1 of H, and columns
    alike, as in PyTorch's `AdaptiveAvgPool2d`: cells overlap by a row where n doesn't
    divide H, and are never empty.

    Args:
        cells: Number n of cells in each direction.
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> x = np.arange(5.0).reshape(1, 1, 5, 1)
        >>> AdaptiveAveragePool(2)(x)[0, 0, :, 0].numpy()
        array([1., 3.], dtype=float32)
    """

    def __init__(self, cells: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.cells = cells

    def call(self, x: Any) -> Any:
        _, height, width, _ = ops.shape(x)
        rows, columns = self._means(height), self._means(width)
        # Sums of many pixels: in float32 under every policy.
        x = ops.einsum("ih,bhwc->biwc", rows, ops.cast(x, "float32"))
        x = ops.einsum("jw,biwc->bijc", columns, x)
        return ops.cast(x, self.compute_dtype)

    def _means(self, size: Any) -> Any:
        """`[cells, size]`: the share that each pixel of a line has in each cell."""
        i = ops.arange(self.cells, dtype="int32")
        start = i * size // self.cells
        end = ((i + 1) * size + self.cells - 1) // self.cells
        pixels = ops.arange(size, dtype="int32")
        inside = (pixels >= start[:, None]) & (pixels < end[:, None])
        return ops.cast(inside, "float32") / ops.cast(end - start, "float32")[:, None]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, _, _, channels = input_shape
        return (batch, self.cells, self.cells, channels)

    def get_config(self) -> dict:
        return super().get_config() | {"cells": self.cells}


@keras.saving.register_keras_serializable(package="keras_seg")
class ResizeTo(layers.Layer):
    """Resize a map to the height and width of another, with bilinear interpolation.

    Args:
        align_corners: Whether the centres of the corner pixels stay where they are;
            else the corners of the maps do (half-pixel centres).
        **kwargs: Of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> x = np.array([[[[0.0], [4.0]]]])
        >>> ResizeTo()(x, np.zeros((1, 1, 4, 1)))[0, 0, :, 0].numpy()
        array([0., 1., 3., 4.], dtype=float32)
        >>> ResizeTo(align_corners=True)(x, np.zeros((1, 1, 5, 1)))[0, 0, :, 0].numpy()
        array([0., 1., 2., 3., 4.], dtype=float32)
    """

    def __init__(self, align_corners: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.align_corners = align_corners

    def call(self, x: Any, like: Any) -> Any:
        _, height, width, _ = ops.shape(like)
        return resize(x, height, width, align_corners=self.align_corners)

    def compute_output_spec(self, x: Any, like: Any) -> keras.KerasTensor:
        shape = (x.shape[0], *like.shape[1:3], x.shape[3])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict:
        return super().get_config() | {"align_corners": self.align_corners}


def resize(x: Any, height: Any, width: Any, *, align_corners: bool) -> Any:
    """Resize maps bilinearly; of what is made smaller nothing is averaged."""
    _, x_height, x_width, _ = ops.shape(x)
    rows = _interpolation(height, x_height, align_corners)
    columns = _interpolation(width, x_width, align_corners)
    x = ops.einsum("hi,bijc->bhjc", ops.cast(rows, x.dtype), x)
    return ops.einsum("wj,bhjc->bhwc", ops.cast(columns, x.dtype), x)


def _interpolation(size: Any, source: Any, align_corners: bool) -> Any:
    """`[size, source]`: the share that each old pixel of a line has in each new one."""
    pixels, old = _indices(size), _indices(source)
    size, last = ops.cast(size, "float32"), ops.cast(source - 1, "float32")
    if align_corners:
        place = pixels * last / ops.maximum(size - 1, 1.0)
    else:
        place = ops.clip((pixels + 0.5) * (last + 1) / size - 0.5, 0.0, last)
    return ops.relu(1 - ops.abs(place[:, None] - old))


def _indices(size: Any) -> Any:
    return ops.cast(ops.arange(size, dtype="int32"), "float32")
