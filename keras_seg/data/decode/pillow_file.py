"""BMP, GIF, WebP and JPEG 2000 files, through Pillow.

Pillow has 8 bits for each of several channels, so JPEG 2000 of more bits, or of more
than four channels, goes through imagecodecs.
JPEG 2000: ITU-T T.800, https://www.itu.int/rec/T-REC-T.800, appendix A.5.1.
"""

import struct
from typing import IO, Any

import numpy as np
from PIL import Image

from keras_seg.data.decode.array_file import (
    ArrayHead,
    ArrayWindow,
    Page,
    SceneFacts,
    check_window,
)
from keras_seg.packages import package

_JP2, _CODESTREAM = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
#: First bytes of the formats.
MAGIC = (b"BM", b"GIF8", b"RIFF", _JP2, _CODESTREAM)
# Modes of Pillow's images that are arrays of channels as they are.
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 1}
# Modes of one number for each pixel; a GIF's palette of greys is "L".
_ONE_CHANNEL = ("P", "1", "L")


def head(file: IO[bytes], page: Page) -> ArrayHead:
    """What `array_head` returns, of an open file."""
    _check_first(page)
    deep = _deep_head(file)
    if deep is not None:
        return deep
    with _opened(file) as image:
        mode = _mode(image)
        dtype = "uint16" if mode == "I;16" else "uint8"
        return ArrayHead(image.height, image.width, _CHANNELS[mode], dtype)


def read(file: IO[bytes], window: ArrayWindow, page: Page) -> np.ndarray:
    """What `read_array` returns, of an open file."""
    _check_first(page)
    if _deep_head(file) is not None:
        codecs = package("imagecodecs", "tiff")
        try:
            pixels = codecs.jpeg2k_decode(file.read())
        except RuntimeError as error:
            raise _damaged(error) from None
    else:
        with _opened(file) as image:
            pixels = _decoded(image, _mode(image))
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    rows, columns = check_window(window, *pixels.shape[:2])
    return np.ascontiguousarray(pixels[rows, columns])


def read_indices(file: IO[bytes], window: ArrayWindow, page: Page) -> np.ndarray:
    """The same, but colours of a palette as their indices, and single bits as 0, 1."""
    _check_first(page)
    with _opened(file) as image:
        mode = image.mode if image.mode in _ONE_CHANNEL else _mode(image)
        pixels = _decoded(image, mode)
        if mode == "1":
            pixels = pixels.astype(np.uint8)
        elif image.format == "GIF" and mode == "P":
            pixels = _greys(image, pixels)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    rows, columns = check_window(window, *pixels.shape[:2])
    return pixels[rows, columns]


def index_channels(file: IO[bytes], page: Page) -> int:
    """Channels of what `read_indices` returns, of an open file."""
    _check_first(page)
    with _opened(file) as image:
        return 1 if image.mode in _ONE_CHANNEL else _CHANNELS[_mode(image)]


def facts(file: IO[bytes], page: Page) -> SceneFacts:
    """What `scene_facts` returns, of an open file."""
    return SceneFacts(*head(file, page)[:2])


def _opened(file: IO[bytes]) -> Any:
    try:
        return Image.open(file)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged(error) from None


def _decoded(image: Any, mode: str) -> np.ndarray:
    try:
        return np.array(image.convert(mode) if image.mode != mode else image)
    except (OSError, SyntaxError, IndexError, struct.error) as error:
        raise _damaged(error) from None


def _greys(image: Any, indices: np.ndarray) -> np.ndarray:
    """The greys of a GIF whose palette has no colours; else its indices.

    A GIF always has a palette, and writers of grey ones leave unused greys out: ids 0
    and 2 become indices 0 and 1, others in each file.
    """
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if used[-1] >= len(palette) or (palette != palette[:, :1]).any():
        return indices
    greys = palette[:, 0]
    return greys[indices] if len(np.unique(greys[used])) == len(used) else indices


def _mode(image: Any) -> str:
    """The mode that an image is read in: a palette is RGB, single bits are grey."""
    if image.format == "GIF" or image.mode in ("P", "PA", "CMYK", "YCbCr", "RGBX"):
        return "RGB"
    if image.mode == "1":
        return "L"
    if image.mode in _CHANNELS:
        return image.mode
    if image.mode.startswith("I;16"):
        return "I;16"
    raise ValueError(
        "Expected grey, RGB or RGBA. Received: pixels of Pillow's mode "
        f"{image.mode}. Save it as a TIFF."
    )


def _deep_head(file: IO[bytes]) -> ArrayHead | None:
    """The head of a JPEG 2000 file that Pillow would cut to fewer bits or channels."""
    start = file.read(2**16)
    file.seek(0)
    if not start.startswith((_JP2, _CODESTREAM)):
        return None
    place = start.find(_CODESTREAM)
    if place < 0:
        return None  # behind other data, or not there: Pillow will tell
    try:
        right, bottom, left, top = struct.unpack_from(">4I", start, place + 8)
        (channels,) = struct.unpack_from(">H", start, place + 40)
        depths = [start[place + 42 + 3 * k] for k in range(channels)]
    except (struct.error, IndexError):
        raise _damaged("its header is cut off") from None
    bits = max(depth & 127 for depth in depths) + 1
    if bits <= 8 and channels <= 4:
        return None
    kind = "int" if depths[0] & 128 else "uint"
    dtype = f"{kind}{8 if bits <= 8 else 16 if bits <= 16 else 32}"
    return ArrayHead(bottom - top, right - left, channels, dtype)


def _check_first(page: Page) -> None:
    if page not in (0, "all"):
        raise ValueError(
            f"Expected page=0, since only TIFFs have pages here. Received: page={page}"
        )


def _damaged(error: Any) -> ValueError:
    if isinstance(error, Image.DecompressionBombError):
        return ValueError(
            f"Expected a smaller image. Received: {error} Save it as a tiled TIFF."
        )
    return ValueError(
        "Expected a whole image. Received: one that is cut off or damaged "
        f"({error}). Copy it again."
    )
