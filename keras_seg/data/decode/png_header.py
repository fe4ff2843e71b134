"""The header and the chunks of a PNG file, as tensors.

PNG specification: https://www.w3.org/TR/png-3/, sections 5 and 11. A file is a
signature of 8 bytes, then chunks: length, type, data, checksum. The first chunk is the
header: width, height, bit depth, colour type, three bytes.
"""

from typing import Any

import tensorflow as tf

from keras_seg.data.checks import require
from keras_seg.data.decode.formats import kind
from keras_seg.labels import Tensor

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Positions in the file: bit depth, colour type, the header's checksum, and the first
#: byte after the header.
DEPTH, COLOR, CHECKSUM, HEADER_END = 24, 25, 29, 33
#: Colour types.
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
COLOR_NAMES = {
    GREY: "one grey channel",
    RGB: "RGB",
    PALETTE: "a palette",
    GREY_ALPHA: "grey with alpha",
    RGBA: "RGB with alpha",
}
#: Channels of the decoded image by colour type; 0 where there is no such type.
CHANNELS = (1, 0, 3, 3, 2, 0, 4, 0)


def read_header(contents: tf.Tensor, expected: str = "label PNG") -> tf.Tensor:
    """Return the first bytes of a PNG, uint8 `[33]`.

    Args:
        contents: The bytes of the file.
        expected: What errors call the file that should be there.

    Raises:
        ValueError: in eager mode, if it is no PNG or ends before its pixels.
    """
    require(
        tf.strings.substr(contents, 0, 8) == SIGNATURE,
        lambda: f"Expected a {expected}. Received: {kind(contents)}.",
    )
    header = tf.io.decode_raw(tf.strings.substr(contents, 0, HEADER_END), tf.uint8)
    require(tf.shape(header)[0] == HEADER_END, _truncated)
    return header


def find_chunk(contents: tf.Tensor, wanted: bytes) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the first chunk of a type, or of pixels (IDAT) if those come first.

    Args:
        contents: The bytes of a PNG.
        wanted: Type of the chunk.

    Returns:
        Position of the chunk's first byte, and length of its data; 0 if there is no
        such chunk before the pixels.
    """
    types = [int.from_bytes(name, "big") for name in (wanted, b"IDAT")]

    def chunk_at(start: Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        """Position of a chunk, length of its data, and its type."""
        if tf.executing_eagerly():
            require(start + 8 <= tf.strings.length(contents), _truncated)
        # In a graph, reading past the end is an error of its own.
        words = tf.strings.substr(contents, start, 8)
        length, chunk_type = tf.unstack(
            tf.io.decode_raw(words, tf.int32, little_endian=False), num=2
        )
        return start, length, chunk_type

    def next_chunk(start: tf.Tensor, length: tf.Tensor, _: Any) -> tuple:
        # Length, type and checksum are four bytes each. Whatever a damaged length
        # says, the search goes on, so that it ends.
        return chunk_at(start + 12 + tf.clip_by_value(length, 0, 2**30))

    start, length, chunk_type = tf.while_loop(
        lambda start, length, chunk_type: tf.reduce_all(chunk_type != types),
        next_chunk,
        chunk_at(tf.constant(HEADER_END)),
    )
    return start, tf.where(chunk_type == types[0], length, 0)


def palette_length(contents: tf.Tensor) -> tf.Tensor:
    """Return how many colours the palette of a PNG has; 0 without one."""
    return find_chunk(contents, b"PLTE")[1] // 3


def _truncated() -> str:
    return "Expected a whole PNG. Received: a file that is cut off: copy it again."
