"""Label PNGs of any kind -> ids, in TensorFlow ops.

`tf.io.decode_png` turns the indices of a palette image into colours or luminance. But
a palette image is a grey one but for its header, so its header is rewritten: colour
type 3 (palette) becomes 0 (grey), the checksum follows, and the palette is cut out.
Then TensorFlow decodes the indices, of every palette, in threads without Python.
PNG specification: https://www.w3.org/TR/png-3/, sections 5 and 11.
"""

from typing import Any

import tensorflow as tf

from keras_seg.data.checks import naming, require
from keras_seg.data.decode.png_header import (
    CHECKSUM,
    COLOR,
    COLOR_NAMES,
    DEPTH,
    GREY,
    HEADER_END,
    PALETTE,
    RGB,
    RGBA,
    find_chunk,
    palette_length,
    read_header,
)
from keras_seg.data.tracing import traced_once
from keras_seg.labels import FilePath

#: What `read_label_or_color_png` adds to the number of an unknown colour, so that it
#: is above all ids. These and colours, of 24 bits, are below 2**30.
UNKNOWN_COLOR = 2**30 - 2**24
# CRC-32 is linear: what colour type 3 -> 0 changes in the checksum doesn't depend on
# the rest of the header.
_CHECKSUM_CHANGE = (0x12, 0xB5, 0xAF, 0xEE)


def read_label_png(path: FilePath, dtype: tf.DType = tf.int32) -> tf.Tensor:
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


def read_color_png(path: FilePath) -> tf.Tensor:
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


def read_label_or_color_png(path: FilePath, ids: Any) -> tf.Tensor:
    """Read a grey label PNG, or one whose colours, or palette, stand for ids.

    Args:
        path: Scalar string tensor.
        ids: `tf.lookup.StaticHashTable` from red + 256 green + 65536 blue to ids,
            -1 for other colours.

    Returns:
        int32 `[height, width]`: ids, or `UNKNOWN_COLOR` plus the number of a colour
        that stands for none.

    Raises:
        ValueError: in eager mode, naming the file, if it isn't a whole PNG, or has
            pixels beyond its palette.
    """
    with naming(path):
        contents = tf.io.read_file(path)

        def of_colors() -> tf.Tensor:
            colors = decode_color_png(contents)
            known = ids.lookup(colors)
            return tf.where(known < 0, UNKNOWN_COLOR + colors, known)

        color = read_header(contents)[COLOR]
        return tf.cond(
            (color == RGB) | (color == RGBA) | (color == PALETTE),
            of_colors,
            lambda: decode_label_png(contents),
        )


@traced_once
def decode_color_png(contents: tf.Tensor) -> tf.Tensor:
    """Decode what `read_color_png` reads, from the bytes of the file."""
    header = read_header(contents)
    color = header[COLOR]
    require(
        (((color == RGB) | (color == RGBA)) & (header[DEPTH] == 8))
        | (color == PALETTE),
        lambda: (
            "Expected a PNG in RGB, 8 bits each. Received: one of "
            f"{COLOR_NAMES.get(int(color), 'unknown colours')}, "
            f"{int(header[DEPTH])} bits each."
        ),
    )
    pixels = tf.cond(
        color == PALETTE,
        lambda: decode_palette_png(contents),
        lambda: tf.io.decode_png(contents, channels=3),
    )
    return tf.linalg.matvec(tf.cast(pixels, tf.int32), [1, 256, 65536])


def decode_object_png(contents: tf.Tensor) -> tf.Tensor:
    """Decode a mask whose numbers, or colours, only tell objects apart: 0 is none.

    Returns:
        int32 `[height, width]`: palette indices or grey values as they are stored, or
        of RGB red + 256 green + 65536 blue.
    """
    color = read_header(contents)[COLOR]
    return tf.cond(
        (color == RGB) | (color == RGBA),
        lambda: decode_color_png(contents),
        lambda: decode_label_png(contents),
    )


@traced_once
def decode_palette_png(contents: tf.Tensor) -> tf.Tensor:
    """Decode a PNG with a palette to colours, uint8 `[height, width, 3]`.

    `tf.io.decode_png` alone makes pixels beyond the palette black without a word, so
    the indices are decoded too.

    Raises:
        ValueError: in eager mode, for pixels beyond the palette.
    """
    count, largest = palette_length(contents), tf.reduce_max(decode_label_png(contents))
    require(
        largest < count,
        lambda: (
            f"Expected pixels with a colour of the palette, 0..{int(count) - 1}. "
            f"Received: {int(largest)}, beyond the palette. If the numbers are class "
            "ids, whatever the palette says, read them as ids, without `palette`; "
            "otherwise write the file again."
        ),
    )
    return tf.io.decode_png(contents, channels=3)


@traced_once
def decode_label_png(contents: tf.Tensor, dtype: tf.DType = tf.int32) -> tf.Tensor:
    """Decode what `read_label_png` reads, from the bytes of the file."""
    header = read_header(contents)
    depth, color = header[DEPTH], header[COLOR]
    require(
        (color == GREY) | (color == PALETTE),
        lambda: (
            "Expected a label PNG with a palette or one grey channel. Received: a PNG "
            f"in {COLOR_NAMES.get(int(color), 'unknown colours')}. Save class ids, "
            "not their colours, or say which id each colour stands for: `palette`."
        ),
    )

    # 3 * 85 is 255: all bits of the checksum's change where there is a palette.
    change = tf.bitwise.bitwise_and(
        tf.constant(_CHECKSUM_CHANGE, tf.uint8), color * (255 // PALETTE)
    )
    checksum = tf.bitwise.bitwise_xor(header[CHECKSUM:HEADER_END], change)
    grey = tf.strings.join(
        [
            tf.strings.substr(contents, 0, COLOR),
            bytes([GREY]),
            tf.strings.substr(contents, COLOR + 1, CHECKSUM - COLOR - 1),
            tf.strings.reduce_join(tf.gather(_CHARACTERS, tf.cast(checksum, tf.int32))),
            tf.strings.substr(contents, find_chunk(contents, b"IDAT")[0], _MOST),
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


def _scale(depth: tf.Tensor) -> tf.Tensor:
    """What TensorFlow multiplied values of so many bits with: 255 / (2**depth - 1)."""
    levels = tf.bitwise.left_shift(tf.constant(1, tf.uint8), depth)
    return tf.constant(255, tf.uint8) // (levels - 1)


_CHARACTERS = [bytes([value]) for value in range(256)]
_MOST = 2**31 - 1
