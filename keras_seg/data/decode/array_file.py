"""Image files that TensorFlow has no decoder for -> NumPy arrays.

TIFF through tifffile; BMP, GIF, WebP and JPEG 2000 through Pillow. What a file is, its
first bytes say, not its name. Everything here may be called from several threads.

"stack.tif#3" is page 3 of a TIFF, from 0: an image for all that takes paths.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from keras_seg.arguments import is_whole
from keras_seg.data.checks import NamedError, reason
from keras_seg.data.decode.formats import kind_of_bytes
from keras_seg.data.decode.georeference import Georeference
from keras_seg.labels import FilePath

#: How the names of such files end, in lower case.
ENDINGS = (".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".j2k")
_PAGE = re.compile(r"(.*\.tiff?)#(\d+)", re.IGNORECASE | re.DOTALL)
#: Which page of a file: its number from 0, or all as channels.
Page = int | Literal["all"]
#: Where a file is.
Path = str | bytes | os.PathLike
#: Top, left, height and width of a part of an image; None for all.
ArrayWindow = tuple[int, int, int, int] | None


class ArrayHead(NamedTuple):
    """What is known of an image file without its pixels.

    Attributes:
        height: Of the page, in pixels.
        width: Likewise.
        channels: Of what `read_array` returns.
        dtype: NumPy's name of the pixels' type.
        pages: Images in the file, without reduced copies (overviews) and masks; 1 for
            formats other than TIFF.
        nodata: The value of pixels without data, of the tag GDAL_NODATA; None without.
    """

    height: int
    width: int
    channels: int
    dtype: str
    pages: int = 1
    nodata: float | None = None


class SceneFacts(NamedTuple):
    """What a GeoTIFF says beyond its pixels; of other files only the size is known.

    Attributes:
        height: In pixels.
        width: Likewise.
        nodata: The value of pixels without data; None without.
        georeference: Where the pixels are; None if it isn't known.
        tags: (code, dtype, count, value, True) of the tags that say so.
    """

    height: int
    width: int
    nodata: float | None = None
    georeference: Georeference | None = None
    tags: tuple[tuple, ...] = ()


def is_array_file(name: Path) -> bool:
    """Whether the name of a file ends like one that is read here.

    Example:
        >>> is_array_file("scenes/A.TIF"), is_array_file("photo.png")
        (True, False)
    """
    name = os.fsdecode(name)
    return name.lower().endswith(ENDINGS) or _PAGE.fullmatch(name) is not None


def is_array_path(path: FilePath) -> tf.Tensor:
    """The same for a scalar string tensor, also inside tf.data."""
    endings = "|".join(ending.lstrip(".") for ending in ENDINGS)
    return tf.strings.regex_full_match(path, rf"(?is).*\.({endings})(#\d+)?")


def array_head(path: Path, *, page: Page = 0) -> ArrayHead:
    """Read what is known of an image file without decoding it.

    Args:
        path: A TIFF, BMP, GIF, WebP or JPEG 2000 file.
        page: Which page of a TIFF, from 0; or "all", whose channels are those of all
            pages.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if a package is missing, saying how to install it.
        ValueError: naming the file, if it can't be read, or has no such page.
    """
    with _opened(path, page) as (file, module, page):
        return module.head(file, page)


def read_array(path: Path, window: ArrayWindow = None, *, page: Page = 0) -> np.ndarray:
    """Read an image file, or a window of it, as it is stored.

    Colours of a palette become RGB, as does YCbCr. Where white is 0 (MinIsWhite),
    unsigned integers are inverted. Pixels of 1 to 7 bits have a byte each and keep
    their values; those of 9 to 15 bits have two. Orientation isn't applied.

    Args:
        path: A TIFF, BMP, GIF (its first frame), WebP or JPEG 2000 file.
        window: None for the whole image, or (top, left, height, width): of a TIFF only
            the strips or tiles that it touches are read.
        page: Which page of a TIFF, from 0; "all" gives the channels of all pages, which
            must have one size and dtype.

    Returns:
        `[height, width, channels]`, in the file's own dtype and the machine's byte
        order.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if a package is missing, saying how to install it.
        ValueError: naming the file, if it isn't whole or can't be read, has no such
            page, or doesn't hold the window.
    """
    with _opened(path, page) as (file, module, page):
        return module.read(file, window, page)


def read_indices(path: Path, window: ArrayWindow = None) -> np.ndarray:
    """Read the first page as `read_array` does, but a palette's indices as they are.

    Single bits are 0 and 1 in all formats. A TIFF's value of no data, if no class can
    have it (below 0, or NaN), becomes 255.
    """
    with _opened(path) as (file, module, page):
        return module.read_indices(file, window, page)


def index_channels(path: Path) -> int:
    """How many channels `read_indices` returns."""
    with _opened(path) as (file, module, page):
        return module.index_channels(file, page)


def scene_facts(path: Path) -> SceneFacts:
    """Read where the first page of a file lies, and which value means no data."""
    with _opened(path) as (file, module, page):
        return module.facts(file, page)


def array_size(path: Path, *, page: Page = 0) -> tuple[int, int]:
    """Read (height, width) of a page, without counting pages as `array_head` does."""
    with _opened(path, page) as (file, module, page):
        return module.facts(file, page)[:2]


def check_window(window: ArrayWindow, height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns of a window, if it lies in an image and has pixels."""
    if window is None:
        return slice(0, height), slice(0, width)
    top, left, rows, columns = (int(side) for side in window)
    if (
        min(top, left) < 0
        or min(rows, columns) < 1
        or top + rows > height
        or left + columns > width
    ):
        raise ValueError(
            f"Expected a window (top, left, height, width) in an image of {height} x "
            f"{width}. Received: {(top, left, rows, columns)}"
        )
    return slice(top, top + rows), slice(left, left + columns)


@contextlib.contextmanager
def _opened(path: Path, page: Page = 0) -> Iterator[tuple[IO[bytes], Any, Page]]:
    """An open file, the module that reads its format, and which page to read."""
    from keras_seg.data.decode import pillow_file, tiff

    path = os.fsdecode(path)
    named = _PAGE.fullmatch(path)
    try:
        page = _check_page(int(named[2]) if named else page)
        with _open(named[1] if named else path) as file:
            start = file.read(16)
            file.seek(0)
            if start[:4] in tiff.MAGIC:
                yield file, tiff, page
            elif start.startswith(pillow_file.MAGIC):
                yield file, pillow_file, page
            else:
                received = kind_of_bytes(start)
                is_known = received in ("a PNG", "a JPEG")
                remedy = "Name it so" if is_known else "Copy it again, or leave it out"
                raise ValueError(
                    "Expected a TIFF, BMP, GIF, WebP or JPEG 2000 file. Received: "
                    f"{received}. {remedy}."
                )
    except NamedError:
        raise
    except (ValueError, tf.errors.OpError) as error:
        name = os.fsencode(path).decode(errors="backslashreplace")
        raise NamedError(f"{name}: {reason(error)}") from None


def _open(path: str) -> Any:
    return tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb")


def _check_page(page: Any) -> Page:
    if page != "all" and not is_whole(page, 0):
        raise ValueError(
            f'Expected `page` to be a number from 0, or "all". Received: {page!r}'
        )
    return page
