"""Label PNGs of any kind -> ids, in TensorFlow ops; and ids -> palette PNGs.

`tf.io.decode_png` turns the indices of a palette image into colours or luminance. But
a palette image is a grey one but for its header, so its header is rewritten: colour
type 3 (palette) becomes 0 (grey), the checksum follows, and the palette is cut out.
Then TensorFlow decodes the indices, of every palette, in threads without Python.
PNG specification: https://www.w3.org/TR/png-3/, sections 5 and 11.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_seg.data.checks import naming, require
from keras_seg.data.image import kind

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
# Signature, then the header chunk: length, "IHDR", width, height, bit depth, colour
# type, three bytes, checksum.
_WIDTH, _DEPTH, _COLOR, _CHECKSUM, _HEADER_END = 16, 24, 25, 29, 33
# CRC-32 is linear: what colour type 3 -> 0 changes in the checksum doesn't depend on
# the rest of the header.
_CHECKSUM_CHANGE = (0x12, 0xB5, 0xAF, 0xEE)


def read_label_png(path: Any) -> tf.Tensor:
    """Read a label PNG: palette or grey, 1 to 16 bits deep.

    Args:
        path: Scalar string tensor.

    Returns:
        int32 `[height, width]`: palette indices, or grey values as they are stored (a
        4-bit image has 0..15, TensorFlow by itself would scale them to 0..255).

    Raises:
        ValueError: in eager mode, naming the file, if it isn't a whole PNG, or has
            colours or an alpha channel.
    """
    with naming(path):
        return decode_label_png(tf.io.read_file(path))


def decode_label_png(contents: tf.Tensor) -> tf.Tensor:
    """Decode the bytes of a label PNG; see `read_label_png`."""
    require(
        tf.strings.substr(contents, 0, 8) == _SIGNATURE,
        lambda: f"Expected a label PNG. Received: {kind(contents)}.",
    )
    header = _bytes(contents, 0, _HEADER_END)
    depth, color = header[_DEPTH], header[_COLOR]
    require(
        (color == _GREY) | (color == _PALETTE),
        lambda: (
            "Expected a label PNG with a palette or one grey channel. Received: a PNG "
            f"in {_COLOR_NAMES.get(int(color), 'unknown colours')}. Save class ids, "
            "not their colours."
        ),
    )

    # 3 * 85 is 255: all bits of the checksum's change where there is a palette.
    change = tf.constant(_CHECKSUM_CHANGE, tf.uint8)
    change = tf.bitwise.bitwise_and(change, color * 85)
    header = tf.concat(
        [
            header[:_COLOR],
            [tf.constant(_GREY, tf.uint8)],
            header[_COLOR + 1 : _CHECKSUM],
            tf.bitwise.bitwise_xor(header[_CHECKSUM:], change),
        ],
        axis=0,
    )
    grey = tf.strings.join(
        [_string(header), tf.strings.substr(contents, _first_data(contents), _MOST)]
    )

    def deep() -> tf.Tensor:
        return tf.cast(tf.io.decode_png(grey, channels=1, dtype=tf.uint16), tf.int32)

    def shallow() -> tf.Tensor:
        ids = tf.cast(tf.io.decode_png(grey, channels=1), tf.int32)
        # Depths below 8 come scaled to 0..255.
        return tf.cond(depth < 8, lambda: ids // _scale(depth), lambda: ids)

    return tf.squeeze(tf.cond(depth > 8, deep, shallow), -1)


def label_png_size(path: Any) -> tf.Tensor:
    """Read (height, width) off the header of a PNG, int32."""
    with naming(path):
        contents = tf.io.read_file(path)
        require(
            tf.strings.substr(contents, 0, 8) == _SIGNATURE,
            lambda: f"Expected a label PNG. Received: {kind(contents)}.",
        )
        _bytes(contents, 0, _HEADER_END)
        width, height = _number(contents, _WIDTH), _number(contents, _WIDTH + 4)
    return tf.stack([height, width])


def write_label_png(path: str, mask: np.ndarray, palette: np.ndarray) -> None:
    """Write ids as a palette PNG.

    Args:
        path: Where to.
        mask: Integers `[height, width]` in 0..255.
        palette: uint8 `[n, 3]`, colours of ids 0..n - 1.
    """
    image = Image.fromarray(np.asarray(mask, np.uint8))
    image.putpalette(np.asarray(palette, np.uint8).tobytes())
    image.save(path, format="PNG")


def _first_data(contents: tf.Tensor) -> tf.Tensor:
    """Where the first chunk of pixels begins; all before it but the header can go."""
    end = tf.strings.length(contents)

    def is_other(start: tf.Tensor) -> tf.Tensor:
        kind = tf.strings.substr(contents, tf.minimum(start + 4, end), 4)
        return (start + 8 <= end) & (kind != b"IDAT")

    def next_chunk(start: tf.Tensor) -> tf.Tensor:
        # Length, type and checksum are four bytes each. A damaged length (negative,
        # or past the end) ends the search.
        length = _number(contents, start)
        return tf.where((length < 0) | (length > end), end, start + 12 + length)

    start = tf.while_loop(is_other, lambda s: (next_chunk(s),), (_HEADER_END,))[0]
    require(start + 8 <= end, lambda: "Expected a whole PNG. Received: a cut one.")
    return start


def _number(contents: tf.Tensor, start: Any) -> tf.Tensor:
    """Four bytes as an int32, most significant first."""
    word = tf.strings.substr(contents, start, 4)
    return tf.io.decode_raw(word, tf.int32, little_endian=False)[0]


def _bytes(contents: tf.Tensor, start: int, length: int) -> tf.Tensor:
    values = tf.io.decode_raw(tf.strings.substr(contents, start, length), tf.uint8)
    require(
        tf.shape(values)[0] == length,
        lambda: "Expected a whole PNG. Received: a cut one.",
    )
    return values


def _string(values: tf.Tensor) -> tf.Tensor:
    """The string of these bytes."""
    return tf.strings.reduce_join(tf.gather(_CHARACTERS, tf.cast(values, tf.int32)))


def _scale(depth: tf.Tensor) -> tf.Tensor:
    """What TensorFlow multiplied values of so many bits with: 255 / (2**depth - 1)."""
    return 255 // (tf.bitwise.left_shift(1, tf.cast(depth, tf.int32)) - 1)


_CHARACTERS = [bytes([value]) for value in range(256)]
_MOST = 2**31 - 1
_COLOR_NAMES = {2: "RGB", 4: "grey with alpha", 6: "RGB with alpha"}
