"""Image files -> pixels, in TensorFlow ops."""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_seg.data.checks import check_same_size, naming, require
from keras_seg.data.decode.array_file import Page, array_head, is_array_path
from keras_seg.data.decode.array_image import (
    OTHER_CHANNELS,
    other_dtype,
    read_array_image,
)
from keras_seg.data.decode.formats import is_jpeg, is_png, kind, remedy
from keras_seg.data.decode.png import decode_palette_png
from keras_seg.data.decode.png_header import (
    CHANNELS,
    COLOR,
    DEPTH,
    HEADER_END,
    PALETTE,
    read_header,
)
from keras_seg.data.tracing import traced_once
from keras_seg.labels import FilePath, Tensor, Window


def read_jpeg(
    path: FilePath, window: Window = None, *, mask_size: Tensor = None
) -> tf.Tensor:
    """Read a JPEG file, or a window of it, as RGB.

    Args:
        path: Scalar string tensor.
        window: None for the whole image, or int32 (top, left, height, width): only
            these pixels are decoded.
        mask_size: None, or (height, width) that the whole image must have.

    Returns:
        uint8 `[height, width, 3]`, the pixels that libjpeg's accurate transform gives.
        Colours in the first and last column of a window may differ a little from those
        of the whole image: libjpeg has no neighbours to interpolate there.

    Raises:
        ValueError: in eager mode, naming the file, if it isn't a whole JPEG or has
            another size.
    """
    with naming(path):
        contents = tf.io.read_file(path)
        require(
            is_jpeg(contents),
            lambda: f"Expected a JPEG file. Received: {kind(contents)}.",
        )
        image = _decode_jpeg(contents, 3, window, mask_size)
    return tf.ensure_shape(image, (None, None, 3))


class Pixels(NamedTuple):
    """What the pixels of a file are.

    Attributes:
        channels: How many channels `read_image` should ask the file for.
        dtype: Their type.
    """

    channels: int
    dtype: tf.DType


def read_image(
    path: FilePath,
    *,
    channels: int = 3,
    dtype: tf.DType | None = None,
    window: Window = None,
    mask_size: Tensor = None,
    page: Page = 0,
    are_photos: bool = False,
) -> tf.Tensor:
    """Read an image file, or a window of it.

    JPEGs and PNGs are read in TensorFlow ops, whatever they are called; files whose
    names end as `array_file.ENDINGS` says, in NumPy.

    Args:
        path: Scalar string tensor, or string.
        channels: 1 (grey), 2 (grey and another, of a PNG), 3 (RGB), or 4 (RGB and
            another, of a PNG). With 3, grey becomes RGB, a palette its colours, and a
            fourth channel is left out.
        dtype: What the file must have; None for what it has, but for 16 bits of a PNG,
            which are scaled to 8.
        window: None, or int32 (top, left, height, width).
        mask_size: None, or (height, width) that the whole image must have.
        page: Which page of a TIFF, from 0; "all" for the channels of all pages.
        are_photos: Whether all files are JPEGs and PNGs, so that no name has to be
            looked at.

    Returns:
        `[height, width, channels]`, in that dtype.

    Raises:
        ValueError: in eager mode, naming the file, if it isn't whole, or has another
            size or dtype or fewer or other channels.
    """
    path = tf.convert_to_tensor(path)
    asked: dict[str, Any] = {"channels": channels, "dtype": dtype}
    asked |= {"window": window, "mask_size": mask_size}

    def photo() -> tf.Tensor:
        return decode_image(tf.io.read_file(path), **asked)

    def array() -> tf.Tensor:
        return read_array_image(path, **asked, page=page)

    with naming(path):
        if are_photos:
            return photo()
        if tf.executing_eagerly():
            return array() if bool(is_array_path(path)) else photo()
        return tf.cond(is_array_path(path), array, photo)


@traced_once
def decode_image(
    contents: tf.Tensor,
    *,
    channels: int = 3,
    dtype: tf.DType | None = None,
    window: Window = None,
    mask_size: Tensor = None,
) -> tf.Tensor:
    """Decode what `read_image` reads, from the bytes of the file."""
    require(
        is_jpeg(contents) | is_png(contents),
        lambda: (
            f"Expected a JPEG or PNG. Received: {kind(contents)}. {remedy(contents)}"
        ),
    )
    image = tf.cond(
        is_png(contents),
        lambda: _decode_png(contents, channels, dtype, window, mask_size),
        lambda: _of_8_bits(
            dtype, _decode_jpeg(contents, channels, window, mask_size), "a JPEG"
        ),
    )
    return tf.ensure_shape(image, (None, None, channels))


