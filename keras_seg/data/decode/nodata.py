"""Pixels without data: where all bands have one value, which may be NaN."""

import numpy as np


def without_data(pixels: np.ndarray, nodata: float | None) -> np.ndarray:
    """Tell where pixels have no data.

    Args:
        pixels: `[height, width, channels]`.
        nodata: The value that stands for no data; None if none does.

    Returns:
        bool `[height, width]`: where all channels have that value.

    Example:
        >>> without_data(np.array([[[0, 0], [0, 7], [3, 0]]]), 0)
        array([[ True, False, False]])
    """
    value = as_stored(nodata, pixels.dtype)
    if value is None:
        return np.zeros(pixels.shape[:2], bool)
    if value != value:
        return np.isnan(pixels).all(-1)
    return (pixels == value).all(-1)


def filled(pixels: np.ndarray, nodata: float | None, value: float = 0) -> np.ndarray:
    """Put another value where pixels have no data; the same array if none has it."""
    is_missing = without_data(pixels, nodata)
    if not is_missing.any():
        return pixels
    pixels = pixels.copy()
    pixels[is_missing] = value
    return pixels


def as_stored(nodata: float | None, dtype: np.dtype) -> np.generic | None:
    """A value of no data as pixels of a dtype have it; None if they can't have it.

    Files hold it as text of a 64-bit number, pixels perhaps with fewer digits.
    """
    if nodata is None:
        return None
    if dtype.kind == "f":
        return dtype.type(nodata)
    limits = np.iinfo(dtype)
    is_held = nodata == nodata and limits.min <= nodata <= limits.max
    return dtype.type(nodata) if is_held and nodata == int(nodata) else None
