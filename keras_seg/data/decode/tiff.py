"""TIFF files: which page, what its numbers mean; `tiff_segments` reads them.

TIFF, revision 6.0 (1992): https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

import contextlib
import contextvars
import logging
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np

from keras_seg.data.decode.array_file import (
    ArrayHead,
    ArrayWindow,
    Page,
    SceneFacts,
    check_window,
)
from keras_seg.data.decode.georeference import georeference_of, tags_of
from keras_seg.data.decode.nodata import filled
from keras_seg.data.decode.tiff_segments import read_rectangle
from keras_seg.labels import IGNORE
from keras_seg.packages import package

#: First bytes of TIFF and BigTIFF, of both byte orders.
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Values of the tag PhotometricInterpretation, and the tag of no-data.
_MIN_IS_WHITE, _PALETTE, _YCBCR, _NODATA = 0, 3, 6, 42113
# Compressions whose decoders turn YCbCr into RGB: JPEG, WebP, JPEG XL.
_JPEGS = (6, 7, 33007, 34892, 50001, 50002)
# Bits of NewSubfileType: a reduced copy, a mask of transparency.
_REDUCED, _MASK = 1, 4


class TiffImage(NamedTuple):
    """A page of an open file.

    Attributes:
        page: tifffile's page.
        offset: What to add to the places of its strips. ImageJ describes the first
            image of a large stack only; the others lie behind it.
    """

    page: Any
    offset: int = 0


def head(file: IO[bytes], page: Page) -> ArrayHead:
    """What `array_head` returns, of an open TIFF."""
    with opened(file) as tiff:
        chosen, pages = _chosen(tiff, page), len(_images(tiff))
        first = chosen[0].page
        channels = sum(_channels(image.page) for image in chosen)
        dtype = np.uint8 if _has_palette(first) else _dtype(first)
        return ArrayHead(
            first.imagelength,
            first.imagewidth,
            channels,
            np.dtype(dtype).name,
            pages,
            nodata_of(first),
        )


def read(file: IO[bytes], window: ArrayWindow, page: Page) -> np.ndarray:
    """What `read_array` returns, of an open TIFF."""
    with opened(file) as tiff:
        images = _chosen(tiff, page)
        first = images[0].page
        rows, columns = check_window(window, first.imagelength, first.imagewidth)
        parts = [_meant(i.page, _stored(i, rows, columns)) for i in images]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def read_indices(file: IO[bytes], window: ArrayWindow, page: Page) -> np.ndarray:
    """What `array_file.read_indices` returns, of an open TIFF."""
    with opened(file) as tiff:
        image = _chosen(tiff, page)[0]
        height, width = image.page.imagelength, image.page.imagewidth
        stored = _stored(image, *check_window(window, height, width))
        nodata = nodata_of(image.page)
        if nodata is None or nodata >= 0:  # which a class might have
            return stored
        stored = stored.astype(np.promote_types(stored.dtype, np.int16), copy=False)
        return filled(stored, nodata, IGNORE)


def index_channels(file: IO[bytes], page: Page) -> int:
    """Channels of what `read_indices` returns, of an open TIFF."""
    with opened(file) as tiff:
        return _chosen(tiff, page)[0].page.samplesperpixel


def facts(file: IO[bytes], page: Page) -> SceneFacts:
    """What `scene_facts` returns, of an open TIFF."""
    with opened(file) as tiff:
        first = _chosen(tiff, page)[0].page
        size = first.imagelength, first.imagewidth
        return SceneFacts(
            *size, nodata_of(first), georeference_of(first), tuple(tags_of(first))
        )


@contextlib.contextmanager
def opened(file: IO[bytes]) -> Iterator[Any]:
    """An open TIFF as tifffile's object; what fails in it becomes one ValueError."""
    tifffile = package("tifffile", "tiff")
    package("imagecodecs", "tiff")
    # What it warns of is an error here, or doesn't matter.
    logging.getLogger("tifffile").addFilter(_is_shown)
    token = _reading.set(True)
    try:
        with tifffile.TiffFile(file) as tiff:
            yield tiff
    except (OSError, ImportError, _TiffError):
        raise
    except Exception as error:  # whatever parsing damaged bytes ends in
        raise ValueError(
            "Expected a whole TIFF. Received: one that is cut off or damaged "
            f"({type(error).__name__}: {error}). Copy it again."
        ) from None
    finally:
        _reading.reset(token)


class _TiffError(ValueError):
    """An error that says all that is to be said."""


# Whether this thread is reading a file here.
_reading = contextvars.ContextVar("reading", default=False)


