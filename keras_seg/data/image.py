"""Image files -> uint8 pixels, in TensorFlow ops."""

from typing import Any

import tensorflow as tf

from keras_seg.data.checks import check_same_size, naming, require


def read_jpeg(path: Any, window: Any = None, *, mask_size: Any = None) -> tf.Tensor:
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
            tf.strings.substr(contents, 0, 2) == b"\xff\xd8",
            lambda: f"Expected a JPEG file. Received: {kind(contents)}.",
        )
        if mask_size is not None:
            check_same_size(tf.image.extract_jpeg_shape(contents)[:2], mask_size)
        if window is None:
            image = tf.io.decode_jpeg(
                contents, channels=3, dct_method="INTEGER_ACCURATE"
            )
        else:
            image = tf.image.decode_and_crop_jpeg(
                contents, window, channels=3, dct_method="INTEGER_ACCURATE"
            )
    return tf.ensure_shape(image, (None, None, 3))


def read_image(path: Any, *, channels: int = 3) -> tf.Tensor:
    """Read a JPEG or PNG file.

    Args:
        path: Scalar string tensor, or string.
        channels: 1 (grey), 3 (RGB), or 4 (with alpha, of a PNG).

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        ValueError: in eager mode, naming the file, if it is no whole JPEG or PNG.
    """
    path = tf.convert_to_tensor(path)
    with naming(path):
        contents = tf.io.read_file(path)
        found = kind(contents)
        if found == "a JPEG":
            return tf.io.decode_jpeg(
                contents, channels=channels, dct_method="INTEGER_ACCURATE"
            )
        if found == "a PNG":
            return tf.io.decode_png(contents, channels=channels)
        raise ValueError(f"Expected a JPEG or PNG file. Received: {found}.")


def kind(contents: tf.Tensor) -> str:
    """What the first bytes of a file say it is; eager mode only."""
    head = contents.numpy()[:8]
    if not head:
        return "an empty file"
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    return f"a file that begins with {head!r}"


_MAGIC = {
    b"\xff\xd8": "a JPEG",
    b"\x89PNG": "a PNG",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"RIFF": "a WebP",
}