def pixels_of(path: FilePath, *, page: Page = 0) -> Pixels:
    """Return what the pixels of a file are; eager mode only.

    Args:
        path: Scalar string tensor.
        page: As of `read_image`.
    """
    with naming(path):
        if bool(is_array_path(path)):
            head = array_head(path.numpy(), page=page)
            return Pixels(head.channels, tf.as_dtype(head.dtype))
        contents = tf.io.read_file(path)
        header = contents.numpy()[:HEADER_END]
        if kind(contents) == "a PNG" and len(header) == HEADER_END:
            dtype = tf.uint16 if header[DEPTH] > 8 else tf.uint8
            return Pixels(CHANNELS[header[COLOR] & 7] or 3, dtype)
        if kind(contents) == "a JPEG":
            is_grey = tf.image.extract_jpeg_shape(contents)[2] == 1
            return Pixels(1 if is_grey else 3, tf.uint8)
    image = read_image(path)  # which says what is wrong
    return Pixels(image.shape[-1], image.dtype)


def _of_8_bits(dtype: tf.DType | None, image: tf.Tensor, what: str) -> tf.Tensor:
    """An image of 8 bits, where others of its set may have 16."""
    if dtype in (None, tf.uint8):
        return image
    require(tf.constant(False), lambda: other_dtype(dtype, f"{what} of 8 bits"))
    return tf.cast(image, dtype)


def _decode_jpeg(
    contents: tf.Tensor, channels: int, window: Window, mask_size: Tensor
) -> tf.Tensor:
    if channels not in (1, 3):
        require(
            tf.constant(False),
            lambda: (
                f"Expected an image of {channels} channels. Received: a JPEG, which "
                f"has 1 or 3. {OTHER_CHANNELS}"
            ),
        )
        return tf.zeros((0, 0, channels), tf.uint8)
    if mask_size is not None:
        check_same_size(tf.image.extract_jpeg_shape(contents)[:2], mask_size)
    if channels == 1:
        _require_channels(1, tf.image.extract_jpeg_shape(contents)[2])
    if window is None:
        return tf.io.decode_jpeg(
            contents, channels=channels, dct_method="INTEGER_ACCURATE"
        )
    return tf.image.decode_and_crop_jpeg(
        contents, window, channels=channels, dct_method="INTEGER_ACCURATE"
    )


def _decode_png(
    contents: tf.Tensor,
    channels: int,
    dtype: tf.DType | None,
    window: Window,
    mask_size: Tensor,
) -> tf.Tensor:
    header = read_header(contents, "PNG")
    found = tf.gather(CHANNELS, tf.cast(header[COLOR] & 7, tf.int32))
    if channels > 4:  # a TIFF of the same set may have so many
        _require_channels(channels, found)
        return tf.zeros((0, 0, channels), dtype or tf.uint8)
    if channels != 3:  # RGB is made of anything
        _require_channels(channels, found)
    # TensorFlow knows no 2 channels to ask for, but gives those that are there.
    wanted = 0 if channels == 2 else channels

    def deep() -> tf.Tensor:
        pixels = tf.io.decode_png(contents, channels=wanted, dtype=tf.uint16)
        if dtype == tf.uint16:
            return pixels
        is_any = tf.constant(dtype is None)
        require(is_any, lambda: other_dtype(dtype, "a PNG of 16 bits"))
        pixels = tf.cast((tf.cast(pixels, tf.int32) + 128) // 257, tf.uint8)
        return tf.cast(pixels, dtype or tf.uint8)

    def shallow() -> tf.Tensor:
        if channels != 3:
            return tf.io.decode_png(contents, channels=wanted)
        return tf.cond(
            header[COLOR] == PALETTE,
            lambda: decode_palette_png(contents),
            lambda: tf.io.decode_png(contents, channels=3),
        )

    image = tf.cond(
        header[DEPTH] > 8, deep, lambda: _of_8_bits(dtype, shallow(), "a PNG")
    )
    if mask_size is not None:
        check_same_size(tf.shape(image)[:2], mask_size)
    if window is not None:
        top, left, height, width = tf.unstack(window)
        image = image[top : top + height, left : left + width]
    return tf.ensure_shape(image, (None, None, channels))


def _require_channels(expected: int, received: Any) -> None:
    require(
        received == expected,
        lambda: (
            f"Expected an image of {expected} channel{'s' * (expected > 1)}. "
            f"Received: {int(received)}. {OTHER_CHANNELS}"
        ),
    )