def _is_shown(record: logging.LogRecord) -> bool:
    return not _reading.get()


def nodata_of(page: Any) -> float | None:
    """The value of pixels without data, if a page has one."""
    tag = page.tags.get(_NODATA)
    try:
        return None if tag is None else float(str(tag.value).strip("\0 "))
    except ValueError:
        return None


def _images(tiff: Any) -> list[TiffImage]:
    """The images of a file, without reduced copies and masks of them."""
    full = [page for page in tiff.pages if not page.subfiletype & (_REDUCED | _MASK)]
    pages = full or [*tiff.pages]
    if tiff.is_imagej and len(pages) == 1 and pages[0].is_contiguous:
        stacked = int((tiff.imagej_metadata or {}).get("images", 1))
        return [TiffImage(pages[0], k * pages[0].nbytes) for k in range(stacked)]
    return [*map(TiffImage, pages)]


def _chosen(tiff: Any, page: Page) -> list[TiffImage]:
    """The pages to read, if they are there and fit each other."""
    first = tiff.pages.first
    if page == 0 and not first.subfiletype & (_REDUCED | _MASK):
        images = [TiffImage(first)]  # without looking for others
    else:
        images = _images(tiff)
        if page != "all":
            if page >= len(images):
                raise _TiffError(
                    f"Expected `page` to be below {len(images)}, the number of pages. "
                    f"Received: {page}"
                )
            images = [images[page]]
    kinds = {f"{p.imagelength} x {p.imagewidth} {_dtype(p)}": None for p, _ in images}
    if len(kinds) > 1:
        raise _TiffError(
            "Expected pages of one height, width and dtype, to be channels of one "
            f"image. Received: {', '.join([*kinds][:4])}. Try: one page, as page=0."
        )
    for image in images:
        _check_is_read(image.page)
    return images


def _check_is_read(page: Any) -> None:
    if page.imagedepth > 1:
        raise _TiffError(
            "Expected pages of two dimensions. Received: a volume of "
            f"{page.imagedepth} slices in one page. Write each slice as a page."
        )
    if page.dtype is None or page.dtype.kind not in "buif":
        bits = page.bitspersample
        raise _TiffError(
            "Expected integers or floats of up to 64 bits. Received: samples of "
            f"{bits} bits, {page.dtype}. Save it as uint8, uint16 or float32."
        )
    if page.photometric == _YCBCR and page.compression not in _JPEGS:
        raise _TiffError(
            "Expected RGB, or YCbCr with JPEG compression. Received: YCbCr without. "
            "Save it as RGB."
        )
    if _has_palette(page) and page.colormap is None:
        raise _TiffError("Expected a palette. Received: indices without one.")


def _has_palette(page: Any) -> bool:
    return page.photometric == _PALETTE and page.samplesperpixel == 1


def _channels(page: Any) -> int:
    return 3 if _has_palette(page) else page.samplesperpixel


def _dtype(page: Any) -> np.dtype:
    """The dtype of a page's numbers; single bits have a byte each."""
    return np.dtype(np.uint8) if page.dtype == bool else np.dtype(page.dtype)


def _stored(image: TiffImage, rows: slice, columns: slice) -> np.ndarray:
    """The numbers in the file, `[height, width, samples]`."""
    page = image.page
    try:
        stored = read_rectangle(page, rows, columns, image.offset)
    except Exception as error:  # whatever a codec raises for damaged bytes
        raise _TiffError(
            f"Expected strips or tiles that are whole. Received: {error}. The file is "
            "cut off or damaged: copy it again."
        ) from None
    if not _has_palette(page) and page.photometric == _MIN_IS_WHITE:
        return _inverted(stored, page.bitspersample)
    return stored


def _inverted(stored: np.ndarray, bits: Any) -> np.ndarray:
    if stored.dtype.kind != "u" or not isinstance(bits, int):
        return stored
    return stored.dtype.type(2**bits - 1) - stored


def _meant(page: Any, stored: np.ndarray) -> np.ndarray:
    """Stored numbers as they are, and indices of a palette as its colours."""
    if not _has_palette(page):
        return stored
    colors = np.asarray(page.colormap).T  # [colours, 3], 16 bits each
    # Some writers put 8 bits there.
    colors = (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)
    indices = stored[..., 0]
    if indices.max() >= len(colors):
        raise _TiffError(
            f"Expected pixels with a colour of the palette, 0..{len(colors) - 1}. "
            f"Received: {indices.max()}, beyond the palette."
        )
    return colors[indices]
