"""Large images -> a Source of windows of them, each of which is an example."""

import copy
import functools
import operator
import os
import struct
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image as Pictures

from keras_seg.arguments import is_number, is_whole
from keras_seg.data.checks import NamedError, check_same_size, naming, reason
from keras_seg.data.decode.array_file import is_array_file, scene_facts
from keras_seg.data.decode.png_header import SIGNATURE
from keras_seg.data.source import Source
from keras_seg.labels import Image, Index, Mask, Window

_Size = tuple[int, int]


def tiles(source: Source, size: int | _Size, overlap: float = 0.0) -> Source:
    """Cut the examples of a Source into tiles, each of which becomes an example.

    Only a tile's pixels are read where files allow it, as TIFFs do: tiled ones at any
    place, others by whole rows. So scenes that don't fit into memory can be learned
    from. Tiles of one example lie in a grid, row by row. The last ones of each row and
    column are moved inside, so that all have one size, unless the example is smaller.

    Args:
        source: What to cut.
        size: Height and width of tiles in pixels, or (height, width).
        overlap: Share of a tile that the next one has too, 0 or more, below 1.

    Returns:
        A Source of tiles, named after their example and their first row and column,
        as "scene/r0-c512". It has the classes, range and palette of `source`.

    Raises:
        ValueError: for a size or an overlap out of range, or, naming the file, an
            example whose size can't be read, or isn't that of its mask.

    Example:
        >>> from keras_seg.data import shapes
        >>> parts = tiles(shapes(2, size=(64, 96)), 64)
        >>> list(parts.names)[1:3]
        ['example 0/r0-c32', 'example 1/r0-c0']
        >>> parts[1][0].shape, len(tiles(shapes(2, size=(64, 96)), 32, overlap=0.5))
        ((64, 64, 3), 30)
    """
    tile = _check_size(size)
    if not is_number(overlap, 0) or overlap >= 1:
        raise ValueError(
            "Expected `overlap` to be the share of a tile, 0 <= overlap < 1. Received: "
            f"{overlap!r}"
        )
    grids = [_grid(_size_of(source, i), tile, overlap) for i in range(len(source))]
    counts = [len(grid) for grid in grids]
    scenes = np.repeat(np.arange(len(source)), counts)
    windows = np.concatenate([np.zeros((0, 4), np.int32), *grids])
    names = [
        f"{source.names[scene]}/r{top}-c{left}"
        for scene, (top, left, _, _) in zip(scenes.tolist(), windows, strict=True)
    ]

    def image(index: Index, window: Window = None) -> Image:
        return _part(source, "image", scenes, _within(windows, index, window), index)

    def mask(index: Index, window: Window = None) -> Mask:
        return _part(source, "mask", scenes, _within(windows, index, window), index)

    # A copy, since all but these is the source's: range, classes, no-data.
    tiled = copy.copy(source)
    tiled._length, tiled._indices = len(names), None
    tiled.names = names
    tiled._image, tiled._takes_window, tiled._takes_mask_size = image, True, False
    tiled._mask, tiled._mask_takes_window = mask, True
    tiled._image_path = tiled._mask_path = None  # no tile is a whole file
    tiled._size = lambda index: tuple(windows[index, 2:].tolist())
    tiled._origin = f"tiles of {tile[0]} x {tile[1]} of {source._origin or 'a Source'}"
    return tiled


def split_by_strips(source: Source) -> tuple[Source, Source]:
    """The upper four fifths of each example, and its lowest fifth; no pixel is in both.

    It is for one scene or two, of which none can be left out to validate on.

    Args:
        source: Examples of five rows or more.

    Returns:
        Strips to train on, four of an example, and to validate on, one of each.

    Raises:
        ValueError: for an example of fewer rows.
    """
    parts = []
    for index in range(len(source)):
        height, width = _size_of(source, index)
        if height < 5:
            raise ValueError(
                f"{source.names[index]}: Expected five rows or more, of which a fifth "
                f"is held out to validate on. Received: {height}"
            )
        parts.append(tiles(source[[index]], (height // 5, width)))
    train, val = zip(*((part[:4], part[-1:]) for part in parts), strict=True)
    return functools.reduce(operator.add, train), functools.reduce(operator.add, val)


def _check_size(size: Any) -> _Size:
    pair = size if isinstance(size, list | tuple) else (size, size)
    if len(pair) != 2 or not all(is_whole(side, 1) for side in pair):
        raise ValueError(
            "Expected `size` to be pixels, a positive integer, or (height, width). "
            f"Received: {size!r}"
        )
    return int(pair[0]), int(pair[1])


def _grid(size: _Size, tile: _Size, overlap: float) -> np.ndarray:
    """(top, left, height, width) of the tiles of an example, int32 `[n, 4]`."""
    sides = [min(a, b) for a, b in zip(size, tile, strict=True)]
    starts = []
    for length, side in zip(size, sides, strict=True):
        step = max(1, round(side * (1 - overlap)))
        count = -(-(length - side) // step) + 1
        starts.append(np.minimum(np.arange(count) * step, length - side))
    tops, lefts = np.meshgrid(*starts, indexing="ij")
    columns = [tops.ravel(), lefts.ravel(), *(np.full(tops.size, n) for n in sides)]
    return np.stack(columns, -1).astype(np.int32)


def _within(windows: np.ndarray, index: Index, window: Window) -> tf.Tensor:
    """The window of an example that is a window of its tile, int32 `[4]`."""
    tile = tf.gather(windows, index)
    if window is None:
        return tile
    window = tf.cast(window, tf.int32)
    return tf.concat([tile[:2] + window[:2], window[2:]], 0)


def _part(
    source: Source, kind: str, scenes: np.ndarray, window: tf.Tensor, tile: Index
) -> tf.Tensor:
    """Pixels or ids of a window, as the reader of a Source gives them."""
    index = tf.gather(tf.constant(scenes, tf.int64), tile)
    is_image = kind == "image"
    read = source._image if is_image else source._mask
    by_window = source._takes_window if is_image else source._mask_takes_window
    with naming(lambda: source._name(kind, index)):
        if by_window:
            return read(source._reader_index(index), window=window)
        top, left, height, width = tf.unstack(window)
        whole = tf.convert_to_tensor(read(source._reader_index(index)))
        return whole[top : top + height, left : left + width]


def _size_of(source: Source, index: int) -> _Size:
    """(height, width) of an example; image and mask have the same."""
    known = source.size(index)
    if known is not None:
        return known
    files = source.image_file(index), source.mask_file(index)
    if None in files:
        height, width = source._read(tf.constant(index, tf.int64))[1].shape
        return height, width
    image, mask = (file_size(str(file)) for file in files)
    with naming(lambda: str(files[1])):
        check_same_size(tf.constant(image), tf.constant(mask))
    return image


def file_size(path: str) -> _Size:
    """(height, width) of an image file, from its first bytes."""
    if is_array_file(path):
        return scene_facts(path)[:2]
    with tf.io.gfile.GFile(path, "rb") as file:
        start = file.read(24)
        if start.startswith(SIGNATURE) and len(start) == 24:
            width, height = struct.unpack(">2I", start[16:])
            return height, width
        file.seek(0)
        try:
            with Pictures.open(file) as picture:
                return picture.height, picture.width
        except (OSError, tf.errors.OpError) as error:
            name = os.fsencode(path).decode(errors="backslashreplace")
            raise NamedError(
                f"{name}: Expected an image. Received: {reason(error)}. Copy it again."
            ) from None
