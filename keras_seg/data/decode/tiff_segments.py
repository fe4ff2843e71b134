"""The strips or tiles of a TIFF page that a rectangle touches -> an array.

tifffile decodes single segments; which ones, and that each of them is whole, is here.
Rows of uncompressed strips are read alone, for many files are one such strip.
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_seg.packages import package

# Compressions that tables may be stored apart for.
_JPEGS = (6, 7, 33007, 34892)
# Values of the tags PhotometricInterpretation and PlanarConfiguration.
_RGB, _SEPARATE = 2, 2


def read_rectangle(
    page: Any, rows: slice, columns: slice, offset: int = 0
) -> np.ndarray:
    """Read a rectangle of a page.

    Args:
        page: tifffile's page, of an open file.
        rows: Which rows, within the page.
        columns: Which columns.
        offset: Bytes to add to the places of segments in the file.

    Returns:
        `[height, width, samples]` in the machine's byte order; single bits as 0 and 1.

    Raises:
        ValueError: for a segment that isn't whole, saying which one.
    """
    samples = page.samplesperpixel
    shape = (rows.stop - rows.start, columns.stop - columns.start, samples)
    dtype = np.dtype(np.uint8) if page.dtype == bool else np.dtype(page.dtype)
    found = np.empty(shape, dtype.newbyteorder("="))
    read = _rows_of_strip if _has_plain_rows(page) else _segment
    for index, plane, top, left, height, width in _touched(page, rows, columns):
        first, last = max(rows.start, top), min(rows.stop, top + height)
        start, stop = max(columns.start, left), min(columns.stop, left + width)
        place = found[
            first - rows.start : last - rows.start,
            start - columns.start : stop - columns.start,
        ]
        place = place if page.planarconfig == 1 else place[..., plane : plane + 1]
        if not page.dataoffsets[index] or not page.databytecounts[index]:
            place[...] = page.nodata  # GDAL leaves out segments without data
            continue
        pixels = read(page, index, slice(first - top, last - top), offset)
        place[...] = pixels[:, start - left : stop - left]
    return found


def _touched(
    page: Any, rows: slice, columns: slice
) -> Iterator[tuple[int, int, int, int, int, int]]:
    """(index, plane, top, left, height, width) of segments that meet a rectangle."""
    if page.is_tiled:
        height, width = page.tilelength, page.tilewidth
    else:
        height, width = min(page.rowsperstrip, page.imagelength), page.imagewidth
    down, across = -(-page.imagelength // height), -(-page.imagewidth // width)
    planes = 1 if page.planarconfig == 1 else page.samplesperpixel
    if len(page.dataoffsets) < planes * down * across:
        raise ValueError(
            f"{len(page.dataoffsets)} segments, where there should be "
            f"{planes * down * across}"
        )
    for plane in range(planes):
        for i in range(rows.start // height, -(-rows.stop // height)):
            for j in range(columns.start // width, -(-columns.stop // width)):
                index = (plane * down + i) * across + j
                top, left = i * height, j * width
                within = (
                    min(height, page.imagelength - top),
                    min(width, page.imagewidth - left),
                )
                yield index, plane, top, left, *within


def _has_plain_rows(page: Any) -> bool:
    """Whether rows lie in the file as they are, one after the other."""
    return (
        page.compression == 1
        and page.predictor == 1
        and page.fillorder == 1
        and not page.is_tiled
        and not page.is_subsampled
        and page.bitspersample in (8, 16, 32, 64)
    )


def _rows_of_strip(page: Any, index: int, rows: slice, offset: int) -> np.ndarray:
    """Rows of an uncompressed strip."""
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    stored = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    of_row = page.imagewidth * samples * stored.itemsize
    count = rows.stop - rows.start
    start = page.dataoffsets[index] + offset + rows.start * of_row
    contents = _bytes_at(page, index, start, count * of_row)
    return np.frombuffer(contents, stored).reshape(count, page.imagewidth, samples)


def _segment(page: Any, index: int, rows: slice, offset: int) -> np.ndarray:
    """Rows of a strip or tile that has to be decoded."""
    start, size = page.dataoffsets[index] + offset, page.databytecounts[index]
    contents = _bytes_at(page, index, start, size)
    decode = page.decode
    if page.compression in _JPEGS:
        tables, header = page.jpegtables, page.jpegheader
        decode = functools.partial(decode, jpegtables=tables, jpegheader=header)
    is_plane_of_rgb = page.planarconfig == _SEPARATE and page.photometric == _RGB
    try:
        if page.compression in _JPEGS and is_plane_of_rgb:
            return _jpeg_plane(page, contents)[rows]
        pixels, _, _ = decode(contents, index)
    except Exception as error:  # each codec has errors of its own
        raise ValueError(
            f"{_named(page, index)}, which isn't: {type(error).__name__}: {error}"
        ) from None
    return pixels[0, rows]


def _jpeg_plane(page: Any, contents: bytes) -> np.ndarray:
    """A strip or tile of one plane of RGB, which tifffile takes for all three."""
    plane = package("imagecodecs", "tiff").jpeg_decode(
        contents,
        bitspersample=page.bitspersample,
        tables=page.jpegtables,
        header=page.jpegheader,
    )
    return plane[..., None]


def _bytes_at(page: Any, index: int, start: int, count: int) -> bytes:
    file = page.parent.filehandle
    file.seek(start)
    contents = file.read(count)
    if len(contents) < count:
        raise ValueError(
            f"{_named(page, index)}, which ends after {len(contents):,} of its "
            f"{count:,} bytes"
        )
    return contents


def _named(page: Any, index: int) -> str:
    kind = "tile" if page.is_tiled else "strip"
    return f"{kind} {index + 1:,} of {len(page.dataoffsets):,}"
