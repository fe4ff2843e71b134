"""Label PNGs of any kind -> ids, in TensorFlow ops.

`tf.io.decode_png` turns the indices of a palette image into colours or luminance. But
a palette image is a grey one but for its header, so its header is rewritten: colour
type 3 (palette) becomes 0 (grey), the checksum follows, and the palette is cut out.
Then TensorFlow decodes the indices, of every palette, in threads without Python.
PNG specification: https://www.w3.org/TR/png-3/, sections 5 and 11.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.checks import naming, require
from keras_seg.data.decode.image import COLOR, DEPTH, PNG_COLORS, kind

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6
# Signature, then the header chunk: length, "IHDR", width, height, bit depth, colour
# type, three bytes, checksum.
_CHECKSUM, _HEADER_END = 29, 33
# CRC-32 is linear: what colour type 3 -> 0 changes in the checksum doesn't depend on
# the rest of the header.
_CHECKSUM_CHANGE = (0x12, 0xB5, 0xAF, 0xEE)


def read_label_png(path: Any, dtype: tf.DType = tf.int32) -> tf.Tensor:
    """Read a label PNG: palette or grey, 1 to 16 bits deep.

    Args:
        path: Scalar string tensor.
        dtype: `tf.int32`, or `tf.uint8` if there should be no id above 255.

    Returns:
        `[height, width]`: palette indices, or grey values as they are stored (a 4-bit
        image has 0..15, TensorFlow by itself would scale them to 0..255).

    Raises:
        ValueError: in eager mode, naming the file, if it isn't a whole PNG, or has
            colours, an alpha channel, or ids that `dtype` can't hold.
    """
    with naming(path):
        return decode_label_png(tf.io.read_file(path), dtype)


def read_color_png(path: Any) -> tf.Tensor:
    """Read a PNG whose colours mean something, as one number for each pixel.

    They may be stored in a palette: tools that make files smaller do so.

    Args:
        path: Scalar string tensor.

    Returns:
        int32 `[height, width]`: red + 256 green + 65536 blue.

    Raises:
        ValueError: in eager mode, naming the file, if it isn't a whole PNG in RGB or
            with a palette.
    """
    with naming(path):
        return decode_color_png(tf.io.read_file(path))


def read_label_or_color_png(path: Any, ids: Any) -> tf.Tensor:
    """Read a grey label PNG, or one whose colours, or palette, stand for ids.

    Args:
        path: Scalar string tensor.
        ids: `tf.lookup.StaticHashTable` from red + 256 green + 65536 blue to ids,
            -1 for other colours.

    Returns:
        int32 `[height, width]`.

    Raises:
        ValueError: in eager mode, naming the file, if it isn't a whole PNG, or has a
            colour that stands for nothing.
    """
    with naming(path):
        contents = tf.io.read_file(path)

        def of_colors() -> tf.Tensor:
            colors = decode_color_png(contents)
            found = ids.lookup(colors)
            require(
                tf.reduce_all(found >= 0), lambda: _unknown_colors(colors, found < 0)
            )
            return found

        color = _header(contents)[COLOR]
        return tf.cond(
            (color == _RGB) | (color == _RGBA) | (color == _PALETTE),
            of_colors,
            lambda: decode_label_png(contents),
        )


def _header(contents: tf.Tensor) -> tf.Tensor:
    """The first bytes of a PNG, uint8 `[33]`."""
    require(
        tf.strings.substr(contents, 0, 8) == _SIGNATURE,
        lambda: f"Expected a label PNG. Received: {kind(contents)}.",
    )
    header = tf.io.decode_raw(tf.strings.substr(contents, 0, _HEADER_END), tf.uint8)
    require(
        tf.shape(header)[0] == _HEADER_END,
        lambda: "Expected a whole PNG. Received: a cut one.",
    )
    return header


def decode_color_png(contents: tf.Tensor) -> tf.Tensor:
    """Decode what `read_color_png` reads, from the bytes of the file."""
    header = _header(contents)
    color = header[COLOR]
    require(
        (((color == _RGB) | (color == _RGBA)) & (header[DEPTH] == 8))
        | (color == _PALETTE),
        lambda: (
            "Expected a PNG in RGB, 8 bits each. Received: one of "
            f"{PNG_COLORS.get(int(color), 'unknown colours')}, "
            f"{int(header[DEPTH])} bits each."
        ),
    )
    pixels = tf.bitcast(tf.io.decode_png(contents, channels=4), tf.int32)
    return tf.bitwise.bitwise_and(pixels, 0xFFFFFF)


def _unknown_colors(colors: tf.Tensor, unknown: tf.Tensor) -> str:
    found, counts = np.unique(colors.numpy()[unknown.numpy()], return_counts=True)
    most = found[np.argsort(-counts)][:8].tolist()
    shown = [f"({c & 255}, {c >> 8 & 255}, {c >> 16})" for c in most]
    return (
        "Expected colours that are in `palette`. Received: "
        f"{', '.join(shown)}{', ...' if len(found) > 8 else ''}. Likely causes: "
        "another palette, or masks that were resized smoothly or stored as JPEG once."
    )


def decode_label_png(contents: tf.Tensor, dtype: tf.DType = tf.int32) -> tf.Tensor:
    """Decode what `read_label_png` reads, from the bytes of the file."""
    header = _header(contents)
    depth, color = header[DEPTH], header[COLOR]
    require(
        (color == _GREY) | (color == _PALETTE),
        lambda: (
            "Expected a label PNG with a palette or one grey channel. Received: a PNG "
            f"in {PNG_COLORS.get(int(color), 'unknown colours')}. Save class ids, "
            "not their colours, or say what the colours mean (`palette` of "
            "`data.folder`)."
        ),
    )

    # 3 * 85 is 255: all bits of the checksum's change where there is a palette.
    change = tf.bitwise.bitwise_and(
        tf.constant(_CHECKSUM_CHANGE, tf.uint8), color * (255 // _PALETTE)
    )
    checksum = tf.bitwise.bitwise_xor(header[_CHECKSUM:_HEADER_END], change)
    grey = tf.strings.join(
        [
            tf.strings.substr(contents, 0, COLOR),
            bytes([_GREY]),
            tf.strings.substr(contents, COLOR + 1, _CHECKSUM - COLOR - 1),
            tf.strings.reduce_join(tf.gather(_CHARACTERS, tf.cast(checksum, tf.int32))),
            tf.strings.substr(contents, _first_data(contents), _MOST),
        ]
    )

    def of_16_bits() -> tf.Tensor:
        ids = tf.cast(tf.io.decode_png(grey, channels=1, dtype=tf.uint16), tf.int32)
        largest = tf.reduce_max(ids)
        require(
            largest <= dtype.max,
            lambda: f"Expected ids of at most {dtype.max}. Received: {int(largest)}.",
        )
        return tf.cast(ids, dtype)

    def of_8_bits() -> tf.Tensor:
        return tf.cast(tf.io.decode_png(grey, channels=1), dtype)

    def of_fewer_bits() -> tf.Tensor:
        # They come scaled to 0..255.
        return of_8_bits() // tf.cast(_scale(depth), dtype)

    def of_other_bits() -> tf.Tensor:
        return tf.cond(depth > 8, of_16_bits, of_fewer_bits)

    return tf.squeeze(tf.cond(depth == 8, of_8_bits, of_other_bits), -1)


def _first_data(contents: tf.Tensor) -> tf.Tensor:
    """Where the first chunk of pixels begins; all before it but the header can go."""

    def chunk_at(start: Any) -> tuple[Any, tf.Tensor, tf.Tensor]:
        """Where a chunk begins, how long its data is, and its type."""
        if tf.executing_eagerly():
            require(
                start + 8 <= tf.strings.length(contents),
                lambda: "Expected a whole PNG. Received: a cut one.",
            )
        # In a graph, reading past the end is an error of its own.
        words = tf.strings.substr(contents, start, 8)
        length, kind = tf.unstack(
            tf.io.decode_raw(words, tf.int32, little_endian=False), num=2
        )
        return start, length, kind

    def next_chunk(start: tf.Tensor, length: tf.Tensor, _: Any) -> tuple:
        # Length, type and checksum are four bytes each. Whatever a damaged length
        # says, the search goes on, so that it ends.
        return chunk_at(start + 12 + tf.clip_by_value(length, 0, 2**30))

    start, _, _ = tf.while_loop(
        lambda start, length, kind: kind != _IDAT,
        next_chunk,
        chunk_at(tf.constant(_HEADER_END)),
    )
    return start


def _scale(depth: tf.Tensor) -> tf.Tensor:
    """What TensorFlow multiplied values of so many bits with: 255 / (2**depth - 1)."""
    levels = tf.bitwise.left_shift(tf.constant(1, tf.uint8), depth)
    return tf.constant(255, tf.uint8) // (levels - 1)


_CHARACTERS = [bytes([value]) for value in range(256)]
_IDAT = int.from_bytes(b"IDAT", "big")
_MOST = 2**31 - 1
