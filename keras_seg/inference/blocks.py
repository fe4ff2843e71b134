"""Images of one size through a model: whole or by tiles, mirrored and resized too.

    mean over s and f of  back(p(f(resize(image, s))))

    s     a factor of the height and width, of `scales`
    f     the image as it is, and with `flips` its mirror image
    p     the probabilities that the model gives
    back  mirrors them back, and resizes them (bilinear) to the size of the image

Each tile is resized by itself. A net whose output lacks a margin sees what is around
the tile, and the mirror image of the image beyond its edges.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from keras import ops

from keras_seg.inference.memory import free_memory
from keras_seg.inference.nets import SHARE, Net
from keras_seg.inference.passes import Passes
from keras_seg.inference.sides import Side, mirrored
from keras_seg.inference.tiles import Span, joined, spans

# Tiles of images that don't fit into memory have the largest of these sides whose pass
# needs at most so many bytes.
_TILES, _BYTES_OF_TILE = range(1024, 0, -64), 2**30

# A warning is due for so many tiles, or more, of fewer pixels each: most of the time
# then goes into calling the model.
_MANY_TILES, _SMALL_TILE = 1000, 32**2

Size = tuple[int, int]


class Block(NamedTuple):
    """What a model says of a rectangle of images of one size.

    Attributes:
        top: Its first row.
        left: Its first column.
        scores: float32 `[batch, height, width, num_classes]`.
        is_raw: Whether the scores are what the model gives, or else probabilities.
    """

    top: int
    left: int
    scores: np.ndarray
    is_raw: bool

    def probabilities(self, net: Net) -> np.ndarray:
        """The scores as probabilities."""
        if self.is_raw and not net.are_probabilities:
            return ops.convert_to_numpy(ops.softmax(self.scores))
        return self.scores

    def of(self, maps: np.ndarray) -> np.ndarray:
        """The same rectangle of other maps, `[batch, height, width, ...]`."""
        _, height, width, _ = self.scores.shape
        return maps[:, self.top : self.top + height, self.left : self.left + width]


def blocks(net: Net, images: np.ndarray, passes: Passes) -> Iterator[Block]:
    """Predict images of one size.

    Args:
        net: The model.
        images: `[batch, height, width, channels]`.
        passes: How they go through it.

    Yields:
        Rectangles that cover the images, each pixel once. A single one, the whole
        images, unless they go by tiles.

    Raises:
        ValueError: for a tile that is too small for the model, a scale that is too
            large for its fixed size, or scores that aren't numbers.
        MemoryError: if a tile doesn't fit into memory.
    """
    size = images.shape[1:3]
    rows, columns = tiles_of(net, len(images), size, passes)
    if len(rows) == len(columns) == 1:
        try:
            yield Block(0, 0, _whole(net, images, passes), passes.is_plain)
            return
        except tf.errors.ResourceExhaustedError:
            net.largest = len(images) * math.prod(size) - 1
            rows, columns = tiles_of(net, len(images), size, passes)

    def predict(row: Span, column: Span) -> np.ndarray:
        sides = net.sides(by_tiles=True)
        return _probabilities(net, images, (row, column), sides, passes)

    try:
        for top, left, probabilities in joined(predict, rows, columns):
            yield Block(top, left, probabilities, False)
    except tf.errors.ResourceExhaustedError as error:
        height, width = (max(b - a for a, b in tiles) for tiles in (rows, columns))
        raise MemoryError(
            "Expected a `tile` that fits into memory. Received: one of "
            f"{height} x {width}. {error.message.splitlines()[0]}"
        ) from None


def masks(
    net: Net, images: np.ndarray, passes: Passes
) -> tuple[np.ndarray, np.ndarray]:
    """Ids of images of one size, and which images have numbers as scores.

    Args:
        net: The model.
        images: `[batch, height, width, channels]`.
        passes: How they go through it.

    Returns:
        uint8 `[batch, height, width]` and bool `[batch]`.
    """
    size = images.shape[1:3]
    rows, columns = tiles_of(net, len(images), size, passes)
    if passes.is_plain and len(rows) == len(columns) == 1:
        try:
            ids, finite = net.masks(_window(images, (*rows, *columns), net.sides()))
            return ids[:, : size[0], : size[1]], finite
        except tf.errors.ResourceExhaustedError:
            net.largest = len(images) * math.prod(size) - 1
    found = np.empty(images.shape[:3], np.uint8)
    for block in blocks(net, images, passes):
        block.of(found)[...] = block.scores.argmax(-1)
    return found, np.ones(len(images), bool)


def tiles_of(
    net: Net, images: int, size: Size, passes: Passes
) -> tuple[list[Span], list[Span]]:
    """Rows and columns of the tiles that images go by: one of each for whole images."""
    whole = [(0, size[0])], [(0, size[1])]
    needed = [side.for_output(n) for side, n in zip(net.sides(), size, strict=True)]
    tile = passes.tile
    if tile is None:
        if not net.is_too_large(images, _pixels(needed, passes)):
            return whole
        tile = _tile_that_fits(net, passes)
        net.say_once(
            f"Images of {size[0]} x {size[1]} are too large for one pass in the memory "
            f"that is free. They go by tiles of {tile[0]} x {tile[1]}; `tile` chooses "
            "another size."
        )
    elif all(0 < n <= limit for n, limit in zip(needed, tile, strict=True)):
        return whole
    sides = net.sides(by_tiles=True)
    rows, columns = (
        spans(*x, passes.overlap) for x in zip(size, sides, tile, strict=True)
    )
    count = len(rows) * len(columns)
    if count >= _MANY_TILES and math.prod(size) < count * _SMALL_TILE:
        net.say_once(
            f"Images of {size[0]} x {size[1]} go by {count:,} tiles of {tile[0]} x "
            f"{tile[1]}, one after the other, which is slow. A larger `tile` is faster."
        )
    return rows, columns


def check_tile(net: Net, passes: Passes) -> None:
    """Raise if a tile is too small for a model."""
    if passes.tile is not None:
        for side, tile in zip(net.sides(by_tiles=True), passes.tile, strict=True):
            spans(1, side, tile, 0.0)


def batch_that_fits(net: Net, at_most: int, size: Size, passes: Passes) -> int:
    """How many images of a size should go through together, 1 or more."""
    pixels = _pixels(passes.tile or size, passes)
    while at_most > 1 and net.is_too_large(at_most, pixels):
        at_most //= 2
    return at_most


def _pixels(size: Any, passes: Passes) -> int:
    return round(math.prod(size) * max(1.0, *passes.scales) ** 2)


def _tile_that_fits(net: Net, passes: Passes) -> Size:
    allowed = min(_BYTES_OF_TILE, SHARE * free_memory())
    height, width = net.sides(by_tiles=True)
    for n in _TILES:
        tile = (height.at_most(n), width.at_most(n))
        pixels = _pixels(tile, passes)
        if pixels <= net.largest and net.needed(1, pixels) <= allowed:
            break
    return max(tile[0], height.first), max(tile[1], width.first)


def _whole(net: Net, images: np.ndarray, passes: Passes) -> np.ndarray:
    """Scores of whole images: raw ones if they go through once."""
    _, height, width, _ = images.shape
    spans = (0, height), (0, width)
    if not passes.is_plain:
        return _probabilities(net, images, spans, net.sides(), passes)
    return net.scores(_window(images, spans, net.sides()))[:, :height, :width]


def _probabilities(
    net: Net,
    images: np.ndarray,
    tile: tuple[Span, Span],
    sides: tuple[Side, Side],
    passes: Passes,
) -> np.ndarray:
    """Mean of the probabilities over scales and mirror images."""
    height, width = (stop - start for start, stop in tile)
    total = np.zeros((), np.float32)
    for scale in passes.scales:
        if scale == 1:
            given = _flipped_mean(net, _window(images, tile, sides), passes.flips)
            total = total + given[:, :height, :width]
            continue
        around = [math.ceil(side.margin / scale) for side in sides]
        wide = [(a - n, b + n) for (a, b), n in zip(tile, around, strict=True)]
        image = _pixels_of(images, *wide)
        scaled = [max(1, round(n * scale)) for n in image.shape[1:3]]
        image = _resize(image, scaled)
        spans = [(0, n) for n in scaled]
        given = _flipped_mean(net, _window(image, spans, sides), passes.flips)
        given = _resize(given[:, : scaled[0], : scaled[1]], [b - a for a, b in wide])
        top, left = around
        total = total + given[:, top : top + height, left : left + width]
    return total / np.float32(len(passes.scales))


def _flipped_mean(net: Net, images: np.ndarray, flips: bool) -> np.ndarray:
    given = net.probabilities(images)
    if flips:
        given = (given + net.probabilities(images[:, :, ::-1])[:, :, ::-1]) / 2
    return given


def _window(images: np.ndarray, tile: Any, sides: tuple[Side, Side]) -> np.ndarray:
    """What the net has to see for the scores of a tile: a margin, a size it takes."""
    seen = []
    for (start, stop), side in zip(tile, sides, strict=True):
        length = side.for_output(stop - start)
        if not length:
            raise ValueError(
                f"Expected images of at most {side.first} pixels a side, and `scales` "
                "of at most 1, for a model that takes this size only. Received: "
                f"{stop - start} pixels. Larger images go by tiles: tile={side.first}."
            )
        seen.append((start - side.margin, start - side.margin + length))
    return _pixels_of(images, *seen)


def _pixels_of(images: np.ndarray, row: Span, column: Span) -> np.ndarray:
    """Pixels of images that go on as their mirror images beyond their edges."""
    _, height, width, _ = images.shape
    if row[0] >= 0 and row[1] <= height and column[0] >= 0 and column[1] <= width:
        return images[:, slice(*row), slice(*column)]
    rows, columns = mirrored(height, *row), mirrored(width, *column)
    return images[:, rows[:, None], columns]


def _resize(maps: np.ndarray, size: Any) -> np.ndarray:
    return tf.image.resize(maps, size).numpy()
