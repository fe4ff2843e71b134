"""Pictures to look at: masks over images, samples side by side."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_seg.labels import IGNORE
from keras_seg.palette import IGNORE_COLOR, colorize


def overlay(image: Any, mask: Any, palette: Any, alpha: float = 0.5) -> np.ndarray:
    """Lay the colours of a mask over an image.

        (1 - alpha) image + alpha palette[mask]

    Args:
        image: `[height, width, 3]`, or one channel, in 0..255.
        mask: Integers `[height, width]`: ids below `len(palette)`, or 255.
        palette: Colours in 0..255, `[num_classes, 3]`.
        alpha: How much of the mask is seen, in 0..1.

    Returns:
        uint8 `[height, width, 3]`.

    Raises:
        ValueError: for sizes that differ, other channels, or an alpha out of range.

    Example:
        >>> image = np.full((1, 1, 3), 100, "uint8")
        >>> overlay(image, [[1]], [(0, 0, 0), (200, 0, 0)]).tolist()
        [[[150, 50, 50]]]
    """
    image, mask = np.asarray(image), np.asarray(mask)
    if image.shape[:2] != mask.shape or image.shape[2:] not in ((1,), (3,)):
        raise ValueError(
            "Expected an image [height, width, 3] and a mask [height, width]. "
            f"Received: {image.shape} and {mask.shape}"
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"Expected `alpha` to be in 0..1. Received: {alpha}")
    mixed = (1 - alpha) * image + alpha * colorize(mask, palette)
    return np.rint(mixed).astype(np.uint8)


def visible(image: np.ndarray) -> np.ndarray:
    """The first three bands of an image, or the first one."""
    return image[..., : 3 if image.shape[-1] >= 3 else 1]


def samples(
    rows: Iterable[tuple[Any, Any, Any]], palette: Any, class_names: Sequence[str]
) -> np.ndarray:
    """Draw image, truth and prediction side by side, a row each, and a legend.

    Args:
        rows: Of (image `[h, w, 1 or 3]`, truth `[h, w]`, prediction `[h, w]`).
        palette: Colours in 0..255, `[num_classes, 3]`.
        class_names: A name per class; the legend has those that occur.

    Returns:
        uint8 `[height, width, 3]`. Masks have exactly the colours of the palette.
    """
    gap, line = 6, 22
    drawn, ids = [], set()
    for image, truth, prediction in rows:
        image = np.broadcast_to(np.asarray(image, np.uint8), (*truth.shape, 3))
        arrays = [image, colorize(truth, palette), colorize(prediction, palette)]
        drawn.append([Image.fromarray(np.ascontiguousarray(a)) for a in arrays])
        ids |= set(np.unique(truth)) | set(np.unique(prediction))

    width = max(panels[0].width for panels in drawn)
    columns = [gap + k * (width + gap) for k in range(3)]
    font = ImageFont.load_default(14)
    entries = _legend(sorted(int(i) for i in ids), class_names, palette, font)
    lines = _wrap(entries, columns[-1] + width, gap + line)
    height = line + sum(p[0].height + gap for p in drawn) + len(lines) * line + gap

    sheet = Image.new("RGB", (columns[-1] + width + gap, height), "white")
    draw = ImageDraw.Draw(sheet)
    for x, title in zip(columns, ("image", "truth", "prediction"), strict=True):
        draw.text((x, 3), title, fill="black", font=font)
    y = line
    for panels in drawn:
        for x, panel in zip(columns, panels, strict=True):
            sheet.paste(panel, (x, y))
        y += panels[0].height + gap
    _draw_legend(draw, lines, gap, y)
    return np.asarray(sheet)


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
        pictures: Of (title, image `[h, w, 1 or 3]`, mask `[h, w]`).
        palette: Colours in 0..255, `[num_classes, 3]`.
        class_names: A name per class; the legend has those that occur.
        columns: Pictures in a row.
        side: Height and width in pixels that a picture has at most.

    Returns:
        uint8 `[height, width, 3]`.
    """
    gap, line = 8, 22
    font = ImageFont.load_default(13)
    tiles, ids = [], set()
    for title, image, mask in pictures:
        tile = Image.fromarray(overlay(image, mask, palette))
        tile.thumbnail((side, side))
        tiles.append((title, tile))
        ids |= set(np.unique(mask).tolist())

    step = side + gap
    entries = _legend(sorted(ids), class_names, palette, font)
    lines = _wrap(entries, columns * step, gap + line)
    rows = -(-len(tiles) // columns)
    size = (columns * step + gap, rows * (step + line) + len(lines) * line + gap)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for number, (title, tile) in enumerate(tiles):
        x = gap + number % columns * step
        y = gap + number // columns * (step + line)
        sheet.paste(tile, (x, y))
        while font.getlength(title) > side:
            title = title[:-2].rstrip("…") + "…"
        draw.text((x, y + tile.height + 2), title, fill="black", font=font)
    _draw_legend(draw, lines, gap, rows * (step + line))
    return np.asarray(sheet)


def _legend(
    ids: list[int], class_names: Sequence[str], palette: Any, font: Any
) -> list[tuple[str, tuple[int, ...], int]]:
    """(name, colour, pixels to the next entry) of each id."""
    entries = []
    for i in ids:
        name = "no label" if i == IGNORE else class_names[i]
        color = IGNORE_COLOR if i == IGNORE else tuple(int(c) for c in palette[i])
        entries.append((name, color, int(font.getlength(name)) + 34))
    return entries


def _draw_legend(draw: Any, lines: list[list], left: int, top: int) -> None:
    font = ImageFont.load_default(14)
    for number, entries in enumerate(lines):
        x, y = left, top + 22 * number
        for name, color, advance in entries:
            draw.rectangle((x, y + 4, x + 12, y + 16), fill=color, outline="gray")
            draw.text((x + 17, y + 2), name, fill="black", font=font)
            x += advance


def _wrap(entries: list, width: int, indent: int) -> list[list]:
    """Entries in lines that are not wider than `width`."""
    lines: list[list] = [[]]
    x = indent
    for entry in entries:
        if lines[-1] and x + entry[2] > width:
            lines.append([])
            x = indent
        lines[-1].append(entry)
        x += entry[2]
    return lines
