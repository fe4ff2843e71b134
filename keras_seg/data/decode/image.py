"""Image files -> uint8 pixels, in TensorFlow ops."""

from typing import Any

import tensorflow as tf

from keras_seg.data.checks import check_same_size, naming, require

# Where a PNG's header has its bits per channel, and the kind of its colours.
DEPTH, COLOR = 24, 25
#: What the numbers at COLOR mean.
PNG_COLORS = {
    0: "one grey channel",
    2: "RGB",
    3: "a palette",
    4: "grey with alpha",
    6: "RGB with alpha",
}
_CHANNELS_OF_PNG = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


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
            _is_jpeg(contents),
            lambda: f"Expected a JPEG file. Received: {kind(contents)}.",
        )
        image = _decode_jpeg(contents, 3, window, mask_size)
    return tf.ensure_shape(image, (None, None, 3))


def read_image(
    path: Any, *, channels: int = 3, window: Any = None, mask_size: Any = None
) -> tf.Tensor:
    """Read a JPEG or PNG file, or a window of it.

    What a file is, its first bytes say, not its name.

    Args:
        path: Scalar string tensor, or string.
        channels: 1 (grey), 2 (grey and another, of a PNG), 3 (RGB), or 4 (RGB and
            another, of a PNG). With 3, grey becomes RGB, a palette its colours, and a
            fourth channel is left out.
        window: None, or int32 (top, left, height, width).
        mask_size: None, or (height, width) that the whole image must have.

    Returns:
        uint8 `[height, width, channels]`. 16 bits are scaled to 8.

    Raises:
        ValueError: in eager mode, naming the file, if it is no whole JPEG or PNG, or
            has another size or fewer or other channels.
    """
    path = tf.convert_to_tensor(path)
    with naming(path):
        return decode_image(
            tf.io.read_file(path),
            channels=channels,
            window=window,
            mask_size=mask_size,
        )


def decode_image(
    contents: tf.Tensor, *, channels: int = 3, window: Any = None, mask_size: Any = None
) -> tf.Tensor:
    """Decode what `read_image` reads, from the bytes of the file."""
    is_png = tf.strings.substr(contents, 0, 4) == b"\x89PNG"
    require(
        _is_jpeg(contents) | is_png,
        lambda: (
            f"Expected a JPEG or PNG. Received: {kind(contents)}. Convert it to PNG, "
            "which holds up to 4 channels of 8 or 16 bits."
        ),
    )
    image = tf.cond(
        is_png,
        lambda: _decode_png(contents, channels, window, mask_size),
        lambda: _decode_jpeg(contents, channels, window, mask_size),
    )
    return tf.ensure_shape(image, (None, None, channels))


def count_channels(path: str) -> int:
    """Tell how many channels `read_image` should ask a file for; eager mode only."""
    with naming(tf.constant(path)):
        contents = tf.io.read_file(path)
        header = contents.numpy()[:33]
        if kind(contents) == "a PNG" and len(header) == 33:
            return _CHANNELS_OF_PNG.get(header[COLOR], 3)
        if kind(contents) == "a JPEG":
            return 1 if tf.image.extract_jpeg_shape(contents)[2] == 1 else 3
    return read_image(path).shape[-1]  # which says what is wrong


def _decode_jpeg(
    contents: tf.Tensor, channels: int, window: Any, mask_size: Any
) -> tf.Tensor:
    if channels in (2, 4):
        require(
            tf.constant(False),
            lambda: f"Expected an image of {channels} channels. Received: a JPEG.",
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
    contents: tf.Tensor, channels: int, window: Any, mask_size: Any
) -> tf.Tensor:
    header = tf.io.decode_raw(tf.strings.substr(contents, 0, 33), tf.uint8)
    require(
        tf.shape(header)[0] == 33,
        lambda: "Expected a whole PNG. Received: a cut one.",
    )
    found = tf.gather([1, 0, 3, 3, 2, 0, 4, 0], tf.cast(header[COLOR] & 7, tf.int32))
    if channels != 3:  # RGB is made of anything
        _require_channels(channels, found)
    # TensorFlow knows no 2 channels to ask for, but gives those that are there.
    wanted = 0 if channels == 2 else channels

    def deep() -> tf.Tensor:
        pixels = tf.io.decode_png(contents, channels=wanted, dtype=tf.uint16)
        return tf.cast((tf.cast(pixels, tf.int32) + 128) // 257, tf.uint8)

    image = tf.cond(
        header[DEPTH] > 8, deep, lambda: tf.io.decode_png(contents, channels=wanted)
    )
    if mask_size is not None:
        check_same_size(tf.shape(image)[:2], mask_size)
    if window is not None:
        top, left, height, width = tf.unstack(window)
        image = image[top : top + height, left : left + width]
    return tf.ensure_shape(image, (None, None, channels))


def _require_channels(expected: int, found: Any) -> None:
    require(
        found == expected,
        lambda: (
            f"Expected an image of {expected} channel{'s' * (expected > 1)}. "
            f"Received: {int(found)}. How many are read is said by `channels` of "
            "`data.folder`, else by the first image."
        ),
    )


def _is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(contents, 0, 2) == b"\xff\xd8"


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
