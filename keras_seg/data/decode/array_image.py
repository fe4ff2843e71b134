"""Image files that are read in NumPy, as `read_image` wants them."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.checks import check_same_size
from keras_seg.data.decode.array_file import (
    ArrayWindow,
    Page,
    array_head,
    array_size,
    read_array,
)
from keras_seg.data.decode.numpy_op import file_op
from keras_seg.labels import FilePath, Tensor, Window

OTHER_CHANNELS = (
    "Without `channels`, all images must have as many as the first. With `channels=3` "
    "grey images become RGB, and a fourth channel, alpha, is left out."
)


def read_array_image(
    path: FilePath,
    *,
    channels: int,
    dtype: tf.DType | None,
    window: Window,
    mask_size: Tensor,
    page: Page,
) -> tf.Tensor:
    """Read a TIFF, or another file without a decoder in TensorFlow.

    Args:
        path: Scalar string tensor.
        channels: As of `read_image`, as the others.
        dtype: As there; None for what the file has, or in a graph, where that can't be
            known, for uint8.
        window: As there.
        mask_size: As there.
        page: As there.

    Raises:
        ValueError: in eager mode, for a file that can't be read, or another size, dtype
            or number of channels.
    """

    def read(file: bytes, part: ArrayWindow) -> np.ndarray:
        pixels = read_array(file, part, page=page)
        if pixels.dtype != known.as_numpy_dtype:
            raise ValueError(other_dtype(known, pixels.dtype.name))
        return _with_channels(pixels, channels, are_pages=page == "all")

    def size(file: bytes, part: ArrayWindow) -> np.ndarray:
        return np.array(array_size(file, page=page), np.int32)

    known: Any = dtype or tf.uint8
    if dtype is None and tf.executing_eagerly():
        known = tf.as_dtype(array_head(path.numpy(), page=page).dtype)
    if mask_size is not None:
        check_same_size(file_op(size, [path], None, tf.int32, (2,)), mask_size)
    return file_op(read, [path], window, known, (None, None, channels))


def other_dtype(expected: Any, received: str) -> str:
    """What an error says of an image of another dtype than the first one."""
    return (
        f"Expected an image of {expected.name}, as the first one has. Received: "
        f"{received}. Images of one set have one type: save this one as the others, or "
        "leave it out."
    )


def _with_channels(pixels: np.ndarray, channels: int, *, are_pages: bool) -> np.ndarray:
    found = pixels.shape[-1]
    if found == channels:
        return pixels
    if are_pages:  # which are no colours
        raise ValueError(
            f"Expected {channels} channels of all pages together, as in the first "
            f"image. Received: {found}. Likely cause: pages that are missing, or too "
            "many. `page=0` takes one page of each image."
        )
    if channels == 3 and found in (1, 2):
        return np.repeat(pixels[..., :1], 3, axis=-1)
    if channels == 3 and found == 4:
        return np.ascontiguousarray(pixels[..., :3])
    raise ValueError(
        f"Expected an image of {channels} channel{'s' * (channels > 1)}. Received: "
        f"{found}. {OTHER_CHANNELS}"
    )
