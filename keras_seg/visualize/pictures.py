"""Pictures to look at: masks over images, samples side by side, a legend."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from keras_seg.arguments import check_integer, is_number
from keras_seg.labels import IGNORE
from keras_seg.palette import as_bytes, color_table, colorize
from keras_seg.visualize.legend import LINE, legend, write

# Rows that are mixed at once: of a large photo all would take gigabytes.
_ROWS = 32
# Pixels between panels, and those that a panel should have at least.
_GAP, _NARROWEST = 8, 128


def overlay(
    image: Any,
    mask: Any,
    palette: Any,
    alpha: float = 0.5,
    *,
    background: int | None = 0,
) -> np.ndarray:
    """Lay the colours of a mask over an image.

        (1 - alpha) image + alpha palette[mask]   where mask is not background
        image                                     where it is

    Args:
        image: `[height, width, 3]`, or one channel, in 0..255.
        mask: Integers `[height, width]`: ids below `len(palette)`, or 255.
        palette: Colours in 0..255, `[num_classes, 3]`.
        alpha: Opacity of the mask, in 0..1.
        background: Id of the class whose pixels show the image as it is. None to lay a
            colour over every class.

    Returns:
        uint8 `[height, width, 3]`.

    Raises:
        ValueError: for sizes that differ, other channels, or an alpha out of range.

    Example:
        >>> image = np.full((1, 2, 3), 100, "uint8")
        >>> overlay(image, [[0, 1]], [(0, 0, 0), (200, 0, 0)]).tolist()
        [[[100, 100, 100], [150, 50, 50]]]
    """
    image, mask = np.asarray(image), np.asarray(mask)
    if image.shape[:2] != mask.shape or image.shape[2:] not in ((1,), (3,)):
        raise ValueError(
            "Expected an image [height, width, 3] and a mask [height, width]. "
            f"Received: {image.shape} and {mask.shape}"
        )
    if not is_number(alpha, 0, 1):
        raise ValueError(f"Expected `alpha` to be in 0..1. Received: {alpha!r}")
    if background is not None:
        check_integer("background", background)
    ids = as_bytes(mask, palette)
    kept = np.full(256, 1 - alpha, np.float32)
    added = (alpha * color_table(palette)).astype(np.float32)
    if background is not None and 0 <= background < 256:
        kept[background], added[background] = 1, 0
    laid = np.empty((*mask.shape, 3), np.uint8)
    for top in range(0, len(mask), _ROWS):  # in floats, but not all at once
        rows = slice(top, top + _ROWS)
        mixed = image[rows] * kept.take(ids[rows])[..., None]
        laid[rows] = np.rint(mixed + added.take(ids[rows], axis=0))
    return laid


def visible(image: np.ndarray) -> np.ndarray:
    """Convert an image for display: its first three channels or the first, uint8.

    Images of 8 bits are shown as they are. Others are stretched: 255 steps from the
    1st to the 99th percentile of what is shown, which is black where it is no number.

    Args:
        image: `[height, width, channels]`.

    Example:
        >>> visible(np.array([[[100], [300], [900]]], "uint16")).ravel().tolist()
        [0, 64, 255]
    """
    image = image[..., : 3 if image.shape[-1] >= 3 else 1]
    if not is_stretched(image):
        return image
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0, 1)
    step = (high - low) / 255 or 1.0
    shown = (np.nan_to_num(image.astype(np.float64), nan=low) - low) / step
    return np.rint(np.clip(shown, 0, 255)).astype(np.uint8)


def is_stretched(image: np.ndarray) -> bool:
    """Whether `visible` changes the brightness of an image, which captions say."""
    return image.dtype != np.uint8


def samples(
    rows: Iterable[tuple[Any, Any, Any]],
    palette: Any,
    class_names: Sequence[str],
    *,
    side: int = 640,
) -> np.ndarray:
    """Draw image, truth and prediction side by side, a row each, and a legend.

    Args:
        rows: Of (image `[h, w, channels]`, truth `[h, w]`, prediction `[h, w]`). Images
            are shown as `visible` makes them, and the title says so if it stretched
            them.
        palette: Colours in 0..255, `[num_classes, 3]`.
        class_names: A name per class; the legend has those that occur.
        side: Height and width in pixels that a panel has at most. Larger images are
            shrunk by a whole number, and very small ones enlarged.

    Returns:
        uint8 `[height, width, 3]`. Masks have exactly the colours of the palette.
    """
    check_integer("side", side, 1)
    panels, ids, stretched = [], set(), False
    for image, truth, prediction in rows:
        image = np.asarray(image)
        stretched |= is_stretched(image)
        image = np.broadcast_to(visible(image), (*truth.shape, 3))
        masks = (fit(np.asarray(mask), side) for mask in (truth, prediction))
        panels.append([fit(image, side), *(colorize(m, palette) for m in masks)])
        ids |= set(np.unique(truth)) | set(np.unique(prediction))

    # Columns are wide enough for their titles, however narrow the images are.
    step = max(_NARROWEST, *(row[0].shape[1] for row in panels)) + _GAP
    width = 3 * step + _GAP
    height = LINE + sum(row[0].shape[0] + _GAP for row in panels)
    sheet = Image.new("RGB", (width, height), "white")
    first = "image (stretched)" if stretched else "image"
    for k, title in enumerate((first, "truth", "prediction")):
        write(ImageDraw.Draw(sheet), (_GAP + k * step, 2), title, step)
    top = LINE
    for row in panels:
        for k, panel in enumerate(row):
            sheet.paste(Image.fromarray(panel), (_GAP + k * step, top))
        top += row[0].shape[0] + _GAP
    return np.concatenate([sheet, _legend(ids, class_names, palette, width)])


def contact_sheet(
    pictures: Iterable[tuple[str, Any, Any]],
    palette: Any,
    class_names: Sequence[str],
    *,
    columns: int = 4,
    side: int = 240,
) -> np.ndarray:
    """Draw small pictures of images under their masks, and a legend.

    Args:
        pictures: Of (title, image `[h, w, channels]`, mask `[h, w]`). Images are shown
            as `visible` makes them, and titles say so if it stretched them.
        palette: Colours in 0..255, `[num_classes, 3]`.
        class_names: A name per class; the legend has those that occur.
        columns: Pictures in a row.
        side: Height and width in pixels that a picture has at most.

    Returns:
        uint8 `[height, width, 3]`. Class 0 is left as the image is.
    """
    check_integer("columns", columns, 1, 1000)
    check_integer("side", side, 1, 2**16)
    pictures = list(pictures)
    step, line = side + _GAP, side + _GAP + LINE
    size = (columns * step + _GAP, _GAP + -(-len(pictures) // columns) * line)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    ids: set[int] = set()
    for number, (title, image, mask) in enumerate(pictures):
        x, y = _GAP + number % columns * step, _GAP + number // columns * line
        image = np.asarray(image)
        title += " (stretched)" if is_stretched(image) else ""
        image = np.broadcast_to(visible(image), (*mask.shape, 3))
        tile = overlay(fit(image, side), fit(np.asarray(mask), side), palette)
        sheet.paste(Image.fromarray(tile), (x, y))
        write(draw, (x, y + len(tile)), title, side)
        ids |= set(np.unique(mask))
    return np.concatenate([sheet, _legend(ids, class_names, palette, size[0])])


def fit(pixels: np.ndarray, side: int) -> np.ndarray:
    """Shrink or enlarge an image or a mask by a whole number, so that it can be seen.

    Ids stay as they are: masks leave out pixels where images have the mean of them.
    """
    longest = max(pixels.shape[:2])
    step, times = -(-longest // side), max(1, min(_NARROWEST, side) // longest)
    if step > 1 and pixels.ndim == 3:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).reduce(step))
    elif step > 1:
        pixels = pixels[::step, ::step]
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _legend(
    ids: Iterable[int], class_names: Sequence[str], palette: Any, width: int
) -> np.ndarray:
    colors = color_table(palette)
    entries = [
        (i, "ignored" if i == IGNORE else class_names[i], colors[i])
        for i in sorted(int(i) for i in ids)
    ]
    return legend(entries, width)
