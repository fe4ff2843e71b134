"""Colours of class ids: the default palette, and pictures of masks."""

from typing import Any

import numpy as np

from keras_seg.labels import IGNORE

#: Ignored pixels are cream, as in VOC.
IGNORE_COLOR = (224, 224, 192)


def color_map(count: int) -> np.ndarray:
    """VOC's colours of class ids.

    The bits of an id are spread over its colour: bits 0, 1 and 2 become the highest
    bits of red, green and blue, bits 3, 4 and 5 the next ones, and so on.

    Args:
        count: Number of ids, up to 256. Id 255, VOC's border, is cream.

    Returns:
        uint8 `[count, 3]`.

    Example:
        >>> color_map(256)[[1, 15, 255]].tolist()
        [[128, 0, 0], [192, 128, 128], [224, 224, 192]]
    """
    ids = np.arange(count)
    colors = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        plane, depth = bit % 3, 7 - bit // 3
        colors[:, plane] |= ((ids >> bit & 1) << depth).astype(np.uint8)
    return colors


def colorize(mask: Any, palette: Any) -> np.ndarray:
    """Give each pixel the colour of its id.

    Args:
        mask: Integers `[height, width]`: ids below `len(palette)`, or 255.
        palette: Colours in 0..255, `[num_classes, 3]`.

    Returns:
        uint8 `[height, width, 3]`.

    Raises:
        ValueError: for an id that has no colour.

    Example:
        >>> colorize([[1, 255]], [(0, 0, 0), (128, 0, 0)]).tolist()
        [[[128, 0, 0], [224, 224, 192]]]
    """
    mask, palette = np.asarray(mask), np.asarray(palette)
    stray = np.setdiff1d(mask, [*range(len(palette)), IGNORE])
    if stray.size:
        raise ValueError(
            f"Expected ids 0..{len(palette) - 1} or {IGNORE}, which have a colour. "
            f"Received: {stray.tolist()}"
        )
    colors = np.full((256, 3), IGNORE_COLOR, np.uint8)
    colors[: len(palette)] = palette
    return colors[mask]


def _voc_greys() -> set[int]:
    """Luminance of VOC's colours (ITU-R BT.601), cut off as Pillow does, or rounded."""
    greys: set[int] = set()
    for label in (*range(1, 21), IGNORE):
        red, green, blue = (
            sum((label >> (3 * k + plane) & 1) << (7 - k) for k in range(3))
            for plane in range(3)
        )
        grey = 0.299 * red + 0.587 * green + 0.114 * blue
        greys |= {int(grey), round(grey)}
    return greys


#: Greys that a VOC palette mask turns into when it is saved as luminance.
VOC_GREYS = _voc_greys()
