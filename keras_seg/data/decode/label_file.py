"""Mask files of any kind -> ids: PNG in TensorFlow ops; TIFF, GIF and BMP in NumPy."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.checks import naming
from keras_seg.data.decode.array_file import (
    ArrayWindow,
    index_channels,
    is_array_path,
    read_array,
    read_indices,
)
from keras_seg.data.decode.numpy_op import file_op
from keras_seg.data.decode.png import (
    UNKNOWN_COLOR,
    read_color_png,
    read_label_or_color_png,
    read_label_png,
)
from keras_seg.data.decode.png_header import COLOR, HEADER_END, RGB, RGBA, SIGNATURE
from keras_seg.labels import FilePath, Window

#: How the names of mask files end, in lower case: formats without loss.
ENDINGS = (".png", ".tif", ".tiff", ".gif", ".bmp")
_LARGEST = 2**31 - 1


def read_labels(
    path: FilePath,
    dtype: tf.DType = tf.int32,
    window: Window = None,
    *,
    are_pngs: bool = False,
) -> tf.Tensor:
    """Read a mask file of ids: grey, or indices of a palette.

    Args:
        path: Scalar string tensor.
        dtype: `tf.int32`, or `tf.uint8` if there should be no id above 255.
        window: None, or int32 (top, left, height, width): of a TIFF only these pixels
            are read.
        are_pngs: Whether all masks are PNGs, so that no name has to be looked at.

    Returns:
        `[height, width]`.

    Raises:
        ValueError: in eager mode, naming the file, if it can't be read, or has colours,
            fractions, or ids below 0.
    """

    def of_png() -> tf.Tensor:
        return _part(read_label_png(path, dtype), window)

    def of_array() -> tf.Tensor:
        return tf.cast(file_op(_ids, [path], window, tf.int32, (None, None)), dtype)

    return of_png() if are_pngs else _by_format(path, of_png, of_array)


def read_labels_or_colors(
    path: FilePath, ids: Any, window: Window = None, *, are_pngs: bool = False
) -> tf.Tensor:
    """Read a mask file of ids, or of colours that stand for ids.

    Args:
        path: Scalar string tensor.
        ids: `tf.lookup.StaticHashTable` from red + 256 green + 65536 blue to ids,
            -1 for other colours.
        window: As in `read_labels`.
        are_pngs: Likewise.

    Returns:
        int32 `[height, width]`: ids, or `UNKNOWN_COLOR` plus the number of a colour
        that stands for none.

    Raises:
        ValueError: in eager mode, naming the file, if it can't be read.
    """

    def of_png() -> tf.Tensor:
        return _part(read_label_or_color_png(path, ids), window)

    def of_array() -> tf.Tensor:
        found = file_op(_ids_or_colors, [path], window, tf.int32, (None, None))
        known = ids.lookup(found - UNKNOWN_COLOR)
        is_color = found >= UNKNOWN_COLOR
        return tf.where(is_color & (known >= 0), known, found)

    return of_png() if are_pngs else _by_format(path, of_png, of_array)


def read_colors_of(path: FilePath) -> tf.Tensor:
    """Read a mask file whose colours mean something; eager mode only.

    Returns:
        int32 `[height, width]`: red + 256 green + 65536 blue.
    """
    if not is_array_path(path):
        return read_color_png(path)
    return file_op(_ids_or_colors, [path], None, tf.int32, (None, None)) - UNKNOWN_COLOR


def has_colors(path: FilePath) -> bool:
    """Whether a mask file is in RGB, not grey or with a palette; eager mode only."""
    if is_array_path(path):
        return index_channels(path.numpy()) > 2
    header = tf.io.read_file(path).numpy()[:HEADER_END]
    return header.startswith(SIGNATURE) and header[COLOR : COLOR + 1] in (
        bytes([RGB]),
        bytes([RGBA]),
    )


def _by_format(path: FilePath, of_png: Any, of_array: Any) -> tf.Tensor:
    """What the function of the file's format gives; formats are told by names."""
    with naming(path):
        return tf.cond(is_array_path(path), of_array, of_png)


def _part(ids: tf.Tensor, window: Window) -> tf.Tensor:
    if window is None:
        return ids
    top, left, height, width = tf.unstack(window)
    return ids[top : top + height, left : left + width]


def _ids(path: bytes, window: ArrayWindow) -> np.ndarray:
    pixels = read_indices(path, window)
    channels = pixels.shape[-1]
    if channels != 1:
        raise ValueError(
            f"Expected a mask of one channel. Received: {channels} channels. Save "
            "class ids, not their colours, or say which id each colour stands for: "
            "`palette`."
        )
    return _checked(pixels[..., 0])


def _ids_or_colors(path: bytes, window: ArrayWindow) -> np.ndarray:
    """Ids of a grey file; numbers of colours, plus `UNKNOWN_COLOR`, of another one."""
    pixels = read_array(path, window)
    if pixels.shape[-1] == 1:
        return np.minimum(_ids(path, window), UNKNOWN_COLOR - 1)
    if pixels.shape[-1] not in (3, 4) or pixels.dtype != np.uint8:
        raise ValueError(
            "Expected a mask of one channel, or in RGB, 8 bits each. Received: "
            f"{pixels.shape[-1]} channels, {pixels.dtype}."
        )
    return pixels[..., :3] @ np.array([1, 256, 65536], np.int32) + UNKNOWN_COLOR


def _checked(ids: np.ndarray) -> np.ndarray:
    """Ids as int32, if they are whole and not below 0."""
    if ids.dtype.kind == "f":
        is_whole = np.isfinite(ids) & (ids == np.floor(ids))
        if not is_whole.all():
            raise ValueError(
                "Expected a mask of whole numbers. Received: "
                f"{ids.dtype} with {_first(ids[~is_whole])}. Likely causes: "
                "probabilities, or a mask that was resized smoothly. Try: save class "
                "ids as uint8, and 255 for ignored pixels."
            )
    if ids.dtype.kind in "if" and (ids < 0).any():
        raise ValueError(
            f"Expected class ids from 0 on. Received: {_first(ids[ids < 0])}. Try: "
            "save 255 where they mean ignored pixels."
        )
    # No id is lost in the cast: one that doesn't fit becomes one that isn't valid.
    if ids.dtype.kind == "f":
        ids = np.minimum(ids.astype(np.float64), _LARGEST)
    elif ids.dtype.itemsize >= 4:
        ids = np.minimum(ids, _LARGEST)
    return ids.astype(np.int32)


def _first(values: np.ndarray) -> str:
    """The first few of different values, for a message."""
    found = np.unique(values)
    return ", ".join(f"{x:g}" for x in found[:8]) + ", ..." * (len(found) > 8)
