"""Where on the Earth the pixels of a GeoTIFF are.

GeoTIFF 1.1: https://docs.ogc.org/is/19-008r4/19-008r4.html, sections 7.1 and 7.4.
"""

from typing import Any, NamedTuple

import numpy as np

#: Tags of a georeference: what another file of the same pixels has to have.
TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
_SCALE, _TIEPOINT, _MATRIX, _KEYS = TAGS[:4]
# Keys in the directory: what a pixel is, and codes of geographic and projected systems.
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED, _IS_POINT = 1025, 2048, 3072, 2
# Codes from here on are private: they don't say which system it is.
_PRIVATE = 32767
# How far corners of the same image may lie apart, in pixels.
_TOLERANCE = 0.01


class Georeference(NamedTuple):
    """Where the pixels of an image are.

    Attributes:
        transform: (a, b, c, d, e, f): the corner of the pixel at column i and row j is
            at x = a i + b j + c, y = d i + e j + f.
        epsg: Code of the coordinate system; None where the file doesn't have one.
    """

    transform: tuple[float, float, float, float, float, float]
    epsg: int | None

    def __str__(self) -> str:
        a, b, c, d, e, f = self.transform
        system = "" if self.epsg is None else f" in EPSG:{self.epsg}"
        turned = f", sheared by {b:g} x {d:g}" if b or d else ""
        return (
            f"the top left at ({c:.10g}, {f:.10g}){system}, pixels of {a:g} x {e:g}"
            f"{turned}"
        )

    def agrees(self, other: "Georeference", height: int, width: int) -> bool:
        """Whether an image of a size lies at the same place by both."""
        if None not in (self.epsg, other.epsg) and self.epsg != other.epsg:
            return False
        corners = np.array([[0, width, 0, width], [0, 0, height, height], [1] * 4])
        apart = (_matrix(self) - _matrix(other)) @ corners
        pixel = np.abs(_matrix(self)[:, :2]).max()
        return bool(np.abs(apart).max() <= _TOLERANCE * pixel)


def _matrix(georeference: Georeference) -> np.ndarray:
    return np.reshape(georeference.transform, (2, 3))


def georeference_of(page: Any) -> Georeference | None:
    """The georeference of a page of tifffile; None if it has none.

    Example of the tags: a scale (10, 10, 0) and a tiepoint (0, 0, 0, 300000, 5100000,
    0) put the top left corner at x = 300,000 and y = 5,100,000, with pixels of 10 x 10,
    whose y falls from row to row.
    """
    tags = {tag: page.tags[tag].value for tag in TAGS if tag in page.tags}
    keys = _keys(tags.get(_KEYS, ()))
    if _MATRIX in tags and len(tags[_MATRIX]) == 16:
        m = tags[_MATRIX]
        a, b, c, d, e, f = m[0], m[1], m[3], m[4], m[5], m[7]
    elif _SCALE in tags and _TIEPOINT in tags:
        (across, down), (i, j, _, x, y) = tags[_SCALE][:2], tags[_TIEPOINT][:5]
        a, b, c, d, e, f = across, 0.0, x - across * i, 0.0, -down, y + down * j
    else:
        return None
    if keys.get(_RASTER_TYPE) == _IS_POINT:  # then they are of centres of pixels
        c, f = c - (a + b) / 2, f - (d + e) / 2
    epsg = keys.get(_PROJECTED, keys.get(_GEOGRAPHIC))
    if epsg is not None and not 0 < epsg < _PRIVATE:
        epsg = None
    return Georeference((a, b, c, d, e, f), epsg)


def tags_of(page: Any) -> list[tuple]:
    """The tags of a page's georeference, as tifffile writes them into another file."""
    found = [page.tags[tag] for tag in TAGS if tag in page.tags]
    return [(tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in found]


def _keys(directory: Any) -> dict[int, int]:
    """The keys whose value stands in the directory: (key, place, count, value)."""
    entries = np.asarray(directory[4:], int)
    entries = entries[: len(entries) // 4 * 4].reshape(-1, 4)
    return {int(key): int(value) for key, place, _, value in entries if place == 0}
