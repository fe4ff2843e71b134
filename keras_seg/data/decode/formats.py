"""Which format a file has, by its first bytes."""

import tensorflow as tf

_FORMATS = {
    b"\xff\xd8": "a JPEG",
    b"\x89PNG": "a PNG",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"II+\0": "a TIFF",
    b"MM\0+": "a TIFF",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"RIFF": "a WebP",
}


def kind(contents: tf.Tensor) -> str:
    """Describe the format of a file for an error message; eager mode only."""
    return kind_of_bytes(contents.numpy())


def kind_of_bytes(contents: bytes) -> str:
    """The same, of bytes."""
    if not contents:
        return "an empty file"
    for magic, name in _FORMATS.items():
        if contents.startswith(magic):
            return name
    return f"a file that begins with {contents[:8]!r}"


def remedy(contents: tf.Tensor) -> str:
    """Advise on a file of a format that isn't read; eager mode only."""
    if kind(contents) in _FORMATS.values():
        return "Convert it to PNG, which holds up to 4 channels of 8 or 16 bits."
    return "It is no image that is known: copy it again, or leave it out."


def is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Whether a file begins like a JPEG."""
    return tf.strings.substr(contents, 0, 2) == b"\xff\xd8"


def is_png(contents: tf.Tensor) -> tf.Tensor:
    """Whether a file begins like a PNG."""
    return tf.strings.substr(contents, 0, 4) == b"\x89PNG"
