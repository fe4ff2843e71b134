"""Colours of class ids: the default palette, masks in colour, masks as files."""

import os
import zlib
from typing import Any

import numpy as np
from PIL import Image

from keras_seg.arguments import check_integer
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
    ids = np.arange(check_integer("count", count, 0, 256))
    colors = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        plane, depth = bit % 3, 7 - bit // 3
        colors[:, plane] |= ((ids >> bit & 1) << depth).astype(np.uint8)
    return colors


def color_table(palette: Any) -> np.ndarray:
    """The colours of all 256 ids that a byte can hold.

    Args:
        palette: Colours in 0..255 of the first ids, `[num_classes, 3]`. Ids beyond it
            have VOC's colours; 255 among them, the ignored pixels, is cream.

    Returns:
        uint8 `[256, 3]`.
    """
    colors = color_map(256)
    colors[: len(palette)] = palette
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
    return color_table(palette)[as_bytes(mask, palette)]


def save_mask(path: str | os.PathLike, mask: Any, palette: Any) -> None:
    """Write a mask as a label PNG: it holds the ids, and viewers show the colours.

    Args:
        path: File to write, `.png`. No other format keeps ids as they are.
        mask: Integers `[height, width]`: ids below `len(palette)`, or 255.
        palette: Colours in 0..255, `[num_classes, 3]`.

    Raises:
        ValueError: for an id that has no colour, or another suffix.

    Example:
        mask = keras_seg.predict_mask(model, image)
        keras_seg.visualize.save_mask("mask.png", mask, source.palette)
    """
    if not os.fspath(path).lower().endswith(".png"):
        raise ValueError(f"Expected a path that ends in .png. Received: {path}")
    image = Image.fromarray(as_bytes(mask, palette))
    image.putpalette(color_table(palette).tobytes())
    # Runs of one id are found in a third of the time that all repetitions take, and
    # files are a sixth larger.
    image.save(path, format="PNG", compress_type=zlib.Z_RLE)


def as_bytes(mask: Any, palette: Any) -> np.ndarray:
    """A mask as uint8, if each of its ids has a colour."""
    mask = np.asarray(mask)
    if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(
            "Expected a mask of integers [height, width]. Received: "
            f"{mask.dtype} {list(mask.shape)}"
        )
    stray = (mask < 0) | ((mask >= len(palette)) & (mask != IGNORE))
    if stray.any():
        raise ValueError(
            f"Expected ids 0..{len(palette) - 1} or {IGNORE}, which have a colour. "
            f"Received: {np.unique(mask[stray])[:8].tolist()}"
        )
    return mask.astype(np.uint8)


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
