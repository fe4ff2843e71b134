"""Outlines of objects as masks of pixels."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from keras_seg.data.readers.coco.annotations import Runs, Shape
from keras_seg.labels import IGNORE


class Thing(msgspec.Struct, gc=False):
    """An object: the label of its pixels, where they are, and its name in errors."""

    label: int
    shape: Shape
    name: str


def draw(things: Sequence[Thing], height: int, width: int, overlap: str) -> np.ndarray:
    """Labels of the objects of one image, uint8 `[height, width]`."""
    mask = np.zeros((height, width), np.uint8)
    drawn = [(thing.label, _pixels_of(thing, height, width)) for thing in things]
    if overlap == "smallest":
        # The largest first; the sort is stable, so of two alike the first is on top.
        drawn = sorted(drawn[::-1], key=lambda pair: -int(pair[1].sum()))
    covered = np.zeros((height, width), bool)
    twice = np.zeros((height, width), bool)
    for label, pixels in drawn:
        mask[pixels] = label
        twice |= covered & pixels
        covered |= pixels
    if overlap == "ignore":
        mask[twice] = IGNORE
    return mask


def _pixels_of(thing: Thing, height: int, width: int) -> np.ndarray:
    """Pixels of an object, bool `[height, width]`."""
    try:
        if isinstance(thing.shape, Runs):
            return _pixels_of_runs(thing.shape, height, width)
        if isinstance(thing.shape, tuple):
            return _pixels_of_box(thing.shape, height, width)
        return _pixels_of_polygons(thing.shape, height, width)
    except ValueError as error:
        raise ValueError(f"{thing.name}: {error}") from None


def _pixels_of_box(
    box: tuple[float, float, float, float], height: int, width: int
) -> np.ndarray:
    """All pixels that a box touches."""
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    pixels = np.zeros((height, width), bool)
    rows = slice(max(math.floor(top), 0), max(math.ceil(bottom), 0))
    columns = slice(max(math.floor(left), 0), max(math.ceil(right), 0))
    pixels[rows, columns] = True
    return pixels


def _pixels_of_polygons(
    polygons: list[np.ndarray], height: int, width: int
) -> np.ndarray:
    """All that is in one of the polygons, as COCO's own tool draws them."""
    from pycocotools import mask as coco_mask

    # Far points would take all memory, and the interpreter down.
    far = 100 * max(height, width)
    for polygon in polygons:
        if not np.isfinite(polygon).all() or abs(polygon).max() > far:
            raise ValueError(
                "Expected points in or near the image, all finite. Received: "
                f"{polygon.tolist()}"
            )
    runs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    return coco_mask.decode(runs).astype(bool)


def _pixels_of_runs(runs: Runs, height: int, width: int) -> np.ndarray:
    """Runs of pixels outside and inside in turn, down the columns.

    Not by pycocotools, which makes masks of memory that nothing was written to where
    the runs are fewer pixels than the image (2.0.11: values from 0 to 8, other ones in
    each call).
    """
    if runs.size != (height, width):
        raise ValueError(
            f"Expected runs of an image of {height} x {width}. Received: "
            f"{list(runs.size)}"
        )
    counts = runs.counts
    lengths = _uncompressed(counts) if isinstance(counts, str) else np.array(counts)
    if not lengths.size or lengths.min() < 0 or lengths.sum() != height * width:
        raise ValueError(
            f"Expected runs of {height * width} pixels in all, none below 0. Received: "
            f"{lengths.sum()}"
        )
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def _uncompressed(counts: str) -> np.ndarray:
    """Runs from COCO's compressed ones.

    A character, less 48, holds five bits of a number, the lowest first, and whether
    more follow; the last one's highest bit is the sign. From the fourth on, numbers
    are differences to the last but one.
    """
    codes = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    is_last = codes & 32 == 0
    if not codes.size or codes.min() < 0 or codes.max() > 63 or not is_last[-1]:
        raise ValueError("Expected whole compressed `counts` of runs.")
    first = np.flatnonzero(np.r_[True, is_last[:-1]])
    lengths = np.diff([*first, codes.size])
    place = np.arange(codes.size) - np.repeat(first, lengths)
    if place.max() > 6:
        raise ValueError("Expected whole compressed `counts` of runs.")
    runs = np.add.reduceat((codes & 31) << 5 * place, first)
    runs -= np.where(codes[is_last] & 16, 1 << 5 * lengths, 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs
